"""What a reader is: a pure function from the bytes of one piece of evidence to batches of records.

A reader yields, in the order of the evidence,

* :class:`Rows`: kept records of one native table (at most a few ten thousand a batch, in bounded
  memory),
* :class:`Reject`: one record that could not be kept, with its position and reason,
* and last, exactly once, a :class:`Tally`: how many records the *framing* of the format holds
  (lines counted, chunks and record numbers walked), found independently of parsing.

The caller compares the tally with what came out: ``records == kept + rejected``, always.
A reader never touches a file, the network or the clock; all it needs is in its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

import pyarrow as pa

from casemate.limits import Limits
from casemate.schema.native import NativeTable


class Source(Protocol):
    """The whole content of one piece of evidence."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def open(self) -> BinaryIO:
        """A new seekable stream at offset 0.  The caller closes it."""
        ...


@dataclass(frozen=True)
class ReadContext:
    """What a reader may know besides the bytes.

    Args:
        path: name under which the evidence was registered, for hints only (never trusted).
        dated: the file's own date (UTC) from the file system or archive, to infer missing years.
        limits: limits of this run.
        start_offset, start_record: where to begin in a log that continues older evidence: the
            byte offset of the first new line and its line number (1-based).  Readers whose
            spec says ``continues`` honour them (reading headers from offset 0 if they must) and
            yield and tally only what begins at or after `start_offset`.
    """

    path: str
    dated: datetime
    limits: Limits = field(default_factory=Limits)
    start_offset: int = 0
    start_record: int = 1


@dataclass(frozen=True)
class Rows:
    """Kept records of one native table.

    `batch` holds ``record, offset, length`` (int64, not null), ``time`` (timestamp us UTC),
    ``time_raw``, ``flags``, any subset of the table's declared columns and ``rest``; text columns
    are ``string`` or ``dictionary<int32, string>``.  Missing columns are null.  The caller adds
    ``evidence`` and brings columns into the table's order.
    """

    table: str
    batch: pa.RecordBatch
    counts: bool = True
    """False for rows made from records that are counted already (a connection from its packets)."""


@dataclass(frozen=True)
class Reject:
    """One record that was not kept: where it is (record number, byte offset, length) and why."""

    record: int
    offset: int
    length: int
    reason: str


@dataclass(frozen=True)
class Tally:
    """The reader's own account of the framing.

    Args:
        records: records the framing holds (kept plus rejected must equal it).
        structure: units without a record: blank lines, headers, comments.
        notes: what a person should know about this evidence as a whole (assumed zones, chunks
            missing, record numbers absent), each one clear sentence.
    """

    records: int
    structure: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReaderSpec:
    """One reader, as listed in :data:`casemate.evidence.readers.READERS`.

    Args:
        format: name of the format, for example ``zeek-tsv``.
        version: raised whenever the same bytes would give other rows.
        tables: native tables it writes.
        recognise: head of the content (up to 256 KiB) to a confidence 0-100 that it is this
            format; must be quick, total and bounded on any bytes.
        read: the reader.
        continues: whether a grown file can be read from where its older self ended.
    """

    format: str
    version: int
    tables: tuple[NativeTable, ...]
    recognise: Callable[[bytes], int]
    read: Callable[[Source, ReadContext], Iterator[Rows | Reject | Tally]]
    continues: bool = False
