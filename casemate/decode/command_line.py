"""What cmd.exe and Unix shells drop or put in before they run a command.

cmd: ``p^o^w``, ``po""wer``, ``%COMSPEC:~-7,3%``, ``set x=who&& call %x%ami`` (as ``cmd /?`` and ``set /?`` say).
Shells: ``w'h'oam''i``, ``wh\\oami``, ``$'\\x69\\x64'``, ``${IFS}`` (POSIX Shell Command Language, 2.2; Bash manual,
3.1.2.4), ``echo ... | rev``, ``tr a-z n-za-m``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from casemate.decode.model import Budget, Piece
from casemate.decode.signs import Decoder

VARIABLES: dict[str, str] = {
    "comspec": "C:\\Windows\\system32\\cmd.exe",
    "systemroot": "C:\\Windows",
    "windir": "C:\\Windows",
    "systemdrive": "C:",
    "programfiles": "C:\\Program Files",
    "programfiles(x86)": "C:\\Program Files (x86)",
    "commonprogramfiles": "C:\\Program Files\\Common Files",
    "programdata": "C:\\ProgramData",
    "allusersprofile": "C:\\ProgramData",
    "public": "C:\\Users\\Public",
    "os": "Windows_NT",
    "pathext": ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC",
    "psmodulepath": "C:\\Program Files\\WindowsPowerShell\\Modules;"
    "C:\\Windows\\system32\\WindowsPowerShell\\v1.0\\Modules",
}
"""Values that these variables have on nearly every Windows host."""
CARET = re.compile(r"\^(.)", re.DOTALL)
CARETS_IN_WORDS = re.compile(r"[A-Za-z0-9]\^[A-Za-z0-9]|\^[A-Za-z]\^[A-Za-z]")
EMPTY_QUOTES = re.compile(r'(?<=[A-Za-z0-9\-/.])""(?=[A-Za-z0-9\-/.])')
LEAST = 2
SET = re.compile(r"(?<![\w-])set\s{1,4}\"?([A-Za-z_]\w{0,31})=([^&|\"\r\n]{0,2000})", re.IGNORECASE)
USED = re.compile(
    r"([%!])([A-Za-z_][\w()]{0,31})(?::~\s{0,2}(-?\d{1,5})(?:\s{0,2},\s{0,2}(-?\d{1,5}))?|:([^=%!]{1,40})=([^%!]{0,80}))?\1"
)
ROUNDS = 4
MOST_VARIABLES = 2_000

ANSI_C = re.compile(r"\$'((?:[^'\\]|\\.)*+)'", re.DOTALL)
ANSI_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{1,4})|(.))", re.DOTALL)
ANSI_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
SPLIT_WORD = re.compile(
    r"(?<=[A-Za-z0-9])(?:''|\"\"|\$@|\\(?![xu][0-9a-fA-F])(?=[A-Za-z])|\$\{[A-Za-z_]{1,8}:0:0\})(?=\\?[A-Za-z0-9])"
)
QUOTED_LETTERS = re.compile(r"(?<=[A-Za-z0-9'\"])(['\"])([A-Za-z0-9]{1,3})\1(?=[A-Za-z0-9'\"])")
SEPARATOR = re.compile(r"\$\{IFS\}|\$IFS(?:\$\d)?")
ECHOED = re.compile(
    r"(?:echo|printf|<<<)\s{1,4}(?:-\w{1,2}\s{1,4}){0,2}(?:'([^']{3,})'|\"([^\"]{3,})\"|([^\s|'\"]{3,}))"
)
TURNED = re.compile(r"\|\s{0,4}rev\b")
MOVED = re.compile(r"\btr\s{1,4}['\"]?(?:\[?a-zA-Z\]?|\[?A-Za-z\]?|a-z|A-Z)['\"]?\s{1,4}['\"]?\[?[nN]-", re.IGNORECASE)


def cmd_words(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """The command without carets and empty quotes, and with variables whose values are known."""
    steps: list[str] = []
    changed = text
    if len(CARETS_IN_WORDS.findall(changed)) >= LEAST:
        changed = CARET.sub(r"\1", changed)
        steps.append("carets")
    if len(EMPTY_QUOTES.findall(changed)) >= LEAST:
        changed = EMPTY_QUOTES.sub("", changed)
        steps += ["carets"] if not steps else []
    filled = _variables(changed, budget)
    if filled != changed:
        steps.append("variables")
        changed = filled
    if steps and budget.attempt() and budget.spend(len(changed)):
        yield Piece(changed, tuple(steps))


def _variables(text: str, budget: Budget) -> str:
    own = {name.lower(): value for name, value in SET.findall(text)[:200]}
    known = {**VARIABLES, **own}
    for _ in range(ROUNDS if own else 1):
        room = budget.bytes
        parts, place, size = [], 0, len(text)
        for match in islice(USED.finditer(text), MOST_VARIABLES):
            name = match[2].lower()
            # a variable as a whole is written so in any script; a part of one is not
            if name not in known or (match[3] is None and match[5] is None and name not in own):
                continue
            value = _part(known[name], match)
            size += len(value)
            if size > room:
                break
            parts += [text[place : match.start()], value]
            place = match.end()
        if not parts:
            break
        text = "".join(parts) + text[place:]
    return text


def _part(value: str, match: re.Match[str]) -> str:
    if match[3] is not None:
        begin = int(match[3])
        begin = max(0, len(value) + begin) if begin < 0 else begin
        if match[4] is None:
            return value[begin:]
        length = int(match[4])
        return value[begin:length] if length < 0 else value[begin : begin + length]
    if match[5] is not None:
        return re.sub(re.escape(match[5]), lambda _: match[6], value[:10_000], flags=re.IGNORECASE)
    return value


def shell_words(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """The command as a Unix shell would split it: quotes inside words gone, ``$'...'`` spelled out."""
    changed = text
    if "$'" in changed:
        changed = ANSI_C.sub(lambda match: "'" + ANSI_ESCAPE.sub(_ansi_character, match[1]) + "'", changed)
    if len(SPLIT_WORD.findall(changed)) + len(QUOTED_LETTERS.findall(changed)) >= LEAST:
        changed = QUOTED_LETTERS.sub(r"\2", SPLIT_WORD.sub("", changed))
        changed = QUOTED_LETTERS.sub(r"\2", changed)
    changed = SEPARATOR.sub(" ", changed)
    if changed != text and budget.attempt() and budget.spend(len(changed)):
        yield Piece(changed, ("quotes",))


def _ansi_character(match: re.Match[str]) -> str:
    for number, base in ((match[1], 16), (match[2], 8), (match[3], 16)):
        if number is not None:
            code = int(number, base)
            return chr(code) if 0 < code < 0xD800 else ""
    return ANSI_LETTERS.get(match[4], match[4])


def echoed_words(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """What is echoed into ``rev`` or into a ``tr`` that moves letters by thirteen."""
    turned, moved = TURNED.search(text), MOVED.search(text)
    if not (turned or moved):
        return
    for match in ECHOED.finditer(text):
        if not budget.attempt():
            return
        value = match[1] or match[2] or match[3]
        if budget.spend(len(value)):
            yield Piece(value[::-1], ("reversed",)) if turned else Piece(codecs.encode(value, "rot13"), ("rot13",))


CMD = Decoder(
    cmd_words,
    (r"[a-z0-9]\^[a-z0-9]|\^[a-z]\^|[a-z0-9./-]\"\"[a-z0-9./-]|[%!][a-z_()]+:|\bset\s+\"?[a-z_]\w*=",),
)
SHELL: tuple[Decoder, ...] = (
    Decoder(
        shell_words,
        (r"\$'|\$\{?ifs|[a-z0-9](?:''|\"\"|\$@|\\[a-z]|\$\{[a-z_]+:)|['\"][a-z0-9]{1,3}['\"][a-z0-9'\"]",),
    ),
    Decoder(echoed_words, (r"\|\s*(?:rev|tr)\b",)),
)
