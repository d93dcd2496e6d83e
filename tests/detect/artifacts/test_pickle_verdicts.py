"""What streams are called: harm by name, by chain, by state; harmless look-alikes stay safe."""

from __future__ import annotations

import argparse
import base64
import collections
import datetime
import decimal
import fractions
import functools
import operator
import pathlib
import pickle
import re
import uuid
import zlib
import zoneinfo
from typing import Any

import numpy as np
import pytest
from artifact_samples import BAD, GOOD, calls, codes, named, stream, text, verdict

COMMAND = text("echo canary")


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("posix", "popen"), ("subprocess", "Popen"), ("builtins", "eval"), ("runpy", "run_path"),
     ("torch.hub", "load"), ("numpy.testing._private.utils", "runstring"), ("ctypes", "CDLL"), ("pty", "spawn"),
     ("torch", "os.system"), ("collections", "__builtins__.get"), ("idlelib.run", "Executive.runcode")],
)  # fmt: skip
def test_known_code_execution_is_malicious(module: str, name: str) -> None:
    found = verdict(stream(calls(module, name, COMMAND)))
    assert found.verdict == "malicious"
    reason = next(reason for reason in found.reasons if reason.code == "pickle.calls")
    assert "echo canary" in reason.loader_effect
    assert reason.offset is not None
    assert reason.technique


def test_a_harmful_name_counts_without_a_call() -> None:
    found = verdict(stream(calls("collections", "defaultdict", named("os", "abort"))))
    assert (found.verdict, codes(found)) == ("malicious", {"pickle.imports"})


@pytest.mark.parametrize(
    "body",
    [
        calls("builtins", "getattr", calls("builtins", "__import__", text("os")), text("system")),
        calls("operator", "attrgetter", text("system")) + b"(" + calls("imp", "reload", text("os")) + b"tR",
        calls("operator", "methodcaller", text("system"), COMMAND),
        calls("functools", "partial", named("os", "system")),
        calls("functools", "reduce", named("os", "system"), b"](" + COMMAND + b"K\x01e"),
        calls("builtins", "map", named("os", "system"), b"](" + COMMAND + b"e"),
        calls("numpy.core", "_ufunc_reconstruct", text("os"), text("system")),
        calls("torch._tensor", "_rebuild_from_type_v2", named("os", "system"), b"N", b"(" + COMMAND + b"t", b"N"),
        calls("copyreg", "__newobj__", named("subprocess", "Popen"), COMMAND),
        calls("builtins", "getattr", named("torch", "os"), text("system")),
        calls("builtins", "getattr", named("collections", "OrderedDict"), text("__globals__")),
        calls("numpy", "memmap", text("canary"), text("uint8"), text("w+")),
    ],
)  # fmt: skip
def test_chains_are_followed_to_their_end(body: bytes) -> None:
    assert verdict(stream(body)).verdict == "malicious"


@pytest.mark.parametrize("pack", [lambda data: data, zlib.compress])
def test_data_that_torch_would_load_is_looked_into(pack: Any) -> None:
    inner = pack(BAD)
    body = calls("torch.storage", "_load_from_bytes", b"B" + len(inner).to_bytes(4, "little") + inner)
    found = verdict(stream(body))
    assert found.verdict == "malicious"
    assert any(reason.path_inside.startswith("torch at") for reason in found.reasons)


def test_a_loading_function_that_is_only_stored_is_suspicious() -> None:
    body = b"](" + named("torch.storage", "_load_from_bytes") + b"e"
    assert codes(verdict(stream(body))) == {"pickle.passed_on"}


@pytest.mark.parametrize(
    "body",
    [
        named("sys", "path") + text("/canary") + b"a",
        named("os", "environ") + text("A") + text("B") + b"s",
        named("collections", "OrderedDict") + b"}" + text("a") + b"K\x01sb",
        named("torch", "_utils") + b"}" + text("builtins") + b"K\x01sb",
    ],
)
def test_changes_of_the_program_are_malicious(body: bytes) -> None:
    assert verdict(stream(body)).verdict == "malicious"


def test_unknown_classes_are_suspicious_and_unknown_calls_of_code_malicious() -> None:
    assert verdict(stream(named("my_project.models", "Net") + b")\x81")).verdict == "suspicious"
    assert verdict(stream(calls("my_project.tools", "run", text("import os; os.getcwd()")))).verdict == "malicious"


@pytest.mark.parametrize("ending", [b"", b"\xff", b"h\x63", b"000.", b"X\xff\xff\xff\x7f", b"p-1\n."])
def test_a_break_after_the_call_does_not_hide_it(ending: bytes) -> None:
    found = verdict(b"\x80\x04" + calls("os", "system", COMMAND) + ending)
    assert found.verdict == "malicious"
    assert "pickle.broken" in codes(found)


def test_a_broken_stream_is_unscannable() -> None:
    found = verdict(b"\x80\x04](K\x01")
    assert (found.verdict, codes(found)) == ("unscannable", {"pickle.broken"})


@pytest.mark.parametrize("between", [b"", b"\0" * 100, b"\n"])
def test_later_streams_count(between: bytes) -> None:
    assert verdict(GOOD + between + BAD).verdict == "malicious"
    assert verdict(GOOD + between + GOOD).verdict == "safe"


def test_a_pickle_behind_text_is_found() -> None:
    found = verdict(b"A model card.\n\n" + BAD, "card.txt")
    assert found.verdict == "malicious"
    assert "pickle.embedded" in codes(found)


def test_bytes_after_the_stream_are_not_safe() -> None:
    assert verdict(GOOD + bytes(range(200, 256))).verdict == "unscannable"


ORDINARY: dict[str, Any] = {
    "values": [1, 2.5, "x", None, True, b"b", (1,), {2}, frozenset({3}), 1 << 80, bytearray(b"x"), 1j, range(3)],
    "containers": [collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]), collections.Counter("ab")],
    "times": [datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")), datetime.timedelta(1), datetime.UTC],
    "numbers": [decimal.Decimal("1.5"), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.PurePosixPath("/a")],
    "functions": [functools.partial(np.mean, axis=0), np.log1p, str.lower, operator.itemgetter(1), len],
    "arguments": argparse.Namespace(lr=0.1, command="python train.py"),
    "patterns": re.compile("os\\.system\\("),
    "look-alikes": ["cos\nsystem\n(S'x'\ntR.", "__import__('os').system('x')", "builtins", "eval", "os", "system"],
    "errors": [ValueError("x"), OSError(2, "no")],
    "arrays": [np.arange(5), np.array([None, "a"], object), np.float64(1), np.ma.array([1], mask=[True])],
    "random": [np.random.default_rng(0), np.random.RandomState(0)],
    "types": [int, np.float32, np.dtype("f4"), type(None), ..., NotImplemented],
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_objects_are_safe_in_every_protocol(name: str, protocol: int) -> None:
    found = verdict(pickle.dumps(ORDINARY[name], protocol))
    assert (found.verdict, found.reasons) == ("safe", ())


def test_scipys_distributions_run_their_state() -> None:
    made = named("scipy.stats._continuous_distns", "norm_gen") + b")\x81}" + text("_parse_arg_template")
    honest = (
        "\ndef _parse_args(self,  loc=0, scale=1):\n    return (), loc, scale\n"
        "\ndef _parse_args_rvs(self,  loc=0, scale=1, size=None):\n"
        "    return self._argcheck_rvs( loc, scale, size=size)\n"
        "\ndef _parse_args_stats(self,  loc=0, scale=1, moments='mv'):\n    return (), loc, scale, moments\n"
    )
    assert verdict(stream(made + text(honest) + b"sb")).verdict == "safe"
    assert codes(verdict(stream(made + text("import canary") + b"sb"))) == {"pickle.runs_state"}
    assert codes(verdict(stream(made + text(honest + "import canary\n") + b"sb"))) == {"pickle.runs_state"}


@pytest.mark.parametrize("pack", [lambda data: data, zlib.compress])
def test_base64_in_text_is_decoded(pack: Any) -> None:
    data = b"\x00\xff# weights\nmodel = '" + base64.b64encode(pack(BAD)) + b"'\n"
    assert "pickle.encoded" in codes(verdict(data, "notes.bin"))


@pytest.mark.parametrize("words", [b"cat\ndog\nhouse\n", b"class Model:\n    pass\n", b"I am\nhere.\n", b"Value\n"])
def test_words_are_no_pickle(words: bytes) -> None:
    assert not any(reason.code.startswith("pickle.") for reason in verdict(words, "words.bin").reasons)


def test_a_loading_function_passed_on_beside_a_pickle_is_malicious() -> None:
    body = b"](" + named("torch.storage", "_load_from_bytes") + b"C" + bytes([len(BAD)]) + BAD + b"e"
    assert "pickle.loaded_later" in codes(verdict(stream(body)))


def test_calls_that_nest_without_end_are_judged_in_bounded_time() -> None:
    # each partial holds the one before as function, argument and state: 3 to the power of 100 ways to the first
    body = named("functools", "partial") + b"\x94" + named("builtins", "len") + b"\x940"
    for _ in range(100):
        body += b"h\x00h\x01h\x01\x86Rq\x01(h\x01h\x01\x85}Ntb0"
    assert verdict(stream(body + b"h\x01)R0" + calls("os", "system", COMMAND))).verdict == "malicious"


def test_reasons_are_bounded_and_counted() -> None:
    body = b"".join(named("unknown", f"Name{index}") + b"0" for index in range(300)) + b"N"
    found = verdict(stream(body))
    assert len(found.reasons) == 100
    assert found.reasons_left_off == 200
