"""LZO1X: the compression of nfdump's files by default.

Written after the description of the stream format in the Linux kernel's documentation (``lzo.rst``): a byte says
whether literals follow or a match, how long it is and how far back; two low bits of a match say how many literals come
right after it.
"""

from __future__ import annotations

_END_DISTANCE = 16384


class DamagedLzoError(ValueError):
    """The stream is none, is cut, or gives more than it may."""


def decompress(data: bytes, most: int) -> bytes:
    """What `data` holds.

    Args:
        data: one whole stream.
        most: bytes that may come out.

    Raises:
        DamagedLzoError: see there.
    """
    try:
        return _decompress(data, most)
    except IndexError:
        raise DamagedLzoError("the compressed block is cut") from None


def _decompress(data: bytes, most: int) -> bytes:
    out = bytearray()
    place, literals = 0, 0
    if data[0] > 17:
        literals = data[0] - 17
        place = _copy(data, 1, out, literals)
        literals = min(literals, 4)
    while True:
        if len(out) > most:
            raise DamagedLzoError(f"the block holds more than {most:,} bytes")
        code = data[place]
        place += 1
        if code < 16:
            if literals == 0:
                length, place = _length(data, place, code, 15)
                place = _copy(data, place, out, length + 3)
                literals = 4
                continue
            near = literals < 4
            distance = (data[place] << 2) + (code >> 2) + (1 if near else 2049)
            length, literals = (2 if near else 3), code & 3
            place += 1
        elif code < 64:
            short = code < 32
            bits = 7 if short else 31
            length, place = _length(data, place, code & bits, bits)
            length += 2
            low = data[place] | data[place + 1] << 8
            place += 2
            literals = low & 3
            distance = (low >> 2) + 1
            if short:
                distance = _END_DISTANCE + ((code & 8) << 11) + (low >> 2)
                if distance == _END_DISTANCE:
                    return bytes(out)
        else:
            length = 3 + (code >> 5 & 1) if code < 128 else 5 + (code >> 5 & 3)
            distance = (data[place] << 3) + (code >> 2 & 7) + 1
            literals = code & 3
            place += 1
        start = len(out) - distance
        if start < 0:
            raise DamagedLzoError("a match points before the beginning")
        if len(out) + length > most:
            raise DamagedLzoError(f"the block holds more than {most:,} bytes")
        if distance >= length:
            out += out[start : start + length]
        else:
            piece = bytes(out[start:])
            out += (piece * (length // distance + 1))[:length]
        if literals:
            place = _copy(data, place, out, literals)


def _length(data: bytes, place: int, said: int, added: int) -> tuple[int, int]:
    """A length: `said`, or where that is 0, `added` and 255 for each zero byte and the byte after them."""
    if said:
        return said, place
    length = added
    while data[place] == 0:
        length += 255
        place += 1
    return length + data[place], place + 1


def _copy(data: bytes, place: int, out: bytearray, count: int) -> int:
    end = place + count
    if end > len(data):
        raise DamagedLzoError("the compressed block is cut")
    out += data[place:end]
    return end
