"""Linux hosts -> OCSF: ``syslog``, ``journald``, ``linux_audit``, ``linux_sysmon``.

One try to log in is one row of ``authentication``, though logs write of it several times:

* sshd: ``failed_*`` and ``accepted_*`` count (not ``none``, which every client sends first); ``invalid_user`` counts
  where the same session wrote no ``failed_*`` (keys only, so no password was asked); pam's words
  count only in the old form ``sshd(pam_unix)[1]:``, which stands in files without sshd's own,
* audit: ``USER_AUTH`` that failed and ``USER_LOGIN`` that succeeded count; a ``USER_LOGIN`` that failed where the
  same session wrote no ``USER_AUTH`` that failed.

A session is known by its host, process, source address and user (where both records name one), and by time: process
numbers come again, so its records are at most :data:`SESSION_SECONDS` apart.  Its records may stand in two
pieces of evidence, of a log that was rotated or that grew.

``message repeated N times`` is one row with ``unmapped_attempts`` = N.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
import ibis
import ibis.expr.types as ir

from casemate.schema.ocsf import AUTHENTICATION, FILE_ACTIVITY, NETWORK_ACTIVITY, PROCESS_ACTIVITY
from casemate.views.base import View, integer, known, union

PROGRAM_EVENTS: dict[str, tuple[str, str]] = {  # event of other programs -> status, activity
    "su_success": ("Success", "Logon"),
    "su_failed": ("Failure", "Logon"),
    "sudo_failed": ("Failure", "Logon"),
    "login_failed": ("Failure", "Logon"),
    "root_login": ("Success", "Logon"),
    "ftp_login": ("Success", "Logon"),
    "ftp_login_failed": ("Failure", "Logon"),
    "authentication_failed": ("Failure", "Logon"),
    "pam_authentication_failure": ("Failure", "Logon"),
}
PAM_REPEATS = ("su", "sudo", "sshd")  # programs that write of a failure themselves
SESSION_SECONDS = 600
"""Longer than a client may take to log on: sshd's ``LoginGraceTime`` is 120 s by default."""
UNNAMED = ("", "?", "-", "(unknown)", "(unknown user)", "(invalid user)", "(unset)")
_NO_TRY = ("failed_none", "failed_unknown")


def base_name(path: ir.StringColumn) -> ir.StringColumn:
    """The last part of a path."""
    return path.re_replace(r"^.*/", "")


def _ssh_tries(table: ibis.Table, host: str, process: str, module: ir.BooleanValue) -> list[ibis.Table]:
    """Rows of sshd that are one try each, with ``status`` (see the head of this file)."""
    event = table.ssh_event
    failed = event.startswith("failed_") & ~event.isin(_NO_TRY)
    accepted = event.startswith("accepted_") | (module & (event == "session_opened"))
    old_pam = module & (event == "pam_authentication_failure")
    counted = table.filter(failed | accepted | old_pam)
    counted = counted.mutate(
        status=ibis.ifelse(
            counted.ssh_event.startswith("accepted_") | (counted.ssh_event == "session_opened"), "Success", "Failure"
        )
    )
    unknown = event == "invalid_user"
    both = table.filter(failed | unknown)
    alone = _alone(both, both.ssh_event != "invalid_user", both[host], both[process], both.source_ip, both.user)
    alone = alone.mutate(status=ibis.literal("Failure"))
    return [counted, alone]


def _alone(
    table: ibis.Table,
    told: ir.BooleanValue,
    host: ir.StringValue,
    process: ir.StringValue,
    address: ir.StringValue,
    user: ir.StringValue,
) -> ibis.Table:
    """The rows that are not `told` and whose session has no row that is."""
    marked = table.mutate(
        session_told=told.fill_null(False),
        session_host=host.fill_null(""),
        session_process=process.fill_null(""),
        session_address=known(address).fill_null(""),
        session_user=ibis.ifelse(user.isin(UNNAMED).fill_null(True), "", user),
    )
    same = ["session_host", "session_process", "session_address"]
    by_name = _near(marked, marked.session_told, [*same, "session_user"])
    by_any = _near(marked, marked.session_told, same)
    by_unnamed = _near(marked, marked.session_told & (marked.session_user == ""), same)
    counted = ibis.ifelse(marked.session_user == "", by_any, by_name | by_unnamed) & (marked.session_process != "")
    marked = marked.mutate(session_counted=counted)
    marked = marked.filter(~marked.session_told & ~marked.session_counted)
    return marked.select(*table.columns)


def _near(table: ibis.Table, wanted: ir.BooleanValue, group: list[str]) -> ir.BooleanValue:
    """Whether the group has a `wanted` row within :data:`SESSION_SECONDS` of this one."""
    order = [table.time, table.record, table.evidence]
    until = ibis.window(group_by=group, order_by=order, preceding=None, following=0)
    onward = ibis.window(group_by=group, order_by=order, preceding=0, following=None)
    moment = ibis.ifelse(wanted, table.time, ibis.null(table.time.type()))
    most = SESSION_SECONDS * 1_000_000
    since = table.time.delta(moment.max().over(until), unit="microsecond")
    ahead = moment.min().over(onward).delta(table.time, unit="microsecond")
    return (since <= most).fill_null(False) | (ahead <= most).fill_null(False)


def _ssh_rows(tries: ibis.Table, host: str, log: str) -> ibis.Table:
    invalid = tries.invalid_user == "true"
    return tries.select(
        "evidence",
        "record",
        "time",
        "status",
        activity_name=ibis.literal("Logon"),
        status_detail=ibis.ifelse(invalid, "invalid user", tries.ssh_event),
        metadata_product_name=ibis.literal("openssh"),
        metadata_log_name=ibis.literal(log),
        device_hostname=tries[host],
        src_endpoint_ip=tries.source_ip,
        src_endpoint_port=integer(tries.source_port),
        src_endpoint_hostname=tries.source_host,
        dst_endpoint_hostname=tries[host],
        user_name=tries.user,
        auth_protocol=tries.method,
        service_name=ibis.literal("ssh"),
        unmapped_attempts=integer(tries.repeated).fill_null(1),
    )


def _program_rows(table: ibis.Table, host: str, program: str, log: str) -> ibis.Table:
    wanted = table.event.isin(list(PROGRAM_EVENTS)) & ~(
        (table.event == "pam_authentication_failure") & table[program].isin(PAM_REPEATS)
    )
    rows = table.filter(wanted)
    succeeded = [event for event, (status, _) in PROGRAM_EVENTS.items() if status == "Success"]
    return rows.select(
        "evidence",
        "record",
        "time",
        status=ibis.ifelse(rows.event.isin(succeeded), "Success", "Failure"),
        activity_name=ibis.literal("Logon"),
        status_detail=rows.event,
        metadata_product_name=ibis.literal("linux"),
        metadata_log_name=ibis.literal(log),
        device_hostname=rows[host],
        src_endpoint_ip=rows.source_ip,
        src_endpoint_port=integer(rows.source_port),
        src_endpoint_hostname=rows.source_host,
        dst_endpoint_hostname=rows[host],
        user_name=rows.target_user.coalesce(rows.user),
        auth_protocol=ibis.null("string"),
        service_name=rows[program],
        unmapped_attempts=integer(rows.repeated).fill_null(1),
    )


def syslog_authentication(table: ibis.Table) -> ibis.Table:
    """Logins that sshd, su, sudo, login and FTP servers write of in syslog files."""
    module = table.module.notnull()
    ssh = [_ssh_rows(tries, "host", "syslog") for tries in _ssh_tries(table, "host", "pid", module)]
    return union([*ssh, _program_rows(table, "host", "program", "syslog")], AUTHENTICATION)


def journald_authentication(table: ibis.Table) -> ibis.Table:
    """The same from the journal."""
    never = ibis.literal(False)
    ssh = [_ssh_rows(tries, "_HOSTNAME", "journald") for tries in _ssh_tries(table, "_HOSTNAME", "_PID", never)]
    return union([*ssh, _program_rows(table, "_HOSTNAME", "SYSLOG_IDENTIFIER", "journald")], AUTHENTICATION)


def audit_authentication(table: ibis.Table) -> ibis.Table:
    """``USER_AUTH`` and ``USER_LOGIN`` records."""
    rows = table.filter(table.type.isin(["USER_AUTH", "USER_LOGIN"]))
    result = rows.res.coalesce(rows.success)
    rows = rows.mutate(
        status=ibis.cases(
            (result.isin(["success", "yes", "1"]), "Success"),
            (result.isin(["failed", "failure", "no", "0"]), "Failure"),
            else_="Unknown",
        )
    )
    failed = rows.filter((rows.type == "USER_AUTH") & (rows.status == "Failure"))
    opened = rows.filter((rows.type == "USER_LOGIN") & (rows.status != "Failure"))
    both = rows.filter(rows.status == "Failure")
    account = both.acct.coalesce(both["id"])
    alone = _alone(both, both.type == "USER_AUTH", both.node, both.pid, both.addr, account)
    return union([_audit_rows(tries) for tries in (failed, opened, alone)], AUTHENTICATION)


def _audit_rows(tries: ibis.Table) -> ibis.Table:
    host_name = ibis.ifelse(tries.hostname.isin(["?", "", "-"]), ibis.null("string"), tries.hostname)
    address = ibis.ifelse(tries.addr.isin(["?", "", "-"]), ibis.null("string"), tries.addr)
    program = base_name(tries.exe)
    return tries.select(
        "evidence",
        "record",
        "time",
        "status",
        activity_name=ibis.literal("Logon"),
        status_detail=tries["op"],
        metadata_product_name=ibis.literal("auditd"),
        metadata_log_name=tries.type,
        device_hostname=tries.node,
        src_endpoint_ip=address,
        src_endpoint_hostname=ibis.ifelse(host_name == address, ibis.null("string"), host_name),
        dst_endpoint_hostname=tries.node,
        user_name=tries.acct.coalesce(tries["id"]),
        service_name=ibis.ifelse(program.startswith("sshd"), "ssh", program),
        unmapped_attempts=ibis.literal(1, "int64"),
    )


def audit_processes(table: ibis.Table) -> ibis.Table:
    """``EXECVE`` records, which the reader gave what their SYSCALL record says."""
    rows = table.filter(table.type == "EXECVE")
    return rows.select(
        "evidence",
        "record",
        "time",
        activity_name=ibis.literal("Launch"),
        status=ibis.cases((rows.success == "yes", "Success"), (rows.success == "no", "Failure"), else_="Unknown"),
        metadata_product_name=ibis.literal("auditd"),
        metadata_log_name=rows.type,
        device_hostname=rows.node,
        process_pid=integer(rows.pid),
        process_name=base_name(rows.exe.coalesce(rows.a0)),
        process_file_path=rows.exe,
        process_cmd_line=rows.command_line,
        process_parent_process_pid=integer(rows.ppid),
        actor_user_name=rows.uid_name.coalesce(rows.uid),
    )


def sysmon_processes(table: ibis.Table) -> ibis.Table:
    """Event 1: a process was created."""
    rows = table.filter(table.EventID == "1")
    return rows.select(
        *_sysmon_base(rows, "Launch"),
        process_pid=integer(rows.ProcessId),
        process_uid=known(rows.ProcessGuid),
        process_name=base_name(rows.Image),
        process_file_path=known(rows.Image),
        process_cmd_line=known(rows.CommandLine),
        process_parent_process_pid=integer(rows.ParentProcessId),
        process_parent_process_file_path=known(rows.ParentImage),
        process_parent_process_cmd_line=known(rows.ParentCommandLine),
        actor_user_name=known(rows.User),
    )


def sysmon_network(table: ibis.Table) -> ibis.Table:
    """Event 3: a connection."""
    rows = table.filter(table.EventID == "3")
    return rows.select(
        *_sysmon_base(rows, "Open"),
        src_endpoint_ip=known(rows.SourceIp),
        src_endpoint_port=integer(rows.SourcePort),
        src_endpoint_hostname=known(rows.SourceHostname),
        dst_endpoint_ip=known(rows.DestinationIp),
        dst_endpoint_port=integer(rows.DestinationPort),
        dst_endpoint_hostname=known(rows.DestinationHostname),
        connection_info_protocol_name=known(rows.Protocol).lower(),
        actor_process_name=known(rows.Image),
        actor_user_name=known(rows.User),
    )


def sysmon_files(table: ibis.Table) -> ibis.Table:
    """Events 11 (a file was created) and 23 (deleted)."""
    rows = table.filter(table.EventID.isin(["11", "23"]))
    activity = ibis.ifelse(rows.EventID == "11", "Create", "Delete")
    return rows.select(
        *_sysmon_base(rows, activity),
        file_path=known(rows.TargetFilename),
        file_name=base_name(rows.TargetFilename),
        file_hashes=known(rows.Hashes),
        actor_process_file_path=known(rows.Image),
        actor_user_name=known(rows.User),
    )


def _sysmon_base(rows: ibis.Table, activity: str | ir.StringValue) -> list[ir.Value]:
    named = ibis.literal(activity) if isinstance(activity, str) else activity
    return [
        rows.evidence,
        rows.record,
        rows.time,
        named.name("activity_name"),
        ibis.literal("Success").name("status"),
        ibis.literal("sysmon").name("metadata_product_name"),
        rows.Channel.name("metadata_log_name"),
        rows.Computer.coalesce(rows.host).name("device_hostname"),
    ]


VIEWS: tuple[View, ...] = (
    View("syslog", AUTHENTICATION, syslog_authentication),
    View("journald", AUTHENTICATION, journald_authentication),
    View("linux_audit", AUTHENTICATION, audit_authentication),
    View("linux_audit", PROCESS_ACTIVITY, audit_processes),
    View("linux_sysmon", PROCESS_ACTIVITY, sysmon_processes),
    View("linux_sysmon", NETWORK_ACTIVITY, sysmon_network),
    View("linux_sysmon", FILE_ACTIVITY, sysmon_files),
)
