"""Process trees from launches (4688, Sysmon, auditd): parents above, children below.

A process number is used again and again; the parent of a launch is the last launch before it, on the same
host, of the process its parent number names.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ibis

MOST_LAUNCHES = 1_000_000
MOST_SHOWN = 2_000


def launches(process_activity: ibis.Table) -> ibis.Table:
    """Launches with a time and a process number.

    Columns: ``host, time, pid, parent_pid, path, command, user, evidence, record``.
    """
    rows = process_activity.filter(
        (process_activity.activity_name == "Launch")
        & process_activity.process_pid.notnull()
        & process_activity.time.notnull()
    )
    return rows.select(
        host=rows.device_hostname,
        time=rows.time,
        pid=rows.process_pid,
        parent_pid=rows.process_parent_process_pid,
        path=rows.process_file_path.coalesce(rows.process_name),
        command=rows.process_cmd_line,
        user=rows.actor_user_name,
        evidence=rows.evidence,
        record=rows.record,
    )


@dataclass
class _Node:
    row: dict[str, Any]
    parent: _Node | None = None
    children: list[_Node] = field(default_factory=list)


def tree(rows: Sequence[dict[str, Any]], pid: int) -> Iterator[dict[str, Any]]:
    """The launches of process number `pid` with what stands above and below each, from the root down.

    Args:
        rows: rows of :func:`launches`, of any hosts, in any order.
        pid: the process number.

    Yields:
        The rows with ``depth`` (0 for the oldest known ancestor) and ``asked`` (whether it is the process
        asked for); each launch once.
    """
    ordered = sorted(rows, key=lambda row: (row["host"] or "", row["time"], row["evidence"], row["record"]))
    nodes = [_Node(row) for row in ordered]
    by_number: dict[tuple[str | None, int], list[_Node]] = {}
    for node in nodes:
        by_number.setdefault((node.row["host"], node.row["pid"]), []).append(node)
    times: dict[tuple[str | None, int], list[datetime]] = {
        key: [node.row["time"] for node in found] for key, found in by_number.items()
    }
    for node in nodes:
        key = (node.row["host"], node.row["parent_pid"])
        before = bisect_right(times.get(key, []), node.row["time"])
        older = by_number[key][before - 1] if before else None
        if older is node or (older is not None and older.row["time"] == node.row["time"] and _above(node, older)):
            continue  # a record that names itself as its parent
        if older is not None:
            node.parent = older
            older.children.append(node)
    told: set[int] = set()
    for node in nodes:
        if node.row["pid"] == pid and id(node) not in told:
            yield from _walk(node, pid, told)


def _above(node: _Node, start: _Node) -> bool:
    """Whether `node` already stands above `start` (launches of one instant could make a ring)."""
    at: _Node | None = start
    while at is not None:
        if at is node:
            return True
        at = at.parent
    return False


def _walk(node: _Node, pid: int, told: set[int]) -> Iterator[dict[str, Any]]:
    above: list[_Node] = []
    at = node.parent
    while at is not None:
        above.append(at)
        at = at.parent
    for depth, ancestor in enumerate(reversed(above)):
        if id(ancestor) not in told:
            told.add(id(ancestor))
            yield {**ancestor.row, "depth": depth, "asked": ancestor.row["pid"] == pid}
    waiting = [(node, len(above))]
    while waiting:
        at, depth = waiting.pop()
        if id(at) in told:
            continue
        told.add(id(at))
        yield {**at.row, "depth": depth, "asked": at.row["pid"] == pid}
        waiting.extend((child, depth + 1) for child in reversed(at.children))
