"""Windows processes -> OCSF ``process_activity``: Security 4688, 4689; Sysmon 1, 5."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis

from casemate.schema.ocsf import PROCESS_ACTIVITY
from casemate.views.base import Part, View, known, parted
from casemate.views.windows_text import (
    account,
    account_domain,
    any_integer,
    base_name,
    from_security,
    from_sysmon,
    origin,
)


def _created(table: ibis.Table) -> ibis.Table:
    rows = from_security(table, "4688")
    # 4688 names a target user only where the process runs as somebody else
    other = known(rows.TargetUserName)
    return rows.select(
        **origin(rows, "windows"),
        activity_name=ibis.literal("Launch"),
        status=ibis.literal("Success"),
        process_pid=any_integer(rows.NewProcessId),
        process_name=base_name(rows.NewProcessName),
        process_file_path=known(rows.NewProcessName),
        process_cmd_line=known(rows.CommandLine),
        process_parent_process_pid=any_integer(rows.ProcessId),
        process_parent_process_file_path=known(rows.ParentProcessName),
        actor_user_name=other.coalesce(known(rows.SubjectUserName)),
        actor_user_domain=ibis.ifelse(other.notnull(), known(rows.TargetDomainName), known(rows.SubjectDomainName)),
    )


def _exited(table: ibis.Table) -> ibis.Table:
    rows = from_security(table, "4689")
    return rows.select(
        **origin(rows, "windows"),
        activity_name=ibis.literal("Terminate"),
        status=ibis.literal("Success"),
        process_pid=any_integer(rows.ProcessId),
        process_name=base_name(rows.ProcessName),
        process_file_path=known(rows.ProcessName),
        actor_user_name=known(rows.SubjectUserName),
        actor_user_domain=known(rows.SubjectDomainName),
    )


def _sysmon(table: ibis.Table) -> ibis.Table:
    rows = from_sysmon(table, "1", "5")
    return rows.select(
        **origin(rows, "sysmon"),
        activity_name=ibis.ifelse(rows.EventID == "1", "Launch", "Terminate"),
        status=ibis.literal("Success"),
        process_pid=any_integer(rows.ProcessId),
        process_uid=known(rows.ProcessGuid),
        process_name=base_name(rows.Image),
        process_file_path=known(rows.Image),
        process_cmd_line=known(rows.CommandLine),
        process_parent_process_pid=any_integer(rows.ParentProcessId),
        process_parent_process_file_path=known(rows.ParentImage),
        process_parent_process_cmd_line=known(rows.ParentCommandLine),
        actor_user_name=account(rows.User),
        actor_user_domain=account_domain(rows.User),
    )


VIEWS: tuple[View, ...] = (
    parted(
        "windows_event",
        PROCESS_ACTIVITY,
        (Part(("4688",), _created), Part(("4689",), _exited), Part(("1", "5"), _sysmon)),
    ),
)
