"""Compiled Python (``.pyc``): what its code objects name, import and carry.

Definition: PEP 552, and :mod:`casemate.detect.artifacts.sources.marshalled`.  Loaders: the interpreter, which imports a
``.pyc`` without its source, and runs the one in ``__pycache__`` in place of a source of the same date.

Instructions are not followed: what a module does is judged by the names and constants that it can only do harm with.
Nothing makes it ``safe``: instructions that no compiler writes can reach past what the code names, into the memory of
the interpreter.
"""

from __future__ import annotations

from collections.abc import Iterable

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, MALICIOUS_PACKAGE, MASQUERADING, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.native_code import DATA_NAME
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.pickle.streams import harm_in
from casemate.detect.artifacts.sources.marshalled import CodeObject, NotMarshalled, read_compiled
from casemate.detect.artifacts.sources.shell import judge_command

MOST_BYTES = 64 << 20

COMMAND = Rule("pyc.command", "malicious", MALICIOUS_PACKAGE, "runs the command")
LATER_COMMAND = Rule(
    "pyc.later_command", "suspicious", MALICIOUS_PACKAGE, "runs the command when the function is called"
)
DECODED = Rule("pyc.decoded_code", "malicious", MALICIOUS_PACKAGE, "decodes or fetches code and runs it")
LATER_DECODED = Rule(
    "pyc.later_decoded_code", "suspicious", MALICIOUS_PACKAGE, "decodes or fetches code and runs it when it is called"
)
SHELL = Rule("pyc.remote_shell", "malicious", MALICIOUS_PACKAGE, "connects a shell to another machine")
HIDDEN = Rule("pyc.hidden_pickle", "suspicious", MALICIOUS_PACKAGE, "carries a pickle that does harm when it is loaded")
NOT_FOLLOWED = Rule(
    "pyc.not_followed", "unscannable", MALICIOUS_PACKAGE, "runs instructions that were not followed here"
)
BROKEN = Rule("pyc.broken", "unscannable", CORRUPT_MODEL, "raises an error, or runs it if its version knows it")
MISNAMED = Rule("pyc.misnamed", "malicious", MASQUERADING, "runs compiled code that the name denies")

_RUNNER_WORDS = (
    "system popen Popen run call check_call check_output getoutput getstatusoutput startfile spawn spawnl spawnle "
    "spawnlp spawnv spawnve spawnvp execl execle execlp execv execve execvp posix_spawn create_subprocess_shell "
    "create_subprocess_exec"
)
_RUNNERS = frozenset(_RUNNER_WORDS.split())
_EVALUATORS = frozenset(
    {"exec", "eval", "compile", "FunctionType", "CodeType", "run_path", "run_module", "exec_module"}
)
_DECODER_WORDS = (
    "b64decode b32decode b16decode b85decode a85decode decodebytes urlsafe_b64decode unhexlify a2b_hex a2b_base64 "
    "fromhex decompress urlopen urlretrieve marshal"
)
_DECODERS = frozenset(_DECODER_WORDS.split())
_SHELL_PARTS = frozenset({"dup2", "socket"}), frozenset({"socket", "pty"})


def recognise(content: Content) -> bool:
    """Whether it begins like a ``.pyc`` of Python 3.0 or newer."""
    head = content.head(32)
    return (
        head[2:4] == b"\r\n"
        and 0x0BB8 < int.from_bytes(head[:2], "little") < 0x0F00
        and any(head[at : at + 1] in (b"\xe3", b"c") for at in (12, 16))
    )


def inspect(content: Content, inspection: Inspection) -> None:
    """Read the code objects and judge what they name."""
    inspection.own_all()
    if content.size > MOST_BYTES:
        inspection.report(BROKEN, f"more than {MOST_BYTES} bytes")
        return
    try:
        module, end = read_compiled(content.whole())
    except (NotMarshalled, RecursionError) as error:
        inspection.report(BROKEN, str(error) or "it is nested too deeply")
        return
    if end < content.size:
        inspection.report(BROKEN, f"{content.size - end} bytes after the code", end)
    if DATA_NAME.search(content.name.lower()):
        inspection.report(MISNAMED, f"compiled Python under the name {content.name.rpartition('/')[2]!r}"[:200], 0)
    objects = list(module.all())
    used = {name for one in objects if one.at_import for name in (one.names if one.loads is None else one.loads)}
    for one in objects:
        _judge(one, one.at_import or one.name in used, inspection)
    _judge_together(objects, inspection)
    names = dict.fromkeys(name for one in objects for name in (one.imports or ()) if name)
    told = f"; it imports {', '.join(names)}" if names else ""
    inspection.report(NOT_FOLLOWED, f"its instructions were not followed{told}"[:300])


def _judge(one: CodeObject, at_import: bool, inspection: Inspection) -> None:
    names = set(one.names)
    where = f"in {one.name}: "
    texts = [part for part in one.constants if isinstance(part, str) and 2 < len(part) < 1 << 16]
    if names & _RUNNERS:
        for text in (*texts, " ".join(texts)):
            judgement, why = judge_command(text, at_import=at_import)
            if judgement == "bad":
                inspection.report(COMMAND if at_import else LATER_COMMAND, f"{where}{why}: {text[:160]!r}")
                break
    if names & _EVALUATORS and names & _DECODERS:
        told = ", ".join(sorted(names & (_EVALUATORS | _DECODERS)))
        inspection.report(DECODED if at_import else LATER_DECODED, f"{where}{told}")
    for part in one.constants:
        data = part if isinstance(part, bytes) else b""
        if len(data) > 16:
            for reason in harm_in(Content.of(f"bytes in {one.name}", data), inspection)[:1]:
                inspection.report(HIDDEN, f"{where}{reason.text}", effect=reason.loader_effect)


def _judge_together(objects: Iterable[CodeObject], inspection: Inspection) -> None:
    names = {name for one in objects for name in one.names}
    if any(parts <= names for parts in _SHELL_PARTS) and names & (_RUNNERS | {"spawn"}) and "connect" in names:
        inspection.report(SHELL, "it names socket, connect and what hands a shell to them")


FORMAT = Format("pyc", recognise, inspect, (".pyc", ".pyo"), runs_code=True)
