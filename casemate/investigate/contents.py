"""Phase: content rules (YARA) over captures and over evidence that is no log; done once for each rule set.

Looked at are what connections of captures carry, and as a whole evidence that no reader of a log source knows:
programs, documents, models, scripts and other text.  Archives were unpacked when they came in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from casemate.case import Case
from casemate.detect import content
from casemate.detect.content.captures import contents_of
from casemate.detect.content.contents import EVIDENCE, Content, Place
from casemate.detect.content.findings import Found, findings
from casemate.detect.content.scan import scan
from casemate.detect.content.yara_rules import (
    HINT,
    MISSING,
    CompiledRules,
    RuleSource,
    RuleState,
    available,
    compile_rules,
    digest_of,
    read_rule_sources,
)
from casemate.evidence.identify import CONTAINERS
from casemate.evidence.known import EVIDENCE_TABLE, REGISTRATIONS_TABLE
from casemate.evidence.readers import READERS
from casemate.investigate.phases import code_of, digest, phase_state
from casemate.schema.content import CONTENT_LOOKS
from casemate.schema.findings import FINDING_RECORDS, FINDINGS
from casemate.schema.rules import RULES

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)

PHASE, TABLE = "contents", "content_looks"
TEXTS = frozenset({"lines", "json", "json-documents"})
"""Formats of readers that take any text."""
PACKED = frozenset({*(signature.format for signature in CONTAINERS), "tar"})
CAPTURES = frozenset({"pcap", "pcapng"})
NOTHING = frozenset({"empty", "apple_double"})
MOST_BYTES = 64 * 1024 * 1024
"""Of one piece of evidence that is looked at as a whole."""
LOG_SOURCE = "content/yara"


@dataclass(frozen=True)
class ContentRun:
    """What content rules gave: the hash of the rule set (None without rules) and how many findings there are now."""

    rule_set: str | None
    findings: int


def scan_contents(
    case: Case, paths: Sequence[Path], stages: Callable[[str, int, int], None] | None = None
) -> ContentRun:
    """Hold all content that was not yet held against these rules against them.

    Args:
        paths: folders, zip archives and files of YARA rules; with none, findings of earlier ones go.

    Raises:
        BadInput: a path cannot be read.
        CannotFinish: disk full or the like.
    """
    before = phase_state(case, PHASE)
    sources = read_rule_sources(paths)
    if not sources:
        if before.parts:
            case.commit(case.stage(), remove=before.parts, facts={"phase": PHASE, "inputs": None})
        return ContentRun(None, 0)
    ready = available()
    rule_set = _named(sources)
    inputs = digest([code_of(content), rule_set])
    same = before.inputs == inputs
    done = _looked(case) if same else set[str]()
    wanted = [row for row in _pieces(case) if row["evidence"] not in done]
    if same and not wanted:
        return ContentRun(rule_set, sum(part.rows for part in before.parts if part.table == "findings"))
    compiled = compile_rules(sources, rule_set) if ready else _unavailable(sources, rule_set)
    stage = case.stage()
    found: list[Found] = []
    members: list[dict[str, Any]] = []
    looks: list[dict[str, Any]] = []
    tell = stages or (lambda _stage, _done, _total: None)
    for number, row in enumerate(wanted if ready else ()):
        tell("contents", number, len(wanted))
        made, look = _look(case, row, compiled)
        found += made
        looks.append(look)
        members += [
            {"finding": one.row["id"], "evidence": row["evidence"], "record": record}
            for one in made
            for record in one.records
        ]
    tell("contents", len(wanted), len(wanted))
    if found:
        stage.write("findings", FINDINGS, pa.Table.from_pylist([one.row for one in found], FINDINGS).to_batches())
    if members:
        stage.write("finding_records", FINDING_RECORDS, pa.Table.from_pylist(members, FINDING_RECORDS).to_batches())
    if looks:
        stage.write(TABLE, CONTENT_LOOKS, pa.Table.from_pylist(looks, CONTENT_LOOKS).to_batches())
    states = [_state_row(state, bool(looks) or bool(done)) for state in compiled.states]
    stage.write("rules", RULES, pa.Table.from_pylist(states, RULES).to_batches())
    replaced = [part for part in before.parts if part.table == "rules" or not same]
    kept = sum(part.rows for part in before.parts if part.table == "findings") if same else 0
    case.commit(stage, remove=replaced, facts={"phase": PHASE, "inputs": inputs})
    return ContentRun(rule_set, kept + len(found))


def rule_set_of(paths: Sequence[Path]) -> str | None:
    """The hash of the rules at these paths and of the engine; None without paths.

    Raises:
        BadInput: a path cannot be read.
    """
    sources = read_rule_sources(paths)
    return _named(sources) if sources else None


def _named(sources: Sequence[RuleSource]) -> str:
    return digest_of(sources, version("yara-x") if available() else "")


def _unavailable(sources: Iterable[RuleSource], rule_set: str) -> CompiledRules:
    states = tuple(RuleState(None, source.path, "not_compiled", f"{MISSING} ({HINT})") for source in sources)
    return CompiledRules(None, states, rule_set)


def _state_row(state: RuleState, looked: bool) -> dict[str, Any]:
    ran = state.state == "ran"
    return {
        "rule_id": f"yara.{state.path}.{state.rule}" if state.rule else None,
        "title": state.rule,
        "path": state.path,
        "severity": None,
        "log_source": LOG_SOURCE,
        "state": state.state if not ran or looked else "no_records",
        "reason": state.reason if not ran or looked else "the case holds no capture and no file that is no log",
    }


def _looked(case: Case) -> set[str]:
    return {
        evidence
        for path in case.part_paths(TABLE)
        for evidence in pq.read_table(path, columns=["evidence"]).column(0).to_pylist()
    }


def _pieces(case: Case) -> list[dict[str, Any]]:
    """Evidence to look at, with its format and the path it was received under first."""
    logs = {reader.format for reader in READERS} - TEXTS - CAPTURES
    left = logs | PACKED | NOTHING
    paths: dict[str, str] = {}
    for part in case.part_paths(REGISTRATIONS_TABLE):
        for row in pq.read_table(part, columns=["evidence", "path", "member_path"]).to_pylist():
            shown = row["path"] if row["member_path"] is None else f"{row['path']}!/{row['member_path']}"
            paths[row["evidence"]] = min(shown, paths.get(row["evidence"], shown))
    rows: dict[str, dict[str, Any]] = {}
    for part in case.part_paths(EVIDENCE_TABLE):
        for row in pq.read_table(part, columns=["evidence", "bytes", "format"]).to_pylist():
            if row["format"] not in left and row["bytes"]:
                rows[row["evidence"]] = {**row, "path": paths.get(row["evidence"], row["evidence"])}
    return [rows[evidence] for evidence in sorted(rows)]


def _look(case: Case, row: Mapping[str, Any], compiled: CompiledRules) -> tuple[list[Found], dict[str, Any]]:
    notes: dict[str, int] = {}
    counted = _Counted(_contents(case, row, notes))
    matches = list(scan(compiled, counted, notes))
    found = findings(row["evidence"], row["path"], matches, _Locator(case, row["evidence"]))
    told = sorted(f"{note} ({count:,})" if count > 1 else note for note, count in notes.items())
    look = {
        "evidence": row["evidence"],
        "rule_set": compiled.digest,
        "contents": counted.contents,
        "bytes": counted.bytes,
        "notes": told,
    }
    return found, look


def _contents(case: Case, row: Mapping[str, Any], notes: dict[str, int]) -> Iterator[Content]:
    with case.source(row["evidence"]).open() as stream:
        if row["format"] in CAPTURES:
            yield from contents_of(stream)
            return
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        notes[f"only its first {MOST_BYTES:,} bytes were looked at"] = 1
    yield Content(EVIDENCE, row["path"], data[:MOST_BYTES], whole=len(data) <= MOST_BYTES)


class _Counted:
    """Passes contents on and counts them."""

    def __init__(self, contents: Iterable[Content]) -> None:
        self._given = contents
        self.contents = self.bytes = 0

    def __iter__(self) -> Iterator[Content]:
        for one in self._given:
            self.contents += 1
            self.bytes += len(one.data)
            yield one


class _Locator:
    """Finds the records of a piece of evidence by place; read when first asked."""

    def __init__(self, case: Case, evidence: str) -> None:
        self._case, self._evidence = case, evidence
        self._offsets: list[int] | None = None
        self._ends: list[int] = []
        self._places: list[Place] = []

    def __call__(self, begin: int, end: int) -> Iterator[Place]:
        offsets = self._offsets if self._offsets is not None else self._read()
        at = max(0, bisect_right(offsets, begin) - 1)
        while at < len(offsets) and offsets[at] < end:
            if self._ends[at] > begin:
                yield self._places[at]
            at += 1

    def _read(self) -> list[int]:
        wanted = ["record", "offset", "length", "time"]
        rows: list[dict[str, Any]] = []
        for table in sorted({table.name for reader in READERS if reader.format in TEXTS for table in reader.tables}):
            for path in self._case.part_paths(table):
                part = ds.dataset(path).to_table(columns=wanted, filter=pc.field("evidence") == self._evidence)
                rows += part.set_column(3, "time", part.column("time").cast(pa.int64())).to_pylist()
        if not rows:
            for path in self._case.part_paths("artifacts"):  # a content that is one record
                part = ds.dataset(path).to_table(
                    columns=["record", "offset", "length"], filter=pc.field("evidence") == self._evidence
                )
                rows += [{**row, "time": None} for row in part.to_pylist()]
        rows.sort(key=lambda row: row["offset"])
        self._offsets = [row["offset"] for row in rows]
        self._ends = [row["offset"] + row["length"] for row in rows]
        self._places = [Place(row["record"], row["time"]) for row in rows]
        return self._offsets
