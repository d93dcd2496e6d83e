"""Messages of mail (``.eml``, mbox): what is attached to them.

Definition: RFC 5322, RFC 2045 to 2047 and 2231; mbox as RFC 4155.  A mail program shows texts and hands attachments to
whatever opens them; texts are only owned here, attachments are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import TOO_MANY, Inspection, TooMuchError

MOST_BYTES = 256 << 20
MOST_PARTS = 10_000
MOST_MESSAGES = 100_000
HEAD_BYTES = 16384

BROKEN = Rule("mail.broken", "unscannable", CORRUPT_MODEL, "shows it as far as it understands it")
CUT = Rule("mail.damaged_part", "unscannable", CORRUPT_MODEL, "opens what it can decode of the attachment")

_FIELD = re.compile(rb"\A(?:From [^\n]+\n)?(?:[A-Za-z][A-Za-z0-9-]{0,60}:[^\n]*\n(?:[ \t][^\n]*\n)*)+", re.MULTILINE)
_OF_MAIL = re.compile(
    rb"^(?:MIME-Version|Received|Return-Path|Message-ID|Content-[TD][a-z-]+|From|To|Subject|Date)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_NEXT = re.compile(rb"^From [^\n]*\d{4}[^\n]*\r?\n(?=[A-Za-z][A-Za-z0-9-]{0,60}:)", re.MULTILINE)
SHOWN = ("text/plain", "text/html", "text/enriched", "text/rtf", "text/calendar")


def recognise(content: Content) -> bool:
    """Whether it begins with header fields, three of mail's own among them."""
    if not content.head(4).removeprefix(b"\xef\xbb\xbf")[:1].isalpha():
        return False
    head = content.head(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if not re.match(rb"(?:From [^\n]+\n)?[A-Za-z][A-Za-z0-9-]{0,60}:[ \t]", head):
        return False
    fields = _FIELD.match(head)
    return fields is not None and len({found.lower() for found in _OF_MAIL.findall(fields.group())}) >= 3


def inspect(content: Content, inspection: Inspection) -> None:
    """Take each message apart and hand on what is attached."""
    inspection.own_all()
    if content.size > MOST_BYTES:
        inspection.report(BROKEN, f"more than {MOST_BYTES} bytes")
        return
    parser = BytesParser(policy=policy.compat32)
    for count, message in enumerate(_messages(content.whole())):
        if count >= MOST_MESSAGES:
            raise TooMuchError(TOO_MANY, f"more than {MOST_MESSAGES} messages in one file")
        try:
            parts = list(_parts(parser.parsebytes(message)))
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            inspection.report(BROKEN, f"a message cannot be taken apart: {type(error).__name__}: {error}"[:200])
            continue
        for part in parts:
            _part(part, inspection)


def _messages(data: bytes) -> Iterator[bytes]:
    """The messages of an mbox; a single message is the only one."""
    if not data.startswith(b"From "):
        yield data
        return
    starts = sorted({0, *(found.start() for found in _NEXT.finditer(data))})
    for begin, end in zip(starts, [*starts[1:], len(data)], strict=True):
        yield data[begin:end].partition(b"\n")[2]


def _parts(message: Message[Any, Any]) -> Iterator[Message[Any, Any]]:
    waiting = [message]
    count = 0
    while waiting:
        part = waiting.pop()
        count += 1
        if count > MOST_PARTS:
            raise TooMuchError(TOO_MANY, f"more than {MOST_PARTS} parts in one message")
        inner = part.get_payload()
        if isinstance(inner, list):
            waiting.extend(one for one in inner if isinstance(one, Message))
        else:
            yield part


def _part(part: Message[Any, Any], inspection: Inspection) -> None:
    name = _name(part)
    stated = str(part.get("Content-Type", "text/plain")).strip().lower()
    if not name and stated.startswith(SHOWN):
        return
    try:
        data = part.get_payload(decode=True)
    except (ValueError, LookupError, AttributeError) as error:
        inspection.report(CUT, f"{type(error).__name__}: {error}"[:200], member=name or None)
        return
    if not isinstance(data, bytes) or not data:
        return
    if any("base64" in type(defect).__name__.lower() for defect in part.defects):
        inspection.report(CUT, "its base64 is damaged", member=name or None)
    inspection.budget.unpack(len(data))
    inspection.inner(Content.of(name or f"({part.get_content_type()})"[:120], data))


def _name(part: Message[Any, Any]) -> str:
    """The name of an attachment as a mail program shows it."""
    try:
        name = part.get_filename() or ""
    except (ValueError, LookupError, TypeError, AttributeError):
        name = ""
    if name and "=?" in name:
        message = EmailMessage(policy=policy.default)
        try:
            message["Subject"] = name.replace("\n", " ").replace("\r", " ")
            name = str(message["Subject"])
        except (ValueError, LookupError, TypeError, AttributeError, IndexError):
            pass
    return name.rpartition("/")[2].rpartition("\\")[2][:300]


FORMAT = Format("mail", recognise, inspect, (".eml", ".mbox"))
