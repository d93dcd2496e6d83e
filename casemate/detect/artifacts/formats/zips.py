"""Zip archives: PyTorch files, npz, .keras, wheels and plain archives.

Definition: PKWARE APPNOTE 6.3.10.  Every member is looked at, whether directory or local header names it; what the
two say differently, and every byte that neither owns, is reported.  Loaders: ``torch.load`` (a member ``data.pkl``),
``torch.jit.load`` (``code/``, ``constants.pkl``), ``numpy.load``, ``keras``, ``zipfile``.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections import Counter

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats import torch_raw, torch_zip
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.zip_entries import (
    DESCRIPTOR,
    ENCRYPTED,
    END,
    LOCAL,
    STREAMED,
    Archive,
    Entry,
    Header,
    read_archive,
)
from casemate.detect.artifacts.inspection import TOO_MUCH, Inspection, TooMuchError

STORED, DEFLATED, BZIP2, LZMA, ZSTD, XZ = 0, 8, 12, 14, 93, 95
SEARCHED = 1 << 20
END_BYTES = 22
PARTS_SUFFIX = ".distcp"

LIES = Rule("zip.lies", "suspicious", CORRUPT_MODEL, "believes one of two headers; scanners believe the other")
HIDDEN = Rule("zip.hidden_member", "suspicious", CORRUPT_MODEL, "finds it if it reads local headers; others do not")
DUPLICATE = Rule("zip.duplicate", "suspicious", CORRUPT_MODEL, "takes the first or the last of the two")
CHECKSUM = Rule("zip.checksum", "suspicious", CORRUPT_MODEL, "reads it all the same if it does not check (torch)")
NO_HEADER = Rule("zip.no_header", "unscannable", CORRUPT_MODEL, "cannot read the member, or repairs it")
ESCAPES = Rule("zip.path", "suspicious", None, "writes outside the folder when it unpacks to disk")
LOCKED = Rule("zip.encrypted", "unscannable", None, "reads it with the password")
METHOD = Rule("zip.method", "unscannable", None, "may know the compression")
DAMAGED = Rule("zip.damaged", "unscannable", CORRUPT_MODEL, "reads what comes before the damage")
NO_DIRECTORY = Rule("zip.no_directory", "unscannable", CORRUPT_MODEL, "repairs it or refuses it")
TOO_MANY = Rule("zip.entries", "unscannable", None, "reads members that were not read here")


def recognise(content: Content) -> bool:
    """Whether a zip loader could accept it: the end record stands near the end, or a member at the beginning."""
    if content.head(4) in (LOCAL, END):
        return True
    end = content.rfind(END, max(0, content.size - 65557))
    return end >= 0 and end + 22 <= content.size and content.find(b"PK\x01\x02") >= 0


def inspect(content: Content, inspection: Inspection) -> None:
    """Look at every member and at what the headers say."""
    if content.name.endswith(PARTS_SUFFIX) and _parts(content, inspection):
        return
    archive = read_archive(content)
    for begin, end in archive.spans:
        inspection.own(begin, end)
    if not archive.has_directory:
        inspection.report(NO_DIRECTORY, "there is no directory at its end")
    if archive.cut:
        inspection.report(TOO_MANY, f"only the first {len(archive.entries)} members were read")
    for name, count in Counter(entry.name for entry in archive.entries).items():
        if count > 1:
            inspection.report(DUPLICATE, f"{count} members of one name", member=name)
    loose = [(begin, min(end, begin + SEARCHED)) for begin, end in archive.comments if end > begin + 8]
    names = [entry.name for entry in archive.entries]
    torch = torch_zip.layout(names)
    raw = torch is None and torch_raw.has_layout(names)
    waiting: list[tuple[Entry, Content]] = []
    for entry in archive.entries:
        loose += _own(entry, content, inspection)
        member = _compare(entry, content, inspection)
        if member is None:
            continue
        if torch is not None or raw:
            waiting.append((entry, member))
        else:
            inspection.inner(member)
    if torch is not None:
        torch_zip.inspect_members(torch, [member for _, member in waiting], inspection)
    elif raw:
        torch_raw.inspect_members([member for _, member in waiting], inspection)
    hunt(content, loose, inspection)


def _parts(content: Content, inspection: Inspection) -> bool:
    """A part of a distributed checkpoint of torch: what ``torch.save`` wrote, one archive after another.

    Whether it is that: every archive begins where the one before ends, so that none hides between or in another.
    """
    spans: list[tuple[int, int]] = []
    at = 0
    while at < content.size:
        end = content.find(END, at)
        directory = int.from_bytes(content.read(end + 16, 4), "little")
        after = end + END_BYTES + int.from_bytes(content.read(end + 20, 2), "little")
        if content.read(at, 4) != LOCAL or end < 0 or content.read(at + directory, 4) not in (b"PK\x01\x02", END):
            return False
        spans.append((at, after))
        at = after
    if len(spans) < 2 or at != content.size:
        return False
    inspection.own_all()
    for begin, end in spans:
        inspection.inner(content.part(f"(archive at {begin}).pt", begin, end - begin))
    return True


def _own(entry: Entry, content: Content, inspection: Inspection) -> list[tuple[int, int]]:
    """Own the header and the data of a member; gives its extra field."""
    if entry.local is None:
        return []
    packed = _packed(entry)
    end = entry.data + packed
    inspection.own(entry.at, end)
    if entry.local.flags & STREAMED or entry.header.flags & STREAMED:
        size = 16 if content.read(end, 4) == DESCRIPTOR else 12
        wide = content.read(end + size, 4)
        following = (LOCAL, b"PK\x01\x02", b"PK\x06\x06")
        if wide not in following and content.read(end + size + 8, 4) in following:
            size += 8
        inspection.own(end, end + size)
    names = entry.at + 30
    return [(names, entry.data)] if entry.data - names > 64 else []


def _packed(entry: Entry) -> int:
    """How many packed bytes there are: the directory's figure, or the local one where there is none."""
    local, central = entry.local, entry.central
    if central is not None:
        return central.packed
    return local.packed if local is not None else 0


def _compare(entry: Entry, content: Content, inspection: Inspection) -> Content | None:
    """Report what the headers say differently; the member's content if it can be had."""
    local, central, name = entry.local, entry.central, entry.name
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith(("/", "\\")) or name[1:2] == ":":
        inspection.report(ESCAPES, f"its name leads out of the folder: {name!r}", entry.at)
    if local is None:
        inspection.report(NO_HEADER, f"no local header where the directory points to ({entry.at})", member=name)
        return None
    if central is None:
        inspection.report(HIDDEN, "the directory does not name it", entry.at, member=name)
    else:
        for said in _differences(local, central):
            inspection.report(LIES, said, entry.at, member=name)
    if name.endswith("/") and not entry.header.plain:
        return None
    return _member(entry, content, inspection)


def _differences(local: Header, central: Header) -> list[str]:
    found = []
    if local.name != central.name:
        found.append(f"the local header calls it {local.name!r}")
    if local.method != central.method:
        found.append(f"compression {central.method} in the directory, {local.method} in the local header")
    if (local.flags ^ central.flags) & ~(STREAMED | 6 | 1 << 11):
        found.append(f"flags 0x{central.flags:x} in the directory, 0x{local.flags:x} in the local header")
    streamed = local.flags & STREAMED
    for what, one, other in (
        ("checksum", local.checksum, central.checksum),
        ("packed size", local.packed, central.packed),
        ("size", local.plain, central.plain),
    ):
        if one != other and not (streamed and one in (0, 0xFFFFFFFF)):
            found.append(f"{what} {other} in the directory, {one} in the local header")
    return found


def _member(entry: Entry, content: Content, inspection: Inspection) -> Content | None:
    """The plain content of a member, whatever its flags say."""
    name = entry.name
    header = entry.header
    locked = (header.flags | (entry.local.flags if entry.local else 0)) & ENCRYPTED
    methods = dict.fromkeys([header.method, *((entry.local.method,) if entry.local else ())])
    sizes = dict.fromkeys([_packed(entry), *((entry.local.packed,) if entry.local and entry.local.packed else ())])
    best: Content | None = None
    problem = ""
    for method in methods:
        for packed in sizes:
            if method == STORED and not locked:
                got = content.part(name, entry.data, packed)
            else:
                got, problem = _unpack(entry, method, content.part(name, entry.data, packed), header, inspection)
            if got is None:
                continue
            if _checks(got, header, entry, inspection):
                if locked:
                    inspection.report(LIES, "it is flagged as encrypted and is not", entry.at, member=name)
                return got
            best = best or got
    if locked:
        inspection.report(LOCKED, "it is encrypted", entry.at, member=name)
        return None
    if best is None:
        rule = METHOD if "method" in problem else DAMAGED
        inspection.report(rule, problem or "it cannot be unpacked", entry.at, member=name)
        return None
    inspection.report(CHECKSUM, "its bytes are not those of its checksum or size", entry.at, member=name)
    return best


def _checks(got: Content, header: Header, entry: Entry, inspection: Inspection) -> bool:
    """Whether size and checksum are right; a large stored member is only summed with ``--full``."""
    if got.size != header.plain:
        return False
    in_file = got.buffer is inspection.content.buffer
    if in_file and got.size > SEARCHED and not inspection.options.full:
        return True
    checksum = 0
    for block in got.blocks():
        checksum = zlib.crc32(block, checksum)
    return checksum in (header.checksum, entry.local.checksum if entry.local else -1)


def _unpack(
    entry: Entry, method: int, packed: Content, header: Header, inspection: Inspection
) -> tuple[Content | None, str]:
    limit = inspection.options.member_bytes
    blocks: list[bytes] = []
    total = 0
    try:
        decoder = _decoder(method, packed)
        if decoder is None:
            return None, f"compression method {method} is not known here"
        for block in decoder:
            inspection.budget.unpack(len(block))
            total += len(block)
            blocks.append(block)
            if total > limit:
                raise TooMuchError(TOO_MUCH, f"more than {limit} bytes in the member {entry.name!r}")
    except (TooMuchError, MemoryError):
        raise
    except Exception as error:  # each decoder has errors of its own; what came out before them is looked at
        if not total:
            return None, f"{error}"[:200]
    return Content.of(entry.name, b"".join(blocks)), ""


def _decoder(method: int, packed: Content):
    if method == STORED:
        return iter([packed.whole()])
    if method == DEFLATED:
        return _inflate(packed)
    if method == BZIP2:
        return _fed(bz2.BZ2Decompressor(), packed, 0)
    if method == XZ:
        return _fed(lzma.LZMADecompressor(lzma.FORMAT_XZ, 256 * 1024 * 1024), packed, 0)
    if method == LZMA:
        size = int.from_bytes(packed.read(2, 2), "little")
        properties = packed.read(4, size)
        if len(properties) != 5:
            raise ValueError("LZMA properties are cut off")
        return _fed(_raw_lzma(properties), packed, 4 + size)
    if method == ZSTD:
        import zstandard

        decoder = zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024).decompressobj()
        return (decoder.decompress(packed.read(at, 2048)) for at in range(0, packed.size, 2048) if not decoder.eof)
    return None


def _raw_lzma(properties: bytes) -> lzma.LZMADecompressor:
    packed, dictionary = properties[0], int.from_bytes(properties[1:5], "little")
    if packed >= 225 or dictionary > 256 * 1024 * 1024:
        raise ValueError("LZMA properties out of range")
    rest, lc = divmod(packed, 9)
    pb, lp = divmod(rest, 5)
    settings = {"id": lzma.FILTER_LZMA1, "dict_size": max(4096, dictionary), "lc": lc, "lp": lp, "pb": pb}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings])


def _inflate(packed: Content):
    decoder = zlib.decompressobj(-15)
    position, data = 0, b""
    while not decoder.eof:
        data = decoder.unconsumed_tail
        if not data:
            data = packed.read(position, SEARCHED)
            position += len(data)
        block = decoder.decompress(data, SEARCHED)
        if not data and not block:
            raise EOFError("the member is cut off")
        yield block


def _fed(decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor, packed: Content, position: int):
    while not decoder.eof:
        data = b""
        if decoder.needs_input:
            data = packed.read(position, SEARCHED)
            position += len(data)
            if not data:
                raise EOFError("the member is cut off")
        yield decoder.decompress(data, SEARCHED)


__all__ = ["FORMAT", "Archive"]
FORMAT = Format("zip", recognise, inspect, (".zip", ".pt", ".pth", ".npz", ".keras", ".whl"), runs_code=True)
