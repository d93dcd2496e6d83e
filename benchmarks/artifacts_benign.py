# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Benign artefacts, really made with the frameworks; for benchmarks/artifacts.py.

    PYTHON benchmarks/artifacts_benign.py FOLDER

PYTHON is one that has torch, torchvision, scikit-learn, scipy, pandas, joblib, lightgbm and xgboost (made with torch
2.15, scikit-learn 1.9, pandas 3.1, xgboost 3.2); it needs nothing of Casemate.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import functools
import operator
import pathlib
import pickle
import re
import sys
import uuid
import warnings
import zoneinfo
from collections.abc import Callable
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import scipy.sparse
import scipy.stats
import sklearn
import sklearn.linear_model
import torch
import torchvision
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import all_estimators
from torch import nn

CHANCE = np.random.default_rng(0)
ROWS = CHANCE.random((60, 5))
CLASSES = (ROWS[:, 0] > 0.5).astype(int)
VALUES = ROWS[:, 1] * 3
ZONE = zoneinfo.ZoneInfo("Europe/Berlin")


def look_alikes() -> dict[str, Any]:
    """Plain objects, some of which read like harm."""
    return {
        "plain": [1, 2.5, "x", None, True, b"b", (1,), {2}, frozenset({3}), 1 << 80, bytearray(b"x"), 1j, range(3)],
        "containers": [collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]), collections.Counter("ab")],
        "times": [datetime.datetime.now(ZONE), datetime.timedelta(1), datetime.UTC],
        "numbers": [decimal.Decimal("1.5"), uuid.uuid4(), pathlib.PurePosixPath("/a")],
        "functions": [functools.partial(np.mean, axis=0), np.log1p, str.lower, operator.itemgetter(1), len],
        "arguments": argparse.Namespace(lr=0.1, command="python train.py"),
        "words": {"os.system": "import os; os.system('x')", "__import__": "eval(", "cmd": "rm -rf /"},
        "vocabulary": {word: i for i, word in enumerate(["eval", "exec", "system", "os", "cos\nsystem\n(S'x'\ntR."])},
        "pattern": re.compile(r"os\.system\("),
        "errors": [ValueError("x"), OSError(2, "no")],
        "types": [int, np.float32, np.dtype("f4"), type(None), ..., NotImplemented],
    }


def frames() -> dict[str, Any]:
    """pandas objects of many types."""
    frame = pd.DataFrame({
        "a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"]),
        "t": pd.to_datetime(["2020-01-01", "2021-01-01"]).tz_localize("Europe/Berlin"),
        "p": pd.period_range("2020", periods=2), "i": pd.array([1, None], dtype="Int64"),
        "v": pd.interval_range(0, 2), "d": pd.to_timedelta([1, 2], unit="D"),
        "o": pd.array([True, None], dtype="boolean"), "f": pd.array([1.0, None], dtype="Float64"),
    })  # fmt: skip
    return {
        "frame": frame,
        "frame-levels": frame.set_index(["a", "b"]),
        "series": frame["t"],
        "indexes": [pd.date_range("2020", periods=3, freq="ME"), pd.Timestamp.now("UTC"), pd.Period("2020"), pd.NaT],
    }


def fitted() -> dict[str, Any]:
    """Every estimator of scikit-learn that fits a few rows, and boosters."""
    found: dict[str, Any] = {}
    for name, kind in all_estimators():
        try:
            try:
                made = kind()
            except TypeError:
                made = kind(sklearn.linear_model.LogisticRegression())
            made.fit(np.abs(ROWS), VALUES if sklearn.base.is_regressor(made) else CLASSES)
            found[f"sklearn-{name}"] = made
        except Exception:
            continue
    pipeline = make_pipeline(StandardScaler(), FunctionTransformer(np.log1p), RandomForestClassifier(20))
    found["pipeline"] = pipeline.fit(np.abs(ROWS), CLASSES)
    found["search"] = GridSearchCV(SVC(), {"C": [1, 2]}, scoring="f1", cv=3).fit(ROWS, CLASSES)
    found["search-random"] = RandomizedSearchCV(SVC(), {"C": scipy.stats.uniform(0.1, 2)}, n_iter=2, cv=3).fit(
        ROWS, CLASSES
    )
    found["lightgbm"] = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(ROWS, CLASSES)
    found["xgboost"] = xgboost.XGBClassifier(n_estimators=3).fit(ROWS, CLASSES)
    return found


def networks() -> dict[str, Any]:
    """What torch.save is given."""
    small = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(small.parameters())
    return {
        "state": small.state_dict(),
        "model": small,
        "checkpoint": {"epoch": 3, "model": small.state_dict(), "optimizer": optimizer.state_dict(), "lr": 0.1},
        "optimizer": optimizer,
        "lstm": nn.LSTM(3, 4),
        "transformer": nn.Transformer(16, 2, 1, 1),
        "encoder": nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, activation="gelu"), 2),
        "embedding": nn.EmbeddingBag(4, 3),
        "loss": nn.CrossEntropyLoss(),
        "resnet": torchvision.models.resnet18(),
        "mobilenet": torchvision.models.mobilenet_v3_small().state_dict(),
        "types": [torch.ones(2, dtype=kind) for kind in (torch.float16, torch.bfloat16, torch.int8, torch.bool)],
        "kinds": {"sparse": torch.eye(3).to_sparse(),
                  "parameter": nn.Parameter(torch.ones(2)), "cpu": torch.device("cpu"),
                  "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "type": torch.float32},
        "view": torch.ones(1000)[3:5],
    }  # fmt: skip


def main(folder: pathlib.Path) -> None:
    """Write all artefacts."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)

    def save(name: str, write: Callable[[str], Any]) -> None:
        try:
            write(str(folder / name))
        except Exception as error:
            (folder / name).unlink(missing_ok=True)
            print(f"not made: {name} ({error})", file=sys.stderr)

    for name, thing in {**look_alikes(), **frames()}.items():
        for protocol in range(6):
            save(
                f"{name}.{protocol}.pkl",
                lambda path, o=thing, p=protocol: pathlib.Path(path).write_bytes(pickle.dumps(o, p)),
            )
    for name, thing in fitted().items():
        save(f"{name}.pkl", lambda path, o=thing: pathlib.Path(path).write_bytes(pickle.dumps(o)))
        save(f"{name}.joblib", lambda path, o=thing: joblib.dump(o, path))
    pipeline = fitted()["pipeline"]
    for method in ("zlib", "gzip", "bz2", "lzma", "xz", "lz4"):
        save(f"pipeline-{method}.joblib", lambda path, how=method: joblib.dump(pipeline, path, compress=(how, 3)))
    arrays = {"a": np.arange(1000), "o": np.array([1, "x", None], object), "f": np.asfortranarray(ROWS)}
    save("arrays.joblib", lambda path: joblib.dump(arrays, path))
    save("sparse.joblib", lambda path: joblib.dump(scipy.sparse.csr_matrix(ROWS), path))
    save("rows.npy", lambda path: np.save(path, ROWS))
    save("objects.npy", lambda path: np.save(path, np.array([{"a": 1}, None], object), allow_pickle=True))
    save("rows.npz", lambda path: np.savez(path, a=ROWS, b=CLASSES))
    save("packed.npz", lambda path: np.savez_compressed(path, a=ROWS, o=np.array([1, "x"], object)))
    for ending in ("gz", "bz2", "xz", "zip"):
        save(f"frame.pkl.{ending}", lambda path: frames()["frame"].to_pickle(path))
    for name, thing in networks().items():
        save(f"torch-{name}.pt", lambda path, o=thing: torch.save(o, path))
        save(f"torch-{name}-old.pt", lambda path, o=thing: torch.save(o, path, _use_new_zipfile_serialization=False))
        save(f"torch-{name}.pkl", lambda path, o=thing: pathlib.Path(path).write_bytes(pickle.dumps(o)))
    script = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    save("torch-script.pt", lambda path: script.save(path))
    save("torch-trace.pt", lambda path: torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(path))
    print(f"{sum(1 for _ in folder.iterdir())} files in {folder}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
