"""Who did it, to what, how, and whether it worked, as far as one record says.

For each native table the columns that say so and a function of their values (None where absent).
Where a record holds no address, the account that acted is the source, then the host itself.
``succeeded`` is said only where the record states that what it reports took place (a logon, an
accepted call); that a process ran or a page was served is ``unknown``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

Text = str | None


@dataclass(frozen=True)
class Endpoints:
    """Source, target, vector and outcome of a finding; kinds are those of the findings' schema."""

    source: tuple[str, str] | None
    target: tuple[str, str, Text] | None
    vector: str
    outcome: str


@dataclass(frozen=True)
class EndpointTable:
    """Columns needed, and the function of their values in that order."""

    columns: tuple[str, ...]
    find: Callable[..., Endpoints]


# --- small parts ---------------------------------------------------------------------------------------

NOWHERE = frozenset({"", "-", "127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "local"})  # noqa: S104


def _known(value: Text) -> Text:
    return None if value is None or value.strip().lower() in NOWHERE else value.strip()


def _address(value: Text) -> tuple[str, str] | None:
    """An address, without the IPv6 form of an IPv4 address; a name in its place is a host."""
    value = _known(value)
    if value is None:
        return None
    try:
        parsed = ipaddress.ip_address(value.split("%", 1)[0])
    except ValueError:
        return "host", value
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return None if parsed.is_loopback else ("address", str(parsed))


def _account(domain: Text, name: Text) -> tuple[str, str] | None:
    name = _known(name)
    if name is None:
        return None
    domain = _known(domain)
    return "user", f"{domain}\\{name}" if domain else name


def _host(value: Text, service: Text = None) -> tuple[str, str, Text] | None:
    value = _known(value)
    return None if value is None else ("host", value, service)


def _to(endpoint: tuple[str, str] | None, service: Text) -> tuple[str, str, Text] | None:
    return None if endpoint is None else (*endpoint, service)


def _first(*endpoints: tuple[str, str] | None) -> tuple[str, str] | None:
    return next((endpoint for endpoint in endpoints if endpoint is not None), None)


PORT_SERVICES = {
    "21": "ftp",
    "22": "ssh",
    "23": "telnet",
    "25": "smtp",
    "53": "dns",
    "80": "http",
    "88": "kerberos",
    "110": "pop3",
    "135": "rpc",
    "139": "smb",
    "143": "imap",
    "389": "ldap",
    "443": "https",
    "445": "smb",
    "636": "ldaps",
    "993": "imaps",
    "1433": "mssql",
    "3306": "mysql",
    "3389": "rdp",
    "5432": "postgresql",
    "5900": "vnc",
    "5985": "winrm",
    "5986": "winrm",
    "6379": "redis",
    "8080": "http",
    "8443": "https",
    "8888": "http",
    "6443": "kubernetes",
    "9200": "elasticsearch",
    "27017": "mongodb",
}


def _service(port: Text) -> Text:
    return None if port is None else PORT_SERVICES.get(port, f"port {port}")


def _http_outcome(status: Text) -> str:
    return "failed" if status is not None and len(status) == 3 and status[0] in "45" else "unknown"


# --- Windows ---------------------------------------------------------------------------------------------

WINDOWS_FAILED = frozenset({"4625", "4771", "4777", "4653", "4654", "4976", "5827", "5828", "4673f"})
WINDOWS_SUCCEEDED = frozenset({"4624", "4778", "1102", "104", "4720", "4722", "4724", "4728", "4732", "4756", "4697"})
WINDOWS_STATUS = frozenset({"4768", "4769", "4776"})
"""Events whose ``Status`` says whether the request was granted (0x0)."""
WINDOWS_BLOCKED: dict[str, frozenset[str]] = {
    "microsoft-windows-windows defender/operational": frozenset({"1007", "1117", "1121", "1123", "1125", "1126"}),
    "microsoft-windows-codeintegrity/operational": frozenset({"3001", "3023", "3033", "3077", "3104"}),
    "microsoft-windows-applocker/exe and dll": frozenset({"8004"}),
    "microsoft-windows-applocker/msi and script": frozenset({"8007"}),
    "microsoft-windows-applocker/packaged app-deployment": frozenset({"8025"}),
    "microsoft-windows-applocker/packaged app-execution": frozenset({"8022"}),
    "microsoft-windows-security-mitigations/kernelmode": frozenset({"2", "4", "6", "8", "10", "12", "18", "20", "22"}),
    "microsoft-windows-sysmon/operational": frozenset({"27", "28"}),
    "security": frozenset({"5031", "5150", "5151", "5152", "5155", "5157", "5159"}),
}
AUDIT_FAILURE = frozenset({"0x8010000000000000", "-9218868437227405312", "9227875636482146304", "audit failure"})
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


def _windows(
    channel: Text, event: Text, computer: Text, keywords: Text, status: Text, logon_type: Text,
    ip: Text, client: Text, address: Text, workstation: Text, user: Text, subject_domain: Text, subject: Text,
    target_domain: Text, target_user: Text, source_ip: Text, destination_ip: Text, destination_port: Text,
    source_address: Text, dest_address: Text, dest_port: Text, image: Text,
) -> Endpoints:  # fmt: skip
    place = (channel or "").lower()
    security, sysmon = place == "security", "sysmon" in place
    terminal = TERMINAL_CHANNELS in place
    outcome = _windows_outcome(place, event or "", (keywords or "").lower(), status)
    account = _first(_account(None, user), _account(subject_domain, subject))
    if sysmon and event == "3":
        return Endpoints(
            _address(source_ip), _to(_address(destination_ip), _service(destination_port)), "network", outcome
        )
    if security and event in ("5156", "5157", "5152", "5158"):
        return Endpoints(_address(source_address), _to(_address(dest_address), _service(dest_port)), "network", outcome)
    service = LOGON_EVENTS.get(event or "") if security or terminal or "ntlm" in place else None
    if service is not None:
        if event in ("4624", "4625") and logon_type == "10":
            service = "rdp"
        source = _first(_address(ip), _address(client), _address(address), _workstation(workstation), account)
        if source is None:
            source = _account(target_domain, target_user)
        return Endpoints(source, _host(computer, service), "credential", outcome)
    if security and event in SHARE_EVENTS:
        return Endpoints(_first(_address(ip), account), _host(computer, "smb"), "network", outcome)
    process = _known(image)
    source = _first(_address(ip) if security else None, account)
    if source is None:
        host = _known(computer)
        source = ("host", host) if host else ("process", process) if process else None
    return Endpoints(source, _host(computer), "host", outcome)


def _workstation(value: Text) -> tuple[str, str] | None:
    value = _known(value)
    return None if value is None else ("host", value.lstrip("\\"))


def _windows_outcome(place: str, event: str, keywords: str, status: Text) -> str:
    if event in WINDOWS_BLOCKED.get(place, ()):
        return "blocked"
    if place == "security":
        if event in WINDOWS_STATUS and status is not None:
            return "succeeded" if status.lower() in ("0x0", "0x00000000", "0") else "failed"
        if event in WINDOWS_FAILED or keywords in AUDIT_FAILURE:
            return "failed"
        if event in WINDOWS_SUCCEEDED:
            return "succeeded"
    return "unknown"


WINDOWS_COLUMNS = (
    *("Channel", "EventID", "Computer", "Keywords", "Status", "LogonType", "IpAddress", "ClientAddress", "Address"),
    *("WorkstationName", "User", "SubjectDomainName", "SubjectUserName", "TargetDomainName", "TargetUserName"),
    *("SourceIp", "DestinationIp", "DestinationPort", "SourceAddress", "DestAddress", "DestPort", "Image"),
)


def _linux_sysmon(
    event: Text, computer: Text, host: Text, user: Text, source_ip: Text, destination_ip: Text, port: Text
) -> Endpoints:
    machine = _known(computer) or _known(host)
    if event == "3":
        return Endpoints(_address(source_ip), _to(_address(destination_ip), _service(port)), "network", "unknown")
    source = _account(None, user) or (("host", machine) if machine else None)
    return Endpoints(source, _host(machine), "host", "unknown")


# --- Linux text logs --------------------------------------------------------------------------------------


def _linux_audit(
    node: Text, addr: Text, auid_name: Text, auid: Text, uid: Text, success: Text, result: Text
) -> Endpoints:
    user = next(
        (_account(None, value) for value in (auid_name, auid, uid) if value not in (None, "4294967295", "unset")), None
    )
    outcome = "failed" if success == "no" or result in ("failed", "0", "no") else "unknown"
    source = _first(_address(addr if addr != "?" else None), user, ("host", node) if node else None)
    return Endpoints(source, _host(node), "host", outcome)


def _login(
    host: Text, program: Text, source_ip: Text, source_host: Text, user: Text, ssh_event: Text, event: Text
) -> Endpoints:
    said = ssh_event or event or ""
    outcome = "unknown"
    if said.startswith("accepted_") or said.endswith("_success"):
        outcome = "succeeded"
    elif (
        said.startswith("failed_")
        or "fail" in said
        or said in ("invalid_user", "user_not_allowed", "root_login_refused")
    ):
        outcome = "failed"
    service = "ssh" if ssh_event is not None else _known(program)
    source = _first(_address(source_ip), _address(source_host), _account(None, user), ("host", host) if host else None)
    vector = "credential" if ssh_event is not None or said else "host"
    return Endpoints(source, _host(host, service), vector, outcome)


# --- network, web, cloud, cluster ---------------------------------------------------------------------------


def _zeek(orig: Text, resp: Text, port: Text, service: Text, state: Text) -> Endpoints:
    outcome = "failed" if state in ("S0", "REJ", "RSTOS0", "RSTRH", "SH") else "unknown"
    return Endpoints(_address(orig), _to(_address(resp), _known(service) or _service(port)), "network", outcome)


def _zeek_http(orig: Text, resp: Text, status: Text) -> Endpoints:
    return Endpoints(_address(orig), _to(_address(resp), "http"), "web", _http_outcome(status))


def _web(source_ip: Text, host: Text, status: Text) -> Endpoints:
    target = _host(host, "http") or ("service", "web server", "http")
    return Endpoints(_address(source_ip), target, "web", _http_outcome(status))


def _suricata(src: Text, dest: Text, port: Text, protocol: Text, action: Text) -> Endpoints:
    outcome = "blocked" if action in ("blocked", "drop", "reject") else "unknown"
    return Endpoints(_address(src), _to(_address(dest), _known(protocol) or _service(port)), "network", outcome)


CALL_DENIED = ("AccessDenied", "Unauthorized", "UnauthorizedOperation", "Client.UnauthorizedOperation", "Forbidden")


def _cloudtrail(
    ip: Text,
    arn: Text,
    principal: Text,
    account: Text,
    service: Text,
    name: Text,
    error: Text,
    login: Text,
    bucket: Text,
) -> Endpoints:
    source = _first(_address(ip), _account(None, arn), _account(None, principal))
    outcome = "succeeded"
    if error is not None:
        outcome = "blocked" if error.startswith(CALL_DENIED) else "failed"
    elif login is not None:
        outcome = "succeeded" if "Success" in login else "failed"
    short = service.removesuffix(".amazonaws.com") if service else None
    target = ("resource", bucket, short) if bucket else ("resource", f"account {account}", short) if account else None
    return Endpoints(source, target, "credential" if name == "ConsoleLogin" else "cloud_api", outcome)


def _kubernetes(
    ip: Text, user: Text, resource: Text, namespace: Text, name: Text, cluster: Text, code: Text
) -> Endpoints:
    outcome = "unknown"
    if code is not None:
        outcome = "blocked" if code in ("401", "403") else "failed" if code[:1] in "45" else "succeeded"
    parts = [part for part in (namespace, resource, name) if part]
    target = (
        ("resource", "/".join(parts), "kubernetes") if parts else ("service", cluster or "kubernetes", "kubernetes")
    )
    return Endpoints(_first(_address(ip), _account(None, user)), target, "cluster_api", outcome)


def _s3(ip: Text, requester: Text, bucket: Text, status: Text) -> Endpoints:
    outcome = "blocked" if status in ("401", "403") else "failed" if status and status[0] in "45" else "succeeded"
    source = _first(_address(ip), _account(None, requester))
    return Endpoints(source, ("resource", bucket, "s3") if bucket else None, "cloud_api", outcome)


def _nothing() -> Endpoints:
    return Endpoints(None, None, "unknown", "unknown")


LOGIN_PARTS = ("source_ip", "source_host", "user", "ssh_event", "event")
TABLES: dict[str, EndpointTable] = {
    "windows_event": EndpointTable(WINDOWS_COLUMNS, _windows),
    "linux_sysmon": EndpointTable(
        ("EventID", "Computer", "host", "User", "SourceIp", "DestinationIp", "DestinationPort"), _linux_sysmon
    ),
    "linux_audit": EndpointTable(("node", "addr", "auid_name", "auid", "uid", "success", "res"), _linux_audit),
    "syslog": EndpointTable(("host", "program", *LOGIN_PARTS), _login),
    "journald": EndpointTable(("_HOSTNAME", "SYSLOG_IDENTIFIER", *LOGIN_PARTS), _login),
    "zeek_http": EndpointTable(("id.orig_h", "id.resp_h", "status_code"), _zeek_http),
    "web_access": EndpointTable(("client_ip", "host", "status"), _web),
    "suricata_event": EndpointTable(("src_ip", "dest_ip", "dest_port", "app_proto", "alert.action"), _suricata),
    "cloudtrail": EndpointTable(
        (
            *("sourceIPAddress", "userIdentity.arn", "userIdentity.principalId", "recipientAccountId", "eventSource"),
            *("eventName", "errorCode", "responseElements.ConsoleLogin", "requestParameters.bucketName"),
        ),
        _cloudtrail,
    ),
    "kubernetes_audit": EndpointTable(
        (
            *("source_ip", "user.username", "objectRef.resource", "objectRef.namespace", "objectRef.name", "cluster"),
            "responseStatus.code",
        ),
        _kubernetes,
    ),
    "s3_access": EndpointTable(("remote_ip", "requester", "bucket", "http_status"), _s3),
}
ZEEK = EndpointTable(("id.orig_h", "id.resp_h", "id.resp_p", "service", "conn_state"), _zeek)
UNKNOWN = EndpointTable((), _nothing)


def endpoints_of(table: str) -> EndpointTable:
    """How the endpoints of a finding on records of `table` are found."""
    return TABLES.get(table) or (ZEEK if table.startswith("zeek_") else UNKNOWN)
