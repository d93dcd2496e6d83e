"""7z archives, unpacked by py7zr into memory.

Definition: ``DOC/7zFormat.txt`` of 7-Zip 24.  The format lets a few bytes ask for gigabytes: the budget is counted
while unpacking, and the reading process has a memory limit besides.
"""

from __future__ import annotations

import io
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import TOO_MUCH, Inspection, TooMuchError

MAGIC = b"7z\xbc\xaf\x27\x1c"
HEADER_BYTES = 32
MOST_BYTES = 512 * 1024 * 1024

LOCKED = Rule("7z.encrypted", "unscannable", None, "reads it with the password")
DAMAGED = Rule("7z.damaged", "unscannable", CORRUPT_MODEL, "unpacks what comes before the damage")
LINK = Rule("7z.link", "suspicious", None, "writes through the link when it unpacks to disk")
ESCAPES = Rule("7z.path", "suspicious", None, "writes outside the folder when it unpacks to disk")


def recognise(content: Content) -> bool:
    """Whether it begins with the signature."""
    return content.head(6) == MAGIC


def inspect(content: Content, inspection: Inspection) -> None:
    """Unpack within the budget and look at every member."""
    header = content.head(HEADER_BYTES)
    end = HEADER_BYTES + int.from_bytes(header[12:20], "little") + int.from_bytes(header[20:28], "little")
    inspection.own(0, min(end, content.size))
    if content.size > MOST_BYTES:
        inspection.report(DAMAGED, f"archives larger than {MOST_BYTES} bytes are not unpacked")
        return
    unpacked: dict[str, bytearray] = {}
    names: dict[str, str] = {}
    try:
        _unpack(content, inspection, unpacked, names)
    except (TooMuchError, MemoryError):
        raise
    except Exception as error:  # whatever the library raises on hostile bytes
        inspection.report(DAMAGED, f"{type(error).__name__}: {error}"[:200])
    finally:
        for key, data in unpacked.items():
            inspection.inner(Content.of(names[key], bytes(data)))


def _unpack(content: Content, inspection: Inspection, unpacked: dict[str, bytearray], names: dict[str, str]) -> None:
    import py7zr
    from py7zr.io import MemIO, Py7zIO, WriterFactory

    limit = inspection.options.member_bytes

    class Sink(Py7zIO):
        def __init__(self, key: str) -> None:
            self._data = unpacked.setdefault(key, bytearray())

        def write(self, s: bytes | bytearray) -> int:
            inspection.budget.unpack(len(s))
            self._data.extend(s)
            if len(self._data) > limit:
                raise TooMuchError(TOO_MUCH, f"more than {limit} bytes in one member")
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            return None

        def size(self) -> int:
            return len(self._data)

        def close(self) -> None:
            return None

    class Sinks(WriterFactory):
        def create(self, filename: str) -> Py7zIO:
            return Sink(filename)

    stream: Any = io.BytesIO(content.whole())
    with py7zr.SevenZipFile(stream, "r") as archive:
        if archive.password_protected:
            inspection.report(LOCKED, "it is encrypted")
            return
        for index, member in enumerate(archive.files):
            name = str(member.filename)
            if ".." in name.split("/") or name.startswith("/"):
                inspection.report(ESCAPES, f"its name leads out of the folder: {name!r}")
            if member.is_directory:
                continue
            if member.is_symlink or member.is_junction or member.is_socket:
                inspection.report(LINK, f"{name!r} is a link or special file")
                continue
            names[str(index)] = name
            archive.worker.register_filelike(member.id, MemIO(str(index), Sinks()))
        archive.worker.extract(stream, None, parallel=False)


FORMAT = Format("7z", recognise, inspect, (".7z",), runs_code=True)
