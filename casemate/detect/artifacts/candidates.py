"""Which evidence of a case the scanner has to look at: pure, from what the case says of its evidence.

* What a log reader knows is a log; it is looked at only where its name promises an artefact that is no text.
* Archives were unpacked when they came in, and each member is evidence of its own.  An archive that *is* one
  artefact (a PyTorch checkpoint, ``.npz``, ``.keras``, a wheel, an sdist, ...) is looked at whole, and its members
  not again.  So is an archive that could not be unpacked to its end, if there is anything in it for the scanner.
* Other binary content is looked at; text only if its beginning bears a mark (:mod:`.marks`), or if it lies in the
  folder of an artefact and is named like a part of one.
* Programs, databases, pictures and documents are none of the scanner's, unless they are named like an artefact.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

CONTAINERS = frozenset({"zip", "tar", "gzip", "zstd", "bzip2", "xz", "7z"})
TEXTS = frozenset({"lines", "json", "json-documents"})
"""Formats of readers that take any text."""
BINARIES = frozenset(
    {
        "pickle",
        "numpy",
        "hdf5",
        "safetensors",
        "gguf",
        "parquet",
        "onnx",
        "tflite",
        "joblib_zlib",
        "zlib",
        "lz4",
        "unknown_binary",
    }
)
"""Formats of evidence without a reader that are, or may be, artefacts."""
NOTHING = frozenset({"empty", "apple_double"})

MOST_UNKNOWN = 1 << 30
"""A content of no known format that is larger (an image of a disk or of memory) is not looked at."""
MOST_TEXT = 256 << 20

_ARTIFACT_NAME = re.compile(
    r"\.(?:pkl|pickle|joblib|dill|pt|pth|ckpt|bin|npy|npz|h5|hdf5|keras|pb|onnx|safetensors|gguf|ggml|tflite|mlmodel|msgpack|"
    r"parquet|arrow|feather|whl|egg|mar|nemo|skops|model|weights|params)\Z",
    re.IGNORECASE,
)
_PART_NAME = re.compile(
    r"\.(?:json|jsonl|jinja2?|yaml|yml|csv|tsv|py|pth|cfg|toml|sh|so|dll|pyd|dylib|pyc)\Z"
    r"|(?:\A|/)(?:dockerfile[^/]*|requirements[^/]*\.txt|setup\.cfg|pip\.conf|MANIFEST[^/]*)\Z",
    re.IGNORECASE,
)
_WHOLE: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    # any name of a member that makes the archive one artefact, and how many of such a set must be there
    (re.compile(pattern), count)
    for pattern, count in (
        (r"(?:\A|/)data\.pkl\Z", 1),  # torch.save, TorchScript
        (r"\A[^/]+\.dist-info/(?:WHEEL|RECORD)\Z", 1),
        (r"\AEGG-INFO/PKG-INFO\Z", 1),
        (r"\A[^/]+/PKG-INFO\Z", 1),  # an sdist
        (r"\AMAR-INF/MANIFEST\.json\Z", 1),  # a TorchServe archive
        (r"\A(?:config\.json|metadata\.json|model\.weights\.h5)\Z", 3),  # .keras
        (r"\A(?:sys_info|pickle|storages|tensors)\Z", 3),  # torch.save of long ago, a tar
        (r"\Ainfo/(?:index|paths)\.json\Z", 2),  # a conda package
        (r"\A_stable_baselines3_version\Z", 1),
        (r"\Amodel_config\.yaml\Z", 1),  # .nemo
    )
)


@dataclass(frozen=True)
class Place:
    """Where a content was received: a file, or a member of the container `parent`."""

    path: str
    parent: str | None
    member_path: str | None
    dated: datetime | None

    @property
    def shown(self) -> str:
        """As it is told to people."""
        return self.path if self.member_path is None else f"{self.path}!/{self.member_path}"


@dataclass(frozen=True)
class Piece:
    """One evidence: its size, format, whether taking it in left something to note, and where it was received."""

    evidence: str
    bytes: int
    format: str
    noted: bool
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Candidate:
    """Evidence to look at.

    Args:
        evidence, bytes: which, and how long it is.
        place: where it was received first.
        marked: it is looked at only if its beginning bears a mark.
    """

    evidence: str
    bytes: int
    place: Place
    marked: bool = False


def candidates(pieces: Sequence[Piece], readers: Collection[str], artifacts: Collection[str]) -> list[Candidate]:
    """What to look at, in the order of `pieces`.

    Args:
        pieces: all evidence of a case.
        readers: formats that have a reader.
        artifacts: evidence that is known to be an artefact; what lies beside it is part of it.
    """
    known = {piece.evidence: piece for piece in pieces}
    members: dict[str, list[str]] = {}
    for piece in pieces:
        for place in piece.places:
            if place.parent is not None:
                members.setdefault(place.parent, []).append(_last(place))
    whole = {one.evidence for one in pieces if one.format in CONTAINERS and _is_one(one, members.get(one.evidence, ()))}
    looked = [piece for piece in pieces if not _inside(piece, whole, known)]
    logs = frozenset(readers) - TEXTS
    folders = _folders(one for one in looked if one.evidence in artifacts or one.evidence in whole or _is_binary(one))
    found = [_candidate(piece, whole, logs, folders) for piece in looked]
    holding = {
        place.parent for one in found if one is not None and not one.marked for place in known[one.evidence].places
    }
    for number, piece in enumerate(looked):
        if found[number] is None and piece.format in CONTAINERS and piece.noted:
            empty = not members.get(piece.evidence)
            if empty or piece.evidence in holding:
                found[number] = Candidate(piece.evidence, piece.bytes, piece.places[0])
    return [one for one in found if one is not None]


def _candidate(
    piece: Piece, whole: Collection[str], logs: Collection[str], folders: Collection[tuple[str | None, str]]
) -> Candidate | None:
    if not piece.places or piece.format in NOTHING or not piece.bytes:
        return None
    place = piece.places[0]
    name = _name(place)
    sure = Candidate(piece.evidence, piece.bytes, place)
    if piece.evidence in whole:
        return sure
    if piece.format in CONTAINERS:
        return None
    if piece.format in logs:
        return sure if _ARTIFACT_NAME.search(name) else None
    if piece.format == "unknown_binary":
        return sure if piece.bytes <= MOST_UNKNOWN else None
    if piece.format in BINARIES or _ARTIFACT_NAME.search(name):
        return sure
    if _PART_NAME.search(name) and piece.bytes <= MOST_TEXT and any(_folder(one) in folders for one in piece.places):
        return sure
    if piece.format in TEXTS and piece.bytes <= MOST_TEXT:
        return Candidate(piece.evidence, piece.bytes, place, marked=True)
    return None


def _is_one(piece: Piece, names: Sequence[str]) -> bool:
    if names and all(name.endswith(".npy") for name in names):
        return piece.format == "zip"
    counts = [(sum(bool(pattern.search(name)) for name in names), least) for pattern, least in _WHOLE]
    return any(count >= least for count, least in counts)


def _is_binary(piece: Piece) -> bool:
    return piece.format in BINARIES - {"unknown_binary"}


def _inside(piece: Piece, whole: Collection[str], known: Mapping[str, Piece]) -> bool:
    """Whether it was only ever received as part of an archive that is looked at whole."""
    return bool(piece.places) and all(_covered(place, whole, known, 0) for place in piece.places)


def _covered(place: Place, whole: Collection[str], known: Mapping[str, Piece], depth: int) -> bool:
    if place.parent is None or depth > 64:
        return False
    if place.parent in whole:
        return True
    parent = known.get(place.parent)
    return parent is not None and bool(parent.places) and all(
        _covered(one, whole, known, depth + 1) for one in parent.places
    )  # fmt: skip


def _last(place: Place) -> str:
    """A member's name in the archive it came out of directly."""
    return (place.member_path or "").rpartition("!/")[2]


def _name(place: Place) -> str:
    return _last(place) if place.member_path is not None else place.path


def _folder(place: Place) -> tuple[str | None, str]:
    return place.parent, _name(place).rpartition("/")[0]


def _folders(pieces: Iterable[Piece]) -> set[tuple[str | None, str]]:
    return {_folder(place) for piece in pieces for place in piece.places}
