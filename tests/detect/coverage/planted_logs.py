"""Logs with known faults: a gap, a cleared log, missing numbers, a clock that is wrong by 41 minutes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
WS1, WS2 = "ws1.lab.example", "ws2.lab.example"
SYSMON = ("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon")
SECURITY = ("Security", "Microsoft-Windows-Security-Auditing")
OFF = timedelta(minutes=41)
GAP = (START + timedelta(hours=60), START + timedelta(hours=90))
HOLE = range(400, 440)


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event(host: str, source: tuple[str, str], number: int, code: int, time: datetime, **fields: Any) -> dict[str, Any]:
    """An event as winlogbeat exports it."""
    return {
        "@timestamp": stamp(time),
        "winlog": {
            "channel": source[0],
            "provider_name": source[1],
            "event_id": str(code),
            "record_id": number,
            "computer_name": host,
            "event_data": {name: str(value) for name, value in fields.items()},
        },
    }


def connection(host: str, number: int, time: datetime, port: int) -> dict[str, Any]:
    ends = {"SourceIp": "10.0.0.1", "SourcePort": port, "DestinationIp": "10.0.0.2", "DestinationPort": 445}
    return event(
        host, SYSMON, number, 3, time, Image="C:\\x.exe", Protocol="tcp", Initiated=str(host == WS1).lower(), **ends
    )


def windows() -> list[dict[str, Any]]:
    """Two hosts that talk; Sysmon of the first lacks the numbers of HOLE, its Security log was cleared."""
    rows = []
    for place in range(864):  # every ten minutes for six days
        time = START + timedelta(minutes=10 * place)
        if place + 1 not in HOLE:
            rows.append(connection(WS1, place + 1, time, 40_000 + place))
        rows.append(connection(WS2, 5_000 + place, time + OFF, 40_000 + place))
    rows += [
        event(WS1, SECURITY, 70 + place, 4624, START + timedelta(hours=place), TargetUserName="alice", LogonType=3)
        for place in range(100)
    ]
    cleared = ("Security", "Microsoft-Windows-Eventlog")
    rows.append(event(WS1, cleared, 170, 1102, START + timedelta(hours=100), SubjectUserName="mallory"))
    return rows


def syslog() -> list[str]:
    """A busy host with thirty hours of silence, and one that is bursty by nature."""
    lines = []
    for place in range(2_880):
        time = START + timedelta(minutes=5 * place)
        if not GAP[0] < time < GAP[1]:
            lines.append((time, f"<38>1 {stamp(time)} busy cron 1 - - run {place}"))
    for place in range(120):
        # bursts of five, whole days and hours apart
        time = START + timedelta(hours=(place // 5) ** 2 * 0.41, seconds=place)
        lines.append((time, f"<38>1 {stamp(time)} bursty backup 1 - - run {place}"))
    lines.append((START, f"<38>1 {stamp(START)} lonely kernel - - - booted"))
    return [line for _, line in sorted(lines)]


def audit() -> list[str]:
    """Serials in order, five of them absent, and a reboot that begins them anew."""
    lines = []
    for place in range(400):
        serial = 8_000 + place if place < 200 else place - 150
        if 8_100 <= serial < 8_105:
            continue
        seconds = (START + timedelta(minutes=place)).timestamp()
        lines.append(f"node=web1 type=USER_CMD msg=audit({seconds:.3f}:{serial}): pid=1 uid=0 res=success")
    return lines


def journal() -> list[dict[str, str]]:
    """Entries whose cursors lack three numbers."""
    entries = []
    for number in range(0x0FE0, 0x1080):
        if number in (0x1000, 0x1001, 0x1002):
            continue
        time = int((START + timedelta(minutes=number - 0x0FE0)).timestamp() * 1_000_000)
        cursor = f"s=6f0a1b;i={number:x};b=77aa;m=1;t={time:x};x=1"
        entries.append({"__CURSOR": cursor, "__REALTIME_TIMESTAMP": str(time), "_HOSTNAME": "db1", "MESSAGE": "m"})
    return entries


def write(folder: Path) -> Path:
    """All of them as files in a new folder."""
    folder.mkdir()
    _lines(folder / "windows.ndjson", map(json.dumps, windows()))
    _lines(folder / "syslog.log", syslog())
    _lines(folder / "audit.log", audit())
    _lines(folder / "journal.json", map(json.dumps, journal()))
    return folder


def _lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
