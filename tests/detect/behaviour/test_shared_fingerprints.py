"""Sources put together by a rare client that they share: what is told, and who must not be accused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from network_rows import START, flow, request, run

from casemate.engine.duckdb import DuckDBEngine

BASTION, SERVER = "10.0.0.22", "10.0.0.80"
TEAM = ["198.51.100.7", "203.0.113.9", "192.0.2.11", "198.51.100.8"]
"""Three networks, one of them with two sources."""
ODD = "SSH-2.0-kestrel"


@pytest.fixture
def engine():
    made = DuckDBEngine()
    yield made
    made.close()


def crowd(count: int = 80) -> list[str]:
    """Sources that nobody has met, each in a network of its own."""
    return [f"198.18.{number}.5" for number in range(count)]


def session(source: str, client: str, at: float = 0, target: str = BASTION) -> dict:
    return {
        "time": START + timedelta(seconds=at),
        "src_endpoint_ip": source,
        "dst_endpoint_ip": target,
        "dst_endpoint_port": 22,
        "unmapped_client": client,
    }


def logon(source: str, status: str, at: float = 0) -> dict:
    return {**session(source, "", at), "service_name": "ssh", "status": status, "user_name": "root"}


def hello(source: str, ja4: str, target: str = SERVER, **changes) -> dict:
    row = {**session(source, "", target=target), "dst_endpoint_port": 443, "ja4_fingerprint_list": f"JA4={ja4}"}
    return {**row, **changes}


def web(source: str, agent: str, path: str, code: int = 404) -> dict:
    return request(0, "www.lab.example", SERVER, src_endpoint_ip=source, http_request_user_agent=agent,
                   http_request_url_path=path, http_response_code=code)  # fmt: skip


def told(engine: DuckDBEngine, **rows) -> list[dict]:
    return [row for row in run(engine, **rows) if row["rule"] == "shared_fingerprint"]


def guessing(sources: list[str], client: str, others: str = "SSH-2.0-OpenSSH_9.6", count: int = 80, status="Failure"):
    """Some sources with one client that fail, among many with another."""
    sessions = [session(source, client, at) for at, source in enumerate(sources)]
    sessions += [session(source, others, 50) for source in crowd(count)]
    logons = [logon(source, status, at) for at, source in enumerate(sources)]
    return {"sessions": sessions, "logons": logons + [logon(source, "Success") for source in crowd(count)]}


def test_guessers_with_a_client_that_nobody_else_has_are_put_together(engine):
    [found] = told(engine, **guessing(TEAM, ODD))
    assert (found["severity"], found["confidence"], found["source"]["value"]) == ("low", "medium", "many addresses")
    counts = found["counts"]
    assert (counts["kind"], counts["fingerprint"], counts["sources"], counts["networks"]) == ("SSH client", ODD, 4, 3)
    assert counts["addresses"] == "192.0.2.11, 198.51.100.7, 198.51.100.8, 203.0.113.9"
    assert (counts["used_by"], counts["population"], counts["cold_start"]) == (4, 84, 0)


def test_a_public_tool_is_named_and_its_users_are_no_actor(engine):
    [found] = told(engine, **guessing(TEAM, "SSH-2.0-libssh2_1.11.0"))
    assert (found["counts"]["tool"], found["confidence"]) == ("libssh", "low")


def test_a_case_with_few_sources_says_that_it_cannot_know_what_is_rare(engine):
    [found] = told(engine, **guessing(TEAM, ODD, count=20))
    assert (found["counts"]["cold_start"], found["confidence"]) == (1, "low")
    assert told(engine, **guessing(TEAM, ODD, count=8)) == []


def test_colleagues_who_get_in_neighbours_and_what_many_use_are_no_herd(engine):
    own = guessing(TEAM, ODD)
    own["sessions"].append(session("10.0.0.9", ODD, target="10.0.0.5"))
    for rows in (
        guessing(TEAM, ODD, status="Success"),
        guessing(TEAM, "SSH-2.0-OpenSSH_9.6"),
        guessing([f"198.51.100.{number}" for number in range(5)], ODD),
        guessing(TEAM[:2], ODD),
        own,
    ):
        assert told(engine, **rows) == []


def test_customers_behind_one_address_are_one_source(engine):
    rows = guessing(TEAM[:1] * 30, ODD)
    assert told(engine, **rows) == []


def test_scanners_with_one_offer_in_tls_are_put_together_and_devices_are_not(engine):
    offers = [hello(source, "t13i0310h1_aaaa_bbbb") for source in TEAM]
    offers += [hello(source, "t13d1516h2_8daaf6152771_02713d6af862") for source in crowd()]
    probes = [flow(at, source, f"10.0.0.{at}", 443, unmapped_conn_state="REJ", traffic_bytes_in=0)
              for source in TEAM for at in range(3)]  # fmt: skip
    [found] = told(engine, handshakes=offers, flows=probes)
    assert (found["counts"]["kind"], found["counts"]["sources"]) == ("JA4", 4)
    answered = [flow(at, source, SERVER, 443) for source in TEAM for at in range(3)]
    assert told(engine, handshakes=offers, flows=answered) == []


def test_ja3_is_taken_where_no_ja4_stands(engine):
    offers = [hello(source, "", ja4_fingerprint_list=None, tls_ja3_hash="e" * 32) for source in TEAM]
    offers += [hello(source, "", ja4_fingerprint_list=None, tls_ja3_hash="f" * 32) for source in crowd()]
    probes = [flow(0, source, "10.0.0.3", 443, unmapped_conn_state="REJ", traffic_bytes_in=0) for source in TEAM]
    assert [row["counts"]["kind"] for row in told(engine, handshakes=offers, flows=probes)] == ["JA3"]


VISITORS = [
    web(source, "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/124.0", "/a", 200) for source in crowd()
]
PATHS = ("/.env", "/actuator/env", "/server-status")


def test_a_user_agent_of_few_who_look_for_the_same_is_told(engine):
    asked = [web(source, "kestrel/0.3", path) for source in TEAM for path in PATHS]
    [found] = told(engine, requests=[*asked, *VISITORS])
    assert (found["counts"]["kind"], found["counts"]["targets"], found["counts"]["sources"]) == ("user agent", 3, 4)


@pytest.mark.parametrize(
    "asked",
    [
        [web(source, "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 Chrome/49.0 Safari/537.36", path)
         for source in TEAM for path in PATHS],
        [web(source, "Somebot/1.0 (+https://bot.example)", path) for source in TEAM for path in PATHS],
        [web(source, "Reader/2", "/blog/old.xml") for source in TEAM],
        [web(source, "Player/7", path) for source in TEAM for path in ("/favicon.ico", "/robots.txt", "/")],
        [web(source, "Client/4", path, 200) for source in TEAM for path in (*PATHS, *"abc")]
        + [web(source, "Client/4", path) for source in TEAM for path in PATHS],
        [web(source, "Loner/1", f"{path}{number}") for number, source in enumerate(TEAM) for path in PATHS],
    ],
    ids=["a browser", "a crawler", "one page that is gone", "what all ask for", "mostly answered", "different paths"],
)  # fmt: skip
def test_ordinary_programs_are_not_put_together(engine, asked):
    assert told(engine, requests=[*asked, *VISITORS]) == []
