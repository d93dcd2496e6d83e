"""A log of lines that was cut at its front counts once with what was read of it before."""

from __future__ import annotations

import random as chance
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st
from ingest_case import opened, rows_of, take

from casemate.case import Case
from casemate.evidence.overlap_candidates import line_pairs


def access(number: int) -> bytes:
    at = f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
    return f'192.0.2.7 - - [01/Jan/2024:{at} +0000] "GET /{number % 7} HTTP/1.1" 200 {number}\n'.encode()


def entry(number: int) -> bytes:
    at = f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
    return f"Jan 05 {at} host app[7]: request {number * 977} took {number % 13} ms\n".encode()


def plain(number: int) -> bytes:
    return f"no log at all, sentence {number * 31337}\n".encode()


KINDS = {"web_access": access, "syslog": entry, "lines": plain}


def counted(case: Case, table: str) -> list[tuple]:
    """What the rows say, whatever evidence they are in; the account is proved on the way."""
    rows = rows_of(case, "evidence")
    assert all(row["records"] == row["kept"] + row["rejected"] for row in rows)
    kept = rows_of(case, table) if table in case.tables() else []
    assert sum(row["kept"] for row in rows) == len(kept)
    said = ("time_raw", "message", "path", "bytes", "text")
    return sorted(tuple(str(row.get(name)) for name in said) for row in kept)


def notes_of(case: Case) -> list[str]:
    return [note for row in rows_of(case, "evidence") for note in row["notes"]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_log_cut_at_its_front_counts_once(tmp_path: Path, kind: str, together: bool, reverse: bool) -> None:
    lines = [KINDS[kind](number) for number in range(200)]
    versions = [b"".join(lines[:120]), b"".join(lines[80:])]
    folder = tmp_path / "in"
    folder.mkdir()
    with opened(tmp_path / "whole") as case:
        (tmp_path / "whole.log").write_bytes(b"".join(lines))
        take(case, tmp_path / "whole.log")
        expected = counted(case, kind)
        assert len(expected) == 200
    with opened(tmp_path / "case") as case:
        for number, content in enumerate(reversed(versions) if reverse else versions):
            (folder / f"{number}.log").write_bytes(content)
            if not together:
                take(case, folder / f"{number}.log")
        take(case, folder)
        assert counted(case, kind) == expected
        assert any("40 lines" in note and note.endswith("they are counted there") for note in notes_of(case))
        evidence = rows_of(case, "evidence")
        take(case, folder)
        assert rows_of(case, "evidence") == evidence


def test_copytruncate_at_one_place_counts_once(tmp_path: Path) -> None:
    lines = [access(number) for number in range(50)]
    path = tmp_path / "access.log"
    for content in (lines[:30], lines[20:40], lines[35:]):
        path.write_bytes(b"".join(content))
        with opened(tmp_path / "case") as case:
            take(case, path)
    with opened(tmp_path / "case") as case:
        assert len(counted(case, "web_access")) == 50


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
@example(1, [(215, 700), (36, 877)], chance.Random(7))  # what two have in common is only the first line of one
@given(
    st.integers(0, 3000),
    st.lists(st.tuples(st.integers(1, 900), st.integers(700, 1500)), min_size=1, max_size=2),
    st.randoms(use_true_random=False),
)
def test_any_pieces_of_one_log_in_any_order_count_as_their_union(
    start: int, cuts: list[tuple[int, int]], random
) -> None:
    """Pieces begin and end anywhere, inside lines too: no whole line is lost, none counts twice."""
    whole = b"".join(access(number) for number in range(120))
    pieces = [(start, start + 1000)]
    for ahead, common in cuts:  # each begins behind the one before, and has enough in common with it to know
        begin, end = pieces[-1]
        pieces.append((max(begin + 1, end - common), end + ahead))
    if len(pieces) > 2:  # of three copies cut inside one line the piece of it may count twice
        pieces = [(whole.index(b"\n", begin) + 1, whole.index(b"\n", end) + 1) for begin, end in pieces]
        # few lines at the edges of the first and the third count twice, and that is said
        assume(not 0 < pieces[0][1] - pieces[2][0] < 800)
    first, last = pieces[0][0], pieces[-1][1]
    random.shuffle(pieces)
    with tempfile.TemporaryDirectory() as name, opened(Path(name) / "case") as case:
        for number, (begin, end) in enumerate(pieces):
            path = Path(name) / f"{number}.log"
            path.write_bytes(whole[begin:end])
            take(case, path)
        rows = [row for row in rows_of(case, "evidence") if row["format"] == "web_access"]
        assert all(row["records"] == row["kept"] + row["rejected"] for row in rows)
        cut_front = whole[first - 1 : first] not in (b"", b"\n")
        lines = whole[first:last].split(b"\n")
        expected = [line.rsplit(b" ", 1)[1].decode() for line in lines[cut_front:-1]]
        assert sum(row["records"] for row in rows) == sum(map(bool, lines))
        seen = [row["bytes"] for row in rows_of(case, "web_access")]
        assert [size for size in expected if seen.count(size) < 1] == []


def test_two_lines_alike_count_twice_and_are_said_to(tmp_path: Path) -> None:
    lines = [access(number) for number in range(30)]
    with opened(tmp_path / "case") as case:
        for name, content in (("a.log", lines[:20]), ("b.log", lines[17:])):
            (tmp_path / name).write_bytes(b"".join(content))
            take(case, tmp_path / name)
        assert len(counted(case, "web_access")) == 33
        (note,) = [note for note in notes_of(case) if "twice" in note]
        assert note.startswith("begins with 3 lines that ")
        evidence = rows_of(case, "evidence")
        take(case, tmp_path / "b.log")
        assert rows_of(case, "evidence") == evidence


def test_a_copy_that_goes_on_differently_counts_whole_and_is_said_to(tmp_path: Path) -> None:
    lines = [access(number) for number in range(40)]
    changed = [*lines[10:25], *lines[27:]]  # two lines were taken out by somebody
    with opened(tmp_path / "case") as case:
        for name, content in (("a.log", lines), ("b.log", changed)):
            (tmp_path / name).write_bytes(b"".join(content))
            take(case, tmp_path / name)
        assert len(counted(case, "web_access")) == 40 + 28
        assert any("15 lines" in note and "then they differ" in note for note in notes_of(case))


def test_a_log_that_says_the_same_over_and_over_loses_nothing(tmp_path: Path) -> None:
    block = b"".join(access(number) for number in range(10))
    with opened(tmp_path / "case") as case:
        for name, content in (("a.log", access(99) + block * 3), ("b.log", block * 2 + access(98))):
            (tmp_path / name).write_bytes(content)
            take(case, tmp_path / name)
        assert len(counted(case, "web_access")) == 31 + 21
        assert any("twice" in note for note in notes_of(case))


def test_a_grown_log_and_a_cut_one_count_once(tmp_path: Path) -> None:
    lines = [access(number) for number in range(90)]
    for name, content in (("a.log", lines[:40]), ("b.log", lines[30:70]), ("a.log", lines[:80]), ("b.log", lines[30:])):
        (tmp_path / name).write_bytes(b"".join(content))
        with opened(tmp_path / "case") as case:
            take(case, tmp_path / name)
    with opened(tmp_path / "case") as case:
        assert len(counted(case, "web_access")) == 90


def test_texts_that_share_their_usual_lines_are_not_compared_pair_by_pair(tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    for number in range(60):
        head = [f"Received: from relay{number}.example", f"X-Hop: {number % 7}", f"Message-ID: <{number}>"]
        usual = ["MIME-Version: 1.0", "Content-Type: text/plain", f"Subject: notice {number}", "", f"Dear {number},"]
        (folder / f"{number:02}.eml").write_text("\n".join([*head, *usual, "", "MIME-Version: 1.0", "bye"]) + "\n")
    with opened(tmp_path / "case") as case:
        take(case, folder)
        rows = rows_of(case, "evidence")
        family = {row["evidence"]: row["evidence"] for row in rows}
        assert len(family) == 60
        assert line_pairs(case.store, "lines", family) == {}
        assert sum(row["kept"] for row in rows) == len(rows_of(case, "lines"))
