"""Unknown text becomes lines; every byte is accounted for."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import BinaryIO

from hypothesis import given
from hypothesis import strategies as st

from casemate.evidence.lines import utf16_of
from casemate.evidence.readers.base import ReadContext, Reject, Rows, Tally
from casemate.evidence.readers.text import LINES, read
from casemate.limits import Limits


class Content:
    def __init__(self, content: bytes) -> None:
        self.content, self.size = content, len(content)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.content)


def read_all(content: bytes, line_bytes: int = 1_000) -> tuple[list[dict], list[Reject], Tally]:
    rows: list[dict] = []
    rejects: list[Reject] = []
    tally = Tally(-1)
    context = ReadContext("x", datetime(2026, 1, 1, tzinfo=UTC), Limits(line_bytes=line_bytes))
    for given_item in read(Content(content), context):
        if isinstance(given_item, Rows):
            assert given_item.table == LINES.name
            rows.extend(given_item.batch.to_pylist())
        elif isinstance(given_item, Reject):
            rejects.append(given_item)
        else:
            tally = given_item
    return rows, rejects, tally


def test_odd_bytes_are_written_out_and_flagged() -> None:
    rows, rejects, tally = read_all(b"plain\r\n\nnul \x00 here\nlatin \xe9\nboth \x00\xff")
    assert [(row["record"], row["text"], row["flags"]) for row in rows] == [
        (1, "plain", None),
        (3, "nul \\x00 here", "nul_bytes"),
        (4, "latin \\xe9", "encoding_replaced"),
        (5, "both \\x00\\xff", "encoding_replaced;nul_bytes"),
    ]
    assert rejects == []
    assert (tally.records, tally.structure) == (4, 1)


def test_a_line_over_the_limit_is_rejected_with_its_place() -> None:
    rows, rejects, tally = read_all(b"a\n" + b"x" * 5_000 + b"\nb\n")
    assert [row["text"] for row in rows] == ["a", "b"]
    assert (rejects[0].record, rejects[0].offset, rejects[0].length) == (2, 2, 5_000)
    assert "limit" in rejects[0].reason
    assert tally.records == 3


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"\n", b"\r\n", b"x" * 60]))).map(b"".join))
def test_kept_and_rejected_are_all_lines(content: bytes) -> None:
    rows, rejects, tally = read_all(content, line_bytes=50)
    assert tally.records == len(rows) + len(rejects)
    lines = content.count(b"\n") + (not content.endswith(b"\n") and bool(content.removeprefix(b"\xef\xbb\xbf")))
    if utf16_of(content[:4]) is None:
        assert tally.records + tally.structure == lines
    for row in rows:
        if row["flags"] is None and utf16_of(content[:4]) is None:
            assert content[row["offset"] : row["offset"] + row["length"]].decode() == row["text"]
