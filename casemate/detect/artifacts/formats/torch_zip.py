"""The members of a PyTorch file: ``torch.save`` since 1.6 and TorchScript.

Source: ``torch/serialization.py``, ``caffe2/serialize/inline_container.cc``, ``torch/csrc/jit/serialization``.  A
storage is the member ``data/<key>`` that ``data.pkl`` refers to by a persistent id (``constants/<key>`` of
``constants.pkl``); one whose size is what the pickle says is owned without being read, since no loader looks into it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.run import interpret
from casemate.detect.artifacts.pickle.storages import Storage, storages_of

PICKLES = re.compile(r"(^|/)[\w.-]*(\.pkl|\.debug_pkl)$")
WORDS = re.compile(r"(^|/)(\.?data/|\.)?(version|byteorder|format_version|storage_alignment|serialization_id)$")
CODE = re.compile(r"(^|/)code/.*\.py$")
SHORT = 256
REACHES = re.compile(
    rb"torch\.from_file|\bfrom_file\(|torch\.save\(|torch\.load\(|\bops\.(?!prim|aten|quantized|torchvision)"
)

WRONG_SIZE = Rule(
    "torch.storage_size", "suspicious", CORRUPT_MODEL, "reads it as a tensor of another size, or raises an error"
)
MISSING = Rule("torch.storage_missing", "unscannable", CORRUPT_MODEL, "raises an error: a storage is not there")
WORD = Rule("torch.odd_member", "suspicious", CORRUPT_MODEL, "reads it as a short word")
SCRIPT = Rule("torch.script_reaches", "suspicious", UNSAFE_ARTIFACT, "a call of the model reads or writes files")


@dataclass(frozen=True)
class Layout:
    """What kind of PyTorch file it is."""

    script: bool


def layout(names: list[str]) -> Layout | None:
    """The layout of the file if the names are those of a PyTorch file."""
    if not any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return None
    return Layout(any(CODE.search(name) for name in names))


def inspect_members(_layout: Layout, members: list[Content], inspection: Inspection) -> None:
    """Look at the pickles first: they say which storages there are."""
    pickles = [member for member in members if PICKLES.search(member.name)]
    storages: dict[tuple[str, str], Storage] = {}
    for member in pickles:
        trace = interpret(member.buffer, member.begin, member.end, inspection.options.opcodes)
        folder = member.name.rpartition(".")[0]
        storages |= {(folder, key): storage for key, storage in storages_of(trace.events).items()}
        inspection.inner(member)
    found: set[tuple[str, str]] = set()
    for member in members:
        if member in pickles:
            continue
        folder, _, key = member.name.rpartition("/")
        place = (folder, key)
        if place in storages:
            found.add(place)
            _storage(member, storages[place], inspection)
        elif WORDS.search(member.name):
            _word(member, inspection)
        elif CODE.search(member.name):
            _script(member, inspection)
        else:
            inspection.inner(member)
    missing = sorted("/".join(place) for place in set(storages) - found)
    if missing:
        inspection.report(MISSING, f"no member for the storages {', '.join(missing[:5])}")


def _storage(member: Content, storage: Storage, inspection: Inspection) -> None:
    if storage.bytes is None or member.size in (0, storage.bytes):  # inputs of a trace are stored without their bytes
        if inspection.options.full:
            inspection.content.read(0, 0)
        else:
            inspection.skip(member.size)
        return
    inspection.report(WRONG_SIZE, f"{member.size} bytes, the pickle says {storage.bytes}", member=member.name)
    if member.size > storage.bytes:
        inspection.inner(member.part(member.name, storage.bytes, member.size))


def _word(member: Content, inspection: Inspection) -> None:
    if member.size > SHORT or not re.fullmatch(rb"[\w.\-]*\s*", member.whole()):
        inspection.report(WORD, f"{member.size} bytes where a word is expected", member=member.name)
        inspection.inner(member)


def _script(member: Content, inspection: Inspection) -> None:
    """TorchScript's source: compiled by torch's own compiler, which knows tensors and no files but these."""
    match = REACHES.search(member.read(0, inspection.options.member_bytes))
    if match:
        inspection.report(SCRIPT, f"its code calls {match.group().decode()}", match.start(), member=member.name)
