"""The process that answers one query.  It is started by :mod:`casemate.explore.query`.

It gets a specification (JSON) on its standard input, writes the rows as an Arrow IPC stream to its
standard output, and on failure one line of JSON, ``{"kind": ..., "what": ...}``, to its standard
error.  Kinds: ``bad`` (the query), ``limit``, ``gone`` (a part was compacted away meanwhile), ``bug``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from casemate.fence import limit_resources, read_only

MIB = 1024 * 1024
OVERHEAD_BYTES = 3 * 1024 * MIB  # address space (not memory) of the interpreter, libraries and thread stacks
BATCH_ROWS = 8192
MESSAGE_LENGTH = 400
SYSTEM_FOLDERS = ("/usr", "/lib", "/lib64", "/proc/self", "/sys/fs/cgroup", "/dev/urandom", "/dev/null")
WRITERS = re.compile(r"COPY|INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|DROP|ATTACH|EXPORT")
NESTED_WRITER = "WITH clause containing"  # how the binder refuses COPY, INSERT, ... in a WITH inside query()
LISTS_TABLES = re.compile(r"information_schema|duckdb_|pg_|sqlite_|\b(show|describe|summarize)\b", re.IGNORECASE)


class _RefusedError(Exception):
    """The query is not one that may run; the message is for the user."""


def main(spec: Mapping[str, Any]) -> None:
    """Answer the query of `spec` and end the process."""
    code = 1
    try:
        _answer(spec)
        code = 0
    except _RefusedError as error:
        _fail("bad", str(error))
    except BrokenPipeError:
        pass  # whoever asked has gone
    except (duckdb.OutOfMemoryException, MemoryError):
        _fail("limit", "the query needs more memory than it may have")
    except duckdb.Error as error:
        text = _one_line(error)
        if isinstance(error, duckdb.IOException) or "No files found" in text:
            _fail("gone", text)
        else:
            memory = "bad_alloc" in text or "could not allocate" in text.lower()
            _fail("limit" if memory else "bad", "the query needs more memory than it may have" if memory else text)
    except Exception as error:
        _fail("bug", f"{type(error).__name__}: {_one_line(error)}")
    sys.stderr.flush()
    os._exit(code)  # threads of a stopped query are not waited for


def _answer(spec: Mapping[str, Any]) -> None:
    output = os.dup(1)
    # Whatever a library prints (DuckDB draws a progress bar) must not get between the rows.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    folders = [*SYSTEM_FOLDERS, sys.prefix, sys.base_prefix, *filter(None, spec["sys_path"])]
    parts = [path for table in spec["tables"] for group in table["groups"] for path in group["paths"]]
    limit_resources(
        memory_bytes=2 * spec["memory_bytes"] + OVERHEAD_BYTES, cpu_seconds=int(spec["seconds"] * spec["threads"]) + 5
    )
    # Landlock restricts the thread that asks and those it starts: before DuckDB has any.
    read_only([*folders, *sorted({str(Path(path).parent) for path in parts})])
    connection = _connect(spec, parts)
    reader = _run(connection, _only_select(connection, spec["sql"]), spec)
    with os.fdopen(output, "wb") as pipe, pa.ipc.new_stream(pipe, reader.schema) as writer:
        pipe.flush()
        for batch in reader:
            writer.write_batch(batch)
            pipe.flush()


def _connect(spec: Mapping[str, Any], parts: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """An in-memory database that can open `parts` and nothing else."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{spec['memory_bytes'] // MIB}MiB",
            "threads": spec["threads"],
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    allowed = ", ".join(_literal(path) for path in parts)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET allowed_paths = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _only_select(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The text of the one SELECT in `sql`; anything else is refused."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise _RefusedError(f"one SELECT is answered at a time, these are {len(statements)} statements")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise _RefusedError(f"only a SELECT is answered, this is {statements[0].type.name}")
    return statements[0].query.strip().removesuffix(";")


def _run(connection: duckdb.DuckDBPyConnection, sql: str, spec: Mapping[str, Any]) -> pa.RecordBatchReader:
    """Make the views the query names, see that its plan only reads, and start it."""
    tables = {table["name"]: table for table in spec["tables"]}
    views: dict[str, str] = spec["views"]
    wanted = set(tables) | set(views) if LISTS_TABLES.search(sql) else _named(sql, tables, views)
    broken = _make_views(connection, wanted, tables, views)
    # Inside query() nothing but a SELECT is taken, and a COPY in a WITH is refused by the binder.
    wrapped = f"SELECT * FROM query({_literal(sql)})"  # noqa: S608
    try:
        plan = connection.execute(f"EXPLAIN (FORMAT json) {wrapped}").fetchall()
    except duckdb.CatalogException:
        if wanted == set(tables) | set(views):
            raise
        broken |= _make_views(connection, (set(tables) | set(views)) - wanted, tables, views)
        try:
            plan = connection.execute(f"EXPLAIN (FORMAT json) {wrapped}").fetchall()
        except duckdb.CatalogException as error:
            named = [f"view '{name}' could not be made: {what}" for name, what in broken.items() if name in str(error)]
            raise _RefusedError("; ".join([_one_line(error), *named])) from None
    except duckdb.BinderException as error:
        if NESTED_WRITER in str(error):
            raise _RefusedError("only a SELECT is answered, this one writes") from None
        raise
    for operator in re.findall(r'"name":\s*"([^"]*)"', str(plan)):
        if WRITERS.search(operator):
            raise _RefusedError("only a SELECT is answered, this one writes")
    return connection.sql(wrapped).to_arrow_reader(BATCH_ROWS)


def _named(sql: str, tables: Mapping[str, Any], views: Mapping[str, str]) -> set[str]:
    """Tables and views whose names occur in the query, and those these views name."""
    names: set[str] = set()
    texts = [sql.lower()]
    while texts:
        text = texts.pop()
        for name in (*tables, *views):
            if name in text and name not in names:
                names.add(name)
                if name in views:
                    texts.append(views[name].lower())
    return names


def _make_views(
    connection: duckdb.DuckDBPyConnection, names: set[str], tables: Mapping[str, Any], views: Mapping[str, str]
) -> dict[str, str]:
    """Make the views in their order; those that cannot be made, and why."""
    broken: dict[str, str] = {}
    for name, table in tables.items():
        if name in names:
            connection.execute(f"CREATE VIEW {_quoted(name)} AS {_select(table)}")
    for name, text in views.items():
        if name in names:
            try:
                connection.execute(f"CREATE VIEW {_quoted(name)} AS {text}")
            except duckdb.Error as error:
                broken[name] = _one_line(error)
    return broken


def _select(table: Mapping[str, Any]) -> str:
    """SQL of the rows of a table: its parts grouped by schema, missing columns null."""
    columns: list[tuple[str, str]] = table["columns"]
    selects = []
    for group in table["groups"]:
        held = set(group["columns"])
        chosen = ", ".join(
            f"{_quoted(name)}::{kind} AS {_quoted(name)}" if name in held else f"NULL::{kind} AS {_quoted(name)}"
            for name, kind in columns
        )
        paths = ", ".join(_literal(path) for path in group["paths"])
        selects.append(f"SELECT {chosen} FROM read_parquet([{paths}], hive_partitioning = false)")  # noqa: S608
    if not selects:
        empty = ", ".join(f"NULL::{kind} AS {_quoted(name)}" for name, kind in columns)
        return f"SELECT {empty} WHERE false"
    return " UNION ALL ".join(selects)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _one_line(error: BaseException) -> str:
    """The message of an error without the picture of the query that DuckDB adds."""
    text = str(error).split("\n\nLINE ")[0].split("Stack Trace:")[0]
    return " ".join(text.split())[:MESSAGE_LENGTH]


def _fail(kind: str, what: str) -> None:
    sys.stderr.write(json.dumps({"kind": kind, "what": what}) + "\n")
