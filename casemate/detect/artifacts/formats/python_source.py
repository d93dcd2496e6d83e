"""Python source: modules, handlers, dataset scripts, ``setup.py``, and the ``.pth`` files of site-packages.

Definition: the Python language reference 3.11; ``Lib/site.py`` for ``.pth`` (a line that begins with ``import`` is
executed at every start).  Loaders: the interpreter, ``pip`` (``setup.py``), ``transformers`` with
``trust_remote_code``, ``datasets`` (scripts), inference servers (``handler.py``).
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import replace

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, MALICIOUS_PACKAGE, Rule, Severity
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.acts import Grades, report_acts
from casemate.detect.artifacts.sources.python import Place, SyntaxNotKnown, judge_python, search_python
from casemate.detect.artifacts.sources.text import decoded, is_text, look_for_encoded

SUFFIXES = (".py", ".pyw", ".pyi")
_LOOKS = re.compile(
    rb"^(?:import \w|from [\w.]+ import |def \w+\(|async def |class \w+|@\w+|if __name__ ==|exec\(|eval\(|__import__\()",  # noqa: E501
    re.MULTILINE,
)
_SHEBANG = re.compile(rb"#!.*\bpython")
_SETUP = re.compile(rb"\b(?:setuptools|distutils)\b")

GRADES: Grades = {
    "unknown_command": ("malicious", "malicious", "note"),
    "odd_command": ("malicious", "malicious", "note"),
    "bad_command": ("malicious", "malicious", "suspicious"),
    "hidden_command": ("malicious", "malicious", "suspicious"),
    "command": ("suspicious", "note", "note"),
    "decoded_code": ("malicious", "malicious", "suspicious"),
    "fetched_code": ("malicious", "malicious", "suspicious"),
    "dynamic_code": ("suspicious", "note", "note"),
    "network": ("malicious", "note", "note"),
    "unpickle": ("suspicious", "note", "note"),
    "hidden_pickle": ("malicious", "malicious", "suspicious"),
    "write": ("malicious", "malicious", "note"),
    "persistence": ("malicious", "malicious", "suspicious"),
    "secrets": ("malicious", "malicious", "note"),
    "exfiltration": ("malicious", "malicious", "suspicious"),
    "native_code": ("suspicious", "note", "note"),
    "delete": ("malicious", "malicious", "note"),
    "hidden_name": ("suspicious", "suspicious", "note"),
    "remote_code": ("suspicious", "suspicious", "note"),
    "install": ("suspicious", "suspicious", "note"),
    "not_followed": ("unscannable", "unscannable", "unscannable"),
}
"""An installer and an import alike run what stands at the top; what is only defined is somebody else's to call."""
SETUP_GRADES: Grades = {
    **GRADES,
    "command": ("note", "note", "note"),
    "dynamic_code": ("note", "note", "note"),
    "unpickle": ("note", "note", "note"),
    "install": ("note", "note", "note"),
    "network": ("malicious", "malicious", "note"),
}
NEVER_HONEST = frozenset(
    {"bad_command", "hidden_command", "decoded_code", "fetched_code", "persistence", "exfiltration", "not_followed",
     "hidden_pickle"}
)  # fmt: skip
_ASIDE = re.compile(r"(?:^|/)(?:tests?|testing|examples?|docs?|benchmarks?|samples)/", re.IGNORECASE)
STARTS_BY_ITSELF = Rule("python.pth", "suspicious", MALICIOUS_PACKAGE, "runs the line at every start of Python")
NOT_PARSED = Rule("python.syntax", "unscannable", CORRUPT_MODEL, "runs it if its own grammar knows it")
_ORDINARY_PTH = re.compile(
    r"import _distutils_hack|import os; var = 'SETUPTOOLS_USE_DISTUTILS'|import __editable__|import _virtualenv|"
    r"import sys; sys\.__plen|import sys, types, os;has_mfs|import a1_coverage|import sys,? ?types|import coverage; coverage\.process_startup"  # noqa: E501
)


def _milder(grades: Grades) -> Grades:
    """Grades of what a package carries for who works on it: neither an installer nor an import runs it by itself.

    What is done for no honest reason stays what it is, since the name of a folder is easily given.
    """
    lower: dict[Severity, Severity] = {"malicious": "suspicious", "suspicious": "note"}
    return {
        kind: found if kind in NEVER_HONEST else tuple(lower.get(grade, grade) for grade in found)  # type: ignore[misc]
        for kind, found in grades.items()
    }


def recognise(content: Content) -> bool:
    """Whether it is text that is called Python, or reads like Python."""
    if not is_text(content):
        return False
    name = content.name.lower()
    if name.endswith(SUFFIXES):
        return True
    if name.endswith((".md", ".rst", ".json", ".ipynb", ".csv", ".yaml", ".yml", ".html", ".xml", ".jsonl")):
        return False
    head = content.head(1 << 16)
    if not (_SHEBANG.match(head) or _LOOKS.search(head)) or not _parses(content):
        return False
    return not name.endswith((".txt", ".log")) or _does_harm(content)


def _does_harm(content: Content) -> bool:
    """Whether a text that is called text would do something if somebody ran it."""
    acts = judge_python(content.read(0, 1 << 20))
    return any(act.runs != "later" and GRADES.get(act.kind, ("note",))[0] == "malicious" for act in acts)


def _parses(content: Content) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(content.read(0, 1 << 20))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def inspect(content: Content, inspection: Inspection) -> None:
    """Walk the source and grade what it does."""
    inspection.own_all()
    data = content.whole()
    text = decoded(content) or data.decode("latin-1")
    name = content.name.lower().rpartition("/")[2]
    place: Place = "setup" if name == "setup.py" or (_SETUP.search(data) and b"setup(" in data) else "module"
    grades = SETUP_GRADES if place == "setup" else GRADES
    try:
        called = frozenset({"generate"}) if content.name.endswith("custom_generate/generate.py") else frozenset()
        acts = judge_python(data, place, called)
        if name.endswith(".pyi"):  # never run
            acts = [replace(act, runs="later") for act in acts]
        aside = bool(inspection.path_inside) and _ASIDE.search(content.name) is not None
        report_acts(acts, _milder(grades) if aside else grades, "python", inspection)
    except SyntaxNotKnown as error:
        found = search_python(text)
        report_acts(found, grades, "python", inspection)
        inspection.report(NOT_PARSED, f"it cannot be parsed: {error}")
    look_for_encoded(text, inspection)


def recognise_paths(content: Content) -> bool:
    """Whether it is a text file called ``.pth``."""
    return content.name.lower().endswith(".pth") and is_text(content)


def inspect_paths(content: Content, inspection: Inspection) -> None:
    """Judge the lines that Python runs at every start."""
    inspection.own_all()
    text = decoded(content) or ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith(("import ", "import\t")):
            continue
        if _ORDINARY_PTH.match(line):
            continue
        inspection.report(STARTS_BY_ITSELF, f"line {number} begins with import: {line[:160]!r}")
        try:
            report_acts(judge_python(line), GRADES, "python", inspection, f"line {number}, ")
        except SyntaxNotKnown:
            report_acts(search_python(line), GRADES, "python", inspection, f"line {number}, ")


FORMAT = Format("python", recognise, inspect, SUFFIXES, runs_code=True, is_text=True)
PATHS_FORMAT = Format("pth", recognise_paths, inspect_paths, (), runs_code=True, is_text=True)
