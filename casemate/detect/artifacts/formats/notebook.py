"""Jupyter notebooks: what the cells run, and what their outputs run in the reader's browser.

Definition: nbformat 4 (and 3, with ``worksheets``); IPython's ``!command``, ``%magic`` and ``%%magic``.  Loaders:
Jupyter, which runs cells when a person says so and shows stored outputs when the notebook is trusted; ``nbconvert --execute``,
``papermill`` and schedulers, which run all of it.
"""  # noqa: E501

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import replace
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, EMBED_MALWARE, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.json_document import parse, starts_like_json
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.acts import Act, Grades, report_acts
from casemate.detect.artifacts.sources.markup import judge_markup, judge_script
from casemate.detect.artifacts.sources.python import SyntaxNotKnown, judge_python, parse_python, search_python
from casemate.detect.artifacts.sources.shell import judge_command
from casemate.detect.artifacts.sources.text import decoded, look_for_encoded

MOST_CELLS = 50_000
FAR_RIGHT = 200
"""Columns after which nobody sees that a line goes on."""

GRADES: Grades = {
    "bad_command": ("malicious", "malicious", "suspicious"),
    "hidden_command": ("malicious", "malicious", "suspicious"),
    "odd_command": ("suspicious", "suspicious", "note"),
    "decoded_code": ("malicious", "malicious", "suspicious"),
    "fetched_code": ("malicious", "malicious", "suspicious"),
    "hidden_pickle": ("suspicious", "suspicious", "note"),
    "persistence": ("malicious", "malicious", "suspicious"),
    "secrets": ("suspicious", "suspicious", "note"),
    "exfiltration": ("malicious", "malicious", "suspicious"),
    "native_code": ("note", "note", "note"),
    "hidden_name": ("suspicious", "suspicious", "note"),
    "delete": ("note", "note", "note"),
    "script": ("suspicious", "suspicious", "suspicious"),
    "not_followed": ("unscannable", "unscannable", "unscannable"),
}
HIDDEN_GRADES: Grades = {
    **GRADES,
    "unknown_command": ("suspicious", "suspicious", "note"),
    "odd_command": ("malicious", "malicious", "suspicious"),
    "network": ("suspicious", "suspicious", "note"),
    "write": ("suspicious", "suspicious", "note"),
}
"""A cell that its reader does not see has less right to what a notebook does openly."""

BROKEN = Rule("notebook.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads it if it forgives more")
DUPLICATE = Rule("notebook.duplicate", "suspicious", CORRUPT_MODEL, "takes the first or the last of the two")
FAR = Rule("notebook.far_right", "malicious", EMBED_MALWARE, "runs what stands far to the right, where nobody sees it")
ATTACHED = Rule("notebook.attachment", "suspicious", EMBED_MALWARE, "shows an attachment that is a page or a script")
INVISIBLE = Rule("notebook.invisible", "suspicious", EMBED_MALWARE, "runs or shows characters that nobody sees")

PYTHON_MAGICS = frozenset(
    {"time", "timeit", "capture", "prun", "python", "python3", "pypy", "memit", "mprun", "local", "px"}
)
_SHELL_CELL = re.compile(r"^\s*%%(?:!|bash|sh|script|system|cmd|perl|ruby|powershell|sx)\b[^\n]*\n?")
_PAGE_CELL = re.compile(r"^\s*%%(?:html|HTML|svg|SVG|markdown)\b[^\n]*\n?")
_SCRIPT_CELL = re.compile(r"^\s*%%(?:javascript|js)\b[^\n]*\n?", re.IGNORECASE)
_OTHER_CELL = re.compile(r"^\s*%%(\w[\w.]*)([^\n]*)\n?")
_BANG = re.compile(r"^(?P<indent>\s*)(?:(?P<target>[\w, ]+?)\s*=\s*)?!{1,2}(?P<command>.+)$")
_SHELL_MAGIC = re.compile(r"^(?P<indent>\s*)(?:[\w, ]+?\s*=\s*)?%(?:system|sx|sc|bash|sh)\s+(?P<command>.+)$")
_MAGIC = re.compile(r"^(?P<indent>\s*)(?:[\w, ]+?\s*=\s*)?%(?P<name>\w+)(?P<rest>.*)$")
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.){3,4000}"|\'(?:[^\'\\\n]|\\.){3,4000}\'|`[^`\n]{3,4000}`')
_OF_PYTHON = re.compile(r"\{(?P<braced>[A-Za-z_]\w*)\}|(?<![\\$])\$(?P<plain>[A-Za-z_]\w*)")
_HELP = re.compile(r"^\s*\?{1,2}[\w.*%]+\s*$|^\s*[\w.*%]+\?{1,2}\s*$")
_FAR_CODE = re.compile(r"\S[^\n]{0,160}?[ \t]{120,}(\S[^\n]*)")
_HIDING = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_HIDDEN_TAGS = frozenset({"hide", "hidden", "hide-cell", "hide-input", "hide_input", "remove-cell", "remove_cell",
                          "remove-input", "remove_input", "hide_cell", "injected"})  # fmt: skip


def recognise(content: Content) -> bool:
    """Whether it is JSON with cells."""
    if not starts_like_json(content):
        return False
    if content.name.lower().endswith(".ipynb"):
        return True
    if content.head(2) in (b"\xff\xfe", b"\xfe\xff"):
        text = decoded(content) or ""
        return '"cell_type"' in text and ('"cells"' in text or '"worksheets"' in text)
    return b'"cell_type"' in content.head(1 << 20) and (
        content.find(b'"cells"') >= 0 or content.find(b'"worksheets"') >= 0
    )


def inspect(content: Content, inspection: Inspection) -> None:
    """Judge every cell, output and attachment."""
    inspection.own_all()
    text = decoded(content)
    try:
        if text is None:
            raise ValueError("no text throughout")
        book, twice = parse(text)
        if not isinstance(book, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        inspection.report(BROKEN, f"it cannot be parsed: {error}"[:200])
        look_for_encoded(text or "", inspection)
        return
    for key in twice[:5]:
        if key in ("source", "cells", "cell_type", "outputs", "input"):
            inspection.report(DUPLICATE, f"the key {key!r} stands twice with different values")
    cells = list(_dicts(book.get("cells")))
    for sheet in _dicts(book.get("worksheets")):
        cells += _dicts(sheet.get("cells"))
    language = str(
        _at(book, "metadata", "kernelspec", "language") or _at(book, "metadata", "language_info", "name") or "python"
    )
    program = _Program()
    for number, cell in enumerate(cells[:MOST_CELLS], 1):
        _cell(cell, f"cell {number}, ", language.lower(), inspection, program)
    program.judge(inspection)
    report_acts(_metadata(book.get("metadata")), GRADES, "notebook", inspection)
    look_for_encoded(text, inspection)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


class _Program:
    """The cells of a notebook as one program: what one imports the next may use."""

    def __init__(self) -> None:
        self._text = ""
        self._starts: list[int] = []
        self._cells: list[tuple[str, bool]] = []

    def add(self, source: str, where: str, *, hidden: bool) -> None:
        """The Python of one cell, which can be parsed."""
        self._starts.append(self._text.count("\n") + 1)
        self._cells.append((where, hidden))
        self._text += source + "\n"

    def judge(self, inspection: Inspection) -> None:
        """Report what the whole would do, each act in its cell."""
        try:
            acts = judge_python(self._text, "notebook")
        except SyntaxNotKnown:
            acts = search_python(self._text)
        for act in acts:
            index = max(0, bisect_right(self._starts, act.line) - 1)
            where, hidden = self._cells[index] if self._cells else ("", False)
            moved = replace(act, line=act.line - (self._starts[index] if self._starts else 1) + 1)
            report_acts([moved], HIDDEN_GRADES if hidden else GRADES, "notebook", inspection, where)


def _cell(cell: dict[str, Any], where: str, language: str, inspection: Inspection, program: _Program) -> None:
    kind = cell.get("cell_type")
    # with a key that stands twice, both values are judged
    sources = [_text(cell.get("source", cell.get("input")))]
    sources += [
        _text(value.get("source")) for key, value in cell.items() if key.endswith("(first)") and isinstance(value, dict)
    ]
    hidden = _is_hidden(cell)
    for source in sources:
        if kind == "code":
            grades = HIDDEN_GRADES if hidden else GRADES
            place = where + ("hidden, " if hidden else "")
            acts, python = judge_cell(source, language)
            report_acts(acts, grades, "notebook", inspection, place)
            if python.strip():
                program.add(python, place, hidden=hidden)
            for match in _FAR_CODE.finditer(source):
                if match.start(1) - source.rfind("\n", 0, match.start(1)) > FAR_RIGHT and not match[1].startswith("#"):
                    inspection.report(FAR, f"{where}code far to the right: {match[1][:120]!r}")
                    break
        elif kind in ("markdown", "raw", "heading", "html"):
            report_acts(judge_markup(source), GRADES, "notebook", inspection, where)
        if kind == "code" and _HIDING.search(source):
            inspection.report(INVISIBLE, f"{where}characters that nobody sees in code")
    for output in _dicts(cell.get("outputs")):
        _output(output, where, inspection)
    attachments = cell.get("attachments")
    if isinstance(attachments, dict):
        for name, bundle in attachments.items():
            for mime in bundle if isinstance(bundle, dict) else ():
                if re.search(r"html|javascript|svg|xml|octet|python|executable", str(mime)):
                    inspection.report(ATTACHED, f"{where}attachment {name[:80]!r} of type {mime!r}")


def _is_hidden(cell: dict[str, Any]) -> bool:
    metadata = cell.get("metadata")
    if not isinstance(metadata, dict):
        return False
    tags = metadata.get("tags")
    return bool(
        _at(metadata, "jupyter", "source_hidden") is True
        or metadata.get("hide_input") is True
        or metadata.get("hidden") is True
        or _at(metadata, "collapsed") == "hidden"
        or (isinstance(tags, list) and _HIDDEN_TAGS & {str(tag) for tag in tags})
    )


def judge_cell(source: str, language: str = "python") -> tuple[list[Act], str]:
    """Acts of what a code cell gives to shells and browsers, and the Python that is left of it."""
    if _SHELL_CELL.match(source) or language in ("bash", "sh", "shell"):
        return _command(_SHELL_CELL.sub("", source), 1), ""
    if _PAGE_CELL.match(source):
        return judge_markup(_PAGE_CELL.sub("", source)), ""
    if _SCRIPT_CELL.match(source) or language in ("javascript", "typescript"):
        return judge_script(source), ""
    other = _OTHER_CELL.match(source)
    if other is not None:
        name, rest = other.groups()
        body = source[other.end() :]
        if name == "writefile":
            return _written(rest.strip().split(" ")[-1], body), ""
        if name not in PYTHON_MAGICS:
            return (_command(body, 1) if name in ("script", "pwsh") else _in_quotes(body)), ""
        if body.lstrip().startswith("%%"):  # what such a magic runs may begin with another
            return judge_cell(body, language)
        source = "\n" + body
    acts, python = _without_magic(source)
    if language not in ("python", "python3", "ipython", "python2"):
        return acts + _in_quotes(source), ""
    try:
        parse_python(python)
    except SyntaxNotKnown:
        return acts + search_python(python), ""
    return acts, python


def _in_quotes(source: str) -> list[Act]:
    """Commands that do harm, in the texts of a language whose grammar is not known here."""
    acts = []
    for match in _QUOTED.finditer(source):
        judgement, why = judge_command(match.group()[1:-1])
        if judgement == "bad":
            acts.append(Act("bad_command", f"{why}: {match.group()[:160]}", source.count("\n", 0, match.start()) + 1))
    return acts


def _written(name: str, body: str) -> list[Act]:
    """``%%writefile``: where it writes, and what."""
    acts = judge_python(f"open({name!r}, 'w')", "notebook") if name else []
    if name.endswith((".sh", ".bash")):
        return acts + _command(body, 1)
    if name.endswith(".py"):
        try:
            return acts + _later(judge_python(body))
        except SyntaxNotKnown:
            return acts + search_python(body)
    return acts


def _later(acts: list[Act]) -> list[Act]:
    return [replace(act, runs="later") for act in acts]


def _without_magic(source: str) -> tuple[list[Act], str]:
    """Acts of the lines that IPython hands to a shell, and the source without them."""
    acts: list[Act] = []
    lines: list[str] = []
    rest = iter(enumerate(source.split("\n"), 1))
    for number, line in rest:
        match = _BANG.match(line) or _SHELL_MAGIC.match(line)
        if match:
            command = match["command"]
            while command.endswith("\\"):
                following = next(rest, (0, ""))[1]
                command = command[:-1] + " " + following
                lines.append("")
            acts += _command(command, number)
            lines.append(match["indent"] + (_with_names(command) or "pass"))
            continue
        magic = _MAGIC.match(line)
        if magic:
            name, tail = magic["name"], magic["rest"]
            if name in ("run", "load_ext", "load", "loadpy") and re.search(r"https?://", tail):
                acts.append(Act("fetched_code", f"%{name}{tail[:120]}", number))
            elif name in ("pip", "conda", "mamba", "uv"):
                acts += _command(name + tail, number)
            elif name in ("time", "timeit", "prun", "memit"):
                lines.append(magic["indent"] + tail.strip())
                continue
            elif name in ("alias", "alias_magic", "macro") and tail.strip():
                acts += _command(tail.strip().partition(" ")[2], number)
            lines.append(magic["indent"] + "pass")
            continue
        lines.append("" if _HELP.match(line) else line)
    return acts, "\n".join(lines)


def _with_names(command: str) -> str:
    """A command that IPython puts names of the program into (``!$a``, ``!{a}``), as the Python that does the same."""
    parts: list[str] = []
    end = 0
    for match in _OF_PYTHON.finditer(command):
        parts += [repr(command[end : match.start()]), f"str({match['braced'] or match['plain']})"]
        end = match.end()
    return f"get_ipython().system({' + '.join([*parts, repr(command[end:])])})" if parts else ""


def _command(text: str, line: int) -> list[Act]:
    judgement, why = judge_command(text)
    kind = {"bad": "bad_command", "odd": "odd_command", "unknown": "unknown_command"}.get(judgement, "command")
    return [Act(kind, f"{why}: {text.strip()[:160]!r}", line)] if text.strip() else []


def _output(output: dict[str, Any], where: str, inspection: Inspection) -> None:
    bundles = [output.get("data")] if isinstance(output.get("data"), dict) else [output]
    for bundle in bundles:
        if not isinstance(bundle, dict):
            continue
        for mime, value in bundle.items():
            text = _text(value) if not isinstance(value, dict) else json.dumps(value)[: 1 << 20]
            where_output = f"{where}output {mime}, "
            if mime in ("application/javascript", "text/javascript", "javascript"):
                acts = judge_script(text) or [Act("script", f"a script: {text[:60]!r}", severity=_library(text))]
                report_acts(acts, GRADES, "notebook", inspection, where_output)
            elif mime in ("text/html", "html", "image/svg+xml", "svg", "text/markdown", "text/latex"):
                report_acts(judge_markup(text), GRADES, "notebook", inspection, where_output)


def _library(text: str):
    from casemate.detect.artifacts.sources.markup import KNOWN

    return "note" if KNOWN.search(text) else None


def _metadata(metadata: Any) -> list[Act]:
    """A kernel's command line or a widget's state that carries a page."""
    acts: list[Act] = []
    state = _at(metadata, "widgets", "application/vnd.jupyter.widget-state+json", "state")
    for model in state.values() if isinstance(state, dict) else ():
        if _at(model, "model_name") in ("HTMLModel", "HTMLMathModel"):
            acts += judge_markup(_text(_at(model, "state", "value")))
    argv = _at(metadata, "kernelspec", "argv")
    if isinstance(argv, list):
        acts.append(Act("script", f"the kernel's command line is set: {argv[:3]!r}"[:160]))
    return acts


FORMAT = Format("notebook", recognise, inspect, (".ipynb",), runs_code=True, is_text=True)
