"""Verifier programs that behave, and every way we know in which they do not."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from simcollapse.neural.language.pipeline import programs
from simcollapse.neural.language.pipeline.programs import ProgramFailed, ask

ROWS = [{"prompt": "p", "completion": "x" * n} for n in range(5)]
GOOD = "import sys, json\nfor line in sys.stdin: print(len(json.loads(line)['completion']))"


def told(code, rows=ROWS, timeout_s=20.0):
    return ask([sys.executable, "-S", "-c", code], rows, timeout_s=timeout_s)


def test_scores_come_back_in_order():
    np.testing.assert_array_equal(told(GOOD), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(told("print('+1\\n 2.\\n.5\\r\\n1E2\\n0')"), [1, 2, 0.5, 100, 0])
    np.testing.assert_array_equal(
        told("import sys\nfor l in sys.stdin.read().splitlines(): print('-1e-3 ')"), -1e-3
    )


def test_texts_with_newlines_and_signs_arrive_whole():
    rows = [{"prompt": "a\nb", "completion": 'é "q" \u2028 z'}]
    code = (
        "import sys, json\nsys.stdin.reconfigure(encoding='utf-8')\nlines = sys.stdin.read().split('\\n')[:-1]\n"
        "row = json.loads(lines[0])\n"
        "print(int(len(lines) == 1 and row['prompt'] == 'a\\nb' and len(row['completion']) == 9))\n"
    )
    np.testing.assert_array_equal(told(code, rows), [1])


def test_a_program_that_does_not_read_its_input_is_no_trouble():
    np.testing.assert_array_equal(told("print('1\\n2\\n3\\n4\\n5')", ROWS), [1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    "code, words",
    [
        ("import sys; sys.stderr.write('first\\nno such model\\n'); sys.exit(3)",
         r"failed with exit code 3; the last it wrote to standard error: first \| no such model"),
        ("raise KeyError('score')", r"exit code 1.*KeyError: 'score'"),
        ("import os; os.kill(os.getpid(), 9)", r"ended by signal 9 \(SIGKILL\); it wrote nothing to standard error"),
        ("print('good')", r"line 1 is 'good'"),
        ("print('1\\n2\\n\\n4\\n5')", r"line 3 is ''"),
        ("print('1\\n2\\nnan\\n4\\n5')", r"one finite number a line, line 3 is 'nan'"),
        ("print('inf\\n' * 5)", r"line 1 is 'inf'"),
        ("print('1_0\\n' * 5)", r"one finite number a line, line 1 is '1_0'"),
        ("import sys; sys.stdout.buffer.write('1\\n٣\\n'.encode())", r"one finite number a line, line 2 is '٣'"),
        ("print('1e999\\n' * 5)", r"line 1 is '1e999'"),
        ("print('1\\n2')", r"one number for each of 5 completions, it wrote 2"),
        ("print('1\\n' * 6)", r"of 5 completions, it wrote 6"),
        ("pass", r"of 5 completions, it wrote 0"),
        ("import sys; sys.stdout.buffer.write(bytes([255, 254, 10]))", r"one finite number a line"),
    ],
)  # fmt: skip
def test_what_a_program_may_do_wrong_is_said(code, words):
    with pytest.raises(ProgramFailed, match=words) as failed:
        told(code)
    assert "verifier program" in str(failed.value) and sys.executable in str(failed.value)


def test_one_that_hangs_is_ended_with_its_children(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "sys.stderr.write('loading\\n'); sys.stderr.flush(); time.sleep(60)\n"
    )
    begun = time.monotonic()
    with pytest.raises(ProgramFailed, match=r"gave no answer within 2 s and was ended; .*loading"):
        told(code, timeout_s=2)
    assert time.monotonic() - begun < 15
    assert ended(int((tmp_path / "child").read_text()))


def ended(process):
    for _ in range(100):
        try:
            os.kill(process, 0)
            with open(f"/proc/{process}/stat") as stat:  # a zombie waits for whoever adopted it
                if stat.read().split()[2] == "Z":
                    return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_one_that_hangs_is_ended_where_this_process_is_told_to_end(tmp_path, end):
    code = f"import os, time; open({str(tmp_path / 'child')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    asks = (
        "import sys\nfrom simcollapse.neural.language.pipeline.programs import ask\n"
        f"try:\n ask([sys.executable, '-S', '-c', {code!r}], [{{}}], timeout_s=50)\n"
        "finally:\n print('cleaned')"
    )
    with subprocess.Popen([sys.executable, "-c", asks], stdout=subprocess.PIPE, text=True) as process:
        file = tmp_path / "child"
        for _ in range(600):
            if file.exists() and file.read_text():
                break
            time.sleep(0.05)
        process.send_signal(end)
        written, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + end and written == "cleaned\n"
    assert ended(int(file.read_text()))


def test_signals_are_left_as_they_were():
    """Also where another handler stands, and in a thread, which may set none."""
    seen = []
    told(GOOD)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        told(f"import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\n{GOOD}")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(told, GOOD).result()) == 5


def test_one_that_writes_without_end_is_ended():
    with pytest.raises(ProgramFailed, match="far more than one number a line"):
        told("while True: print('1' * 1000)", timeout_s=60)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_no_room_for_its_lines(monkeypatch):
    full = {"w+": "w", "w+b": "wb"}
    monkeypatch.setattr(programs.tempfile, "TemporaryFile", lambda how, **more: open("/dev/full", full[how]))
    with pytest.raises(ProgramFailed, match=r"cannot be asked by way of .*: No space left on device"):
        told(GOOD)


def test_one_that_is_not_there():
    with pytest.raises(ProgramFailed, match="'no-such-program' cannot be started: No such file"):
        ask(["no-such-program"], ROWS, timeout_s=1)
