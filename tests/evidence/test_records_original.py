"""Anyone can print the original of any record, kept or rejected, and what stands around it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ingest_case import opened, take

from casemate.case import Case
from casemate.errors import BadInput
from casemate.evidence.records import around, find_evidence, original, parse_address
from casemate.evidence.rejects import reasons, rejected
from casemate.limits import Limits

CONTENT = b"one\r\n\ntwo \xe9\n" + b"x" * 200 + b"\nfour\nfive\n"


@pytest.fixture
def case(tmp_path: Path):
    (tmp_path / "a.log").write_bytes(CONTENT)
    (tmp_path / "b.log").write_bytes(b"other\n")
    with opened(tmp_path / "case") as case:
        take(case, tmp_path / "a.log", tmp_path / "b.log", limits=Limits(line_bytes=100))
        yield case


def test_the_bytes_are_those_of_the_file(case: Case) -> None:
    evidence = hashlib.sha256(CONTENT).hexdigest()
    found = original(case.store, evidence[:10], 3)
    assert found.content == b"two \xe9"
    assert CONTENT[found.place.offset : found.place.offset + found.place.length] == found.content
    assert found.sha256 == hashlib.sha256(b"two \xe9").hexdigest()
    assert (found.place.evidence, found.format, Path(found.path).name) == (evidence, "lines", "a.log")
    assert found.others == ()


def test_a_rejected_record_is_printed_with_its_reason(case: Case) -> None:
    (place,) = rejected(case.store)
    found = original(case.store, place.evidence, 4)
    assert found.content == b"x" * 200
    assert found.place.reason is not None
    assert "limit" in found.place.reason
    assert [(item.count, item.first_record) for item in reasons(case.store)] == [(1, 4)]


def test_neighbours_are_given_in_order(case: Case) -> None:
    place = original(case.store, hashlib.sha256(CONTENT).hexdigest(), 4).place
    assert [item.place.record for item in around(case.store, place, 2)] == [1, 3, 4, 5, 6]
    assert [item.place.record for item in around(case.store, place, 1)] == [3, 4, 5]
    assert [item.place.record for item in around(case.store, place, 0)] == [4]


def test_an_ambiguous_beginning_lists_the_candidates(case: Case) -> None:
    with pytest.raises(BadInput, match="no evidence"):
        find_evidence(case.store, "")
    names = sorted(case.blobs)
    case.store.state.blobs[names[0][:1] + "0" * 63] = case.store.state.blobs[names[0]]
    with pytest.raises(BadInput, match="is the beginning of 2 pieces of evidence"):
        find_evidence(case.store, names[0][:1])


@pytest.mark.parametrize("record", [0, 2, 7, 10**17])
def test_a_record_that_is_not_there_is_said(case: Case, record: int) -> None:
    with pytest.raises(BadInput, match=f"has no record {record}"):
        original(case.store, hashlib.sha256(CONTENT).hexdigest(), record)


def test_addresses() -> None:
    assert parse_address("ab12:7") == ("ab12", 7)
    for wrong in ("ab12", ":7", "ab12:", "ab12:x", "ab12:-1", "ab12:\u0663"):
        with pytest.raises(BadInput):
            parse_address(wrong)
