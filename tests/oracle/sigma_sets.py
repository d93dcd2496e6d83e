"""Real records as batches, and the comparison of the matcher with the plain evaluator on them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from sigma.rule import SigmaRule
from sigma_oracle import Oracle, Record

from casemate.detect.sigma.load import load_rules
from casemate.detect.sigma.match import TableMatcher
from casemate.evidence.readers import READERS
from casemate.evidence.readers.base import ReadContext, Rows


@dataclass(frozen=True)
class Memory:
    """Content in memory as a reader's source."""

    data: bytes

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def open(self) -> io.BytesIO:
        """A stream."""
        return io.BytesIO(self.data)


def members(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files in a zip archive that end with `suffix`, in order."""
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda one: one.filename):
            if member.filename.lower().endswith(suffix):
                yield member.filename, archive.read(member)


def read_batches(name: str, data: bytes) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Table and batch (with ``evidence``) of the records in some content, by whichever reader knows it."""
    reader = max(READERS, key=lambda one: one.recognise(data[: 256 * 1024]))
    evidence = hashlib.sha256(data).hexdigest()
    for item in reader.read(Memory(data), ReadContext(name, datetime(2026, 1, 1, tzinfo=UTC))):
        if isinstance(item, Rows):
            column = pa.array([evidence] * item.batch.num_rows).dictionary_encode()
            columns = [column, *item.batch.columns]
            yield item.table, pa.RecordBatch.from_arrays(columns, names=["evidence", *item.batch.schema.names])


def sample(batch: pa.RecordBatch, name: str, thousandths: int) -> pa.RecordBatch:
    """The records of a batch whose name and number hash into the chosen share."""
    if thousandths >= 1000:
        return batch
    chosen = [
        place
        for place, record in enumerate(batch.column("record").to_pylist())
        if int.from_bytes(hashlib.sha256(f"{name}:{record}".encode()).digest()[:4], "big") % 1000 < thousandths
    ]
    return batch.take(pa.array(chosen, pa.int64()))


def oracle_of(rules: Path) -> Oracle:
    """The plain evaluator for all rules under a path."""
    parsed = {rule.id: rule.parsed for rule in load_rules([rules]).rules}
    return Oracle({key: rule for key, rule in parsed.items() if isinstance(rule, SigmaRule)})


def differences(matcher: TableMatcher, oracle: Oracle, batch: pa.RecordBatch) -> tuple[int, list[str]]:
    """How many matches both find in a batch, and what only one of them finds."""
    known = {rule.id for rule in matcher.rules.rules}
    found: dict[int, set[str]] = {}
    for match in matcher.match(batch).matches:
        for row in match.rows.tolist():
            found.setdefault(row, set()).add(matcher.rules.rules[matcher.plans[match.plan].rule].id)
    agreed, wrong = 0, []
    for row, values in enumerate(batch.to_pylist()):
        expected = oracle.matching(Record(matcher.table, values)) & known
        mine = found.get(row, set())
        agreed += len(expected & mine)
        wrong += [f"{values['evidence'][:8]}:{values['record']} only the oracle: {rule}" for rule in expected - mine]
        wrong += [f"{values['evidence'][:8]}:{values['record']} only the matcher: {rule}" for rule in mine - expected]
    return agreed, wrong
