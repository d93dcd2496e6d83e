"""Lines are numbered and placed exactly, whatever the block size, and long ones never enter memory."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from casemate.evidence.lines import LineBlock, OverlongLine, read_lines, utf16_of

CONTENT = (
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"bc", b"\x00", b"x" * 9, b"\xe2\x80\xa8", b"\x0c"]))
    .map(b"".join)
    .filter(lambda content: utf16_of(content[:4]) is None)
)


def expected(content: bytes) -> list[tuple[int, int, bytes]]:
    rows, offset = [], 0
    pieces = content.split(b"\n")
    if pieces[-1] == b"":
        pieces.pop()
    for number, piece in enumerate(pieces, 1):
        line = piece.removesuffix(b"\r")
        rows.append((number, offset, line))
        offset += len(piece) + 1
    return rows


@given(CONTENT, st.integers(1, 12), st.integers(4, 40))
def test_every_line_has_its_number_and_place(content: bytes, block: int, limit: int) -> None:
    seen = []
    for item in read_lines(io.BytesIO(content), line_bytes=limit, block_bytes=block):
        if isinstance(item, OverlongLine):
            seen.append((item.record, item.offset, content[item.offset : item.offset + item.length]))
            assert item.length >= limit
        else:
            places = zip(item.offsets.tolist(), item.lengths.tolist(), item.lines, strict=True)
            for index, (offset, length, line) in enumerate(places):
                assert content[offset : offset + length] == line
                seen.append((item.first_record + index, offset, line))
    assert seen == expected(content)


@given(
    st.lists(st.text(st.characters(codec="utf-16", exclude_characters="\r\n"), max_size=8), min_size=1),
    st.sampled_from(["utf-16-le", "utf-16-be"]),
    st.integers(2, 30),
)
def test_utf16_lines_become_utf8_with_their_place_in_the_file(lines: list[str], encoding: str, block: int) -> None:
    content = ("\ufeff" + "\n".join(lines) + "\n").encode(encoding)
    seen = []
    for item in read_lines(io.BytesIO(content), line_bytes=1000, block_bytes=block):
        assert isinstance(item, LineBlock)
        for offset, length, line in zip(item.offsets.tolist(), item.lengths.tolist(), item.lines, strict=True):
            assert content[offset : offset + length].decode(encoding) == line.decode()
            seen.append(line.decode())
    assert seen == lines


def test_a_line_over_the_limit_is_placed_and_the_rest_is_read() -> None:
    content = b"one\n" + b"x" * 5_000 + b"\nthree\n"
    items = list(read_lines(io.BytesIO(content), line_bytes=100, block_bytes=64))
    assert OverlongLine(2, 4, 5_000) in items
    assert isinstance(items[-1], LineBlock)
    assert items[-1].lines == [b"three"]
    assert items[-1].first_record == 3


def test_reading_may_begin_at_a_later_line() -> None:
    blocks = list(read_lines(io.BytesIO(b"one\ntwo\nthree"), line_bytes=100, start_offset=4, start_record=2))
    seen = [(b.first_record, b.lines, b.offsets.tolist()) for b in blocks if isinstance(b, LineBlock)]
    assert seen == [(2, [b"two"], [4]), (3, [b"three"], [8])]
