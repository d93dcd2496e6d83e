"""YAML: configurations, Hydra and Lightning files, conda environments, pipelines.

Definition: YAML 1.1 as PyYAML and ruamel read it; PyYAML's tags ``!!python/...`` (``yaml/constructor.py``), which
``yaml.load`` with ``Loader``, ``UnsafeLoader`` or (some) ``FullLoader`` carries out.  Only nodes are composed here,
nothing is constructed.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
import yaml

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, MALICIOUS_PACKAGE, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.commands import COMMAND_KEYS, judge_indexes, judge_one
from casemate.detect.artifacts.formats.hub_config import inspect_values
from casemate.detect.artifacts.formats.json_document import starts_like_json
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.text import decoded, is_text, look_for_encoded

SUFFIXES = (".yaml", ".yml")
NAMES_ALONE = frozenset({"MLmodel", "MLproject", "CITATION.cff", ".clang-format"})
MOST_BYTES = 64 << 20
MOST_DEPTH = 500
MOST_NODES = 2_000_000

RUNS = Rule("yaml.python_object", "malicious", UNSAFE_ARTIFACT, "imports it and calls it while reading the file")
NAMES = Rule("yaml.python_name", "suspicious", UNSAFE_ARTIFACT, "imports the module while reading the file")
OTHER_TAG = Rule(
    "yaml.foreign_tag", "suspicious", UNSAFE_ARTIFACT, "builds an object of that class while reading the file"
)
BROKEN = Rule("yaml.broken", "unscannable", CORRUPT_MODEL, "raises an error, or reads what comes before it")
CHANNEL = Rule(
    "conda.channel", "suspicious", MALICIOUS_PACKAGE, "installs packages from a channel that is not a usual one"
)
PIP = Rule("conda.pip_source", "suspicious", MALICIOUS_PACKAGE, "installs a package from an open or bare address")

_RUNS = re.compile(r"tag:yaml\.org,2002:python/(?:object/(?:apply|new):|object:|apply:)|^!!?python/(?:object|apply)")
_HARMLESS = re.compile(
    r"tag:yaml\.org,2002:(?:python/(?:tuple|str|unicode|int|float|bool|list|dict|none|complex|bytes|long)\b|(?!python|java|ruby|perl|php|js)\w+)$"
)
_FOREIGN = re.compile(
    r"^!{1,2}(?:ruby|java|perl|php|js|net)|^!(?:ruby|java)|tag:yaml\.org,2002:(?:java|ruby|perl|php|js|javax)|^!!?javax?\.|^tag:yaml\.org,2002:[a-z]\w*(?:\.\w+)+$|^tag:yaml\.org,2002:(?:javax|java)\."
)
_MARKS = re.compile(
    rb"!!?(?:python|p%79thon)(?:/|%2[fF])|%TAG\s+!|tag:yaml\.org,2002:python|^\s*_target_\s*:", re.MULTILINE
)
_KEY = re.compile(rb"^(?:---\s*$|[A-Za-z_][\w.-]*:(?:\s|$))", re.MULTILINE)
_ADDRESS = re.compile(r"(?:^|@\s*|git\+)(http://\S+|https?://(?:\d{1,3}\.){3}\d{1,3}\S*)")
_CHANNELS = re.compile(
    r"(?:https://)?(?:[\w.-]+|conda\.anaconda\.org/.*|repo\.anaconda\.com/.*|repo\.prefix\.dev/.*|conda-forge.*|[\w.-]*\.amazonaws\.com/.*|conda\.[\w.]+(?:/.*)?|software\.repos\.intel\.com/.*)$"
)


def recognise(content: Content) -> bool:
    """Whether it is text called YAML, or text with YAML's marks."""
    if not is_text(content):
        return False
    if starts_like_json(content):  # YAML's braces and brackets may look the same
        return bool(_MARKS.search(content.head(1 << 20))) and not _is_json(content)
    if content.name.lower().endswith(SUFFIXES) or content.name.rpartition("/")[2] in NAMES_ALONE:
        return True
    if content.name.lower().endswith((".md", ".rst", ".py", ".pyi", ".html", ".xml", ".tex", ".csv")):
        return False
    head = content.head(1 << 20)
    if _MARKS.search(head):
        return True
    return bool(content.name.lower().endswith((".conf", ".cfg")) and head.startswith(b"---") and _KEY.search(head))


def _is_json(content: Content) -> bool:
    try:
        orjson.loads(content.whole())
    except orjson.JSONDecodeError:
        return False
    return True


def inspect(content: Content, inspection: Inspection) -> None:
    """Compose the nodes, judge the tags, then the values."""
    text = decoded(content)
    if text is None:
        return
    inspection.own_all()
    if len(text) > MOST_BYTES:
        inspection.report(BROKEN, f"more than {MOST_BYTES} bytes")
        return
    if _depth(text) > MOST_DEPTH:
        _tags_in_text(text, inspection)
        inspection.report(BROKEN, f"brackets more than {MOST_DEPTH} deep")
        return
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for node in yaml.compose_all(text, Loader=loader):
            value = _Walk(inspection).value(node)
            inspect_values(value, inspection)
            _build_file(value, inspection)
    except yaml.YAMLError as error:
        _tags_in_text(text, inspection)
        if not re.search(r"\{\{|\{%", text):  # a template of a YAML file
            inspection.report(BROKEN, f"it cannot be parsed: {error}"[:200].replace("\n", " "))
    except RecursionError:
        _tags_in_text(text, inspection)
        inspection.report(BROKEN, "it is nested too deeply")
    look_for_encoded(text, inspection)


def _depth(text: str) -> int:
    """How deep brackets nest: composing takes the square of it."""
    depth = most = 0
    for match in re.finditer(r"[\[{\]}]", text):
        depth = depth + 1 if match.group() in "[{" else max(0, depth - 1)
        most = max(most, depth)
    return most


def _tags_in_text(text: str, inspection: Inspection) -> None:
    """Tags that stand in a text which cannot be composed are still found."""
    for match in re.finditer(r"^(?!\s*#).*?(!!python/(?:object/(?:apply|new)|object):\S+)", text, re.MULTILINE):
        inspection.report(RUNS, match.group(1)[:160], match.start(1))
        return


class _Walk:
    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._known: dict[int, Any] = {}
        self._nodes = 0

    def value(self, node: yaml.Node | None) -> Any:
        """The plain value; every node once, so that aliases cost nothing."""
        if node is None:
            return None
        if id(node) in self._known:
            return self._known[id(node)]
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise yaml.YAMLError(f"more than {MOST_NODES} nodes")
        self._tag(node)
        result: Any
        if isinstance(node, yaml.ScalarNode):
            result = True if node.tag.endswith(":bool") and node.value.lower() in ("true", "yes", "on") else node.value
            self._known[id(node)] = result
        elif isinstance(node, yaml.SequenceNode):
            self._known[id(node)] = result = []
            result.extend(self.value(part) for part in node.value)
        else:
            self._known[id(node)] = result = {}
            for key, part in node.value:
                name = self.value(key)
                result[name if isinstance(name, str) else str(name)] = self.value(part)
        return result

    def _tag(self, node: yaml.Node) -> None:
        tag = node.tag or ""
        at = node.start_mark.index if node.start_mark is not None else None
        if _RUNS.search(tag):
            self._inspection.report(RUNS, f"tag {tag.replace('tag:yaml.org,2002:', '!!')}"[:160], at)
        elif "python/" in tag and not _HARMLESS.match(tag):
            self._inspection.report(NAMES, f"tag {tag.replace('tag:yaml.org,2002:', '!!')}"[:160], at)
        elif _FOREIGN.search(tag):
            self._inspection.report(OTHER_TAG, f"tag {tag}"[:160], at)


def _build_file(value: Any, inspection: Inspection) -> None:
    if not isinstance(value, dict):
        return
    channels = value.get("channels")
    if isinstance(channels, list) and "dependencies" in value:
        for channel in channels:
            if isinstance(channel, str) and (channel.startswith("http://") or not _CHANNELS.match(channel)):
                inspection.report(CHANNEL, f"channel {channel[:120]!r}")
    for key, item in _pairs(value):
        texts = (
            [item]
            if isinstance(item, str)
            else [part for part in item if isinstance(part, str)]
            if isinstance(item, list)
            else []
        )
        if key in COMMAND_KEYS:
            for text in texts:
                judge_one(text, inspection, key)
        elif key == "pip":
            for text in texts:
                judge_indexes(text, inspection)
                match = _ADDRESS.search(text)
                if match:
                    inspection.report(PIP, f"{text[:160]!r}")


def _pairs(value: Any, seen: set[int] | None = None):
    seen = set() if seen is None else seen
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        if isinstance(item, dict):
            seen.add(id(item))
            yield from item.items()
            waiting.extend(item.values())
        elif isinstance(item, list):
            seen.add(id(item))
            waiting.extend(item)


FORMAT = Format("yaml", recognise, inspect, SUFFIXES, is_text=True)
