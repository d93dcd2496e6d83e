"""Pictures that lie beside models: read block by block, so that nothing stands between or behind unseen.

Definitions: PNG 3, JPEG (ITU T.81), GIF89a, RIFF (WebP, WAV).
"""

from __future__ import annotations

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection

MOST_HUNTED = 16 << 20
_IN_SCAN = frozenset({0x00, 0xFF, *range(0xD0, 0xD8)})
PNG, JPEG, GIF, RIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", (b"GIF87a", b"GIF89a"), b"RIFF"


def recognise(content: Content) -> bool:
    """Whether it begins like a picture."""
    head = content.head(12)
    return head.startswith((PNG, JPEG, *GIF)) or (head[:4] == RIFF and head[8:12] in (b"WEBP", b"WAVE", b"AVI "))


def inspect(content: Content, inspection: Inspection) -> None:
    """Own what belongs to the picture."""
    head = content.head(12)
    if head.startswith(PNG):
        inspection.own(0, _png(content))
    elif head.startswith(JPEG):
        inspection.own(0, _jpeg(content))
    elif head[:4] == RIFF:
        size = int.from_bytes(head[4:8], "little")
        inspection.own(0, min(content.size, 8 + size + size % 2))
    else:
        inspection.own(0, _gif(content))
    if content.size <= MOST_HUNTED:
        hunt(content, [(0, content.size)], inspection)


def _png(content: Content) -> int:
    """Where the picture ends, or the last block that is one."""
    position = 8
    while position + 12 <= content.size:
        chunk = content.read(position, 8)
        size = int.from_bytes(chunk[:4], "big")
        if not chunk[4:].isalpha() or position + 12 + size > content.size or (position == 8) != (chunk[4:] == b"IHDR"):
            break
        position += 12 + size
        if chunk[4:] == b"IEND":
            break
    return position


def _jpeg(content: Content) -> int:
    position = 2
    while position + 4 <= content.size:
        marker = content.read(position, 4)
        if marker[0] != 0xFF:
            return position
        if marker[1] == 0xD9:
            return position + 2
        position += 2 + int.from_bytes(marker[2:4], "big")
        if marker[1] == 0xDA:  # the picture itself, up to a marker that is none of its own
            position = content.find(b"\xff", position)
            while 0 <= position < content.size - 1 and content.read(position + 1, 1)[0] in _IN_SCAN:
                position = content.find(b"\xff", position + 2)
            if position < 0:
                return content.size
    return min(position + 2, content.size)


def _gif(content: Content) -> int:
    packed = content.read(10, 1)
    position = 13 + (3 << ((packed[0] & 7) + 1) if packed and packed[0] & 0x80 else 0)
    while position < content.size:
        kind = content.read(position, 1)
        if kind == b";":
            return position + 1
        if kind == b",":
            flags = content.read(position + 9, 1)
            position += 10 + (3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0) + 1
        elif kind == b"!":
            position += 2
        else:
            return position
        while position < content.size and (size := content.read(position, 1)[0]):
            position += 1 + size
        position += 1
    return min(position, content.size)


FORMAT = Format("picture", recognise, inspect, (".png", ".jpg", ".jpeg", ".gif", ".webp", ".wav"))
