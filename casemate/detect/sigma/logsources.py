"""Which records a Sigma log source means: native tables, conditions on them, and field names.

This is the one place that knows it.  A rule of a log source runs on the records of each
:class:`EventSource` found by :func:`sources_for`; a field of the rule is looked up in the source's
``fields`` first and is otherwise the column (or the key in ``rest``) of the same name, ignoring case.

Sources: Sigma's taxonomy appendix; the channel and event-id tables of pySigma's ``sysmon`` and
``windows`` pipelines; Microsoft's documentation of events 4688, 4657, 4663 and 5156 for the audit
equivalents of Sysmon events; Zeek's own field names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from casemate.detect.sigma.derived import DERIVED_PREFIX

__all__ = ["EventSource", "Where", "sources_for"]


@dataclass(frozen=True)
class Where:
    """A condition on one column: its value (ignoring case) is one of `values`.

    ``absent`` says whether a record without the column passes; with no values only such records do.
    """

    column: str
    values: frozenset[str]
    absent: bool = False


@dataclass(frozen=True)
class EventSource:
    """Records of one native table that a log source means.

    Args:
        name: shown in ``why``: which events these are.
        table: the native table.
        where: conditions, all of which must hold.
        one_of: at least one of these columns must be there.
        fields: Sigma field (lower case) -> column, or derived value (:mod:`.derived`).
        recorded: Sigma fields (lower case) that these events can hold, where they are only an
            equivalent of what the rule was written for; empty when they are the real thing.
        strict: do not run rules that rule something out by a field that is not recorded.
    """

    name: str
    table: str
    where: tuple[Where, ...] = ()
    one_of: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    strict: bool = False


def _where(column: str, *values: str, absent: bool = False) -> Where:
    return Where(column, frozenset(value.lower() for value in values), absent)


def _fields(mapping: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): column for name, column in mapping.items()}


def derived(name: str) -> str:
    """The column name of a derived value."""
    return DERIVED_PREFIX + name


# --- Windows: services, by channel ----------------------------------------------------------------

WINDOWS_SERVICES: dict[str, tuple[str, ...]] = {
    "application": ("Application",),
    "applocker": (
        "Microsoft-Windows-AppLocker/MSI and Script",
        "Microsoft-Windows-AppLocker/EXE and DLL",
        "Microsoft-Windows-AppLocker/Packaged app-Deployment",
        "Microsoft-Windows-AppLocker/Packaged app-Execution",
    ),
    "appmodel-runtime": ("Microsoft-Windows-AppModel-Runtime/Admin",),
    "appxdeployment-server": ("Microsoft-Windows-AppXDeploymentServer/Operational",),
    "appxpackaging-om": ("Microsoft-Windows-AppxPackaging/Operational",),
    "bitlocker": ("Microsoft-Windows-BitLocker/BitLocker Management",),
    "bits-client": ("Microsoft-Windows-Bits-Client/Operational",),
    "capi2": ("Microsoft-Windows-CAPI2/Operational",),
    "certificateservicesclient-lifecycle-system": (
        "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational",
    ),
    "codeintegrity-operational": ("Microsoft-Windows-CodeIntegrity/Operational",),
    "dhcp": ("Microsoft-Windows-DHCP-Server/Operational",),
    "diagnosis-scripted": ("Microsoft-Windows-Diagnosis-Scripted/Operational",),
    "dns-client": ("Microsoft-Windows-DNS Client Events/Operational", "Microsoft-Windows-DNS-Client/Operational"),
    "dns-server": ("DNS Server",),
    "dns-server-analytic": ("Microsoft-Windows-DNS-Server/Analytical", "Microsoft-Windows-DNSServer/Analytical"),
    "dns-server-audit": ("Microsoft-Windows-DNS-Server/Audit", "Microsoft-Windows-DNSServer/Audit"),
    "driver-framework": ("Microsoft-Windows-DriverFrameworks-UserMode/Operational",),
    "firewall-as": ("Microsoft-Windows-Windows Firewall With Advanced Security/Firewall",),
    "hyper-v-worker": ("Microsoft-Windows-Hyper-V-Worker-Admin", "Microsoft-Windows-Hyper-V-Worker-Operational"),
    "iis-configuration": ("Microsoft-IIS-Configuration/Operational",),
    "kernel-event-tracing": ("Microsoft-Windows-Kernel-EventTracing/Admin",),
    "kernel-shimengine": ("Microsoft-Windows-Kernel-ShimEngine/Operational",),
    "ldap": ("Microsoft-Windows-LDAP-Client/Debug",),
    "ldap_debug": ("Microsoft-Windows-LDAP-Client/Debug",),
    "lsa-server": ("Microsoft-Windows-LSA/Operational",),
    "microsoft-servicebus-client": (
        "Microsoft-ServiceBus-Client",
        "Microsoft-ServiceBus-Client/Admin",
        "Microsoft-ServiceBus-Client/Operational",
    ),
    "msexchange-management": ("MSExchange Management",),
    "ntfs": ("Microsoft-Windows-Ntfs/Operational",),
    "ntlm": ("Microsoft-Windows-NTLM/Operational",),
    "openssh": ("OpenSSH/Operational",),
    "powershell": ("Microsoft-Windows-PowerShell/Operational", "PowerShellCore/Operational"),
    "powershell-classic": ("Windows PowerShell",),
    "printservice-admin": ("Microsoft-Windows-PrintService/Admin",),
    "printservice-operational": ("Microsoft-Windows-PrintService/Operational",),
    "security": ("Security",),
    "security-mitigations": (
        "Microsoft-Windows-Security-Mitigations/KernelMode",
        "Microsoft-Windows-Security-Mitigations/UserMode",
        "Microsoft-Windows-Security-Mitigations/Kernel Mode",
        "Microsoft-Windows-Security-Mitigations/User Mode",
    ),
    "sense": ("Microsoft-Windows-SENSE/Operational",),
    "servicebus-client": ("Microsoft-ServiceBus-Client",),
    "shell-core": ("Microsoft-Windows-Shell-Core/Operational",),
    "smbclient-audit": ("Microsoft-Windows-SmbClient/Audit",),
    "smbclient-connectivity": ("Microsoft-Windows-SmbClient/Connectivity",),
    "smbclient-security": ("Microsoft-Windows-SmbClient/Security",),
    "smbserver-audit": ("Microsoft-Windows-SMBServer/Audit",),
    "smbserver-connectivity": ("Microsoft-Windows-SMBServer/Connectivity",),
    "smbserver-security": ("Microsoft-Windows-SMBServer/Security",),
    "sysmon": ("Microsoft-Windows-Sysmon/Operational",),
    "system": ("System",),
    "taskscheduler": ("Microsoft-Windows-TaskScheduler/Operational",),
    "terminalservices-localsessionmanager": ("Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",),
    "terminalservices-remoteconnectionmanager": (
        "Microsoft-Windows-TerminalServices-RemoteConnectionManager/Operational",
    ),
    "vhdmp": ("Microsoft-Windows-VHDMP/Operational",),
    "windefend": ("Microsoft-Windows-Windows Defender/Operational",),
    "winrm": ("Microsoft-Windows-WinRM/Operational",),
    "wmi": ("Microsoft-Windows-WMI-Activity/Operational",),
}

WINDOWS_PROVIDERS: dict[str, tuple[str, ...]] = {
    "application": (),
    "system": (),
    "security": ("Microsoft-Windows-Security-Auditing",),
    "sysmon": ("Microsoft-Windows-Sysmon",),
    "powershell": ("Microsoft-Windows-PowerShell", "PowerShellCore"),
    "powershell-classic": ("PowerShell",),
    "windefend": ("Microsoft-Windows-Windows Defender",),
}
"""Who writes to a channel, for records whose export left the channel out; for the services not
listed the part of the channel before ``/``.  None for channels that anyone may write to."""

DEFENDER_FIELDS = _fields({"Feature_Name": derived("feature_name"), "FeatureName": derived("feature_name")})
SERVICE_FIELDS: dict[str, dict[str, str]] = {"windefend": DEFENDER_FIELDS}


def _windows_service(service: str) -> tuple[EventSource, ...]:
    channels = WINDOWS_SERVICES[service]
    fields = SERVICE_FIELDS.get(service, {})
    sources = [EventSource(service, "windows_event", (_where("Channel", *channels),), fields=fields)]
    providers = WINDOWS_PROVIDERS.get(service, tuple(channel.split("/")[0] for channel in channels))
    if providers:
        unnamed = (_where("Channel", absent=True), _where("Provider_Name", *providers))
        sources.append(EventSource(f"{service} (channel not recorded)", "windows_event", unnamed, fields=fields))
    return tuple(sources)


# --- Windows: categories, by provider, channel and event id ------------------------------------------

SYSMON_CATEGORIES: dict[str, tuple[int, ...]] = {
    "process_creation": (1,),
    "file_change": (2,),
    "network_connection": (3,),
    "sysmon_status": (4, 16),
    "process_termination": (5,),
    "driver_load": (6,),
    "image_load": (7,),
    "create_remote_thread": (8,),
    "raw_access_thread": (9,),
    "process_access": (10,),
    "file_event": (11,),
    "registry_add": (12,),
    "registry_delete": (12,),
    "registry_set": (13,),
    "registry_rename": (14,),
    "registry_event": (12, 13, 14),
    "create_stream_hash": (15,),
    "pipe_created": (17, 18),
    "wmi_event": (19, 20, 21),
    "dns_query": (22,),
    "file_delete": (23, 26),
    "file_delete_detected": (26,),
    "clipboard_capture": (24,),
    "clipboard_change": (24,),
    "process_tampering": (25,),
    "file_block_executable": (27,),
    "file_block_shredding": (28,),
    "file_executable_detected": (29,),
    "sysmon_error": (255,),
}

POWERSHELL_CATEGORIES: dict[str, tuple[str, int]] = {
    "ps_module": ("powershell", 4103),
    "ps_script": ("powershell", 4104),
    "ps_classic_start": ("powershell-classic", 400),
    "ps_classic_provider_start": ("powershell-classic", 600),
    "ps_classic_script": ("powershell-classic", 800),
}

PROCESS_4688 = _fields(
    {
        "Image": "NewProcessName",
        "ParentImage": "ParentProcessName",
        "CommandLine": "CommandLine",
        "User": derived("account_4688"),
        "ParentUser": derived("subject_account"),
        "ProcessId": "NewProcessId",
        "ParentProcessId": "ProcessId",
        "LogonId": "SubjectLogonId",
        "IntegrityLevel": derived("integrity_level"),
    }
)
REGISTRY_4657 = _fields(
    {
        "Image": "ProcessName",
        "TargetObject": derived("registry_target"),
        "Details": derived("registry_details"),
        "EventType": derived("registry_event_type"),
        "ProcessId": "ProcessId",
        "User": derived("subject_account"),
    }
)
NETWORK_5156 = _fields(
    {
        "Image": "Application",
        "Protocol": derived("protocol_name"),
        "Initiated": derived("initiated_5156"),
        "SourceIp": "SourceAddress",
        "SourcePort": "SourcePort",
        "DestinationIp": "DestAddress",
        "DestinationPort": "DestPort",
        "ProcessId": "ProcessID",
    }
)
FILE_4663 = _fields(
    {"Image": "ProcessName", "FileName": "ObjectName", "User": derived("subject_account"), "ProcessId": "ProcessId"}
)
ANTIVIRUS_DEFENDER = {
    **DEFENDER_FIELDS,
    **_fields({"Signature": "ThreatName", "Filename": "Path", "User": "DetectionUser", "Action": "ActionName"}),
}
REGISTRY_OPERATIONS: dict[str, tuple[str, ...]] = {
    "registry_set": ("%%1904", "%%1905", "New registry value created", "Existing registry value modified"),
    "registry_add": ("%%1904", "New registry value created"),
    "registry_delete": ("%%1906", "Registry value deleted"),
    "registry_event": (
        *("%%1904", "%%1905", "%%1906"),
        *("New registry value created", "Existing registry value modified", "Registry value deleted"),
    ),
}


def _event_ids(*numbers: int) -> Where:
    return _where("EventID", *(str(number) for number in numbers))


def _windows_events(
    name: str,
    channels: tuple[str, ...],
    providers: tuple[str, ...],
    *where: Where,
    fields: Mapping[str, str] | None = None,
) -> EventSource:
    """Events by channel and provider; either may be missing from the export, not both."""
    return EventSource(
        name,
        "windows_event",
        (_where("Channel", *channels, absent=True), _where("Provider_Name", *providers, absent=True), *where),
        one_of=("Channel", "Provider_Name"),
        fields=fields or {},
    )


def _audit(name: str, fields: Mapping[str, str], *where: Where) -> EventSource:
    """Events of the Security log that stand in for Sysmon's."""
    return EventSource(
        name,
        "windows_event",
        (
            _where("Channel", "Security", absent=True),
            _where("Provider_Name", "Microsoft-Windows-Security-Auditing", absent=True),
            *where,
        ),
        one_of=("Channel", "Provider_Name"),
        fields=fields,
        recorded=frozenset(fields) | {"eventid", "channel", "provider_name", "computer"},
    )


def _windows_category(category: str) -> tuple[EventSource, ...]:
    sources: list[EventSource] = []
    if category in SYSMON_CATEGORIES:
        numbers = SYSMON_CATEGORIES[category]
        name = f"Sysmon {', '.join(map(str, numbers))}"
        sysmon = (WINDOWS_SERVICES["sysmon"], WINDOWS_PROVIDERS["sysmon"])
        sources.append(_windows_events(name, *sysmon, _event_ids(*numbers)))
    if category in POWERSHELL_CATEGORIES:
        service, number = POWERSHELL_CATEGORIES[category]
        where = _event_ids(number)
        sources.append(
            _windows_events(f"{service} {number}", WINDOWS_SERVICES[service], WINDOWS_PROVIDERS[service], where)
        )
    if category == "process_creation":
        sources.append(_audit("Security 4688", PROCESS_4688, _event_ids(4688)))
    if category in REGISTRY_OPERATIONS:
        operation = _where("OperationType", *REGISTRY_OPERATIONS[category])
        sources.append(_audit("Security 4657", REGISTRY_4657, _event_ids(4657), operation))
    if category == "network_connection":
        sources.append(_audit("Security 5156", NETWORK_5156, _event_ids(5156)))
    if category == "file_access":
        sources.append(_audit("Security 4663", FILE_4663, _event_ids(4663), _where("ObjectType", "File")))
    if category in KERNEL_FILE_CATEGORIES:
        kernel_file = ("Microsoft-Windows-Kernel-File",)
        where = _event_ids(*KERNEL_FILE_CATEGORIES[category])
        channels = ("Microsoft-Windows-Kernel-File/Analytic", "Microsoft-Windows-Kernel-File")
        sources.append(_windows_events("Kernel-File trace", channels, kernel_file, where))
    return tuple(sources)


KERNEL_FILE_CATEGORIES: dict[str, tuple[int, ...]] = {
    "file_access": (12,),
    "file_rename": (19, 27, 29),
    "file_delete": (11, 18, 26),
}
"""Events of the ETW provider Microsoft-Windows-Kernel-File, for which these rules were written."""

WINDOWS_CATEGORIES: tuple[str, ...] = tuple(
    sorted({*SYSMON_CATEGORIES, *POWERSHELL_CATEGORIES, *REGISTRY_OPERATIONS, *KERNEL_FILE_CATEGORIES})
)

# --- Linux ---------------------------------------------------------------------------------------------

LINUX_SYSMON_CATEGORIES: dict[str, tuple[int, ...]] = {
    "process_creation": (1,),
    "network_connection": (3,),
    "process_termination": (5,),
    "raw_access_thread": (9,),
    "file_event": (11,),
    "file_delete": (23,),
}
AUDIT_EXECVE = _fields(
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
SYSLOG_SERVICES: dict[str, tuple[str, ...]] = {
    "sshd": ("sshd", "sshd-session"),
    "sudo": ("sudo",),
    "cron": ("cron", "crond", "/usr/sbin/cron", "anacron", "crontab"),
    "clamav": ("clamd", "clamav", "freshclam", "clamav-daemon"),
    "vsftpd": ("vsftpd",),
    "guacamole": ("guacd", "guacamole", "tomcat", "tomcat9"),
}
"""Linux services -> programs that write their lines; the other services are any line of syslog."""
SYSLOG_FIELDS = _fields({"USER": "target_user"})

# --- Web, DNS, firewall -----------------------------------------------------------------------------------

WEB_ACCESS = _fields(
    {
        "c-uri": "target",
        "cs-uri": "target",
        "cs-uri-query": "target",
        "c-uri-query": "query",
        "cs-uri-stem": "path",
        "c-uri-stem": "path",
        "c-uri-extension": derived("path_extension"),
        "cs-method": "method",
        "sc-status": "status",
        "cs-user-agent": "user_agent",
        "c-useragent": "user_agent",
        "cs-referer": "referer",
        "cs-referrer": "referer",
        "cs-username": "user",
        "cs-host": "host",
        "cs-version": "protocol",
        "c-ip": "client_ip",
        "src_ip": "client_ip",
        "s-port": "server_port",
        "sc-bytes": "bytes",
    }
)
"""Web server rules write the whole request target into ``cs-uri-query``, path included."""
WEB_PROXY = {**WEB_ACCESS, **_fields({"c-uri": derived("target_url"), "cs-uri": derived("target_url")})}
SURICATA_HTTP = _fields(
    {
        "c-uri": "http.url",
        "cs-uri": "http.url",
        "cs-uri-query": "http.url",
        "c-uri-query": derived("suricata_query"),
        "cs-uri-stem": derived("suricata_path"),
        "cs-method": "http.http_method",
        "sc-status": "http.status",
        "cs-user-agent": "http.http_user_agent",
        "c-useragent": "http.http_user_agent",
        "cs-referer": "http.http_refer",
        "cs-referrer": "http.http_refer",
        "cs-host": "http.hostname",
        "cs-cookie": "http.cookie",
        "c-ip": "src_ip",
        "dst_ip": "dest_ip",
        "dst_port": "dest_port",
    }
)
SURICATA_DNS = _fields(
    {
        "query": "dns.rrname",
        "QueryName": "dns.rrname",
        "record_type": "dns.rrtype",
        "answer": "dns.rdata",
        "dst_ip": "dest_ip",
        "dst_port": "dest_port",
    }
)
ZEEK_HTTP = _fields(
    {
        "c-uri": derived("zeek_url"),
        "cs-uri": derived("zeek_url"),
        "cs-uri-query": "uri",
        "c-uri-query": derived("uri_query"),
        "cs-uri-stem": derived("uri_path"),
        "c-uri-extension": derived("uri_extension"),
        "cs-method": "method",
        "sc-status": "status_code",
        "cs-user-agent": "user_agent",
        "c-useragent": "user_agent",
        "cs-referer": "referrer",
        "cs-referrer": "referrer",
        "cs-username": "username",
        "cs-host": "host",
        "cs-bytes": "request_body_len",
        "sc-bytes": "response_body_len",
        "c-ip": "id.orig_h",
        "src_ip": "id.orig_h",
        "dst_ip": "id.resp_h",
        "dst_port": "id.resp_p",
        "cs-mime-type": "orig_mime_types",
        "sc-mime-type": "resp_mime_types",
    }
)
ZEEK_HTTP_RULES = {**ZEEK_HTTP, **_fields({"c-uri": "uri", "cs-uri": "uri"})}
ZEEK_DNS = _fields(
    {
        "record_type": "qtype_name",
        "answer": "answers",
        "dns-query": "query",
        "QueryName": "query",
        "src_ip": "id.orig_h",
        "dst_ip": "id.resp_h",
        "dst_port": "id.resp_p",
    }
)
ZEEK_CONN = _fields(
    {
        "src_ip": "id.orig_h",
        "src_port": "id.orig_p",
        "dst_ip": "id.resp_h",
        "dst_port": "id.resp_p",
        "protocol": "proto",
    }
)

ZEEK_FIELDS: dict[str, dict[str, str]] = {"http": ZEEK_HTTP_RULES, "dns": ZEEK_DNS, "conn": ZEEK_CONN}

APACHE_LIKE = ("httpd", "apache", "apache2", "nginx")

KUBERNETES = EventSource("Kubernetes audit", "kubernetes_audit", (_where("superseded", absent=True),))
"""One event per request: earlier stages are marked ``superseded``."""

# --- the table ------------------------------------------------------------------------------------------

LogSource = tuple[str | None, str | None, str | None]
"""Product, category, service."""

TABLE: dict[LogSource, tuple[EventSource, ...]] = {
    ("windows", None, None): (EventSource("any Windows event", "windows_event"),),
    **{("windows", None, service): _windows_service(service) for service in WINDOWS_SERVICES},
    **{("windows", category, None): _windows_category(category) for category in WINDOWS_CATEGORIES},
    (None, "antivirus", None): (
        _windows_events(
            "Windows Defender detection",
            WINDOWS_SERVICES["windefend"],
            WINDOWS_PROVIDERS["windefend"],
            _event_ids(*range(1006, 1013), 1015, 1017, 1018, 1019, 1115, 1116, 1117, 1118, 1119),
            fields=ANTIVIRUS_DEFENDER,
        ),
    ),
    ("linux", None, None): (
        EventSource("syslog", "syslog", (_where("product", absent=True),)),
        EventSource("journald", "journald"),
        EventSource("auditd", "linux_audit"),
        EventSource("Sysmon for Linux", "linux_sysmon"),
    ),
    **{
        ("linux", category, None): (
            EventSource(f"Sysmon for Linux {', '.join(map(str, numbers))}", "linux_sysmon", (_event_ids(*numbers),)),
            *(
                (
                    EventSource(
                        "auditd EXECVE",
                        "linux_audit",
                        (_where("type", "EXECVE"),),
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
    ("linux", None, "auditd"): (EventSource("auditd", "linux_audit", fields={"syscall": derived("audit_syscall")}),),
    ("linux", None, "sysmon"): (EventSource("Sysmon for Linux", "linux_sysmon"),),
    **{
        ("linux", None, service): (
            EventSource(f"syslog {service}", "syslog", (_where("program", *programs),), fields=SYSLOG_FIELDS),
            EventSource(
                f"journald {service}", "journald", (_where("SYSLOG_IDENTIFIER", *programs),), fields=SYSLOG_FIELDS
            ),
        )
        for service, programs in SYSLOG_SERVICES.items()
    },
    **{
        ("linux", None, service): (
            EventSource("syslog", "syslog", (_where("product", absent=True),), fields=SYSLOG_FIELDS),
            EventSource("journald", "journald", fields=SYSLOG_FIELDS),
        )
        for service in ("syslog", "auth", "daemon", "messages", "secure", "kern", "modsecurity")
    },
    **{
        ("cisco", None, service): (EventSource("Cisco syslog", "syslog", (_where("product", "cisco"),)),)
        for service in ("aaa", "bgp", "ldp", "syslog", "acl", "ios")
    },
    ("cisco", None, None): (EventSource("Cisco syslog", "syslog", (_where("product", "cisco"),)),),
    (None, "webserver", None): (
        EventSource("web server log", "web_access", fields=WEB_ACCESS),
        EventSource("Zeek http", "zeek_http", fields=ZEEK_HTTP),
        EventSource("Suricata http", "suricata_event", (_where("event_type", "http"),), fields=SURICATA_HTTP),
    ),
    (None, "proxy", None): (
        EventSource("web server log", "web_access", fields=WEB_PROXY),
        EventSource("Zeek http", "zeek_http", fields=ZEEK_HTTP),
        EventSource("Suricata http", "suricata_event", (_where("event_type", "http"),), fields=SURICATA_HTTP),
    ),
    **{
        (product, category, service): (
            EventSource("web server log", "web_access", fields=WEB_ACCESS),
            EventSource("web server error log", "web_error"),
            EventSource("syslog of the web server", "syslog", (_where("program", *APACHE_LIKE),)),
        )
        for product, category, service in (
            (None, None, "apache"),
            ("apache", None, None),
            (None, None, "nginx"),
            ("nginx", None, None),
        )
    },
    (None, "dns", None): (
        EventSource("Zeek dns", "zeek_dns", fields=ZEEK_DNS),
        EventSource("Suricata dns", "suricata_event", (_where("event_type", "dns"),), fields=SURICATA_DNS),
    ),
    (None, "firewall", None): (
        EventSource(
            "Zeek conn",
            "zeek_conn",
            fields=ZEEK_CONN,
            recorded=frozenset(ZEEK_CONN),
            strict=True,
        ),
    ),
    ("aws", None, "cloudtrail"): (EventSource("CloudTrail", "cloudtrail"),),
    ("aws", None, None): (EventSource("CloudTrail", "cloudtrail"),),
    ("kubernetes", None, "audit"): (KUBERNETES,),
    ("kubernetes", "application", "audit"): (KUBERNETES,),
    ("kubernetes", None, None): (KUBERNETES,),
    ("suricata", None, None): (EventSource("Suricata EVE", "suricata_event"),),
}


def sources_for(product: str | None, category: str | None, service: str | None) -> tuple[EventSource, ...]:
    """The records that a log source means; empty if Casemate has no reader for them yet.

    A source that names fewer of the three than the table means all that agree with it
    (``category: process_creation`` alone is Windows and Linux); one that names a category and a
    service means the category's events in the service's channel.
    """
    key = tuple(part.lower() if part else None for part in (product, category, service))
    exact = TABLE.get(key)  # type: ignore[arg-type]
    if exact is not None:
        return exact
    product, category, service = key
    if product == "zeek":
        if service is None:
            return ()
        name = service.removeprefix("zeek_").replace("-", "_")
        return (EventSource(f"Zeek {name}", f"zeek_{name}", fields=ZEEK_FIELDS.get(name, {})),)
    if product == "suricata":
        return (EventSource(f"Suricata {service}", "suricata_event", (_where("event_type", service or ""),)),)
    if category is not None and service is not None:
        within = {where for source in TABLE.get((product, None, service), ()) for where in source.where}
        channels = {value for where in within if where.column == "Channel" for value in where.values}
        return tuple(
            source
            for source in TABLE.get((product, category, None), ())
            if any(where.column == "Channel" and where.values & channels for where in source.where)
        )
    found: list[EventSource] = []
    for entry, sources in TABLE.items():
        if all(wanted is None or wanted == had for wanted, had in zip(key, entry, strict=True)) and any(key):
            found.extend(source for source in sources if source not in found)
    return tuple(found)
