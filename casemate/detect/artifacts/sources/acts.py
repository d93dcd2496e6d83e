"""What a source text would do, and what that is worth where it stands."""

from __future__ import annotations

from dataclasses import dataclass

from casemate.detect.artifacts.contract import (
    COMMAND_INTERPRETER,
    EMBED_MALWARE,
    MALICIOUS_PACKAGE,
    UNSAFE_ARTIFACT,
    Rule,
    Severity,
)
from casemate.detect.artifacts.inspection import Inspection

EXFILTRATION = "AML.T0025"
CREDENTIALS = "AML.T0055"

KINDS: dict[str, tuple[str, str]] = {
    "command": (COMMAND_INTERPRETER, "runs the command"),
    "unknown_command": (COMMAND_INTERPRETER, "runs the command"),
    "odd_command": (COMMAND_INTERPRETER, "runs the command"),
    "bad_command": (COMMAND_INTERPRETER, "runs the command"),
    "hidden_command": (COMMAND_INTERPRETER, "runs a command that was put together to hide it"),
    "decoded_code": (EMBED_MALWARE, "decodes text and runs it as code"),
    "fetched_code": (EMBED_MALWARE, "runs whatever a server sends"),
    "dynamic_code": (UNSAFE_ARTIFACT, "runs text that is only known then as code"),
    "network": (UNSAFE_ARTIFACT, "opens a network connection"),
    "unpickle": (UNSAFE_ARTIFACT, "unpickles data, which may run code"),
    "hidden_pickle": (EMBED_MALWARE, "unpickles data that it carries or fetches"),
    "write": (UNSAFE_ARTIFACT, "writes a file outside its own folder"),
    "persistence": (UNSAFE_ARTIFACT, "writes where programs start by themselves"),
    "secrets": (CREDENTIALS, "reads credentials"),
    "exfiltration": (EXFILTRATION, "sends credentials or the environment away"),
    "native_code": (UNSAFE_ARTIFACT, "places machine code in memory or loads it"),
    "delete": (UNSAFE_ARTIFACT, "deletes files outside its own folder"),
    "hidden_name": (EMBED_MALWARE, "uses a name that is put together to hide it"),
    "remote_code": (UNSAFE_ARTIFACT, "lets a library run code that comes with a model"),
    "install": (MALICIOUS_PACKAGE, "installs software"),
    "redirect": (UNSAFE_ARTIFACT, "gives its input and output to a connection"),
    "not_followed": (EMBED_MALWARE, "runs what was not followed here"),
    "template_escape": (UNSAFE_ARTIFACT, "leaves the template's sandbox and runs code when a message is rendered"),
    "template_import": (UNSAFE_ARTIFACT, "reads another template"),
    "script": (UNSAFE_ARTIFACT, "a browser runs the script"),
}
"""Kinds of acts: the technique, and what a loader does."""


@dataclass(frozen=True)
class Act:
    """One thing that a source does.

    Args:
        kind: of :data:`KINDS`.
        text: what was seen, one clause.
        line: where, from 1.
        runs: ``now`` when the source is loaded, ``later`` when somebody calls what it defines.
        severity: what it is worth on its own, when that does not depend on the place; else None.
    """

    kind: str
    text: str
    line: int = 1
    runs: str = "now"
    severity: Severity | None = None


Grades = dict[str, tuple[Severity, Severity, Severity]]
"""By kind: what it is worth when it runs at once, when a loader calls it by itself, when somebody must call it."""


def always(severity: Severity, *kinds: str) -> Grades:
    """Grades in which acts of these kinds are worth the same whenever they happen."""
    return dict.fromkeys(kinds, (severity, severity, severity))


def report_acts(acts: list[Act], grades: Grades, prefix: str, inspection: Inspection, where: str = "") -> None:
    """Report acts by a table of grades; kinds that are not in it are notes."""
    for act in dict.fromkeys(acts):
        now, loaded, later = grades.get(act.kind, ("note", "note", "note"))
        severity: Severity = now if act.runs == "now" else loaded if act.runs == "loaded" else later
        if act.severity == "malicious" and act.runs == "later":
            severity = "suspicious"
        elif act.severity:
            severity = act.severity
        technique, effect = KINDS[act.kind]
        when = {"now": "", "loaded": "when the loader calls it: "}.get(act.runs, "when called: ")
        rule = Rule(f"{prefix}.{act.kind}", severity, technique, when + effect)
        inspection.report(rule, f"{where}line {act.line}: {act.text}")
