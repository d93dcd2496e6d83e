"""Alerts of Suricata become findings in bursts, and say nothing twice that a signature of ours says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from casemate.detect.signatures.doublepulsar import DOUBLEPULSAR
from casemate.detect.signatures.findings import findings
from casemate.detect.signatures.model import MODIFIED, Event
from casemate.detect.signatures.suricata import COLUMNS, bursts

START = datetime(2024, 4, 1, 12, tzinfo=UTC)


def alert(record: int, minute: Any = 0, **changes: Any) -> dict:
    row = dict.fromkeys(COLUMNS)
    row |= {
        "evidence": "e" * 64, "record": record, "time": START + timedelta(minutes=minute), "event_type": "alert",
        "src_ip": "198.51.100.7", "src_port": "40000", "dest_ip": "10.0.0.5", "dest_port": "445", "proto": "TCP",
        "alert.action": "allowed", "alert.gid": "1", "alert.signature_id": "9", "alert.rev": "2",
        "alert.signature": "LAB something odd", "alert.severity": "1",
    }  # fmt: skip
    return {**row, **changes}


def made(*rows: dict, events: tuple[Event, ...] = ()) -> list[dict]:
    return findings(events, bursts(rows))[0].to_pylist()


def test_alerts_of_one_burst_are_one_finding_and_a_pause_begins_another():
    first, second = sorted(made(alert(1), alert(2, 4), alert(3, 30)), key=lambda row: row["time"])
    assert (first["rule_id"], first["severity"], first["outcome"]) == ("suricata.1.9", "high", "unknown")
    assert first["source"]["value"] == "198.51.100.7"
    assert first["target"] == {"kind": "address", "value": "10.0.0.5", "service": "445/tcp"}
    assert json.loads(first["why"])["alerts"] == 2
    assert second["time"] == START + timedelta(minutes=30)


def test_an_alert_on_the_answer_names_the_client_as_source():
    answer = {"src_ip": "10.0.0.5", "src_port": "445", "dest_ip": "198.51.100.7", "dest_port": "40000"}
    for more in (
        {"direction": "to_client"},
        {"flow.src_ip": "198.51.100.7", "flow.dest_ip": "10.0.0.5", "flow.dest_port": "445"},
    ):
        (row,) = made(alert(1, **answer, **more))
        assert (row["source"]["value"], row["target"]["value"], row["target"]["service"]) == (
            "198.51.100.7",
            "10.0.0.5",
            "445/tcp",
        )


def test_blocked_is_said_only_where_all_were():
    assert made(alert(1, **{"alert.action": "blocked"}))[0]["outcome"] == "blocked"
    assert made(alert(1, **{"alert.action": "blocked"}), alert(2, 1))[0]["outcome"] == "unknown"


def test_techniques_and_tactics_are_taken_from_the_rule():
    metadata = {
        "alert.metadata.mitre_technique_id": "T1210\nT1021.002",
        "alert.metadata.mitre_tactic_name": "Lateral_Movement",
    }
    (row,) = made(alert(1, **metadata))
    assert (row["techniques"], row["tactics"]) == (["T1021.002", "T1210"], ["lateral-movement"])


def test_what_ours_says_already_is_told_there():
    event = Event(
        DOUBLEPULSAR, MODIFIED, "succeeded", "because", "high", (), "f" * 64, (4,), "198.51.100.7", "10.0.0.5", "445",
        START, START + timedelta(minutes=1),
    )  # fmt: skip
    rows = made(
        alert(1, **{"alert.signature": "LAB DOUBLEPULSAR response"}),
        alert(2, **{"alert.signature_id": "10"}),
        events=(event,),
    )
    assert sorted(row["detector"] for row in rows) == ["signature", "suricata"]
    ours = next(row for row in rows if row["detector"] == "signature")
    assert json.loads(ours["why"])["also"][0]["records"] == [f"{'e' * 64}:1"]
    late = alert(1, 600, **{"alert.signature": "LAB DOUBLEPULSAR response"})
    assert len(made(late, events=(event,))) == 2
    elsewhere = alert(1, dest_port="8445", **{"alert.signature": "LAB DOUBLEPULSAR response"})
    assert len(made(elsewhere, events=(event,))) == 2
    answer = {"src_ip": "10.0.0.5", "src_port": "445", "dest_ip": "198.51.100.7", "dest_port": "40000"}
    assert len(made(alert(1, **answer, **{"alert.signature": "LAB DOUBLEPULSAR response"}), events=(event,))) == 1
