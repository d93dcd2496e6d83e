"""A log that grew counts once: records keep their addresses, only appended bytes are stored."""

from __future__ import annotations

import codecs
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ingest_case import opened, rows_of, take, texts

from casemate.case import Case
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
    st.sampled_from([None, "utf-16", "utf-16-le", "utf-16-be"]),
)
def test_however_it_grows_the_rows_are_those_of_the_whole(
    content: bytes, cuts: list[int], encoding: str | None
) -> None:
    if encoding is not None:
        content = ("ab" * (encoding != "utf-16") + content.decode("latin-1")).encode(encoding)
        assume(not content.startswith(codecs.BOM_UTF32_LE))  # it is not known what that is: nothing reads it
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


WEB = b'1.2.3.4 - - [01/Jan/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 1\n'
LATER = b'1.2.3.4 - - [01/Jan/2024:00:00:09 +0000] "GET /x HTTP/1.1" 200 1\n'


def web_records(case: Case) -> list[int]:
    rows = rows_of(case, "evidence")
    assert all(row["records"] == row["kept"] + row["rejected"] for row in rows)
    assert sum(row["kept"] for row in rows) == len(rows_of(case, "web_access"))
    return sorted(row["record"] for row in rows_of(case, "web_access"))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("cut", [0, 20])
def test_a_log_read_half_and_then_rotated_counts_once(tmp_path: Path, in_place: bool, cut: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    whole = WEB * 5 + LATER * 2
    (folder / "access.log").write_bytes(whole[: 5 * len(WEB) - cut])
    with opened(tmp_path / "case") as case:
        take(case, folder, in_place=in_place)
    (folder / "access.log").rename(folder / "access.log.1")
    (folder / "access.log.1").write_bytes(whole)
    (folder / "access.log").write_bytes(LATER)
    with opened(tmp_path / "case") as case:
        report = take(case, folder, in_place=in_place)
        assert not report.problems
        assert report.continued == 1
        assert web_records(case) == [1, 1, 2, 3, 4, 5, 6, 7]
        (grown,) = [row["evidence"] for row in rows_of(case, "evidence") if row["continues"]]
        if not in_place:
            assert [original(case.store, grown, number).content for number in (1, 5, 7)] == [
                WEB.strip(),
                WEB.strip(),
                LATER.strip(),
            ]


@pytest.mark.parametrize("size", [5 * len(WEB), 5 * len(WEB) - 20, 900 * len(WEB) + 7])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False, "zip"])
def test_two_copies_of_one_log_count_once_in_any_order(
    tmp_path: Path, size: int, order: tuple[int, int], together: bool | str
) -> None:
    whole = WEB * 1000 + LATER * 2
    contents = (whole, whole[:size])
    folder = tmp_path / "in"
    folder.mkdir()
    if together == "zip":
        with zipfile.ZipFile(folder / "logs.zip", "w") as archive:
            for number, which in enumerate(order):
                archive.writestr(f"{number}.log", contents[which])
    else:
        for number, which in enumerate(order):
            (folder / f"{number}.log").write_bytes(contents[which])
            if not together:
                with opened(tmp_path / "case") as case:
                    take(case, folder / f"{number}.log")
    with opened(tmp_path / "case") as case:
        report = take(case, folder)
        assert not report.problems
        assert web_records(case) == list(range(1, 1003))
        notes = [note for row in rows_of(case, "evidence") for note in row["notes"]]
        assert any("continues" in note or "is the beginning of" in note for note in notes)
        again = take(case, folder)
        assert (again.records, again.evidence) == (0, [])


def test_the_longest_known_beginning_is_continued(tmp_path: Path) -> None:
    for number, lines in enumerate((1, 4, 2)):
        (tmp_path / f"{number}.log").write_bytes(WEB * lines)
        with opened(tmp_path / "case") as case:
            take(case, tmp_path / f"{number}.log")
    (tmp_path / "whole.log").write_bytes(WEB * 4 + LATER)
    with opened(tmp_path / "case") as case:
        take(case, tmp_path / "whole.log")
        assert web_records(case) == [1, 2, 3, 4, 5]
        continued = {row["evidence"]: row for row in rows_of(case, "evidence")}
        (last,) = [row for row in continued.values() if row["bytes"] == len(WEB * 4 + LATER)]
        assert continued[last["continues"]]["bytes"] == 4 * len(WEB)


def test_logs_that_part_after_a_common_beginning_keep_their_own_lines(tmp_path: Path) -> None:
    with opened(tmp_path / "case") as case:
        for number, end in enumerate((b"", LATER, WEB.replace(b"200", b"404"))):
            (tmp_path / f"{number}.log").write_bytes(WEB * 3 + end)
            take(case, tmp_path / f"{number}.log")
        assert web_records(case) == [1, 2, 3, 4, 4]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b"bc\n", b"\n", b"long line \n"]), min_size=1, max_size=12).map(b"".join),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_copies_in_any_order_give_the_lines_of_the_longest(
    content: bytes, cuts: list[int], random: Any, together: bool
) -> None:
    content = b"first line\n" + content
    versions = sorted({content[: 11 + cut] for cut in cuts} | {content})
    random.shuffle(versions)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for number, version in enumerate(versions):
            (folder / f"{number}.log").write_bytes(version)
        with opened(Path(name) / "case") as case:
            if not together:
                for number in range(len(versions)):
                    take(case, folder / f"{number}.log")
            take(case, folder)
            lines = sorted((row["record"], row["text"]) for row in rows_of(case, "lines"))
            rows = rows_of(case, "evidence")
            assert all(row["records"] == row["kept"] + row["rejected"] for row in rows)
            assert sum(row["kept"] for row in rows) == len(lines)
        with opened(Path(name) / "whole") as case:
            (Path(name) / "whole.log").write_bytes(content)
            take(case, Path(name) / "whole.log")
            assert lines == sorted((row["record"], row["text"]) for row in rows_of(case, "lines"))
