"""Text in artefacts: whether bytes are text, and what is encoded in it that a program would load."""

from __future__ import annotations

import base64
import binascii
import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import EMBED_MALWARE, Rule
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.streams import harm_in

MOST_TEXT = 256 << 20
PROBED = 8192
MOST_RUNS = 2000
MOST_RUN = 16 << 20
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\r\x0b\x0c\x1b\x08")
_RUN = re.compile(
    r"(?<![A-Za-z0-9+/_-])(?:gA[JNRSVWUZ]|KGNj|Y29z|Y19f|Y3Bvc|Y3N1|Y2J1|KGRw|KGxw|KGlv|KGkx|Z0F[A-Za-z0-9]|WTI5|WTE5|eJ[xwyz]|eN[op]|H4sI|QlpoO|/Td6|f0VMRg|TVqQ|TVoA|UEsDB|KLUv)"
    r"[A-Za-z0-9+/_-]{12,}={0,2}"
)
_HEX_RUN = re.compile(
    r"(?<![0-9A-Fa-f])(?:80(?:02|03|04|05)[0-9A-Fa-f]{2}|636f730a|28636f73|7f454c46|4d5a9000)[0-9A-Fa-f]{16,}"
)

_ESCAPED = re.compile(
    r"(?:\\u0080|\\x80|\x80)\\[ux](?:00)?0[2-5]|(?<!\\)c[A-Za-z_][\w.]{0,80}\\n[A-Za-z_][\w.]{0,80}\\n"
)
_NUMBERS = re.compile(
    r"\b(?:128\s*,\s*[2-5]|99\s*,\s*\d{2,3}|40\s*,\s*\d{2,3})\s*,\s*(?:\d{1,3}\s*,\s*){8,200000}\d{1,3}"
)

_END = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[ntrbf\"'/\\])")
_MEANS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "/": "/", "\\": "\\"}
MOST_ESCAPED = 1 << 20

ENCODED_PICKLE = Rule(
    "pickle.encoded", "malicious", EMBED_MALWARE, "a program that decodes and unpickles the value runs it"
)
ENCODED_PROGRAM = Rule(
    "text.encoded_program", "suspicious", EMBED_MALWARE, "a program that decodes the value gets machine code"
)


def is_text(content: Content) -> bool:
    """Whether the beginning is text in UTF-8, UTF-16 with a mark, or a code page of one byte."""
    head = content.head(PROBED)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return decoded(content.part(content.name, 0, PROBED & ~1)) is not None
    first = head[:64]  # most of what is no text shows it at once
    if not head or first.translate(None, _CONTROL) != first or head.translate(None, _CONTROL) != head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return sum(byte > 127 for byte in head) * 4 < len(head)
    return True


def decoded(content: Content) -> str | None:
    """The content as text; None if it is too long or no text throughout."""
    if content.size > MOST_TEXT:
        return None
    data = content.whole()
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        if b"\0" in data:
            return None
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
        return None if re.search(r"[\x00-\x06\x0e-\x1a]", text) else text


def look_for_encoded(text: str, inspection: Inspection, member: str | None = None) -> None:
    """Report harmful pickles and programs that stand encoded in a text."""
    for count, match in enumerate(_RUN.finditer(text)):
        if count >= MOST_RUNS:
            return
        run = match.group()[:MOST_RUN].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            data = base64.b64decode(run[: len(run) - (1 if len(run) % 4 == 1 else 0)] + "=" * (-len(run) % 4))
        except (binascii.Error, ValueError):
            continue
        _judge(data, match.start(), "base64", inspection, member)
    for count, match in enumerate(_HEX_RUN.finditer(text)):
        if count >= MOST_RUNS:
            return
        run = match.group()[:MOST_RUN]
        _judge(bytes.fromhex(run[: len(run) & ~1]), match.start(), "hexadecimal", inspection, member)
    for count, match in enumerate(_ESCAPED.finditer(text)):
        if count >= MOST_RUNS:
            return
        _judge(_unescaped(text, match.start()), match.start(), "a text's escapes", inspection, member)
    for count, match in enumerate(_NUMBERS.finditer(text)):
        if count >= MOST_RUNS:
            return
        numbers = [int(number) for number in match.group().split(",")]
        if max(numbers) < 256:
            _judge(bytes(numbers), match.start(), "numbers", inspection, member)


def _unescaped(text: str, start: int) -> bytes:
    """The bytes that a text in quotes stands for, from `start` to its end, a byte a character."""
    end = _END.match(text, start)
    part = text[start : end.end() if end else start][:MOST_ESCAPED]
    plain = _ESCAPE.sub(lambda match: _MEANS.get(match[1]) or chr(int(match[1][1:], 16)), part)
    return plain.encode("latin-1", "replace")


def _judge(data: bytes, offset: int, how: str, inspection: Inspection, member: str | None) -> None:
    if data.startswith((b"\x7fELF", b"MZ\x90\0", b"MZ\0\0")):
        inspection.report(ENCODED_PROGRAM, f"machine code in {how}", offset, member=member)
        return
    inspection.budget.unpack(len(data))
    for reason in harm_in(Content.of(f"({how})", data), inspection)[:3]:
        inspection.report(
            ENCODED_PICKLE, f"in {how}: {reason.text}", offset, effect=reason.loader_effect, member=member
        )
