"""Callables that pass on what they are given, followed to what is reached in the end.

``getattr``, ``operator.attrgetter``, ``functools.partial`` and the like do no harm by themselves; what they lead to is
judged as if it stood there by name.  Each function here says what such a call gives.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from casemate.detect.artifacts.contract import EMBED_MALWARE, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.pickle import harmful
from casemate.detect.artifacts.pickle.callables import FOLLOWED, Known, Standing, is_way_out, known, renamed
from casemate.detect.artifacts.pickle.meanings import DATA, UNKNOWN, Meaning, as_arguments, shown
from casemate.detect.artifacts.pickle.opcodes import Blob

DECODED_BYTES = 64 * 1024 * 1024
LARGE = 1 << 30
PLAIN_ENCODINGS = frozenset(["latin1", "latin-1", "latin_1", "iso-8859-1", "ascii", "utf-8", "utf8", "utf_8"])

ATTRIBUTE = Rule(
    "pickle.attribute", "malicious", UNSAFE_ARTIFACT, "reaches into the running program through an attribute"
)
COMPUTED = Rule(
    "pickle.computed_name", "suspicious", UNSAFE_ARTIFACT, "takes an attribute or module whose name is computed"
)
DECODES = Rule("pickle.decodes", "suspicious", EMBED_MALWARE, "decodes data while loading")
MAKES_CLASS = Rule("pickle.makes_class", "suspicious", UNSAFE_ARTIFACT, "makes a new class while loading")
ALLOCATES = Rule("pickle.allocates", "suspicious", None, "allocates more than a gigabyte")


class Judging(Protocol):
    """What the functions of this file need of :class:`casemate.detect.artifacts.pickle.verdicts.Judgement`."""

    def meaning(self, value: Any) -> Meaning: ...
    def name(self, module: str, name: str, offset: int) -> Meaning: ...
    def called(self, function: Meaning, arguments: tuple[Any, ...], offset: int) -> Meaning: ...
    def say(self, rule: Rule, text: str, offset: int) -> None: ...
    def inner(self, label: str, value: Any, offset: int) -> None: ...


Following = Callable[[Judging, tuple[Any, ...], int], Meaning]


def attribute_of(judging: Judging, base: Meaning, name: Any, offset: int) -> Meaning:
    """``getattr(base, name)``."""
    if not isinstance(name, str):
        judging.say(COMPUTED, f"an attribute of {base} by a name that is not plain text", offset)
        return UNKNOWN
    for part in name.split("."):
        if is_way_out(part) or (part.startswith("__") and part.endswith("__")):
            judging.say(ATTRIBUTE, f"takes the attribute {part!r} of {base}", offset)
        base = (
            judging.name(base.module, part, offset)
            if base.kind == "module"
            else Meaning("attribute", name=part, base=base)
        )
    return base


def _getattr(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    if len(arguments) < 2:
        judging.say(COMPUTED, "getattr with arguments that are not told", offset)
        return UNKNOWN
    return attribute_of(judging, judging.meaning(arguments[0]), _text(judging, arguments[1]), offset)


def _attrgetter(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    names = tuple(_text(judging, name) for name in arguments)
    for name in names:
        if not isinstance(name, str):
            judging.say(COMPUTED, "operator.attrgetter with a name that is not plain text", offset)
            continue
        for part in name.split("."):
            if is_way_out(part) or (part.startswith("__") and part.endswith("__")):
                judging.say(ATTRIBUTE, f"operator.attrgetter({name!r})", offset)
    return Meaning("getter", arguments=names)


def _methodcaller(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    name = _text(judging, arguments[0]) if arguments else None
    if not isinstance(name, str):
        judging.say(COMPUTED, "operator.methodcaller with a name that is not plain text", offset)
        return UNKNOWN
    if is_way_out(name) or (name.startswith("__") and name.endswith("__")):
        judging.say(ATTRIBUTE, f"operator.methodcaller({name!r})", offset)
    return Meaning("caller", name=name, arguments=arguments[1:])


def _partial(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    if not arguments:
        return UNKNOWN
    return Meaning("partial", base=judging.meaning(arguments[0]), arguments=arguments[1:])


def _applied(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    """``map``, ``filter``, ``functools.reduce``: calls its first argument with what the others hold."""
    if not arguments or arguments[0] is None:
        return DATA
    passed = tuple(item for argument in arguments[1:] for item in (as_arguments(argument) or (argument,)))
    return Meaning("made", base=judging.called(judging.meaning(arguments[0]), passed, offset))


def _iter(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    if len(arguments) > 1:
        return judging.called(judging.meaning(arguments[0]), (), offset)
    return DATA


def _type(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    if len(arguments) > 1:
        judging.say(MAKES_CLASS, f"type({shown(arguments[0])}, ...) makes a class", offset)
        return UNKNOWN
    return Meaning("name", module="types", name="NoneType") if arguments == (None,) else UNKNOWN


def _ufunc(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    """numpy's ``_ufunc_reconstruct(module, name)`` imports any module."""
    named = tuple(_text(judging, argument) for argument in arguments[:2])
    if len(named) == 2 and isinstance(named[0], str) and isinstance(named[1], str):
        return judging.name(*renamed(named[0], named[1]), offset)
    judging.say(COMPUTED, "_ufunc_reconstruct with a name that is not plain text", offset)
    return UNKNOWN


def _reconstructor(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    """``copyreg._reconstructor(cls, base, state)`` and ``copyreg.__newobj__(cls, *args)``: ``cls.__new__``."""
    if not arguments:
        return UNKNOWN
    return judging.called(judging.meaning(arguments[0]), arguments[1:], offset)


def _from_type(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    """torch's ``_rebuild_from_type_v2(function, type, arguments, state)`` calls the function."""
    if len(arguments) < 3:
        return UNKNOWN
    return judging.called(judging.meaning(arguments[0]), as_arguments(arguments[2]), offset)


def _array(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    """dill's ``_create_array(function, arguments, state)`` calls the function, then sets the state of what it gives."""
    if len(arguments) < 2:
        return UNKNOWN
    return judging.called(judging.meaning(arguments[0]), as_arguments(arguments[1]), offset)


def _torch_bytes(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    """``torch.storage._load_from_bytes(data)`` is ``torch.load`` of the data."""
    value = judging.meaning(arguments[0]).value if arguments else None
    if isinstance(value, (bytes, bytearray, Blob)):
        judging.inner("torch", value, offset)
        return DATA
    judging.say(COMPUTED, "torch.storage._load_from_bytes with data that is not plain bytes", offset)
    return UNKNOWN


def _carried(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    """spaCy's ``unpickle_doc`` and ``unpickle_vocab`` unpickle bytes among their arguments (``srsly.pickle_loads``)."""
    for argument in arguments:
        value = judging.meaning(argument).value
        if isinstance(value, (bytes, bytearray)):
            if bytes(value[:1]) == b"\x80" and bytes(value[1:2]) <= b"\x05":
                judging.inner("carried pickle", value, offset)
            elif bytes(value[:1]) in b"cFGIJKLMNSTUVX(]}):":
                judging.say(DECODES, "bytes that may be a pickle of an old protocol", offset)
        elif isinstance(value, Blob):
            judging.inner("carried data", value, offset)
        elif judging.meaning(argument).kind == "unknown":
            judging.say(COMPUTED, "data to unpickle that is not plain bytes", offset)
    return DATA


def _encode(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    """``_codecs.encode(text, encoding)``: how protocols 0 to 2 write bytes; other codecs decode and unpack."""
    text = judging.meaning(arguments[0]).value if arguments else None
    encoding = _text(judging, arguments[1]) if len(arguments) > 1 else "utf-8"
    if isinstance(encoding, str) and encoding.lower() in PLAIN_ENCODINGS:
        if isinstance(text, str):
            plain = "latin-1" if encoding.lower() not in ("utf-8", "utf8", "utf_8", "ascii") else "utf-8"
            return Meaning("data", value=text.encode(plain, "surrogatepass" if plain == "utf-8" else "replace"))
        return Meaning("data", value=text) if isinstance(text, Blob) else DATA
    return _decoded(judging, f"_codecs.encode(..., {shown(encoding)})", arguments, offset, _unpacked_by(encoding))


def _decode(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    encoding = _text(judging, arguments[1]) if len(arguments) > 1 else "utf-8"
    return _decoded(judging, f"codecs.decode(..., {shown(encoding)})", arguments, offset, _unpacked_by(encoding))


def _unpacked_by(encoding: Any) -> Callable[[bytes], bytes] | None:
    kind = encoding.lower().replace("-", "_") if isinstance(encoding, str) else ""
    return {
        "zlib": _inflate, "zlib_codec": _inflate, "zip": _inflate, "hex": binascii.unhexlify,
        "hex_codec": binascii.unhexlify, "base64": base64.b64decode, "base64_codec": base64.b64decode,
        "bz2": _bunzip, "bz2_codec": _bunzip, "latin1": bytes, "latin_1": bytes, "utf_8": bytes, "utf8": bytes,
        "ascii": bytes,
    }.get(kind)  # fmt: skip


def _decoding(label: str, unpack: Callable[[bytes], bytes]) -> Following:
    def follow(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
        return _decoded(judging, label, arguments, offset, unpack)

    return follow


def _decoded(
    judging: Judging,
    label: str,
    arguments: tuple[Any, ...],
    offset: int,
    unpack: Callable[[bytes], bytes] | None,
) -> Meaning:
    judging.say(DECODES, f"{label} while loading", offset)
    value = judging.meaning(arguments[0]).value if arguments else None
    if isinstance(value, str):
        value = value.encode("latin-1", "replace")
    if unpack is None or not isinstance(value, (bytes, bytearray)):
        return UNKNOWN
    try:
        data = unpack(bytes(value))
    except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError):
        return UNKNOWN
    judging.inner(label, data, offset)
    return Meaning("data", value=data)


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj(47).decompress(data, DECODED_BYTES)


def _bunzip(data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, DECODED_BYTES)


def _unxz(data: bytes) -> bytes:
    return lzma.LZMADecompressor(memlimit=256 * 1024 * 1024).decompress(data, DECODED_BYTES)


def _bytes(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    first = arguments[0] if arguments else None
    if isinstance(first, int) and first > LARGE:
        judging.say(ALLOCATES, f"bytes({first})", offset)
    value = judging.meaning(first).value
    if isinstance(value, str) and len(arguments) > 1:
        return _encode(judging, arguments, offset)
    if isinstance(value, list) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return Meaning("data", value=bytes(value))
    return Meaning("data", value=value) if isinstance(value, (bytes, bytearray, Blob)) else DATA


def _memmap(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    judging.say(FILE_MAP, f"numpy.memmap({shown(arguments)})", offset)
    return UNKNOWN


FILE_MAP = Rule("pickle.file_map", "malicious", UNSAFE_ARTIFACT, "opens or creates a file by numpy.memmap")


def _data(judging: Judging, arguments: tuple[Any, ...], offset: int) -> Meaning:
    return DATA


def _text(judging: Judging, value: Any) -> Any:
    """The string that a value is, also one that a call of the stream makes; else the value."""
    found = value if isinstance(value, str) else judging.meaning(value).value
    if isinstance(found, (bytes, bytearray)):
        return found.decode("latin-1")
    return found if isinstance(found, str) else value


_BY_LAST_WORD: dict[str, Following] = {
    "getattr": _getattr,
    "map": _applied,
    "filter": _applied,
    "reduce": _applied,
    "iter": _iter,
    "next": _data,
    "zip": _data,
    "hasattr": _data,
    "callable": _data,
    "isinstance": _data,
    "type": _type,
    "partial": _partial,
    "attrgetter": _attrgetter,
    "methodcaller": _methodcaller,
    "_ufunc_reconstruct": _ufunc,
    "encode": _encode,
    "decode": _decode,
    "_reconstructor": _reconstructor,
    "__newobj__": _reconstructor,
    "__newobj_ex__": _reconstructor,
    "_rebuild_from_type": _from_type,
    "_rebuild_from_type_v2": _from_type,
    "_rebuild_wrapper_subclass": _reconstructor,
    "_create_array": _array,
    "_load_from_bytes": _torch_bytes,
    "unpickle_doc": _carried,
    "unpickle_vocab": _carried,
    "memmap": _memmap,
    "_reconstruct": _data,
    "bytes": _bytes,
    "bytearray": _bytes,
    "decompress": _data,
    "b64decode": _decoding("base64.b64decode", base64.b64decode),
    "b64encode": _decoding("base64.b64encode", base64.b64encode),
    "unhexlify": _decoding("binascii.unhexlify", binascii.unhexlify),
    "a2b_base64": _decoding("binascii.a2b_base64", binascii.a2b_base64),
}
_EXACTLY: dict[str, Following] = {
    "zlib.decompress": _decoding("zlib.decompress", _inflate),
    "gzip.decompress": _decoding("gzip.decompress", _inflate),
    "bz2.decompress": _decoding("bz2.decompress", _bunzip),
    "lzma.decompress": _decoding("lzma.decompress", _unxz),
}

FOLLOWING: dict[str, Following] = {
    name: _EXACTLY.get(name) or _BY_LAST_WORD[name.rpartition(".")[2]] for name in FOLLOWED
}
"""How each followed name is followed."""

_IMPORTERS = frozenset(
    [
        "builtins.__import__",
        "importlib.import_module",
        "importlib.__import__",
        "pkgutil.resolve_name",
        "pydoc.locate",
        "importlib.reload",
    ]
)


def imported(module: str, name: str, known_as: Known, arguments: tuple[Any, ...]) -> Meaning | None:
    """What a call of an importing function gives; None for any other function."""
    if known_as.standing is not Standing.HARMFUL or f"{module}.{name}" not in _IMPORTERS:
        return None
    wanted = arguments[0] if arguments else None
    if not isinstance(wanted, str):
        return UNKNOWN
    if ":" in wanted:
        owner, _, attribute = wanted.partition(":")
        return Meaning("name", module=owner, name=attribute)
    owner, _, attribute = wanted.rpartition(".")
    if owner and known(owner, attribute).effect not in ("", harmful.ATTRIBUTES):
        return Meaning("name", module=owner, name=attribute)
    return Meaning("module", module=wanted)
