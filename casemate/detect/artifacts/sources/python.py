"""Python source, judged by walking its syntax tree as the interpreter would go through the module.

What runs when the module is loaded is kept apart from what is only defined: functions are walked where they are
called, with what they are called with; what loaders, installers and servers call by themselves (``LOADER_METHODS``)
counts as run.  Names are resolved through imports, assignments, ``getattr`` and ``__import__``; constants are folded.
Only when the tree cannot be built is the text searched instead.
"""

from __future__ import annotations

import ast
import re
import warnings

from casemate.detect.artifacts.sources import python_tables as tables
from casemate.detect.artifacts.sources.acts import Act
from casemate.detect.artifacts.sources.python_calls import command_text, judge_call
from casemate.detect.artifacts.sources.python_expressions import MOST_STEPS, Place, SpentError
from casemate.detect.artifacts.sources.python_functions import Functions
from casemate.detect.artifacts.sources.python_values import (
    UNKNOWN,
    Value,
    method_of_text,
    of,
    union,
)
from casemate.detect.artifacts.sources.shell import judge_command

MOST_SOURCE = 8 << 20
MOST_TEXT_LAYERS = 8
SEARCHED: tuple[tuple[str, str], ...] = (
    (r"\b(?:exec|eval)\s*\(?\s*(?:\w+\.)*(?:b64decode|decompress|fromhex|unhexlify|loads)\b", "decoded_code"),
    (r"\b(?:exec|eval)\s*\(?\s*[^\n]{0,80}(?:urlopen|requests\.get)", "fetched_code"),
    (r"\bos\.(?:system|popen)\s*\(|\bsubprocess\.\w+\s*\(|\bpty\.spawn", "unknown_command"),
    (r"\b__import__\s*\(\s*['\"](?:os|subprocess|socket)", "unknown_command"),
)


ASKED_FOR = re.compile(r"['\"](?:publish|upload|tag|release|clean|test|docs?|deploy|bump)['\"]")
"""Arguments of a person to ``setup.py``; an installer gives none of them."""
_GIVEN_COMMAND = re.compile(
    r"\b(?:os\.(?:system|popen)|subprocess\.\w+)\s*\(\s*[rbfuRBFU]{0,2}(?P<quote>'''|\"\"\"|['\"])(?P<command>.{1,4000}?)(?P=quote)",
    re.DOTALL,
)
_SHELL = re.compile(r"(?:subprocess|os|pty)\.\w+\('(?:/bin/|/usr/bin/)?(?:ba|z|da)?sh(?: -i)?'|cmd\.exe|powershell")


class SyntaxNotKnown(Exception):  # noqa: N818
    """The text is no Python that this interpreter's grammar knows."""


def judge_python(source: str | bytes, place: Place = "module", called: frozenset[str] = frozenset()) -> list[Act]:
    """What the source does, in the order in which it would.

    Args:
        source: the text; bytes are decoded as PEP 263 says.
        place: what loads it: ``module`` (import), ``setup`` (an installer) or ``notebook`` (a person, cell by cell).
        called: names of functions that what loads it calls besides.

    Raises:
        SyntaxNotKnown: it cannot be parsed; :func:`search_python` looks at such text.
    """
    walk = _Walk(place, called)
    walk.module(parse_python(source))
    acts = list(dict.fromkeys(walk.acts))
    sockets = [act for act in acts if act.kind == "network" and "socket" in act.text]
    if sockets and any(act.kind == "redirect" or _SHELL.search(act.text) for act in acts):
        acts.append(Act("bad_command", "a shell is handed to a connection", sockets[0].line, sockets[0].runs))
    return acts


def search_python(text: str) -> list[Act]:
    """Acts that the text of unparsable source shows."""
    found = []
    for pattern, kind in SEARCHED:
        match = re.search(pattern, text)
        if match:
            line = text.count("\n", 0, match.start()) + 1
            found.append(Act(kind, f"{match.group()[:120]!r} in text that cannot be parsed", line, "later"))
    for match in _GIVEN_COMMAND.finditer(text):
        judgement, why = judge_command(match["command"])
        if judgement == "bad":
            line = text.count("\n", 0, match.start()) + 1
            found.append(Act("bad_command", f"{why}: {match['command'][:120]!r} in text that cannot be parsed", line))
    return found


def parse_python(source: str | bytes) -> ast.Module:
    """The syntax tree; await may stand at the top, as in notebooks.

    Raises:
        SyntaxNotKnown: it cannot be parsed, or is too long.
    """
    if len(source) > MOST_SOURCE:
        raise SyntaxNotKnown(f"more than {MOST_SOURCE} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            tree = compile(source, "source", "exec", flags, dont_inherit=True)
            assert isinstance(tree, ast.Module)
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SyntaxNotKnown(str(error)) from error


class _Walk(Functions):
    def module(self, tree: ast.Module) -> None:
        """The module, then what loaders call, then what nobody has called."""
        try:
            self.block(tree.body)
            self._called_by_loaders()
            self.runs = "later"
            for node in list(self.functions.values()):
                self._call_body(node, (), {})
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and id(node) not in self.walked:
                    self._call_body(node, (), {})
        except SpentError:
            self.acts.append(Act("not_followed", f"more than {MOST_STEPS} steps; the rest was not followed", self.line))
        except RecursionError:
            self.acts.append(Act("not_followed", "nested too deeply to be followed", self.line))

    def block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        self._step(node)
        match node:
            case ast.Import():
                for alias in node.names:
                    top = alias.name.split(".")[0]
                    self.env[alias.asname or top] = Value(name=alias.name if alias.asname else top)
            case ast.ImportFrom():
                for alias in node.names:
                    if alias.name != "*":
                        same = alias.name in tables.MODULES_EVERYWHERE and not node.level and node.module != "asyncio"
                        name = alias.name if same else f"{node.module or ''}.{alias.name}".lstrip(".")
                        self.env[alias.asname or alias.name] = Value(name=name)
                    elif node.module in ("os", "subprocess", "socket", "base64", "ctypes", "urllib.request", "posix"):
                        self.env["*"] = Value(name=node.module)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                    self.value(default)
                self._define(node.name, node)
                self.defined(node)
            case ast.ClassDef():
                for part in (*node.bases, *(keyword.value for keyword in node.keywords)):
                    self.value(part)
                outer = dict(self.env)
                self.block(node.body)
                self.env = outer
                self._define(node.name, node)
                self.defined(node)
            case ast.Assign():
                value = self.value(node.value)
                for target in node.targets:
                    self.assign(target, value)
            case ast.AnnAssign():
                if node.value is not None:
                    self.assign(node.target, self.value(node.value))
            case ast.AugAssign():
                value = self._binary(node.op, self.value(node.target), self.value(node.value))
                self.assign(node.target, value)
            case ast.Return():
                value = self.value(node.value) if node.value is not None else of(None)
                self.returned.append(value)
            case ast.If():
                self._if(node)
            case ast.For() | ast.AsyncFor():
                items = self.value(node.iter)
                first = (
                    items.constant[0]
                    if isinstance(items.constant, tuple) and items.constant
                    else Value(marks=items.marks)
                )
                self.assign(node.target, first)
                self.block(node.body)
                self.block(node.orelse)
            case ast.While():
                self.value(node.test)
                self.block(node.body)
                self.block(node.orelse)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    value = self.value(item.context_expr)
                    if item.optional_vars is not None:
                        self.assign(item.optional_vars, value)
                self.block(node.body)
            case ast.Try() | ast.TryStar():
                self.block(node.body)
                for handler in node.handlers:
                    self.block(handler.body)
                self.block(node.orelse)
                self.block(node.finalbody)
            case ast.Match():
                self.value(node.subject)
                for case in node.cases:
                    self.block(case.body)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)

    def _if(self, node: ast.If) -> None:
        test = ast.unparse(node.test) if not isinstance(node.test, ast.Constant) else ""
        self.value(node.test)
        main = "__name__" in test and "__main__" in test
        before = self.runs
        asked = "sys.argv" in test and ASKED_FOR.search(test)
        if (main and self.place == "module") or asked or test.endswith("TYPE_CHECKING"):
            self.runs = "later"
        self.block(node.body)
        self.runs = before
        self.block(node.orelse)

    def _define(self, name: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda) -> None:
        self.functions[name] = node
        self.env[name] = Value(name=f"here.{name}")

    def assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.env[target.id] = value
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value)
            if isinstance(target.value, ast.Name):
                self.env[f"{target.value.id}.{target.attr}"] = value
            if owner.name in ("builtins", "sys", "os") and value.name and value.name.startswith("here."):
                self._called_back(value)
        elif isinstance(target, ast.Tuple | ast.List):
            parts = value.constant if isinstance(value.constant, tuple) else ()
            for index, inner in enumerate(target.elts):
                self.assign(inner, parts[index] if index < len(parts) else Value(marks=value.marks))
        elif isinstance(target, ast.Starred):
            self.assign(target.value, Value(marks=value.marks))
        elif isinstance(target, ast.Subscript):
            self.value(target.value)
            if isinstance(target.value, ast.Name) and isinstance(target.slice, ast.Constant):
                self.env[f"{target.value.id}[{target.slice.value!r}]"] = value

    def call(self, node: ast.Call) -> Value:
        line = self.line = self.line if self.layers else node.lineno
        arguments = tuple(self.value(argument) for argument in node.args)
        keywords = {keyword.arg or "**": self.value(keyword.value) for keyword in node.keywords}
        owner = UNKNOWN
        if isinstance(node.func, ast.Attribute):
            owner = self.value(node.func.value)
            if self.hides(node.func.attr, owner):
                self.report("hidden_name", f"reaches {node.func.attr}")
            if isinstance(owner.constant, str | bytes):
                return method_of_text(owner, node.func.attr, arguments)
            if owner.name is None or owner.name.endswith("()"):
                marks = union(owner, *arguments)
                if node.func.attr == "join" and "joined" in marks:
                    marks |= {"decoded"}
                if owner.name is None:
                    self._callbacks(arguments, keywords)
                    if node.func.attr == "__subclasses__" and self.hides(node.func.attr, owner):
                        marks |= {"hidden"}
                    return Value(marks=marks)
            function = self._attribute(node.func)
            if owner.given and function.name and function.name.startswith("pathlib."):
                arguments = (Value(name=owner.name, given=owner.given), *arguments)
        else:
            function = self.value(node.func)
        self.line = line
        name = function.name
        if name is None:
            self._callbacks(arguments, keywords)
            if "hidden" in function.marks and (told := command_text(arguments, keywords)):
                self.report("hidden_command", f"a class looked up among all there are is called with {told[:120]!r}")
            return Value(marks=union(function, *arguments))
        if name.startswith("here."):
            return self._call_here(name[5:], arguments, keywords)
        if name in ("functools.partial", "threading.Thread", "threading.Timer", "multiprocessing.Process"):
            self._callbacks(arguments, keywords, name)
            if name == "functools.partial" and arguments and arguments[0].name:
                return Value(name=f"partial {len(self.env)}", given=arguments)
            target = keywords.get("target", UNKNOWN)
            if target.name and not target.name.startswith("here."):
                inner = keywords.get("args", UNKNOWN).constant
                judge_call(
                    target.name, inner if isinstance(inner, tuple) else (), {}, self.report, self.run_text, self.place
                )
            return Value(name=name + "()")
        if name.startswith("partial ") and function.given:
            arguments = (*function.given[1:], *arguments)
            name = function.given[0].name or ""
        elif name == "operator.methodcaller()" and function.given and arguments and arguments[0].name:
            name, arguments = f"{arguments[0].name}.{function.given[0].text()}", function.given[1:]
        elif name == "operator.attrgetter()" and function.given and arguments and arguments[0].name:
            return Value(name=f"{arguments[0].name}.{function.given[0].text()}")
        if "hidden" in function.marks and (tables.COMMANDS.fullmatch(name) or tables.CODE.fullmatch(name)):
            self.report("hidden_command", f"{name} under a name that is put together")
        self._callbacks(arguments, keywords, name)
        self._handed(name, arguments, keywords)
        result = judge_call(name, arguments, keywords, self.report, self.run_text, self.place)
        return result.marked(*owner.marks) if owner.marks else result

    def run_text(self, text: str, value: Value) -> None:
        """Text that is run as code is walked like the module."""
        if self.layers >= MOST_TEXT_LAYERS:
            self.report("decoded_code", f"code in code, more than {MOST_TEXT_LAYERS} layers")
            return
        try:
            tree = parse_python(text.lstrip())
        except SyntaxNotKnown:
            return
        self.layers += 1
        line = self.line
        self.block(tree.body)
        self.line = line
        self.layers -= 1
