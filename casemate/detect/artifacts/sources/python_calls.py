"""What a call in Python does: the name that is called, what it is given, and the acts that follow."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from casemate.detect.artifacts.sources import python_tables as tables
from casemate.detect.artifacts.sources.acts import Act
from casemate.detect.artifacts.sources.markup import judge_markup, judge_script
from casemate.detect.artifacts.sources.python_values import NOTHING, UNKNOWN, Value, decoded, of, plain, union
from casemate.detect.artifacts.sources.shell import judge_command

SHOWN = 160
_PATHS = {
    "os.path.join": "",
    "os.path.expanduser": "", "os.path.abspath": "", "os.path.expandvars": "", "os.path.realpath": "",
    "os.fspath": "", "posixpath.join": "", "tempfile.gettempdir": "/tmp",  # noqa: S108,
}  # fmt: skip
"""Functions that put paths together, and what those give that take nothing."""
Report = Callable[..., None]


def command_text(arguments: tuple[Value, ...], keywords: dict[str, Value]) -> str | None:
    """The command that a call is given, as a shell would read it; None when it is not known."""
    first = arguments[0] if arguments else keywords.get("args", keywords.get("cmd", UNKNOWN))
    text = first.text()
    if text is not None:
        rest = [argument.text() for argument in arguments[1:]]
        words = [word for word in rest if word is not None]
        return " ".join([text, *words]) if words and not keywords.get("shell") else text
    if isinstance(first.constant, tuple):
        words = [part.text() for part in first.constant]
        if not words or words[0] is None:
            return None
        known = [word if word is not None else "X" for word in words]
        if len(known) >= 3 and known[1] in ("-c", "-lc", "/c", "/C", "-Command"):
            if known[0].rsplit("/", 1)[-1].startswith(("python", "perl", "ruby", "node", "php")):
                return f"{known[0]} {known[1]} {known[2]}"
            return known[2] if words[2] is not None else None
        return shlex.join(known)
    return None


def judge_call(name: str, arguments: tuple[Value, ...], keywords: dict[str, Value], report: Report,
               run_text: Callable[[str, Value], None], place: str) -> Value:  # fmt: skip
    """Report what a call of `name` does; gives its result.

    Args:
        name: the resolved dotted name.
        arguments: in order.
        keywords: by name.
        report: takes kind, text, and the severity if it is fixed.
        run_text: walks text that is run as code.
        place: ``module``, ``setup`` or ``notebook``.
    """
    marks = union(*arguments, *keywords.values())
    first = arguments[0] if arguments else UNKNOWN
    if tables.COMMANDS.fullmatch(name):
        _command(name, arguments, keywords, marks, report, place)
        return Value(name=name + "()", marks=marks | _output_marks(arguments, keywords))
    if tables.CODE.fullmatch(name) or name == "builtins.compile":
        _code(name, first, marks, report, run_text)
        if name == "builtins.compile":
            return first.marked(*marks)
        return Value(name=name + "()", marks=marks, given=(first,))
    if tables.DECODERS.fullmatch(name):
        return decoded(name, arguments)
    if name in tables.PUT_TOGETHER:
        return _put_together(name, arguments, report)
    if tables.FETCHES.fullmatch(name):
        _network(name, arguments, keywords, marks, report)
        return Value(name=name + "()", marks=marks | {"fetched"})
    if tables.UNPICKLERS.fullmatch(name):
        kind = "hidden_pickle" if marks & {"decoded", "fetched"} else "unpickle"
        data = first.constant
        if kind == "unpickle" and isinstance(data, bytes) and data.find(b".") >= 0:
            kind = "hidden_pickle"
        own = first.name is not None and first.name.endswith(".dumps()")
        plain_load = name in ("numpy.load", "torch.load") and not _true(keywords.get("allow_pickle"))
        if kind == "hidden_pickle" or not (own or plain_load):
            report(kind, f"{name}({_shown(arguments)})")
        return Value(name=name + "()", marks=marks)
    if tables.NATIVE.fullmatch(name):
        if tables.ASKS_WINDOWS.fullmatch(name):
            return Value(name=name + "()", marks=marks)
        bad = tables.SHELLCODE.search(name)
        report("native_code", f"{name}({_shown(arguments)})", "malicious" if bad else None)
        return Value(name=name + "()", marks=marks)
    if tables.SHOWS.fullmatch(name):
        for act in judge_markup(first.text() or "") if "avascript" not in name else judge_script(first.text() or ""):
            report("script", f"{name}: {act.text}", act.severity)
    elif name == "os.dup2":
        report("redirect", f"{name}({_shown(arguments)})")
    elif name in _PATHS:
        return _path(name, arguments, marks)
    elif tables.INSTALLS.fullmatch(name):
        report("install", f"{name}({_shown(arguments)})")
    elif tables.OPENS.fullmatch(name) or tables.READS.fullmatch(name):
        return _opened(name, arguments, keywords, marks, report)
    elif tables.WRITES.fullmatch(name):
        _written(name, [*_path_of(arguments), *arguments], marks, report)
    elif tables.DELETES.fullmatch(name):
        path = next((text for value in arguments if (text := value.text())), "")
        if tables.OUTSIDE.match(path):
            report("delete", f"{name}({path[:SHOWN]!r})")
    elif tables.REMOTE_CODE.fullmatch(name) and any(_true(keywords.get(key)) for key in tables.TRUSTING):
        report("remote_code", f"{name}({_shown(arguments)}) without asking whether its code may run")
    elif name.endswith((".run_cell_magic", ".run_line_magic")) and len(arguments) > 1:
        _magic(name, arguments, report, run_text)
    elif name in ("os.getenv", "os.environ.get"):
        return Value(constant="~", marks=marks) if first.constant in ("HOME", "USERPROFILE") else Value(marks=marks)
    elif name in (
        "builtins.dict",
        "os.environ.copy",
        "os.environ.items",
        "json.dumps",
        "builtins.str",
        "builtins.repr",
    ):
        whole = name.startswith("os.environ") or first.name == "os.environ"
        if name == "builtins.str" and isinstance(first.constant, str | bytes | int):
            return _converted(name, of(str(first.constant)) if isinstance(first.constant, int) else first, marks)
        return Value(marks=marks | ({"environment"} if whole else set()), name=None)
    elif name in ("builtins.globals", "builtins.locals", "builtins.vars"):
        return Value(name=first.name or "builtins", marks=marks)
    elif name == "operator.attrgetter" and first.text():
        return Value(name=name + "()", given=arguments[:4], marks=marks)
    elif name in ("socket.gethostname", "getpass.getuser", "platform.node", "os.getlogin", "os.uname"):
        return Value(marks=marks | {"machine"})
    elif name == "builtins.chr" and isinstance(first.constant, int) and 0 <= first.constant < 0x110000:
        return of(chr(first.constant), *marks, "joined")
    elif name in ("builtins.bytes", "builtins.bytearray", "builtins.list", "builtins.tuple", "builtins.str"):
        return _converted(name, first, marks)
    elif name == "builtins.reversed" and isinstance(first.constant, str | bytes | tuple):
        text = first.constant[::-1]
        parts = tuple(of(part) for part in text) if isinstance(text, str) else text
        return Value(constant=parts, marks=marks | {"joined", "decoded"})
    elif name == "builtins.map" and len(arguments) == 2 and arguments[0].name == "builtins.chr":
        codes = plain(arguments[1])
        if isinstance(codes, list | bytes) and all(isinstance(code, int) and 0 <= code < 0x110000 for code in codes):
            return Value(constant=tuple(of(chr(code)) for code in codes), marks=marks | {"joined", "decoded"})
        return Value(marks=marks | {"decoded"})
    return Value(name=name + "()", given=arguments[:4], marks=marks - {"joined"})


def _magic(name: str, arguments: tuple[Value, ...], report: Report, run_text: Callable[[str, Value], None]) -> None:
    """IPython's magics, called by name: the last argument is what they run."""
    magic, text = arguments[0].text() or "", arguments[-1].text()
    if text is None:
        return
    if magic in tables.SHELL_MAGICS:
        _command(f"{name} of {magic}", (of(text),), {}, arguments[-1].marks, report, "notebook")
    elif magic in ("html", "HTML", "svg", "SVG"):
        for act in judge_markup(text):
            report("script", f"{name}: {act.text}", act.severity)
    elif magic in ("javascript", "js"):
        for act in judge_script(text):
            report("script", f"{name}: {act.text}", act.severity)
    else:
        run_text(text, arguments[-1])


def _path(name: str, arguments: tuple[Value, ...], marks: frozenset[str]) -> Value:
    """Paths that are put together; what is not known of them is an X."""
    texts = [value.text() or (value.given[0].text() if value.given else None) or "X" for value in arguments]
    if name.endswith((".home", ".gettempdir")):
        return Value(constant=_PATHS[name], marks=marks)
    return Value(constant="/".join(text.rstrip("/") or "/" for text in texts) if texts else NOTHING, marks=marks)


def _converted(name: str, first: Value, marks: frozenset[str]) -> Value:
    given = plain(first)
    if name in ("builtins.bytes", "builtins.bytearray") and isinstance(given, list) and len(given) < 1 << 20:
        try:
            return Value(constant=bytes(given), marks=marks | {"joined", "decoded"})
        except (ValueError, TypeError):
            return Value(marks=marks)
    if name == "builtins.str" and isinstance(given, bytes):
        return Value(constant=given.decode("utf-8", "replace"), marks=marks)
    if name in ("builtins.list", "builtins.tuple") and isinstance(first.constant, tuple):
        return first
    return Value(constant=given if isinstance(given, str | bytes) else NOTHING, marks=marks)


def _command(name, arguments, keywords, marks, report, place) -> None:
    text = command_text(arguments, keywords)
    if text is None:
        if "fetched" in marks or "decoded" in marks:
            report(
                "hidden_command",
                f"{name}({_shown(arguments)}): the command is {' and '.join(sorted(marks))}",
                "malicious",
            )
        elif _asked(arguments[0] if arguments else UNKNOWN):
            report("hidden_command", f"{name} of a command that a request gives")
        else:
            report(
                "command",
                f"{name} with a command that is only known when it runs",
                "note" if place == "notebook" else None,
            )
        return
    judgement, why = judge_command(text, at_import=place != "notebook")
    said = f"{name}({text[:SHOWN]!r}): {why}"
    if "decoded" in marks:
        report("hidden_command", said)
    elif judgement == "bad":
        report("bad_command", said)
    elif judgement == "odd":
        report("odd_command" if place == "notebook" else "unknown_command", said)
    elif judgement == "unknown":
        report("unknown_command", said)
    elif judgement == "scripted":
        report("install" if "install" in text else "command", said, None if "install" in text else "note")
    else:
        report("command", said, "note")


def _asked(first: Value) -> bool:
    """Whether it is a caller who says what is run, not only with what."""
    if isinstance(first.constant, tuple):
        return bool(first.constant) and "request" in first.constant[0].marks
    return "request" in first.marks


def _output_marks(arguments: tuple[Value, ...], keywords: dict[str, Value]) -> set[str]:
    text = command_text(arguments, keywords) or ""
    return {"fetched"} if "curl" in text or "wget" in text else {"output"}


def _code(
    name: str, first: Value, marks: frozenset[str], report: Report, run_text: Callable[[str, Value], None]
) -> None:
    text = first.text()
    if name == "builtins.compile":  # what is compiled is judged where it is run
        return
    if "fetched" in marks:
        report("fetched_code", f"{name} of what a server sends")
    elif "decoded" in marks and first.name != "builtins.bytes":
        shown = f": {text[:SHOWN]!r}" if text else ""
        report("decoded_code", f"{name} of decoded text{shown}")
    elif text is None:
        if name == "builtins.exec" and "request" in marks:
            report("fetched_code", f"{name} of what a request gives")
        elif name in ("builtins.exec", "builtins.eval", "builtins.execfile") or "exec_module" in name:
            if "request" in marks:
                report("dynamic_code", f"{name} of what a request gives", "suspicious")
                return
            report(
                "dynamic_code", f"{name} of text that is only known when it runs", "note" if "file" in marks else None
            )
    elif "hidden" in marks:
        report("decoded_code", f"{name} of text that is put together: {text[:SHOWN]!r}")
    if name.startswith("runpy."):
        far = text is not None and tables.OUTSIDE.match(text)
        report("dynamic_code", f"{name}({text or '...'!r})", "malicious" if far else None)
    elif text is not None:
        run_text(text, first)


def _network(
    name: str, arguments: tuple[Value, ...], keywords: dict[str, Value], marks: frozenset[str], report: Report
) -> None:
    shown = _shown(arguments)
    if any(tables.SECRETS.search(text) for value in arguments if (text := value.text())):
        report("secrets", f"{name}({shown})")
    if marks & {"secret", "environment"}:
        report("exfiltration", f"{name}({shown}) with {' and '.join(sorted(marks & {'secret', 'environment'}))}")
    elif "machine" in marks and keywords.keys() & {"data", "json", "params", "files"}:
        report("exfiltration", f"{name}({shown}) with the name of the machine or its user", "suspicious")
    else:
        addresses = [text for value in arguments if (text := value.text())]
        usual = bool(addresses) and all(tables.USUAL_ADDRESS.match(text) for text in addresses)
        report("network", f"{name}({shown})", "note" if usual else None)


def _opened(
    name: str, arguments: tuple[Value, ...], keywords: dict[str, Value], marks: frozenset[str], report: Report
) -> Value:
    owner = _path_of(arguments)
    path = next((text for value in (*owner, *arguments) if (text := value.text())), "")
    mode_value = keywords.get("mode") or (arguments[1] if len(arguments) > 1 else UNKNOWN)
    mode = mode_value.text() or "r"
    if any(letter in mode for letter in "wax+") and name not in ("os.open",):
        _written(name, [*owner, *arguments[:1]], marks, report)
        return Value(name=f"{name}()", marks=frozenset({"written"}))
    if tables.SECRETS.search(path):
        report("secrets", f"{name}({path[:SHOWN]!r})")
        return Value(name=name + "()", marks=marks | {"file", "secret"})
    return Value(name=name + "()", marks=marks | {"file"})


def _path_of(arguments: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(value for argument in arguments[:1] for value in argument.given[:1])


def _written(name: str, candidates: list[Value], marks: frozenset[str], report: Report) -> None:
    for value in candidates:
        path = value.text()
        if path is None:
            continue
        if tables.PERSISTENT.search(path):
            report("persistence", f"{name}({path[:SHOWN]!r})")
        elif tables.OUTSIDE.match(path):
            report("write", f"{name}({path[:SHOWN]!r})")
        return


def _put_together(name: str, arguments: tuple[Value, ...], report: Report) -> Value:
    """``getattr(x, "name")`` and imports by text: the name that comes out."""
    if name == "builtins.getattr":
        if len(arguments) < 2:
            return UNKNOWN
        owner, word = arguments[0], arguments[1].text()
        hidden = bool(arguments[1].marks & {"joined", "decoded"})
        if word is None:
            if owner.name in tables.POWERFUL:
                report("hidden_name", f"getattr({owner.name}, ...) with a name that is only known when it runs")
            return Value(marks=union(*arguments))
        if owner.name is None:
            return Value(marks=union(*arguments))
        hidden = hidden and owner.name.partition(".")[0] in tables.POWERFUL
        if hidden:
            report("hidden_name", f"getattr({owner.name}, ...) gives {owner.name}.{word[:80]}")
        return Value(name=f"{owner.name}.{word}", marks=frozenset({"hidden"}) if hidden else frozenset())
    first = arguments[0] if arguments else UNKNOWN
    word = first.text()
    if word is None:
        return UNKNOWN
    if first.marks & {"joined", "decoded"}:
        report("hidden_name", f"{name} of a name that is put together: {word[:80]}")
    return Value(name=word)


def _true(value: Value | None) -> bool:
    return value is not None and value.constant is True


def _shown(arguments: tuple[Value, ...]) -> str:
    said = [repr(text[:80]) if (text := value.text()) is not None else value.name or "..." for value in arguments[:3]]
    return ", ".join(said)[:SHOWN]


__all__ = ["Act", "command_text", "judge_call"]
