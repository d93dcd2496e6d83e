"""Rules on whole script blocks: what a rule finds in the parts put together and in none of them alone.

PowerShell cuts a long script into several records of event 4104; a word that stands across a cut, or two words
in different parts, are seen only in the whole.  A finding rests on the records of all parts there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from casemate.decode.script_blocks import ScriptBlock, ScriptPart, put_together
from casemate.detect.sigma.variants import DETECTOR, TEXT_CHARACTERS, split_found
from casemate.detect.sigma.why import shortened
from casemate.schema.decoded import DECODED_TEXT
from casemate.schema.findings import FINDINGS_WITH_RECORDS, finding_id

TEXT, BLOCK, NUMBER, TOTAL = "ScriptBlockText", "ScriptBlockId", "MessageNumber", "MessageTotal"
STEP = "script-block"
MOST_PARTS = 2_000
"""Parts of one block that are put together (16 million characters as PowerShell cuts them)."""
MOST_DIGITS = 9

Run = Callable[[pa.RecordBatch], pa.RecordBatch]
"""A kernel that returns rows of :data:`casemate.detect.sigma.variants.FOUND`."""


@dataclass(frozen=True)
class _Whole:
    """A block and the rows of its parts, first to last."""

    block: ScriptBlock
    rows: tuple[int, ...]


def whole_blocks(parts: pa.RecordBatch, run: Run, longest: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Findings (rows of ``FINDINGS_WITH_RECORDS``) and decoded texts of the blocks in a batch.

    Args:
        parts: records of event 4104, all parts of a block in the one batch.
        run: the kernel that is asked about the parts, and about the blocks in their place.
        longest: most characters of one block.
    """
    blocks = list(_blocks(parts, longest))
    if not blocks:
        return [], []
    evidence, record = parts.column("evidence").cast(pa.string()).to_pylist(), parts.column("record").to_pylist()
    times = parts.column("time")
    alone, _ = split_found(run(parts))
    block_of = {(evidence[row], record[row]): number for number, one in enumerate(blocks) for row in one.rows}
    known = {
        (block_of.get((records[0]["evidence"], records[0]["record"])), rule)
        for rule, records in zip(alone.column("rule_id").to_pylist(), alone.column("records").to_pylist(), strict=True)
    }
    found, decoded = split_found(run(_as_batch(parts, blocks)))
    findings: list[dict[str, Any]] = []
    for row in found.to_pylist():
        number = row["records"][0]["record"]
        if (number, row["rule_id"]) in known:
            continue
        rows = blocks[number].rows
        records = [(evidence[one], record[one]) for one in rows]
        there = [time for one in rows if (time := times[one].as_py()) is not None]
        row |= {
            "id": finding_id(row["rule_id"], records),
            "detector": DETECTOR,
            "time": min(there, default=None),
            "time_end": max(there, default=None),
            "why": _why(row["why"], blocks[number], parts),
            "records": [{"evidence": one, "record": place} for one, place in sorted(records)],
        }
        findings.append(row)
    return findings, list(_texts(blocks, decoded, evidence, record))


def _blocks(parts: pa.RecordBatch, longest: int) -> Iterator[_Whole]:
    """The blocks of which more than one part is there, or some are missing."""
    names = ("Computer", BLOCK, NUMBER, TOTAL, TEXT)
    columns = [parts.column(name).cast(pa.string()).to_pylist() for name in names]
    rows_of: dict[tuple[str | None, str], dict[int, int]] = {}
    told: dict[int, ScriptPart] = {}
    for row, (host, block, number, total, text) in enumerate(zip(*columns, strict=True)):
        place, of = _count(number), _count(total)
        if block is None or text is None or place is None or of is None or of < 2:
            continue
        held = rows_of.setdefault((host, block), {})
        if place not in held and len(held) < MOST_PARTS:  # the same part received twice counts once
            held[place] = row
            told[row] = ScriptPart(place, of, text)
    for held in rows_of.values():
        rows = tuple(held[place] for place in sorted(held))
        block = put_together([told[row] for row in rows], longest)
        if block is not None:
            yield _Whole(block, rows)


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def _as_batch(parts: pa.RecordBatch, blocks: Sequence[_Whole]) -> pa.RecordBatch:
    """The first part of each block with the text of the whole; ``record`` is the number of the block."""
    made = parts.take(pa.array([one.rows[0] for one in blocks], pa.int64()))
    for name, values in (
        (TEXT, pa.array([one.block.text for one in blocks], pa.string())),
        ("record", pa.array(range(len(blocks)), pa.int64())),
    ):
        place = made.schema.get_field_index(name)
        made = made.set_column(place, pa.field(name, values.type), values)
    return made


def _why(text: str, whole: _Whole, parts: pa.RecordBatch) -> str:
    reason: dict[str, Any] = orjson.loads(text)
    inner: dict[str, Any] = reason.pop("variant", {})
    shown = inner.get("text", whole.block.text)
    variant: dict[str, Any] = {
        "field": TEXT,
        "depth": 1 + inner.get("depth", 0),
        "steps": [STEP, *inner.get("steps", ())],
        "text": shown if len(shown) <= TEXT_CHARACTERS + 60 else f"{shown[:TEXT_CHARACTERS]}... ({len(shown)} in all)",
        "recorded": shortened(parts.column(TEXT)[whole.rows[0]].as_py()),
        "parts": whole.block.parts,
        "of": whole.block.total,
    }
    limits = [one for one in (whole.block.said, inner.get("limit_hit")) if one]
    if limits:
        variant["limit_hit"] = "; ".join(limits)
    return orjson.dumps({"variant": variant, **reason}).decode()


def _texts(
    blocks: Sequence[_Whole], decoded: pa.RecordBatch, evidence: Sequence[str], record: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Rows of ``decoded_text``: the blocks, and what was decoded from them, at their first parts."""
    for one in blocks:
        first = one.rows[0]
        yield {
            "evidence": evidence[first],
            "record": record[first],
            "field": TEXT,
            "depth": 1,
            "steps": [STEP],
            "text": one.block.text,
            "limit_hit": one.block.said,
        }
    for row in decoded.to_pylist():
        if row["field"] != TEXT:
            continue
        one = blocks[row["record"]]
        first = one.rows[0]
        yield row | {
            "evidence": evidence[first],
            "record": record[first],
            "depth": 1 + row["depth"],
            "steps": [STEP, *row["steps"]],
            "limit_hit": "; ".join(filter(None, (one.block.said, row["limit_hit"]))) or None,
        }


def as_batches(
    findings: Iterable[dict[str, Any]], texts: Iterable[dict[str, Any]]
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Rows as batches of ``FINDINGS_WITH_RECORDS`` and ``DECODED_TEXT``."""
    return (
        pa.RecordBatch.from_pylist(list(findings), schema=FINDINGS_WITH_RECORDS),
        pa.RecordBatch.from_pylist(list(texts), schema=DECODED_TEXT),
    )
