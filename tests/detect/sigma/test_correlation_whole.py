"""Correlations from rule files and logs to findings, compared with the plain evaluator.

The rules lie about as people write them: several documents in one file, a file for each, ids in capitals,
names, fields by the names the rules use (which the logs do not), one rule referred to alone.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from casemate.case import Case
from casemate.engine.duckdb import DuckDBEngine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "oracle"))
from correlation_oracle import Match, correlate, text_of  # pyright: ignore[reportMissingImports]

START = datetime(2026, 5, 1, tzinfo=UTC)
SECONDS = 600
ADDRESSES = ("10.0.0.1", "10.0.0.2", "192.0.2.7")
USERS = ("eve", "bob", None)
PARTS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    # name: id, rule, Sigma field -> key of the generated event
    "failed": (
        "0a000000-0000-4000-8000-000000000001",
        {
            "logsource": {"product": "windows", "service": "security"},
            "detection": {"s": {"EventID": 4625}, "condition": "s"},
        },
        {"IpAddress": "address", "TargetUserName": "user", "Bytes": "number"},
    ),
    "opened": (
        "0A000000-0000-4000-8000-00000000000B",
        {
            "logsource": {"product": "windows", "service": "security"},
            "detection": {"s": {"EventID": 4624}, "condition": "s"},
        },
        {"IpAddress": "address", "TargetUserName": "user", "Bytes": "number"},
    ),
    "sent": (
        "0a000000-0000-4000-8000-000000000003",
        {"logsource": {"category": "firewall"}, "detection": {"s": {"dst_port": 443}, "condition": "s"}},
        {"src_ip": "address", "orig_bytes": "number"},
    ),
}
SAME: dict[str, dict[str, str]] = {
    # alias -> rule -> field
    "who": {"failed": "IpAddress", "opened": "IpAddress", "sent": "src_ip"},
    "size": {"failed": "Bytes", "opened": "Bytes", "sent": "orig_bytes"},
}
KINDS = (
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
    "temporal",
    "temporal_ordered",
)
CONDITIONS: tuple[dict[str, Any], ...] = (
    {"gt": 2},
    {"gte": 3},
    {"lt": 2},
    {"lte": 1},
    {"eq": 2},
    {"neq": 1},
    {"gte": 2, "lt": 4},
    {"gt": 1.5, "lte": 40},
)
TREES: tuple[Any, ...] = (
    ("and", "failed", "opened"),
    ("and", "failed", ("not", "opened")),
    ("or", ("and", "failed", "sent"), ("and", "opened", ("not", "failed"))),
    ("not", ("or", "failed", "opened")),
    "sent",
)


def events(draw: random.Random) -> list[dict[str, Any]]:
    """In order of time, several at one time; not all have a user or a number."""
    found = [
        {
            "rule": draw.choice(list(PARTS)),
            "time": draw.randrange(SECONDS),
            "address": draw.choice(ADDRESSES),
            "user": draw.choice(USERS),
            "number": draw.choice((None, "0", "3", "7", "19", "250")),
        }
        for _ in range(240)
    ]
    return sorted(found, key=lambda event: event["time"])


def write_logs(folder: Path, given: list[dict[str, Any]]) -> None:
    windows, zeek = [], []
    for event in given:
        time = START + timedelta(seconds=event["time"])
        if event["rule"] == "sent":
            line = {"ts": time.timestamp(), "uid": "C1", "id.orig_h": event["address"], "id.orig_p": 40000}
            line |= {"id.resp_h": "198.51.100.9", "id.resp_p": 443, "proto": "tcp", "orig_bytes": event["number"]}
            line["_path"] = "conn"
            zeek.append(line)
        else:
            line = {"SourceName": "Microsoft-Windows-Security-Auditing", "Channel": "Security", "Hostname": "dc"}
            line |= {"EventID": 4625 if event["rule"] == "failed" else 4624, "@timestamp": time.isoformat()}
            line |= {"IpAddress": event["address"], "TargetUserName": event["user"], "Bytes": event["number"]}
            windows.append(line)
        event["record"] = len(zeek if event["rule"] == "sent" else windows)
        event["log"] = "zeek" if event["rule"] == "sent" else "windows"
    for name, lines in (("windows", windows), ("zeek", zeek)):
        kept = [{key: value for key, value in line.items() if value is not None} for line in lines]
        (folder / f"{name}.json").write_text("".join(json.dumps(line) + "\n" for line in kept))


def correlation(draw: random.Random, number: int) -> dict[str, Any]:
    """Any kind, over any of the rules (or over another correlation), grouped by what they share or not at all."""
    kind = KINDS[number % len(KINDS)]
    rules = draw.sample(list(PARTS), draw.choice((1, 2, 3)))
    body: dict[str, Any] = {
        "type": kind,
        "rules": rules,
        "timespan": draw.choice(("1s", "10s", "1m", "1h", "30d")),
        "aliases": SAME,
    }
    if draw.random() < 0.7:
        body["group-by"] = ["who"]
    condition = dict(draw.choice(CONDITIONS))
    if kind.startswith("temporal"):
        shape = draw.random()
        if shape < 0.4:
            body["condition"] = draw.choice(TREES)
            del body["rules"]
        elif shape < 0.7:
            body["condition"] = condition
    else:
        if kind != "event_count":
            condition["field"] = "size"
        if kind == "value_percentile":
            condition["percentile"] = draw.choice((0, 50, 90, 100))
        body["condition"] = condition
    return {"title": f"c{number}", "name": f"c{number}", "correlation": body}


def as_written(document: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """One of the forms a person may write it in."""
    body = dict(document["correlation"])
    if not isinstance(body.get("condition", {}), dict):
        body["condition"] = text_of(body["condition"])
        return document | {"correlation": body}
    ids = {name: part[0] for name, part in PARTS.items()}
    form: Callable[[str], str] = draw.choice(
        (str, lambda name: ids.get(name, name), lambda name: ids.get(name, name).upper() if name in ids else name)
    )
    body["rules"] = [form(name) for name in body["rules"]]
    if len(body["rules"]) == 1 and draw.random() < 0.5:
        body["rules"] = body["rules"][0]
    body["aliases"] = {alias: {form(rule): field for rule, field in fields.items()} for alias, fields in SAME.items()}
    if len(body.get("group-by", [])) == 1 and draw.random() < 0.5:
        body["group-by"] = body["group-by"][0]
    return document | {"correlation": body}


def write_rules(folder: Path, documents: list[dict[str, Any]], draw: random.Random) -> None:
    parts = [{"title": name, "name": name, "id": part[0], **part[1]} for name, part in PARTS.items()]
    both = [*parts, *(as_written(document, draw) for document in documents)]
    draw.shuffle(both)
    while both:
        count = draw.choice((1, 1, 4))
        together, both = both[:count], both[count:]
        (folder / f"{together[0]['name']}.yml").write_text(yaml.safe_dump_all(together, sort_keys=False))


def found_by_rule(path: Path) -> dict[str, list[list[tuple[str, int]]]]:
    """Title of a rule -> the records of each of its findings."""
    with Case.open(path) as case:
        names = {row["evidence"]: row["path"] for row in _rows(case, "registrations")}
        titles = {row["id"]: row["title"] for row in _rows(case, "findings")}
        held: dict[str, list[tuple[str, int]]] = {}
        for row in _rows(case, "finding_records"):
            held.setdefault(row["finding"], []).append((Path(names[row["evidence"]]).stem, row["record"]))
    by_title: dict[str, list[list[tuple[str, int]]]] = {}
    for identity, records in held.items():
        by_title.setdefault(titles[identity], []).append(sorted(records))
    return {title: sorted(records) for title, records in by_title.items()}


def _rows(case: Case, table: str) -> list[dict[str, Any]]:
    return [row for part in case.part_paths(table) for row in pq.read_table(part).to_pylist()]


@pytest.mark.parametrize("seed", [1])
def test_from_files_to_findings_as_the_oracle_says(tmp_path: Path, investigator: Callable[..., Any], seed: int) -> None:
    draw = random.Random(seed)
    given = events(draw)
    logs, rules = tmp_path / "logs", tmp_path / "rules"
    logs.mkdir()
    rules.mkdir()
    write_logs(logs, given)
    documents = [correlation(draw, number) for number in range(48)]
    chained = {"type": "temporal_ordered", "rules": ["c0", "opened"], "timespan": "1m", "aliases": {}}
    documents[-1] = {"title": "chain", "name": "chain", "correlation": chained}
    write_rules(rules, documents, draw)
    path, _ = investigator(logs, rules=(rules,), engine=DuckDBEngine())
    matches: dict[str, list[Match]] = {name: [] for name in PARTS}
    for event in given:
        fields = {field: event[key] for field, key in PARTS[event["rule"]][2].items() if event[key] is not None}
        matches[event["rule"]].append(Match(event["log"], event["record"], event["time"], fields))
    found = found_by_rule(path)
    by_name = {document["name"]: document for document in documents}
    for name in by_name:
        wanted = sorted(sorted(run.records) for run in correlate(by_name, matches, name))
        if name != "c0":  # which only feeds the chain
            assert (name, found.get(name, [])) == (name, wanted)
