"""The compiled kernel as Python sees it: shapes of records, their plans, and columns of distinct texts."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from casemate.evidence.lines import LineBlock
from casemate.evidence.readers.distinct_texts import NO_ROWS, Slots, Taken, may_hold_nul, without_nul
from casemate.evidence.readers.native.library import library

BLANK, ODD = -2, -1  # shapes of lines, as in json_kernel.c
FORGOT = 2
IN_REST = -1
Keys = tuple[str, ...]


def available() -> bool:
    """Whether the compiled kernel is installed."""
    return library() is not None


class JsonKernel:
    """Reads blocks of lines; see ``json_kernel.c`` for what is taken and what is left.

    Raises:
        MemoryError: from any method: memory is at an end, or a column of one batch holds 2 GiB of texts.
    """

    def __init__(self) -> None:
        found = library()
        assert found is not None
        self._library = found
        self._kernel = found.kernel_new(int.from_bytes(os.urandom(8), "little"))
        if not self._kernel:
            raise MemoryError
        weakref.finalize(self, found.kernel_free, self._kernel)

    def column(self) -> int:
        """A new column."""
        number = self._library.kernel_column(self._kernel)
        if number < 0:
            raise MemoryError
        return number

    def read(self, block: LineBlock) -> tuple[npt.NDArray[np.int32], bool]:
        """The shape of each line (or BLANK, ODD), and whether all shapes known before were forgotten."""
        assert block.whole is not None
        assert block.starts is not None
        shapes = np.empty(len(block), np.int32)
        starts, lengths = np.ascontiguousarray(block.starts), np.ascontiguousarray(block.lengths)
        done = self._library.kernel_read(
            self._kernel, block.whole, starts.ctypes.data, lengths.ctypes.data, len(block), shapes.ctypes.data
        )
        if not done:
            raise MemoryError
        return shapes, done == FORGOT

    @property
    def shapes(self) -> int:
        """How many shapes are known; they are numbered from 0."""
        return self._library.kernel_shapes(self._kernel)

    def keys(self, shape: int) -> Keys:
        """The keys of a shape, in their order."""
        ends = np.empty(self._library.shape_fields(self._kernel, shape), np.int64)
        size = self._library.shape_keys(self._kernel, shape, None, None)
        text = np.empty(size, np.uint8)
        self._library.shape_keys(self._kernel, shape, text.ctypes.data, ends.ctypes.data)
        begins = [0, *ends.tolist()]
        joined = text.tobytes()
        return tuple(joined[begin:end].decode() for begin, end in zip(begins, ends.tolist(), strict=False))

    def plan(
        self, shape: int, targets: Sequence[int], times: Sequence[int], time_column: int, rest: int, names: Keys
    ) -> None:
        """Say where the fields of a shape go: `targets` are columns or IN_REST, `names` those in rest."""
        written = [orjson.dumps(name) + b":" for name in names]
        ends = np.cumsum([len(name) for name in written], dtype=np.int32)
        target, places = np.array(targets, np.int32), np.array(times, np.int32)
        arguments = (target.ctypes.data, places.ctypes.data, len(times), time_column, rest)
        if not self._library.kernel_plan(self._kernel, shape, *arguments, b"".join(written), ends.ctypes.data):
            raise MemoryError

    def fill(self, block: LineBlock, shapes: npt.NDArray[np.int32], first_slot: int) -> None:
        """Put the lines last read into columns, those whose shape has a plan."""
        if not self._library.kernel_fill(self._kernel, block.whole, shapes.ctypes.data, len(block), first_slot):
            raise MemoryError

    def insert(self, column: int, texts: Sequence[str | None], slots: Slots) -> None:
        """Put texts from Python into a column."""
        joined, ends = _joined(texts)
        places = np.where([text is not None for text in texts], slots, -1)
        size = int(slots.max()) + 1 if len(slots) else 0
        arguments = (joined, ends.ctypes.data, places.ctypes.data, len(texts), size)
        if not self._library.kernel_insert(self._kernel, column, *arguments):
            raise MemoryError

    def is_apart(self, column: int) -> bool:
        """Whether the texts of a column were nearly all others, and long, so that none is looked for any more."""
        return bool(self._library.column_apart(self._kernel, column))

    def take(self, column: int, slots: int) -> tuple[pa.StringArray, npt.NDArray[np.int32]]:
        """The texts of a column and the number of the text of each slot; the column is empty then.

        Each text is there once, except where :meth:`is_apart` said that they are kept as they come.
        """
        count = self._library.column_count(self._kernel, column)
        text = np.empty(self._library.column_bytes(self._kernel, column), np.uint8)
        ends, codes = np.empty(count + 1, np.int32), np.empty(slots, np.int32)
        self._library.column_take(self._kernel, column, text.ctypes.data, ends.ctypes.data, codes.ctypes.data, slots)
        return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(text)), codes


def _joined(texts: Sequence[str | None]) -> tuple[bytes, npt.NDArray[np.int64]]:
    joined = "".join(text for text in texts if text)
    if joined.isascii():
        lengths: Iterable[int] = (len(text) if text else 0 for text in texts)
        return joined.encode(), np.cumsum(np.fromiter(lengths, np.int64, len(texts)))
    encoded = [text.encode() if text else b"" for text in texts]
    return b"".join(encoded), np.cumsum(np.fromiter(map(len, encoded), np.int64, len(texts)))


class KernelTexts:
    """Text columns of one native table in the kernel; see :class:`casemate.evidence.readers.distinct_texts.Texts`."""

    def __init__(self, kernel: JsonKernel) -> None:
        self._kernel = kernel
        self._columns: dict[str, int] = {}
        self._nul: dict[str, list[Slots]] = {}

    def column(self, name: str) -> int:
        """The kernel's number of a column."""
        number = self._columns.get(name)
        if number is None:
            number = self._columns[name] = self._kernel.column()
        return number

    def columns(self) -> Mapping[str, int]:
        """All columns that there are."""
        return self._columns

    def fill(self, name: str, slots: Slots, texts: Iterable[str | None]) -> None:
        given = list(texts)
        if any(text is not None and may_hold_nul(name, text) for text in given):
            cleaned = [text if text is None else without_nul(name, text) for text in given]
            changed = [index for index, (old, new) in enumerate(zip(given, cleaned, strict=True)) if old != new]
            self._nul.setdefault(name, []).append(slots[changed])
            given = cleaned
        self._kernel.insert(self.column(name), given, slots)

    def names(self) -> Iterator[str]:
        return iter(tuple(self._columns))

    def take(self, name: str, slots: int) -> Taken:
        apart = self._kernel.is_apart(self._columns[name])
        texts, codes = self._kernel.take(self._columns[name], slots)
        nul = self._nul.pop(name, None)
        return Taken(texts, codes, np.concatenate(nul) if nul else NO_ROWS, apart)
