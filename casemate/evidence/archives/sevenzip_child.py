"""Child process: unpack one 7z archive to standard output, inside limits set on itself.

Run by path with ``python -I``: it imports nothing of ours.  Arguments: the archive's path, bytes
of address space, seconds of processor time.  It opens no file for writing and needs no network.

Output: frames of one letter, a length (8 bytes, big-endian) and that many bytes.
``N`` begins a member (JSON: name, date), ``D`` is content, ``S`` counts a member that was
skipped, ``X`` says why unpacking stopped, ``E`` ends the output.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import BinaryIO


def main() -> None:
    path, memory, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    output = sys.stdout.buffer
    try:
        _unpack(path, output)
    except MemoryError:
        _send(output, b"X", b"limit helper_memory_bytes reached")
    except RecursionError:
        _send(output, b"X", b"its headers are nested too deeply")
    except BrokenPipeError:
        return
    except Exception as error:  # whatever the library raises on hostile bytes ends up as a note
        _send(output, b"X", f"{type(error).__name__}: {error}"[:500].encode("utf-8", "backslashreplace"))
    _send(output, b"E", b"")
    output.flush()


def _send(output: BinaryIO, kind: bytes, data: bytes) -> None:
    output.write(kind + len(data).to_bytes(8, "big"))
    output.write(data)


def _unpack(path: str, output: BinaryIO) -> None:
    import py7zr
    from py7zr.io import MemIO, Py7zIO, WriterFactory

    class Sender(Py7zIO):
        def __init__(self, opening: bytes) -> None:
            self._opening, self._size = opening, 0
            self._begun = False

        def begin(self) -> None:
            if not self._begun:
                _send(output, b"N", self._opening)
                self._begun = True

        def write(self, s: bytes | bytearray) -> int:
            self.begin()
            self._size += len(s)
            _send(output, b"D", bytes(s))
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            return None

        def size(self) -> int:
            return self._size

        def close(self) -> None:
            self.begin()  # an empty member has no content frames

    class Senders(WriterFactory):
        def create(self, filename: str) -> Py7zIO:
            return Sender(openings[int(filename)])

    openings: dict[int, bytes] = {}
    with open(path, "rb") as stream, py7zr.SevenZipFile(stream, "r") as archive:  # noqa: PTH123
        if archive.password_protected:
            _send(output, b"X", b"it is encrypted")
            return
        skipped = 0
        for index, member in enumerate(archive.files):
            if member.is_directory:
                continue
            if member.is_symlink or member.is_junction or member.is_socket:
                skipped += 1
                continue
            dated = member.lastwritetime
            seconds = dated.totimestamp() if dated is not None else None
            opening = json.dumps({"name": str(member.filename), "dated": seconds})
            openings[index] = opening.encode("utf-8", "backslashreplace")
            # names are never paths here: the library would refuse the whole archive over one "../x"
            archive.worker.register_filelike(member.id, MemIO(str(index), Senders()))
        if skipped:
            _send(output, b"S", str(skipped).encode())
        archive.worker.extract(stream, None, parallel=False)


main()
