"""Functions and classes of a module, walked where somebody calls them; between the expressions and the walk itself.

Who calls: the module, whoever is handed a function (:data:`CALLS_AT_ONCE`, ``python_tables.HANDED``), decorators and
metaclasses when what they stand on is defined, and loaders, installers and servers by themselves.
"""

from __future__ import annotations

import ast

from casemate.detect.artifacts.sources import python_tables as tables
from casemate.detect.artifacts.sources.python_calls import judge_call
from casemate.detect.artifacts.sources.python_expressions import Expressions
from casemate.detect.artifacts.sources.python_values import UNKNOWN, Value, union

MOST_DEPTH = 24
MOST_TIMES = 12
"""How often the body of one function is walked with other arguments when it is called from other functions."""
CALLS_AT_ONCE = frozenset(
    {"threading.Thread", "threading.Timer", "multiprocessing.Process", "atexit.register", "builtins.map", "builtins.filter",  # noqa: E501
     "builtins.sorted", "builtins.max", "builtins.min", "builtins.any", "builtins.all", "asyncio.run", "functools.reduce",  # noqa: E501
     "_thread.start_new_thread", "threading.Thread()", "concurrent.futures.ThreadPoolExecutor().submit", "sys.settrace",
     "builtins.list", "concurrent.futures.ThreadPoolExecutor().map", "multiprocessing.Pool().map"}
)  # fmt: skip
"""What calls the functions it is handed, at once or soon; others may never do."""
REQUEST = Value(marks=frozenset({"request"}))
"""What a server hands on from whoever asks it."""


class Functions(Expressions):
    """The walk's part that follows calls of what the module defines."""

    def _called_by_loaders(self) -> None:
        for name, node in list(self.functions.items()):
            if isinstance(node, ast.ClassDef):
                bases = [
                    ast.unparse(base).rpartition(".")[2]
                    for base in node.bases
                    if isinstance(base, ast.Name | ast.Attribute)
                ]
                methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)]
                names = {inner.name for inner in methods}
                serves = bool(tables.LOADER_CLASSES.fullmatch(node.name)) or any(
                    needed <= names for needed in tables.SERVER_METHODS
                )
                if serves or any(tables.LOADER_BASES.match(base) for base in bases):
                    for inner in methods:
                        if inner.name in tables.LOADER_METHODS:
                            self.runs = "loaded"
                            asked = serves and inner.name in tables.ASKED_METHODS
                            self._call_body(inner, (UNKNOWN, *[REQUEST] * 4) if asked else (), {})
            elif name in tables.LOADER_FUNCTIONS or name in self.called_by_name:
                self.runs = "loaded"
                self._call_body(node, (REQUEST,) * 4 if name in tables.ASKED_FUNCTIONS else (), {})

    def _callbacks(self, arguments: tuple[Value, ...], keywords: dict[str, Value], name: str = "") -> None:
        """Functions of this module that are handed to somebody who calls them."""
        before = self.runs
        if before == "now" and name not in CALLS_AT_ONCE:
            self.runs = "loaded"
        for value in (*arguments, *keywords.values()):
            if value.name and value.name.startswith("here.") and not value.name.endswith("()"):
                self._called_back(value)
        self.runs = before

    def _called_back(self, value: Value) -> None:
        name = (value.name or "")[5:]
        node = self.functions.get(name)
        if node is not None and not isinstance(node, ast.ClassDef):
            self._call_body(node, (), {})
        elif isinstance(node, ast.ClassDef):
            self._instance(node, ())

    def _call_here(self, name: str, arguments: tuple[Value, ...], keywords: dict[str, Value]) -> Value:
        node = self.functions.get(name) or self.functions.get(name.rpartition(".")[2])
        if isinstance(node, ast.ClassDef):
            self._instance(node, arguments)
            return Value(name=f"here.{name}()")
        if node is None:
            self._callbacks(arguments, keywords)
            method = name.rpartition(".")[2]
            owner = self.functions.get(name.partition("()")[0])
            if isinstance(owner, ast.ClassDef):
                node = next(
                    (inner for inner in owner.body if isinstance(inner, ast.FunctionDef) and inner.name == method), None
                )
            if node is None:
                return Value(marks=union(*arguments))
            arguments = (UNKNOWN, *arguments)
        return self._call_body(node, arguments, keywords)

    def _instance(self, node: ast.ClassDef, arguments: tuple[Value, ...]) -> None:
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name in (
                "__init__",
                "__new__",
                "__post_init__",
                "__call__",
                "__enter__",
                "__del__",
            ):
                self._call_body(inner, (UNKNOWN, *arguments), {})

    def _call_body(self, node: ast.AST, arguments: tuple[Value, ...], keywords: dict[str, Value]) -> Value:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and id(inner) not in self.walked:
                    self._call_body(inner, (), {})
            return UNKNOWN
        if self.depth >= MOST_DEPTH or (self.runs == "later" and id(node) in self.walked):
            return UNKNOWN
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        self.walked.add(id(node))
        self.times[id(node)] = self.times.get(id(node), 0) + 1
        if self.times[id(node)] > MOST_TIMES and self.depth > 1:
            return UNKNOWN
        outer, returned, line = self.env, self.returned, self.line
        self.env, self.returned = dict(outer), []
        self.depth += 1
        names = [parameter.arg for parameter in (*node.args.posonlyargs, *node.args.args)]
        defaults = dict(zip(names[::-1], [self.value(d) for d in node.args.defaults][::-1], strict=False))
        for index, name in enumerate(names):
            self.env[name] = (
                arguments[index] if index < len(arguments) else keywords.get(name, defaults.get(name, UNKNOWN))
            )
        for parameter in (*node.args.kwonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))):
            self.env[parameter.arg] = keywords.get(parameter.arg, UNKNOWN)
        try:
            if isinstance(node, ast.Lambda):
                return self.value(node.body)
            self.block(node.body)
            values = [value for value in self.returned if value.known or value.name or value.marks]
            return values[-1] if values else UNKNOWN
        finally:
            self.depth -= 1
            self.env, self.returned, self.line = outer, returned, line

    def _handed(self, name: str, arguments: tuple[Value, ...], keywords: dict[str, Value]) -> None:
        """Functions of other modules handed to somebody who calls them: ``atexit.register(os.system, "id")``."""
        for pattern, place, given in tables.HANDED:
            if not pattern.fullmatch(name) or len(arguments) <= place:
                continue
            called = arguments[place].name
            if not called or called.startswith("here."):
                return
            inner = arguments[place + 1 :]
            if given != "rest":
                first = (inner[0] if inner else keywords.get("args", UNKNOWN)).constant
                inner = first if isinstance(first, tuple) else ()
                if given == "items":
                    inner = inner[:1]
            judge_call(called, inner, {}, self.report, self.run_text, self.place)
            return

    def defined(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        """What is called when a function or class is defined: decorators, the metaclass, hooks of a base class."""
        for decorator in node.decorator_list:
            value = self.value(decorator)
            name = value.name or ""
            if tables.COMMANDS.fullmatch(name) or tables.CODE.fullmatch(name):
                self.report("hidden_command", f"{name} as a decorator")
            elif name.startswith("here."):
                self._called_back(value)
        if isinstance(node, ast.ClassDef):
            for keyword in node.keywords:
                if keyword.arg == "metaclass":
                    self._hooks(self.value(keyword.value), ("__new__", "__init__", "__prepare__"))
            for base in node.bases:
                self._hooks(self.value(base), ("__init_subclass__", "__class_getitem__"))

    def _hooks(self, owner: Value, names: tuple[str, ...]) -> None:
        node = self.functions.get((owner.name or "").removeprefix("here."))
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name in names:
                    self._call_body(inner, (), {})

    def block(self, body: list[ast.stmt]) -> None:
        """Walk statements."""
        raise NotImplementedError

    def run_text(self, text: str, value: Value) -> None:
        """Walk text that is run as code."""
        raise NotImplementedError
