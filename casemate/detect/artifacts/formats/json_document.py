"""JSON and JSON Lines: configurations of models, repositories and programs, and data sets.

Definition: RFC 8259; jsonlines.org.  What its values make a loader do is judged in :mod:`.hub_config` and
:mod:`.keras_config`; notebooks have their own file.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.hub_config import inspect_values
from casemate.detect.artifacts.formats.keras_config import inspect_keras
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.text import MOST_TEXT, decoded, is_text, look_for_encoded

PAIRS_KEPT_BYTES = 8 << 20
MOST_LINES = 5_000_000
_NOTEBOOK = re.compile(rb'"(?:nbformat|cells|worksheets)"\s*:')

DUPLICATE = Rule("json.duplicate", "suspicious", CORRUPT_MODEL, "takes the first or the last of the two")
BROKEN = Rule("json.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads it if it forgives more")
DEEP = Rule("json.deep", "unscannable", CORRUPT_MODEL, "raises an error: it is nested too deeply")


def starts_like_json(content: Content) -> bool:
    """Whether the first character opens an object or a list and a value follows."""
    head = content.head(4096)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
    head = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return bool(re.match(rb"\{\s*(?:\"|\}|$)|\[\s*(?:[\[{\"\]\d\-tfn]|$)", head)) and is_text(content)


def parse(text: str) -> tuple[Any, list[str]]:
    """The value, and the keys that stand twice in one object with different values.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    if len(text) > PAIRS_KEPT_BYTES:
        return orjson.loads(text), []
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in found:
            if key in result and result[key] != value:
                twice.append(key)
                result[f"{key} (first)"] = {key: result[key]}  # both are judged
            result[key] = value
        return result

    return json.loads(text, object_pairs_hook=pairs), twice


def recognise(content: Content) -> bool:
    """Whether it begins like JSON and is no notebook."""
    if not starts_like_json(content):
        return False
    head = content.head(1 << 20)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
    return not (
        content.name.lower().endswith(".ipynb") or (_NOTEBOOK.search(head[: 1 << 16]) and b'"cell_type"' in head)
    )


def inspect(content: Content, inspection: Inspection) -> None:
    """Parse it, or its lines, and judge every value."""
    inspection.own_all()
    text = decoded(content)
    if text is None:
        inspection.report(BROKEN, f"no text throughout, or more than {MOST_TEXT} bytes")
        return
    try:
        value, twice = parse(text)
    except RecursionError:
        inspection.report(DEEP, "it is nested too deeply to be read")
        value, twice = None, []
    except ValueError as error:
        if not _lines(text, inspection):
            inspection.report(BROKEN, f"it cannot be parsed: {error}"[:200])
        value, twice = None, []
    for key in twice[:5]:
        inspection.report(DUPLICATE, f"the key {key[:80]!r} stands twice with different values")
    if value is not None:
        judge_document(value, inspection)
    look_for_encoded(text, inspection)


def judge_document(value: Any, inspection: Inspection, member: str | None = None) -> None:
    """Everything that is looked for in a parsed document."""
    inspect_values(value, inspection, member)
    inspect_keras(value, inspection, member)


def _lines(text: str, inspection: Inspection) -> bool:
    """JSON Lines: every line a value; whether it is that."""
    lines = [line for line in text.splitlines()[:MOST_LINES] if line.strip()]
    if len(lines) < 2:
        return False
    bad = 0
    for line in lines:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            bad += 1
            if bad > 3:
                return False
            continue
        if isinstance(value, dict | list):
            judge_document(value, inspection)
    if bad:
        inspection.report(BROKEN, f"{bad} lines cannot be parsed")
    return True


FORMAT = Format("json", recognise, inspect, (".json", ".jsonl"), is_text=True)
