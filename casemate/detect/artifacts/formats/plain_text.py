"""Text that no loader runs, and text that other programs do: pages, shell scripts, Dockerfiles, requirement lists,
templates, tables.

Definitions: Dockerfile reference 1.7; PEP 508 and pip's requirements files; POSIX shell; RFC 4180; HTML.
"""

from __future__ import annotations

import re

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import MALICIOUS_PACKAGE, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.formats import (
    json_document,
    mail_message,
    notebook,
    python_source,
    toml_document,
    xml_document,
    yaml_document,
)
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.commands import BAD_COMMAND, ODD_COMMAND, judge_one
from casemate.detect.artifacts.formats.commands import judge_indexes as _indexes
from casemate.detect.artifacts.formats.tensorflow_graph import judge_operator
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.acts import always, report_acts
from casemate.detect.artifacts.sources.markup import judge_markup
from casemate.detect.artifacts.sources.shell import judge_command
from casemate.detect.artifacts.sources.templates import is_template, judge_template
from casemate.detect.artifacts.sources.text import decoded, is_text, look_for_encoded

ODD_SOURCE = Rule(
    "requirements.source", "suspicious", MALICIOUS_PACKAGE, "installs a package from an open address or a bare one"
)
FORMULA = Rule("table.formula", "malicious", UNSAFE_ARTIFACT, "a spreadsheet runs the formula, which starts a program")
FETCHING_FORMULA = Rule("table.fetching_formula", "suspicious", UNSAFE_ARTIFACT, "a spreadsheet sends or fetches data")
CODE_CELL = Rule("table.code", "suspicious", UNSAFE_ARTIFACT, "a program that evaluates the cell runs it")

_DOCKER = re.compile(r"^\s*(?:FROM|ARG)\s+\S+", re.IGNORECASE | re.MULTILINE)
_DOCKER_LINES = re.compile(r"^\s*(?:RUN|CMD|ENTRYPOINT|COPY|ADD|WORKDIR|ENV)\s", re.IGNORECASE | re.MULTILINE)
_INSTRUCTION = re.compile(
    r"^\s*(?:ONBUILD\s+)?(RUN|CMD|ENTRYPOINT|ADD|HEALTHCHECK|SHELL|ENV)\s+(.*)$", re.IGNORECASE | re.DOTALL
)
_MAKEFILE = re.compile(r"^(?:gnu)?makefile$|\.mk$|^justfile$")
_OPERATOR = re.compile(r"""\bop\s*:\s*["']([^"'\n]{1,200})["']""")
_SHEBANG = re.compile(r"#!\s*\S*(?:sh|bash|zsh|dash|env\s+(?:ba|z|da)?sh)\b")
_SHELL_SUFFIXES = (".sh", ".bash", ".zsh", ".command", ".ps1", ".bat", ".cmd")
_INSTALL_HOOK = re.compile(
    r"(?:^|[/.\-])(?:post|pre)-?(?:link|unlink|inst|install|rm|activate)(?:\.\w+)?$|(?:^|/)activate\.d/|^build\.sh$|^entrypoint\.sh$"
)
_FORMULA = re.compile(
    r"(?:^|[,;\t\"\n])[=+\-@]\s*(?:\w+\([^\n]{0,40}?)?(?:cmd|powershell|mshta|rundll32|MSEXCEL|DDE|regsvr32|wscript|cscript|certutil)\w*\s*\|"
    r"|(?:^|[,;\t\"\n])=\s*(?:DDE|DDEAUTO|EXEC|CALL|REGISTER|SHELL|RUN)\s*\(", re.IGNORECASE,
)  # fmt: skip
_FETCHING = re.compile(
    r"(?:^|[,;\t\"\n])[=+\-@]\s*(?:\w+\(\s*)?(?:(?:HYPERLINK|IMAGE)\s*\(\s*\"*https?:|(?:WEBSERVICE|IMPORTXML|IMPORTDATA|IMPORTHTML|IMPORTFEED)\s*\()",
    re.IGNORECASE,
)
_CODE_CELL = re.compile(
    r"(?:^|[,;\t\"\n])\s*(?:__import__\(['\"]{1,4}\w+['\"]{1,4}\)\s*\.|exec\((?:base64|__import__|bytes|compile)|eval\((?:base64|__import__|compile)|"
    r"os\.(?:system|popen)\(|subprocess\.\w+\(|\(\)\.__class__)"
)  # fmt: skip
_BARE_PACKAGE = re.compile(
    r"(?:@\s*|^\s*|\s)((?:git\+)?http://\S+|(?:git\+)?https?://(?:\d{1,3}\.){3}\d{1,3}\S*)", re.MULTILINE
)


OTHERS = (python_source.FORMAT, python_source.PATHS_FORMAT, notebook.FORMAT, json_document.FORMAT, yaml_document.FORMAT,
          toml_document.FORMAT, xml_document.FORMAT, mail_message.FORMAT)  # fmt: skip


def recognise(content: Content) -> bool:
    """Whether it is text that no other format reads."""
    return is_text(content) and not any(other.recognise(content) for other in OTHERS)


def inspect(content: Content, inspection: Inspection) -> None:
    """Judge it as what its content and name make of it."""
    text = decoded(content)
    if text is None:
        return  # not text throughout: its bytes stay nobody's
    inspection.own_all()
    name = content.name.rpartition("/")[2].lower()
    first = text[:4096]
    if is_dockerfile(text, name):
        judge_dockerfile(text, inspection)
    elif _MAKEFILE.search(name):
        for line in text.splitlines():
            if line.startswith("\t") and judge_command(line.strip().lstrip("@-"))[0] == "bad":
                judge_one(line.strip().lstrip("@-"), inspection, "a recipe")
    elif name.endswith((".pbtxt", ".prototxt")):
        for match in _OPERATOR.finditer(text):
            judge_operator("a node", match.group(1), match.start(), inspection)
    elif _SHEBANG.match(first) or name.endswith(_SHELL_SUFFIXES) or _INSTALL_HOOK.search(name):
        judge_script(text, inspection, hook=bool(_INSTALL_HOOK.search(name)))
    elif re.match(r"(?:requirements|constraints).*\.(?:txt|in)$|pip\.conf$|\.pip", name):
        judge_requirements(text, inspection)
    elif name.endswith((".html", ".htm", ".svg", ".xhtml")) or re.match(
        r"\s*<(?:!doctype html|html|svg|script)\b", first, re.I
    ):
        picture = re.search(r"<svg\b", first)  # pages have scripts, pictures need none
        report_acts(judge_markup(text), always("suspicious" if picture else "note", "script"), "page", inspection)
    elif name.endswith((".jinja", ".jinja2", ".j2")) or (is_template(text) and "messages" in text):
        report_acts(judge_template(text), always("suspicious", "template_import"), "template", inspection)
    elif name.endswith((".csv", ".tsv", ".tab", ".txt")) or "." not in name:
        judge_table(text, inspection)
    look_for_encoded(text, inspection)


def is_dockerfile(text: str, name: str) -> bool:
    """Whether a text is a Dockerfile."""
    if re.search(r"(?:^|[.\-_])(?:dockerfile|containerfile)(?:$|[.\-_])", name):
        return True
    start = re.sub(r"^\s*#.*$", "", text[:65536], flags=re.MULTILINE).lstrip()
    return bool(_DOCKER.match(start) and _DOCKER_LINES.search(start) and not name.endswith((".md", ".sql", ".py")))


def judge_dockerfile(text: str, inspection: Inspection) -> None:
    """Commands that are run while an image is built, and when it is started."""
    for instruction in _instructions(text):
        match = _INSTRUCTION.match(instruction)
        if match is None:
            continue
        word, rest = match.group(1).upper(), match.group(2).strip()
        if word == "ADD" and re.search(r"\bhttp://", rest):
            inspection.report(ODD_COMMAND, f"ADD over an open connection: {rest[:160]!r}")
        if word == "ENV" and not re.search(
            r"LD_PRELOAD[= ]+/(?:tmp|dev/shm)|PIP_(?:EXTRA_)?INDEX_URL[= ]+http://", rest
        ):
            continue
        if word == "ENV":
            inspection.report(ODD_COMMAND, f"ENV {rest[:160]!r}")
            continue
        command = re.sub(r"^(?:--\S+\s+)+", "", rest)
        if command.startswith("["):
            command = " ".join(re.findall(r'"((?:[^"\\]|\\.)*)"', command))
            command = re.sub(r"^(?:/bin/)?(?:ba)?sh -l?c ", "", command)
        judge_one(command, inspection, word)


def _instructions(text: str) -> list[str]:
    lines: list[str] = []
    waiting, until = "", ""
    for line in text.splitlines():
        if until:
            waiting += "\n" + line
            if line.strip() == until:
                lines.append(waiting)
                waiting, until = "", ""
            continue
        if line.lstrip().startswith("#"):
            continue
        waiting += line
        if waiting.rstrip().endswith("\\"):
            waiting = waiting.rstrip()[:-1] + " "
            continue
        heredoc = re.search(r"<<-?\s*['\"]?(\w+)['\"]?", waiting)
        if heredoc and re.match(r"\s*(?:RUN|COPY)\b", waiting, re.IGNORECASE):
            until = heredoc.group(1)
            continue
        lines.append(waiting)
        waiting = ""
    return [*lines, *([waiting] if waiting else [])]


def judge_script(text: str, inspection: Inspection, *, hook: bool) -> None:
    """A shell script; one that an installer runs has less right to anything odd."""
    judgement, why = judge_command(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE), at_import=False)
    if judgement == "bad":
        inspection.report(BAD_COMMAND, why)
    elif judgement == "odd" or (
        judgement == "unknown" and hook and re.search(r"\b(?:curl|wget|nc|python -c|eval|touch /tmp|> ?/tmp)\b", text)
    ):
        inspection.report(ODD_COMMAND, why)
    elif hook and re.search(r"\b(?:curl|wget|nc|ncat)\b", text):
        inspection.report(ODD_COMMAND, "an install hook that talks to a server")


def judge_requirements(text: str, inspection: Inspection) -> None:
    """Where packages are installed from."""
    plain = re.sub(r"(?:^|\s)#.*$", "", text, flags=re.MULTILINE)
    _indexes(plain, inspection)
    for match in _BARE_PACKAGE.finditer(plain):
        inspection.report(ODD_SOURCE, f"{match.group(1)[:160]!r}", match.start())


def judge_table(text: str, inspection: Inspection, member: str | None = None) -> None:
    """Cells that a spreadsheet or a careless program runs."""
    for rule, pattern in ((FORMULA, _FORMULA), (FETCHING_FORMULA, _FETCHING), (CODE_CELL, _CODE_CELL)):
        match = pattern.search(text)
        if match:
            inspection.report(
                rule, f"{text[match.start() : match.start() + 120].strip()!r}", match.start(), member=member
            )


FORMAT = Format("text", recognise, inspect, (".txt", ".md", ".csv", ".tsv"), is_text=True)
