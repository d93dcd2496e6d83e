"""Which parts a phase made and from what: read back from the facts of the custody log."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from casemate.case import CUSTODY, Case
from casemate.engine.parts import Part
from casemate.evidence.custody import intact_lines

Stages = Callable[[str, int, int], None]
"""Called with the name of a stage, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class PhaseState:
    """What the log says of one phase: the inputs of its last commit, and its live parts."""

    inputs: str | None
    parts: tuple[Part, ...]


def phase_state(case: Case, phase: str) -> PhaseState:
    """State of `phase` (the ``phase`` of its commits' facts)."""
    live = {part.path: part for table in case.tables() for part in case.live_parts(table)}
    inputs, parts = None, []
    for line in intact_lines(case.path / CUSTODY):
        if line.kind != "commit" or line.facts.get("facts", {}).get("phase") != phase:
            continue
        inputs = line.facts["facts"].get("inputs")
        parts.extend(live[part["path"]] for part in line.facts["added"] if part["path"] in live)
    return PhaseState(inputs, tuple(parts))


def phase_states(case: Case) -> dict[str, PhaseState]:
    """The state of every phase that ever committed."""
    live = {part.path: part for table in case.tables() for part in case.live_parts(table)}
    inputs: dict[str, str | None] = {}
    parts: dict[str, list[Part]] = {}
    for line in intact_lines(case.path / CUSTODY):
        facts = line.facts.get("facts", {}) if line.kind == "commit" else {}
        if "phase" in facts:
            inputs[facts["phase"]] = facts.get("inputs")
            added = (live[part["path"]] for part in line.facts["added"] if part["path"] in live)
            parts.setdefault(facts["phase"], []).extend(added)
    return {phase: PhaseState(inputs[phase], tuple(found)) for phase, found in parts.items()}


def digest(items: Iterable[object]) -> str:
    """A short hash of what a phase starts from."""
    digester = hashlib.sha256()
    for item in items:
        digester.update(repr(item).encode())
        digester.update(b"\n")
    return digester.hexdigest()[:32]


def fingerprint(case: Case, *tables: str) -> list[str]:
    """Hashes of the live parts of tables: changes whenever their rows may have changed."""
    return [part.sha256 for table in tables for part in case.live_parts(table)]


def code_of(*modules: ModuleType) -> str:
    """Hash of the source of modules and packages: another version of Casemate evaluates old evidence anew."""
    digester = hashlib.sha256()
    for module in modules:
        here = Path(module.__file__ or "")
        package = hasattr(module, "__path__")
        for path in sorted(here.parent.rglob("*.py")) if package else [here]:
            digester.update(f"{module.__name__} {path.relative_to(here.parent)}\n".encode())
            digester.update(path.read_bytes())
    return digester.hexdigest()[:32]
