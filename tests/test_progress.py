"""The bar under the table: on a terminal, and nowhere else; it changes nothing, and leaves nothing behind."""

import io
import os
import re
import signal
import struct
import subprocess
import sys
import threading

import pytest
from machines import DIGITS, ROWS, learned, measured, small, stopped

from wakesleep import progress, training
from wakesleep.cli import main

LONG = ["train", "-o", "m.npz", "--epochs", "100000", "--hidden", "100,100", "--particles", "5"]


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


class Bar:
    """Stands for tqdm's: remembers what it is told."""

    def __init__(self, n_rows, place):
        self.total, self.places, self.steps, self.closed = n_rows, [place], [], False

    def set_description_str(self, text, refresh):
        self.places.append(text)

    def update(self, n):
        self.steps.append(n)

    def clear(self):
        print("<", end="")

    def refresh(self):
        print(">", end="")

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    made = []
    monkeypatch.setattr(progress, "_bar", lambda *about: made.append(Bar(*about)) or made[-1])
    monkeypatch.setattr(training, "SECONDS_PER_CALL", 0)
    return made


def on_screen(text):
    """The lines that a terminal shows in the end: what follows a carriage return is written over what was there."""
    lines = []
    for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def in_a_terminal(arguments, interrupt=b""):
    """Exit status, and all that the command writes to a terminal; Ctrl-C once `interrupt` has been written."""
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 90, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "wakesleep", *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment,
    )  # fmt: skip
    os.close(slave)
    deadline = threading.Timer(120, process.kill)
    deadline.start()
    written = b""
    try:
        while part := os.read(master, 1 << 16):
            written += part
            if interrupt and interrupt in written:
                process.send_signal(signal.SIGINT)
                interrupt = b""
    except OSError:  # the other end is closed
        pass
    finally:
        deadline.cancel()
        os.close(master)
    return process.wait(timeout=120), written.decode()


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_bar_follows_the_rows_within_an_epoch(bars):
    small(verbose=2).fit(ROWS)
    assert [(bar.total, bar.closed) for bar in bars] == [(3 * 130, True)]
    assert bars[0].steps == [32, 32, 32, 32, 2] * 3
    assert bars[0].places == [f"epoch {epoch} of 3" for epoch in [1] + [1] * 5 + [2] * 5 + [3] * 5]


def test_after_an_interruption_the_bar_is_of_what_is_left(bars):
    machine = stopped(small(verbose=2), ROWS, 7)
    machine.fit(ROWS, resume=True)
    assert [bar.closed for bar in bars] == [True, True]
    assert bars[0].total == 3 * 130
    assert bars[1].total == sum(bars[1].steps) == 3 * 130 - 130 - 64
    assert bars[1].places[0] == "epoch 2 of 3"


def test_each_pass_has_its_own(bars):
    small(verbose=2).partial_fit(ROWS).partial_fit(ROWS)
    assert [(bar.total, sum(bar.steps)) for bar in bars] == [(130, 130)] * 2
    assert [bar.places[-1] for bar in bars] == ["epoch 1 of 1", "epoch 2 of 2"]


@pytest.mark.usefixtures("bars")
def test_the_bar_is_out_of_the_way_of_what_is_printed(capsys):
    small(verbose=2).fit(ROWS, validation=DIGITS[:200], callbacks=[lambda entry: print("told")])
    out = capsys.readouterr().out
    assert len(re.findall(r"^>?< +\d .*\ntold\n(?=>)", out, re.MULTILINE)) == 3
    assert out.count("<") == out.count(">") == 3


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_whatever_ends_training_wipes_the_bar_off(bars, error):
    def stop(entry):
        raise error

    with pytest.raises(error):
        small(verbose=2).fit(ROWS, callbacks=[(stop, 7)])
    assert [bar.closed for bar in bars] == [True]


@pytest.mark.parametrize("verbose", [0, 1, True])
def test_without_being_asked_for_there_is_none(bars, verbose):
    assert learned(small(verbose=verbose).fit(ROWS)) == learned(small(verbose=2).fit(ROWS))
    assert len(bars) == 1, "that of verbose=2"


def test_the_bar_changes_nothing(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stdout", Terminal())
    shown, plain = small(verbose=2).fit(ROWS, validation=ROWS), small().fit(ROWS, validation=ROWS)
    assert "\r" in sys.stdout.getvalue(), "this test has no power"
    assert learned(shown) == learned(plain)
    assert measured(shown) == measured(plain)
    assert shown.history_ != plain.history_  # by the clock: both have really been trained


@pytest.mark.parametrize("tqdm", [True, False])
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_lines_are_plain_without_a_terminal_or_tqdm(monkeypatch, stream, tqdm):
    if tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stdout", stream())
    small(verbose=2).fit(ROWS)
    text = sys.stdout.getvalue()
    assert ("\r" in text) == (tqdm and stream is Terminal)
    table = [line for line in on_screen(text) if line]
    assert len(table) == 2 + 3
    assert [line.split()[0] for line in table[2:]] == ["1", "2", "3"]


def test_no_thread_and_no_process_stays_behind():
    pytest.importorskip("tqdm")
    script = (
        "import sys, threading, machines, test_progress\n"
        "sys.stdout = test_progress.Terminal()\n"
        "machines.small(verbose=2).fit(machines.ROWS)\n"
        "assert '\\r' in sys.stdout.getvalue()\n"
        "assert threading.enumerate() == [threading.main_thread()]\n"
        "assert 'multiprocessing.synchronize' not in sys.modules\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"PYTHONPATH": paths}, timeout=60)


def test_a_terminal_shows_the_table_and_no_trace_of_the_bar():
    pytest.importorskip("tqdm")
    status, text = in_a_terminal(["train", "-o", "m.npz", "--epochs", "4"])
    assert status == 0
    assert "epoch 1 of 4 |" in text
    assert "rows/s]" in text
    lines = on_screen(text)
    assert lines[0].startswith("1,438 rows to learn from")
    assert lines[1].startswith("epoch  seconds")
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "3", "4"]
    assert lines[6] == ""
    assert not any("%" in line or " of 4" in line for line in lines)


def test_ctrl_c_leaves_a_clean_terminal():
    pytest.importorskip("tqdm")
    status, text = in_a_terminal(LONG, interrupt=b"epoch 2 of 100000 |")
    assert status == 130
    *table, last, end = on_screen(text)
    assert re.match(r"wakesleep: interrupted; \d+ epochs? and \d+ steps? are in m.npz; the same command", last)
    assert end == ""
    assert all(re.match(r" +\d+ +[\d.e-]+ ", line) for line in table[2:])


@pytest.mark.parametrize("arguments", [["-q"], []])
def test_into_a_pipe_there_are_lines_only(arguments):
    result = subprocess.run(
        [sys.executable, "-m", "wakesleep", "train", "-o", "m.npz", "--epochs", "2", *arguments],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert b"\r" not in result.stdout + result.stderr
    assert bool(result.stdout) == (arguments == [])


def test_quiet_is_quiet_on_a_terminal_too():
    assert in_a_terminal(["train", "-q", "-o", "m.npz", "--epochs", "2"]) == (0, "")


def test_output_that_is_closed_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert small(verbose=2).fit(ROWS).n_iter_ == 3


def test_nothing_is_said_of_rows_before_they_are_refused(capsys):
    assert main(["train", "-q", "-o", "m.npz", "--epochs", "2"]) == 0
    assert main(["train", "-o", "m.npz", "--epochs", "3", "--held-out", "0.3", "--resume"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "got 539 others" in err
