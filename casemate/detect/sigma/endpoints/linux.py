"""Text logs of Linux hosts and devices: auditd, syslog, the journal."""

from __future__ import annotations

from casemate.detect.sigma.endpoints.parts import (
    Endpoints,
    EndpointTable,
    Text,
    account,
    address,
    first,
    host,
    known,
)

NOBODY = frozenset({"4294967295", "-1", "unset"})
"""Audit's word for an account that never logged in."""
AUDIT_LOGINS = frozenset(
    {"USER_AUTH", "USER_LOGIN", "USER_ERR", "USER_START", "USER_ACCT", "CRED_ACQ", "GRP_AUTH", "USER_CHAUTHTOK"}
)
"""Records of PAM and login programs, whose ``res`` tells how it ended (audit.h, 1100-1199)."""
AUDIT_FAILED = frozenset({"failed", "0", "no"})
AUDIT_DENIED = frozenset({"AVC", "USER_AVC"})


def _linux_audit(
    kind: Text, node: Text, addr: Text, auid_name: Text, auid: Text, acct: Text, uid_name: Text, uid: Text,
    success: Text, result: Text, message: Text, exe: Text,
) -> Endpoints:  # fmt: skip
    people = (value for value in (auid_name, auid) if value is not None and value not in NOBODY)
    user = first(*(account(None, value) for value in people))
    login = kind in AUDIT_LOGINS
    if login and result is not None:
        outcome = "failed" if result in AUDIT_FAILED else "succeeded"
    elif kind in AUDIT_DENIED and "denied" in (message or ""):
        outcome = "blocked"
    else:
        outcome = "failed" if success == "no" or result in AUDIT_FAILED else "unknown"
    machine = known(node)
    source = first(
        address(addr),
        user,
        account(None, acct) if login else None,
        account(None, uid_name),
        account(None, uid) if uid not in NOBODY else None,
        ("host", machine) if machine else None,
    )
    service = (exe or "").rpartition("/")[2] or None if login else None
    service = "ssh" if service in ("sshd", "sshd-session", "sshd-auth") else service
    return Endpoints(source, host(node, service), "credential" if login else "host", outcome)


LINUX_AUDIT = EndpointTable(
    (
        *("type", "node", "addr", "auid_name", "auid", "acct", "uid_name", "uid", "success", "res", "message"),
        "exe",
    ),
    _linux_audit,
)

SUCCEEDED_LOGINS = frozenset({"session_opened", "ftp_login", "su_success", "root_login", "login_session_opened"})
FAILED_LOGINS = frozenset({"invalid_user", "user_not_allowed", "root_login_refused", "max_attempts", "sudo_failed"})
DONE = frozenset(
    {"sudo_command", "user_added", "group_added", "group_member_added", "user_changed", "user_locked", "user_deleted"}
    | {"group_member_removed", "password_changed", "cron_changed"}
)
"""What a program reports once it is done; no matter of credentials."""


def _text_log(
    name: Text, program: Text, source_ip: Text, source_host: Text, user: Text, ssh_event: Text, event: Text
) -> Endpoints:
    said = ssh_event or event or ""
    outcome = "unknown"
    if said.startswith("accepted_") or said in SUCCEEDED_LOGINS or said in DONE:
        outcome = "succeeded"
    elif said in FAILED_LOGINS or said.startswith("failed_") or "fail" in said:
        outcome = "failed"
    service = "ssh" if ssh_event is not None else known(program)
    machine = known(name)
    source = first(
        address(source_ip), address(source_host), account(None, user), ("host", machine) if machine else None
    )
    credential = ssh_event is not None or (said != "" and said not in DONE and not said.startswith("cron_"))
    return Endpoints(source, host(name, service), "credential" if credential else "host", outcome)


_LOGIN = ("source_ip", "source_host", "user", "ssh_event", "event")
SYSLOG = EndpointTable(("host", "program", *_LOGIN), _text_log)
JOURNALD = EndpointTable(("_HOSTNAME", "SYSLOG_IDENTIFIER", *_LOGIN), _text_log)
