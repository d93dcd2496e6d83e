"""Lines of plain JSON through the compiled kernel, into the same columns as :mod:`json_rows` fills.

The kernel says which lines have the same keys; where their fields go is asked once per list of keys.  Lines
that are not plain, and records that must be rewritten first, are left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from casemate.evidence.lines import LineBlock
from casemate.evidence.readers.arrangement import Arrangement, Keys
from casemate.evidence.readers.dictionary_columns import REST, TIME_RAW, TableColumns
from casemate.evidence.readers.native import JsonKernel, KernelTexts
from casemate.evidence.readers.native.kernel import BLANK, IN_REST

SAMPLE = 256  # lines
LEFT = -1  # in place of the number of a table: the caller's

Slots = npt.NDArray[np.int64]


class PlainLines:
    """The kernel and the plans of one reader.

    Args:
        tables: the tables' columns, whose texts are in `kernel`.
        arrangement: where the fields of records with these keys go.
        most_fields: records with more are left to the caller.
    """

    def __init__(
        self,
        kernel: JsonKernel,
        tables: Mapping[str, tuple[TableColumns, KernelTexts]],
        arrangement: Callable[[Keys], Arrangement],
        most_fields: int,
    ) -> None:
        self._kernel, self._arrangement, self._most_fields = kernel, arrangement, most_fields
        self._tables = list(tables.values())
        self._numbers = {name: number for number, name in enumerate(tables)}
        self._table_of: list[int] = []  # by shape

    def share(self, block: LineBlock) -> float:
        """Which share of the first lines (those that are not blank) would be taken; nothing is filled."""
        shapes = self._read(block.first(SAMPLE))
        some = shapes[shapes != BLANK]
        return float((self._tables_of(some) != LEFT).mean()) if len(some) else 0.0

    def fill(self, block: LineBlock, first_slot: int) -> tuple[list[int], int]:
        """Put the plain lines of a block into columns.

        Returns:
            The indices of the lines that are left, in order, and how many lines are blank.
        """
        shapes = self._read(block)
        self._kernel.fill(block, shapes, first_slot)
        tables = self._tables_of(shapes)
        for number, (table, _) in enumerate(self._tables):
            slots = np.flatnonzero(tables == number)
            if len(slots):
                table.keep(slots + first_slot)
        blank = shapes == BLANK
        return np.flatnonzero((tables == LEFT) & ~blank).tolist(), int(blank.sum())

    def _read(self, block: LineBlock) -> npt.NDArray[np.int32]:
        shapes, forgot = self._kernel.read(block)
        if forgot:
            self._table_of.clear()
        for shape in range(len(self._table_of), self._kernel.shapes):
            self._table_of.append(self._plan(shape))
        return shapes

    def _tables_of(self, shapes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        return np.array([*self._table_of, LEFT, LEFT], np.int64)[shapes]  # the last two for BLANK and ODD

    def _plan(self, shape: int) -> int:
        """Tell the kernel where the fields of a shape go; the number of the table, or LEFT."""
        keys = self._kernel.keys(shape)
        if len(keys) > self._most_fields:
            return LEFT
        arrangement = self._arrangement(keys)
        names = arrangement.names or keys
        targets = arrangement.targets or (None,) * len(keys)
        in_rest = [name for name, target in zip(names, targets, strict=True) if target is None]
        if arrangement.rewrite is not None or len(set(in_rest)) < len(in_rest):
            return LEFT
        number = self._numbers[arrangement.table]
        texts = self._tables[number][1]
        columns = [IN_REST if target is None else texts.column(target) for target in targets]
        self._kernel.plan(shape, columns, arrangement.times, texts.column(TIME_RAW), texts.column(REST), names)
        return number
