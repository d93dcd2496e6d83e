"""Phase: the texts of the rules that spoke, kept with the case.

A finding must be explainable when the rules of its day are not installed any more, and on another machine.
Kept are the files of rules that have findings or suppressed matches, of correlations and the rules they refer
to, and of filters.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from casemate.case import Case
from casemate.detect.sigma.cache import InstalledRules
from casemate.detect.sigma.rule_files import RuleFile, hash_rule_files
from casemate.engine.parts import Part
from casemate.investigate.phases import digest, phase_state
from casemate.schema.rules import RULE_TEXTS

PHASE = "rule_texts"
TEXT_BYTES = 4 * 1024 * 1024
"""Longest file that is kept; of a longer one it is only said where it was."""
_FILTER = re.compile(rb"^filter[ \t]*:", re.MULTILINE)
SPEAKING = ("findings", "suppressed_findings", "suppressed")


def keep_rule_texts(case: Case, installed: InstalledRules) -> None:
    """Bring the table ``rule_texts`` up to date with the findings and the rule set."""
    before = phase_state(case, PHASE)
    spoke = _rules_that_spoke(case)
    inputs = digest([hash_rule_files(installed.files), *sorted(spoke)])
    if before.inputs == inputs:
        return
    rows = list(_rows(installed, spoke)) if spoke else []
    if not rows and not before.parts:
        return
    stage = case.stage()
    if rows:
        stage.write("rule_texts", RULE_TEXTS, pa.Table.from_pylist(rows, RULE_TEXTS).to_batches())
    case.commit(stage, remove=before.parts, facts={"phase": PHASE, "inputs": inputs})


def _rules_that_spoke(case: Case) -> set[str]:
    """Ids of rules with findings or suppressed matches; behaviours have no text."""
    found: set[str] = set()
    for table in SPEAKING:
        parts: list[Part] = case.live_parts(table)
        for path in case.part_paths(table) if parts else []:
            with pq.ParquetFile(path, read_dictionary=["rule_id"]) as file:
                for batch in file.iter_batches(columns=["rule_id"], batch_size=1 << 20):
                    found.update(pc.unique(batch.column(0)).cast(pa.string()).to_pylist())
    return {name for name in found if not name.startswith("casemate.behaviour.")}


def _rows(installed: InstalledRules, spoke: set[str]) -> Iterator[dict[str, object]]:
    wanted = {rule.path for rule in installed.rules.rules if rule.id in spoke} | set(installed.correlation_files)
    kept: set[tuple[str, str | None]] = set()
    for file in installed.files:
        kind = "filter" if file.content is not None and _FILTER.search(file.content) else "rule"
        if file.name not in wanted and kind != "filter":
            continue
        text = _text(file)
        if (file.name, text) not in kept:  # the same file may come by two paths
            kept.add((file.name, text))
            yield {"path": file.name, "kind": kind, "text": text}


def _text(file: RuleFile) -> str | None:
    if file.content is None or len(file.content) > TEXT_BYTES:
        return None
    return file.content.decode("utf-8", "replace")
