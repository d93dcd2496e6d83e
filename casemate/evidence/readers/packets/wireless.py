"""From the bytes of an 802.11 link to the Ethernet frames that it carries.

IEEE 802.11-2020 section 9.2 and 9.3.2 (data frames, aggregated ones too), with the headers that monitoring cards put
before them: radiotap (radiotap.org), PPI (CACE, *Per-Packet Information*), Prism and AVS.  A payload begins with
LLC/SNAP (RFC 1042), whose type is that of Ethernet.

Whoever monitors the air sees a frame that is sent again once more, and one that an access point passes on twice: both
are packets.  What is encrypted (most networks), comes in pieces or arrived damaged is told and counted, not guessed.
"""

from __future__ import annotations

import struct

from casemate.evidence.readers.packets.layers import ETHERNET

IEEE_802_11, PRISM, RADIOTAP, AVS, PPI = 105, 119, 127, 163, 192
WIRELESS = frozenset((IEEE_802_11, PRISM, RADIOTAP, AVS, PPI))
LIMIT_FRAMES = 64
"""Ethernet frames in one aggregated frame; the standard's longest holds fewer of any use."""
AVS_MAGIC = 0x80211
SNAP = (b"\xaa\xaa\x03\x00\x00\x00", b"\xaa\xaa\x03\x00\x00\xf8")
_FLAGS_PADDED, _FLAGS_DAMAGED = 0x20, 0x40
_TO_ACCESS_POINT, _FROM_ACCESS_POINT, _MORE_PIECES, _ENCRYPTED, _ORDERED = 0x01, 0x02, 0x04, 0x40, 0x80
_DATA, _WITH_QUALITY, _WITHOUT_DATA = 2, 0x80, 0x40


def ethernet_frames(link: int, data: bytes) -> list[bytes] | str:
    """The Ethernet frames in a frame of one of :data:`WIRELESS`, or why there is none."""
    try:
        padded = False
        if link == PPI:
            _, _, size, link = struct.unpack_from("<BBHI", data)
            data = data[max(size, 8) :]
            if link == ETHERNET:
                return [data]
            if link not in WIRELESS or link == PPI:
                return f"link type {link}"
        if link == RADIOTAP:
            size, flags = _radiotap(data)
            if flags & _FLAGS_DAMAGED:
                return "damaged 802.11 frame"
            padded, data = bool(flags & _FLAGS_PADDED), data[size:]
        elif link in (PRISM, AVS):
            data = data[_card_header(data) :]
        return _frames(data, padded)
    except (IndexError, struct.error):
        return "cut before its addresses"


def _radiotap(data: bytes) -> tuple[int, int]:
    """Length of the header, and its field of flags."""
    size, present = struct.unpack_from("<HI", data, 2)
    at, more = 8, present
    while more & 0x80000000 and at < size:
        (more,) = struct.unpack_from("<I", data, at)
        at += 4
    if present & 1:  # time of the card, aligned
        at = (at + 7 & ~7) + 8
    return max(size, 8), data[at] if present & 2 and at < size else 0


def _card_header(data: bytes) -> int:
    """Length of a Prism or AVS header; cards wrote the first in their own byte order."""
    magic, size = struct.unpack_from(">II", data)
    if magic >> 12 != AVS_MAGIC and magic > 0xFFFF:
        (size,) = struct.unpack_from("<I", data, 4)
    return max(size, 8)


def _frames(data: bytes, padded: bool) -> list[bytes] | str:
    first, flags = data[0], data[1]
    if first & 3:
        return "no valid 802.11 header"
    if first >> 2 & 3 != _DATA or first & _WITHOUT_DATA:
        return "802.11 frame without data"
    if flags & _ENCRYPTED:
        return "encrypted 802.11 frame"
    if flags & _MORE_PIECES or data[22] & 15:
        return "piece of an 802.11 frame"
    ends = flags & (_TO_ACCESS_POINT | _FROM_ACCESS_POINT)
    to, origin = (4, 10)
    if ends == _TO_ACCESS_POINT:
        to = 16
    elif ends == _FROM_ACCESS_POINT:
        origin = 16
    elif ends:
        to, origin = 16, 24
    at = 30 if origin == 24 else 24
    aggregated = False
    if first & _WITH_QUALITY:
        aggregated = bool(data[at] & 0x80)
        at += 6 if flags & _ORDERED else 2
    if padded:
        at = at + 3 & ~3
    if not aggregated:
        return [_ethernet(data[to : to + 6] + data[origin : origin + 6], data, at, len(data))]
    frames: list[bytes] = []
    while len(data) - at > 14 and len(frames) < LIMIT_FRAMES:
        (size,) = struct.unpack_from(">H", data, at + 12)
        if size > len(data) - at - 14 and frames:  # no further frame, or the checksum at the end
            break
        frames.append(_ethernet(data[at : at + 12], data, at + 14, at + 14 + size))
        at += (14 + size + 3) & ~3
    return frames or "cut before its addresses"


def _ethernet(addresses: bytes, data: bytes, at: int, end: int) -> bytes:
    """LLC/SNAP as an Ethernet frame; anything else keeps no type that means IP."""
    if data[at : at + 6] in SNAP:
        return addresses + data[at + 6 : end]
    return addresses + b"\x00\x00" + data[at:end]
