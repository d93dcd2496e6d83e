"""One archive of a whole case, which another analyst opens.

The archive is a tar of plain files inside zstd, in this order: ``custody.jsonl``, ``case.toml``,
``manifest``, ``seals/``, then every blob and live part that the log names; ``tar --zstd -xf`` opens it
too.  Unpacking takes nothing but what the log names, by length and SHA-256: headers other than those
of plain files (links, devices, folders, extensions), other names, doubled and missing files end it,
and the target folder appears only when everything was verified.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from casemate.engine.files import check_folder, disk_errors, inside, open_regular, sync_folder
from casemate.engine.state import LiveState
from casemate.engine.store import FOLDERS, MANIFEST_BYTES
from casemate.errors import BadInput, CaseDamaged, CasemateError, LimitReached
from casemate.evidence.custody import FIRST_PREVIOUS, intact_lines
from casemate.evidence.seal import FOLDER as SEALS
from casemate.evidence.seal import SEAL_BYTES
from casemate.evidence.timestamp import ANSWER_BYTES, SUFFIX
from casemate.evidence.verify import SEAL_PATH, verify
from casemate.limits import Limits

CUSTODY, SETTINGS, MANIFEST = "custody.jsonl", "case.toml", "manifest"
SETTINGS_BYTES = 1024 * 1024
MOST_SEALS = 10_000
BLOCK = 512
COPY_BYTES = 1024 * 1024
WINDOW_BYTES = 128 * 1024 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9_./-]{0,98}")
_LEFT_IN_PLACE = re.compile(r"evidence [0-9a-f]{16} left in place at ")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Packed:
    """What was packed or unpacked: files, their bytes, the head of the log, and what is not inside."""

    files: int
    bytes: int
    head: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Expected:
    """What the log says of one file; None where it says nothing and only the length is limited."""

    most: int
    exact: bool
    sha256: str | None


# packing


def pack(root: Path, out: Path, progress: Progress | None = None) -> Packed:
    """Write the case at `root` as one archive `out`.

    Raises:
        BadInput: `out` is there already, or there is no case.
        CaseDamaged: a file is not what the custody log says.
        CannotFinish: the disk is full, or somebody writes to the case.
    """
    if os.path.lexists(out):
        raise BadInput("is there already", where=str(out))
    if not (root / CUSTODY).is_file():
        raise BadInput("there is no case here", where=str(root))
    state, head, length = _fold(root / CUSTODY)
    files = _expected(state)
    total = length + sum(expected.most for expected in files.values())
    beside = out.with_name(f"{out.name}.new")
    done = 0
    count = 0
    try:
        with disk_errors(out), beside.open("xb") as file:
            with zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(file, closefd=False) as packed:
                for name, size, source in _contents(root, state, length, files):
                    with source:
                        _write_member(packed, name, size, source, files.get(name))
                    done += size
                    count += 1
                    if progress is not None:
                        progress(done, total, name)
                packed.write(bytes(2 * BLOCK))
            file.flush()
            os.fsync(file.fileno())
        with disk_errors(out):
            os.link(beside, out)  # unlike a rename it does not replace what somebody put there meanwhile
            beside.unlink()
            sync_folder(out.absolute().parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return Packed(count, done, head, _left_out(state))


def _fold(path: Path) -> tuple[LiveState, str, int]:
    """What the log says, its head, and the length of its whole lines."""
    state, head, length = LiveState(), FIRST_PREVIOUS, 0
    for line in intact_lines(path):
        head = line.hash
        if line.kind == "commit":
            state.apply(line.facts)
    with os.fdopen(open_regular(path), "rb") as stream:
        for raw in stream:
            length += len(raw)
            if head.encode() in raw[-70:]:
                break
    if head == FIRST_PREVIOUS:
        raise CaseDamaged("holds no line", where=str(path))
    return state, head, length


def _expected(state: LiveState) -> dict[str, _Expected]:
    """Every file the log names."""
    blobs = {blob.path: _Expected(blob.stored_bytes, True, blob.sha256) for blob in state.blobs.values() if blob.path}
    parts = {part.path: _Expected(part.bytes, True, part.sha256) for part in state.parts.values()}
    return {**blobs, **parts}


def _contents(
    root: Path, state: LiveState, length: int, files: dict[str, _Expected]
) -> Iterator[tuple[str, int, BinaryIO]]:
    yield CUSTODY, length, _open(root, CUSTODY)
    for name in (SETTINGS, *_seals(root)):
        stream = _open(root, name)
        yield name, os.fstat(stream.fileno()).st_size, stream
    manifest = state.manifest()
    yield MANIFEST, len(manifest), _bytes(manifest)
    for name, expected in files.items():
        yield name, expected.most, _open(root, name)


def _seals(root: Path) -> list[str]:
    if not os.path.lexists(root / SEALS):
        return []
    check_folder(root / SEALS)
    names = sorted(f"{SEALS}/{path.name}" for path in (root / SEALS).iterdir())
    return [name for name in names if SEAL_PATH.fullmatch(name)]


def _bytes(content: bytes) -> BinaryIO:
    return io.BytesIO(content)


def _open(root: Path, name: str) -> BinaryIO:
    try:
        return os.fdopen(open_regular(inside(root, name)), "rb")
    except (OSError, CaseDamaged) as error:
        said = error.what if isinstance(error, CasemateError) else error.strerror
        raise CaseDamaged(
            f"cannot be packed: {said}",
            where=name,
            hint="is somebody writing to the case? see 'casemate custody verify'",
        ) from None


def _write_member(packed: BinaryIO, name: str, size: int, source: BinaryIO, expected: _Expected | None) -> None:
    packed.write(_header(name, size))
    digest, left = hashlib.sha256(), size
    while left and (data := source.read(min(COPY_BYTES, left))):
        digest.update(data)
        packed.write(data)
        left -= len(data)
    if left or (expected is not None and (source.read(1) or digest.hexdigest() != expected.sha256)):
        raise CaseDamaged("is not what the custody log says", where=name, hint="see 'casemate custody verify'")
    packed.write(bytes(-size % BLOCK))


def _left_out(state: LiveState) -> tuple[str, ...]:
    left = sum(blob.path is None for blob in state.blobs.values())
    return (f"{left:,} pieces of evidence were left in place; their content is not in the archive",) if left else ()


# the headers: POSIX.1-1988 ustar, plain files only


def _header(name: str, size: int) -> bytes:
    number = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    fields = [
        name.encode().ljust(100, b"\0"), b"0000644\0", b"0000000\0", b"0000000\0", number, b"00000000000\0",
        b" " * 8, b"0", bytes(100), b"ustar\x0000", bytes(32), bytes(32), bytes(8), bytes(8), bytes(155),
    ]  # fmt: skip
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _read_header(block: bytes) -> tuple[str, int] | None:
    """Name and size; None for the end of the archive.

    Raises:
        BadInput: it is not one that :func:`_header` writes.
    """
    if block == bytes(BLOCK):
        return None
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
        field = block[124:136]
        size = int.from_bytes(field[1:], "big") if field[:1] == b"\x80" else int(field[:11], 8)
    except ValueError:
        raise BadInput("is not an archive of a case: a header cannot be read") from None
    if block != _header(name, size):
        raise BadInput(f"holds something that is not a plain file of a case: {name[:100]!r}")
    if not _NAME.fullmatch(name) or ".." in name or "//" in name:
        raise BadInput(f"holds a name that no case has: {name[:100]!r}")
    return name, size


# unpacking


def unpack(file: Path, target: Path, limits: Limits | None = None, progress: Progress | None = None) -> Packed:
    """Open the archive `file` as the new case folder `target`.

    Raises:
        BadInput: `target` is there already, or the archive is not one of a case, whole and unchanged.
        LimitReached: it holds more than the limits allow.
        CannotFinish: the disk is full.
    """
    limits = limits or Limits()
    target = target.absolute()
    if os.path.lexists(target):
        raise BadInput("is there already", where=str(target), hint="give a new folder")
    try:
        source = os.fdopen(open_regular(file), "rb")
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(file)) from None
    with source, disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            for name in FOLDERS:
                (place / name).mkdir()
            reader = _Reader(source, limits, progress)
            found = _unpack(reader, place)
            _verify(place)
            place.chmod(0o755)
            os.rename(place, target)  # noqa: PTH104 - it fails where somebody made the target meanwhile
            sync_folder(target.parent)
        except BadInput as error:
            raise BadInput(error.what, where=error.where or str(file), hint=error.hint) from None
        finally:
            shutil.rmtree(place, ignore_errors=True)
    return found


class _Reader:
    """The unpacked bytes, counted against the limits."""

    def __init__(self, source: BinaryIO, limits: Limits, progress: Progress | None) -> None:
        self._packed = os.fstat(source.fileno()).st_size
        self._source, self._limits, self._progress = source, limits, progress
        self._stream = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(source)
        self.bytes = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes.

        Raises:
            BadInput: the archive breaks off or is damaged.
            LimitReached: too much came out.
        """
        pieces, left = [], size
        while left:
            try:
                data = self._stream.read(left)
            except zstandard.ZstdError as error:
                raise BadInput(f"is damaged or not an archive of a case: {error}") from None
            if not data:
                raise BadInput("breaks off")
            pieces.append(data)
            left -= len(data)
        self.bytes += size
        if self.bytes > self._limits.archive_bytes:
            raise LimitReached(f"limit archive_bytes reached: more than {self._limits.archive_bytes:,} bytes unpacked")
        if self.bytes > max(self._limits.archive_ratio_floor, self._limits.archive_ratio * self._packed):
            raise LimitReached(f"limit archive_ratio reached: {self.bytes:,} bytes out of {self._packed:,}")
        return b"".join(pieces)

    def tell(self, name: str) -> None:
        """Tell the progress, by the packed bytes."""
        if self._progress is not None:
            self._progress(self._source.tell(), self._packed, name)

    def at_end(self) -> bool:
        """Whether nothing follows."""
        try:
            return not self._stream.read(1) and not self._source.read(1)
        except zstandard.ZstdError:
            return False


def _unpack(reader: _Reader, place: Path) -> Packed:
    first = _read_header(reader.read(BLOCK))
    if first is None or first[0] != CUSTODY:
        raise BadInput("is not an archive of a case: it does not begin with a custody log")
    _write_file(reader, place, *first, None)
    try:
        state, head, length = _fold(place / CUSTODY)
    except CaseDamaged as error:
        raise BadInput(f"its custody log is damaged: {error.what}") from None
    if length != first[1]:
        raise BadInput("its custody log does not end with a whole line")
    waiting = {
        **_expected(state),
        SETTINGS: _Expected(SETTINGS_BYTES, False, None),
        MANIFEST: _Expected(MANIFEST_BYTES, False, hashlib.sha256(state.manifest()).hexdigest()),
    }
    count, total, seals = 1, first[1], 0
    while (header := _read_header(reader.read(BLOCK))) is not None:
        name, size = header
        expected = waiting.pop(name, None)
        if expected is None and SEAL_PATH.fullmatch(name) and seals < MOST_SEALS and not (place / name).exists():
            most = ANSWER_BYTES if name.endswith(SUFFIX) else SEAL_BYTES
            expected, seals = _Expected(most, False, None), seals + 1
        if expected is None:
            raise BadInput(f"holds a file that its custody log does not name: {name}")
        if size > expected.most or (expected.exact and size != expected.most):
            raise BadInput(f"{name} is {size:,} bytes long, which it cannot be")
        _write_file(reader, place, name, size, expected)
        count, total = count + 1, total + size
        reader.tell(name)
    if waiting:
        raise BadInput(f"lacks {len(waiting):,} files that its custody log names, the first {min(waiting)}")
    if reader.read(BLOCK) != bytes(BLOCK) or not reader.at_end():
        raise BadInput("goes on after its end")
    notes = (*_left_out(state), "case.toml is not covered by the custody log: look at it before you go on")
    return Packed(count, total, head, notes)


def _write_file(reader: _Reader, place: Path, name: str, size: int, expected: _Expected | None) -> None:
    path = place / name
    path.parent.mkdir(exist_ok=True)
    digest, left = hashlib.sha256(), size
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as stream:
        while left:
            data = reader.read(min(COPY_BYTES, left))
            digest.update(data)
            stream.write(data)
            left -= len(data)
        stream.flush()
        os.fsync(stream.fileno())
    padding = -size % BLOCK
    if padding and reader.read(padding) != bytes(padding):
        raise BadInput("holds bytes between its files")
    if expected is not None and expected.sha256 not in (None, digest.hexdigest()):
        raise BadInput(f"{name} is not what the custody log says")


def _verify(place: Path) -> None:
    """The whole verification, content of the evidence included; what was left in place cannot be there."""
    found = verify(place)
    wrong = [problem for problem in found.problems if not _LEFT_IN_PLACE.match(problem.where)]
    if wrong:
        raise BadInput(f"{wrong[0].where}: {wrong[0].what}" + (f" (and {len(wrong) - 1} more)" if wrong[1:] else ""))
