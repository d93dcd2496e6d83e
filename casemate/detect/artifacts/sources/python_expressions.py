"""Python expressions as far as their values can be known without running them; the base of the walk in python.py."""

from __future__ import annotations

import ast
import re
from typing import Literal

from casemate.detect.artifacts.sources.acts import Act
from casemate.detect.artifacts.sources.python_tables import MODULES_EVERYWHERE
from casemate.detect.artifacts.sources.python_values import NOTHING, UNKNOWN, Value, of, plain, together, union

Place = Literal["module", "setup", "notebook"]

MOST_STEPS = 400_000
PRESUMED = (
    "get_ipython",
    "os",
    "sys",
    "subprocess",
    "requests",
    "socket",
    "base64",
    "pickle",
    "urllib",
    "codecs",
    "zlib",
)
HIDING = frozenset({"__subclasses__", "f_builtins", "func_globals", "gi_frame", "f_back"})
"""Attributes that lead from any object to everything; few programs need them."""
UPWARDS = frozenset({"__base__", "__bases__", "__mro__"})
"""Attributes that lead from a class to what all classes come from."""
WAYS_OUT = frozenset({"__builtins__", "os", "sys", "subprocess", "eval", "exec", "__import__", "open", "importlib"})
"""What is looked up in somebody else's names when one's own must not show it."""


class SpentError(Exception):
    """The steps allowed for one source are used up."""


class Expressions:
    """What is known of names and values at one point of a module; :mod:`.python` moves the point."""

    def __init__(self, place: Place, called: frozenset[str] = frozenset()) -> None:
        self.acts: list[Act] = []
        self.place = place
        self.called_by_name = called
        self.steps = 0
        self.runs = "now"
        self.line = 1
        self.layers = 0
        self.depth = 0
        # cells use what was imported in ways that a notebook does not show
        names = PRESUMED if place == "notebook" else ()
        self.env: dict[str, Value] = {name: Value(name=name) for name in names}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef] = {}
        self.walked: set[int] = set()
        self.times: dict[int, int] = {}
        self.returned: list[Value] = []

    def report(self, kind: str, text: str, severity=None) -> None:
        """One act, at the line where the walk is."""
        self.acts.append(Act(kind, text, self.line, self.runs, severity))

    def hides(self, attribute: str, owner: Value) -> bool:
        """Whether an attribute leads from `owner` to everything; a class may well ask for its own subclasses."""
        if attribute == "__subclasses__":
            return "base" in owner.marks or owner.name in ("builtins.object", "builtins.type")
        return attribute in HIDING and not isinstance(owner.constant, str | bytes)

    def value(self, node: ast.expr) -> Value:
        self._step(node)
        match node:
            case ast.Constant():
                return of(node.value)
            case ast.Name():
                return self._name(node.id)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self.call(node)
            case ast.BinOp():
                return self._binary(node.op, self.value(node.left), self.value(node.right))
            case ast.JoinedStr():
                return self._formatted(node)
            case ast.List() | ast.Tuple() | ast.Set():
                return Value(constant=tuple(self.value(element) for element in node.elts))
            case ast.Dict():
                keys = [self.value(key) if key is not None else UNKNOWN for key in node.keys]
                values = [self.value(value) for value in node.values]
                table = [(key.constant, value) for key, value in zip(keys, values, strict=True) if key.known]
                return Value(marks=union(*values), table=tuple(table[:256]))
            case ast.Subscript():
                return self._subscript(node)
            case ast.Lambda():
                name = f"lambda {id(node)}"
                self.functions[name] = node
                return Value(name=f"here.{name}")
            case ast.IfExp():
                self.value(node.test)
                yes, no = self.value(node.body), self.value(node.orelse)
                return yes if yes.known or yes.name else no
            case ast.NamedExpr():
                value = self.value(node.value)
                self.assign(node.target, value)
                return value
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return self._comprehension(node)
            case ast.Await() | ast.Starred() | ast.FormattedValue():
                return self.value(node.value)
            case ast.UnaryOp():
                value = self.value(node.operand)
                negative = isinstance(node.op, ast.USub) and isinstance(value.constant, int | float)
                return of(-value.constant) if negative else Value(marks=value.marks)
            case _:
                values = [self.value(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
                return Value(marks=union(*values), name=next((value.name for value in values if value.name), None))

    def _name(self, name: str) -> Value:
        if name in self.env:
            return self.env[name]
        if name in ("__builtins__", "__builtin__"):
            return Value(name="builtins")
        if "*" in self.env and not hasattr(__builtins__, name) and name not in _BUILTINS:
            return Value(name=f"{self.env['*'].name}.{name}")
        return Value(name=f"builtins.{name}") if name in _BUILTINS else UNKNOWN

    def _attribute(self, node: ast.Attribute) -> Value:
        if isinstance(node.value, ast.Name):
            known = self.env.get(f"{node.value.id}.{node.attr}")
            if known is not None:
                return known
        owner = self.value(node.value)
        if self.hides(node.attr, owner):
            self.report("hidden_name", f"reaches {node.attr}")
        if node.attr in UPWARDS:
            owner = owner.marked("base")
        if owner.name is not None:
            module = owner.name.partition(".")[0]
            if node.attr in MODULES_EVERYWHERE and "()" not in owner.name and module not in ("here", "asyncio"):
                return Value(name=node.attr, marks=owner.marks)
            name = (
                owner.name if node.attr in ("__dict__", "__builtins__", "__globals__") else f"{owner.name}.{node.attr}"
            )
            if owner.name.startswith("builtins") and node.attr == "__builtins__":
                name = "builtins"
            if name.startswith("here.") and owner.name.count("()"):
                return Value(name=f"here.{node.attr}" if node.attr in self.functions else name, marks=owner.marks)
            return Value(name=name, given=owner.given, marks=owner.marks)
        return Value(marks=owner.marks)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
        generator = node.generators[0]
        items = self.value(generator.iter)
        target = generator.target
        parts = plain(items)
        if (
            isinstance(parts, list | bytes | str)
            and len(parts) <= 20_000
            and len(node.generators) == 1
            and not generator.ifs
        ):
            results = []
            for part in parts:
                self.assign(target, value_of(part))
                results.append(self.value(node.elt))
            marks = items.marks | ({"joined"} if results else set()) | ({"decoded"} if _is_chr(node.elt) else set())
            return Value(constant=tuple(results), marks=marks)
        self.assign(target, Value(marks=items.marks))
        for condition in generator.ifs:
            self.value(condition)
        for more in node.generators[1:]:
            self.assign(more.target, Value(marks=self.value(more.iter).marks))
        element = self.value(node.elt)
        return Value(marks=items.marks | element.marks | ({"decoded"} if _is_chr(node.elt) else set()))

    def _formatted(self, node: ast.JoinedStr) -> Value:
        parts = [self.value(part) for part in node.values]
        texts = [str(part.constant) if part.known and not isinstance(part.constant, tuple) else None for part in parts]
        if all(text is not None for text in texts):
            return Value(constant="".join(filter(None, texts)), marks=union(*parts))
        fixed = "".join(text if text is not None else "X" for text in texts)
        return Value(constant=fixed, marks=union(*parts)) if texts and texts[0] else Value(marks=union(*parts))

    def _binary(self, operator: ast.operator, left: Value, right: Value) -> Value:
        marks = union(left, right)
        one, two = left.constant, right.constant
        if isinstance(operator, ast.Add) and isinstance(one, str | bytes) and type(one) is type(two):
            if len(one) + len(two) < 1 << 22:
                return Value(constant=one + two, marks=marks | together(one + two, one, two))
        elif isinstance(operator, ast.Add) and isinstance(one, tuple) and isinstance(two, tuple):
            return Value(constant=one + two, marks=marks)
        elif (
            isinstance(operator, ast.Mult)
            and isinstance(one, str | bytes)
            and isinstance(two, int)
            and 0 <= two < 65536
        ):
            if len(one) * two < 1 << 20:
                return Value(constant=one * two, marks=marks)
        elif isinstance(operator, ast.Mod) and isinstance(one, str) and two is not NOTHING:
            given = plain(right)
            try:
                filled = (
                    one % (tuple(given) if isinstance(given, list) else given)
                    if len(one) < 65536 and not re.search(r"%\d{4}", one)
                    else None
                )
                if isinstance(filled, str):
                    return Value(constant=filled, marks=marks | together(filled, one, given))
            except (TypeError, ValueError, KeyError):
                return Value(marks=marks)
        elif isinstance(operator, ast.Div) and left.name and "Path" in left.name:
            start = left.given[0].text() if left.given else "~" if left.name.endswith("home()") else "X"
            path = (start or "X").rstrip("/") + "/" + (right.text() or "X")
            return Value(name="pathlib.Path()", given=(of(path),), marks=marks)
        elif isinstance(one, int) and isinstance(two, int) and abs(one) < 1 << 64 and abs(two) < 1 << 64:
            return _arithmetic(operator, one, two, marks)
        if isinstance(operator, ast.Add) and isinstance(one, str):
            return Value(constant=one + "X", marks=marks)
        return Value(marks=marks)

    def _subscript(self, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Constant):
            known = self.env.get(f"{node.value.id}[{node.slice.value!r}]")
            if known is not None:
                return known
        owner = self.value(node.value)
        constant = owner.constant
        if isinstance(node.slice, ast.Slice):
            bounds = [
                self.value(part).constant if part is not None else None
                for part in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            if (
                isinstance(constant, str | bytes | tuple)
                and all(bound is None or isinstance(bound, int) for bound in bounds)
                and bounds[2] != 0
            ):
                backwards = isinstance(bounds[2], int) and bounds[2] < 0 and isinstance(constant, str | bytes)
                marks = owner.marks | {"joined"} | ({"decoded"} if backwards else set())
                return Value(constant=constant[slice(*bounds)], marks=marks)
            return Value(marks=owner.marks)
        key = self.value(node.slice)
        if (
            isinstance(constant, tuple | str)
            and isinstance(key.constant, int)
            and -len(constant) <= key.constant < len(constant)
        ):
            part = constant[key.constant]
            return part if isinstance(part, Value) else of(part, *owner.marks, "joined")
        through = node.value.attr if isinstance(node.value, ast.Attribute) else ""
        lookup = through in ("__globals__", "f_globals")
        if lookup and key.constant in WAYS_OUT:
            self.report("hidden_name", f"looks up {key.constant} in {through}")
            return Value(name="builtins" if key.constant == "__builtins__" else str(key.constant))
        if owner.table and key.known:
            return next((value for name, value in reversed(owner.table) if name == key.constant), UNKNOWN)
        if owner.name == "builtins" and key.constant == "__builtins__":
            return owner
        if owner.name is not None and isinstance(key.constant, str):
            if owner.name == "os.environ":
                return Value(marks=owner.marks)
            base = "" if owner.name == "sys.modules" else f"{owner.name}."
            if owner.name == "builtins" and key.constant in self.env:
                return self.env[key.constant]
            if key.marks & {"joined", "decoded"} and owner.name in MODULES_EVERYWHERE:
                self.report("hidden_name", f"looks up {owner.name}.{key.constant[:80]} by a name that is put together")
                return Value(name=base + key.constant, marks=owner.marks | {"hidden"})
            return Value(name=base + key.constant, marks=owner.marks)
        return Value(marks=owner.marks | key.marks)

    def _step(self, node: ast.AST) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise SpentError
        self.line = getattr(node, "lineno", self.line) if not self.layers else self.line

    def assign(self, target: ast.expr, value: Value) -> None:
        """Give a target a value."""
        raise NotImplementedError

    def call(self, node: ast.Call) -> Value:
        """The result of a call, whose acts are reported."""
        raise NotImplementedError


def _is_chr(node: ast.expr) -> bool:
    """Whether text is put together from the numbers of its letters, as nobody writes it."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "chr"


def value_of(part: object) -> Value:
    return Value(constant=tuple(value_of(inner) for inner in part)) if isinstance(part, list) else of(part)


def _arithmetic(operator: ast.operator, one: int, two: int, marks: frozenset[str]) -> Value:
    match operator:
        case ast.Add():
            return of(one + two, *marks)
        case ast.Sub():
            return of(one - two, *marks)
        case ast.BitXor():
            return of(one ^ two, *marks, "decoded")
        case ast.Mod() if two:
            return of(one % two, *marks)
        case ast.Mult():
            return of(one * two, *marks)
    return Value(marks=marks)


_BUILTINS = frozenset(dir(__import__("builtins")))
