"""Beacons, tunnels, leaks, first contacts: what is told of small, drawn traffic, and what must not be."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import json
import random
from dataclasses import replace
from datetime import timedelta

import ibis
import pyarrow as pa
import pytest
from network_rows import CONTROLLER, DAY, OWN, START, VICTIM, clock, flow, question, request, rules, run

from casemate.detect.behaviour.beacon_scores import regular, scores
from casemate.detect.behaviour.peers import well_known, zone_of
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine


@pytest.fixture
def engine():
    made = DuckDBEngine()
    yield made
    made.close()


# Beacons


def test_a_beacon_is_one_finding_of_the_own_host_that_says_what_decided(engine):
    [beacon] = run(engine, flows=[flow(at) for at in clock(60, 100, 0.1)])
    assert (beacon["rule"], beacon["severity"]) == ("beacon", "medium")
    assert (beacon["source"]["value"], beacon["target"]["value"]) == (VICTIM, CONTROLLER)
    assert beacon["target"]["service"] == "443/tcp"
    assert beacon["counts"]["gap_seconds"] in range(57, 64)
    assert "too few own hosts" in beacon["counts"]["decided"]
    assert beacon["counts"]["cold_start"] == 1


KINDS: dict[str, list[float]] = {
    "slow": clock(3 * 3600, 8, 0.03),
    "jitter": clock(300, 150, 0.5),
    "office hours": [day * DAY + 9 * 3600 + at for day in range(3) for at in clock(1800, 16, 0.1)],
    "missing hours": [at for at in clock(300, 288, 0.1) if at // 3600 not in (2, 3, 7, 12, 13, 19)],
    "periods": [
        *clock(60, 60, 0.1), *(4_000 + at for at in clock(600, 60, 0.1)), *(60_000 + at for at in clock(120, 60, 0.1))
    ],
    "several connections a beat": [at + part for at in clock(300, 50, 0.1) for part in (0, 0.4, 0.9)],
}  # fmt: skip


def test_slow_jittered_interrupted_and_unanswered_beacons_are_found(engine):
    victims = {f"10.0.3.{number}": name for number, name in enumerate(KINDS)}
    flows = [flow(at, host, f"203.0.113.{number}")
             for number, (host, name) in enumerate(victims.items()) for at in KINDS[name]]  # fmt: skip
    for state in ("S0", "REJ"):
        lost = {"unmapped_conn_state": state, "traffic_bytes_out": 0, "traffic_bytes_in": None, "duration": None}
        victims[f"10.0.4.{len(state)}"] = state
        flows += [flow(at, f"10.0.4.{len(state)}", f"192.0.2.{len(state)}", **lost) for at in clock(120, 60, 0.1)]
    found = run(engine, flows=flows)
    told = {victims[row["source"]["value"]]: (row["rule"], row["outcome"]) for row in found}
    unanswered = ("beacon_failed", "failed")
    assert told == {**dict.fromkeys(KINDS, ("beacon", "unknown")), "S0": unanswered, "REJ": unanswered}
    assert len(found) == len(told)


def test_beacons_are_seen_by_the_name_they_ask_for(engine):
    ways = {"proxied.example.net": "10.0.0.80", "unlogged.example.org": CONTROLLER, "nowhere.example.com": None}
    found = run(engine, requests=[request(at, name, via) for name, via in ways.items() for at in clock(300, 40, 0.2)])
    assert {(row["rule"], row["target"]["kind"], row["target"]["value"]) for row in found} == {
        ("beacon", "host", name) for name in ways
    }


def test_requests_that_stand_in_the_connection_log_are_not_told_twice(engine):
    times = clock(300, 40, 0.1)
    found = run(engine, flows=[flow(at) for at in times], requests=[request(at, "a.b.net", CONTROLLER) for at in times])
    assert rules(found) == ["beacon"]
    assert found[0]["counts"]["name"] == "a.b.net"


def test_people_and_peers_of_everybody_are_no_beacons(engine):
    drawn = random.Random(5)
    at, browsing = 0.0, []
    for _ in range(150):
        at += drawn.expovariate(1 / 400)
        browsing += [flow(at + part, traffic_bytes_out=drawn.randrange(200, 4000)) for part in (0, 0.3, 2.1)]
    office = [flow(at, f"10.0.1.{host}", "198.51.100.9") for host in range(12) for at in clock(600, 30, seed=host)]
    time = [flow(at, target="192.0.2.123", port=123, connection_info_protocol_name="udp") for at in clock(64, 200)]
    assert run(engine, flows=[*browsing, *office, *time]) == []


def test_what_software_explains_is_told_as_that_and_accuses_nobody(engine):
    answer = json.dumps(["edge.example.net", "203.0.113.50"])
    named = [question(at, "settings-win.data.microsoft.com", answers=answer) for at in (0, 4000)]
    [known] = run(engine, flows=[flow(at) for at in clock(600, 60)], questions=named)
    assert (known["rule"], known["severity"]) == ("regular_contact", "informational")
    assert known["counts"]["decided"] == "well-known name"
    big = [flow(at, traffic_bytes_in=4_000_000) for at in clock(3600, 24)]
    assert run(engine, flows=big)[0]["counts"]["decided"] == "downloads"


def test_names_that_anybody_can_take_are_not_well_known(engine):
    names = ["update.microsoft.com", "evil.blob.core.windows.net", "microsoft.com.evil.net", "xmicrosoft.com"]
    table = ibis.memtable({"name": names})
    known = engine.collect(table.mutate(known=well_known(table.name), zone=zone_of(table.name)))
    assert dict(zip(known["name"].to_pylist(), known["known"].to_pylist(), strict=True)) == {
        names[0]: True, names[1]: False, names[2]: False, names[3]: False,
    }  # fmt: skip


@pytest.mark.spark
def test_a_cluster_scores_gaps_alike(engine, spark: Engine):
    series = [clock(300, 40, 0.3), [0, 5, 9, 700, 5000, 5100, 9000, 9001, 20000], clock(900, 20, 0.2, seed=3)]
    rows = [
        {"pair": number, "time": START + timedelta(seconds=at), "said": 300 + number, "heard": int(at) % 7}
        for number, times in enumerate(series)
        for at in times
    ]
    kinds = pa.schema([("pair", "int64"), ("time", pa.timestamp("us", "UTC")), ("said", "int64"), ("heard", "int64")])
    told = scores(ibis.memtable(pa.Table.from_pylist(rows, schema=kinds)))
    told = told.mutate(regular=regular(told), change=told.change.round(9), spread=told.spread.round(9))
    told = told.select("pair", "beats", "gap", "spread", "change", "size", "hours", "regular").order_by("pair")
    here = engine.collect(told).to_pylist()
    assert [(row["pair"], row["regular"]) for row in here if row["regular"]] == [(0, True), (2, True)]
    assert spark.collect(told).to_pylist() == here


# Long connections, names


def test_a_connection_of_hours_to_a_rare_peer_is_told(engine):
    [long] = run(engine, flows=[flow(0, duration=6 * 3_600_000, unmapped_conn_state="S1")])
    assert (long["rule"], long["severity"], long["counts"]["longest_seconds"]) == ("long_connection", "low", 21_600)


def test_thirty_names_that_carry_data_are_a_tunnel_and_content_networks_are_not(engine):
    drawn = random.Random(2)
    coded = ["".join(drawn.choice("abcdefghijklmnop0123456789") for _ in range(40)) for _ in range(35)]
    tunnel = [question(i, f"{code}.t.example.com", query_type="TXT") for i, code in enumerate(coded)]
    plain = [question(i, f"www{i}.images.example.org") for i in range(60)]
    block = [question(i, f"{i}.2.0.192.zen.blocklist.example") for i in range(60)]
    [found] = run(engine, questions=[*tunnel, *plain, *block])
    assert (found["rule"], found["target"]["value"], found["counts"]["names"]) == ("dns_tunnel", "example.com", 35)


def test_many_names_that_do_not_exist_are_told_and_a_mistyped_one_is_not(engine):
    drawn = random.Random(4)
    made = ["".join(drawn.choice("bcdfghjklmnpqrstvwxz") for _ in range(12)) for _ in range(25)]
    lost = [question(i * 3, f"{name}.net", "NXDOMAIN") for i, name in enumerate(made)]
    typo = [question(i, f"host{i}.corp.example", "NXDOMAIN", source="10.0.0.8") for i in range(50)]
    [found] = run(engine, questions=[*lost, *typo])
    assert (found["rule"], found["source"]["value"], found["outcome"]) == ("failing_names", VICTIM, "failed")


# Slow scans


def test_a_network_whose_hosts_each_touch_little_is_one_scan(engine):
    flows = [
        flow(day * DAY, f"198.51.100.{day % 5}", f"10.0.2.{day}", 1000 + day, unmapped_conn_state="S0")
        for day in range(30)
    ]
    [scan] = run(engine, flows=flows)
    assert (scan["rule"], scan["source"]) == ("network_scan", {"kind": "network", "value": "198.51.100.0/24"})
    assert (scan["counts"]["sources"], scan["counts"]["probes"]) == (5, 30)


def test_one_source_over_months_is_one_scan(engine):
    flows = [
        flow(day * DAY, "198.51.100.3", f"10.0.2.{day}", 1000 + day, unmapped_conn_state="S0") for day in range(60)
    ]
    [scan] = run(engine, flows=flows)
    assert (scan["rule"], scan["counts"]["probes"]) == ("slow_scan", 60)


# What leaves


def backup(days: int, size: int, target: str = "198.51.100.77") -> list[dict]:
    return [flow(day * DAY + 7_200, target=target, traffic_bytes_out=size) for day in range(days)]


def test_a_backup_is_its_own_history_and_a_jump_is_told(engine):
    usual = backup(10, 2_000_000_000)
    # large only on the first day, which has no history
    assert rules(run(engine, flows=usual)) == ["regular_contact", "upload_large"]
    jump = flow(8 * DAY, traffic_bytes_out=900_000_000)
    found = [row for row in run(engine, flows=[*usual, jump]) if row["severity"] == "medium"]
    assert [(row["rule"], row["target"]["value"]) for row in found] == [("upload_unusual", CONTROLLER)]


def test_a_little_every_day_to_a_new_peer_is_a_slow_leak(engine):
    ordinary = [flow(day * DAY, target="198.51.100.1", traffic_bytes_out=500) for day in range(14)]
    leak = [flow(day * DAY + 9_000 + 700 * day, traffic_bytes_out=8_000_000) for day in range(5, 14)]
    found = run(engine, flows=[*ordinary, *leak])
    assert [(row["rule"], row["counts"]["days"]) for row in found if row["rule"] == "slow_leak"] == [("slow_leak", 9)]


def test_an_upload_to_a_paste_service_is_told_by_name(engine):
    named = [question(0, "pastebin.com", answers=json.dumps([CONTROLLER]))]
    [found] = run(engine, flows=[flow(1, traffic_bytes_out=3_000_000)], questions=named)
    assert (found["rule"], found["counts"]["name"]) == ("upload_to_storage", "pastebin.com")


# Own hosts among each other, and sources outside that act alike


def test_hosts_that_never_spoke_before_are_told_once_there_is_a_baseline(engine):
    week = [flow(day * DAY + host, f"10.0.0.{host}", "10.0.0.200", 445) for day in range(7) for host in range(1, 9)] + [
        flow(day * DAY + host, "10.0.0.200", f"10.0.0.{host}", 9999) for day in range(7) for host in range(1, 9)
    ]
    assert run(engine, flows=week) == []
    moved = [flow(5 * DAY + host * 60, "10.0.0.1", f"10.0.0.{host}", 445) for host in range(2, 7)]
    [found] = run(engine, flows=[*week, *moved])
    assert (found["rule"], found["severity"], found["counts"]["hosts"]) == ("lateral_fan_out", "medium", 5)


def test_servers_that_all_use_do_not_make_a_fan_out_and_what_a_worm_reached_is_no_server(engine):
    """A notebook comes into the office on the fifth day."""
    servers = ("10.0.9.1", "10.0.9.2", "10.0.9.3", "10.0.9.4")
    office = [flow(day * DAY + host, f"10.0.1.{host}", server, 445)
              for day in range(7) for host in range(1, 9) for server in servers]  # fmt: skip
    seen = [flow(day * DAY + 9, "10.0.1.99", target="198.51.100.1") for day in range(7)]
    joins = [flow(5 * DAY + number, "10.0.1.99", server, 445) for number, server in enumerate(servers)]
    found = run(engine, flows=[*office, *seen, *joins])
    assert {row["rule"] for row in found if row["vector"] == "network"} >= {"first_admin_contact"}
    assert "lateral_fan_out" not in rules(found)
    others = [
        flow(day * DAY + host, f"10.0.1.{host}", target="198.51.100.1") for day in range(7) for host in range(20, 30)
    ]
    back = [flow(day * DAY + host, "10.0.1.1", f"10.0.1.{host}", 9999) for day in range(7) for host in range(20, 30)]
    worm = [flow(5 * DAY + 60 * first + other, f"10.0.1.{first}", f"10.0.1.{other}", 445)
            for first in range(20, 30) for other in range(20, 30) if first != other]  # fmt: skip
    spread = [row for row in run(engine, flows=[*office, *others, *back, *worm]) if row["rule"] == "lateral_fan_out"]
    assert len({row["source"]["value"] for row in spread}) == 10


def test_sources_with_one_order_of_trials_are_put_together(engine):
    steps = [("10.0.0.5", 8080), ("10.0.0.9", 22), ("10.0.0.5", 2375), ("10.0.0.7", 6379), ("10.0.0.8", 9200)]
    sources = ["198.51.100.1", "203.0.113.2", "192.0.2.3"]
    flows = [
        flow(number * 5_000 + place * 900, source, target, port, unmapped_conn_state="REJ")
        for number, source in enumerate(sources)
        for place, (target, port) in enumerate(steps)
    ]
    found = [row for row in run(engine, flows=flows) if row["rule"] == "coordinated_sources"]
    assert [(row["counts"]["sources"], row["counts"]["steps"]) for row in found] == [(3, 5)]


# Own hosts that pass traffic on


def through(visitor: str = "198.51.100.20", peers: int = 12, back: int = 90_000, at: float = 5_000) -> list[dict]:
    """A session from outside, and what the host does while it lasts."""
    session = flow(
        at, visitor, VICTIM, 22, duration=1_800_000, traffic_bytes_out=10_000 * peers, traffic_bytes_in=back * peers
    )
    size = {"traffic_bytes_out": 8_000, "traffic_bytes_in": 80_000}
    return [session, *(flow(at + 60 * number, target=f"192.0.2.{number + 1}", **size) for number in range(peers))]


def test_a_host_through_which_a_source_reaches_many_peers_is_a_relay(engine):
    [told] = [row for row in run(engine, flows=through()) if row["severity"] == "medium"]
    assert (told["rule"], told["severity"], told["outcome"]) == ("relay", "medium", "succeeded")
    assert (told["source"]["value"], told["target"]["value"]) == ("198.51.100.20", VICTIM)
    assert (told["counts"]["sessions"], told["counts"]["connections"], told["counts"]["peers"]) == (1, 12, 12)


def test_who_administers_a_host_or_meets_few_or_known_peers_is_not_passed_on(engine):
    before = [flow(number, target=f"192.0.2.{number + 1}") for number in range(12)]
    for flows in (through(back=6_000), through(peers=9), [*before, *through()]):
        assert "relay" not in rules(run(engine, flows=flows))


def test_a_gateway_that_many_come_through_is_no_relay(engine):
    flows = [row for visitor in range(4) for row in through(f"198.51.100.{visitor}", at=10_000 * visitor)]
    assert "relay" not in rules(run(engine, flows=flows))


# Rules that had no test


def test_thousands_of_connections_a_minute_to_one_peer_are_a_strobe_and_a_few_are_not(engine):
    rapid = [flow(number / 3, target="192.0.2.9") for number in range(10_500)]
    calm = [flow(number * 1.5, "10.0.0.8", "192.0.2.10") for number in range(10_500)]
    found = [row for row in run(engine, flows=[*rapid, *calm]) if row["rule"] == "strobe"]
    assert [(row["source"]["value"], row["target"]["value"], row["severity"]) for row in found] == [
        (VICTIM, "192.0.2.9", "low")
    ]
    assert found[0]["counts"]["connections"] == 10_500


def test_a_long_connection_to_a_peer_of_many_hosts_or_of_an_hour_is_not_told(engine):
    hours = 6 * 3_600_000
    office = [flow(0, f"10.0.1.{host}", "198.51.100.9", duration=hours) for host in range(4)]
    inside = flow(0, target="10.0.0.9", duration=hours)
    brief = flow(0, target="192.0.2.3", duration=3_600_000)
    assert "long_connection" not in rules(run(engine, flows=[*office, inside, brief]))


def test_failing_names_need_many_zones_in_one_stretch_that_never_exist(engine):
    drawn = random.Random(9)
    made = ["".join(drawn.choice("bcdfghjklmnpqrstvwxz") for _ in range(12)) for _ in range(25)]
    few = [question(i * 3, f"{name}.net", "NXDOMAIN") for i, name in enumerate(made[:19])]
    apart = [question(i * 7_200, f"{name}.org", "NXDOMAIN", "10.0.0.8") for i, name in enumerate(made)]
    exist = [question(i * 3, f"{name}.com", "NXDOMAIN", "10.0.0.9") for i, name in enumerate(made)]
    exist += [question(900 + i, f"www.{name}.com", source="10.0.0.10") for i, name in enumerate(made)]
    assert run(engine, questions=[*few, *apart, *exist]) == []


def test_answers_of_data_types_make_short_names_a_tunnel(engine):
    short = [f"{number:08x}" for number in range(40)]
    carried = [question(i, f"{name}.t.example.com", query_type="TXT") for i, name in enumerate(short)]
    plain = [question(i, f"{name}.cdn.example.org", query_type="A") for i, name in enumerate(short)]
    [told] = run(engine, questions=[*carried, *plain])
    assert (told["rule"], told["target"]["value"], told["counts"]["data_types"]) == ("dns_tunnel", "example.com", 40)


def test_without_a_baseline_only_a_wide_fan_out_is_told_and_told_low(engine):
    reached = [flow(60 * host, target=f"10.0.2.{host}", port=445) for host in range(8)]
    [told] = [row for row in run(engine, flows=reached) if row["rule"] == "admin_fan_out"]
    assert (told["severity"], told["counts"]["hosts"], told["counts"]["cold_start"]) == ("low", 8, 1)
    assert "admin_fan_out" not in rules(run(engine, flows=reached[:7]))


def test_a_service_that_appears_after_days_is_told(engine):
    days = [flow(day * DAY, "10.0.0.3", "10.0.0.200", 443) for day in range(6)]
    late = flow(5 * DAY + 60, "10.0.0.3", "10.0.0.200", 4444)
    [told] = run(engine, flows=[*days, late])
    assert (told["rule"], told["target"]["value"], told["target"]["service"]) == (
        "new_service",
        "10.0.0.200",
        "4444/tcp",
    )


# What leaves after a core asset was read

ASSET = "10.0.9.9"
WITH_CORE = replace(OWN, core=(ASSET,))


def read_and_sent(read: int = 60_000_000, sent: int = 40_000_000, later: float = 4_000) -> list[dict]:
    return [
        flow(3 * DAY + 900, target=ASSET, port=445, traffic_bytes_in=read, traffic_bytes_out=9_000),
        flow(3 * DAY + 900 + later, target=CONTROLLER, traffic_bytes_out=sent, traffic_bytes_in=20_000),
    ]


def test_much_that_leaves_after_a_core_asset_was_read_is_told_with_both(engine):
    found = run(engine, flows=read_and_sent(), own=WITH_CORE)
    [told] = [row for row in found if row["rule"] == "sent_after_asset_read"]
    assert (told["source"]["value"], told["target"]["value"]) == (VICTIM, CONTROLLER)
    assert (told["severity"], told["outcome"], told["confidence"]) == ("medium", "unknown", "medium")
    counts = told["counts"]
    assert (counts["asset"], counts["bytes_read"], counts["bytes_out"]) == (ASSET, 60_000_000, 40_000_000)


def test_what_leaves_before_too_little_too_late_or_as_always_is_not_told(engine):
    usual = [flow(day * DAY + 50, target=CONTROLLER, traffic_bytes_out=30_000_000) for day in range(3)]
    office = [flow(at, f"10.0.1.{at}", CONTROLLER) for at in range(4)]
    for flows in (
        read_and_sent(later=-600),
        read_and_sent(later=2 * DAY),
        read_and_sent(sent=11_000_000),
        [*usual, *read_and_sent()],
        [*office, *read_and_sent()],
    ):
        assert "sent_after_asset_read" not in rules(run(engine, flows=flows, own=WITH_CORE))
    assert "sent_after_asset_read" not in rules(run(engine, flows=read_and_sent()))
