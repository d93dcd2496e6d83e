"""The custody log: chained, append-only, torn lines cut."""

from __future__ import annotations

import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from casemate.errors import CannotFinish, CaseDamaged
from casemate.evidence.custody import (
    FIRST_PREVIOUS,
    CustodyLine,
    CustodyLog,
    Damage,
    TornTail,
    intact_lines,
    make_line,
    parse_line,
    read_log,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "custody.jsonl"
    log = opened(path)
    log.write("case", {"name": "x"})
    log.write("note", {"text": 'ü " \\ \u2028'})
    log.write("note", {"number": 3})
    log.close()
    return path


def opened(path: Path) -> CustodyLog:
    log = CustodyLog(path, lambda: NOW)
    list(log.replay())
    return log


def test_each_line_follows_the_one_before(path: Path) -> None:
    lines = list(intact_lines(path))
    assert [line.sequence for line in lines] == [1, 2, 3]
    assert lines[0].previous == FIRST_PREVIOUS
    assert [line.previous for line in lines[1:]] == [line.hash for line in lines[:-1]]
    assert lines[0].time == "2026-01-02T03:04:05.000006Z"
    assert lines[1].facts == {"text": 'ü " \\ \u2028'}


def test_a_reopened_log_goes_on(path: Path) -> None:
    log = opened(path)
    log.write("note", {})
    log.close()
    assert [line.sequence for line in intact_lines(path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("kept", [1, 30, -2])
def test_a_torn_last_line_is_ignored_by_readers_and_cut_by_the_writer(path: Path, kept: int) -> None:
    whole = path.read_bytes()
    torn, _ = make_line(4, NOW, "note", {"lost": True}, "0" * 64)
    path.write_bytes(whole + torn[:kept])
    assert len(list(intact_lines(path))) == 3
    assert isinstance(list(read_log(path))[-1], TornTail)
    log = opened(path)
    assert log.cut == len(torn[:kept])
    assert path.read_bytes() == whole
    log.write("note", {})
    log.close()
    assert len(list(intact_lines(path))) == 4


def test_every_changed_missing_or_added_byte_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for position in range(len(whole)):
        for changed in (
            whole[:position] + bytes([whole[position] ^ (1 << position % 8)]) + whole[position + 1 :],
            whole[:position] + whole[position + 1 :],
            whole[:position] + b"0" + whole[position:],
        ):
            if changed == whole:
                continue
            path.write_bytes(changed)
            assert any(not isinstance(item, CustodyLine) for item in read_log(path)), position


def test_a_missing_a_moved_and_a_doubled_line_are_noticed(path: Path) -> None:
    one, two, three = path.read_bytes().splitlines(keepends=True)
    for lines in ([one, three], [two, three], [one, three, two], [one, two, two, three]):
        path.write_bytes(b"".join(lines))
        assert any(isinstance(item, Damage) for item in read_log(path))
        with pytest.raises(CaseDamaged):
            list(intact_lines(path))


def test_damage_says_where_and_only_there(path: Path) -> None:
    one, two, three = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(one + two.replace(b"note", b"nope") + three)
    damages = [item for item in read_log(path) if isinstance(item, Damage)]
    assert [(damage.line, damage.offset) for damage in damages] == [(2, len(one))]


def test_a_write_that_fails_leaves_the_log_as_it_was(path: Path) -> None:
    log = opened(path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
    try:
        with pytest.raises(CannotFinish, match="space"):
            log.write("note", {"text": "does not fit"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    log.write("note", {"text": "fits"})
    log.close()
    assert len(list(intact_lines(path))) == 4


def test_a_link_is_not_followed(path: Path) -> None:
    real = path.rename(path.with_name("real"))
    path.symlink_to(real)
    with pytest.raises(CaseDamaged):
        list(read_log(path))
    with pytest.raises(CaseDamaged):
        CustodyLog(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_not_a_line(data: bytes) -> None:
    assert isinstance(parse_line(data, 1, FIRST_PREVIOUS), str)


facts = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=5), facts, max_size=3))
def test_any_facts_come_back(given_facts: dict[str, Any]) -> None:
    try:
        line, digest = make_line(7, NOW, "note", given_facts, "a" * 64)
    except TypeError:  # lone surrogates inside nested keys: not JSON
        return
    parsed = parse_line(line[:-1], 7, "a" * 64)
    assert isinstance(parsed, CustodyLine)
    assert (parsed.facts, parsed.hash) == (given_facts, digest)
