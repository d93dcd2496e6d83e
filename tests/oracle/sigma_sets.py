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


def read_batches(name: str, data: bytes, *, head: bytes | None = None) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Table and batch (with ``evidence``) of the records in some content, by the reader that knows its `head`."""
    beginning = data[: 256 * 1024] if head is None else head
    reader = max(READERS, key=lambda one: one.recognise(beginning))
    evidence = hashlib.sha256(data).hexdigest()
    for item in reader.read(Memory(data), ReadContext(name, datetime(2026, 1, 1, tzinfo=UTC))):
        if isinstance(item, Rows):
            column = pa.array([evidence] * item.batch.num_rows).dictionary_encode()
            columns = [column, *item.batch.columns]
            yield item.table, pa.RecordBatch.from_arrays(columns, names=["evidence", *item.batch.schema.names])


def chosen(name: str, record: int, thousandths: int) -> bool:
    """Whether a record belongs to the sample: its name and number hash into the share."""
    return int.from_bytes(hashlib.sha256(f"{name}:{record}".encode()).digest()[:4], "big") % 1000 < thousandths


def sampled(name: str, data: bytes, thousandths: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Like :func:`read_batches`, only the records of the sample; lines that are not are never parsed."""
    if name.lower().endswith(".evtx"):
        for table, batch in read_batches(name, data):
            yield table, sample(batch, name, thousandths)
        return
    lines = data.split(b"\n")
    kept = [line if chosen(name, number, thousandths) else b"" for number, line in enumerate(lines, start=1)]
    yield from read_batches(name, b"\n".join(kept), head=data[: 256 * 1024])


def sample(batch: pa.RecordBatch, name: str, thousandths: int) -> pa.RecordBatch:
    """The records of a batch that belong to the sample."""
    places = [
        place for place, record in enumerate(batch.column("record").to_pylist()) if chosen(name, record, thousandths)
    ]
    return batch.take(pa.array(places, pa.int64()))


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
