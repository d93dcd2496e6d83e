"""Dotted names that a configuration tells a program to import and call: Hydra, skops, Keras, logging, jsonpickle."""

from __future__ import annotations

import re
from typing import Literal

from casemate.detect.artifacts.pickle import harmful
from casemate.detect.artifacts.pickle.callables import LIBRARIES, Standing, known

Standing3 = Literal["harmful", "ordinary", "unknown"]

DOTTED = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)+")
_MILD = (harmful.NETWORK, harmful.FILES, harmful.CALLS, harmful.PROGRAM, harmful.UNPICKLES, harmful.CODE)
_SEVERE = re.compile(
    r"^(?:os|posix|nt|subprocess|pty|commands|builtins|__builtin__|socket|ctypes|_ctypes|cffi|code|runpy|importlib|shutil|sys|"
    r"pickle|_pickle|dill|cloudpickle|marshal|webbrowser|platform|asyncio|multiprocessing|pip|urllib|http|ftplib|smtplib|"
    r"requests|httpx|tempfile|timeit|pdb|bdb|cProfile|profile|trace|types|operator|functools|logging\.config|"
    r"torch\.hub|torch\.utils\.cpp_extension|numpy\.f2py|numpy\.testing|pandas\.eval|pandas\.io|joblib\.load|pydoc)(?:\.|$)"
)
__ORDINARY_WORDS = (
    "builtins.dict builtins.list builtins.tuple builtins.set builtins.str builtins.int builtins.float "
    "builtins.bool builtins.frozenset builtins.bytes builtins.slice builtins.range builtins.object builtins.type "
    "builtins.complex builtins.len builtins.sum builtins.max builtins.min builtins.zip builtins.enumerate "
    "builtins.NoneType functools.partial operator.itemgetter operator.attrgetter operator.methodcaller "
    "types.SimpleNamespace collections.OrderedDict collections.defaultdict pathlib.Path tempfile.mkdtemp "
    "logging.getLogger logging.StreamHandler logging.Formatter logging.FileHandler "
    "logging.handlers.RotatingFileHandler datetime.datetime datetime.timedelta datetime.date uuid.uuid4 "
    "os.path.join os.getcwd os.cpu_count operator.add operator.mul operator.sub operator.truediv"
)
_ORDINARY = frozenset(__ORDINARY_WORDS.split())


def judge_name(dotted: str) -> tuple[Standing3, str]:
    """What calling `dotted` would do, as far as its name says.

    Returns:
        ``harmful`` with what it does; ``ordinary`` for what well-known libraries define; else ``unknown``.
    """
    dotted = dotted.replace(":", ".")
    if dotted in _ORDINARY:
        return "ordinary", ""
    module, _, name = dotted.rpartition(".")
    found = known(module, name)
    top = dotted.partition(".")[0]
    if found.standing is Standing.HARMFUL:
        if _SEVERE.match(dotted) or found.effect not in _MILD:
            return "harmful", found.effect
        return "unknown" if found.effect in (harmful.CODE, harmful.UNPICKLES) else "ordinary", found.effect
    if found.standing is Standing.FOLLOWED and _SEVERE.match(dotted):
        return "unknown", "passes on what it is given"
    if found.standing is Standing.ALLOWED or top in LIBRARIES or top in _FRAMEWORKS:
        return "ordinary", ""
    return "unknown", ""


__FRAMEWORKS_WORDS = (
    "lightning hydra omegaconf timm monai segmentation_models_pytorch torchmetrics wandb mlflow ldm sgm diffusers "
    "peft trl sentence_transformers tf_keras keras_nlp keras_hub keras_cv keras_core tensorflow_addons "
    "tensorflow_text skops quantile_forest imblearn optax flax haiku jaxtyping transformer_engine megatron nemo "
    "detectron2 mmcv mmdet ultralytics albumentations fairseq espnet speechbrain asteroid dgl torch_geometric ray "
    "tune optuna kornia einops bitsandbytes"
)
_FRAMEWORKS = frozenset(__FRAMEWORKS_WORDS.split())
