"""Who else follows a training: callbacks of epochs and of steps, the log."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checks import posix
from machines import DIGITS, ROWS, learned, measured, small, stopped, through_a_file

from wakesleep import HelmholtzMachine, monitor, training
from wakesleep.cli import log, main, train

HELD_OUT = DIGITS[1000:1100]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "machine.npz"


# ---- callbacks ----


@pytest.mark.parametrize("every", [1, 2, 3, 5, 7, 100])
@pytest.mark.parametrize("seconds", [0, 1e9])
def test_step_callbacks_come_exactly_when_they_should_and_change_nothing(monkeypatch, every, seconds):
    monkeypatch.setattr(training, "SECONDS_PER_CALL", seconds)
    machine, seen, epochs = small(), [], []

    def look(entry):
        seen.append((entry["step"], machine.step_, entry["epoch"]))
        assert set(entry) == {"epoch", "step", "seconds", "rows_per_second"}
        entry.clear()

    machine.fit(ROWS, callbacks=[(look, every), epochs.append])
    expected = [(step, step, (step - 1) // 5 + 1) for step in range(every, 16, every)]
    assert seen == expected
    assert learned(machine) == learned(small().fit(ROWS))
    assert measured(machine) == measured(small().fit(ROWS))
    assert epochs == machine.history_


def test_steps_are_counted_since_training_began():
    seen = []
    machine = stopped(small(), ROWS, 7)
    machine.fit(ROWS, resume=True, callbacks=[(lambda entry: seen.append(entry["step"]), 4)])
    assert seen == [8, 12]


@pytest.mark.parametrize("answer", [True, np.True_])
def test_a_callback_that_returns_true_ends_training(answer):
    machine = small().fit(ROWS, callbacks=[lambda entry: answer and np.bool_(entry["epoch"] == 2)])
    assert learned(machine) == learned(small(n_iter=2).fit(ROWS))
    machine = small().fit(ROWS, callbacks=[(lambda entry: answer, 4)])
    assert (machine.step_, len(machine.history_)) == (4, 0)
    assert learned(machine.fit(ROWS, resume=True)) == learned(small().fit(ROWS))


def test_other_answers_do_not_end_it_and_all_callbacks_are_asked():
    seen = []
    machine = small().fit(ROWS, callbacks=[lambda entry: True, seen.append, lambda entry: "yes", lambda entry: 1])
    assert seen == machine.history_
    assert machine.n_iter_ == 1
    assert small().fit(ROWS, callbacks=[lambda entry: "yes", lambda entry: 1]).n_iter_ == 3


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_step_callback_that_raises_at_the_end_of_an_epoch_loses_nothing(path, error):
    def stop(entry):
        raise error

    machine = small()
    with pytest.raises(error):
        machine.fit(ROWS, validation=ROWS, callbacks=[(stop, 10)])
    assert (machine.step_, machine.n_iter_, len(machine.history_)) == (10, 2, 2)
    machine = through_a_file(machine, path).fit(ROWS, validation=ROWS, resume=True)
    whole = small().fit(ROWS, validation=ROWS)
    assert learned(machine) == learned(whole)
    assert measured(machine) == measured(whole)


@pytest.mark.parametrize(
    "callbacks",
    [5, None, np.array(2), [None], ["f"], [(print,)], [(print, 0)], [(print, 1.5)], [(print, "1")], [(5, print)],
     [(print, 1, 2)]],
    ids=str,
)
def test_what_are_no_callbacks_is_refused(callbacks):
    machine = small()
    with pytest.raises((TypeError, ValueError), match=r"^callbacks: want"):
        machine.fit(ROWS, callbacks=callbacks)
    assert vars(machine) == small().get_params()


# ---- the command line and its log ----

TRAIN = ["train", "-q", "-o", "m.npz", "--log", "log.jsonl", "--hidden", "8"]


@pytest.fixture
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def logged():
    return [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("_folder")
def test_the_log_is_the_history_and_is_appended_to():
    Path("log.jsonl").write_text('{"mine": 1}')  # without the end of its line
    for _ in range(2):
        assert main([*TRAIN, "--epochs", "3", "--overwrite"]) == 0
    records = HelmholtzMachine.load("m.npz").history_
    mine, *lines = logged()
    assert mine == {"mine": 1}
    assert lines[3:] == records
    assert [entry["epoch"] for entry in lines] == [1, 2, 3] * 2
    assert {"log_likelihood", "standard_error", "reconstruction_cross_entropy", "effective_sample_size"} < set(lines[0])


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("tail", ["", '{"epoch": 4}\n{"epoch": 5}\n', '{"epoch": 4}\n{"epo', "cut", "gone"])
def test_the_log_goes_on_where_the_machine_does(tail):
    main([*TRAIN, "--epochs", "3"])
    text = Path("log.jsonl").read_text()
    lines = text.splitlines(keepends=True)
    Path("log.jsonl").write_text({"cut": lines[0] + lines[1][:9], "gone": ""}.get(tail, text + tail))
    assert main([*TRAIN, "--epochs", "6", "--resume"]) == 0
    assert logged() == HelmholtzMachine.load("m.npz").history_
    assert [entry["epoch"] for entry in logged()] == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("_folder")
def test_the_log_keeps_the_lines_of_another_training():
    other = [*TRAIN[:2], "-o", "other.npz", "--log", "log.jsonl", "--hidden", "8"]
    assert main([*other, "--epochs", "5"]) == 0
    before = logged()
    assert main(["train", "-q", "-o", "m.npz", "--hidden", "8", "--seed", "7", "--epochs", "2"]) == 0
    assert main([*TRAIN, "--seed", "7", "--epochs", "3", "--resume"]) == 0
    assert logged() == before + HelmholtzMachine.load("m.npz").history_
    assert main([*other, "--epochs", "6", "--resume"]) == 0
    other_history = HelmholtzMachine.load("other.npz").history_
    whole = before + HelmholtzMachine.load("m.npz").history_ + other_history[5:]
    assert logged() == whole
    with open("log.jsonl", "a") as file:
        file.write('{"epoch": 6, "mine": 1}\n')
    assert main([*other, "--epochs", "7", "--resume"]) == 0
    assert logged() == [*whole, {"epoch": 6, "mine": 1}, HelmholtzMachine.load("other.npz").history_[6]]


@pytest.mark.usefixtures("_folder")
def test_an_epoch_that_was_not_measured_before_ctrl_c_has_one_line_in_the_log(monkeypatch):
    def interrupted(state, *args, **how):
        if state.epoch == 2:
            raise KeyboardInterrupt
        return measure(state, *args, **how)

    measure = monitor.measure
    with monkeypatch.context() as patched:
        patched.setattr(monitor, "measure", interrupted)
        assert main([*TRAIN, "--epochs", "3"]) == 130
    assert main([*TRAIN, "--epochs", "3", "--resume"]) == 0
    assert logged() == HelmholtzMachine.load("m.npz").history_
    assert [entry["epoch"] for entry in logged()] == [1, 2, 3]


def test_what_is_not_finite_is_null_in_a_log():
    assert log.line({"epoch": 1, "log_likelihood": -math.inf, "x": [math.nan, 0.5]}) == (
        b'{"epoch": 1, "log_likelihood": null, "x": [null, 0.5]}\n'
    )


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("text", ["name,score\nx,1\n", "a line\n", "half", "[1]\n", "PK\x03\x04"])
def test_a_file_that_is_no_log_is_left_alone(text, capsys):
    Path("log.jsonl").write_text(text)
    assert main([*TRAIN, "--epochs", "2"]) == 1
    assert "--log: want a new file, or one of JSON lines to append to, got log.jsonl" in capsys.readouterr().err
    assert Path("log.jsonl").read_text() == text


@pytest.mark.usefixtures("_folder")
def test_a_line_of_the_log_is_written_when_its_epoch_ends_and_now_and_then_the_machine(monkeypatch):
    def look(entry):
        seen.append((entry["epoch"], len(logged()), HelmholtzMachine.load("m.npz").n_iter_))

    fit, seen = HelmholtzMachine.fit, []
    monkeypatch.setattr(train, "SECONDS_BETWEEN_SAVES", -1)
    monkeypatch.setattr(
        HelmholtzMachine, "fit",
        lambda self, X, callbacks, **how: fit(self, X, callbacks=[*callbacks, look], **how),
    )  # fmt: skip
    assert main([*TRAIN, "--epochs", "3"]) == 0
    assert seen == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize(
    ("log", "fault"),
    [("m.npz", "--log: want another file"), ("./m.npz", "--log: want another file"), ("x.npy", "x.npy: want another")],
)
def test_the_log_overwrites_neither_the_data_nor_the_machine(log, fault, capsys):
    np.save("x.npy", np.eye(9))
    assert main(["train", "x.npy", "-q", "-o", "m.npz", "--log", log]) == 1
    assert fault in capsys.readouterr().err
    assert np.load("x.npy").shape == (9, 9)


@pytest.mark.usefixtures("_folder")
def test_schedule_and_patience_on_the_command_line(capsys):
    hard = ["train", "-o", "m.npz", "--learning-rate", "2", "--patience", "2", "--held-out", "0.9"]
    assert main([*hard, "--schedule", "cosine:warm_up=2", "--epochs", "60"]) == 0
    machine = HelmholtzMachine.load("m.npz")
    assert (machine.schedule, machine.patience) == ("cosine:warm_up=2", 2)
    assert machine.n_iter_ == machine.best_epoch_ + 2 < 60
    out = capsys.readouterr().out
    assert f"the parameters are those of epoch {machine.best_epoch_} of {machine.n_iter_}" in out
    assert main(["train", "--schedule", "sometimes"]) == 1
    assert "error: --schedule: want one of constant, linear, cosine, decay, got 'sometimes'" in capsys.readouterr().err


@pytest.mark.usefixtures("_folder")
def test_patience_and_threads_may_change_when_training_is_resumed(monkeypatch):
    hard = ["train", "-q", "-o", "m.npz", "--learning-rate", "2", "--held-out", "0.9", "--epochs", "60"]
    assert main([*hard, "--patience", "2"]) == 0
    stopped_at = HelmholtzMachine.load("m.npz").n_iter_
    fit, n_threads = HelmholtzMachine.fit, []
    monkeypatch.setattr(
        HelmholtzMachine, "fit", lambda self, X, **how: n_threads.append(self.n_threads) or fit(self, X, **how)
    )
    assert main([*hard, "--patience", "3", "--resume", "--threads", "2"]) == 0
    assert HelmholtzMachine.load("m.npz").n_iter_ > stopped_at
    assert n_threads == [2]
    assert main([*hard, "--patience", "3", "-o", "whole.npz"]) == 0
    assert learned(HelmholtzMachine.load("m.npz")) == learned(HelmholtzMachine.load("whole.npz"))


@posix
@pytest.mark.usefixtures("_folder")
def test_ctrl_c_loses_neither_the_best_machine_nor_a_line_of_the_log():
    command = ["train", "-o", "m.npz", "--log", "log.jsonl", "--epochs", "80", "--patience", "80"]
    command += ["--schedule", "cosine:warm_up=3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "wakesleep", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    for _ in range(12):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert 9 <= HelmholtzMachine.load("m.npz").n_iter_ < 80, "this test has no power"
    assert main([*command, "-q", "--resume"]) == 0
    assert main([*command, "-q", "-o", "whole.npz", "--log", "whole.jsonl"]) == 0
    cut, whole = HelmholtzMachine.load("m.npz"), HelmholtzMachine.load("whole.npz")
    assert learned(cut) == learned(whole)
    assert measured(cut) == measured(whole)
    assert logged() == cut.history_


@pytest.mark.usefixtures("_folder")
def test_a_warning_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(monitor, "FEWEST_EFFECTIVE", 1000)
    for _ in range(2):
        assert main(["train", "-q", "-o", "m.npz", "--epochs", "20", "--overwrite"]) == 0
        err = capsys.readouterr().err
        assert err.startswith("wakesleep: warning: for 5 epochs held-out log p(x) of many rows")
        assert err.count("\n") == 1
