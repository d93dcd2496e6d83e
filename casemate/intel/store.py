"""The store of rules and reference data: every version kept, one current, pinned per case.

```
HOME/intel/<dataset>/<version>/content.<suffix>   the release file as it came
                               installed.json      where from, when, SHA-256, counts
                               techniques.json     (ATT&CK, ATLAS) the same, quick to read
HOME/intel/<dataset>/current                       name of the version in use
```
A version is named by its day and the beginning of its hash.  A version becomes visible by one
rename of its whole folder; what a stopped installation left behind begins with ``.`` and is
deleted by the next.  Casemate's own rules are always there as the rule set ``casemate``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import orjson

import casemate
from casemate.errors import BadInput, CaseDamaged, CasemateError
from casemate.intel.attack import Knowledge, as_plain, from_plain
from casemate.intel.contents import RULE_SUFFIXES, read_contents

DATASETS: tuple[str, ...] = ("sigma", "yara", "attack", "atlas")
OWN_RULES = "casemate"
HOME_VARIABLE = "CASEMATE_HOME"
HASH_DIGITS = 12
KNOWLEDGE_FORMAT = 1


@dataclass(frozen=True)
class Pin:
    """What a case writes down about one dataset, to find the same again."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Installed:
    """One installed version.

    Args:
        name: dataset, one of :data:`DATASETS`, or ``casemate``.
        version: its name in the store.
        release: the release's own name for itself, if it has one.
        dated: day of the release, ``YYYY-MM-DD``; None if it does not say.
        source: URL or path it was installed from.
        fetched_at: when, UTC.
        sha256, bytes: of the release file.
        counts: what is in it.
        path: the release file (for ``casemate``: the folder of rules).
    """

    name: str
    version: str
    release: str | None
    dated: str | None
    source: str
    fetched_at: datetime | None
    sha256: str
    bytes: int
    counts: Mapping[str, int] = field(default_factory=dict)
    path: Path = Path()

    @property
    def pin(self) -> Pin:
        """What a case keeps of it."""
        return Pin(self.name, self.version, self.sha256)


def home(environment: Mapping[str, str] | None = None) -> Path:
    """Casemate's data folder: ``$CASEMATE_HOME``, else ``casemate`` in the user's data folder."""
    values = os.environ if environment is None else environment
    if values.get(HOME_VARIABLE):
        return Path(values[HOME_VARIABLE]).expanduser()
    data = values.get("XDG_DATA_HOME")
    return (Path(data) if data else Path("~/.local/share").expanduser()) / "casemate"


def own_rules() -> Path:
    """The folder of Casemate's own rules."""
    return Path(casemate.__file__).parent / "rules"


def installed_rules(root: Path | None = None) -> tuple[Path, ...]:
    """Paths of the rules in use: Casemate's own and, if installed, the current Sigma rule set.

    Args:
        root: data folder; :func:`home` when None.
    """
    public = current("sigma", root)
    return (own_rules(), *([public.path] if public is not None else []))


def current(name: str, root: Path | None = None) -> Installed | None:
    """The version of a dataset in use, None if nothing is installed."""
    if name == OWN_RULES:
        return _own()
    folder = _folder(root, name)
    try:
        version = (folder / "current").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return _read(folder / version) if _is_version(version) else None


def versions(name: str, root: Path | None = None) -> list[Installed]:
    """All kept versions of a dataset, by name."""
    if name == OWN_RULES:
        return [_own()]
    folder = _folder(root, name)
    if not folder.is_dir():
        return []
    found = [_read(one) for one in sorted(folder.iterdir()) if one.is_dir() and _is_version(one.name)]
    return [one for one in found if one is not None]


def pins(root: Path | None = None) -> tuple[Pin, ...]:
    """What a case should write down: Casemate's own rules and every current dataset."""
    found = [current(name, root) for name in (OWN_RULES, *DATASETS)]
    return tuple(one.pin for one in found if one is not None)


def resolve(pin: Pin, root: Path | None = None) -> Installed:
    """Find a pinned version again and check that it is what it was.

    Raises:
        BadInput: it is not installed (any more), or Casemate's own rules have changed.
        CaseDamaged: the stored file is not what was pinned.
    """
    if pin.name == OWN_RULES:
        own = _own()
        if own.sha256 != pin.sha256:
            raise BadInput(
                f"the case was made with Casemate's own rules {pin.version}, these are {own.version}",
                hint="install that version of Casemate, or run the case again",
            )
        return own
    if pin.name not in DATASETS or not _is_version(pin.version):
        raise BadInput(f"no such dataset: {pin.name} {pin.version}")
    found = _read(_folder(root, pin.name) / pin.version)
    if found is None:
        raise BadInput(
            f"{pin.name} {pin.version} is not installed",
            hint=f"casemate intel update {pin.name} --from FILE, with the file whose SHA-256 is {pin.sha256}",
        )
    if found.sha256 != pin.sha256 or file_hash(found.path) != pin.sha256:
        raise CaseDamaged(f"{pin.name} {pin.version} is not what was pinned", where=str(found.path))
    return found


def knowledge(name: str, root: Path | None = None, pin: Pin | None = None) -> Knowledge | None:
    """Techniques of ATT&CK (``attack``) or ATLAS (``atlas``): the pinned or the current version."""
    found = resolve(pin, root) if pin is not None else current(name, root)
    if found is None:
        return None
    try:
        plain = orjson.loads((found.path.parent / "techniques.json").read_bytes())
        if plain["format"] == KNOWLEDGE_FORMAT:
            return from_plain(plain)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # written by another version or damaged: the release file itself is the truth
    return read_contents(found.path).knowledge


def install(
    file: Path, *, source: str, fetched_at: datetime, root: Path | None = None, expected: str | None = None
) -> tuple[Installed, bool]:
    """Install a release file and make it the current version.

    Args:
        file: the release file; it is copied.
        source: where it came from, as a person should read it.
        fetched_at: when, UTC.
        root: data folder; :func:`home` when None.
        expected: dataset it must be, if the user named one.

    Returns:
        the installed version, and whether it was not there before.

    Raises:
        BadInput, LimitReached: see :func:`casemate.intel.contents.read_contents`.
    """
    try:
        contents = read_contents(file)
    except CasemateError as error:  # the file may be a download nobody knows by its name
        raise type(error)(error.what, where=source, hint=error.hint) from error
    if expected is not None and contents.dataset != expected:
        raise BadInput(f"this is {contents.dataset}, not {expected}", where=source)
    digest = file_hash(file)
    today = fetched_at.date().isoformat()
    dated = contents.dated if contents.dated is not None and contents.dated <= today else None
    version = f"{dated or today}-{digest[:HASH_DIGITS]}"
    folder = _folder(root, contents.dataset)
    folder.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder):
        known = next((one for one in versions(contents.dataset, root) if one.sha256 == digest), None)
        if known is not None:
            _make_current(folder, known.version)
            return known, False
        for old in folder.glob(".staging-*"):
            shutil.rmtree(old, ignore_errors=True)
        entry = Installed(
            name=contents.dataset,
            version=version,
            release=contents.version,
            dated=dated,
            source=source,
            fetched_at=fetched_at,
            sha256=digest,
            bytes=file.stat().st_size,
            counts=contents.counts,
            path=Path(f"content{contents.suffix}"),
        )
        return _place(folder, file, entry, contents.knowledge), True


def _place(folder: Path, file: Path, entry: Installed, known: Knowledge | None) -> Installed:
    """Write a version beside the others and make it visible by one rename."""
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder))
    shutil.copyfile(file, staging / entry.path)
    if known is not None:
        plain = {"format": KNOWLEDGE_FORMAT, **as_plain(known)}
        (staging / "techniques.json").write_bytes(orjson.dumps(plain))
    (staging / "installed.json").write_text(json.dumps(_plain(entry), indent=1), encoding="utf-8")
    staging.chmod(0o755)
    for one in (*staging.iterdir(), staging):
        _sync(one)
    target = folder / entry.version
    if target.exists():  # damaged, or it would have been found by its hash
        shutil.rmtree(target)
    staging.rename(target)
    _sync(folder)
    _make_current(folder, entry.version)
    placed = _read(target)
    assert placed is not None
    return placed


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the dataset's lock, which dies with the process."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _own() -> Installed:
    folder = own_rules()
    files: Sequence[Path] = sorted(one for one in folder.rglob("*") if one.suffix.lower() in RULE_SUFFIXES)
    digest, size = hashlib.sha256(), 0
    for one in files:
        content = one.read_bytes()
        size += len(content)
        digest.update(f"{one.relative_to(folder).as_posix()}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    sha256 = digest.hexdigest()
    release = casemate.__version__
    return Installed(
        name=OWN_RULES,
        version=f"{release}-{sha256[:HASH_DIGITS]}",
        release=release,
        dated=None,
        source="part of Casemate",
        fetched_at=None,
        sha256=sha256,
        bytes=size,
        counts={"files": len(files)},
        path=folder,
    )


def _folder(root: Path | None, name: str) -> Path:
    return (root if root is not None else home()) / "intel" / name


def _is_version(text: str) -> bool:
    return bool(text) and not text.startswith(".") and all(sign.isalnum() or sign in "-." for sign in text)


def _plain(entry: Installed) -> dict[str, object]:
    when = entry.fetched_at.isoformat() if entry.fetched_at is not None else None
    return asdict(entry) | {"fetched_at": when, "path": entry.path.name}


def _read(folder: Path) -> Installed | None:
    """What ``installed.json`` says, None where it or the release file is absent or damaged."""
    try:
        plain = json.loads((folder / "installed.json").read_text(encoding="utf-8"))
        path = folder / Path(plain["path"]).name
        when = datetime.fromisoformat(plain["fetched_at"])
        entry = Installed(**(plain | {"path": path, "fetched_at": when}))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry if path.is_file() and entry.version == folder.name else None


def _make_current(folder: Path, version: str) -> None:
    handle, name = tempfile.mkstemp(prefix=".current-", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(version + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).replace(folder / "current")
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
