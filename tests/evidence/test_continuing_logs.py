"""A log that grew counts once: records keep their addresses, only appended bytes are stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_case import opened, rows_of, take, texts

from casemate.evidence.records import original
from casemate.limits import Limits


def grow(path: Path, *contents: bytes, case_path: Path, limits: Limits | None = None) -> list[str]:
    """Take each version of a file in; the evidence each run added."""
    added: list[str] = []
    for content in contents:
        path.write_bytes(content)
        with opened(case_path) as case:
            added.extend(take(case, path, limits=limits).evidence)
    return added


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


def test_only_what_was_appended_is_stored_and_read(log: Path, tmp_path: Path) -> None:
    old, new = grow(log, b"one\ntwo\n", b"one\ntwo\nthree\n", case_path=tmp_path / "case")
    with opened(tmp_path / "case") as case:
        assert texts(case) == ["one", "three", "two"]
        rows = {row["evidence"]: row for row in rows_of(case, "evidence")}
        assert (rows[old]["records"], rows[new]["records"], rows[new]["continues"]) == (2, 1, old)
        assert rows[new]["bytes"] == 14
        assert case.blobs[new].bytes == 6
        assert case.source(new).open().read() == b"one\ntwo\nthree\n"
        assert original(case.store, new, 3).content == b"three"
        assert original(case.store, new, 1).place.evidence == old
        (row,) = [row for row in rows_of(case, "lines") if row["evidence"] == new]
        assert (row["record"], row["offset"]) == (3, 8)


def test_an_unfinished_last_line_counts_once_and_is_found_under_both_names(log: Path, tmp_path: Path) -> None:
    old, new = grow(log, b"one\ntwo\nthr", b"one\ntwo\nthree\nfour\n", case_path=tmp_path / "case")
    with opened(tmp_path / "case") as case:
        assert texts(case) == ["four", "one", "three", "two"]
        rows = {row["evidence"]: row for row in rows_of(case, "evidence")}
        assert (rows[old]["records"], rows[old]["kept"], rows[new]["records"]) == (2, 2, 2)
        assert "unfinished" in rows[old]["notes"][0]
        assert original(case.store, old, 3).content == b"three"
        assert original(case.store, new, 3).content == b"three"


def test_an_unfinished_line_that_was_rejected_counts_once(log: Path, tmp_path: Path) -> None:
    limits = Limits(line_bytes=20)
    first = b"one\n" + b"x" * 30
    old, new = grow(log, first, first + b"x" * 10 + b"\ntwo\n", case_path=tmp_path / "case", limits=limits)
    with opened(tmp_path / "case") as case:
        assert texts(case) == ["one", "two"]
        rows = {row["evidence"]: row for row in rows_of(case, "evidence")}
        assert (rows[old]["records"], rows[old]["rejected"]) == (1, 0)
        assert (rows[new]["records"], rows[new]["rejected"]) == (2, 1)
        assert [(row["evidence"], row["length"]) for row in rows_of(case, "rejects")] == [(new, 40)]


def test_a_rotated_log_is_new_evidence(log: Path, tmp_path: Path) -> None:
    old, new = grow(log, b"one\ntwo\n", b"three\nfour\nfive\n", case_path=tmp_path / "case")
    with opened(tmp_path / "case") as case:
        assert texts(case) == ["five", "four", "one", "three", "two"]
        assert [row["continues"] for row in rows_of(case, "evidence")] == [None, None]
    assert old != new


def test_a_log_in_a_container_continues_too(tmp_path: Path) -> None:
    import gzip

    packed = tmp_path / "a.log.gz"
    for content in (b"one\ntw", b"one\ntwo\nthree\n"):
        packed.write_bytes(gzip.compress(content))
        with opened(tmp_path / "case") as case:
            take(case, packed)
    with opened(tmp_path / "case") as case:
        assert texts(case) == ["one", "three", "two"]


def test_a_log_whose_format_shows_later_is_read_again_and_counts_once(log: Path, tmp_path: Path) -> None:
    from casemate.evidence.readers.text import LINES_READER

    def recognise(head: bytes) -> int:
        return 90 if b"MARK" in head else 0

    from casemate.evidence.readers.base import ReaderSpec

    marked = ReaderSpec("marked", 1, LINES_READER.tables, recognise, LINES_READER.read, continues=True)
    with opened(tmp_path / "case") as case:
        for content in (b"one\ntwo\n", b"one\ntwo\nMARK\n"):
            log.write_bytes(content)
            take(case, log, readers=(marked, LINES_READER))
        assert texts(case) == ["MARK", "one", "two"]
        rows = {row["format"]: row for row in rows_of(case, "evidence")}
        assert (rows["lines"]["records"], rows["marked"]["records"]) == (0, 3)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b"bc\n", b"\n", b"\r\n", b"\r", b"long line \n", b"\x00\xff"]), min_size=1).map(
        b"".join
    ),
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.sampled_from([None, "utf-16"]),
)
def test_however_it_grows_the_rows_are_those_of_the_whole(
    content: bytes, cuts: list[int], encoding: str | None
) -> None:
    import tempfile

    if encoding is not None:
        content = content.decode("latin-1").encode(encoding)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        versions = [content[:cut] for cut in sorted(cuts)] + [content]
        grow(folder / "a.log", *[version for version in versions if version], case_path=folder / "grown")
        grow(folder / "a.log", content, case_path=folder / "whole")
        seen = []
        for which in ("grown", "whole"):
            with opened(folder / which) as case:
                lines = rows_of(case, "lines") if "lines" in case.tables() else []
                seen.append(sorted((row["record"], row["offset"], row["text"]) for row in lines))
                rows = rows_of(case, "evidence")
                assert sum(row["kept"] for row in rows) == len(lines)
                assert all(row["records"] == row["kept"] + row["rejected"] for row in rows)
        assert seen[0] == seen[1]
