"""Bytes that came out of a decoding, as text - or the judgement that they are none.

Most runs of letters and digits are no base64; what they would decode to is told from text by its bytes:
twelve random ones are all printable ASCII seven times in a million.
"""

from __future__ import annotations

import zlib

from casemate.decode.model import Budget

ASCII = bytes(range(32, 127)) + b"\t\r\n"
LEAST_CHARACTERS = 4
ASCII_SHARE = 0.6
"""Least share of ASCII in text of one or more bytes per character."""
LATIN_SHARE = 0.95
LEAST_DIFFERENT = 8
"""Different bytes at the beginning of what may have been a raw deflate stream, or a long number: code that fills
memory with one byte becomes such streams."""
HEAD = 96
LAYERS = 3
"""Compressed streams inside compressed streams."""
CHUNK = 65_536

Text = tuple[str, tuple[str, ...], str | None]
"""Text, steps, limit."""


def as_text(data: bytes, budget: Budget) -> Text | None:
    """Text that `data` holds, compressed or not, with the steps and why it may be incomplete; None if it is none."""
    steps: list[str] = []
    limit: str | None = None
    for _ in range(LAYERS):
        unpacked = _unpack(data, budget)
        if unpacked is None:
            break
        name, data, cut = unpacked
        steps.append(name)
        limit = limit or cut
    found = plain_text(data)
    if found is None:
        return None
    text, encoding = found
    return text, (*steps, *encoding), limit


def plain_text(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Text that `data` is, and its encoding as steps (none for UTF-8); None if it is none."""
    if not data.translate(None, ASCII):
        return _long_enough(data.decode("ascii"), ())
    wide = _wide(data)
    if wide is not None:
        return wide
    data = data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0")
    if b"\0" in data:
        # arguments of a process stand between NUL bytes
        data = data.replace(b"\0", b" ")
    odd = len(data.translate(None, ASCII))
    if odd > (1 - ASCII_SHARE) * len(data):
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        # a stream that was cut in the middle of a character
        if error.start >= len(data) - 3 and len(data) > HEAD:
            return _printable(data[: error.start].decode("utf-8"), ())
        if odd > (1 - LATIN_SHARE) * len(data):
            return None
        return _printable(data.decode("latin-1"), ("latin-1",))
    return _printable(text, ())


def promising(head: bytes, *, sure: bool = True) -> bool:
    """Whether bytes that begin with `head` may be text or, where that is `sure` to be their beginning, a stream."""
    odd = len(head.translate(None, ASCII))
    if not odd:
        return True
    if sure and (head[:2] == b"\x1f\x8b" or _is_zlib(head)):
        return True
    if head.count(0) * 3 >= len(head):
        return _wide(head) is not None
    if not sure:
        return False
    if odd <= (1 - ASCII_SHARE) * len(head):
        return any(plain_text(head[: len(head) - cut]) is not None for cut in range(4))
    return _deflated(head)


def _wide(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    size = len(data) & ~1
    if size < 4:
        return None
    even, odd = data[0:size:2], data[1:size:2]
    if data[:2] == b"\xff\xfe" or odd.count(0) * 2 >= len(odd) > even.count(0):
        order, name = "utf-16-le", "utf-16le"
    elif data[:2] == b"\xfe\xff" or even.count(0) * 2 >= len(even) > odd.count(0):
        order, name = "utf-16-be", "utf-16be"
    else:
        return None
    text = data[:size].decode(order, "replace").removeprefix("\ufeff").rstrip("\0")
    return _printable(text, (name,))


def wide_text(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Bytes that must be UTF-16 (what ``-EncodedCommand`` takes) as text, in whatever script it is written."""
    text = data[: len(data) & ~1].decode("utf-16-le", "replace").removeprefix("\ufeff").rstrip("\0")
    return _printable(text, ("utf-16le",))


def _printable(text: str, steps: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    marks = sum(not (character.isprintable() or character in "\t\r\n") for character in text[:4096])
    if marks * 50 > min(len(text), 4096):
        return None
    return _long_enough(text, steps)


def _long_enough(text: str, steps: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    head = text[:64]
    if len(text) < LEAST_CHARACTERS or len(set(head)) < 3 or sum(map(str.isalnum, head)) < 2:
        return None
    return text, steps


def _is_zlib(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x78 and (head[0] * 256 + head[1]) % 31 == 0 and not head[1] & 0x20


def _deflated(head: bytes) -> bool:
    """Whether a raw deflate stream may begin so; a stream says nothing of itself, so its first text is looked at."""
    try:
        out = zlib.decompressobj(-15).decompress(head, HEAD)
    except zlib.error:
        return False
    return len(set(out)) >= LEAST_DIFFERENT and plain_text(out) is not None


def _unpack(data: bytes, budget: Budget) -> tuple[str, bytes, str | None] | None:
    """The name of the compression, what came out, and why it may be incomplete; None if it is no stream."""
    if data[:2] == b"\x1f\x8b":
        name, bits = "gzip", 31
    elif _is_zlib(data):
        name, bits = "zlib", 15
    elif len(data) >= 12 and data.translate(None, ASCII) and _deflated(data[: 4 * HEAD]):
        name, bits = "deflate", -15
    else:
        return None
    engine = zlib.decompressobj(bits)
    out, cut = bytearray(), None
    try:
        left = data
        while left and not engine.eof:
            room = max(1, min(CHUNK, budget.bytes))
            more = engine.decompress(left, room)
            left = engine.unconsumed_tail
            out += more
            if not budget.spend(len(more)):
                return name, bytes(out), "output"
            if not more and not left:
                break
        cut = None if engine.eof else "stream cut short"
    except zlib.error:
        cut = "stream damaged"
    return (name, bytes(out), cut) if out else None
