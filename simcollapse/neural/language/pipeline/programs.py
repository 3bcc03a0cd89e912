"""Scores from a user's own program: JSON lines on its standard input, one number a line on its standard output.

Whatever the program does, this returns N numbers or raises `ProgramFailed`, which says what happened. It is started in
a process group of its own, which is ended with it, also where this process is told to end meanwhile.
"""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np

LINES, LONGEST = 5, 300  # of standard error that a message repeats, and characters of one
ROOM = 2**20  # bytes of output besides those of the scores; more is a program gone wrong
A_SCORE = 200  # bytes
NOISE = 2**28  # bytes of standard error
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
ENDS = (signal.SIGTERM, signal.SIGHUP)  # of a scheduler, `kill`, a terminal that is closed


class ProgramFailed(ValueError):
    """A program that did not give its scores."""


def check_there(command: Sequence[str], who: str) -> None:
    """Raise ProgramFailed where a command names a program that is not there; of no command nothing."""
    if command and shutil.which(command[0]) is None:
        raise ProgramFailed(
            f"{who} program {' '.join(command)!r} cannot be started: there is no program {command[0]!r}"
        )


def ask(
    command: Sequence[str], rows: Sequence[Mapping[str, Any]], *, timeout_s: float, who: str = "verifier"
) -> np.ndarray:
    """The scores (N,) that a program gives N rows.

    Args:
        command: the program and its arguments; no shell.
        rows: one JSON object a line, in ASCII.
        timeout_s: seconds after which it is ended.
        who: what messages call it.

    Raises:
        ProgramFailed: it cannot be started, fails, takes too long, writes what are no finite numbers, not N lines, or
            far too much; no room for what it is given.
        SystemExit: this process was told to end, see `ENDS`; the program is ended first.
    """
    name = f"{who} program {' '.join(command)!r}"
    try:
        return _asked(command, rows, timeout_s, name)
    except OSError as error:
        raise ProgramFailed(
            f"{name} cannot be asked by way of {tempfile.gettempdir()}: {error.strerror}"
        ) from None


def _asked(command, rows, timeout_s, name) -> np.ndarray:
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as given,
        tempfile.TemporaryFile("w+b") as out,
        tempfile.TemporaryFile("w+b") as errors,
    ):
        given.writelines(json.dumps(row) + "\n" for row in rows)
        given.flush()
        given.seek(0)
        with _signals() as told:
            trouble = _run(command, name, given, out, errors, timeout_s, ROOM + A_SCORE * len(rows), told)
        if trouble:
            raise ProgramFailed(f"{name} {trouble}{_last_words(errors)}")
        out.seek(0)
        written = out.read().decode("utf-8", errors="replace")
        try:
            return _scores(written, len(rows))
        except ValueError as error:
            raise ProgramFailed(f"{name} {error}{_last_words(errors)}") from None


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Signals that tell this process to end, as they come; at the end it does.

    They are noted and not raised, so that none comes between the start of a program and the care for its end. Those
    that somebody else handles or ignores stay with them.
    """
    told: list[int] = []
    mine = threading.current_thread() is threading.main_thread()
    held = [end for end in ENDS if mine and signal.getsignal(end) is signal.SIG_DFL]
    for end in held:
        signal.signal(end, lambda number, frame: told.append(number))
    try:
        yield told
    finally:
        for end in held:
            signal.signal(end, signal.SIG_DFL)
        if told:
            raise SystemExit(128 + told[0])


def _run(command, name, given, out, errors, timeout_s, room, told) -> str:
    """What went wrong; empty: it ended well."""
    try:
        process = subprocess.Popen(
            list(command), stdin=given, stdout=out, stderr=errors, start_new_session=True
        )
    except OSError as error:
        raise ProgramFailed(f"{name} cannot be started: {error.strerror}") from None
    try:
        until = time.monotonic() + timeout_s
        while True:
            left = until - time.monotonic()
            try:
                code = process.wait(max(0.0, min(left, 0.2)))
                break
            except subprocess.TimeoutExpired:
                if told:
                    return "was ended"
                if left <= 0:
                    return f"gave no answer within {timeout_s:g} s and was ended"
                if os.fstat(out.fileno()).st_size > room or os.fstat(errors.fileno()).st_size > NOISE:
                    return "wrote far more than one number a line and was ended"
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its children too, if it left some
        process.wait()
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    return f"failed with exit code {code}" if code else ""


def _scores(written: str, number: int) -> np.ndarray:
    lines = written.rstrip().splitlines()
    for place, line in enumerate(lines, start=1):
        if not NUMBER.fullmatch(line) or not math.isfinite(float(line)):
            raise ValueError(f"must write one finite number a line, line {place} is {line.strip()[:80]!r}")
    if len(lines) != number:
        raise ValueError(f"must write one number for each of {number} completions, it wrote {len(lines)}")
    return np.array([float(line) for line in lines])


def _last_words(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - LINES * LONGEST))
    lines = [line.strip()[:LONGEST] for line in errors.read().decode("utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line][-LINES:]
    return (
        f"; the last it wrote to standard error: {' | '.join(lines)}"
        if lines
        else "; it wrote nothing to standard error"
    )
