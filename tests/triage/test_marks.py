"""Verdicts: kept as custody lines, folded into one table, followed by later findings on the same records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from casemate.case import CUSTODY, Case
from casemate.errors import BadInput
from casemate.evidence.custody import intact_lines
from casemate.evidence.verify import verify
from casemate.schema.findings import FINDING_RECORDS, FINDINGS, finding_id
from casemate.triage import Change, annotations_of, mark, mark_lines, rebuild
from casemate.triage.subjects import RANGES_KEPT, records_of

EVIDENCE = "ab" * 32
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """An empty case, open for writing."""
    with Case.create(tmp_path / "case") as made:
        yield made


def put(case: Case, *findings: tuple[str, Sequence[int]]) -> list[str]:
    """Make these (rule, records) the findings of the case; their ids."""
    rows: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for rule, numbers in findings:
        name = finding_id(rule, [(EVIDENCE, number) for number in numbers])
        texts = {field.name: "x" for field in FINDINGS if field.type == pa.string()}
        rows.append({**texts, "id": name, "rule_id": rule, "time": START, "techniques": [], "tactics": []})
        records += [{"finding": name, "evidence": EVIDENCE, "record": number} for number in numbers]
    stage = case.stage()
    stage.write("findings", FINDINGS, pa.Table.from_pylist(rows, FINDINGS).to_batches())
    stage.write("finding_records", FINDING_RECORDS, pa.Table.from_pylist(records, FINDING_RECORDS).to_batches())
    case.commit(stage, remove=[*case.live_parts("findings"), *case.live_parts("finding_records")])
    rebuild(case)
    return [row["id"] for row in rows]


def test_a_mark_says_what_who_and_when(case: Case) -> None:
    (name,) = put(case, ("rule", [1, 2]))
    mark(case, [name[:6]], Change("benign", note="the backup job", tags=("b", "a")), "ann")
    said = annotations_of(case)[name]
    assert (said.verdict, said.note, said.tags, said.marked_by) == ("benign", "the backup job", ("a", "b"), "ann")
    assert said.inherited_from is None
    assert said.present


def test_later_lines_correct_and_the_history_stays(case: Case) -> None:
    (name,) = put(case, ("rule", [1]))
    mark(case, [name], Change("true", note="sure", tags=("x",)), "ann")
    mark(case, [name], Change("false", untags=("x",)), "bob")
    said = annotations_of(case)[name]
    assert (said.verdict, said.note, said.tags, said.marked_by) == ("false", "sure", (), "bob")
    mark(case, [name], Change(cleared=True), "bob")
    assert name not in annotations_of(case)
    assert [line.change.verdict for line in mark_lines(case)] == ["true", "false", None]


def test_a_verdict_follows_a_later_finding_that_shares_a_record(case: Case) -> None:
    (old,) = put(case, ("rule", [1, 2, 3]))
    mark(case, [old], Change("false", note="n"), "ann")
    grown, other_rule, elsewhere = put(case, ("rule", [3, 4]), ("another", [3]), ("rule", [9]))
    said = annotations_of(case)
    assert (said[grown].verdict, said[grown].inherited_from) == ("false", old)
    assert other_rule not in said
    assert elsewhere not in said
    assert not said[old].present


def test_a_finding_that_stood_beside_the_marked_one_does_not_follow(case: Case) -> None:
    first, beside = put(case, ("rule", [1, 2]), ("rule", [2, 3]))
    mark(case, [first], Change("false"), "ann")
    assert beside not in annotations_of(case)


def test_the_last_of_several_marked_ones_is_followed(case: Case) -> None:
    one, two = put(case, ("rule", [1]), ("rule", [2]))
    mark(case, [two], Change("true"), "ann")
    mark(case, [one], Change("false"), "ann")
    (merged,) = put(case, ("rule", [1, 2]))
    assert annotations_of(case)[merged].verdict == "false"


def test_a_following_finding_can_be_corrected_on_its_own(case: Case) -> None:
    (old,) = put(case, ("rule", [1]))
    mark(case, [old], Change("false", tags=("t",)), "ann")
    (grown,) = put(case, ("rule", [1, 2]))
    mark(case, [grown], Change(note="still"), "bob")
    said = annotations_of(case)[grown]
    assert (said.verdict, said.tags, said.note, said.inherited_from) == ("false", ("t",), "still", None)
    mark(case, [grown], Change(cleared=True), "bob")
    assert grown not in annotations_of(case)
    assert annotations_of(case)[old].verdict == "false"


def test_the_table_comes_from_the_custody_log_alone(case: Case) -> None:
    (old,) = put(case, ("rule", [1, 2]))
    mark(case, [old], Change("false"), "ann")
    put(case, ("rule", [2, 3]))
    before = annotations_of(case)
    case.commit(remove=case.live_parts("annotations"), facts={"phase": "annotations", "inputs": None})
    assert not annotations_of(case)
    rebuild(case)
    assert annotations_of(case) == before
    assert verify(case.path).holds


@pytest.mark.parametrize(
    "change",
    [
        Change(),
        Change("maybe"),
        Change("duplicate"),
        Change("true", of="ab"),
        Change(note="n" * 10_001),
        Change(tags=("two\nlines",)),
        Change(tags=("",)),
        Change(tags=tuple(map(str, range(51)))),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_written(case: Case, change: Change) -> None:
    (name,) = put(case, ("rule", [1]))
    lines = sum(1 for _ in intact_lines(case.path / CUSTODY))
    with pytest.raises(BadInput):
        mark(case, [name], change, "ann")
    assert sum(1 for _ in intact_lines(case.path / CUSTODY)) == lines


@pytest.mark.parametrize("name", ["zz", "", "no such", "ab:cd", "\x1b[2J", EVIDENCE + ":1"])
def test_what_names_nothing_is_refused(case: Case, name: str) -> None:
    put(case, ("rule", [1]))
    with pytest.raises(BadInput):
        mark(case, [name], Change("true"), "ann")


def test_an_ambiguous_beginning_is_refused(case: Case) -> None:
    names = put(case, *(("rule", [number]) for number in range(40)))
    digit = next(one for one in "0123456789abcdef" if sum(name.startswith(one) for name in names) > 1)
    with pytest.raises(BadInput, match="more than one"):
        mark(case, [digit], Change("true"), "ann")


def test_a_duplicate_is_of_another_of_its_kind(case: Case) -> None:
    one, two = put(case, ("rule", [1]), ("rule", [2]))
    mark(case, [one], Change("duplicate", of=two[:8]), "ann")
    assert annotations_of(case)[one].duplicate_of == two
    with pytest.raises(BadInput, match="itself"):
        mark(case, [one], Change("duplicate", of=one), "ann")


def test_texts_that_are_no_utf8_are_kept_as_codes(case: Case) -> None:
    (name,) = put(case, ("rule", [1]))
    mark(case, [name], Change(note="caf\udce9 \x1b[2J"), "ann")
    assert annotations_of(case)[name].note == "caf\\udce9 \x1b[2J"


def test_foreign_mark_lines_are_passed_over(case: Case) -> None:
    (name,) = put(case, ("rule", [1]))
    for facts in ({"subjects": 3}, {"subjects": [{}], "verdict": "true", "by": "x"}, {"by": 4, "subjects": []}):
        case.log("note", {"about": "mark", **facts})
    mark(case, [name], Change("true"), "ann")
    assert len(list(mark_lines(case))) == 1


def test_records_of_a_scattered_finding_are_bounded_and_counted(case: Case) -> None:
    (name,) = put(case, ("rule", range(0, 20_000, 2)))
    ranges, count = records_of(case, [name])
    assert count == 10_000
    assert sum(len(runs) for runs in ranges.values()) == RANGES_KEPT
    mark(case, [name], Change("false"), "ann")
    (grown,) = put(case, ("rule", range(0, 30_000, 2)))
    assert annotations_of(case)[grown].verdict == "false"
