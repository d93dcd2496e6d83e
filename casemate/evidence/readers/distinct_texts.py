"""The distinct texts of the columns of a batch that grows: each once, rows as numbers.

:class:`DictionaryTexts` does it with Python's dictionaries; the optional compiled kernel brings its own
(:mod:`casemate.evidence.readers.native`).  Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

Slots = npt.NDArray[np.int64]

REST = "rest"
NO_ROWS: Slots = np.empty(0, np.int64)


@dataclass(frozen=True)
class Taken:
    """One column of a batch.

    Args:
        texts: the distinct texts.
        indices: for each slot the number of its text, -1 where there is none.
        nul: slots whose text held NUL, which is written ``\\x00`` now.
        apart: the texts are long and nearly all others, and were not compared: one may be there twice.
    """

    texts: pa.StringArray
    indices: npt.NDArray[np.int32]
    nul: Slots
    apart: bool = False


class Texts(Protocol):
    """Text columns of one native table while a batch grows."""

    def fill(self, name: str, slots: Slots, texts: Iterable[str | None]) -> None:
        """Set a column in these slots; each slot at most once."""
        ...

    def names(self) -> Iterator[str]:
        """Columns that were filled since the last batch."""
        ...

    def take(self, name: str, slots: int) -> Taken:
        """A column of a batch of so many slots; it is empty afterwards."""
        ...


class Codes(dict[str | None, int]):
    """Text -> number in order of first appearance; None -> -1.  Texts that hold NUL are remembered."""

    nul = "\x00"

    def __init__(self) -> None:
        super().__init__()
        self[None] = -1
        self.with_nul: list[int] = []

    def __missing__(self, text: str) -> int:
        code = len(self) - 1
        self[text] = code
        if self.nul in text:
            self.with_nul.append(code)
        return code

    def texts(self) -> list[str]:
        """The distinct texts, in the order of their numbers."""
        return list(self)[1:]  # type: ignore[arg-type]


class RestCodes(Codes):
    """The same for JSON text, in which NUL is an escape."""

    nul = "\\u0000"


class DictionaryTexts:
    """Distinct texts in Python's dictionaries; see :class:`Texts`."""

    def __init__(self) -> None:
        self._codes: dict[str, Codes] = {}
        self._filled: dict[str, list[tuple[Slots, npt.NDArray[np.int32]]]] = {}

    def fill(self, name: str, slots: Slots, texts: Iterable[str | None]) -> None:
        codes = self._codes.get(name)
        if codes is None:
            codes = self._codes[name] = RestCodes() if name == REST else Codes()
            self._filled[name] = []
        self._filled[name].append((slots, np.fromiter(map(codes.__getitem__, texts), np.int32, len(slots))))

    def names(self) -> Iterator[str]:
        return iter(tuple(self._codes))

    def take(self, name: str, slots: int) -> Taken:
        codes = self._codes.pop(name)
        indices = np.full(slots, -1, np.int32)
        for places, numbers in self._filled.pop(name):
            indices[places] = numbers
        texts = codes.texts()
        nul = _write_nul(name, texts, indices, codes.with_nul) if codes.with_nul else NO_ROWS
        return Taken(text_array(texts), indices, nul)


def _write_nul(name: str, texts: list[str], indices: npt.NDArray[np.int32], with_nul: list[int]) -> Slots:
    """Replace NUL in the distinct texts; the rows that had it."""
    place = {text: code for code, text in enumerate(texts)}
    found = [NO_ROWS]
    for code in with_nul:
        text = without_nul(name, texts[code])
        if text == texts[code]:
            continue
        rows = np.flatnonzero(indices == code)
        found.append(rows)
        texts[code] = text
        if place.setdefault(text, code) != code:  # some other record has this very text
            indices[rows] = place[text]
    return np.concatenate(found)


def may_hold_nul(name: str, text: str) -> bool:
    """Whether a text of this column may hold NUL."""
    return (RestCodes.nul if name == REST else Codes.nul) in text


def without_nul(name: str, text: str) -> str:
    """A text of this column with NUL written as ``\\x00``; the same text if there is none."""
    if name != REST:
        return text.replace("\x00", "\\x00")
    return orjson.dumps(_value_without_nul(orjson.loads(text))).decode() if RestCodes.nul in text else text


def _value_without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\\x00")
    if isinstance(value, list):
        return [_value_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_value_without_nul(name): _value_without_nul(item) for name, item in value.items()}
    return value


def text_array(texts: list[str]) -> pa.StringArray:
    """Texts as an Arrow array; where all are ASCII they are copied as one, not one by one."""
    joined = "".join(texts)
    if not joined.isascii() or len(joined) >= 2**31:
        return pa.array(texts, pa.string())  # type: ignore[return-value]
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=ends[1:])
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(joined.encode()))
