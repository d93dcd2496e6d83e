"""TOML: settings of projects, trainers and pipelines.

Definition: TOML 1.0.  Loaders: ``tomllib`` builds nothing; programs that take names of classes (``_target_`` and the
like) and commands from what they read do, see :mod:`.hub_config`.
"""

from __future__ import annotations

import tomllib
from typing import Any

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.commands import COMMAND_KEYS, judge_one
from casemate.detect.artifacts.formats.hub_config import inspect_values
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.text import decoded, is_text, look_for_encoded

SUFFIXES = (".toml",)
MOST_BYTES = 16 << 20
SCRIPT_TABLES = frozenset({"scripts", "tasks", "hooks"})

BROKEN = Rule("toml.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads it if it forgives more")


def recognise(content: Content) -> bool:
    """Whether it is text called TOML."""
    return content.name.lower().endswith(SUFFIXES) and is_text(content)


def inspect(content: Content, inspection: Inspection) -> None:
    """Parse it and judge its values."""
    text = decoded(content)
    if text is None:
        return
    inspection.own_all()
    if len(text) > MOST_BYTES:
        inspection.report(BROKEN, f"more than {MOST_BYTES} characters")
        return
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        if "{{" not in text:  # a template of a TOML file
            inspection.report(BROKEN, f"it cannot be parsed: {error}"[:200])
        value = {}
    inspect_values(value, inspection)
    _commands(value, inspection)
    look_for_encoded(text, inspection)


def _commands(value: dict[str, Any], inspection: Inspection) -> None:
    waiting: list[tuple[Any, bool]] = [(value, False)]
    while waiting:
        item, scripts = waiting.pop()
        if isinstance(item, list):
            waiting.extend((inner, scripts) for inner in item)
        elif isinstance(item, dict):
            for key, inner in item.items():
                if isinstance(inner, str) and (scripts or key in COMMAND_KEYS):
                    judge_one(inner, inspection, key)
                else:
                    waiting.append((inner, scripts or key in SCRIPT_TABLES))


FORMAT = Format("toml", recognise, inspect, SUFFIXES, is_text=True)
