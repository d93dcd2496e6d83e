"""Logs that were cleared, and acts that stopped or changed what is recorded, as the logs themselves tell.

Sources: Microsoft, "Appendix L: Events to monitor" and the manifest of Microsoft-Windows-Eventlog; auditd(8) and
linux/audit.h; systemd's catalog of messages; the CloudTrail API reference.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import ibis

from casemate.detect.coverage.sources import (
    HOST_COLUMNS,
    KEYS,
    STREAM_COLUMNS,
    UTC_TIME,
    Collect,
    Hold,
    of_source,
    stacked,
)

KINDS: dict[str, str] = {
    "cleared": "records were destroyed",
    "lost": "records were dropped before they were written",
    "stopped": "recording stopped",
    "changed": "what is recorded was changed",
}
MOST_ROWS = 5_000
"""Rows kept of all acts; one row may stand for many of the same act, host and doer."""


@dataclass(frozen=True)
class Act:
    """Records that tell of one act.

    Args:
        name: stable name.
        kind: one of :data:`KINDS`.
        table: the native table.
        where: column -> values (lower case) of which it must have one; an empty text stands for null.
        says: what it means, as a person reads it.
        who, what: columns that name who did it, and to what; the first that is known.
        like: column -> regular expression its value must contain.
    """

    name: str
    kind: str
    table: str
    where: Mapping[str, tuple[str, ...]]
    says: str
    who: tuple[str, ...] = ()
    what: tuple[str, ...] = ()
    like: Mapping[str, str] = field(default_factory=dict)

    @property
    def ordinary(self) -> bool:
        """Whether it is told at each ordinary shutdown too."""
        return "ordinary" in self.says


_EVENTLOG = ("microsoft-windows-eventlog", "eventlog", "")
_AUDITING = ("microsoft-windows-security-auditing", "security", "")

ACTS: tuple[Act, ...] = (
    Act("security_log_cleared", "cleared", "windows_event",
        {"EventID": ("1102", "517"), "Channel": ("security", ""), "Provider_Name": (*_EVENTLOG, "security")},
        "the Security log was cleared (1102)", ("SubjectUserName",)),
    Act("log_cleared", "cleared", "windows_event", {"EventID": ("104",), "Provider_Name": _EVENTLOG[:2]},
        "a log was cleared (104)", ("SubjectUserName",), ("UserData_Channel", "BackupPath")),
    Act("audit_events_dropped", "lost", "windows_event", {"EventID": ("1101",), "Provider_Name": _EVENTLOG[:2]},
        "audit events were dropped (1101)"),
    Act("security_log_full", "lost", "windows_event", {"EventID": ("1104",), "Provider_Name": _EVENTLOG[:2]},
        "the Security log was full (1104)"),
    Act("event_logging_stopped", "stopped", "windows_event", {"EventID": ("1100",), "Provider_Name": _EVENTLOG[:2]},
        "event logging shut down (1100; also at each ordinary shutdown)"),
    Act("audit_policy_changed", "changed", "windows_event",
        {"EventID": ("4719", "612"), "Provider_Name": _AUDITING}, "the audit policy was changed (4719)",
        ("SubjectUserName",)),
    Act("sysmon_configuration_changed", "changed", "windows_event",
        {"EventID": ("16",), "Provider_Name": ("microsoft-windows-sysmon",)},
        "Sysmon's configuration was changed (16)", (), ("Configuration",)),
    Act("sysmon_stopped", "stopped", "windows_event",
        {"EventID": ("4",), "Provider_Name": ("microsoft-windows-sysmon",), "State": ("stopped",)},
        "Sysmon was stopped (4)"),
    Act("auditd_stopped", "stopped", "linux_audit", {"type": ("daemon_end", "daemon_abort")},
        "the audit daemon ended (also at each ordinary shutdown)", ("auid_name", "auid")),
    Act("audit_switched_off", "stopped", "linux_audit", {"type": ("config_change",)},
        "auditing was switched off", ("auid_name", "auid"), like={"rest": r'"audit_enabled":"?0'}),
    Act("audit_rules_changed", "changed", "linux_audit",
        {"type": ("config_change",), "op": ("remove_rule", "remove rule")}, "an audit rule was removed",
        ("auid_name", "auid"), ("key",)),
    Act("journal_messages_suppressed", "lost", "journald", {"MESSAGE_ID": ("a596d6fe7bfa4994828e72309e95d61e",)},
        "messages of a service were suppressed because there were too many", (), ("UNIT", "_SYSTEMD_UNIT")),
    Act("journal_stopped", "stopped", "journald", {"MESSAGE_ID": ("d93fb3c9c24d451a97cea615ce59c00b",)},
        "the journal was stopped (also at each ordinary shutdown)"),
    Act("syslog_stopped", "stopped", "syslog", {"program": ("rsyslogd", "syslogd", "syslog-ng", "exiting")},
        "the system log was stopped (also at each ordinary shutdown)",
        like={"message": r"exiting on signal|syslog-ng shutting down"}),
    Act("syslog_dropped", "lost", "syslog", {"program": ("rsyslogd", "rsyslogd-2177", "syslogd")},
        "messages were dropped because there were too many", like={"message": r"drop messages|messages lost"}),
    Act("trail_stopped", "stopped", "cloudtrail",
        {"eventName": ("stoplogging", "deletetrail", "deleteflowlogs", "deleteeventdatastore"), "errorCode": ("",)},
        "a trail or flow log was stopped or deleted", ("userIdentity.arn",), ("requestParameters.name", "eventName")),
    Act("trail_changed", "changed", "cloudtrail",
        {"eventName": ("updatetrail", "puteventselectors", "putinsightselectors"), "errorCode": ("",)},
        "what a trail records was changed", ("userIdentity.arn",), ("requestParameters.name", "eventName")),
    Act("cloud_logs_deleted", "cleared", "cloudtrail",
        {"eventName": ("deleteloggroup", "deletelogstream"), "errorCode": ("",)},
        "logs kept in the cloud were deleted", ("userIdentity.arn",), ("eventName",)),
)  # fmt: skip


@dataclass(frozen=True)
class Stopped:
    """One act, by one doer on one source.

    `times` how often, `first` and `last` (UTC), `record` the address of the first; `what` is the first by name of
    `objects` different things it was done to.
    """

    act: Act
    host: str | None
    stream: str | None
    who: str | None
    what: str | None
    objects: int
    times: int
    first: datetime | None
    last: datetime | None
    record: str


def acts(tables: Mapping[str, ibis.Table], collect: Collect, hold: Hold) -> ibis.Table | None:
    """Every record that tells of an act: ``act``, ``named``, ``flow``, ``who``, ``what``, ``time``, ``evidence``,
    ``record``; None if there is none.  `hold` keeps the few rows that may be meant."""  # fmt: skip
    parts = []
    for name in dict.fromkeys(act.table for act in ACTS):
        table = tables.get(name)
        if table is None:
            continue
        askable = [act for act in ACTS if act.table == name and {*act.where, *act.like} <= set(table.columns)]
        # most logs tell of no act at all, and planning a question for each takes longer than this one
        told = _occurring(table, askable, collect)
        if told:
            kept = hold(_candidates(table, name, told))
            parts += [_told(kept, act) for act in told]
    return stacked(parts) if parts else None


def _first_values(told: Sequence[Act]) -> dict[str, set[str]]:
    """The values of the first column of each act."""
    wanted: dict[str, set[str]] = {}
    for act in told:
        column = next(iter(act.where))
        wanted.setdefault(column, set()).update(act.where[column])
    return wanted


def _occurring(table: ibis.Table, askable: Sequence[Act], collect: Collect) -> list[Act]:
    """Those acts of whose first column the table has a value."""
    there: dict[str, set[str]] = {}
    for column, values in _first_values(askable).items():
        distinct = table.select(value=table[column]).distinct()
        found = collect(distinct.filter(distinct.value.lower().isin(sorted(values))))
        there[column] = {value.lower() for value in found.column("value").to_pylist()}
    return [act for act in askable if there[next(iter(act.where))] & set(act.where[next(iter(act.where))])]


def _candidates(table: ibis.Table, name: str, told: Sequence[Act]) -> ibis.Table:
    """The rows of which some of these acts asks, by the first column of each; only the columns they read."""
    wanted = _first_values(told).items()
    tests = [table[column].lower().isin(sorted(values)).fill_null(False) for column, values in wanted]
    may = tests[0]
    for test in tests[1:]:
        may = may | test
    named = {name for act in told for name in (*act.where, *act.like, *act.who, *act.what)}
    hosts = {HOST_COLUMNS.get(name), *STREAM_COLUMNS.get(name, ())}
    columns = [column for column in table.columns if column in named | hosts | {"time", "evidence", "record"}]
    return table.filter(may).select(*columns)


def _told(table: ibis.Table, act: Act) -> ibis.Table:
    for column, values in act.where.items():
        # null-safe: a record without the column passes only where the act says so
        table = table.filter(table[column].lower().fill_null("").isin(list(values)))
    for column, pattern in act.like.items():
        table = table.filter(table[column].fill_null("").re_search(pattern))
    source = of_source(table, act.table)
    return table.select(
        act=ibis.literal(act.name),
        named=source["named"],
        flow=source["flow"],
        who=_first(table, act.who),
        what=_first(table, act.what),
        time=table.time.cast(UTC_TIME),
        evidence=table.evidence,
        record=table.record,
    )


def _first(table: ibis.Table, names: tuple[str, ...]) -> ibis.Value:
    known = [table[name].cast("string") for name in names if name in table.columns]
    return ibis.coalesce(*known, "") if known else ibis.literal("")


SAME = ("act", *KEYS[1:], "who")


def summed(found: ibis.Table) -> ibis.Table:
    """The rows of :func:`acts` by act, host, stream and doer, with the first record of each."""
    order = [found.time.asc(nulls_first=False), found.evidence, found.record]
    placed = found.mutate(place=ibis.row_number().over(ibis.window(group_by=list(SAME), order_by=order)))
    counted = found.group_by(list(SAME)).agg(
        times=found.count(), first=found.time.min(), last=found.time.max(), object=found.what.min()
    )
    objects = found.select(*SAME, "what").distinct().group_by(list(SAME)).agg(objects=lambda table: table.count())
    firsts = placed.filter(placed.place == 0).select(*SAME, "evidence", "record")
    return counted.join(objects, list(SAME)).join(firsts, list(SAME))


def stopped(tables: Mapping[str, ibis.Table], collect: Collect, hold: Hold) -> tuple[Stopped, ...]:
    """Every act told of, in order of time."""
    found = acts(tables, collect, hold)
    if found is None:
        return ()
    rows = collect(summed(hold(found)).limit(MOST_ROWS)).to_pylist()
    by_name = {act.name: act for act in ACTS}
    made = [
        Stopped(
            act=by_name[row["act"]],
            host=row["named"] or None,
            stream=row["flow"] or None,
            who=row["who"] or None,
            what=row["object"] or None,
            objects=row["objects"],
            times=row["times"],
            first=row["first"],
            last=row["last"],
            record=f"{row['evidence']}:{row['record']}",
        )
        for row in rows
    ]
    return tuple(sorted(made, key=lambda one: (str(one.first or ""), one.act.name, one.record)))
