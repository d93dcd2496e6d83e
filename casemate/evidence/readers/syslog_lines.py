"""The forms of a line of syslog, taken apart: RFC 3164, RFC 5424, rsyslog's ISO form, and Cisco IOS.

An optional ``<PRI>`` stands before each; :mod:`.syslog` shows one line of every form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from casemate.limits import Limits

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
BSD_TIME = rf"{MONTH} [ \d]?\d(?: \d{{4}})? \d\d:\d\d:\d\d(?:\.\d{{1,9}})?(?: \d{{4}}(?= ))?"
ISO_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_LEVEL_WORDS = r"(?!\[|\(|(?:INFO|WARN|WARNING|ERROR|DEBUG|TRACE|FATAL|CRITICAL|NOTICE)\b)"
_PRI = r"(?:<(?P<pri>\d{1,3})>)?"


_BSD = re.compile(rf"{_PRI}(?P<time>{BSD_TIME}) (?P<host>\S{{1,255}}) (?P<body>.*)\Z", re.DOTALL | re.ASCII)
_BSD_NO_HOST = re.compile(
    rf"<(?P<pri>\d{{1,3}})>(?P<time>{BSD_TIME}) (?P<body>[^\s:\[]+(?:\[\d+\])?: .*)\Z", re.DOTALL | re.ASCII
)
_ISO = re.compile(
    rf"{_PRI}(?P<time>{ISO_TIME}) {_LEVEL_WORDS}(?P<host>\S{{1,255}}) (?P<body>.*)\Z", re.DOTALL | re.ASCII
)
_RFC5424 = re.compile(
    rf"{_PRI}1 (?P<time>-|{ISO_TIME}) (?P<host>\S{{1,255}}) (?P<program>\S{{1,255}}) (?P<pid>\S{{1,128}}) "
    r"(?P<msgid>\S{1,128}) (?P<body>-|\[.*|-? .*)\Z",
    re.DOTALL | re.ASCII,
)
_CISCO = re.compile(
    rf"{_PRI}(?:(?P<received>{BSD_TIME}|{ISO_TIME}) )?(?:(?P<host>[\w.:-]{{1,255}}?):? )?"
    r"(?:(?P<sequence>\d{1,12}): )?"
    rf"(?:(?P<host2>[\w.-]{{1,255}}): )?(?:[*.]?(?P<time>{BSD_TIME})(?: (?P<zone>[A-Z]{{1,5}}))?: )?"
    r"%(?P<facility>[A-Z][A-Z0-9_]*(?:-[A-Z][A-Z0-9_]*)?)-(?P<severity>[0-7])-(?P<mnemonic>[A-Z0-9_]+): ?"
    r"(?P<body>.*)\Z",
    re.DOTALL | re.ASCII,
)
_PLAIN_PARTS = (
    rf"(?:<([0-9]{{1,3}})>)?({MONTH} [ 0-9][0-9] [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
    rf"(?= {_LEVEL_WORDS})) "
    r"([!-Z\\^-~]{0,254}[!-9;-Z\\^-~]) ([^\s:\[(]{1,128})(?:\(([^)\s]{1,64})\))?(?:\[([^\]\s]{1,32})\])?: (.*)"
)
"""What most lines look like, for one step: what the patterns around would say of it too."""
_PLAIN = re.compile(rf"{_PLAIN_PARTS}\Z", re.DOTALL)
_PLAIN_LINES = re.compile(rf"^(?:{_PLAIN_PARTS}|(.*))$", re.MULTILINE)
_BEGINS_AS_RFC5424 = re.compile(r"(?:<[0-9]{1,3}>)?1 [0-9]{4}-")
_PLAIN_RFC5424_LINES = re.compile(
    r"^(?:(?:<([0-9]{1,3})>)?1 "
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?) "
    r"(?!- )([!-~]{1,255}) (?!- )([!-~]{1,255})() (?:-|([!-~]{1,128})) - - \ufeff?(.*)|(.*))$",
    re.MULTILINE,
)
"""The same for lines of RFC 5424 without a message id and structured data."""
_CISCO_MARK = re.compile(r"%[A-Z][A-Z0-9_-]*-[0-7]-[A-Z0-9_]+:", re.ASCII)
_TAG = re.compile(
    r"(?P<program>[^\s:\[(]{1,128})(?:\((?P<module>[^)\s]{0,64})\))?(?: \d[\w.]{0,16})?(?:\[(?P<pid>[^\]\s]{1,32})\])?:"
    r"(?:\s(?P<message>.*)|\Z)",
    re.DOTALL,
)
_SD_BEGIN = re.compile(r'\[([^\s=\]"]{1,64})', re.DOTALL)
_SD_PARAM = re.compile(r' ([^\s=\]"]{1,64})="((?:[^"\\\]]|\\.)*)"', re.DOTALL)
_SD_ESCAPED = re.compile(r"\\([\"\\\]])")

RECOGNISED_SHARE = 0.6
SAMPLED_LINES = 200


@dataclass(slots=True)
class Line:
    """What one line says, still as text."""

    time: str | None
    values: dict[str, str | None]
    received: str | None = None
    """The relay's time, where `time` is the device's own."""


def recognise(head: bytes) -> int:
    """50-90 if most of the sampled lines have one of the forms above."""
    lines = [line for line in head.split(b"\n")[: SAMPLED_LINES + 1] if line.strip()]
    if len(lines) > 1 and not head.endswith(b"\n"):
        lines.pop()
    if not lines:
        return 0
    good = sum(1 for line in lines if _looks_right(line[:2048]))
    share = good / len(lines)
    return int(50 + 40 * share) if share >= RECOGNISED_SHARE else 0


def _looks_right(line: bytes) -> bool:
    text = line.decode("utf-8", "replace").rstrip("\r")
    if _RFC5424.match(text) or _CISCO.match(text):
        return True
    match = _ISO.match(text)
    if match:
        return _TAG.match(match["body"]) is not None
    return _BSD.match(text) is not None or _BSD_NO_HOST.match(text) is not None


def plain_parts(text: str) -> list[tuple[str, str, str, str, str, str, str, str]]:
    """PRI, time, host, program, module, process id, message of each line of `text`, as :func:`parse_line` has them.

    A line that is not written in the plainest way is the last of the eight, and the others are empty; PRI, module
    and process id are empty where there is none.  Messages of Cisco's may be among the plain ones:
    see :func:`may_be_cisco`.
    """
    return (_PLAIN_RFC5424_LINES if _BEGINS_AS_RFC5424.match(text) else _PLAIN_LINES).findall(text)


def may_be_cisco(text: str) -> bool:
    """Whether there may be a line of Cisco's form in `text`."""
    return "%" in text and _CISCO_MARK.search(text) is not None


def parse_line(text: str, most_fields: int = Limits.fields_per_record) -> Line | str | None:
    """The parts of one line; None if it has none of the known forms, the reason if it has too many fields."""
    if "%" in text and (match := _CISCO.match(text)):
        return _cisco(match)
    if match := _PLAIN.match(text):
        pri, time, host, program, module, pid, message = match.groups()
        values = {"host": host, "program": program, "module": module, "pid": pid, "message": message}
        return Line(time, values if pri is None else {**values, **priority(pri)})
    match = _BSD.match(text) or _ISO.match(text)
    if match:
        if match["host"].endswith(":") or "[" in match["host"]:  # "Dec 10 06:55:46 program[1]: message"
            bare = _TAG.match(f"{match['host']} {match['body']}")
            if bare:
                return Line(match["time"], {**priority(match["pri"]), **_tag(f"{match['host']} {match['body']}")})
        return Line(match["time"], {"host": match["host"], **priority(match["pri"]), **_tag(match["body"])})
    match = _RFC5424.match(text)
    if match:
        return _rfc5424(match, most_fields)
    match = _BSD_NO_HOST.match(text)
    if match:
        return Line(match["time"], {**priority(match["pri"]), **_tag(match["body"])})
    return None


def priority(text: str | None) -> dict[str, str | None]:
    """Columns that a PRI fills: its number, and the names of facility and severity if it has any."""
    if text is None:
        return {}
    number = int(text)
    if number > 191:
        return {"priority": text}
    return {"priority": text, "facility": FACILITIES[number // 8], "severity": SEVERITIES[number % 8]}


def _tag(body: str) -> dict[str, str | None]:
    match = _TAG.match(body)
    if match is None:
        return {"message": body}
    return {
        "program": match["program"],
        "module": match["module"],
        "pid": match["pid"],
        "message": match["message"] or "",
    }


def _rfc5424(match: re.Match[str], most_fields: int) -> Line | str:
    body = match["body"]
    values: dict[str, str | None] = {
        name: None if match[name] == "-" else match[name] for name in ("host", "program", "pid", "msgid")
    }
    values.update(priority(match["pri"]))
    if body.startswith("["):
        position = 0
        times: dict[str, int] = {}
        while element := _SD_BEGIN.match(body, position):
            at, said = element.end(), {}
            while param := _SD_PARAM.match(body, at):
                name = f"sd.{element[1]}.{param[1]}"
                if name in said or name in values:  # RFC 5424 6.3.3 lets a name stand again: "ip" of several addresses
                    times[name] = times.get(name, 1) + 1
                    name = f"{name}.{times[name]}"
                said[name] = _SD_ESCAPED.sub(r"\1", param[2])
                if len(values) + len(said) > most_fields:
                    return f"more than {most_fields} fields"
                at = param.end()
            if not body.startswith("]", at):
                break  # no element: it stays in the message
            values.update(said)
            position = at + 1
        body = body[position:]
    elif body.startswith("-"):
        body = body[1:]
    values["message"] = body.removeprefix(" ").removeprefix("\ufeff")
    return Line(None if match["time"] == "-" else match["time"], values)


def _cisco(match: re.Match[str]) -> Line:
    values: dict[str, str | None] = {
        **priority(match["pri"]),
        "host": match["host2"] or match["host"],
        "program": f"%{match['facility']}-{match['severity']}-{match['mnemonic']}",
        "facility": match["facility"],
        "severity": match["severity"],
        "msgid": match["mnemonic"],
        "message": match["body"],
        "product": "cisco",
    }
    if match["host2"] and match["host"]:
        values["relay"] = match["host"]
    if match["sequence"]:
        values["sequence"] = match["sequence"]
    zone = f" {match['zone']}" if match["zone"] and match["time"] else ""
    if match["time"]:
        return Line(f"{match['time']}{zone}", values, match["received"])
    return Line(match["received"], values)
