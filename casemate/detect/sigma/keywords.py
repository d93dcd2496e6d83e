"""Keywords: texts that may stand in any field of a record.

Asking every value of every column would cost more than all other rules together, so each column's
dictionary is first scanned as one run of bytes for the longest plain piece of each keyword; only
columns in which one occurs are asked value by value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import hyperscan
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from casemate.detect.sigma.atoms import Atom, ColumnMatcher
from casemate.detect.sigma.columns import REST, Column, Columns

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PLAIN = re.compile(r"[ !#-\[\]-~]+", re.ASCII)
"""Characters that stand for themselves in JSON text too."""
SHORTEST = 3
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
                    found.append((name, atom, column.values[code] or ""))
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
            unique = sorted({piece.lower() for piece in pieces if piece is not None})
            flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            self._database.compile(
                expressions=[b"".join(b"\\x%02x" % byte for byte in piece.encode()) for piece in unique],
                ids=list(range(len(unique))),
                flags=[flags] * len(unique),
            )

    def ask(self, columns: Columns, rows: Rows) -> KeywordHits:
        """Ask all fields of `rows`."""
        hits = KeywordHits(columns.rows)
        for name in columns.names():
            if not self._may_hold(columns.array(name)):
                continue
            column = columns.get(name)
            if column is not None:
                held = {
                    code: found for code in _used(column, rows) if (found := self.matcher.hits(column.values[code]))
                }  # type: ignore[arg-type]
                if held:
                    hits.columns[name] = (column, held)
                    _mark(hits, column, held)
        self._ask_rest(columns, rows, hits)
        return hits

    def _ask_rest(self, columns: Columns, rows: Rows, hits: KeywordHits) -> None:
        column = columns.rest()
        if column is None or not self._may_hold_texts(column.values):
            return
        held: dict[int, dict[str, tuple[str, tuple[int, ...]]]] = {}
        for code in _used(column, rows):
            try:
                fields = orjson.loads(column.values[code] or "")
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

    def _may_hold(self, array: pa.Array) -> bool:
        if self._database is None or array.null_count == len(array):
            return array.null_count < len(array)
        values = array.dictionary if pa.types.is_dictionary(array.type) else array
        return self._found_in(_bytes_of(values))

    def _may_hold_texts(self, values: list[str | None]) -> bool:
        return self._database is None or self._found_in(
            "\n".join(value or "" for value in values).encode("utf-8", "replace")
        )

    def _found_in(self, data: bytes | memoryview) -> bool:
        assert self._database is not None
        found: list[int] = []

        def hit(number: int, *_: object) -> bool:
            found.append(number)
            return True  # one is enough

        try:
            self._database.scan(data, match_event_handler=hit)
        except hyperscan.ScanTerminated:
            return True
        text = bytes(data)
        return bool(found) or any(letter in text for letter in LOWERED_TO_ASCII)


def _bytes_of(values: pa.Array) -> bytes:
    """The characters of all values of a text array, one after the other."""
    offsets, data = values.buffers()[1:3]
    if data is None or offsets is None:
        return b""
    kind = np.int64 if pa.types.is_large_string(values.type) else np.int32
    bounds = np.frombuffer(offsets, kind, count=len(values) + 1, offset=values.offset * kind().itemsize)
    return memoryview(data)[int(bounds[0]) : int(bounds[-1])].tobytes()


def _used(column: Column, rows: Rows) -> list[int]:
    used = np.zeros(len(column.values) + 1, np.bool_)
    used[column.codes[rows]] = True
    used[len(column.values)] = False
    return np.flatnonzero(used).tolist()


def _mark(hits: KeywordHits, column: Column, held: dict[int, tuple[int, ...]]) -> None:
    by_atom: dict[int, list[int]] = {}
    for code, atoms in held.items():
        for atom in atoms:
            by_atom.setdefault(atom, []).append(code)
    for atom, codes in by_atom.items():
        lookup = np.zeros(len(column.values) + 1, np.bool_)
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
    return longest if len(longest) >= SHORTEST else None
