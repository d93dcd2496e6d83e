"""The command line: parse, call, print; no logic.

Exit codes: 0 done; 1 done, and the answer is no; 2 bad usage or input; 3 could not finish; 4 a bug
of ours.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 128 + signal.SIGINT
"""The code that typer makes of Ctrl-C."""


CLOSED_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("CASEMATE_DEBUG") == "1"
    sys.exit(_run([word for word in given if word != "--debug"], debug))


def _run(given: list[str], debug: bool) -> int:
    # imported here so that even a broken installation answers in one line
    from casemate.errors import CasemateError

    try:
        from casemate.cli.app import run

        code = run(given)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code
    except CasemateError as error:
        if debug:
            raise
        print(f"casemate: {_one_line(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        return _unread()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer ends the program by itself
            return _unread()
        raise
    except MemoryError:
        print("casemate: out of memory; give it more, or fewer --workers", file=sys.stderr)
        return 3
    except Exception as error:
        if "Query interrupted" in str(error):  # how DuckDB passes Ctrl-C on
            return _interrupted()
        if debug:
            import traceback

            traceback.print_exc()
        shown = _one_line(f"{type(error).__name__}: {error}")[:300]
        print(f"casemate: a bug of ours ({shown}); please report it with the output of --debug", file=sys.stderr)
        return 4


def _interrupted() -> int:
    print("casemate: interrupted; run the same command again to go on from here", file=sys.stderr)
    return 3


def _unread() -> int:
    """Whoever read our output has seen enough; nothing may be flushed to the closed pipe at exit.

    The code is a shell's for a closed pipe: never 0, which would say "verified" of what was not read to its end.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return CLOSED_PIPE


def _one_line(text: object) -> str:
    """The text on one line, without characters that act on a terminal."""
    return "".join(character if character.isprintable() else " " for character in str(text))
