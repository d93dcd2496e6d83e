"""What sshd says: its log messages -> event, user, source, method.

The vocabulary is that of OpenSSH's ``auth.c``, ``auth2.c``, ``packet.c`` and ``sshd.c`` (3.x to 10.x), of
pam_unix, and of rsyslog's and journald's repetition mark.  A user name is whatever the other side
sent; it may contain `` from 192.0.2.1 port 22``, so the *last* source in a message is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

COLUMNS: tuple[str, ...] = (
    "ssh_event",  # see EVENTS
    "user",
    "source_ip",
    "source_host",
    "source_port",
    "method",  # password, publickey, keyboard-interactive/pam, none, ...
    "invalid_user",  # 'true' where sshd says that the account does not exist
    "repeated",  # how often, for 'message repeated N times: [...]'
)

EVENTS: dict[str, str] = {
    "accepted_*": "authentication succeeded, by this method",
    "failed_*": "one try failed, by this method",
    "postponed_*": "a step of an authentication",
    "partial_*": "one of several methods succeeded",
    "invalid_user": "no such account",
    "invalid_user_request": "no such account (older wording, beside invalid_user)",
    "user_not_allowed": "the account exists and may not log in",
    "root_login_refused": "root may not log in",
    "max_attempts": "cut off after too many tries",
    "disconnected": "the other side said goodbye",
    "connection_opened": "a connection came in",
    "connection_closed": "closed after authentication",
    "connection_closed_preauth": "closed before authentication",
    "connection_reset": "reset after authentication",
    "connection_reset_preauth": "reset before authentication",
    "timeout_preauth": "no authentication in time",
    "no_identification": "the other side said nothing",
    "bad_identification": "the other side does not speak SSH",
    "kex_failed": "key exchange failed or was cut off",
    "negotiation_failed": "no common algorithm",
    "reverse_mapping_failed": "the name of the address does not lead back to it",
    "session_opened": "pam opened a session",
    "session_closed": "pam closed a session",
    "pam_authentication_failure": "pam's word on a try that sshd reports itself as failed_*",
    "pam_more_failures": "pam's count of tries on one connection",
}

MESSAGE_CHARACTERS = 4096  # sshd itself writes at most 1,024 (MSGBUFSIZ in log.c); longer ones are not its own

_PORT = r"(?: port (?P<port>\d{1,5}))?"
_IP = r"(?P<ip>\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%\w+)?|UNKNOWN)"
_WHO = rf"(?:(?:(?P<invalid>invalid|authenticating) )?user (?P<user>.*) )?{_IP}"
_PRE = r"(?P<preauth> \[preauth\])?"

_REPEATED = re.compile(r"message repeated (\d{1,9}) times?: \[ ?(.*)\]\s*\Z", re.DOTALL)
_ATTEMPT = re.compile(
    r"(?P<verb>Accepted|Failed|Postponed|Partial) (?P<method>\S+) for (?:(?P<invalid>invalid|illegal) user )?"
    r"(?P<user>.*) from (?P<ip>\S+) port (?P<port>\d{1,5})(?: ssh\d?)?(?: \[preauth\])?(?:: .*)?\s*\Z",
    re.DOTALL,
)

_PLAIN_ATTEMPTS = re.compile(
    r"^(?:(Accepted|Failed) (\S+) for (?:(invalid) user )?(\S+) from (\S+) port ([0-9]{1,5})(?: ssh2)?|.*)$",
    re.MULTILINE,
)
"""What sshd says most, for many messages in one step: there is only one way to read such a message."""

_PLAIN_GOINGS = re.compile(
    r"^(?:Invalid user (\S+) from (\S+)(?: port ([0-9]{1,5}))?"
    r"|(Disconnected from|Connection closed by|Connection reset by) (?:(invalid |authenticating )?user (\S+) )?"
    r"([0-9]{1,3}(?:\.[0-9]{1,3}){3}) port ([0-9]{1,5})( \[preauth\])?|.*)$",
    re.MULTILINE,
)
"""The same for what follows many attempts."""
_GOINGS = {
    "Disconnected from": "disconnected",
    "Connection closed by": "connection_closed",
    "Connection reset by": "connection_reset",
}
_TOLD_APART = frozenset({"Connection closed by", "Connection reset by"})

# first word -> (event, pattern); "{pre}" becomes "_preauth" where the message says so
_MESSAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "Invalid": (("invalid_user", rf"Invalid user (?P<user>.*) from (?P<ip>\S+){_PORT}\s*\Z"),),
    "Illegal": (("invalid_user", rf"Illegal user (?P<user>.*) from (?P<ip>\S+){_PORT}\s*\Z"),),
    "input_userauth_request:": (
        (
            "invalid_user_request",
            r"input_userauth_request: (?:invalid|illegal) user (?P<user>.*?)(?: \[preauth\])?\s*\Z",
        ),
    ),
    "Received": (("disconnected", rf"Received disconnect from {_IP}{_PORT}:\s?\d+: "),),
    "Disconnected": (("disconnected", rf"Disconnected from {_WHO}{_PORT}{_PRE}\s*\Z"),),
    "Disconnecting": (
        (
            "max_attempts",
            rf"Disconnecting {_WHO}{_PORT}: Too many authentication failures",
        ),
        ("disconnected", rf"Disconnecting {_WHO}{_PORT}: "),
    ),
    "Disconnecting:": (
        (
            "max_attempts",
            r"Disconnecting: Too many authentication failures(?: for (?P<user>.*?))?(?: \[preauth\])?\s*\Z",
        ),
        ("disconnected", r"Disconnecting: "),
    ),
    "maximum": (
        (
            "max_attempts",
            r"maximum authentication attempts exceeded for (?:(?P<invalid>invalid) user )?(?P<user>.*) "
            r"from (?P<ip>\S+) port (?P<port>\d{1,5})",
        ),
    ),
    "PAM": (
        ("max_attempts", r"PAM service\(sshd\) ignoring max retries"),
        (
            "pam_more_failures",
            r"PAM (?P<more>\d+) more authentication failures?;.* rhost=(?P<host>\S*)(?:\s+user=(?P<user>.*?))?\s*\Z",
        ),
    ),
    "Connection": (
        ("connection_closed{pre}", rf"Connection closed by {_WHO}{_PORT}{_PRE}\s*\Z"),
        ("connection_reset{pre}", rf"Connection reset by {_WHO}{_PORT}{_PRE}\s*\Z"),
        ("connection_opened", r"Connection from (?P<ip>\S+) port (?P<port>\d{1,5})"),
    ),
    "Did": (("no_identification", rf"Did not receive identification string from (?P<ip>\S+){_PORT}"),),
    "Bad": (("bad_identification", rf"Bad protocol version identification .* from (?P<ip>\S+){_PORT}\s*\Z"),),
    "banner": (("bad_identification", r"banner exchange: Connection from (?P<ip>\S+) port (?P<port>\d{1,5}): "),),
    "kex_exchange_identification:": (("kex_failed", r"kex_exchange_identification: "),),
    "ssh_dispatch_run_fatal:": (
        ("kex_failed", r"ssh_dispatch_run_fatal: Connection from (?P<ip>\S+) port (?P<port>\d{1,5}): "),
    ),
    "Unable": (("negotiation_failed", rf"Unable to negotiate with (?P<ip>\S+?){_PORT}: "),),
    "no": (("negotiation_failed", r"no (?:matching|hostkey alg)"),),
    "reverse": (
        ("reverse_mapping_failed", r"reverse mapping checking getaddrinfo for (?P<host>\S+) \[(?P<ip>[^\]]+)\] failed"),
    ),
    "Address": (("reverse_mapping_failed", r"Address (?P<ip>\S+) maps to (?P<host>\S+), but this does not map back"),),
    "User": (("user_not_allowed", r"User (?P<user>.*) from (?P<ip>\S+) not allowed because "),),
    "ROOT": (("root_login_refused", rf"ROOT LOGIN REFUSED FROM (?P<ip>\S+){_PORT}"),),
    "Timeout": (
        ("timeout_preauth", rf"Timeout before authentication for (?:connection from )?(?P<ip>[^\s,]+){_PORT}"),
    ),
    "Starting": (
        ("session_started", r"Starting session: .* for (?P<user>\S+) from (?P<ip>\S+) port (?P<port>\d{1,5})"),
    ),
    "Server": (("server_listening", r"Server listening on "),),
}
_PAM = re.compile(r"(?:pam_\w+\([\w.-]+:\w+\): )?", re.ASCII)
_PAM_MESSAGES: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    (
        "session_opened",
        "session opened",
        re.compile(r"session opened for user (?P<user>.+?)(?:\(uid=\d+\))?(?: by .*)?\Z", re.DOTALL),
    ),
    ("session_closed", "session closed", re.compile(r"session closed for user (?P<user>.+?)\s*\Z", re.DOTALL)),
    (
        "pam_authentication_failure",
        "authentication failure",
        re.compile(r"authentication failure; .*rhost=(?P<host>\S*)(?:\s+user=(?P<user>.*?))?\s*\Z", re.DOTALL),
    ),
    ("pam_unknown_user", "check pass", re.compile(r"check pass; user unknown")),
)
_COMPILED = {
    word: tuple((event, re.compile(text, re.DOTALL)) for event, text in rows) for word, rows in _MESSAGES.items()
}
_ADDRESS = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+(?:%\w+)?)\Z", re.ASCII)
_LEVELS = ("error: ", "fatal: ", "info: ", "debug1: ")
_LEVEL_WORDS = frozenset(level.strip() for level in _LEVELS)
_VERBS = frozenset({"Accepted", "Failed", "Postponed", "Partial"})


def parse(message: str) -> dict[str, str]:
    """The columns of :data:`COLUMNS` that `message` of sshd fills; empty if it is none we know."""
    found: dict[str, str] = {}
    if len(message) > MESSAGE_CHARACTERS:
        return found
    word = message.partition(" ")[0]
    if word == "message" and (repeated := _REPEATED.match(message)):
        found["repeated"], message = repeated.group(1), repeated.group(2)
        word = message.partition(" ")[0]
    if word in _LEVEL_WORDS:
        for level in _LEVELS:
            message = message.removeprefix(level)
        word = message.partition(" ")[0]
    if word in _VERBS and (attempt := _ATTEMPT.match(message)):
        verb, found["method"], invalid, user, address, found["source_port"] = attempt.groups()
        found["ssh_event"] = _attempt_event(verb, found["method"])
        if user:
            found["user"] = user
        if invalid:
            found["invalid_user"] = "true"
        found["source_ip" if is_address(address) else "source_host"] = address
        return found
    for event, pattern in _COMPILED.get(word, ()):
        match = pattern.match(message)
        if match:
            parts = match.groupdict()
            found["ssh_event"] = event.replace("{pre}", "_preauth" if parts.get("preauth") else "")
            _fill(found, parts)
            if event == "invalid_user" or event == "invalid_user_request":
                found["invalid_user"] = "true"
            return found
    found.update(parse_pam(message, "ssh_event"))
    return found


def fill_usual(columns: Mapping[str, list[str | None]], rows: Sequence[int], messages: Sequence[str]) -> list[int]:
    """Put what :func:`parse` says of the most usual messages, in their plainest form, into `columns`.

    Args:
        columns: a list for each of :data:`COLUMNS`, with a place for each row.
        rows, messages: rows and what sshd says in them, without line feeds.

    Returns:
        The rows whose messages are something else (or have another form): nothing was put there.
    """
    left = _fill_attempts(columns, rows, messages)
    if not left:
        return left
    message_of = dict(zip(rows, messages, strict=True)) if len(left) < len(rows) else None
    return _fill_goings(columns, left, messages if message_of is None else [message_of[row] for row in left])


def _fill_attempts(columns: Mapping[str, list[str | None]], rows: Sequence[int], messages: Sequence[str]) -> list[int]:
    events, users, methods = columns["ssh_event"], columns["user"], columns["method"]
    addresses, hosts, ports = columns["source_ip"], columns["source_host"], columns["source_port"]
    left: list[int] = []
    for row, (verb, method, invalid, user, address, port) in zip(
        rows, _PLAIN_ATTEMPTS.findall("\n".join(messages)), strict=True
    ):
        if not verb or len(method) + len(user) + len(address) > MESSAGE_CHARACTERS // 2:
            left.append(row)
            continue
        events[row], methods[row], users[row], ports[row] = _attempt_event(verb, method), method, user, port
        if is_address(address):
            addresses[row] = address
        else:
            hosts[row] = address
        if invalid:
            columns["invalid_user"][row] = "true"
    return left


def _fill_goings(columns: Mapping[str, list[str | None]], rows: Sequence[int], messages: Sequence[str]) -> list[int]:
    """The same for unknown users, and for connections that end."""
    events, users, addresses = columns["ssh_event"], columns["user"], columns["source_ip"]
    hosts, ports, unknown = columns["source_host"], columns["source_port"], columns["invalid_user"]
    left: list[int] = []
    parts = _PLAIN_GOINGS.findall("\n".join(messages))
    for row, message, (invalid, new, new_port, event, kind, user, address, port, preauth) in zip(
        rows, messages, parts, strict=True
    ):
        if not (invalid or event) or len(message) > MESSAGE_CHARACTERS:
            left.append(row)
            continue
        if invalid:
            events[row], unknown[row] = "invalid_user", "true"
            user, address, port = invalid, new, new_port
        else:
            events[row] = _GOINGS[event] + ("_preauth" if preauth and event in _TOLD_APART else "")
            if kind == "invalid ":
                unknown[row] = "true"
        if user:
            users[row] = user
        if port:
            ports[row] = port
        if is_address(address):
            addresses[row] = address
        else:
            hosts[row] = address
    return left


def parse_pam(message: str, column: str) -> dict[str, str]:
    """What pam_unix and its kin say, in any program; the event goes into `column`."""
    if len(message) > MESSAGE_CHARACTERS:
        return {}
    prefix = _PAM.match(message)
    text = message[prefix.end() :] if prefix else message
    for event, begin, pattern in _PAM_MESSAGES:
        if text.startswith(begin) and (match := pattern.match(text)):
            found = {column: event}
            _fill(found, match.groupdict())
            return found
    return {}


@lru_cache(maxsize=1_024)
def _attempt_event(verb: str, method: str) -> str:
    return f"{verb.lower()}_{event_word(method)}"


def event_word(method: str) -> str:
    """``keyboard-interactive/pam`` -> ``keyboard_interactive``."""
    return re.sub(r"[^a-z0-9]+", "_", method.partition("/")[0].lower()) or "unknown"


@lru_cache(maxsize=65_536)
def is_address(text: str) -> bool:
    """Whether `text` is written like an IP address (not whether it is a valid one)."""
    return _ADDRESS.match(text) is not None


def _fill(found: dict[str, str], parts: dict[str, str | None]) -> None:
    user = parts.get("user")
    if user:
        found["user"] = user
    if parts.get("invalid") in ("invalid", "illegal"):
        found["invalid_user"] = "true"
    if parts.get("port"):
        found["source_port"] = str(parts["port"])
    address = parts.get("ip")
    if address:
        found["source_ip" if is_address(address) else "source_host"] = address
    host = parts.get("host")
    if host:
        found["source_ip" if is_address(host) else "source_host"] = host
