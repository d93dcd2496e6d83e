"""What one act leaves behind: the records of a connection, a logon, a command, a request, a call.

Each function adds events to the day's logs; a label, if given, is put on every record it adds.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from casemate.demo import lab
from casemate.demo.writers import Event, Lost

SSH_CLIENT = "SSH-2.0-OpenSSH_9.7"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:135.0) Gecko/20100101 Firefox/135.0"


@dataclass
class Day:
    """All events of one day, by log, the day's own random source, and how far hosts' clocks are ahead."""

    date: dt.datetime
    random: random.Random
    ahead: Mapping[str, dt.timedelta] = field(default_factory=dict)
    logs: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))

    def at(self, hour: float, spread: float = 0.0) -> dt.datetime:
        """A moment of this day, `spread` hours either way, kept inside the day."""
        shifted = hour + self.random.uniform(-spread, spread)
        inside = min(max(shifted, 0.0), 23.9)
        return self.date + dt.timedelta(seconds=int(inside * 3600), microseconds=self.random.randrange(1_000_000))

    def add(self, log: str, time: dt.datetime, body: Any, label: str | None) -> None:
        """Add one event."""
        self.logs[log].append(Event(time, body, label))

    def clock(self, host: str, time: dt.datetime) -> dt.datetime:
        """What the clock of `host` shows at `time`."""
        return time + self.ahead.get(host, dt.timedelta())

    def uid(self) -> str:
        """A connection id as Zeek makes them."""
        alphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
        return "C" + "".join(self.random.choices(alphabet, k=17))


def later(moment: dt.datetime, seconds: float) -> dt.datetime:
    """`moment` plus seconds."""
    return moment + dt.timedelta(seconds=seconds)


def connection(
    day: Day,
    time: dt.datetime,
    source: str,
    target: str,
    port: int,
    *,
    service: str | None = None,
    protocol: str = "tcp",
    seconds: float = 1.0,
    sent: int = 500,
    received: int = 2_000,
    state: str = "SF",
    label: str | None = None,
    source_port: int | None = None,
) -> tuple[str, int]:
    """One connection in Zeek's conn.log; returns its uid and source port."""
    uid = day.uid()
    source_port = source_port or day.random.randrange(32_768, 60_999)
    history = {"SF": "ShADadFf", "S0": "S", "REJ": "Sr", "RSTO": "ShADdR", "S1": "ShADd"}.get(state, "Sh")
    answered = state not in ("S0", "REJ")
    packets_out = 1 if not answered else 4 + sent // 1_200
    packets_in = (0 if state == "S0" else 1) if not answered else 4 + received // 1_200
    if protocol == "udp":
        history, packets_out, packets_in = "Dd", 1, 1
    inside = ("10.", "192.0.2.")
    body = (
        uid, source, source_port, target, port, protocol, service,
        f"{seconds:.6f}" if answered else None, sent if answered else None, received if answered else None,
        state, "T" if source.startswith(inside) else "F", "T" if target.startswith(inside) else "F", 0, history,
        packets_out, packets_out * 52 + (sent if answered else 0),
        packets_in, packets_in * 52 + (received if answered else 0), None,
    )  # fmt: skip
    day.add("conn", time, body, label)
    return uid, source_port


def lookup(day: Day, time: dt.datetime, client: str, name: str, answer: str | None) -> None:
    """One DNS question and its connection."""
    uid, port = connection(
        day, time, client, lab.RESOLVER.inside, 53, service="dns", protocol="udp", seconds=0.004, sent=40, received=80
    )
    body = (
        uid, client, port, lab.RESOLVER.inside, 53, "udp", day.random.randrange(65_536), "0.004000", name, 1,
        "C_INTERNET", 1, "A", 0 if answer else 3, "NOERROR" if answer else "NXDOMAIN", "F", "F", "T", "T", 0,
        answer, "300.000000" if answer else None, "F",
    )  # fmt: skip
    day.add("dns", later(time, 0.0001), body, None)


def ssh_logon(
    day: Day,
    time: dt.datetime,
    source: str,
    user: str,
    *,
    tries_failed: int,
    success: bool,
    known_user: bool = True,
    method: str = "password",
    minutes: float = 20.0,
    label: str | None = None,
    client: str = SSH_CLIENT,
) -> None:
    """One SSH connection to the bastion: Zeek's conn and ssh records and what sshd wrote."""
    seconds = minutes * 60 if success else 2.0 + 2.5 * tries_failed
    sent, received = (int(minutes * 9_000) + 4_000, int(minutes * 30_000) + 6_000) if success else (2_100, 2_700)
    target = lab.BASTION.outside or lab.BASTION.inside
    uid, port = connection(
        day, time, source, target, 22, service="ssh", seconds=seconds, sent=sent, received=received, label=label
    )
    attempts = tries_failed + (1 if success else 0)
    body = (
        uid, source, port, target, 22, 2, "T" if success else "F" if attempts else None, attempts, "INBOUND",
        client, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", "chacha20-poly1305@openssh.com", None, "none",
        "curve25519-sha256", "ssh-ed25519", "b7:3e:5d:77:10:cc:fe:11:02:37:a0:4c:90:aa:12:e4",
    )  # fmt: skip
    day.add("ssh", later(time, 0.2), body, label)
    pid = str(day.random.randrange(1_000, 4_000_000))
    named = user if known_user else f"invalid user {user}"
    if not known_user:
        day.add("sshd", later(time, 0.4), ("sshd", pid, f"Invalid user {user} from {source} port {port}"), label)
    for number in range(tries_failed):
        message = f"Failed password for {named} from {source} port {port} ssh2"
        day.add("sshd", later(time, 1.0 + 2.2 * number), ("sshd", pid, message), label)
    if success:
        fingerprint = " ED25519 SHA256:Q0b3l2b0Z3s0b2o5c2xhcmtmaWVsZGluc3RpdHV0ZQ" if method == "publickey" else ""
        message = (
            f"Accepted {method} for {user} from {source} port {port} ssh2{':' + fingerprint if fingerprint else ''}"
        )
        moment = later(time, 1.5 + 2.2 * tries_failed)
        day.add("sshd", moment, ("sshd", pid, message), label)
        opened = f"pam_unix(sshd:session): session opened for user {user}(uid=1000) by (uid=0)"
        day.add("sshd", later(moment, 0.05), ("sshd", pid, opened), label)
        end = later(time, seconds)
        closed = f"pam_unix(sshd:session): session closed for user {user}"
        day.add("sshd", end, ("sshd", pid, closed), label)
    else:
        closed = f"Connection closed by authenticating user {user} {source} port {port} [preauth]"
        day.add("sshd", later(time, seconds), ("sshd", pid, closed), label)


def request(
    day: Day,
    time: dt.datetime,
    client: str,
    method: str,
    target: str,
    status: int,
    size: int,
    *,
    user: str | None = None,
    agent: str = BROWSER,
    referrer: str = "-",
    label: str | None = None,
) -> None:
    """One request to the notebook server: its access log and Zeek's (encrypted) connection."""
    day.add("access", time, (client, user, method, target, status, size, referrer, agent), label)
    connection(
        day, time, client, lab.NOTEBOOK.outside or "", 443, service="ssl", seconds=0.3, sent=900,
        received=size + 900, label=label,
    )  # fmt: skip


def command(
    day: Day,
    time: dt.datetime,
    arguments: list[str],
    *,
    user: str = "jupyter",
    directory: str = "/srv/notebooks",
    label: str | None = None,
) -> None:
    """One command on the notebook host as auditd records it (SYSCALL, EXECVE, CWD, PROCTITLE)."""
    serial = day.random.getrandbits(48)  # which records belong together; the number is given when they are written
    process, parent = day.random.randrange(2_000, 4_000_000), day.random.randrange(800, 2_000)
    uid = {"root": 0, "jupyter": 990}.get(user, 1000 + len(user))
    program = arguments[0].rsplit("/", 1)[-1]
    path = arguments[0] if arguments[0].startswith("/") else f"/usr/bin/{program}"
    syscall = (
        f"arch=c000003e syscall=59 success=yes exit=0 a0=55d0 a1=55d1 a2=55d2 a3=8 items=2 ppid={parent} "
        f"pid={process} auid=4294967295 uid={uid} gid={uid} euid={uid} suid={uid} fsuid={uid} egid={uid} sgid={uid} "
        f'fsgid={uid} tty=(none) ses=4294967295 comm="{program[:15]}" exe="{path}" subj=unconfined key="exec"'
    )
    values = " ".join(f"a{index}={_audit_value(text)}" for index, text in enumerate(arguments))
    title = "\x00".join(arguments).encode().hex().upper()
    day.add("audit", time, ("SYSCALL", serial, syscall), label)
    day.add("audit", time, ("EXECVE", serial, f"argc={len(arguments)} {values}"), label)
    day.add("audit", time, ("CWD", serial, f'cwd="{directory}"'), label)
    day.add("audit", time, ("PROCTITLE", serial, f"proctitle={title}"), label)


def _audit_value(text: str) -> str:
    """auditd quotes plain words and writes anything with a space, quote or control byte as hex."""
    plain = all("!" <= character <= "~" and character != '"' for character in text) and text
    return f'"{text}"' if plain else text.encode().hex().upper()


def windows(
    day: Day,
    time: dt.datetime,
    host: str,
    event: int,
    data: dict[str, str],
    *,
    of_log: str | None = None,
    label: str | None = None,
) -> None:
    """One record of a Windows Security log as Winlogbeat ships it; its number is given when it is written.

    `of_log` names the event if it is one about the log itself, which has its data elsewhere.
    """
    actions = {
        4624: "logged-in",
        4625: "logon-failed",
        4634: "logged-out",
        4688: "created-process",
        4672: "special-logon",
        1102: "audit-log-cleared",
        1105: "audit-log-archived",
    }
    shown = day.clock(host, time)
    provider = "Microsoft-Windows-Eventlog" if of_log else "Microsoft-Windows-Security-Auditing"
    body = {
        "@timestamp": shown.strftime("%Y-%m-%dT%H:%M:%S.") + f"{shown.microsecond // 1000:03d}Z",
        "winlog": {
            "channel": "Security", "provider_name": provider, "event_id": str(event),
            "computer_name": f"{host}.larkfield.example", "record_id": None,
            **({"user_data": {**data, "xml_name": of_log}} if of_log else {"event_data": data}),
        },
        "event": {"code": str(event), "action": actions.get(event, "other"), "kind": "event"},
        "host": {"name": host}, "agent": {"type": "winlogbeat", "version": "8.17.0"},
    }  # fmt: skip
    day.add("windows", time, body, label)


def never_shipped(day: Day, time: dt.datetime, host: str, records: int) -> None:
    """So many records of a host's log were destroyed before they were shipped: only their numbers are missing."""
    day.add("windows", time, Lost(f"{host}.larkfield.example", records), None)


def launch(
    day: Day, time: dt.datetime, host: str, user: str, line: str, parent: str, *, label: str | None = None
) -> None:
    """A program started on a Windows machine (4688), its command line recorded."""
    numbers = day.random
    data = {
        "SubjectUserName": user, "SubjectDomainName": "LARKFIELD", "SubjectLogonId": hex(numbers.randrange(1 << 24)),
        "NewProcessId": hex(4 * numbers.randrange(100, 5_000)), "ProcessId": hex(4 * numbers.randrange(100, 5_000)),
        "NewProcessName": line.split(" ", 1)[0], "CommandLine": line, "ParentProcessName": parent,
        "TokenElevationType": "%%1936",
    }  # fmt: skip
    windows(day, time, host, 4688, data, label=label)


def windows_logon(
    day: Day,
    time: dt.datetime,
    host: lab.Machine,
    user: str,
    source: str,
    kind: int,
    *,
    success: bool,
    label: str | None = None,
) -> None:
    """A logon (4624) or a refused one (4625), and its connection as the sensor saw it."""
    port = 3389 if kind == 10 else 445
    _, source_port = connection(
        day, later(time, -0.4), source, host.inside, port, service="rdp" if kind == 10 else "smb", sent=4_000,
        received=6_000, source_port=day.random.randrange(49_152, 60_999), label=label,
    )  # fmt: skip
    data = {
        "TargetUserName": user, "TargetDomainName": "LARKFIELD", "LogonType": str(kind), "IpAddress": source,
        "IpPort": str(source_port), "LogonProcessName": "User32", "WorkstationName": "-",
        "AuthenticationPackageName": "Negotiate", "SubjectUserName": "-", "SubjectLogonId": "0x0",
    }  # fmt: skip
    if success:
        data |= {"TargetLogonId": hex(day.random.randrange(1 << 24)), "ElevatedToken": "%%1843"}
    else:
        data |= {"Status": "0xc000006d", "SubStatus": "0xc000006a", "FailureReason": "%%2313"}
    windows(day, time, host.name, 4624 if success else 4625, data, label=label)


def cloud_call(
    day: Day,
    time: dt.datetime,
    user: str,
    source: str,
    operation: str,
    *,
    service: str = "s3",
    parameters: dict[str, Any] | None = None,
    agent: str = "aws-cli/2.22.0 Python/3.12.6 Linux/6.1",
    error: str | None = None,
    received: int = 0,
    label: str | None = None,
) -> None:
    """One CloudTrail record."""
    numbers = day.random
    identity = {
        "type": "IAMUser", "principalId": f"AIDA{user.upper():0<12.12}", "userName": user, "accountId": "000000000000",
        "arn": f"arn:aws:iam::000000000000:user/{user}", "accessKeyId": f"AKIAEXAMPLE{sum(map(ord, user)):05d}",
    }  # fmt: skip
    body: dict[str, Any] = {
        "eventVersion": "1.11", "userIdentity": identity, "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{service}.amazonaws.com", "eventName": operation, "awsRegion": "eu-north-1",
        "sourceIPAddress": source, "userAgent": f"[{agent}]", "requestParameters": parameters or {},
        "responseElements": None, "requestID": f"{numbers.getrandbits(64):016X}",
        "eventID": f"{numbers.getrandbits(32):08x}-{numbers.getrandbits(16):04x}-4000-8000-{numbers.getrandbits(48):012x}",
        "readOnly": operation.startswith(("Get", "List", "Describe", "Head")), "eventType": "AwsApiCall",
        "recipientAccountId": "000000000000",
    }  # fmt: skip
    if received:
        body["additionalEventData"] = {"bytesTransferredOut": received, "SignatureVersion": "SigV4"}
    if error:
        body |= {"errorCode": error, "errorMessage": f"User is not authorized to perform: {service}:{operation}"}
    day.add("cloudtrail", time, body, label)


def cluster_call(
    day: Day,
    time: dt.datetime,
    user: str,
    source: str,
    verb: str,
    resource: str,
    name: str,
    *,
    namespace: str = "training",
    subresource: str = "",
    code: int = 200,
    label: str | None = None,
) -> None:
    """One Kubernetes audit event (its final stage)."""
    numbers = day.random
    path = f"/api/v1/namespaces/{namespace}/{resource}/{name}" + (f"/{subresource}" if subresource else "")
    reference = {"resource": resource, "namespace": namespace, "name": name, "apiVersion": "v1"}
    if subresource:
        reference["subresource"] = subresource
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    body = {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
        "auditID": f"{numbers.getrandbits(32):08x}-{numbers.getrandbits(16):04x}-4000-9000-{numbers.getrandbits(48):012x}",
        "requestURI": path, "verb": verb, "user": {"username": user, "groups": ["system:authenticated"]},
        "sourceIPs": [source], "userAgent": "kubectl/v1.31.2 (linux/amd64)", "objectRef": reference,
        "responseStatus": {"metadata": {}, "code": code}, "requestReceivedTimestamp": stamp, "stageTimestamp": stamp,
        "annotations": {"authorization.k8s.io/decision": "allow" if code < 400 else "forbid"},
    }  # fmt: skip
    day.add("kubernetes", time, body, label)
