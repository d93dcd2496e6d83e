"""Script blocks that PowerShell logged in several parts (event 4104), put together.

Each part has the block's id (``ScriptBlockId``), its number (``MessageNumber``, from 1) and how many there are
(``MessageTotal``): about_Logging_Windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GAP = "\n"
"""Stands for parts that are missing: what is before and behind them was not next to each other."""
MOST_PARTS = 100_000


@dataclass(frozen=True)
class ScriptPart:
    """One recorded part."""

    number: int
    total: int
    text: str


@dataclass(frozen=True)
class ScriptBlock:
    """A block put together; `missing` are the numbers of the parts that no record holds, as ranges."""

    text: str
    parts: int
    total: int
    missing: tuple[tuple[int, int], ...] = ()
    limit: str | None = None

    @property
    def said(self) -> str | None:
        """What is missing, in words; None if nothing is."""
        if self.missing:
            ranges = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in self.missing[:20])
            return f"parts {ranges} of {self.total} are missing"
        return self.limit


def put_together(parts: Iterable[ScriptPart], longest: int) -> ScriptBlock | None:
    """The block of some parts, in any order; of two with the same number the first counts.  None without parts.

    Args:
        parts: parts of one block.
        longest: most characters of the block; what is beyond is left out, and `limit` says so.
    """
    by_number: dict[int, ScriptPart] = {}
    for part in parts:
        by_number.setdefault(part.number, part)
    if not by_number:
        return None
    numbers = sorted(by_number)
    total = max(max(part.total for part in by_number.values()), numbers[-1])
    missing: list[tuple[int, int]] = []
    texts: list[str] = []
    expected, size, limit = 1, 0, None
    for number in numbers:
        if number > expected:
            missing.append((expected, number - 1))
            texts.append(GAP if texts else "")
        text = by_number[number].text
        if size + len(text) > longest:
            texts.append(text[: longest - size])
            limit = "output"
            break
        texts.append(text)
        size += len(text)
        expected = number + 1
    if limit is None and expected <= total:
        missing.append((expected, total))
    return ScriptBlock("".join(texts), len(numbers), total, tuple(missing), limit)
