"""What the JSON and YAML files of model repositories tell a loader to import: Hugging Face, PEFT, diffusers,
sentence-transformers, Hydra, Lightning, skops, logging, jsonpickle, MLflow.

Source: ``transformers/dynamic_module_utils.py`` (``auto_map``: ``[repository--]module.Class``), ``peft/config.py`` and
``peft/auto.py`` (``auto_mapping.parent_library`` is imported; so is ``megatron_core``), ``diffusers``'
``model_index.json``, ``sentence_transformers``' ``modules.json``, ``hydra/_internal/instantiate`` (``_target_``),
``skops/io/_utils.py``, ``logging/config.py`` (``()``), ``jsonpickle/tags.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from casemate.detect.artifacts.contract import SUPPLY_CHAIN_MODEL, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.callables import is_way_out
from casemate.detect.artifacts.sources.acts import always, report_acts
from casemate.detect.artifacts.sources.names import DOTTED, judge_name
from casemate.detect.artifacts.sources.shell import judge_command
from casemate.detect.artifacts.sources.templates import is_template, judge_template

MOST_VALUES = 5_000_000
DEEPEST_TEXT = 3

AUTO_MAP = Rule(
    "hub.auto_map",
    "suspicious",
    SUPPLY_CHAIN_MODEL,
    "with trust_remote_code imports the module that comes with the model and runs it",
)
REMOTE = Rule("hub.remote_code", "suspicious", SUPPLY_CHAIN_MODEL, "fetches code from another repository and runs it")
TRUST = Rule(
    "hub.trust_remote_code", "suspicious", SUPPLY_CHAIN_MODEL, "runs code that comes with a model without asking"
)
KERNEL = Rule("hub.kernel", "suspicious", SUPPLY_CHAIN_MODEL, "fetches and loads native code from a repository")
TARGET = Rule("config.target", "malicious", UNSAFE_ARTIFACT, "imports it and calls it with the values beside it")
ODD_TARGET = Rule(
    "config.odd_target", "suspicious", UNSAFE_ARTIFACT, "imports it and calls it with the values beside it"
)
SKOPS = Rule("skops.type", "malicious", UNSAFE_ARTIFACT, "imports it and builds an object of it")
SKOPS_UNKNOWN = Rule("skops.unknown_type", "suspicious", UNSAFE_ARTIFACT, "imports it if the caller trusts it")
OBJECT = Rule("jsonpickle.object", "malicious", UNSAFE_ARTIFACT, "imports it and calls it")
LIBRARY = Rule("hub.foreign_library", "suspicious", SUPPLY_CHAIN_MODEL, "imports a module that is no known library")
CODE = Rule("config.code", "suspicious", UNSAFE_ARTIFACT, "a program that evaluates the value runs it")
COMMAND = Rule("config.command", "malicious", UNSAFE_ARTIFACT, "runs the command by itself")

TARGET_KEYS = frozenset(
    {"_target_", "class_path", "()", "_convert_target_", "__target__", "__factory__", "factory_path"}
)
FOLLOWED_TARGETS = frozenset({"hydra.utils.get_method", "hydra.utils.get_class", "hydra.utils.get_object", "hydra.utils.call",  # noqa: E501
                              "hydra.utils.instantiate", "functools.partial"})  # fmt: skip
COMMAND_KEYS = frozenset({"preinstall", "install", "postinstall", "prepare", "postCreateCommand", "postStartCommand",
                          "postAttachCommand", "initializeCommand", "onCreateCommand", "updateContentCommand"})  # fmt: skip  # noqa: E501
TASK_KEYS = frozenset({"args", "type", "label", "runOptions", "env", "timeout", "matcher"})
"""What stands beside a command that an editor or an assistant starts."""
SKOPS_CALLING = frozenset(
    {"FunctionNode", "MethodNode", "OperatorFuncNode", "ReduceNode", "PartialNode", "TypeNode", "ObjectNode"}
)
SKOPS_OWN = re.compile(
    r"^(?:builtins|numpy|scipy|sklearn|collections|functools|operator|datetime|copyreg|_loss|quantile_forest|xgboost|lightgbm|catboost)(?:\.|$)|^$"
)
_KNOWN_LIBRARIES_WORDS = (
    "transformers diffusers torch peft sentence_transformers onnxruntime stable_diffusion k_diffusion flax null "
    "optimum timm tokenizers safetensors accelerate trl pipelines schedulers models nemo"
)
KNOWN_LIBRARIES = frozenset(_KNOWN_LIBRARIES_WORDS.split())
_CODE = re.compile(
    r"^\s*(?:lambda\b.*?:\s*)?(?:__import__\s*\(|exec\s*\(|eval\s*\(|os\.(?:system|popen)\s*\(|subprocess\.\w+\s*\(|"
    r"import\s+os\s*;|\(\)\.__class__|\w+\.__class__\.__)"
)


def inspect_values(value: Any, inspection: Inspection, member: str | None = None) -> None:
    """Judge every object of a parsed document."""
    for item, key in _objects(value):
        _loaded_code(item, inspection, member)
        _targets(item, inspection, member)
        _skops(item, inspection, member)
        _strings(item, key, inspection, member)
    _lists(value, inspection, member)


def _objects(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    waiting: list[tuple[Any, str]] = [(value, "")]
    seen: set[int] = set()  # YAML's aliases lead to one value many times, and to itself
    while waiting and len(seen) < MOST_VALUES:
        item, key = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            yield item, key
            waiting.extend((inner, str(name)) for name, inner in item.items() if isinstance(inner, dict | list))
        elif isinstance(item, list):
            waiting.extend((inner, key) for inner in item if isinstance(inner, dict | list))


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < DEEPEST_TEXT and isinstance(value, list | dict):
        for inner in (list(value.values()) if isinstance(value, dict) else value)[:100]:
            yield from _texts(inner, depth + 1)


def _loaded_code(item: dict[str, Any], inspection: Inspection, member: str | None) -> None:
    for text in _texts(item.get("auto_map")):
        rule = REMOTE if "--" in text else AUTO_MAP
        inspection.report(rule, f"auto_map names {text[:160]!r}", member=member)
    pipelines = item.get("custom_pipelines")
    if isinstance(pipelines, dict):
        for entry in pipelines.values():
            if isinstance(entry, dict) and isinstance(entry.get("impl"), str):
                inspection.report(AUTO_MAP, f"custom_pipelines names {entry['impl'][:160]!r}", member=member)
    if item.get("trust_remote_code") is True:
        inspection.report(TRUST, "trust_remote_code is true", member=member)
    attention = item.get("attn_implementation", item.get("_attn_implementation"))
    if isinstance(attention, str) and "/" in attention:
        inspection.report(KERNEL, f"attention comes from {attention[:120]!r}", member=member)
    mapping = item.get("auto_mapping")
    if isinstance(mapping, dict) and isinstance(mapping.get("parent_library"), str):
        _library(mapping["parent_library"], "parent_library", inspection, member)
    loader = item.get("loader_module")  # MLflow
    if isinstance(loader, str) and not loader.startswith("mlflow."):
        _library(loader, "loader_module", inspection, member)
    if isinstance(item.get("megatron_core"), str) and item["megatron_core"] != "megatron.core":
        _library(item["megatron_core"], "megatron_core", inspection, member)


def _library(name: str, key: str, inspection: Inspection, member: str | None) -> None:
    if name.partition(".")[0] in KNOWN_LIBRARIES and not name.startswith("transformers_modules"):
        return
    standing, effect = judge_name(f"{name}.X")
    if standing == "harmful":
        inspection.report(TARGET, f"{key} is {name!r}: {effect}"[:200], member=member)
    else:
        inspection.report(LIBRARY, f"{key} is {name!r}"[:200], member=member)


def _targets(item: dict[str, Any], inspection: Inspection, member: str | None) -> None:
    keys = [key for key in TARGET_KEYS if isinstance(item.get(key), str)]
    if isinstance(item.get("target"), str) and ("params" in item or "args" in item or "kwargs" in item):
        keys.append("target")
    if str(item.get("allow_pickle")).lower() == "true" and any(item[key] == "numpy.load" for key in keys):
        inspection.report(
            ODD_TARGET, "numpy.load with allow_pickle", member=member, effect="unpickles the array's objects"
        )
    for key in keys:
        if item[key] not in FOLLOWED_TARGETS:
            _target(key, item[key], inspection, member)
        else:
            for other in ("path", "_args_", "func", "_partial_"):
                for text in _texts(item.get(other)):
                    _target(other, text, inspection, member)
    for key, value in item.items():
        if isinstance(key, str) and key.startswith("py/"):
            for text in _texts(value):
                if judge_name(text)[0] == "harmful" or (
                    key in ("py/repr", "py/reduce") and judge_name(text)[0] != "ordinary"
                ):
                    inspection.report(OBJECT, f"{key} names {text[:120]!r}", member=member)


def _target(key: str, name: str, inspection: Inspection, member: str | None) -> None:
    standing, effect = judge_name(name)
    if name.startswith("hydra._internal."):
        standing, effect = "harmful", "imports any module"
    if standing == "harmful":
        inspection.report(TARGET, f"{key} is {name[:160]!r}", member=member, effect=f"imports and calls it: {effect}")
    elif standing == "unknown" and effect:
        inspection.report(ODD_TARGET, f"{key} is {name[:160]!r}: {effect}", member=member)


def _skops(item: dict[str, Any], inspection: Inspection, member: str | None) -> None:
    module, name = item.get("__module__"), item.get("__class__")
    if not isinstance(name, str) or not isinstance(module, str) or "__loader__" not in item:
        return
    content = item.get("content")
    function = content.get("function") if isinstance(content, dict) else None
    for dotted in [f"{module}.{name}", *([function] if isinstance(function, str) else [])]:
        if isinstance(function, dict):
            continue
        standing, effect = judge_name(dotted)
        if standing == "harmful":
            inspection.report(SKOPS, dotted[:200], member=member, effect=f"imports it and uses it: {effect}")
        elif not SKOPS_OWN.match(module):
            inspection.report(SKOPS_UNKNOWN, dotted[:200], member=member)
    if item["__loader__"] == "OperatorFuncNode":
        for taken in _operands(item.get("attrs")):
            said = f"{module}.{name} of {taken!r}"
            inspection.report(SKOPS, said[:200], member=member, effect="reaches any attribute")
    if isinstance(content, dict) and isinstance(function, dict):
        dotted = f"{function.get('module_path', '')}.{function.get('function', '')}"
        standing, _ = judge_name(dotted)
        if standing == "harmful":
            inspection.report(SKOPS, dotted[:200], member=member)
        elif not SKOPS_OWN.match(dotted):
            inspection.report(SKOPS_UNKNOWN, dotted[:200], member=member)
    if isinstance(content, dict) and isinstance(content.get("module_path"), str):
        dotted = f"{content['module_path']}.{content.get('function', content.get('attr', ''))}"
        if judge_name(dotted)[0] == "harmful":
            inspection.report(SKOPS, dotted[:200], member=member)


def _operands(attributes: Any) -> Iterator[str]:
    """Names given to ``operator.methodcaller`` and its like that mean harm whatever they are taken from."""
    if isinstance(attributes, dict) and isinstance(attributes.get("content"), list):
        attributes = attributes["content"]
    for node in attributes if isinstance(attributes, list) else [attributes]:
        text = node.get("content") if isinstance(node, dict) else None
        for part in text.strip('"').split(".") if isinstance(text, str) else ():
            if is_way_out(part) or (part.startswith("__") and part.endswith("__")):
                yield part


def _strings(item: dict[str, Any], owner: str, inspection: Inspection, member: str | None) -> None:
    for key, value in item.items():
        if not isinstance(value, str) or not isinstance(key, str):
            continue
        if ("template" in key or owner == "chat_template") and is_template(value):
            report_acts(
                judge_template(value), always("suspicious", "template_import"), "template", inspection, f"{key}, "
            )
        elif len(value) < 4096 and _CODE.match(value):
            inspection.report(CODE, f"{key} is code: {value[:120]!r}", member=member)
        if (key in COMMAND_KEYS or (key == "command" and item.keys() & TASK_KEYS)) and len(value) < 65536:
            given = item.get("args")
            words = (
                [part for part in given if isinstance(part, str)]
                if key == "command" and isinstance(given, list)
                else []
            )
            judgement, why = judge_command(" ".join([value, *words]))
            if judgement == "bad":
                inspection.report(COMMAND, f"{key}: {why}: {value[:120]!r}", member=member)


def _lists(value: Any, inspection: Inspection, member: str | None) -> None:
    if isinstance(value, list):  # sentence-transformers' modules.json
        for item in value[:1000]:
            if (
                isinstance(item, dict)
                and {"idx", "name", "path", "type"} <= item.keys()
                and isinstance(item["type"], str)
            ):
                name = item["type"]
                if not name.startswith("sentence_transformers."):
                    rule = TARGET if judge_name(name)[0] == "harmful" else LIBRARY
                    inspection.report(rule, f"a module of type {name[:160]!r}", member=member)
    elif isinstance(value, dict) and "_class_name" in value:  # diffusers' model_index.json
        named = value["_class_name"]
        if isinstance(named, list) and named and isinstance(named[0], str):
            inspection.report(AUTO_MAP, f"_class_name is {named!r}"[:200], member=member)
        for key, item in value.items():
            if key.startswith("_") or not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):
                continue
            if item[0].partition(".")[0] not in KNOWN_LIBRARIES and isinstance(item[1], str):
                harmful = judge_name(f"{item[0]}.{item[1]}")[0] == "harmful"
                inspection.report(TARGET if harmful else LIBRARY, f"{key} is {item[0]}.{item[1]}"[:200], member=member)


__all__ = ["DOTTED", "inspect_values"]
