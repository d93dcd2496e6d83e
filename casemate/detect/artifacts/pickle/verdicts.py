"""What the pickle machine saw, judged.

Every name that a stream imports must be allowed by exact name for the stream to be safe.  Harmful names make it
malicious whether they are called here or only handed to something that may call them later; unknown names make it
suspicious, and malicious where they are called with what reads like code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from casemate.detect.artifacts.contract import COMMAND_INTERPRETER, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.pickle.callables import (
    METHODS,
    Known,
    Standing,
    is_function,
    is_library,
    is_numerical,
    is_standard,
    known,
    reads_like_code,
    reads_like_command,
    renamed,
)
from casemate.detect.artifacts.pickle.chains import COMPUTED, FOLLOWING, attribute_of, imported
from casemate.detect.artifacts.pickle.machine import Trace
from casemate.detect.artifacts.pickle.meanings import DATA, UNKNOWN, Meaning, as_arguments, is_computed, shown, texts
from casemate.detect.artifacts.pickle.names.distributions import TEMPLATE
from casemate.detect.artifacts.pickle.opcodes import (
    Blob,
    Call,
    Change,
    Event,
    Extension,
    Global,
    Mapping,
    Members,
    Persistent,
)

CALLS_HARMFUL = Rule("pickle.calls", "malicious", COMMAND_INTERPRETER, "calls it while loading")
IMPORTS_HARMFUL = Rule(
    "pickle.imports", "malicious", UNSAFE_ARTIFACT, "imports it, so that the loaded object can call it"
)
CALLS_WITH_CODE = Rule(
    "pickle.calls_with_code", "malicious", COMMAND_INTERPRETER, "calls an unknown function with a program or a command"
)
CALLS_LIBRARY = Rule(
    "pickle.calls_library", "malicious", UNSAFE_ARTIFACT, "calls a function that no pickle of that library needs"
)
CHANGES_PROGRAM = Rule(
    "pickle.changes_program", "malicious", UNSAFE_ARTIFACT, "changes a class, function or module of the running program"
)
CALLS_METHOD = Rule("pickle.calls_method", "malicious", UNSAFE_ARTIFACT, "calls a method that acts")
UNKNOWN_IMPORT = Rule(
    "pickle.unknown_import", "suspicious", UNSAFE_ARTIFACT, "imports the module, which runs its code, and uses the name"
)
UNKNOWN_CALL = Rule("pickle.unknown_call", "suspicious", UNSAFE_ARTIFACT, "calls what cannot be told here")
EXTENSION = Rule(
    "pickle.extension", "suspicious", UNSAFE_ARTIFACT, "uses what the running program registered under the code"
)
RUNS_STATE = Rule(
    "pickle.runs_state", "malicious", UNSAFE_ARTIFACT, "runs the text as Python code (scipy's distributions do so)"
)
COMPUTED_IMPORT = Rule(
    "pickle.computed_import", "malicious", UNSAFE_ARTIFACT, "imports what a name that it computes while loading means"
)
PLACES = Rule("pickle.changes_data", "suspicious", UNSAFE_ARTIFACT, "changes data in place while loading")
HOOKS = Rule("pickle.hooks", "suspicious", UNSAFE_ARTIFACT, "replaces how an object behaves")
READS_BESIDE = Rule("pickle.reads_file", "suspicious", UNSAFE_ARTIFACT, "loads an array from a file of another folder")
ARRAYS_BESIDE = frozenset({"NDArrayWrapper", "ZNDArrayWrapper"})
"""joblib's of before 0.10: the array lies in a file beside the pickle, whose name is in the state."""
PASSED_ON = Rule(
    "pickle.passed_on", "suspicious", UNSAFE_ARTIFACT, "stores a function that calls or loads what it is given"
)

BEHAVIOUR = frozenset(
    [
        "__class__",
        "__dict__",
        "__setstate__",
        "__reduce__",
        "__reduce_ex__",
        "__call__",
        "__getattr__",
        "__getattribute__",
        "__builtins__",
        "__globals__",
        "__init__",
        "__new__",
        "__code__",
        "__import__",
        "__loader__",
    ]
)
"""Attributes that no object stores about itself."""
FRAMEWORK_CALLS: frozenset[tuple[str, str]] = frozenset(
    {
        ("xgboost.core", "Booster"), ("xgboost.core", "DMatrix"), ("lightgbm.basic", "Booster"),
        ("lightgbm.basic", "Dataset"), ("transformers.training_args", "TrainingArguments"),
        ("accelerate.state", "PartialState"), ("accelerate.state", "AcceleratorState"),
        ("torch.utils.data.dataloader", "DataLoader"), ("catboost.core", "Pool"), ("numpy", "matrix"),
        ("numpy.matrixlib.defmatrix", "matrix"), ("PIL.PngImagePlugin", "PngImageFile"),
        ("PIL.JpegImagePlugin", "JpegImageFile"), ("joblib.memory", "Memory"), ("pandas", "read_csv"),
    }
)  # fmt: skip
"""Classes that real files build by ``__new__`` only: their constructors open files or connections."""
PLAIN_METHODS = frozenset({("zoneinfo.ZoneInfo", "_unpickle"), ("builtins.dict", "fromkeys")})
"""Methods that real files call."""
STORED_FREELY = frozenset({"builtins.type", "builtins.bytes", "builtins.bytearray", "builtins.zip", "builtins.map",
                           "builtins.filter", "builtins.iter", "numpy.memmap", "builtins.callable",
                           "builtins.isinstance"})  # fmt: skip
CALLS_FIRST = frozenset({"dill._dill._create_array"})
"""What calls its first argument itself, and was judged so."""
MOST_DEPTH = 40
MOST_STEPS = 200_000
MOST_VALUES = 5_000_000

InnerContent = Callable[[str, Any, int], None]
Report = Callable[[Rule, str, int, str | None], None]


class Judgement:
    """The judging of one trace.

    Args:
        report: takes rule, text, position in the buffer, and what exactly a loader would do.
        inner: takes a label, bytes or a :class:`Blob`, and the position, of data that the loader would decode.
    """

    def __init__(self, report: Report, inner: InnerContent) -> None:
        self._report = report
        self._inner = inner
        self._said: set[tuple[str, str]] = set()
        self._meanings: dict[int, Meaning] = {}
        self._called: set[str] = set()
        self._depth = 0
        self._steps = 0

    def judge(self, trace: Trace) -> None:
        """Judge every event, then what was imported and never called."""
        imports: dict[tuple[str, str], Global] = {}
        allowed: set[tuple[str, str]] = set()
        for event in trace.events:
            kind = type(event)
            if kind is Global:
                imports.setdefault((event.module, event.name), event)  # type: ignore[union-attr]
                continue
            if kind is Call:
                function = event.function  # type: ignore[union-attr]
                if type(function) is Global:
                    named = (function.module, function.name)
                    if named in allowed:
                        continue
                    if self._plainly_allowed(function):
                        allowed.add(named)
                        continue
            try:
                self._judge_event(event)
            except RecursionError:
                self.say(UNKNOWN_CALL, "calls nested too deeply to follow", event.offset)
        for event in imports.values():
            self._import(event)
        self._stored(trace, imports.values())

    def _judge_event(self, event: Event) -> None:
        if isinstance(event, Call):
            self.meaning(event)
        elif isinstance(event, Change):
            self._change(event)
        elif isinstance(event, Extension):
            self.say(EXTENSION, f"extension code {event.code}", event.offset)

    def inner(self, label: str, value: Any, offset: int) -> None:
        """Look at data that the loader would decode."""
        self._inner(label, value, offset)

    def say(self, rule: Rule, text: str, offset: int, effect: str | None = None) -> None:
        """Report once."""
        if (rule.code, text) not in self._said:
            self._said.add((rule.code, text))
            self._report(rule, text, offset, effect)

    # what values mean

    def meaning(self, value: Any) -> Meaning:
        """What a value stands for; a call is judged the first time it is asked for."""
        if isinstance(value, Global):
            return Meaning("name", *renamed(value.module, value.name))
        if isinstance(value, Call):
            found = self._meanings.get(id(value))
            if found is None or found.kind == "partial":
                found = self._of_call(value)
                self._meanings[id(value)] = found
            return found
        if isinstance(value, Persistent):
            # torch's files of before 1.6: persistent_load gives the class in ("module", class, file, source)
            pid = value.pid
            return (
                self.meaning(pid[1]) if isinstance(pid, tuple) and pid[:1] == ("module",) and len(pid) > 1 else UNKNOWN
            )
        if isinstance(value, Extension):
            return UNKNOWN
        return Meaning("data", value=value)

    def _of_call(self, call: Call) -> Meaning:
        self._steps += 1
        if self._depth >= MOST_DEPTH or self._steps > MOST_STEPS:
            self.say(UNKNOWN_CALL, "calls nested too deeply to follow", call.offset)
            return UNKNOWN
        self._depth += 1
        try:
            arguments = as_arguments(call.arguments)
            if is_computed(call.arguments):
                self.say(COMPUTED, f"arguments of {shown(call.function)} that are computed", call.offset)
            if call.keywords is not None:
                arguments += as_arguments(
                    call.keywords.items[1::2] if isinstance(call.keywords, Mapping) else call.keywords
                )
            found = self.called(self.meaning(call.function), arguments, call.offset)
            if found.kind == "partial":
                for change in call.changes:
                    state = change.value
                    if change.how == "build" and isinstance(state, tuple) and len(state) >= 2:
                        found = Meaning("partial", base=self.meaning(state[0]), arguments=as_arguments(state[1]))
        finally:
            self._depth -= 1
        return found

    def name(self, module: str, name: str, offset: int) -> Meaning:
        """What ``module.name`` is, reached by a chain of calls."""
        found = known(module, name)
        if found.standing is Standing.HARMFUL:
            self.say(IMPORTS_HARMFUL, f"reaches {module}.{name}, which {found.effect}", offset)
        elif found.standing is Standing.UNKNOWN:
            self.say(UNKNOWN_IMPORT, f"reaches {module}.{name}, which is not known here", offset)
        return Meaning("name", module, name)

    # what calls do

    def called(self, function: Meaning, arguments: tuple[Any, ...], offset: int) -> Meaning:
        """What calling `function` does and gives."""
        kind = function.kind
        if kind == "name":
            return self._call_name(function, arguments, offset)
        if kind == "partial" and function.base is not None:
            return self.called(function.base, function.arguments + arguments, offset)
        if kind == "getter":
            base = self.meaning(arguments[0]) if arguments else UNKNOWN
            for name in function.arguments:
                found = attribute_of(self, base, name, offset)
                if len(function.arguments) == 1:
                    return found
            return UNKNOWN
        if kind == "caller":
            base = self.meaning(arguments[0]) if arguments else UNKNOWN
            method = attribute_of(self, base, function.name, offset)
            return self.called(method, function.arguments, offset)
        if kind == "attribute":
            return self._call_method(function, arguments, offset)
        if kind == "data":
            return DATA  # not callable: the loader raises an error here
        self.say(UNKNOWN_CALL, f"calls {function} with {shown(arguments)}", offset)
        return UNKNOWN

    def _call_name(self, function: Meaning, arguments: tuple[Any, ...], offset: int) -> Meaning:
        module, name = function.module, function.name
        found = known(module, name)
        if found.standing is Standing.FOLLOWED:
            self._called.add(f"{module}.{name}")
            return FOLLOWING[f"{module}.{name}"](self, arguments, offset)
        if found.standing is Standing.HARMFUL:
            call = f"{module}.{name}{_in_brackets(arguments)}"
            self._called.add(f"{module}.{name}")
            self.say(CALLS_HARMFUL, f"{call}: {found.effect}", offset, f"calls {call}, which {found.effect}")
            return imported(module, name, found, arguments) or Meaning("made", base=function)
        if found.standing is Standing.ALLOWED:
            if (module, name) == ("builtins", "str") and arguments:
                return _as_text(self.meaning(arguments[0]).value)
            if (module, name) in FRAMEWORK_CALLS and any(True for _ in texts(arguments)):
                self.say(UNKNOWN_CALL, f"{module}.{name}{_in_brackets(arguments)}", offset)
            return Meaning("made", base=function)
        self._call_unknown(module, name, arguments, offset)
        return Meaning("made", base=function)

    def _call_unknown(self, module: str, name: str, arguments: tuple[Any, ...], offset: int) -> None:
        self._called.add(f"{module}.{name}")
        call = f"{module}.{name}{_in_brackets(arguments)}"
        words = list(texts(arguments))
        function = is_function(name)
        if any(reads_like_code(word) or (function and reads_like_command(word)) for word in words):
            self.say(CALLS_WITH_CODE, call, offset, f"calls {call}")
        elif function and words and _has_no_place(module, name):
            self.say(CALLS_LIBRARY, call, offset, f"calls {call}")
        else:
            self.say(UNKNOWN_IMPORT, f"{module}.{name}, which is not known here", offset, f"calls {call}")

    def _call_method(self, method: Meaning, arguments: tuple[Any, ...], offset: int) -> Meaning:
        owner = str(method.base)
        if (owner, method.name) in PLAIN_METHODS:
            return DATA
        call = f"{method}{_in_brackets(arguments)}"
        words = list(texts(arguments))
        if method.name in METHODS or any(reads_like_code(word) for word in words):
            self.say(CALLS_METHOD, call, offset, f"calls {call}")
        else:
            self.say(UNKNOWN_CALL, call, offset, f"calls {call}")
        return Meaning("made", base=method)

    # what is imported and changed

    def _plainly_allowed(self, function: Global) -> bool:
        named = renamed(function.module, function.name)
        return known(*named).standing is Standing.ALLOWED and named not in FRAMEWORK_CALLS

    def _import(self, event: Global) -> None:
        module, name = renamed(event.module, event.name)
        found: Known = known(module, name)
        full = f"{module}.{name}"
        if module.startswith("<") or name.startswith("<"):
            self.say(COMPUTED_IMPORT, f"imports {full}", event.offset)
            return
        if found.standing is Standing.ALLOWED:
            return
        if found.standing is Standing.HARMFUL:
            if full not in self._called:
                self.say(IMPORTS_HARMFUL, f"imports {full}, which {found.effect}", event.offset)
        elif found.standing is Standing.UNKNOWN and full not in self._called:
            self.say(UNKNOWN_IMPORT, f"{full}, which is not known here", event.offset, f"imports {full}")

    def _stored(self, trace: Trace, imports: Iterable[Global]) -> None:
        """Functions whose arguments are judged when the stream calls them, and that something else may call later."""
        watched = {(event.module, event.name) for event in imports if _is_watched(event)}
        if not watched:
            return
        waiting: list[Any] = [trace.result]
        for event in trace.events:
            if isinstance(event, Call):
                own = self.meaning(event.function)
                calls_first = f"{own.module}.{own.name}" in CALLS_FIRST and isinstance(event.arguments, tuple)
                waiting.append(event.arguments[1:] if calls_first else event.arguments)
                waiting.append(event.keywords)
            elif isinstance(event, Change):
                waiting.append(event.value)
        looked_at: set[int] = set()
        while waiting and len(looked_at) < MOST_VALUES:
            value = waiting.pop()
            if isinstance(value, Global):
                if (value.module, value.name) in watched:
                    name = ".".join(renamed(value.module, value.name))
                    self.say(PASSED_ON, f"stores {name} or passes it on", value.offset)
            elif isinstance(value, (tuple, list, Mapping, Members)) and id(value) not in looked_at:
                looked_at.add(id(value))
                waiting.extend(value.items if isinstance(value, (Mapping, Members)) else value)

    def _change(self, change: Change) -> None:
        target = change.target
        if type(target) is Global:
            name = ".".join(renamed(target.module, target.name))
            what = {"build": "sets attributes of", "append": "appends to", "setitem": "sets items of"}.get(
                change.how, "adds to"
            )
            self.say(CHANGES_PROGRAM, f"{what} {name}: {shown(change.value)}", change.offset, f"{what} {name}")
            return
        if type(target) is Call:
            meaning = self.meaning(target)
            if meaning.kind in ("attribute", "module", "name", "getter", "caller"):
                self.say(CHANGES_PROGRAM, f"changes {meaning}: {shown(change.value)}", change.offset)
            elif change.how == "build":
                self._state(meaning, change)
        elif isinstance(target, (list, bytearray)):
            self.say(PLACES, f"{change.how} of {shown(change.value)}", change.offset)
        elif isinstance(target, (Persistent, Extension)):
            self.say(UNKNOWN_CALL, f"changes {shown(target)}: {shown(change.value)}", change.offset)

    def _state(self, meaning: Meaning, change: Change) -> None:
        state = change.value
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        for part in parts:
            if isinstance(part, Mapping):
                beside = part.get("filename", None)
                near = isinstance(beside, str) and "/" not in beside and "\\" not in beside
                if meaning.base is not None and meaning.base.name in ARRAYS_BESIDE and not near:
                    self.say(READS_BESIDE, f"{meaning} reads {shown(beside)}", change.offset)
                template = part.get("_parse_arg_template", None)
                if template is not None and not (isinstance(template, str) and TEMPLATE.fullmatch(template)):
                    self.say(RUNS_STATE, f"{meaning} with {shown(template)}", change.offset)
                for key in part.items[::2]:
                    if isinstance(key, str) and key in BEHAVIOUR:
                        self.say(HOOKS, f"sets {key} of {meaning}", change.offset)


def _as_text(value: Any) -> Meaning:
    """``str(value)`` and ``str(value, encoding)``, as far as it can be told."""
    if isinstance(value, (bytes, bytearray)):
        value = value.decode("latin-1")
    return Meaning("data", value=value) if isinstance(value, str) else UNKNOWN


def _is_watched(event: Global) -> bool:
    module, name = renamed(event.module, event.name)
    return known(module, name).standing is Standing.FOLLOWED and f"{module}.{name}" not in STORED_FREELY


def _has_no_place(module: str, name: str) -> bool:
    """Whether a function that is not allowed is one of a library that needs none but those."""
    if is_standard(module) or ("." in name and is_library(module)):
        return True
    return is_numerical(module) and not name.startswith("_")


def _in_brackets(arguments: tuple[Any, ...]) -> str:
    text = shown(arguments)
    return text if text.startswith("(") else f"({text})"


def judge(trace: Trace, report: Report, inner: InnerContent) -> None:
    """Judge one trace."""
    Judgement(report, inner).judge(trace)


__all__ = ["Blob", "Judgement", "judge"]
