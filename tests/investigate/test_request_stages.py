"""A Kubernetes request whose stages lie in two files is one finding, whichever file came first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from whole_run import command

from casemate.case import Case

RULE = """
title: A pod was changed
id: 7a1b0b3a-4d6c-4f0e-9a51-6d5b0b6f0a77
logsource:
  product: kubernetes
  service: audit
detection:
  selection:
    verb: create
    objectRef.resource: pods
  condition: selection
level: medium
"""
EVENT: dict[str, Any] = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "auditID": "a-1",
    "stage": "ResponseComplete",
    "verb": "create",
    "requestURI": "/api/v1/namespaces/prod/pods",
    "user": {"username": "al"},
    "sourceIPs": ["192.0.2.4"],
    "objectRef": {"resource": "pods", "namespace": "prod", "name": "p"},
    "requestReceivedTimestamp": "2024-03-04T05:06:07.123456Z",
}


def log(*events: dict[str, Any]) -> str:
    return "".join(json.dumps({**EVENT, **event}) + "\n" for event in events)


FILES = (
    log({"stage": "RequestReceived"}, {"auditID": "b-2", "verb": "get"}),
    log({"stage": "ResponseStarted"}, {"auditID": "c-3", "verb": "get"}),
    log({}, {"auditID": "d-4", "verb": "get"}),
)


def rows_of(case: Case, table: str) -> list[dict[str, Any]]:
    return [row for part in case.part_paths(table) for row in pq.read_table(part).to_pylist()]


def found(path: Path) -> list[tuple[str, str, int]]:
    with Case.open(path) as case:
        names = {row["id"] for row in rows_of(case, "findings") if row["rule_id"].startswith("7a1b")}
        return sorted(
            (row["finding"], row["evidence"], row["record"])
            for row in rows_of(case, "finding_records")
            if row["finding"] in names
        )


@pytest.mark.parametrize("together", [True, False])
def test_stages_in_several_files_are_one_finding_in_any_order(tmp_path: Path, together: bool) -> None:
    (tmp_path / "rule.yml").write_text(RULE)
    seen = []
    for number, order in enumerate([(0, 1, 2), (2, 1, 0)] if together else [(0, 2, 1)]):
        folder, case = tmp_path / f"in{number}", tmp_path / f"case{number}"
        folder.mkdir()
        for place, which in enumerate(order):
            (folder / f"{place}.log").write_text(FILES[which])
            if not together:
                done = command("investigate", folder, "--case", case, "--rules", tmp_path / "rule.yml", "-q")
                assert done.code == 0, done
        if together:
            command("investigate", folder, "--case", case, "--rules", tmp_path / "rule.yml", "-q")
        seen.append(found(case))
        with Case.open(case) as opened:
            marked = [row for row in rows_of(opened, "kubernetes_audit") if row["superseded"]]
            assert len(marked) == 2
            notes = [note for row in rows_of(opened, "evidence") for note in row["notes"]]
            assert len([note for note in notes if "holds a later stage: 1" in note]) == 2
        assert command("custody", "verify", "--case", case).code == 0
    assert all(len(one) == 1 for one in seen)
    assert len({one[0] for one in seen}) == 1


def test_a_request_is_not_hidden_by_another_one_of_the_same_id(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(RULE)
    (tmp_path / "a.log").write_text(log({"stage": "ResponseStarted"}, {"auditID": "b-2", "verb": "get"}))
    (tmp_path / "b.log").write_text(log({"verb": "get", "requestURI": "/healthz"}, {"auditID": "c-3", "verb": "get"}))
    for name in ("a.log", "b.log"):
        command("investigate", tmp_path / name, "--case", tmp_path / "case", "--rules", tmp_path / "rule.yml", "-q")
    assert len(found(tmp_path / "case")) == 1
