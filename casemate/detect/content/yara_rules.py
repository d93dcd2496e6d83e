"""YARA rules as files and compiled: every rule that cannot be compiled is named with its reason, never dropped.

Each file is a namespace of its own, so that equal names do not meet.  ``include`` is refused: rules may not read files.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casemate.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    import yara_x

SUFFIXES = (".yar", ".yara")
MOST_FILES = 50_000
MOST_FILE_BYTES = 32 * 1024 * 1024
MOST_BYTES = 256 * 1024 * 1024
MISSING = "content rules need YARA-X, which is not installed"
HINT = "pip install 'casemate[yara]'"
_DECLARED = re.compile(rb"^[ \t]*(?:(?:private|global)[ \t]+)*rule[ \t]+([A-Za-z_]\w{0,127})", re.MULTILINE)
_COMMENTS = re.compile(rb"/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class RuleSource:
    """One file of rules: its path as shown, its text; or why it cannot be read."""

    path: str
    content: bytes = b""
    trouble: str | None = None


@dataclass(frozen=True)
class RuleState:
    """One rule or file: ``ran`` (compiled), ``not_compiled`` or ``not_read``, and why or with which warnings."""

    rule: str | None
    path: str
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class CompiledRules:
    """Rules ready to scan with; `digest` names the sources and the library."""

    rules: yara_x.Rules | None
    states: tuple[RuleState, ...]
    digest: str


def library() -> Any:
    """The module of YARA-X.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import yara_x
    except ImportError:
        raise MissingExtra(MISSING, hint=HINT) from None
    return yara_x


def available() -> bool:
    """Whether YARA-X is installed."""
    try:
        library()
    except MissingExtra:
        return False
    return True


def read_rule_sources(paths: Iterable[Path]) -> list[RuleSource]:
    """The rule files of folders, zip archives and single files, by path.

    Raises:
        BadInput: a path is not there, or holds no YARA rules.
    """
    found: list[RuleSource] = []
    for path in paths:
        if path.is_dir():
            files = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
            if not files:
                raise BadInput("no YARA rule files (.yar, .yara) below this folder", where=str(path))
            found += [_file(one, one.relative_to(path).as_posix()) for one in files[:MOST_FILES]]
            if len(files) > MOST_FILES:
                found.append(RuleSource(str(path), trouble=f"{len(files) - MOST_FILES:,} files over the limit"))
        elif not path.is_file():
            raise BadInput("no such file or folder", where=str(path))
        elif zipfile.is_zipfile(path):
            found += _members(path)
        else:
            found.append(_file(path, path.name))
    return _bounded(found)


def _bounded(found: Sequence[RuleSource]) -> list[RuleSource]:
    size, kept = 0, []
    for source in found:
        size += len(source.content)
        over = size > MOST_BYTES
        kept.append(RuleSource(source.path, trouble=f"over {MOST_BYTES:,} bytes of rules in all") if over else source)
    return kept


def _file(path: Path, shown: str) -> RuleSource:
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            return RuleSource(shown, trouble=f"larger than {MOST_FILE_BYTES:,} bytes")
        return RuleSource(shown, path.read_bytes())
    except OSError as error:
        return RuleSource(shown, trouble=f"cannot be read: {error.strerror}")


def _members(path: Path) -> Iterator[RuleSource]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.lower().endswith(SUFFIXES)]
            if not members:
                raise BadInput("holds no YARA rules (.yar, .yara)", where=str(path))
            for one in members[:MOST_FILES]:
                with archive.open(one) as stream:
                    content = stream.read(MOST_FILE_BYTES + 1)
                large = len(content) > MOST_FILE_BYTES
                yield RuleSource(one.filename, trouble="too large") if large else RuleSource(one.filename, content)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise BadInput(f"not a readable zip archive: {error}", where=str(path)) from error


def declared(content: bytes) -> list[str]:
    """Names of rules that a text seems to declare, in order."""
    return [name.decode() for name in _DECLARED.findall(_COMMENTS.sub(b"", content))]


def digest_of(sources: Iterable[RuleSource], version: str) -> str:
    """Names a rule set."""
    digester = hashlib.sha256(version.encode())
    for source in sorted(sources, key=lambda one: (one.path, one.content)):
        digester.update(f"\n{source.path}\n{source.trouble}\n".encode())
        digester.update(hashlib.sha256(source.content).digest())
    return digester.hexdigest()[:32]


def compile_rules(sources: Sequence[RuleSource], digest: str) -> CompiledRules:
    """Compile all that can be, and say of every rule what became of it.

    Raises:
        MissingExtra: YARA-X is not installed.
    """
    yara = library()
    compiler = yara.Compiler(relaxed_re_syntax=True)
    compiler.enable_includes(False)
    states: list[RuleState] = []
    seen: dict[str, int] = {}
    told = 0
    namespaces: dict[str, str] = {}
    wanted: dict[str, list[str]] = {}
    for source in sources:
        if source.trouble is not None:
            states.append(RuleState(None, source.path, "not_read", source.trouble))
            continue
        seen[source.path] = seen.get(source.path, 0) + 1
        namespace = source.path if seen[source.path] == 1 else f"{source.path} ({seen[source.path]})"
        namespaces[namespace] = source.path
        wanted[namespace] = declared(source.content)
        compiler.new_namespace(namespace)
        try:
            text = source.content.decode()
        except UnicodeDecodeError:
            text = source.content.decode("latin-1")
        try:
            compiler.add_source(text, origin=source.path)
        except (yara.CompileError, ValueError):
            new = compiler.errors()[told:]
            told += len(new)
            states += _refused(source, new)
    rules = compiler.build()
    ready: dict[str, set[str]] = {}
    for rule in rules:
        ready.setdefault(rule.namespace, set()).add(rule.identifier)
    for namespace, names in wanted.items():
        path = namespaces[namespace]
        compiled = ready.get(namespace, set())
        states += [RuleState(name, path, "ran") for name in sorted(compiled)]
        said = {state.rule for state in states if state.path == path and state.state == "not_compiled"}
        states += [
            RuleState(name, path, "not_compiled", "its file could not be compiled from its first error on")
            for name in dict.fromkeys(names)
            if name not in compiled and name not in said
        ]
    states = [replace(one, rule=None) if _misnamed(one, namespaces, ready) else one for one in states]
    ordered = tuple(sorted(states, key=lambda one: (one.path, one.rule or "", one.state)))
    return CompiledRules(rules if ready else None, ordered, digest)


def _misnamed(state: RuleState, namespaces: dict[str, str], ready: dict[str, set[str]]) -> bool:
    """Whether an error stands after a rule that is compiled: it is about something else in the file."""
    return state.state == "not_compiled" and any(
        state.rule in ready.get(namespace, ()) for namespace, path in namespaces.items() if path == state.path
    )


def _refused(source: RuleSource, errors: Iterable[dict[str, Any]]) -> Iterator[RuleState]:
    """A row per error, under the rule that stands before it."""
    lines = source.content.split(b"\n")
    for error in errors:
        line = error.get("line") or 1
        before = declared(b"\n".join(lines[:line]))
        reason = f"{error.get('title', 'cannot be compiled')} (line {line})"
        yield RuleState(before[-1] if before else None, source.path, "not_compiled", reason)
