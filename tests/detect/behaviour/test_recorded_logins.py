"""From the log as recorded to the finding: the records of real formats carry what the analytics need."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from casemate.case import Case
from casemate.engine.protocol import Engine
from casemate.settings import Settings

SETTINGS = Settings(name="recorded")

START_MINUTE = "2026-03-01T04:{:02d}:{:02d}Z"


def console_login(number: int, user: str, said: str) -> dict:
    """An event of the documented form (AWS CloudTrail User Guide, "AWS Management Console sign-in events")."""
    failed = said == "Failure"
    return {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDACKCEVSQ6C2EXAMPLE",
            "accountId": "123456789012",
            "accessKeyId": "",
            "userName": user,
        },
        "eventTime": START_MINUTE.format(number * 5 // 60, number * 5 % 60),
        "eventSource": "signin.amazonaws.com",
        "eventName": "ConsoleLogin",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.9",
        "userAgent": "Mozilla/5.0",
        **({"errorMessage": "Failed authentication"} if failed else {}),
        "requestParameters": None,
        "responseElements": {"ConsoleLogin": said},
        "additionalEventData": {"LoginTo": "https://console.aws.amazon.com/", "MFAUsed": "No"},
        "eventID": f"e-{number}",
        "readOnly": False,
        "eventType": "AwsConsoleSignIn",
        "managementEvent": True,
        "recipientAccountId": "123456789012",
    }


def rules_of(case: Path) -> dict[str, dict]:
    with Case.open(case) as opened:
        rows = [row for path in opened.part_paths("findings") for row in pq.read_table(path).to_pylist()]
    found = [row for row in rows if row["detector"].startswith("behaviour.")]
    return {row["rule_id"].rpartition(".")[2]: row for row in found}


def test_a_console_login_after_failures_of_the_same_user(investigator, tmp_path: Path) -> None:
    events = [console_login(number, "alice", "Failure") for number in range(12)]
    events.append(console_login(14, "alice", "Success"))
    log = tmp_path / "trail.json"
    log.write_text(json.dumps({"Records": events}))
    case, _ = investigator(log)
    found = rules_of(case)
    assert set(found) == {"password_guessing_outside", "success_after_guessing"}
    won = found["success_after_guessing"]
    assert (won["outcome"], won["target"]["value"], won["target"]["service"]) == (
        "succeeded",
        "123456789012",
        "aws_console",
    )


def test_a_user_who_mistypes_at_the_console_is_not_named(investigator, tmp_path: Path) -> None:
    log = tmp_path / "trail.json"
    log.write_text(
        json.dumps(
            {"Records": [console_login(n, "alice", said) for n, said in enumerate(["Failure", "Failure", "Success"])]}
        )
    )
    case, _ = investigator(log)
    assert rules_of(case) == {}


def access_line(second: int, request: str, status: int, user: str = "-") -> str:
    time = f"01/Mar/2026:04:00:{second:02d} +0000"
    return f'203.0.113.9 - {user} [{time}] "{request} HTTP/1.1" {status} 512 "-" "Mozilla/5.0"\n'


def test_web_logins_in_an_access_log(investigator, tmp_path: Path) -> None:
    form = tmp_path / "access.log"
    lines = [access_line(n, "POST /wp-login.php", 200) for n in range(20)]
    form.write_text(
        "".join([*lines, access_line(30, "POST /wp-login.php", 302), access_line(31, "GET /wp-admin/", 200)])
    )
    case, _ = investigator(form)
    won = rules_of(case)["success_after_guessing"]
    assert (won["confidence"], won["outcome"]) == ("low", "succeeded")


def test_a_form_that_always_sends_the_browser_on_says_nothing(investigator, tmp_path: Path) -> None:
    form = tmp_path / "access.log"
    form.write_text("".join(access_line(n, "POST /login", 302) for n in range(40)))
    case, _ = investigator(form)
    assert "success_after_guessing" not in rules_of(case)


def explicit_use(second: int, user: str) -> str:
    """A 4648 as Winlogbeat and others flatten it."""
    event = {
        "EventID": 4648,
        "Channel": "Security",
        "SourceName": "Microsoft-Windows-Security-Auditing",
        "EventTime": f"2026-03-01 04:00:{second:02d}",
        "Hostname": "desk7",
        "Computer": "desk7",
        "SubjectUserName": "mallory",
        "TargetUserName": user,
        "TargetServerName": "dc1",
        "ProcessName": "C:\\tools\\spray.exe",
        "IpAddress": "-",
        "EventRecordID": second + 1,
        "@timestamp": f"2026-03-01T04:00:{second:02d}.000Z",
    }
    return json.dumps(event) + "\n"


def ping(second: int) -> str:
    record = {
        "_path": "conn", "ts": 1772337600.0 + second, "uid": f"C{second}", "id.orig_h": "203.0.113.8", "id.orig_p": 8,
        "id.resp_h": f"10.0.1.{second}", "id.resp_p": 0, "proto": "icmp", "conn_state": "OTH", "orig_pkts": 1,
        "resp_pkts": 0, "orig_bytes": 56, "resp_bytes": 0,
    }  # fmt: skip
    return json.dumps(record) + "\n"


def herd_line(number: int, said: str = "Failed", source: str | None = None) -> str:
    address = source or f"198.{number + 20}.7.9"
    time = f"2026-03-01T04:{number:02d}:00+00:00"
    return f"{time} gw1 sshd[{number}]: {said} password for carol from {address} port 4 ssh2\n"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """One folder of small logs, each with one behaviour."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    events = [console_login(number, "alice", "Failure") for number in range(12)]
    (folder / "trail.json").write_text(json.dumps({"Records": [*events, console_login(14, "alice", "Success")]}))
    form = [*(access_line(n, "POST /wp-login.php", 200) for n in range(20)), access_line(30, "POST /wp-login.php", 302)]
    (folder / "access.log").write_text("".join(form))
    (folder / "desk7.json").write_text("".join(explicit_use(n, f"user{n % 15}") for n in range(45)))
    (folder / "conn.log").write_text("".join(ping(n) for n in range(30)))
    herd = [herd_line(0, "Accepted", "10.0.7.7"), *(herd_line(n) for n in range(1, 40))]
    (folder / "auth.log").write_text("".join(herd))
    return folder


def test_each_recorded_behaviour_is_found(investigator, recorded: Path) -> None:
    case, _ = investigator(recorded, settings=SETTINGS)
    assert {
        "distributed_guessing_known",
        "horizontal_scan",
        "password_spraying_explicit",
        "success_after_guessing",
    } <= set(rules_of(case))


@pytest.mark.spark
def test_a_cluster_says_the_same(investigator, recorded: Path, spark: Engine) -> None:
    def hashes(path: Path) -> dict[str, str]:
        with Case.open(path) as case:
            return {table: case.row_hash(table) for table in case.tables() if table != "registrations"}

    here, report = investigator(recorded, name="here", settings=SETTINGS)
    there, other = investigator(recorded, name="there", engine=spark, settings=SETTINGS)
    assert report.behaviour_findings == other.behaviour_findings > 0
    assert hashes(there) == hashes(here)
