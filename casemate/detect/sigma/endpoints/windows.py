"""Windows events and Sysmon for Linux.

Sources: Microsoft's descriptions of the events of the Security log ("Advanced security auditing FAQ" and
the page of each event), of Defender ("Microsoft Defender Antivirus event IDs and error codes"), AppLocker,
Code Integrity ("Understanding App Control events") and exploit protection; Sysmon's manual.
"""

from __future__ import annotations

from casemate.detect.sigma.endpoints.parts import (
    Endpoint,
    Endpoints,
    EndpointTable,
    Text,
    account,
    address,
    first,
    host,
    known,
    service_of,
    to,
)

FAILED = frozenset({"4625", "4649", "4771", "4777", "4653", "4654", "4825", "4976", "5827", "5828"})
SUCCEEDED: dict[str, frozenset[str]] = {
    "security": frozenset(
        {"1102", "4624", "4697", "4698", "4699", "4702", "4719", "4720", "4722", "4723", "4724", "4725", "4726"}
        | {"4728", "4732", "4738", "4741", "4742", "4756", "4778", "4781", "5136", "5137", "5141"}
    ),
    "system": frozenset({"104", "7045"}),
}
"""Events that report a change that was made (a refused one carries the keyword of a failed audit)."""
WITH_STATUS = frozenset({"4768", "4769", "4776"})
"""Events whose ``Status`` says whether the request was granted (0x0)."""
BLOCKED: dict[str, frozenset[str]] = {
    "microsoft-windows-windows defender/operational": frozenset({"1007", "1117", "1121", "1123", "1126", "1127"}),
    "microsoft-windows-codeintegrity/operational": frozenset({"3004", "3023", "3033", "3077", "3104"}),
    "microsoft-windows-applocker/exe and dll": frozenset({"8004"}),
    "microsoft-windows-applocker/msi and script": frozenset({"8007"}),
    "microsoft-windows-applocker/packaged app-deployment": frozenset({"8025"}),
    "microsoft-windows-applocker/packaged app-execution": frozenset({"8022"}),
    **dict.fromkeys(
        (
            "microsoft-windows-security-mitigations/kernelmode",
            "microsoft-windows-security-mitigations/kernel mode",
            "microsoft-windows-security-mitigations/usermode",
            "microsoft-windows-security-mitigations/user mode",
        ),
        frozenset(str(number) for number in range(2, 26, 2)),  # odd numbers are the same in audit mode
    ),
    "microsoft-windows-sysmon/operational": frozenset({"27", "28"}),
    "security": frozenset({"5031", "5150", "5151", "5152", "5155", "5157", "5159"}),
}
DEFENDER = "microsoft-windows-windows defender/operational"
AUDIT_FAILURE = ("0x8010000000000000", "-9218868437227405312", "9227875636482146304", "audit failure")
NO_ERROR = frozenset({"0x0", "0x00000000", "0"})
LOGON_EVENTS: dict[str, str] = {
    "4624": "windows_logon",
    "4625": "windows_logon",
    "4648": "windows_logon",
    "4634": "windows_logon",
    "4768": "kerberos",
    "4769": "kerberos",
    "4770": "kerberos",
    "4771": "kerberos",
    "4776": "ntlm",
    "4778": "rdp",
    "4779": "rdp",
    "4825": "rdp",
    "1149": "rdp",
    "21": "rdp",
    "22": "rdp",
    "24": "rdp",
    "25": "rdp",
    "8001": "ntlm",
    "8002": "ntlm",
    "8003": "ntlm",
    "8004": "ntlm",
}
TERMINAL_CHANNELS = "terminalservices"
SHARE_EVENTS = frozenset({"5140", "5142", "5143", "5144", "5145", "5168"})
CONNECTIONS = frozenset({"5152", "5156", "5157", "5158"})
MACHINE_NAMES = frozenset({"system", "local service", "network service", "anonymous logon"})
MACHINE_DOMAINS = frozenset(
    {"nt authority", "nt-autorität", "autorite nt", "autorité nt", "autoridade nt", "nt service", "window manager"}
    | {"font driver host", "iis apppool", "nt virtual machine"}
)
"""Accounts by which a machine itself acts: they are the same on every machine, so they are no source."""


def _windows(
    channel: Text, event: Text, computer: Text, keywords: Text, status: Text, logon_type: Text,
    ip: Text, client: Text, client_address: Text, workstation: Text, user: Text, subject_domain: Text, subject: Text,
    target_domain: Text, target_user: Text, source_ip: Text, destination_ip: Text, destination_port: Text,
    source_address: Text, dest_address: Text, dest_port: Text, image: Text, source_user: Text, detection_user: Text,
    target_server: Text, account_domain: Text, account_name: Text, error: Text,
) -> Endpoints:  # fmt: skip
    place, event = (channel or "").lower(), event or ""
    security, sysmon = place == "security", "sysmon" in place
    terminal = TERMINAL_CHANNELS in place
    outcome = _outcome(place, event, (keywords or "").lower(), status, error)
    acted = first(
        _person(None, user, computer),
        _person(None, source_user, computer),
        _person(subject_domain, subject, computer),
        _person(None, detection_user, computer),
    )
    name = known(computer)
    machine = ("host", name) if name else None
    if (sysmon and event == "3") or (security and event in CONNECTIONS):
        begin, end, port = (
            (source_ip, destination_ip, destination_port) if sysmon else (source_address, dest_address, dest_port)
        )
        source = first(address(begin), acted, machine)
        return Endpoints(source, to(first(address(end), machine), service_of(port)), "network", outcome)
    service = LOGON_EVENTS.get(event) if security or terminal or "ntlm" in place else None
    if service is not None:
        if event in ("4624", "4625") and logon_type == "10":
            service = "rdp"
        server = known(target_server)
        if event == "4648" and server is not None and not _same_host(server, computer):
            return Endpoints(first(machine, acted), host(server, service), "credential", outcome)
        source = first(
            *map(address, (ip, client, client_address)),
            _workstation(workstation),
            acted,
            _person(account_domain, account_name, computer),
            _person(target_domain, target_user, computer),
            machine,
        )
        return Endpoints(source, host(computer, service), "credential", outcome)
    if security and event in SHARE_EVENTS:
        return Endpoints(first(address(ip), acted, machine), host(computer, "smb"), "network", outcome)
    process = known(image)
    source = first(address(ip) if security else None, acted, machine, ("process", process) if process else None)
    return Endpoints(source, host(computer), "host", outcome)


def _person(domain: Text, name: Text, computer: Text) -> Endpoint | None:
    """The account, unless it is one by which the machine itself acts."""
    found = account(domain, name)
    if found is None:
        return None
    before, _, last = found[1].rpartition("\\")
    if last.lower() in MACHINE_NAMES or before.lower() in MACHINE_DOMAINS:
        return None
    return None if last.endswith("$") and _same_host(last[:-1], computer) else found


def _same_host(name: str, computer: Text) -> bool:
    """Whether two names are the same host's, by what stands before the first dot."""
    return computer is not None and name.lower().split(".", 1)[0] == computer.lower().split(".", 1)[0]


def _workstation(value: Text) -> Endpoint | None:
    value = known(value)
    return None if value is None else ("host", value.lstrip("\\"))


def _outcome(place: str, event: str, keywords: str, status: Text, error: Text) -> str:
    if event in BLOCKED.get(place, ()):
        # Defender reports here too that its action did not work
        worked = place != DEFENDER or error is None or error.lower() in NO_ERROR
        return "blocked" if worked else "unknown"
    if place == "security":
        if event in WITH_STATUS and status is not None:
            return "succeeded" if status.lower() in NO_ERROR else "failed"
        if event in FAILED or any(word in keywords for word in AUDIT_FAILURE):
            return "failed"
    return "succeeded" if event in SUCCEEDED.get(place, ()) else "unknown"


WINDOWS = EndpointTable(
    (
        *("Channel", "EventID", "Computer", "Keywords", "Status", "LogonType", "IpAddress", "ClientAddress", "Address"),
        *("WorkstationName", "User", "SubjectDomainName", "SubjectUserName", "TargetDomainName", "TargetUserName"),
        *("SourceIp", "DestinationIp", "DestinationPort", "SourceAddress", "DestAddress", "DestPort", "Image"),
        *("SourceUser", "DetectionUser", "TargetServerName", "AccountDomain", "AccountName", "ErrorCode"),
    ),
    _windows,
)


def _linux_sysmon(
    event: Text, computer: Text, name: Text, user: Text, source_ip: Text, destination_ip: Text, port: Text
) -> Endpoints:
    machine = known(computer) or known(name)
    source = first(account(None, user), ("host", machine) if machine else None)
    if event == "3":
        target = to(address(destination_ip), service_of(port)) or host(machine, service_of(port))
        return Endpoints(first(address(source_ip), source), target, "network", "unknown")
    return Endpoints(source, host(machine), "host", "unknown")


LINUX_SYSMON = EndpointTable(
    ("EventID", "Computer", "host", "User", "SourceIp", "DestinationIp", "DestinationPort"), _linux_sysmon
)
