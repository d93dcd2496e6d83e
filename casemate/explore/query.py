"""``casemate query``: one SELECT over the tables of a case, answered in a fenced child process.

The child holds an in-memory DuckDB with views over the live parts, external access off and its
configuration locked, behind limits of memory, time and output and a kernel fence
(:mod:`casemate.fence`).  No database that came with a case is ever opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

import casemate
from casemate.case import Case
from casemate.engine.files import inside
from casemate.errors import BadInput, CannotFinish, CaseDamaged, CasemateError, LimitReached
from casemate.explore.rows import json_rows
from casemate.explore.tables import DERIVED
from casemate.limits import Limits

SQL_BYTES = 1024 * 1024
OUTPUT_BYTES = 4 * 1024 * 1024 * 1024
TRIES = 3  # a writer may compact parts away between looking them up and opening them
CHILD = (
    "import sys, json; spec = json.load(sys.stdin); sys.path[:] = spec['sys_path'];"
    "from casemate.explore.query_child import main; main(spec)"
)
_SQL_TYPES = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "binary": "BLOB",
    "timestamp[us, tz=UTC]": "TIMESTAMP WITH TIME ZONE",
}


class QueryResult:
    """The answer: ``columns`` (unique names), and rows when iterated, once.  Close it if you stop early.

    Iterating raises LimitReached when time, memory or output run out, CannotFinish when the child ends otherwise.
    """

    def __init__(self, child: _Child) -> None:
        self._child = child
        self._reader = child.open()
        self.columns = list(self._reader.schema.names)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.batches():
            yield from json_rows(batch, self.columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches."""
        try:
            while True:
                batch = self._child.guard(self._reader.read_next_batch)
                if batch is None:
                    return
                yield batch
        finally:
            self.close()

    def close(self) -> None:
        """Stop the child."""
        self._child.close()


def query(
    case: Case,
    sql: str,
    limits: Limits | None = None,
    *,
    extra_views: Mapping[str, str] | None = None,
    extra_tables: Mapping[str, pa.Schema] | None = None,
) -> QueryResult:
    """Ask one SELECT.

    Args:
        case: the case, open in any way.
        sql: one SELECT (DuckDB's dialect); ``information_schema`` may be asked too.
        limits: ``query_memory_bytes`` and ``query_seconds`` count; the case's own when None.
        extra_views: SQL of more views by name, in an order in which each reads only tables and
            earlier ones (the OCSF tables).
        extra_tables: more tables that are empty where the case has no rows of them; where it has,
            columns that its rows lack are null.

    Raises:
        BadInput: not one SELECT, or one that cannot be understood or is not allowed.
        LimitReached: memory, time or output ran out.
        CaseDamaged: a part is missing or is not a file of this case.
        CannotFinish: the child could not be run.
    """
    try:
        length = len(sql.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadInput("the query is not valid text") from None
    if length > SQL_BYTES or "\x00" in sql:
        raise BadInput(f"a query may be {SQL_BYTES} bytes long and hold no NUL")
    limits = limits or case.settings.limits
    schemas = {**(extra_tables or {}), **DERIVED}
    for attempt in range(TRIES):
        try:
            child = _Child(_specification(case, sql, limits, extra_views or {}, schemas), limits)
            return QueryResult(child)
        except (_PartGoneError, CaseDamaged) as error:
            if attempt == TRIES - 1:
                raise CaseDamaged(error.what, where=error.where or str(case.path), hint=error.hint) from None
            case.refresh()
    raise AssertionError("unreachable")


class _PartGoneError(CasemateError):
    """A part could not be opened."""


def _specification(
    case: Case, sql: str, limits: Limits, views: Mapping[str, str], empty: Mapping[str, pa.Schema]
) -> dict[str, Any]:
    names = sorted({part.table for part in case.store.state.parts.values()} | set(empty))
    return {
        "sql": sql,
        "tables": [_table(case, name, empty.get(name)) for name in names],
        "views": dict(views),
        "memory_bytes": limits.query_memory_bytes,
        "seconds": limits.query_seconds,
        "threads": min(os.cpu_count() or 1, 8),
        "sys_path": [*filter(None, sys.path), str(Path(casemate.__file__).parents[1])],
    }


def _table(case: Case, name: str, empty: pa.Schema | None) -> dict[str, Any]:
    schema = completed(case.schema(name), empty)
    groups: dict[tuple[str, ...], list[str]] = {}
    for part in case.live_parts(name):
        groups.setdefault(tuple(part.schema.names), []).append(str(inside(case.path, part.path)))
    return {
        "name": name,
        "columns": [(field.name, _sql_type(field.type)) for field in schema],
        "groups": [{"columns": columns, "paths": paths} for columns, paths in groups.items()],
    }


def completed(stored: pa.Schema | None, declared: pa.Schema | None) -> pa.Schema:
    """The columns of a table as stored, and after them those it should have and lacks (names ignoring case)."""
    if stored is None or declared is None:
        return stored or declared or pa.schema([])
    held = {name.lower() for name in stored.names}
    return pa.schema([*stored, *(field for field in declared if field.name.lower() not in held)])


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        fields = ", ".join('"' + field.name.replace('"', '""') + '" ' + _sql_type(field.type) for field in kind)
        return f"STRUCT({fields})"
    return _SQL_TYPES[str(kind)]


class _Child:
    """The child process and the pipe its rows come through."""

    def __init__(self, specification: Mapping[str, Any], limits: Limits) -> None:
        self._seconds = limits.query_seconds
        self._pipe: _TimedPipe | None = None
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"LANG": "C.UTF-8", "ARROW_DEFAULT_MEMORY_POOL": "system"},
                cwd="/",
                close_fds=True,
            )
        except OSError as error:
            raise CannotFinish(f"the process that answers queries cannot be started: {error.strerror}") from error
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(specification).encode())
            self._process.stdin.close()

    def open(self) -> pa.RecordBatchReader:
        """Wait for the first bytes.  Raises what the child has to say."""
        assert self._process.stdout is not None
        self._pipe = _TimedPipe(self._process.stdout.fileno(), self._seconds)
        reader = self.guard(lambda: pa.ipc.open_stream(self._pipe))
        if reader is None:
            raise CannotFinish("the process that answers queries said nothing")
        return reader

    def guard(self, step: Callable[[], Any]) -> Any:
        """Take one step of reading; None at the regular end."""
        try:
            return step()
        except StopIteration:
            self._finish()
            return None
        except _TimeUpError:
            self.close()
            raise LimitReached(
                f"the query took longer than {self._seconds:g} seconds",
                hint="raise query_seconds under [limits] in case.toml, or ask for less",
            ) from None
        except _TooMuchError:
            self.close()
            raise LimitReached(f"the answer is longer than {OUTPUT_BYTES} bytes", hint="ask for less") from None
        except (pa.ArrowInvalid, OSError, EOFError) as error:
            self._finish()
            raise CannotFinish(f"the answer broke off: {error}") from None

    def _finish(self) -> None:
        """Wait for the child's end and raise what went wrong, if anything did."""
        assert self._process.stderr is not None
        text = self._process.stderr.read(64 * 1024).decode("utf-8", "replace")
        code = self._process.wait()
        self.close()
        if code == 0:
            return
        if code < 0:
            raise LimitReached(
                f"the query was stopped by the system (signal {-code}): too much memory or time",
                hint="raise query_memory_bytes or query_seconds under [limits] in case.toml, or ask for less",
            )
        try:
            said = json.loads(text.strip().splitlines()[-1])
            kind, what = str(said["kind"]), str(said["what"])
        except (IndexError, ValueError, KeyError, TypeError):
            raise CannotFinish(f"the process that answers queries failed: {text.strip()[-300:]}") from None
        if kind == "bad":
            raise BadInput(what)
        if kind == "limit":
            raise LimitReached(what, hint="raise query_memory_bytes under [limits] in case.toml, or ask for less")
        if kind == "gone":
            raise _PartGoneError(what)
        raise CannotFinish(f"the process that answers queries failed: {what}")

    def close(self) -> None:
        """Make sure the child is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


class _TimeUpError(Exception):
    pass


class _TooMuchError(Exception):
    pass


class _TimedPipe:
    """Reads from a pipe; the time spent waiting for it, not the reader's own, is limited."""

    closed = False

    def __init__(self, descriptor: int, seconds: float) -> None:
        self._descriptor, self._left, self._bytes = descriptor, seconds, 0

    def read(self, count: int = -1) -> bytes:
        """Exactly `count` bytes, or fewer at the end."""
        pieces = []
        while count > 0:
            began = time.monotonic()
            ready, _, _ = select.select([self._descriptor], [], [], max(self._left, 0))
            self._left -= time.monotonic() - began
            if not ready:
                raise _TimeUpError
            piece = os.read(self._descriptor, min(count, 1024 * 1024))
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
        data = b"".join(pieces)
        self._bytes += len(data)
        if self._bytes > OUTPUT_BYTES:
            raise _TooMuchError
        return data

    def close(self) -> None:
        """Nothing: the descriptor belongs to the process object."""
