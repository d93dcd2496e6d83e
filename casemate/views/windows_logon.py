"""Windows logons -> OCSF ``authentication``.

Security: 4624, 4625 (logon), 4634, 4647 (logoff), 4648 (logon with other credentials: written before anyone
knows how it ends, so its status is Unknown), 4768, 4769, 4771 (Kerberos), 4776 (NTLM), 4778, 4779 (session
reconnected, disconnected).  TerminalServices: 1149 of RemoteConnectionManager, 21, 23, 24, 25 of
LocalSessionManager.  Meanings after Microsoft's "Advanced security audit policy settings"; the names of
activities are OCSF's.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis

from casemate.schema.ocsf import AUTHENTICATION
from casemate.views.base import Part, View, integer, known, parted
from casemate.views.windows_text import ORIGIN, account, account_domain, address, from_security, origin

LOGON_TYPES: dict[str, str] = {
    "0": "System",
    "2": "Interactive",
    "3": "Network",
    "4": "Batch",
    "5": "Service",
    "7": "Unlock",
    "8": "NetworkCleartext",
    "9": "NewCredentials",
    "10": "RemoteInteractive",
    "11": "CachedInteractive",
    "12": "CachedRemoteInteractive",
    "13": "CachedUnlock",
}
REMOTE_DESKTOP = ("10", "12")

ACTIVITIES: dict[str, str] = {
    "4624": "Logon",
    "4625": "Logon",
    "4634": "Logoff",
    "4647": "Logoff",
    "4648": "Logon",
    "4768": "Authentication Ticket",
    "4769": "Service Ticket Request",
    "4771": "Preauth",
    "4776": "Logon",
    "4778": "Logon",
    "4779": "Logoff",
}
SERVICES: dict[str, str] = {
    "4768": "kerberos",
    "4769": "kerberos",
    "4771": "kerberos",
    "4776": "ntlm",
    "4778": "rdp",
    "4779": "rdp",
}
SUCCEEDED = ("4624", "4634", "4647", "4778", "4779")
FAILED = ("4625", "4771")
ZERO = ("0x0", "0x00000000", "0")
"""Status of a request that was granted (4768, 4769, 4776)."""

REASONS: dict[str, str] = {
    "0xc0000064": "no such user",
    "0xc000006a": "wrong password",
    "0xc000006c": "password policy not met",
    "0xc000006d": "wrong user name or password",
    "0xc000006e": "account restriction",
    "0xc000006f": "outside permitted hours",
    "0xc0000070": "workstation not permitted",
    "0xc0000071": "password expired",
    "0xc0000072": "account disabled",
    "0xc0000133": "clocks differ too much",
    "0xc000015b": "logon type not granted",
    "0xc0000193": "account expired",
    "0xc0000224": "password must change",
    "0xc0000234": "account locked out",
    "0x6": "no such user",
    "0x7": "no such service",
    "0xc": "logon restriction",
    "0x12": "account disabled, expired or locked out",
    "0x17": "password expired",
    "0x18": "wrong password",
    "0x25": "clocks differ too much",
}
"""NTSTATUS and Kerberos (RFC 4120, 7.5.9) codes -> what they say."""

NO_PASSWORD = "no pre-authentication"  # noqa: S105 - a reason, not a password
"""Of a ticket (4768, PreAuthType 0) granted to an account that need not show its password to get one."""

EXPLICIT = "explicit credentials"
"""Of a logon with other credentials (4648) that a person asked for.  Services use those of whoever logs on through
them (winlogon, sshd, IIS): there the subject is the machine (``HOST$``), and nobody chose the account."""

SESSION_EVENTS: dict[str, str] = {"21": "Logon", "23": "Logoff", "24": "Logoff", "25": "Logon"}
LOCAL_SESSIONS = "Microsoft-Windows-TerminalServices-LocalSessionManager"
REMOTE_CONNECTIONS = "Microsoft-Windows-TerminalServices-RemoteConnectionManager"


def _security(table: ibis.Table) -> ibis.Table:
    rows = from_security(table, *ACTIVITIES)
    event = rows.EventID
    code = known(rows.SubStatus).lower()
    code = ibis.ifelse(code.isin(list(ZERO)), ibis.null("string"), code).coalesce(known(rows.Status).lower())
    granted = code.isin(list(ZERO))
    status = ibis.cases(
        (event.isin(list(SUCCEEDED)), "Success"),
        (event.isin(list(FAILED)), "Failure"),
        (event == "4648", "Unknown"),
        (granted, "Success"),
        (code.notnull(), "Failure"),
        else_="Unknown",
    )
    service = event.cases(*SERVICES.items(), else_="windows_logon")
    kerberos = event.isin(["4768", "4769", "4771"])
    return rows.select(
        **origin(rows, "windows"),
        activity_name=event.cases(*ACTIVITIES.items(), else_="Other"),
        status=status,
        status_detail=ibis.cases(
            ((event == "4648") & rows.SubjectUserName.re_search(r"[^$]\z"), EXPLICIT),
            (granted & (event == "4768") & (rows.PreAuthType == "0"), NO_PASSWORD),
            (granted, ibis.null("string")),
            else_=code.cases(*REASONS.items(), else_=code),
        ),
        src_endpoint_ip=address(rows.IpAddress).coalesce(address(rows.ClientAddress)),
        src_endpoint_port=integer(rows.IpPort),
        src_endpoint_hostname=known(rows.WorkstationName)
        .coalesce(known(rows.Workstation))
        .coalesce(known(rows.ClientName)),
        dst_endpoint_hostname=ibis.ifelse(
            (event == "4648") & (rows.TargetServerName.lower() != "localhost"),
            known(rows.TargetServerName),
            known(rows.Computer),
        ),
        user_name=known(rows.TargetUserName).coalesce(known(rows.AccountName)),
        user_domain=known(rows.TargetDomainName).coalesce(known(rows.AccountDomain)),
        auth_protocol=ibis.cases(
            (kerberos, "Kerberos"),
            (event == "4776", "NTLM"),
            else_=known(rows.AuthenticationPackageName),
        ),
        logon_type=rows.LogonType.cases(*LOGON_TYPES.items(), else_=known(rows.LogonType)),
        service_name=ibis.ifelse(rows.LogonType.isin(list(REMOTE_DESKTOP)), "rdp", service),
        session_uid=known(rows.TargetLogonId).coalesce(known(rows.SessionName)),
        unmapped_attempts=ibis.literal(1, "int64"),
    )


def _remote_connections(table: ibis.Table) -> ibis.Table:
    rows = table.filter((table.Provider_Name == REMOTE_CONNECTIONS) & (table.EventID == "1149"))
    return rows.select(
        **origin(rows, "windows"),
        activity_name=ibis.literal("Logon"),
        status=ibis.literal("Success"),
        src_endpoint_ip=address(rows.param3),
        dst_endpoint_hostname=known(rows.Computer),
        user_name=known(rows.param1),
        user_domain=known(rows.param2),
        logon_type=ibis.literal("RemoteInteractive"),
        service_name=ibis.literal("rdp"),
        unmapped_attempts=ibis.literal(1, "int64"),
    )


def _local_sessions(table: ibis.Table) -> ibis.Table:
    rows = table.filter((table.Provider_Name == LOCAL_SESSIONS) & table.EventID.isin(list(SESSION_EVENTS)))
    source = address(rows.Address)  # "LOCAL" at the console
    return rows.select(
        **origin(rows, "windows"),
        activity_name=rows.EventID.cases(*SESSION_EVENTS.items(), else_="Other"),
        status=ibis.literal("Success"),
        src_endpoint_ip=source,
        dst_endpoint_hostname=known(rows.Computer),
        user_name=account(rows.User),
        user_domain=account_domain(rows.User),
        logon_type=ibis.ifelse(source.notnull(), "RemoteInteractive", "Interactive"),
        service_name=ibis.ifelse(source.notnull(), "rdp", "windows_logon"),
        session_uid=known(rows.SessionID),
        unmapped_attempts=ibis.literal(1, "int64"),
    )


READS = (
    *ORIGIN,
    *("Status", "SubStatus", "SubjectUserName", "PreAuthType", "IpAddress", "IpPort", "ClientAddress", "ClientName"),
    *("WorkstationName", "Workstation", "TargetServerName", "TargetUserName", "TargetDomainName", "TargetLogonId"),
    *("AccountName", "AccountDomain", "AuthenticationPackageName", "LogonType", "SessionName", "SessionID"),
    *("param1", "param2", "param3", "Address", "User"),
)
VIEWS: tuple[View, ...] = (
    parted(
        "windows_event",
        AUTHENTICATION,
        (
            Part(tuple(ACTIVITIES), _security),
            Part(("1149",), _remote_connections),
            Part(tuple(SESSION_EVENTS), _local_sessions),
        ),
        READS,
    ),
)
