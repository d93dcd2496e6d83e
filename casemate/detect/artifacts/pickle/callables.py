"""Callables that run code, reach out or change the program, and what a name means to a loader.

Three tables, from exact to general: names, modules (with everything below them) and last words of a name that mean the
same in any module.  A name in none of them and not in :data:`~casemate.detect.artifacts.pickle.names.ALLOWED` is
unknown: it may do anything, and nothing is known against it.
"""

from __future__ import annotations

import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from casemate.detect.artifacts.pickle import harmful
from casemate.detect.artifacts.pickle.names import ALLOWED


class Standing(Enum):
    """What is known of a name."""

    ALLOWED = "allowed"
    FOLLOWED = "followed"
    """It passes on what it is given (``getattr``, ``functools.partial``): its use is judged."""
    HARMFUL = "harmful"
    UNKNOWN = "unknown"


class Known(NamedTuple):
    """A name's standing, and for a harmful one what it does."""

    standing: Standing
    effect: str


TORCHSCRIPT = "__torch__"
"""Types of a TorchScript archive, defined by the code in it and resolved there; no Python module has this name."""
FOLLOWED: frozenset[str] = frozenset(harmful.FOLLOWED.split())
_CODE_WORDS = re.compile(
    r"__import__|\bimport\s+(os|sys|subprocess|socket|builtins|ctypes|pty|shutil|urllib|requests|base64|pickle|http)\b"
    r"|\bos\.(system|popen|exec|spawn|environ|remove)|\bsubprocess\b|\b(exec|eval|compile)\s*\(|\bsocket\.|\bopen\s*\("
    r"|\b(curl|wget|nc|ncat|bash|sh|zsh|powershell|cmd(\.exe)?|python3?|perl|ruby)\s+(-|/|\w+://|'|\")"
    r"|/bin/(ba|z|da)?sh|/dev/tcp/|\bchmod\s+\+?[0-7x]|\brm\s+-|;\s*(id|whoami|touch|cat|curl|wget)\b"
    r"|\b(lambda\s*\w*\s*:|print\s*\()",
    re.IGNORECASE,
)

EXACT: dict[tuple[str, str], str] = {
    (dotted.rpartition(".")[0], dotted.rpartition(".")[2]): effect
    for effect, names in harmful.NAMES.items()
    for dotted in names.split()
}
BELOW: dict[str, str] = {module: effect for effect, modules in harmful.MODULES.items() for module in modules.split()}
LAST: dict[str, str] = {word: effect for effect, words in harmful.LAST_WORDS.items() for word in words.split()}
METHODS: dict[str, str] = {word: effect for effect, words in harmful.HARMFUL_METHODS.items() for word in words.split()}
STANDARD_LIBRARY = frozenset(sys.stdlib_module_names) | {
    "__builtin__",
    "test",
    "distutils",
    "lib2to3",
    "imp",
    "asyncore",
}
LIBRARIES = frozenset(
    [
        "numpy",
        "scipy",
        "pandas",
        "sklearn",
        "torch",
        "torchvision",
        "torchaudio",
        "torchtext",
        "tensorflow",
        "keras",
        "jax",
        "flax",
        "xgboost",
        "lightgbm",
        "catboost",
        "joblib",
        "transformers",
        "datasets",
        "diffusers",
        "accelerate",
        "onnx",
        "onnxruntime",
        "h5py",
        "PIL",
        "matplotlib",
        "cv2",
        "spacy",
        "thinc",
        "gensim",
        "nltk",
        "pyarrow",
        "statsmodels",
        "skimage",
        "networkx",
        "safetensors",
        "tokenizers",
        "huggingface_hub",
        "pytorch_lightning",
    ]
)
"""Whose modules hold no classes of a user: a dotted name in them leads to what is not meant to be pickled."""


def renamed(module: str, name: str) -> tuple[str, str]:
    """The name as Python 3 has it (``fix_imports``: CPython's ``Lib/_compat_pickle.py``)."""
    moved = NAME_MAPPING.get((module, name))
    if moved is not None:
        return moved
    return IMPORT_MAPPING.get(module, module), name


@lru_cache(maxsize=65536)
def known(module: str, name: str) -> Known:
    """What is known of ``module.name`` (already :func:`renamed`)."""
    if f"{module}.{name}" in FOLLOWED:
        return Known(Standing.FOLLOWED, harmful.CALLS)
    if (module, name) in ALLOWED or module == TORCHSCRIPT or module.startswith(TORCHSCRIPT + "."):
        return Known(Standing.ALLOWED, "")
    effect = _harm(module, name)
    return Known(Standing.HARMFUL, effect) if effect else Known(Standing.UNKNOWN, "")


def _harm(module: str, name: str) -> str | None:
    exact = EXACT.get((module, name))
    if exact:
        return exact
    parts = name.split(".")
    for part in parts:
        if is_way_out(part):
            return LAST.get(part) or LAST[part.lstrip("_")]
    if any(part.startswith("__") and part.endswith("__") for part in parts) and name != "__version__":
        return harmful.ATTRIBUTES
    below = module
    while below:
        if below in BELOW:
            return BELOW[below]
        below = below.rpartition(".")[0]
    if len(parts) > 1:  # a path: what it leads through may be a module (torch.os.system) or a class
        inner = _harm(".".join(parts[:-1]), parts[-1])
        if inner:
            return inner
        first = _harm(module, parts[0])
        if first:
            return first
    if module.split(".", 1)[0] in STANDARD_LIBRARY and _is_function(parts[-1]):
        return harmful.CODE if len(parts) > 1 else None
    return None


def is_library(module: str) -> bool:
    """Whether the module is one of the standard library or a well-known framework."""
    root = module.split(".", 1)[0]
    return root in STANDARD_LIBRARY or root in LIBRARIES


def is_numerical(module: str) -> bool:
    """Whether the module is of a library whose pickles are known by heart: what is not allowed has no place there."""
    return module.split(".", 1)[0] in ("torch", "numpy", "scipy", "pandas", "sklearn", "joblib")


def is_standard(module: str) -> bool:
    """Whether the module is of the standard library."""
    return module.split(".", 1)[0] in STANDARD_LIBRARY


def is_way_out(part: str) -> bool:
    """Whether a name means harm whatever it is taken from: ``system``, ``os``, also ``_os`` as modules import it."""
    return part in LAST or LAST.get(part.lstrip("_")) == harmful.PROGRAM


def _is_function(name: str) -> bool:
    return not name.lstrip("_")[:1].isupper()


def is_function(name: str) -> bool:
    """Whether the last part of the name looks like a function's (classes are written in capitals)."""
    return _is_function(name.rpartition(".")[2])


COMMAND_WORDS = re.compile(
    r"^\s*(echo|touch|cat|ls|mkdir|kill|chown|nohup|sudo|ssh|scp|id|whoami|uname|hostname|calc(\.exe)?|ping|env)\b(?!\.)"
)


def reads_like_command(text: str) -> bool:
    """Whether the text begins with a program's name; words of a language do too, so it only counts for functions."""
    return bool(COMMAND_WORDS.search(text[:1000]))


def reads_like_code(text: str) -> bool:
    """Whether the text reads like a program or a command line."""
    return bool(_CODE_WORDS.search(text[:100_000]))
