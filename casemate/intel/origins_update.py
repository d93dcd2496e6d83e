"""``casemate intel update origins``: from files, folders, archives and publishers to stored versions.

All files of one source that come together are one version of it.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin, urlsplit

from casemate.errors import BadInput, CasemateError, LimitReached
from casemate.intel import edge
from casemate.intel.contents import UNPACKED_BYTES, unpacked
from casemate.intel.origins_formats import merge, read_file
from casemate.intel.origins_parsed import Parsed
from casemate.intel.origins_sources import PUBLISHERS, Publisher, publisher
from casemate.intel.origins_store import Source, Version, describe, install, versions
from casemate.limits import MIB

ORIGINS = "origins"
"""The name by which ``intel update`` knows all sources of origin data."""
MOST_FILES = 50_000
FILE_BYTES = 512 * MIB
DEEPEST_FOLDER = 8
STALE_AFTER_DAYS: Mapping[str, int] = {
    # by kind; ranges of services change daily, delegations slowly
    "registry": 90,
    "countries": 90,
    "database": 60,
    "provider": 45,
    "service": 30,
    "warning": 180,
}


@dataclass(frozen=True)
class OriginOutcome:
    """What became of one source: its version (new or already there), or the error."""

    source: str
    installed: Version | None = None
    new: bool = False
    error: CasemateError | None = None
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class OriginStatus:
    """One source as ``intel status`` shows it: its versions, oldest first, and the age of the newest."""

    versions: tuple[Version, ...]
    age_days: int
    stale: bool


@dataclass
class Gathered:
    """Files that were read, and those that were not."""

    files: list[tuple[str, bytes, Parsed]] = field(default_factory=list)
    skipped: list[tuple[str, CasemateError]] = field(default_factory=list)


def update_origins(
    names: Sequence[str] = (),
    *,
    source: str | Path | None = None,
    now: datetime,
    dated: str | None = None,
    root: Path | None = None,
    limits: edge.FetchLimits = edge.FetchLimits(),  # noqa: B008 - frozen
    publishers: Sequence[Publisher] = PUBLISHERS,
) -> list[OriginOutcome]:
    """Install origin data.

    Args:
        names: sources wanted; all when empty.
        source: file, folder, archive or URL (of a file, or of a mirror that holds the publishers' files); the
            publishers themselves when None.
        now: time of the installation, UTC.
        dated: the day of what is installed (``YYYY-MM-DD``), for files that do not say.
        root: data folder; the user's when None.

    Raises:
        BadInput: an unknown source, a day that is none, or nothing to install.
    """
    check_day(dated)
    if source is not None and not (isinstance(source, str) and "://" in source):
        gathered = gather(Path(source), names)
        return _installed(gathered, str(source), now, dated, root)
    wanted = [one for one in publishers if not names or one.name in names]
    for name in names:
        if publisher(name) is None and name not in {one.name for one in publishers}:
            raise BadInput(
                f"no publisher of origin data '{name}'", hint="known: " + ", ".join(p.name for p in publishers)
            )
    if source is None:
        return [_fetched(one, one.urls, now, dated, root, limits) for one in wanted if one.urls]
    url = str(source)
    if PurePosixPath(edge.check_url(url).path).suffix and not url.endswith("/"):
        return _fetched_file(url, names, now, dated, root, limits)
    base = url if url.endswith("/") else url + "/"
    outcomes = []
    for one in wanted:
        files = [urljoin(base, name) for name in mirror_names(one)]
        if files:
            outcomes.append(_fetched(one, files, now, dated, root, limits))
    found = [one for one in outcomes if one.installed is not None]
    if not found and not names:
        raise BadInput("the mirror has none of the publishers' files", where=url, hint="or name a file: --from URL")
    return outcomes if names else found


def mirror_names(one: Publisher) -> list[str]:
    """Names of a publisher's files on a mirror: its own, behind the source's name where they tell nothing."""
    names = [PurePosixPath(urlsplit(address).path).name or one.name for address in one.urls]
    plain = {"ipv4.txt", "ipv6.txt", "list.json", "google.csv", "meta", one.name}
    return [f"{one.name}/{name}" if name in plain else name for name in names]


def check_day(dated: str | None) -> None:
    """Raises BadInput where `dated` is no day."""
    if dated is not None:
        try:
            if date.fromisoformat(dated).isoformat() != dated:
                raise ValueError(dated)
        except ValueError:
            raise BadInput(f"not a day: '{dated}'", where="--dated", hint="YYYY-MM-DD") from None


def gather(path: Path, names: Sequence[str] = ()) -> Gathered:
    """Read every file of origin data at `path`: a file, an archive or a folder.

    Raises:
        BadInput: there is nothing, or nothing that can be read.
        LimitReached: too many files, or too large.
    """
    if not path.exists():
        raise BadInput("no such file or folder", where=str(path))
    gathered = Gathered()
    for name, read in _contents(path):
        try:
            content = read()
            parsed = read_file(name, content)
        except CasemateError as error:
            gathered.skipped.append((name, error))
            continue
        if not names or parsed.source in names:
            gathered.files.append((name, content, parsed))
    if not gathered.files:
        one = gathered.skipped[0][1] if len(gathered.skipped) == 1 else None
        raise one or BadInput("no origin data here", where=str(path))
    return gathered


def read_sources(path: Path, *, now: datetime) -> list[Source]:
    """The sources at `path`, read but not stored (``investigate --origins``)."""
    found = gather(path)
    return [describe(files, came_from=str(path), fetched_at=now)[0] for files in _by_source(found.files).values()]


def origin_status(*, now: datetime, root: Path | None = None) -> dict[str, OriginStatus]:
    """What is installed, by source."""
    rows = {}
    for name, kept in versions(root).items():
        age = max(0, (now.date() - date.fromisoformat(kept[-1].dated)).days)
        limit = STALE_AFTER_DAYS.get(kept[-1].kind)
        rows[name] = OriginStatus(tuple(kept), age, limit is not None and age > limit)
    return rows


Read = Callable[[], bytes]


def _contents(path: Path) -> Iterator[tuple[str, Read]]:
    """Name (the given folder's own name first) and content of every file, archives opened."""
    if path.is_file():
        yield from _opened(path.name if not path.parent.name else f"{path.parent.name}/{path.name}", path)
        return
    pending, seen = [(path, 0)], 0
    while pending:
        place, depth = pending.pop()
        for entry in sorted(place.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and depth < DEEPEST_FOLDER:
                pending.append((entry, depth + 1))
            elif entry.is_file() and not entry.name.startswith("."):
                seen += 1
                if seen > MOST_FILES:
                    raise LimitReached(f"more than {MOST_FILES:,} files", where=str(path))
                yield from _opened(f"{path.resolve().name}/{entry.relative_to(path).as_posix()}", entry)


def _opened(name: str, path: Path) -> Iterator[tuple[str, Read]]:
    try:
        if path.stat().st_size > FILE_BYTES:
            raise LimitReached(f"larger than {FILE_BYTES:,} bytes", where=str(path))
        if zipfile.is_zipfile(path):
            yield from _zip(name, path)
            return
        content, packed = unpacked(path)
    except (CasemateError, OSError) as error:
        failure = (
            error if isinstance(error, CasemateError) else BadInput(f"cannot be read: {error.strerror}", where=name)
        )
        yield name, _failing(failure)
        return
    if packed:
        name = str(PurePosixPath(name).with_suffix(""))
    if len(content) > 262 and content[257:262] == b"ustar":
        yield from _tar(name, content)
    else:
        yield name, lambda: content


def _failing(error: CasemateError) -> Read:
    def fail() -> bytes:
        raise error

    return fail


def _tar(name: str, content: bytes) -> Iterator[tuple[str, Read]]:
    stem = str(PurePosixPath(name).with_suffix(""))
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= MOST_FILES:
                    raise LimitReached(f"more than {MOST_FILES:,} members", where=name)
                if member.isfile() and (stream := archive.extractfile(member)) is not None:
                    held = stream.read()
                    yield f"{stem}/{member.name}", (lambda held=held: held)
    except tarfile.TarError as error:
        yield name, _failing(BadInput(f"not a readable tar archive: {error}", where=name))


def _zip(name: str, path: Path) -> Iterator[tuple[str, Read]]:
    stem = str(PurePosixPath(name).with_suffix(""))
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for number, member in enumerate(archive.infolist()):
                total += member.file_size
                if number >= MOST_FILES or total > UNPACKED_BYTES:
                    raise LimitReached("a zip archive of too many or too large members", where=name)
                if not member.is_dir():
                    with archive.open(member) as stream:
                        held = stream.read(member.file_size + 1)
                    yield f"{stem}/{member.filename}", (lambda held=held: held)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        yield name, _failing(BadInput(f"not a readable zip archive: {error}", where=name))
    except LimitReached as error:
        yield name, _failing(error)


def _by_source(files: Sequence[tuple[str, bytes, Parsed]]) -> dict[str, list[tuple[str, bytes, Parsed]]]:
    order = merge(parsed for _, _, parsed in files)
    return {name: [one for one in files if one[2].source == name] for name in order}


def _installed(
    gathered: Gathered, where: str, now: datetime, dated: str | None, root: Path | None
) -> list[OriginOutcome]:
    outcomes = []
    for name, files in _by_source(gathered.files).items():
        try:
            version, new = install(files, came_from=where, fetched_at=now, dated=dated, root=root)
            outcomes.append(OriginOutcome(name, version, new))
        except CasemateError as error:
            outcomes.append(OriginOutcome(name, error=error))
    skipped = tuple(f"{name}: {error.what}" for name, error in gathered.skipped)
    if outcomes and skipped:
        first = outcomes[0]
        outcomes[0] = OriginOutcome(first.source, first.installed, first.new, first.error, skipped)
    return outcomes


def _fetched(
    one: Publisher, urls: Sequence[str], now: datetime, dated: str | None, root: Path | None, limits: edge.FetchLimits
) -> OriginOutcome:
    """All files of one publisher as one version; if one of them fails, none."""
    files = []
    try:
        for url in urls:
            name, content = _download(url, limits)
            files.append((name, content, read_file(name, content, one)))
        version, new = install(files, came_from=" ".join(urls), fetched_at=now, dated=dated, root=root)
        return OriginOutcome(one.name, version, new)
    except CasemateError as error:
        return OriginOutcome(one.name, error=error)


def _fetched_file(
    url: str, names: Sequence[str], now: datetime, dated: str | None, root: Path | None, limits: edge.FetchLimits
) -> list[OriginOutcome]:
    with tempfile.TemporaryDirectory(prefix="origins-") as scratch:
        file = Path(scratch) / PurePosixPath(urlsplit(url).path).name
        edge.fetch(url, file, limits)
        found = gather(file, names)
    return _installed(found, url, now, dated, root)


def _download(url: str, limits: edge.FetchLimits) -> tuple[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="origins-") as scratch:
        file = Path(scratch) / "file"
        edge.fetch(url, file, limits)
        content, _ = unpacked(file)
    return PurePosixPath(urlsplit(url).path.rstrip("/")).name or "file", content
