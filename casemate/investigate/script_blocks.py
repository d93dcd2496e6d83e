"""Phase: script blocks that were logged in parts, put together and held against the rules as wholes.

Parts of one block may stand in several pieces of evidence, and more may arrive later, so the phase looks at
the whole case and is made anew whenever what was matched may have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from casemate.case import Case
from casemate.detect.sigma.cache import InstalledRules
from casemate.detect.sigma.kernel import SigmaFindings
from casemate.detect.sigma.script_blocks import as_batches, whole_blocks
from casemate.detect.sigma.variants import FindingsWithDecoded
from casemate.engine.batches import as_dictionaries
from casemate.engine.protocol import Engine
from casemate.engine.store import Stage
from casemate.explore.tables import stored_tables
from casemate.investigate.changed import kept_rows
from casemate.investigate.phases import digest, phase_state
from casemate.schema.decoded import DECODED_TEXT

PHASE = "sigma_script_blocks"
TABLE = "windows_event"
TOGETHER = 2_048
"""Rows of parts that are looked at together; a block's parts are never cut apart."""
Write = Callable[[Stage, list[pa.RecordBatch]], None]


def match_script_blocks(case: Case, engine: Engine, installed: InstalledRules, rules: str, write: Write) -> int:
    """Findings and decoded texts of whole script blocks, brought up to date; returns how many findings there are.

    Args:
        rules: what decides the findings of plain rules.
        write: writes findings and their records to a stage.
    """
    before = phase_state(case, PHASE)
    inputs = digest([rules, *sorted(kept_rows(case, "matched").items())])
    stored = stored_tables(case)
    if before.inputs == inputs or (not stored[TABLE].parts and not before.parts):
        return sum(part.rows for part in before.parts if part.table == "findings")
    engine.use(stored)
    plain = SigmaFindings(str(installed.folder), TABLE) if TABLE in installed.tables else None
    kernel = FindingsWithDecoded(plain, TABLE, case.settings.limits)
    findings: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    run = None
    for batch in _parts(engine, kernel.columns(stored[TABLE].schema.names)):
        run = run or kernel.build()
        more, decoded = whole_blocks(batch, run, case.settings.limits.decode_input_characters)
        findings += more
        texts += decoded
    stage = case.stage()
    found, decoded = as_batches(findings, texts)
    if found.num_rows:
        write(stage, [found])
    if decoded.num_rows:
        order = [("evidence", "ascending"), ("record", "ascending")]
        stage.write("decoded_text", DECODED_TEXT, pa.Table.from_batches([decoded]).sort_by(order).to_batches())
    case.commit(stage, remove=before.parts, facts={"phase": PHASE, "inputs": inputs})
    return found.num_rows


def _parts(engine: Engine, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Records of blocks in more than one part, all of a block in one batch."""
    events = engine.read(TABLE)
    wanted = {*columns, "Computer", "ScriptBlockId", "MessageNumber", "MessageTotal", "ScriptBlockText"}
    several = events.filter((events.EventID == "4104") & events.ScriptBlockId.notnull() & (events.MessageTotal != "1"))
    chosen = several.select(*[name for name in events.columns if name in wanted])
    ordered = chosen.order_by(["Computer", "ScriptBlockId", "evidence", "record"])
    held: list[pa.RecordBatch] = []
    for batch in engine.batches(ordered):
        held.append(batch)
        rows = pa.Table.from_batches(held)
        if rows.num_rows >= TOGETHER:
            cut = _last_begin(rows)
            if cut:
                yield _dictionaries(rows.slice(0, cut))
                held = rows.slice(cut).to_batches()
    if held:
        yield _dictionaries(pa.Table.from_batches(held))


def _last_begin(rows: pa.Table) -> int:
    """Where the last block begins, whose parts may go on in the next batch; 0 if there is no other before it."""
    hosts, blocks = rows.column("Computer").to_pylist(), rows.column("ScriptBlockId").to_pylist()
    last = rows.num_rows - 1
    while last > 0 and (hosts[last - 1], blocks[last - 1]) == (hosts[-1], blocks[-1]):
        last -= 1
    return last


def _dictionaries(rows: pa.Table) -> pa.RecordBatch:
    return as_dictionaries(rows.combine_chunks().to_batches()[0])
