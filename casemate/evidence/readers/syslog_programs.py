"""What the usual programs of a Linux host write to syslog: message -> event, user, command, source.

One table of patterns per program; sshd has a file of its own (:mod:`.openssh`).  Sources: sudo(8)
"LOG FORMAT", shadow-utils, util-linux and pam_unix sources, cron(8), systemd-logind, vsftpd.
"""

from __future__ import annotations

import re
from functools import lru_cache

from casemate.evidence.readers import openssh

COLUMNS: tuple[str, ...] = ("event", "target_user", "command", "group", "tty", "working_directory")

_SUDO = re.compile(r"\s*(?P<user>\S+) : (?P<said>.*)\Z", re.DOTALL)
_SUDO_NAMES = {"TTY": "tty", "PWD": "working_directory", "USER": "target_user", "GROUP": "group", "COMMAND": "command"}

# program -> (event, pattern whose named groups are columns)
_TABLE: dict[str, tuple[tuple[str, str], ...]] = {
    "su": (
        ("su_success", r"Successful su for (?P<target_user>\S+) by (?P<user>\S+)"),
        ("su_failed", r"FAILED su for (?P<target_user>\S+) by (?P<user>\S+)"),
        ("su_failed", r"FAILED SU \(to (?P<target_user>\S+)\) (?P<user>\S+) on (?P<tty>\S+)"),
        ("su_success", r"\(to (?P<target_user>\S+)\) (?P<user>\S+) on (?P<tty>\S+)"),
        ("su_success", r"\+ (?P<tty>\S+) (?P<user>[^\s:]+):(?P<target_user>\S+)"),
        ("su_failed", r"- (?P<tty>\S+) (?P<user>[^\s:]+):(?P<target_user>\S+)"),
    ),
    "useradd": (
        ("user_added", r"new user: name=(?P<user>[^,\s]+)"),
        ("group_added", r"new group: name=(?P<group>[^,\s]+)"),
        ("group_member_added", r"add '(?P<user>[^']+)' to (?:shadow )?group '(?P<group>[^']+)'"),
        ("user_add_failed", r"failed adding user '(?P<user>[^']+)'"),
    ),
    "usermod": (
        ("group_member_added", r"add '(?P<user>[^']+)' to (?:shadow )?group '(?P<group>[^']+)'"),
        ("user_changed", r"change user '(?P<user>[^']+)'"),
        ("user_locked", r"lock user '(?P<user>[^']+)'"),
    ),
    "userdel": (("user_deleted", r"delete user '(?P<user>[^']+)'"),),
    "groupadd": (("group_added", r"(?:new group: name=|group added to \S+: name=)(?P<group>[^,\s]+)"),),
    "gpasswd": (
        ("group_member_added", r"user (?P<target_user>\S+) added by (?P<user>\S+) to group (?P<group>\S+)"),
        ("group_member_removed", r"user (?P<target_user>\S+) removed by (?P<user>\S+) from group (?P<group>\S+)"),
    ),
    "passwd": (
        ("password_changed", r"(?:pam_unix\(\S+\): )?password changed for (?P<user>\S+)"),
        ("password_changed", r"password for '?(?P<user>[^'\s]+)'? changed by '?(?P<by>[^'\s]+)"),
    ),
    "chpasswd": (("password_changed", r"(?:pam_unix\(\S+\): )?password changed for (?P<user>\S+)"),),
    "cron": (
        ("cron_command", r"\((?P<user>[^)]*)\) CMD \((?P<command>.*)\)\s*\Z"),
        (
            "cron_changed",
            r"\((?P<user>[^)]*)\) (?:RELOAD|REPLACE|BEGIN EDIT|END EDIT|DELETE|LIST) \((?P<target>.*)\)\s*\Z",
        ),
    ),
    "systemd-logind": (
        ("login_session_opened", r"New session (?P<session>\S+) of user (?P<user>.+?)\.\s*\Z"),
        ("login_session_closed", r"Removed session (?P<session>\S+?)\.\s*\Z"),
    ),
    "login": (
        ("login_failed", r"FAILED LOGIN .*(?:FOR|for) '?(?P<user>[^',]*)"),
        ("root_login", r"ROOT LOGIN ON (?P<tty>\S+)(?: FROM (?P<source_host>\S+))?"),
    ),
    "ftpd": (
        ("ftp_connection", r"connection from (?P<source_ip>\d{1,3}(?:\.\d{1,3}){3}) \((?P<source_host>[^)]*)\)"),
        ("ftp_login", r"(?:ANONYMOUS )?FTP LOGIN FROM (?P<source_ip>\d{1,3}(?:\.\d{1,3}){3})"),
    ),
    "vsftpd": (
        ("ftp_login_failed", r".*\[(?P<user>[^\]]*)\] FAIL LOGIN: Client \"(?P<source_ip>[^\"]+)\""),
        ("ftp_login", r".*\[(?P<user>[^\]]*)\] OK LOGIN: Client \"(?P<source_ip>[^\"]+)\""),
    ),
    "klogind": (("authentication_failed", r"Authentication failed from (?P<source_ip>\d{1,3}(?:\.\d{1,3}){3})"),),
}
_ALIASES = {"cron": "cron", "crond": "cron", "crontab": "cron", "/usr/sbin/cron": "cron", "anacron": "cron"}
_COMPILED = {name: tuple((event, re.compile(text, re.DOTALL)) for event, text in rows) for name, rows in _TABLE.items()}


@lru_cache(maxsize=1_024)
def has_patterns(program: str) -> bool:
    """Whether messages of `program` may say more than those of any program (:data:`OF_ANY`)."""
    lowered = program.lower()
    return program in SSHD or program == "sudo" or _ALIASES.get(lowered, lowered) in _COMPILED


def parse(program: str, message: str) -> dict[str, str]:
    """Columns that a message of `program` fills; empty if it says nothing we know.

    The keys are those of :data:`COLUMNS` and of :data:`casemate.evidence.readers.openssh.COLUMNS`,
    and a few words that go to ``rest``.
    """
    if len(message) > openssh.MESSAGE_CHARACTERS and program != "sudo":
        return {}
    if program in SSHD:
        return openssh.parse(message)
    if program == "sudo":
        return _sudo(message) or openssh.parse_pam(message, "event")
    lowered = program.lower()
    for event, pattern in _COMPILED.get(_ALIASES.get(lowered, lowered), ()):
        match = pattern.match(message)
        if match:
            return {"event": event, **{name: text for name, text in match.groupdict().items() if text}}
    if any(words in message for words in OF_ANY):
        return openssh.parse_pam(message, "event")
    return {}


def _sudo(message: str) -> dict[str, str]:
    match = _SUDO.match(message)
    if match is None:
        return {}
    said = match["said"]
    found = {"event": "sudo_command", "user": match["user"]}
    command = said.find("COMMAND=")  # the last pair; the command may hold anything, " ; USER=" included
    head = said if command < 0 else said[:command]
    if command >= 0:
        found["command"] = said[command + len("COMMAND=") :]
    for pair in head.split(" ; "):
        name, equals, value = pair.strip().partition("=")
        if equals and name in _SUDO_NAMES:
            found[_SUDO_NAMES[name]] = value
        elif not equals and pair.strip():
            found["event"] = "sudo_failed"
            found["reason"] = pair.strip()
    return found if command >= 0 or found["event"] == "sudo_failed" else {}


OF_ANY = ("authentication failure", "session ", "check pass")
"""Words of pam that any program may write."""
SSHD: frozenset[str] = frozenset({"sshd", "sshd-session", "sshd-auth"})
