"""Keywords: texts that may stand in any field of a record.

Asking every value of every column would cost more than all other rules together, so each column's
dictionary is first scanned as one run of bytes for the longest plain piece of each keyword; only
columns in which one occurs are asked value by value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import hyperscan
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from casemate.detect.sigma.atoms import Atom, ColumnMatcher, compile_patterns
from casemate.detect.sigma.columns import REST, Column, Columns

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PLAIN = re.compile(r"[ -~]+", re.ASCII)
"""Characters whose case is the same in any reading."""
SHORTEST, LONGEST = 3, 200
FEW = 16
"""So few values are asked one by one."""
LOWERED_TO_ASCII = ("\u0130".encode(), "\u212a".encode())
"""Letters outside ASCII whose lower case begins with an ASCII letter."""


@dataclass
class KeywordHits:
    """Where keywords were found in one batch."""

    rows: int
    masks: dict[int, Mask] = field(default_factory=dict)
    columns: dict[str, tuple[Column, dict[int, tuple[int, ...]]]] = field(default_factory=dict)
    """column -> the column, and for each code the atoms that hold for its value."""
    rest: tuple[Column, dict[int, dict[str, tuple[str, tuple[int, ...]]]]] | None = None
    """``rest``, and for each code: key -> value and the atoms that hold for it."""

    def atoms(self) -> set[int]:
        """Atoms that hold for some value."""
        return set(self.masks)

    def holds(self, atoms: list[int], rows: Rows) -> Mask:
        """For each of `rows`, whether one of the atoms holds for some field."""
        mask = np.zeros(len(rows), np.bool_)
        for atom in atoms:
            found = self.masks.get(atom)
            if found is not None:
                mask |= found[rows]
        return mask

    def places(self, atoms: frozenset[int], row: int) -> list[tuple[str, int, str]]:
        """Column, atom and value of what holds in one row."""
        found: list[tuple[str, int, str]] = []
        for name, (column, held) in self.columns.items():
            code = int(column.codes[row])
            for atom in held.get(code, ()):
                if atom in atoms:
                    found.append((name, atom, column.value(code)))
        if self.rest is not None:
            column, keys = self.rest
            for name, (value, held_atoms) in keys.get(int(column.codes[row]), {}).items():
                found.extend((name, atom, value) for atom in held_atoms if atom in atoms)
        return found


class KeywordMatcher:
    """All keywords of a table's rules.

    Args:
        matcher: tells which keywords hold for a value.
        atoms: the keywords.
        asked_by: event source -> the keywords that its rules ask for.
    """

    def __init__(self, matcher: ColumnMatcher, atoms: dict[int, Atom], asked_by: Mapping[int, frozenset[int]]) -> None:
        self.matcher = matcher
        self._pieces = {
            source: _Pieces.of([atoms[number] for number in sorted(asked)])
            for source, asked in asked_by.items()
            if asked
        }
        self._occurring = _Occurring(self._pieces)

    def ask(self, columns: Columns, rows_of: Mapping[int, Rows]) -> KeywordHits | None:
        """Ask all fields of the rows of each event source for its keywords; None if no source has any."""
        asked = [source for source in rows_of if source in self._pieces]
        if not asked:
            return None
        hits = KeywordHits(columns.rows)
        for name in columns.names():
            possible = self._occurring.sources(columns.array(name)).intersection(asked)
            column = columns.get(name) if possible else None
            if column is None:
                continue
            codes = _union(_candidates(self._pieces[one].in_values, column, rows_of[one]) for one in possible)
            held = {code: found for code in codes if (found := self.matcher.hits(column.value(code)))}
            if held:
                hits.columns[name] = (column, held)
                _mark(hits, column, held)
        self._ask_rest(columns, [(self._pieces[source], rows_of[source]) for source in asked], hits)
        return hits

    def _ask_rest(self, columns: Columns, asked: list[tuple[_Pieces, Rows]], hits: KeywordHits) -> None:
        column = columns.rest()
        if column is None:
            return
        held: dict[int, dict[str, tuple[str, tuple[int, ...]]]] = {}
        for code in _union(_candidates(pieces.in_rest, column, rows) for pieces, rows in asked):
            try:
                fields = orjson.loads(column.value(code))
            except orjson.JSONDecodeError:
                continue
            for key, value in fields.items() if isinstance(fields, dict) else ():
                text = value if isinstance(value, str) else orjson.dumps(value).decode()
                found = self.matcher.hits(text)
                if found:
                    held.setdefault(code, {})[f"{REST}.{key}"] = (text, found)
        if held:
            hits.rest = (column, held)
            atoms = {code: tuple({atom for _, found in keys.values() for atom in found}) for code, keys in held.items()}
            _mark(hits, column, atoms)


@dataclass(frozen=True)
class _Pieces:
    """Finds plain pieces of keywords in runs of values; None: some keyword has no such piece, so ask every value."""

    texts: frozenset[bytes]
    in_values: hyperscan.Database | None
    in_rest: hyperscan.Database | None

    @classmethod
    def of(cls, atoms: list[Atom]) -> _Pieces:
        found = [_longest_piece(atom) for atom in atoms]
        pieces = {piece.lower() for piece in found if piece is not None}
        if None in found:
            return cls(frozenset(), None, None)
        # in JSON text a piece stands escaped, or (in a value that is an array) as it is
        written = {form for piece in pieces for form in (piece.encode(), orjson.dumps(piece)[1:-1])}
        texts = frozenset(piece.encode() for piece in pieces)
        return cls(texts, _database(sorted(texts)), _database(sorted(written)))


class _Occurring:
    """Which event sources have a piece that occurs in a column, asked of all sources at once."""

    def __init__(self, pieces: Mapping[int, _Pieces]) -> None:
        self._always = frozenset(source for source, own in pieces.items() if own.in_values is None)
        self._all = frozenset(pieces)
        texts = sorted({text for own in pieces.values() for text in own.texts})
        self._sources = [frozenset(source for source, own in pieces.items() if text in own.texts) for text in texts]
        self._database = _database(texts, hyperscan.HS_FLAG_SINGLEMATCH)

    def sources(self, array: pa.Array) -> frozenset[int]:
        """The event sources whose keywords may hold for a value of the array."""
        if array.null_count == len(array):
            return frozenset()
        values = array.dictionary if pa.types.is_dictionary(array.type) else array
        found: list[int] = []
        self._database.scan(_characters(values)[1], match_event_handler=lambda number, *_: found.append(number))
        if any(number >= len(self._sources) for number in found):  # a letter whose lower case is a piece's
            return self._all
        return self._always.union(*(self._sources[number] for number in found))


def _database(pieces: list[bytes], flags: int = 0) -> hyperscan.Database:
    """Finds any of the pieces, ignoring case, and the letters of LOWERED_TO_ASCII, numbered after them."""
    unique = [*pieces, *LOWERED_TO_ASCII]
    return compile_patterns(
        [b"".join(b"\\x%02x" % byte for byte in piece) for piece in unique],
        list(range(len(unique))),
        [hyperscan.HS_FLAG_CASELESS | flags] * len(unique),
    )


def _union(codes: Iterable[list[int]]) -> list[int]:
    return sorted({code for some in codes for code in some})


def _candidates(database: hyperscan.Database | None, column: Column, rows: Rows) -> list[int]:
    """Codes of the values in `rows` that may fit."""
    used = column.used([rows])
    if database is None or len(used) <= FEW:
        return used
    bounds, data = _characters(column.dictionary)
    ends: set[int] = set()
    database.scan(data, match_event_handler=lambda _number, _start, end, *_: ends.add(end))
    found = np.searchsorted(bounds - bounds[0], np.fromiter(ends, np.int64, len(ends)), side="left") - 1
    return sorted(set(found.tolist()).intersection(used))


def _characters(values: pa.Array) -> tuple[npt.NDArray[np.integer], Any]:
    """Where each value of a text array ends (the first entry is where the first begins), and the characters."""
    kind = np.int64 if pa.types.is_large_string(values.type) else np.int32
    offsets, data = values.buffers()[1:3]
    if data is None or offsets is None or not len(values):
        return np.zeros(len(values) + 1, kind), b""
    bounds = np.frombuffer(offsets, kind, count=len(values) + 1, offset=values.offset * kind().itemsize)
    return bounds, memoryview(data)[int(bounds[0]) : int(bounds[-1])]


def _mark(hits: KeywordHits, column: Column, held: dict[int, tuple[int, ...]]) -> None:
    by_atom: dict[int, list[int]] = {}
    for code, atoms in held.items():
        for atom in atoms:
            by_atom.setdefault(atom, []).append(code)
    for atom, codes in by_atom.items():
        lookup = np.zeros(column.count + 1, np.bool_)
        lookup[codes] = True
        mask = lookup[column.codes]
        hits.masks[atom] = hits.masks[atom] | mask if atom in hits.masks else mask


def _longest_piece(atom: Atom) -> str | None:
    """The longest run of plain characters a value must hold if the atom is to hold; None if too short."""
    if atom[0] in ("text", "cased"):
        texts = [atom[1]]
    elif atom[0] in ("like", "likecased"):
        texts = [part for part in atom[1] if isinstance(part, str)]
    else:
        return None
    pieces = [piece for text in texts for piece in PLAIN.findall(text)]
    longest = max(pieces, key=len, default="")
    return longest[:LONGEST] if len(longest) >= SHORTEST else None
