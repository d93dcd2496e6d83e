"""Windows files -> OCSF ``file_activity``: Sysmon 11, 15, 23, 26; Security 4663 (file objects) and 5145 (shares)."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis

from casemate.schema.ocsf import FILE_ACTIVITY
from casemate.views.base import Part, View, known, parted
from casemate.views.windows_text import AUDIT_FAILURE, account, address, base_name, from_security, from_sysmon, origin

SYSMON_ACTIVITIES: dict[str, str] = {"11": "Create", "15": "Create", "23": "Delete", "26": "Delete"}

ACCESS_ACTIVITIES: dict[str, str] = {
    "0x1": "Read",
    "0x2": "Update",
    "0x4": "Update",
    "0x6": "Update",
    "0x10000": "Delete",
    "0x40": "Delete",
    "0x100": "Set Attributes",
    "0x40000": "Set Security",
    "0x80000": "Set Security",
    "0x80": "Get Attributes",
    "0x20000": "Get Security",
}
"""Access mask with one right (winnt.h, file access rights) -> activity; masks of several are ``Open``."""


def _sysmon(table: ibis.Table) -> ibis.Table:
    rows = from_sysmon(table, *SYSMON_ACTIVITIES)
    return rows.select(
        **origin(rows, "sysmon"),
        activity_name=rows.EventID.cases(*SYSMON_ACTIVITIES.items(), else_="Other"),
        status=ibis.literal("Success"),
        file_path=known(rows.TargetFilename),
        file_name=base_name(rows.TargetFilename),
        file_hashes=known(rows.Hashes).coalesce(known(rows.Hash)),
        actor_process_file_path=known(rows.Image),
        actor_user_name=account(rows.User),
    )


def _objects(table: ibis.Table) -> ibis.Table:
    rows = from_security(table, "4663")
    rows = rows.filter(rows.ObjectType == "File")
    return rows.select(
        **origin(rows, "windows"),
        activity_name=rows.AccessMask.lower().cases(*ACCESS_ACTIVITIES.items(), else_="Open"),
        status=ibis.ifelse(rows.Keywords.isin(list(AUDIT_FAILURE)), "Failure", "Success"),
        file_path=known(rows.ObjectName),
        file_name=base_name(rows.ObjectName),
        actor_process_file_path=known(rows.ProcessName),
        actor_user_name=known(rows.SubjectUserName),
    )


def _shares(table: ibis.Table) -> ibis.Table:
    rows = from_security(table, "5145")
    inside = known(rows.RelativeTargetName)
    return rows.select(
        **origin(rows, "windows"),
        activity_name=rows.AccessMask.lower().cases(*ACCESS_ACTIVITIES.items(), else_="Open"),
        status=ibis.ifelse(rows.Keywords.isin(list(AUDIT_FAILURE)), "Failure", "Success"),
        file_path=ibis.ifelse(inside.isnull(), known(rows.ShareName), known(rows.ShareName) + "\\" + inside),
        file_name=base_name(inside),
        actor_user_name=known(rows.SubjectUserName),
        src_endpoint_ip=address(rows.IpAddress),
    )


VIEWS: tuple[View, ...] = (
    parted(
        "windows_event",
        FILE_ACTIVITY,
        (Part(tuple(SYSMON_ACTIVITIES), _sysmon), Part(("4663",), _objects), Part(("5145",), _shares)),
    ),
)
