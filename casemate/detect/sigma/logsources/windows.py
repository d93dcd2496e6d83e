"""Windows: services by channel, categories by provider, channel and event number.

Sources: the channel and event-id tables of pySigma's ``sysmon`` and ``windows`` pipelines; Microsoft's
documentation of events 4688, 4657, 4663 and 5156, which stand in for Sysmon's.
"""

from __future__ import annotations

from collections.abc import Mapping

from casemate.detect.sigma.logsources.source import EventSource, LogSource, Where, derived, event_ids, fields_of, having

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

DEFENDER_FIELDS = fields_of({"Feature_Name": derived("feature_name"), "FeatureName": derived("feature_name")})
SERVICE_FIELDS: dict[str, dict[str, str]] = {"windefend": DEFENDER_FIELDS}


def _windows_service(service: str) -> tuple[EventSource, ...]:
    channels = WINDOWS_SERVICES[service]
    fields = SERVICE_FIELDS.get(service, {})
    sources = [EventSource(service, "windows_event", (having("Channel", *channels),), fields=fields)]
    providers = WINDOWS_PROVIDERS.get(service, tuple(channel.split("/")[0] for channel in channels))
    if providers:
        unnamed = (having("Channel", absent=True), having("Provider_Name", *providers))
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

PROCESS_4688 = fields_of(
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
REGISTRY_4657 = fields_of(
    {
        "Image": "ProcessName",
        "TargetObject": derived("registry_target"),
        "Details": derived("registry_details"),
        "EventType": derived("registry_event_type"),
        "ProcessId": "ProcessId",
        "User": derived("subject_account"),
    }
)
NETWORK_5156 = fields_of(
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
FILE_4663 = fields_of(
    {"Image": "ProcessName", "FileName": "ObjectName", "User": derived("subject_account"), "ProcessId": "ProcessId"}
)
ANTIVIRUS_DEFENDER = {
    **DEFENDER_FIELDS,
    **fields_of(
        {"Signature": "ThreatName", "Filename": "Path", "User": "DetectionUser", "Action": derived("action_name")}
    ),
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


KERNEL_FILE_CATEGORIES: dict[str, tuple[int, ...]] = {
    "file_access": (12,),
    "file_rename": (19, 27, 29),
    "file_delete": (11, 18, 26),
}
"""Events of the ETW provider Microsoft-Windows-Kernel-File, for which these rules were written."""


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
        (having("Channel", *channels, absent=True), having("Provider_Name", *providers, absent=True), *where),
        one_of=("Channel", "Provider_Name"),
        fields=fields or {},
    )


def _audit(name: str, fields: Mapping[str, str], *where: Where) -> EventSource:
    """Events of the Security log that stand in for Sysmon's."""
    return EventSource(
        name,
        "windows_event",
        (
            having("Channel", "Security", absent=True),
            having("Provider_Name", "Microsoft-Windows-Security-Auditing", absent=True),
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
        sources.append(_windows_events(name, *sysmon, event_ids(*numbers)))
    if category in POWERSHELL_CATEGORIES:
        service, number = POWERSHELL_CATEGORIES[category]
        where = event_ids(number)
        sources.append(
            _windows_events(f"{service} {number}", WINDOWS_SERVICES[service], WINDOWS_PROVIDERS[service], where)
        )
    if category == "process_creation":
        sources.append(_audit("Security 4688", PROCESS_4688, event_ids(4688)))
    if category in REGISTRY_OPERATIONS:
        operation = having("OperationType", *REGISTRY_OPERATIONS[category])
        sources.append(_audit("Security 4657", REGISTRY_4657, event_ids(4657), operation))
    if category == "network_connection":
        sources.append(_audit("Security 5156", NETWORK_5156, event_ids(5156)))
    if category == "file_access":
        sources.append(_audit("Security 4663", FILE_4663, event_ids(4663), having("ObjectType", "File")))
    if category in KERNEL_FILE_CATEGORIES:
        kernel_file = ("Microsoft-Windows-Kernel-File",)
        where = event_ids(*KERNEL_FILE_CATEGORIES[category])
        channels = ("Microsoft-Windows-Kernel-File/Analytic", "Microsoft-Windows-Kernel-File")
        sources.append(_windows_events("Kernel-File trace", channels, kernel_file, where))
    return tuple(sources)


WINDOWS_CATEGORIES: tuple[str, ...] = tuple(
    sorted({*SYSMON_CATEGORIES, *POWERSHELL_CATEGORIES, *REGISTRY_OPERATIONS, *KERNEL_FILE_CATEGORIES})
)

WINDOWS: dict[LogSource, tuple[EventSource, ...]] = {
    ("windows", None, None): (EventSource("any Windows event", "windows_event"),),
    **{("windows", None, service): _windows_service(service) for service in WINDOWS_SERVICES},
    **{("windows", category, None): _windows_category(category) for category in WINDOWS_CATEGORIES},
    (None, "antivirus", None): (
        _windows_events(
            "Windows Defender detection",
            WINDOWS_SERVICES["windefend"],
            WINDOWS_PROVIDERS["windefend"],
            event_ids(*range(1006, 1013), 1015, 1017, 1018, 1019, 1115, 1116, 1117, 1118, 1119),
            fields=ANTIVIRUS_DEFENDER,
        ),
    ),
}
