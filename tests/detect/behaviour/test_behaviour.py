"""What the behaviour analytics say about small, self-written traffic, and what they must not say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import ibis
import pyarrow as pa
import pytest

from casemate.detect.behaviour import ANALYTICS, infer_own, read_once, run_all
from casemate.detect.behaviour.networks import own_networks, within
from casemate.errors import BadInput
from casemate.schema.findings import CONFIDENCES, FINDING_RECORDS, OUTCOMES, SEVERITIES, VECTORS, finding_id
from casemate.schema.ocsf import AUTHENTICATION, HTTP_ACTIVITY, NETWORK_ACTIVITY, EventClass

START = datetime(2024, 4, 19, tzinfo=UTC)
OUTSIDE, SERVER = "203.0.113.9", "10.0.0.5"
OWN = own_networks(["10.0.0.0/8"])
FAILED = {"unmapped_conn_state": "S0"}
ANSWERED = {"unmapped_conn_state": "SF", "traffic_bytes_out": 400, "traffic_bytes_in": 900}


@pytest.fixture(scope="module")
def connection():
    made = ibis.duckdb.connect()
    made.con.execute("SET TimeZone = 'UTC'")
    return made


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def flow(seconds: float, source: str, target: str, port: int, **changes) -> dict:
    row = {
        "time": at(seconds),
        "src_endpoint_ip": source,
        "src_endpoint_port": 40000,
        "dst_endpoint_ip": target,
        "dst_endpoint_port": port,
        "connection_info_protocol_name": "tcp",
    }
    return {**row, **changes}


def logon(seconds: float, status: str, source: str | None = OUTSIDE, user: str | None = "root", **changes) -> dict:
    row = {
        "time": at(seconds),
        "src_endpoint_ip": source,
        "dst_endpoint_ip": SERVER,
        "dst_endpoint_port": 22,
        "service_name": "ssh",
        "status": status,
        "user_name": user,
    }
    return {**row, **changes}


def request(seconds: float, path: str, code: int, source: str = OUTSIDE, **changes) -> dict:
    row = {
        "time": at(seconds),
        "src_endpoint_ip": source,
        "dst_endpoint_ip": SERVER,
        "dst_endpoint_port": 80,
        "http_request_http_method": "GET",
        "http_request_url_path": path,
        "http_response_code": code,
    }
    return {**row, **changes}


def table(connection, event_class: EventClass, rows: list[dict]):
    schema = event_class.schema
    numbered = [{"evidence": "e" * 64, "record": number, **row} for number, row in enumerate(rows)]
    filled = [{name: row.get(name) for name in schema} for row in numbered]
    plain = pa.Table.from_pylist(filled, schema=schema.to_pyarrow())
    return connection.create_table(event_class.name, plain, overwrite=True, temp=True)


def batches(expr):
    return expr.to_pyarrow().to_reader(max_chunksize=7)


def hold(expr):
    return expr.cache()


def run(connection, *, flows=(), logons=(), requests=(), own=OWN) -> list[dict]:
    """Findings, each with its records, sorted by rule."""
    ocsf = {
        "network_activity": table(connection, NETWORK_ACTIVITY, list(flows)),
        "authentication": table(connection, AUTHENTICATION, list(logons)),
        "http_activity": table(connection, HTTP_ACTIVITY, list(requests)),
    }
    rows = []
    for found in run_all(read_once(ocsf, batches, hold), own, batches, hold):
        held = pa.Table.from_batches(found.records(), schema=FINDING_RECORDS).to_pylist()
        for row in found.findings.to_pylist():
            records = [(one["evidence"], one["record"]) for one in held if one["finding"] == row["id"]]
            rows.append({**row, "records": records, "rule": row["rule_id"].rpartition(".")[2]})
    return sorted(rows, key=lambda row: (row["rule"], row["time"]))


def rules(rows: list[dict]) -> list[str]:
    return [row["rule"] for row in rows]


# Scans


def test_one_source_and_many_silent_hosts_is_one_horizontal_scan_of_the_own_network(connection):
    flows = [flow(i, OUTSIDE, f"10.0.1.{i}", 445, **FAILED) for i in range(30)]
    [scan] = run(connection, flows=flows)
    assert scan["rule"] == "horizontal_scan"
    assert (scan["target"]["kind"], scan["target"]["service"]) == ("own_network", "445/tcp")
    assert (scan["outcome"], len(scan["records"])) == ("failed", 30)
    assert json.loads(scan["why"])["counts"]["hosts"] == 30


def test_a_slow_scan_is_one_finding_from_its_first_to_its_last_probe(connection):
    flows = [flow(i * 86_400, OUTSIDE, f"10.0.1.{i}", 445, **FAILED) for i in range(20)]
    [scan] = run(connection, flows=flows)
    assert scan["rule"] == "horizontal_scan"
    assert (scan["time"], scan["time_end"]) == (at(0), at(19 * 86_400))
    assert json.loads(scan["why"])["counts"]["slow"] == 1


def test_two_fast_scans_days_apart_are_two_findings(connection):
    flows = [flow(day * 86_400 + i, OUTSIDE, f"10.0.1.{i}", 445, **FAILED) for day in (0, 3) for i in range(10)]
    assert rules(run(connection, flows=flows)) == ["horizontal_scan"] * 2


@pytest.mark.parametrize("apart", [1, 7_200])
def test_many_ports_of_one_host_are_a_vertical_scan_fast_or_slow(connection, apart):
    flows = [flow(i * apart, OUTSIDE, SERVER, 1000 + i, unmapped_conn_state="REJ") for i in range(40)]
    [scan] = run(connection, flows=flows)
    assert (scan["rule"], scan["target"]["value"], scan["target"]["service"]) == ("vertical_scan", SERVER, None)


def test_a_scan_that_finds_an_open_port_did_not_fail(connection):
    flows = [flow(i, OUTSIDE, SERVER, 1000 + i, unmapped_conn_state="REJ") for i in range(40)]
    flows.append(flow(41, OUTSIDE, SERVER, 22, unmapped_conn_state="RSTO", traffic_bytes_out=0, traffic_bytes_in=0))
    [scan] = run(connection, flows=flows)
    assert (scan["outcome"], json.loads(scan["why"])["counts"]["empty"]) == ("unknown", 1)


def test_a_firewall_that_blocks_everything_makes_it_blocked(connection):
    flows = [flow(i, OUTSIDE, SERVER, 1000 + i, disposition="Blocked") for i in range(40)]
    assert [row["outcome"] for row in run(connection, flows=flows)] == ["blocked"]


def test_a_single_unanswered_connection_from_outside_is_a_probe(connection):
    [probe] = run(connection, flows=[flow(0, OUTSIDE, SERVER, 8728, unmapped_conn_state="REJ")])
    assert (probe["rule"], probe["severity"], probe["target"]["service"]) == (
        "unasked_probe",
        "informational",
        "8728/tcp",
    )


def test_a_ping_from_outside_is_a_probe_and_an_error_message_is_not(connection):
    icmp = {"connection_info_protocol_name": "icmp", "src_endpoint_port": None, "unmapped_conn_state": "OTH"}
    ping = flow(0, OUTSIDE, SERVER, 0, **icmp, traffic_packets_in=3)
    unreachable = flow(0, "203.0.113.10", SERVER, 0, **icmp, traffic_packets_in=0)
    assert [(row["rule"], row["source"]["value"]) for row in run(connection, flows=[ping, unreachable])] == [
        ("unasked_probe", OUTSIDE)
    ]


@pytest.mark.parametrize(("source", "rule"), [(OUTSIDE, "horizontal_scan"), ("10.0.9.9", "ping_sweep_inside")])
def test_unanswered_pings_of_many_hosts_are_a_sweep_and_unanswered_answers_are_not(connection, source, rule):
    icmp = {"connection_info_protocol_name": "icmp", "src_endpoint_port": None, "unmapped_conn_state": "OTH"}
    silent = {**icmp, "traffic_packets_in": 0}
    pings = [flow(i, source, f"10.0.1.{i}", 0, **silent, unmapped_icmp_type=8) for i in range(30)]
    [sweep] = run(connection, flows=pings)
    assert (sweep["rule"], sweep["target"]["service"], len(sweep["records"])) == (rule, "icmp", 30)
    answers = [flow(i, source, f"10.0.1.{i}", 0, **silent, unmapped_icmp_type=3) for i in range(30)]
    unsaid = [flow(i, source, f"10.0.1.{i}", 0, **silent) for i in range(30)]
    assert run(connection, flows=[*answers, *unsaid]) == []


def test_a_monitoring_host_whose_pings_are_answered_is_not_a_sweep(connection):
    icmp = {"connection_info_protocol_name": "icmp", "unmapped_conn_state": "OTH", "unmapped_icmp_type": 8}
    pings = [flow(i, "10.0.9.1", f"10.0.1.{i % 40}", 0, **icmp, traffic_packets_in=1) for i in range(400)]
    assert run(connection, flows=pings) == []


def test_the_labs_own_scanner_is_named_as_inside(connection):
    flows = [flow(i, "10.0.9.9", f"10.0.1.{i}", 445, **FAILED) for i in range(60)]
    [scan] = run(connection, flows=flows)
    assert (scan["rule"], scan["severity"], scan["tactics"]) == ("horizontal_scan_inside", "low", ["discovery"])


def test_benign_traffic_is_not_called_a_scan(connection):
    monitoring = [flow(i, "10.0.9.1", f"10.0.1.{i % 40}", 443, **ANSWERED) for i in range(400)]
    dead_hosts = [flow(i, "10.0.9.1", f"10.0.2.{i % 4}", 443, **FAILED) for i in range(400)]
    dns = {**ANSWERED, "connection_info_protocol_name": "udp"}
    resolver = [flow(i, "10.0.0.53", f"198.51.100.{i % 200}", 53, **dns) for i in range(400)]
    proxy = [
        flow(i, "10.0.0.80", f"198.51.100.{i % 200}", 443, **(FAILED if i % 9 == 0 else ANSWERED)) for i in range(400)
    ]
    browsers = [flow(i, f"203.0.113.{i}", SERVER, 443, **ANSWERED) for i in range(200)]
    late = {"connection_info_protocol_name": "udp", "src_endpoint_port": 53, **FAILED}
    late_answers = [flow(i, "198.51.100.53", SERVER, 50_000 + i, **late) for i in range(40)]
    multicast = [flow(i, "10.0.9.1", "224.0.0.251", 5353, **FAILED) for i in range(40)]
    flows = [*monitoring, *dead_hosts, *resolver, *proxy, *browsers, *late_answers, *multicast]
    assert rules(run(connection, flows=flows)) == []


# Guessing


def test_guessing_from_outside_fails_and_carries_its_tries(connection):
    [guess] = run(connection, logons=[logon(i, "Failure") for i in range(20)])
    assert (guess["rule"], guess["outcome"], guess["vector"]) == ("password_guessing_outside", "failed", "credential")
    assert (guess["techniques"], guess["target"]["service"]) == (["T1110.001"], "22/tcp")


def test_many_tries_inside_one_reused_connection_are_guessing(connection):
    [guess] = run(connection, logons=[logon(0, "Failure", unmapped_attempts=6)])
    assert (guess["rule"], json.loads(guess["why"])["counts"]["tries"]) == ("password_guessing_outside", 6)


def test_one_try_an_hour_is_one_slow_finding(connection):
    [guess] = run(connection, logons=[logon(i * 3600, "Failure") for i in range(48)])
    assert (guess["rule"], guess["time_end"] - guess["time"]) == ("password_guessing_outside", timedelta(hours=47))


def test_success_after_guessing_says_who_and_when(connection):
    tries = [logon(i, "Failure", user="alice") for i in range(20)]
    rows = run(connection, logons=[*tries, logon(30, "Success", user="alice")])
    won = next(row for row in rows if row["rule"] == "success_after_guessing")
    assert (won["severity"], won["outcome"], won["time"]) == ("high", "succeeded", at(30))
    assert json.loads(won["why"])["counts"]["account"] == "alice"
    assert won["records"] == [("e" * 64, 20)]


def test_a_long_session_after_unnamed_guessing_is_likely_a_login(connection):
    logons = [logon(i, "Unknown", user=None, connection_info_uid=f"C{i}") for i in range(20)]
    logons.append(logon(40, "Unknown", user=None, connection_info_uid="CX"))
    long = {"app_name": "ssh", "connection_info_uid": "CX", "duration": 600_000}
    flows = [flow(40, OUTSIDE, SERVER, 22, **ANSWERED | long | {"traffic_bytes_in": 90_000})]
    rows = run(connection, logons=logons, flows=flows)
    won = next(row for row in rows if row["rule"] == "success_after_guessing")
    assert (won["confidence"], json.loads(won["why"])["counts"]["likely_successes"]) == ("low", 1)


def test_a_session_that_only_lingers_is_not_a_login(connection):
    logons = [logon(i, "Unknown", user=None, connection_info_uid=f"C{i}") for i in range(20)]
    idle = {"app_name": "ssh", "connection_info_uid": "C19", "duration": 206_000, "traffic_bytes_in": 1_122}
    rows = run(connection, logons=logons, flows=[flow(40, OUTSIDE, SERVER, 22, **ANSWERED | idle)])
    assert rules(rows) == ["password_guessing_outside"]


def test_a_source_known_by_its_full_name_only_is_outside_unless_it_is_of_the_own_domain(connection):
    def named(name: str) -> list[dict]:
        ends = {"src_endpoint_hostname": name, "device_hostname": "login.lab.example"}
        return [logon(i, "Failure", None, dst_endpoint_ip=None, **ends) for i in range(20)]

    assert rules(run(connection, logons=named("host-9.example.net"))) == ["password_guessing_outside"]
    assert rules(run(connection, logons=named("desk.lab.example"))) == ["password_guessing"]


def test_spraying_is_told_from_guessing(connection):
    logons = [logon(i * 60, "Failure", user=f"user{i}", source="10.0.7.7") for i in range(12)]
    assert set(rules(run(connection, logons=logons))) == {"password_spraying"}


def test_spraying_that_hits_at_the_first_try_of_an_account_is_a_success(connection):
    logons = [logon(i * 60, "Failure", user=f"user{i}") for i in range(12)]
    rows = run(connection, logons=[*logons, logon(720, "Success", user="carol")])
    assert "success_after_guessing" in rules(rows)


def test_guessing_of_a_web_login(connection):
    post = {"http_request_http_method": "POST"}
    requests = [request(i, "/hub/login", 403, **post) for i in range(12)]
    [guess] = [row for row in run(connection, requests=requests) if row["vector"] == "credential"]
    assert (guess["rule"], guess["target"]["service"]) == ("password_guessing_outside", "80/tcp")


def test_conversations_with_a_login_service_without_a_login_log_are_guessing_of_low_confidence(connection):
    [guess] = run(connection, flows=[flow(i, OUTSIDE, SERVER, 3306, **ANSWERED) for i in range(30)])
    assert (guess["rule"], guess["confidence"]) == ("password_guessing_outside", "low")


def test_a_single_failed_logon_from_outside_is_kept_apart_from_guessing(connection):
    assert rules(run(connection, logons=[logon(0, "Failure")])) == ["failed_logon_outside"]
    assert rules(run(connection, logons=[logon(0, "Unknown")])) == ["login_service_visit"]


def test_an_admin_who_mistypes_twice_is_not_named(connection):
    for source in ("10.0.7.7", OUTSIDE):
        logons = [logon(0, "Failure", source), logon(9, "Failure", source), logon(20, "Success", source)]
        assert rules(run(connection, logons=logons)) == []


def test_people_behind_one_address_are_not_spraying(connection):
    logons = []
    for person in range(40):
        logons.append(logon(person * 60, "Failure", "10.0.7.7", f"user{person}"))
        logons.append(logon(person * 60 + 9, "Success", "10.0.7.7", f"user{person}"))
    assert rules(run(connection, logons=logons)) == []


def test_a_service_with_an_expired_password_is_not_guessing(connection):
    steady = [logon(i * 300, "Failure", "10.0.7.7", "backup") for i in range(200)]
    assert set(rules(run(connection, logons=steady))) == {"repeated_failure"}
    once_right = [logon(-600, "Success", OUTSIDE, "vendor")]
    outside = [logon(i * 300, "Failure", OUTSIDE, "vendor") for i in range(200)]
    found = run(connection, logons=[*once_right, *outside, logon(90_000, "Success", OUTSIDE, "vendor")])
    assert set(rules(found)) == {"repeated_failure"}


WINDOWS = {
    "dst_endpoint_ip": None,
    "dst_endpoint_port": None,
    "dst_endpoint_hostname": "dc1",
    "device_hostname": "dc1",
    "service_name": "windows_logon",
    "metadata_product_name": "windows",
}
ZEEK = {"user_name": None, "metadata_product_name": "zeek"}


@pytest.mark.parametrize(
    ("failures", "successes", "log"),
    [(40, 60, {}), (300, 301, WINDOWS), (40, 60, ZEEK), (8, 400, {})],
)
@pytest.mark.parametrize("source", [OUTSIDE, "10.0.7.7"])
def test_many_logons_after_the_break_in_do_not_hide_it(connection, failures, successes, log, source):
    failures = failures if source == OUTSIDE else failures + 2
    tries = [logon(i * 2, "Failure", source, **log) for i in range(failures)]
    later = [logon(failures * 2 + 20 + i * 10, "Success", source, **log) for i in range(successes)]
    rows = run(connection, logons=[*tries, *later])
    guessed = "password_guessing_outside" if source == OUTSIDE else "password_guessing"
    assert {row["rule"] for row in rows} == {guessed, "success_after_guessing"}
    guess, won = (next(row for row in rows if row["rule"] == rule) for rule in (guessed, "success_after_guessing"))
    assert (len(guess["records"]), won["time"], won["outcome"]) == (failures, at(failures * 2 + 20), "succeeded")


def test_slow_guessing_and_many_logons_later_is_still_guessing(connection):
    tries = [logon(i * 3_600, "Failure") for i in range(60)]
    later = [logon(300_000 + i * 3_600, "Success") for i in range(100)]
    assert set(rules(run(connection, logons=[*tries, *later]))) == {
        "password_guessing_outside",
        "success_after_guessing",
    }


def test_sprayed_accounts_that_are_all_used_later_were_sprayed(connection):
    tries = [logon(i * 60, "Failure", "10.0.7.7", f"user{i}") for i in range(12)]
    later = [logon(90_000 + i * 60, "Success", "10.0.7.7", f"user{i}") for i in range(12)]
    assert "password_spraying" in rules(run(connection, logons=[*tries, *later]))


def test_an_account_that_was_right_before_and_is_guessed_fast_is_guessed(connection):
    tries = [logon(10 + i * 2, "Failure") for i in range(400)]
    rows = run(connection, logons=[logon(0, "Success"), *tries, logon(900, "Success")])
    assert rules(rows) == ["password_guessing_outside", "success_after_guessing"]
    assert (len(rows[0]["records"]), rows[1]["time"]) == (400, at(900))


def test_many_quick_failures_of_an_inside_account_stay_guessing_when_the_log_is_long(connection):
    tries = [logon(i, "Failure", "10.0.7.7") for i in range(300)]
    assert "password_guessing" in rules(run(connection, logons=[*tries, logon(90_000, "Failure", "10.0.7.7")]))


def test_another_account_than_the_guessed_one_gets_in_soon(connection):
    tries = [logon(i * 2, "Failure") for i in range(40)]
    rows = run(connection, logons=[*tries, logon(100, "Success", user="deploy")])
    won = next(row for row in rows if row["rule"] == "success_after_guessing_others")
    assert (won["severity"], won["confidence"], won["outcome"]) == ("medium", "low", "succeeded")
    assert "had not been seen to guess" in json.loads(won["why"])["means"]
    late = run(connection, logons=[*tries, logon(40_000, "Success", user="deploy")])
    inside = run(
        connection,
        logons=[{**row, "src_endpoint_ip": "10.0.7.7"} for row in tries]
        + [logon(100, "Success", "10.0.7.7", "deploy")],
    )
    known = run(connection, logons=[logon(-60, "Success", user="deploy"), *tries, logon(100, "Success", user="deploy")])
    for found in (late, inside, known):
        assert not [rule for rule in rules(found) if rule.startswith("success")]


KERBEROS = {**WINDOWS, "service_name": "kerberos"}


def test_names_that_kerberos_does_not_know_are_enumeration_and_no_success_follows(connection):
    unknown = {**KERBEROS, "status_detail": "no such user"}
    tries = [logon(i, "Failure", "10.0.7.7", f"user{i}", **unknown) for i in range(12)]
    rows = run(connection, logons=[*tries, logon(20, "Success", "10.0.7.7", "carol", **KERBEROS)])
    assert [(row["rule"], row["techniques"]) for row in rows] == [("account_enumeration", ["T1087.002"])]


def test_a_ticket_without_pre_authentication_is_no_success_after_spraying(connection):
    wrong = {**KERBEROS, "status_detail": "wrong password"}
    tries = [logon(i, "Failure", "10.0.7.7", f"user{i}", **wrong) for i in range(12)]
    free = logon(20, "Success", "10.0.7.7", "free", **KERBEROS, status_detail="no pre-authentication")
    right = logon(30, "Success", "10.0.7.7", "right", **KERBEROS)
    rows = run(connection, logons=[*tries, free, right])
    won = next(row for row in rows if row["rule"] == "success_after_guessing")
    assert (set(rules(rows)), len(won["records"])) == ({"password_spraying", "success_after_guessing"}, 1)
    assert json.loads(won["why"])["counts"]["account"] == "right"


def test_the_end_of_a_session_is_no_logon(connection):
    tries = [logon(i, "Failure") for i in range(20)]
    rows = run(connection, logons=[*tries, logon(30, "Success", activity_name="Logoff")])
    assert rules(rows) == ["password_guessing_outside"]


# Web


def test_a_search_for_content_is_found_and_a_browser_is_not(connection):
    search = [request(i, f"/backup{i}.zip", 404) for i in range(30)]
    browser = [request(i, f"/page{i % 9}", 200, "203.0.113.77") for i in range(60)]
    missing = [request(i, "/favicon.ico", 404, "203.0.113.77") for i in range(60)]
    rows = run(connection, requests=[*search, *browser, *missing])
    assert [(row["rule"], row["source"]["value"]) for row in rows] == [("web_content_search", OUTSIDE)]


def test_a_request_for_the_bare_address_is_a_probe_and_one_for_the_site_is_not(connection):
    bare = request(0, "/", 404, http_request_url_hostname=SERVER)
    site = request(0, "/", 404, "203.0.113.77", http_request_url_hostname="www.example.org")
    inside = request(0, "/", 404, "10.0.7.7", http_request_url_hostname=SERVER)
    rows = run(connection, requests=[bare, site, inside])
    assert [(row["rule"], row["source"]["value"]) for row in rows] == [("web_probe", OUTSIDE)]


def test_reading_only_the_greeting_of_a_server_is_no_try(connection):
    logons = [logon(i, "Unknown", user=None, connection_info_uid=f"C{i}") for i in range(20)]
    greeting = {"traffic_bytes_out": 0, "traffic_bytes_in": 42, "unmapped_conn_state": "SF"}
    flows = [flow(i, OUTSIDE, SERVER, 22, **greeting, connection_info_uid=f"C{i}") for i in range(20)]
    assert set(rules(run(connection, logons=logons, flows=flows))) == {"login_service_visit", "unasked_probe"}


# Everything


def everything() -> dict:
    return {
        "flows": [flow(i, OUTSIDE, f"10.0.1.{i % 7}", 400 + i % 30, **FAILED) for i in range(200)],
        "logons": [logon(i, "Failure", user="a\n\u202e\x1f") for i in range(20)]
        + [logon(40, "Success", user="a\n\u202e\x1f")],
        "requests": [request(i, f"/x{i}", 404) for i in range(30)],
    }


def test_ids_are_those_of_the_schema_and_do_not_depend_on_batches_or_order(connection):
    rows = run(connection, **everything())
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert row["id"] == finding_id(row["rule_id"], row["records"])


def test_vocabulary_and_why_tree(connection):
    for row in run(connection, **everything()):
        assert row["severity"] in SEVERITIES
        assert row["outcome"] in OUTCOMES
        assert row["confidence"] in CONFIDENCES
        assert row["vector"] in VECTORS
        assert {"means", "counts", "thresholds", "first", "last"} <= set(json.loads(row["why"]))


def test_each_rule_is_listed_once():
    names = [rule.name for analytic in ANALYTICS for rule in analytic.rules]
    assert len(set(names)) == len(names)


def test_nothing_in_nothing_out(connection):
    assert run(connection) == []


# Own networks


def test_a_server_that_the_world_connects_to_is_inferred_to_be_own_and_said_so(connection):
    flows = [flow(i, f"198.51.100.{i}", "192.0.2.80", 80, **ANSWERED) for i in range(100)]
    flows += [flow(i, "192.0.2.80", "203.0.113.53", 53, **ANSWERED) for i in range(100)]
    read = read_once({"network_activity": table(connection, NETWORK_ACTIVITY, flows)}, batches, hold)
    own = infer_own((), read, batches, hold)
    assert own.inferred
    assert "192.0.2.80/32" in own.networks
    assert "203.0.113.53/32" not in own.networks
    assert "inferred" in own.statement
    assert infer_own(["192.0.2.0/24"], read, batches, hold).networks == ("192.0.2.0/24",)


@pytest.mark.parametrize(
    ("address", "network", "inside"),
    [
        ("10.255.255.255", "10.0.0.0/8", True),
        ("11.0.0.0", "10.0.0.0/8", False),
        ("035.249.253.232", "10.0.0.0/8", False),
        ("hostname", "0.0.0.0/0", False),
        (None, "0.0.0.0/0", False),
        ("2001:db8:7::1", "2001:db8::/32", True),
        ("2001:db80::1", "2001:db8::/32", False),
        ("fe80::1", "fe80::/10", True),
        ("fd12:3456::1", "fc00::/7", True),
        ("172.31.255.255", "172.16.0.0/12", True),
        ("172.32.0.0", "172.16.0.0/12", False),
        ("10.999.0.1", "10.0.0.0/8", False),
        ("10.0.0.1\n", "10.0.0.0/8", False),
        ("192.0.2.128", "192.0.2.129/32", False),
        ("192.0.2.129", "192.0.2.128/25", True),
        ("2001:db8::5", "2001:db8::5/128", True),
        ("2001:db8::50", "2001:db8::5/128", False),
    ],
)
def test_within(connection, address, network, inside):
    row = connection.create_table("one", pa.table({"a": pa.array([address], pa.string())}), overwrite=True, temp=True)
    assert within(row.a, [network]).name("x").to_pyarrow().to_pylist() == [inside]


def test_a_network_that_is_none_is_bad_input():
    with pytest.raises(BadInput, match="not a network"):
        own_networks(["10.0.0.0/33"])
