"""The command line: parses, calls the rooms, prints.

Exit codes: 0 done, 1 a check failed, 2 not understood (usage), 3 bad input, 130 interrupted. Of audit: 0 safe,
1 collapse, 2 undecided, 3 bad input or not understood.
"""

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from simcollapse import machine
from simcollapse.cli import commands
from simcollapse.runs.launch import WORKER, end_at_once

TRACEBACK = "SIMCOLLAPSE_TRACEBACK"  # in the environment: print the traceback of an error too
FAILED, USAGE, BAD_INPUT, INTERRUPTED = 1, 2, 3, 130
# What the rooms raise for it. A bug may raise the same, so the traceback can be asked for.
_BAD_INPUT = (ValueError, TypeError, MemoryError, ArithmeticError, OSError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (None: the process' own) and return its exit code.

    Raises:
        SystemExit: help was printed, or the arguments were not understood (code 2).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign shows "?" and no error
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        print(f"simcollapse {commands.version()}")
        return 0
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands.COMMANDS:
        return _say(_unknown(arguments[0]), USAGE)
    try:
        command = commands.parse(arguments)
    except SystemExit as stopped:
        if stopped.code == USAGE and arguments[:1] == ["audit"]:
            raise SystemExit(BAD_INPUT) from None  # 2 is a verdict of that command
        raise
    _fix_setting(command.float64)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        code = _run(command)
    if code and WORKER in os.environ:
        end_at_once(code)
    return code


def _run(command: commands.Command) -> int:
    try:
        code = command.run()
        sys.stdout.flush()  # so that a closed pipe is noticed here
        return code
    except BrokenPipeError:
        # What reads our output has had enough; the interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except _BAD_INPUT as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        return _say(_one_line(error), BAD_INPUT)
    except Exception:
        worker = WORKER in os.environ
        if not worker and not isinstance(command, commands.Audit):
            raise
        traceback.print_exc()
        if worker:
            return FAILED
        return BAD_INPUT  # not 1, which is a verdict of that command


def _fix_setting(float64: bool) -> None:
    """Settings that JAX reads when it makes its first array, unless the user has set them.

    NPROC: XLA sizes its thread pool by it, and the size decides the last bits of results; with it in the
    environment it is the same for any number of devices. Float64: results are compared with closed forms.
    """
    os.environ.setdefault("NPROC", str(machine.cores()))
    if float64 and "JAX_ENABLE_X64" not in os.environ:
        import jax

        jax.config.update("jax_enable_x64", True)


def _unknown(word: str) -> str:
    from simcollapse.checks import nearest

    known = ", ".join(commands.COMMANDS)
    return (
        f"command must be one of {known}, got {word!r}{nearest(word, commands.COMMANDS)} (simcollapse --help)"
    )


def _one_line(error: BaseException) -> str:
    """The error as one line; OSError in the user's words rather than with its number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _say(words: str, code: int) -> int:
    print(f"simcollapse: {'error: ' if code != INTERRUPTED else ''}{words}", file=sys.stderr)
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"simcollapse: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
