"""tar archives, and torch's oldest files, which are tar archives with the members pickle, storages and tensors.

Definition: POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and GNU's long names; ``torch/serialization.py``
(``legacy_load``).  Read block by block here, so that every block has an owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.storages import ITEM_BYTES, StreamReader

BLOCK = 512
MOST_MEMBERS = 200_000
MOST_NAME = 1 << 20
REGULAR, LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = (b"0", b"\0", b"7"), b"L", b"K", b"x", b"g"
FOLDER, LINKS = b"5", (b"1", b"2")
TORCH_MEMBERS = frozenset({"pickle", "storages", "tensors", "sys_info"})

LINK = Rule("tar.link", "suspicious", None, "writes through the link when it unpacks to disk")
ESCAPES = Rule("tar.path", "suspicious", None, "writes outside the folder when it unpacks to disk")
SPECIAL = Rule("tar.special", "unscannable", None, "makes a device or reads a sparse file")
CUT = Rule("tar.cut", "unscannable", CORRUPT_MODEL, "unpacks what comes before the break")
DUPLICATE = Rule("tar.duplicate", "note", None, "takes the first or the last of the two")
TORCH = Rule("torch_tar.broken", "unscannable", CORRUPT_MODEL, "runs up to the break, then raises an error")


@dataclass(frozen=True)
class _Member:
    name: str
    kind: bytes
    link: str
    begin: int
    size: int


def recognise(content: Content) -> bool:
    """Whether it begins with a tar header: the checksum is right."""
    return _checksum_holds(content.head(BLOCK))


def _checksum_holds(block: bytes) -> bool:
    if len(block) < BLOCK or not block[0]:
        return False
    stated = _octal(block[148:156])
    return stated is not None and stated == sum(block) - sum(block[148:156]) + 8 * 32


def _octal(field: bytes) -> int | None:
    if field[:1] in (b"\x80", b"\xff"):  # GNU: base 256
        return int.from_bytes(field[1:], "big") if field[:1] == b"\x80" else None
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return None


def inspect(content: Content, inspection: Inspection) -> None:
    """Look at every member."""
    members = _members(content, inspection)
    names = {member.name.removeprefix("./") for member in members}
    torch = {"pickle", "storages"} <= names
    for member in members:
        if ".." in member.name.split("/") or member.name.startswith("/"):
            inspection.report(ESCAPES, f"its name leads out of the folder: {member.name!r}", member.begin)
        if member.kind in LINKS:
            if ".." in member.link.split("/") or member.link.startswith("/"):
                inspection.report(LINK, f"{member.name!r} is a link to {member.link!r}", member.begin)
            continue
        if member.kind == FOLDER:
            continue
        if member.kind not in REGULAR:
            inspection.report(SPECIAL, f"{member.name!r} is of type {member.kind!r}", member.begin)
            continue
        part = content.part(member.name, member.begin, member.size)
        if torch and member.name.removeprefix("./") in ("storages", "tensors"):
            _torch_member(part, inspection, member.name.removeprefix("./"))
        elif part.size:
            inspection.inner(part)


def _members(content: Content, inspection: Inspection) -> list[_Member]:
    found: list[_Member] = []
    position = 0
    long_name = long_link = None
    pax: dict[str, str] = {}
    while position < content.size and len(found) < MOST_MEMBERS:
        block = content.read(position, BLOCK)
        if not block.strip(b"\0"):
            end = position + len(block)
            while end < content.size and not content.read(end, 65536).strip(b"\0"):
                end = min(content.size, end + 65536)
            inspection.own(position, end)
            break
        size = _octal(block[124:136])
        if not _checksum_holds(block) or size is None:
            inspection.report(CUT, "a header whose checksum is wrong", position)
            break
        kind = block[156:157]
        begin = position + BLOCK
        if kind in (PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK):
            data = content.read(begin, min(size, MOST_NAME))
            if kind == PAX:
                pax = _pax(data)
            elif kind == LONG_NAME:
                long_name = data.rstrip(b"\0").decode("utf-8", "backslashreplace")
            elif kind == LONG_LINK:
                long_link = data.rstrip(b"\0").decode("utf-8", "backslashreplace")
        else:
            if pax.get("size", "").isdigit():
                size = int(pax["size"])
            if kind in LINKS or kind == FOLDER:
                size = 0
            prefix = block[345:500].rstrip(b"\0") if block[257:262] == b"ustar" and block[263:265] == b"00" else b""
            plain = (prefix + b"/" if prefix else b"") + block[:100].split(b"\0", 1)[0]
            name = pax.get("path") or long_name or plain.decode("utf-8", "backslashreplace")
            link = pax.get("linkpath") or long_link or block[157:257].split(b"\0", 1)[0].decode("latin-1")
            found.append(_Member(name, kind, link, begin, size))
            long_name = long_link = None
            pax = {}
        if begin + size > content.size:
            inspection.report(CUT, "a member is cut off", position)
        position = begin + -(-size // BLOCK) * BLOCK
        inspection.own(begin - BLOCK, position)
    return found


def _pax(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position)
        length = data[position:space]
        if space < 0 or not length.isdigit() or int(length) <= 0:
            break
        key, _, value = data[space + 1 : position + int(length)].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.rstrip(b"\n").decode("utf-8", "backslashreplace")
        position += int(length)
    return found


def _torch_member(part: Content, inspection: Inspection, name: str) -> None:
    """``storages``: a count, then per storage a pickle of (key, location, type), its length and its elements."""
    reader = StreamReader(part, inspection, name)
    count = reader.stream()
    if not isinstance(count, int) or isinstance(count, bool):
        inspection.report(TORCH, "no count of storages", 0, member=name)
        return
    for _ in range(min(count, part.size)):
        about = reader.stream()
        if not isinstance(about, tuple) or len(about) != 3:
            inspection.report(TORCH, "an entry that is no tuple of three", reader.position, member=name)
            return
        if name == "storages":
            item = ITEM_BYTES.get(getattr(about[2], "name", ""))
            elements = reader.number(8)
            if item is None or elements is None or not reader.skip(item * elements):
                inspection.report(TORCH, "a storage is cut off", reader.position, member=name)
                return
        else:
            sides = reader.number(4)
            if sides is None or not reader.skip(4 + 16 * sides + 8):
                inspection.report(TORCH, "a tensor is cut off", reader.position, member=name)
                return
    if name == "storages":
        reader.stream()  # views of storages
    if reader.position < part.size:
        inspection.inner(part.part(f"{name} from {reader.position}", reader.position, part.size))


FORMAT = Format("tar", recognise, inspect, (".tar",), runs_code=True)
