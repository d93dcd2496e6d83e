"""Linux and devices that write syslog: Sysmon for Linux, auditd, syslog, journald, Cisco."""

from __future__ import annotations

from casemate.detect.sigma.logsources.source import EventSource, LogSource, derived, event_ids, fields_of, having

LINUX_SYSMON_CATEGORIES: dict[str, tuple[int, ...]] = {
    "process_creation": (1,),
    "network_connection": (3,),
    "process_termination": (5,),
    "raw_access_thread": (9,),
    "file_event": (11,),
    "file_delete": (23,),
}
AUDIT_EXECVE = fields_of(
    {
        "Image": derived("audit_image"),
        "CommandLine": "command_line",
        "User": derived("audit_user"),
        "ProcessId": "pid",
        "ParentProcessId": "ppid",
        "CurrentDirectory": "cwd",
        "LogonId": "ses",
    }
)
AUDITD = EventSource("auditd", "linux_audit", fields=fields_of({"SYSCALL": derived("audit_syscall")}))
SYSLOG_SERVICES: dict[str, tuple[str, ...]] = {
    "sshd": ("sshd", "sshd-session", "sshd-auth"),
    "sudo": ("sudo",),
    "cron": ("cron", "crond", "/usr/sbin/cron", "anacron", "crontab"),
    "clamav": ("clamd", "clamav", "freshclam", "clamav-daemon"),
    "vsftpd": ("vsftpd",),
    "guacamole": ("guacd", "guacamole", "tomcat", "tomcat9"),
}
"""Linux services -> programs that write their lines; for :data:`SYSLOG_FILES` it is any line of syslog."""
SYSLOG_FILES = ("syslog", "auth", "daemon", "messages", "secure", "kern", "modsecurity")
SYSLOG_FIELDS = fields_of({"hostname": "host", "src_ip": "source_ip", "src_port": "source_port"})
JOURNALD_FIELDS = {**SYSLOG_FIELDS, **fields_of({"host": "_HOSTNAME", "hostname": "_HOSTNAME"})}
JOURNALD_FIELDS |= fields_of({"program": "SYSLOG_IDENTIFIER", "pid": "_PID"})
SERVICE_FIELDS: dict[str, dict[str, str]] = {"sudo": {"USER": "target_user"}}
"""``USER=root`` of sudo is whom it ran as; ``user`` in lower case is who asked, a column of that name."""


def _text_logs(service: str, programs: tuple[str, ...]) -> tuple[EventSource, ...]:
    """Lines of some programs, of any program if none is named, in syslog and in the journal."""
    own = SERVICE_FIELDS.get(service, {})
    name = f" {service}" if programs else ""
    in_syslog = having("program", *programs) if programs else having("product", absent=True)
    in_journal = (having("SYSLOG_IDENTIFIER", *programs),) if programs else ()
    return (
        EventSource(f"syslog{name}", "syslog", (in_syslog,), fields={**SYSLOG_FIELDS, **own}),
        EventSource(f"journald{name}", "journald", in_journal, fields={**JOURNALD_FIELDS, **own}),
    )


LINUX: dict[LogSource, tuple[EventSource, ...]] = {
    ("linux", None, None): (
        *_text_logs("", ()),
        AUDITD,
        EventSource("Sysmon for Linux", "linux_sysmon"),
    ),
    **{
        ("linux", category, None): (
            EventSource(f"Sysmon for Linux {', '.join(map(str, numbers))}", "linux_sysmon", (event_ids(*numbers),)),
            *(
                (
                    EventSource(
                        "auditd EXECVE",
                        "linux_audit",
                        (having("type", "EXECVE"),),
                        fields=AUDIT_EXECVE,
                        recorded=frozenset(AUDIT_EXECVE),
                    ),
                )
                if category == "process_creation"
                else ()
            ),
        )
        for category, numbers in LINUX_SYSMON_CATEGORIES.items()
    },
    ("linux", None, "auditd"): (AUDITD,),
    ("linux", None, "sysmon"): (EventSource("Sysmon for Linux", "linux_sysmon"),),
    **{("linux", None, service): _text_logs(service, programs) for service, programs in SYSLOG_SERVICES.items()},
    **{("linux", None, service): _text_logs(service, ()) for service in SYSLOG_FILES},
    **{
        ("cisco", None, service): (EventSource("Cisco syslog", "syslog", (having("product", "cisco"),)),)
        for service in ("aaa", "bgp", "ldp", "syslog", "acl", "ios")
    },
    ("cisco", None, None): (EventSource("Cisco syslog", "syslog", (having("product", "cisco"),)),),
}
