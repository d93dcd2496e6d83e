"""The one vocabulary of Windows events: columns of ``windows_event`` and how exporters name them.

Names are those of the event XML (``System``, ``EventData``, ``UserData``), which Sigma rules use too:
``System/Provider/@Name`` is ``Provider_Name``, ``System/Security/@UserID`` is ``UserID``,
``System/Execution/@ProcessID`` is ``ExecutionProcessID``; a field of EventData or UserData has its own
name.  Sources: the manifests of Sysmon 15, of Microsoft-Windows-Security-Auditing, PowerShell, Defender,
TerminalServices and Service Control Manager as published by Microsoft; field names of public Sigma rules.

A field fills the column of its name; case and blanks are ignored (``Threat Name`` is ``ThreatName``).  If
two fields of one record want one column, the exact name wins, then the earlier alias, and the other
stands in ``rest`` under its own name.  A field named ``Flags`` always does, for the column means ours.
"""

from __future__ import annotations

from collections.abc import Iterable

from casemate.schema.native import NativeTable


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SYSTEM = _names("""
Provider_Name ProviderGuid Channel EventID EventRecordID Computer Level Keywords Task Opcode Version Qualifiers
UserID ExecutionProcessID ExecutionThreadID ActivityID RelatedActivityID
""")

UNNAMED = _names("""
Message Data Binary
""")
"""``Data`` holds unnamed values of EventData, one a line."""

SYSMON = _names("""
RuleName UtcTime ProcessGuid ProcessId Image FileVersion Description Product Company OriginalFileName CommandLine
CurrentDirectory User LogonGuid LogonId TerminalSessionId IntegrityLevel Hashes ParentProcessGuid ParentProcessId
ParentImage ParentCommandLine ParentUser TargetFilename CreationUtcTime PreviousCreationUtcTime Protocol Initiated
SourceIsIpv6 SourceIp SourceHostname SourcePort SourcePortName DestinationIsIpv6 DestinationIp DestinationHostname
DestinationPort DestinationPortName State SchemaVersion ImageLoaded Signed Signature SignatureStatus
SourceProcessGuid SourceProcessId SourceThreadId SourceImage SourceUser TargetProcessGuid TargetProcessId
TargetImage TargetUser NewThreadId StartAddress StartModule StartFunction Device GrantedAccess CallTrace EventType
TargetObject Details NewName Hash Contents Configuration ConfigurationFileHash PipeName Operation EventNamespace
Name Query Type Destination Consumer Filter QueryName QueryStatus QueryResults Archived IsExecutable Session
ClientInfo
""")

SECURITY = _names("""
SubjectUserSid SubjectUserName SubjectDomainName SubjectLogonId TargetUserSid TargetUserName TargetDomainName
TargetLogonId TargetSid TargetLogonGuid TargetServerName TargetInfo TargetOutboundUserName TargetOutboundDomainName
TargetLinkedLogonId LogonType LogonProcessName AuthenticationPackageName WorkstationName Workstation
TransmittedServices LmPackageName KeyLength IpAddress IpPort ImpersonationLevel RestrictedAdminMode VirtualAccount
ElevatedToken Status SubStatus FailureReason PackageName ServiceName TicketOptions TicketEncryptionType PreAuthType
CertThumbprint ProcessName NewProcessId NewProcessName ParentProcessName TokenElevationType MandatoryLabel
CallerProcessId CallerProcessName PrivilegeList EnabledPrivilegeList DisabledPrivilegeList ObjectServer ObjectType
ObjectName ObjectValueName ObjectDN ObjectClass HandleId OperationType OldValueType OldValue NewValueType NewValue
AccessList AccessMask AccessReason
Properties AdditionalInfo AttributeLDAPDisplayName AttributeValue ShareName ShareLocalPath RelativeTargetName
ServiceFileName ServiceType ServiceStartType ServiceAccount TaskName TaskContent TaskContentNew TransactionId
RestrictedSidCount ResourceAttributes SourceHandleId TargetHandleId SamAccountName OldTargetUserName
NewTargetUserName MemberName MemberSid SidHistory SidList OldUacValue NewUacValue UserAccountControl
UserPrincipalName AllowedToDelegateTo ServicePrincipalNames DnsHostName DisplayName SubcategoryGuid
AuditPolicyChanges AuditSourceName ClientProcessId ClientAddress ClientName AccountName AccountDomain SessionName
Application Direction SourceAddress DestAddress DestPort FilterRTID FilterOrigin FilterName LayerName LayerRTID
RemoteUserID RemoteMachineID ProviderName ProviderContextName TemplateContent NewTemplateContent OldSd NewSd
TargetName ReturnCode ReadOperation CountOfCredentialsReturned ProcessCreationTime Service DeviceName
DeviceDescription ClassName HiveName
""")

OTHER_LOGS = _names("""
ScriptBlockText ScriptBlockId MessageNumber MessageTotal Path Payload ContextInfo UserData ImagePath StartType
param1 param2 param3 param4 param5 Param1 Param2 Param3 ThreatName ThreatID CategoryName SeverityName DetectionUser
SourceName Action ErrorCode ErrorDescription Reason Value FileName FileNameBuffer ProcessNameBuffer RequestedPolicy
ModifyingApplication ApplicationPath RuleId RemoteName LocalName SourceFilename PackageSourceUri PackageFullName
PackagePath CallingProcess Attributes SearchFilter DistinguishedName Address ServerAddress RemoteAddress AppName
AppVersion AppID ModuleName ExceptionCode ImageName UserName Domain IsatapRouter QNAME ServerName SourceParentImage
SourceCommandLine GrandParentImage TargetParentProcessId subjectName HasFullTrust Feature_Name ProcessPath Process
PossibleCause Caption Provider Origin SigningUsed EncyptionUsed SessionID BackupPath UserData_Channel
""")


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    for name in names:
        seen.setdefault(name.lower(), name)
    return tuple(seen.values())


WINDOWS_EVENT = NativeTable(
    "windows_event",
    _unique([*SYSTEM, *UNNAMED, *SYSMON, *SECURITY, *OTHER_LOGS]),
    "Events of Windows channels (EVTX files and the JSON of Winlogbeat, NXLog, Azure Monitor and others).",
)

NAMES: dict[str, tuple[str, ...]] = {
    "Provider_Name": ("SourceName", "winlog.provider_name", "source_name", "EventSourceName", "Provider", "Source"),
    "ProviderGuid": ("Provider_Guid", "winlog.provider_guid", "provider_guid", "ProviderId"),
    "Channel": ("winlog.channel", "log_name", "LogName", "EventLog"),
    "EventID": ("winlog.event_id", "event_id", "event.code", "EventId", "Id"),
    "EventRecordID": ("RecordNumber", "winlog.record_id", "record_number", "EventRecordId", "RecordId"),
    "Computer": ("Hostname", "winlog.computer_name", "computer_name", "MachineName", "ComputerName", "host.name"),
    "Level": ("winlog.level", "EventLevel"),
    "Keywords": ("winlog.keywords",),
    "Task": ("winlog.task",),
    "Opcode": ("winlog.opcode",),
    "Version": ("winlog.version",),
    "UserID": ("winlog.user.identifier", "user.identifier", "UserId"),
    "ExecutionProcessID": ("winlog.process.pid", "process_id", "SystemProcessId"),
    "ExecutionThreadID": ("ThreadID", "winlog.process.thread.id", "thread_id", "SystemThreadId", "ThreadId"),
    "ActivityID": ("winlog.activity_id", "activity_id"),
    "RelatedActivityID": ("winlog.related_activity_id", "related_activity_id"),
    "Message": ("message", "RenderedDescription"),
}
"""Column -> what flat exports call it, best first; used only where the record has no field of the column's name."""

NAMES_BESIDE: dict[str, tuple[tuple[str, frozenset[str]], ...]] = {
    "Provider_Name": (("ProviderName", frozenset({"MachineName", "LogName"})),),
    "ExecutionProcessID": (
        ("ProcessID", frozenset({"ThreadID", "SourceModuleType"})),
        ("ProcessId", frozenset({"ThreadId", "MachineName", "LogName"})),
    ),
}
"""Column -> names that other fields of events have too, and that mean the column only beside all of these: those of
``Get-WinEvent``, and the process id as NXLog wrote it before version 4."""

FIELD_PREFIXES = ("winlog.event_data.", "winlog.user_data.", "event_data.", "user_data.", "EventData.", "UserData.")
"""Prefixes (after flattening) under which the event's own fields stand."""

TIMES = (
    "SystemTime",
    "TimeCreated",
    "TimeCreated.SystemTime",
    "TimeCreated.value",
    "winlog.time_created",
    "@timestamp",
    "TimeGenerated",
    "EventTime",
    "UtcTime",
    "timestamp",
)
"""Fields that hold the time, best first.  ``@timestamp`` stands before NXLog's ``EventTime``, which is local
time without a zone: the collector's clock is late by seconds, the other may be off by hours."""
