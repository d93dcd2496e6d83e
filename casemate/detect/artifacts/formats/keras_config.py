"""Keras' JSON description of a model, wherever it stands: ``config.json`` in ``.keras``, ``model_config`` in HDF5.

Source: ``keras/src/saving/serialization_lib.py`` (``deserialize_keras_object`` imports ``module`` and takes
``class_name`` from it; ``__lambda__`` carries marshalled code), ``keras/src/layers/core/lambda_layer.py``,
``keras/src/export/tfsm_layer.py``; CVE-2024-3660, CVE-2025-1550, CVE-2025-9906, CVE-2025-12058.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from casemate.detect.artifacts.contract import EMBED_MALWARE, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.names import judge_name

MOST_OBJECTS = 2_000_000

LAMBDA = Rule("keras.lambda", "malicious", EMBED_MALWARE, "builds a function from the code in the file and calls it")
NAMED_LAMBDA = Rule("keras.named_lambda", "suspicious", UNSAFE_ARTIFACT, "calls a function of that name")
FOREIGN = Rule("keras.foreign_module", "suspicious", UNSAFE_ARTIFACT, "imports a module that is no part of Keras")
HARMFUL = Rule("keras.harmful_object", "malicious", UNSAFE_ARTIFACT, "imports and calls it")
SAVED_MODEL = Rule("keras.tfsm_layer", "malicious", UNSAFE_ARTIFACT, "loads a TensorFlow SavedModel and runs its graph")
READS = Rule("keras.reads_file", "suspicious", UNSAFE_ARTIFACT, "reads the file when the model is built")
CUSTOM = Rule("keras.custom_object", "note", None, "asks its caller for the class of that name")

OWN_MODULES = re.compile(
    r"(?:keras|tf_keras|keras_nlp|keras_hub|keras_cv|keras_core|tensorflow|tensorflow_text|tensorflow_addons)(?:\.|$)"
)
_HARMFUL_NAMES_WORDS = (
    "get_file load_model load_weights enable_unsafe_deserialization extract_archive model_from_json "
    "model_from_config model_from_yaml deserialize_keras_object func_load load_img save_img save_model "
    "set_backend pop_object run_eagerly py_function numpy_function load_library load_op_library import_graph_def "
    "gfile"
)
HARMFUL_NAMES = frozenset(_HARMFUL_NAMES_WORDS.split())
HARMFUL_OPERATORS = frozenset(
    {"write_file", "read_file", "py_function", "py_func", "numpy_function", "load_op_library", "load_library",
     "WriteFile", "ReadFile", "PyFunc", "EagerPyFunc", "save", "load", "import_graph_def", "matching_files"}
)  # fmt: skip
VOCABULARIES = frozenset({"TextVectorization", "StringLookup", "IntegerLookup", "IndexLookup", "Hashing"})
PLAIN_BUILTINS = frozenset(
    {"dict", "list", "tuple", "set", "str", "int", "float", "bool", "slice", "NoneType", "Ellipsis", "bytes"}
)


def looks_like_keras(value: Any) -> bool:
    """Whether a JSON object is a description of a Keras model."""
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def inspect_keras(value: Any, inspection: Inspection, member: str | None = None) -> None:
    """Judge a description and everything nested in it."""
    for item in _objects(value):
        _object(item, inspection, member)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    waiting: list[Any] = [value]
    seen: set[int] = set()
    while waiting and len(seen) < MOST_OBJECTS:
        item = waiting.pop()
        if not isinstance(item, dict | list) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _object(item: dict[str, Any], inspection: Inspection, member: str | None) -> None:
    name, config, module = item.get("class_name"), item.get("config"), item.get("module")
    if not isinstance(name, str):
        return
    word = re.split(r"[.>]", name)[-1]
    if name == "__lambda__" or (
        isinstance(config, dict) and isinstance(config.get("code"), str) and "closure" in config
    ):
        inspection.report(LAMBDA, "a lambda with marshalled code", member=member)
    elif _marshalled(config):
        inspection.report(LAMBDA, f"{name[:80]!r} with marshalled code", member=member)
    elif word == "Lambda" and isinstance(config, dict):
        _lambda(config, inspection, member)
    elif word == "TFOpLambda" and isinstance(config, dict) and isinstance(config.get("function"), str):
        called = config["function"]  # a name that TensorFlow exports
        if called.rpartition(".")[2] in HARMFUL_OPERATORS or judge_name(called)[0] == "harmful":
            inspection.report(HARMFUL, f"TFOpLambda of {called!r}"[:200], member=member)
    elif word == "TFSMLayer":
        path = config.get("filepath") if isinstance(config, dict) else None
        inspection.report(SAVED_MODEL, f"TFSMLayer of {path!r}"[:200], member=member)
    if word in VOCABULARIES and isinstance(config, dict):
        for key in ("vocabulary", "idf_weights"):
            if isinstance(config.get(key), str):
                inspection.report(READS, f"{word} takes its {key} from {config[key]!r}"[:200], member=member)
    if not isinstance(module, str):
        if isinstance(item.get("registered_name"), str) and ">" in item["registered_name"]:
            inspection.report(CUSTOM, f"{item['registered_name']!r} must be registered"[:200], member=member)
        return
    # keras takes a function's name from `config`
    called = config if name in ("function", "class") and isinstance(config, str) else name
    standing, effect = judge_name(f"{module}.{called}")
    if standing == "harmful" or (OWN_MODULES.match(module) and called.rpartition(".")[2] in HARMFUL_NAMES):
        inspection.report(HARMFUL, f"{module}.{called}"[:200], member=member, effect=effect or None)
    elif module == "builtins":  # a function of the caller's own has this module
        if called not in PLAIN_BUILTINS:
            inspection.report(CUSTOM, f"{called!r} must be registered"[:200], member=member)
    elif not OWN_MODULES.match(module) and not (standing == "ordinary" and module.startswith("numpy")):
        inspection.report(FOREIGN, f"{module}.{called}"[:200], member=member)


def _marshalled(config: Any) -> bool:
    """Whether a function is given as marshalled code: text in base64, or a list that begins with it."""
    first = config[0] if isinstance(config, list) and config else config
    return isinstance(first, str) and len(first) > 12 and first.startswith(("4wAAAA", "4wEAAAA", "YwAAAA", "YwEAAAA"))


def _lambda(config: dict[str, Any], inspection: Inspection, member: str | None) -> None:
    for key in ("function", "output_shape", "mask"):
        value = config.get(key)
        if (isinstance(value, list) and value and isinstance(value[0], str) and key == "function") or (
            isinstance(value, dict) and value.get("class_name") == "__lambda__"
        ):
            inspection.report(LAMBDA, "a Lambda layer with marshalled code", member=member)
        elif isinstance(value, str) and key == "function":
            coded = len(value) > 40 or config.get("function_type") == "lambda"
            rule = LAMBDA if coded else NAMED_LAMBDA
            inspection.report(rule, f"a Lambda layer whose function is {value[:60]!r}", member=member)
        elif isinstance(value, dict) and key == "function":
            inspection.report(
                NAMED_LAMBDA, f"a Lambda layer whose function is {value.get('config')!r}"[:120], member=member
            )
    if "function" not in config:
        inspection.report(NAMED_LAMBDA, "a Lambda layer", member=member)
