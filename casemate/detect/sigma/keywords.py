"""Keywords: texts that may stand in any field of a record.

Asking every value of every column would cost more than all other rules together, so each column's
dictionary is first scanned as one run of bytes for the longest plain piece of each keyword; only
columns in which one occurs are asked value by value.
"""

from __future__ import annotations

import re
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

PLAIN = re.compile(r"[ !#-\[\]-~]+", re.ASCII)
"""Characters that stand for themselves in JSON text too."""
SHORTEST, LONGEST = 3, 200
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
    """All keywords of a table's rules."""

    def __init__(self, matcher: ColumnMatcher, atoms: dict[int, Atom]) -> None:
        self.matcher = matcher
        pieces = [_longest_piece(atom) for atom in atoms.values()]
        self._database: hyperscan.Database | None = None
        if all(piece is not None for piece in pieces):
            unique = sorted({piece.lower().encode() for piece in pieces if piece is not None}) + list(LOWERED_TO_ASCII)
            self._database = compile_patterns(
                [b"".join(b"\\x%02x" % byte for byte in piece) for piece in unique],
                list(range(len(unique))),
                [hyperscan.HS_FLAG_CASELESS] * len(unique),
            )

    def ask(self, columns: Columns, rows: Rows) -> KeywordHits:
        """Ask all fields of `rows`."""
        hits = KeywordHits(columns.rows)
        for name in columns.names():
            if not self._occurs(columns.array(name)):
                continue
            column = columns.get(name)
            if column is not None:
                held = {
                    code: found
                    for code in self._candidates(column, rows)
                    if (found := self.matcher.hits(column.value(code)))
                }
                if held:
                    hits.columns[name] = (column, held)
                    _mark(hits, column, held)
        self._ask_rest(columns, rows, hits)
        return hits

    def _ask_rest(self, columns: Columns, rows: Rows, hits: KeywordHits) -> None:
        column = columns.rest()
        if column is None:
            return
        held: dict[int, dict[str, tuple[str, tuple[int, ...]]]] = {}
        for code in self._candidates(column, rows):
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

    def _occurs(self, array: pa.Array) -> bool:
        """False only if no value of the array can fit."""
        if array.null_count == len(array):
            return False
        if self._database is None:
            return True
        values = array.dictionary if pa.types.is_dictionary(array.type) else array
        _, data = _characters(values)
        try:
            self._database.scan(data, match_event_handler=lambda *_: True)  # one is enough
        except hyperscan.ScanTerminated:
            return True
        return False

    def _candidates(self, column: Column, rows: Rows) -> list[int]:
        """Codes of the values in `rows` that may fit."""
        used = column.used([rows])
        if self._database is None:
            return used
        bounds, data = _characters(column.dictionary)
        ends: set[int] = set()
        self._database.scan(data, match_event_handler=lambda _number, _start, end, *_: ends.add(end))
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
