"""The command line, as a person meets it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from wakesleep import Bits, HelmholtzMachine, datasets, monitor, training_command
from wakesleep.cli import main

QUICK = ["--epochs", "2"]
RESUME = ["train", "-o", "model.npz", "--resume"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def model(tmp_path, capsys):
    assert main(["train", "-q", "-o", "model.npz", *QUICK]) == 0
    capsys.readouterr()
    return "model.npz"


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "wakesleep", *arguments],
        capture_output=True, env=os.environ | environment, timeout=60, check=False,
    )  # fmt: skip


def test_train_on_the_digits_is_five_nats_better_than_independent_units(capsys):
    assert main(["train"]) == 0
    out = capsys.readouterr().out
    table = [line.split() for line in out.splitlines() if re.match(r" +\d+ +\d", line)]
    assert [int(row[0]) for row in table] == list(range(1, 41))
    assert all(len(row) == 7 for row in table)
    model, independent, better = (
        float(re.search(rf"{name} +(-?[\d.]+) \+- [\d.]+", out).group(1))
        for name in (r"held-out log p\(x\), nats", "independent units", "better by")
    )
    assert model - independent == pytest.approx(better, abs=2e-3)
    assert better >= 5
    assert "(K = 1,000, 359 rows)" in out
    assert out.count("▄") > 20
    assert out.rstrip().endswith("saved to digits-model.npz")


def test_columns_of_the_table_end_where_their_names_do(capsys):
    main(["train", *QUICK])
    header, *lines = capsys.readouterr().out.splitlines()[1:4]
    names = r"epoch|seconds|rows/s|cross-entropy|held-out log p\(x\)|std\.error|K"
    ends = [m.end() for m in re.finditer(names, header)]
    for line in lines:
        assert [m.end() for m in re.finditer(r"\S+", line)] == ends


def test_eight_fantasies_originals_and_reconstructions_fit_eighty_columns(capsys):
    main(["train", *QUICK])
    out = capsys.readouterr().out
    for title in ("fantasies:", "held-out rows:", "their reconstructions:"):
        picture = out.split(title)[1].splitlines()[1:5]
        assert max(map(len, picture)) <= 80
        assert max(map(len, picture)) > 7 * 10, "fewer than eight images"


def test_plain_ascii_where_the_terminal_is_not_utf8():
    result = run("train", *QUICK, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 0, result.stderr
    assert "fantasies" in result.stdout.decode("ascii")


def test_the_saved_machine_is_the_trained_one(model):
    machine = HelmholtzMachine.load(model)
    assert machine.n_iter_ == 2
    assert machine.hidden_layer_sizes == (32, 16)
    assert machine.get_params()["n_threads"] is None


def test_the_seed_decides(capsys):
    for output, seed in (("a.npz", "1"), ("b.npz", "1"), ("c.npz", "2")):
        main(["train", "-q", "-o", output, "--seed", seed, *QUICK])
    a, b, c = (HelmholtzMachine.load(path).generative_[0].weights for path in ("a.npz", "b.npz", "c.npz"))
    assert (a == b).all()
    assert (a != c).any()


def test_quiet_prints_nothing(capsys):
    main(["train", "-q", *QUICK])
    assert capsys.readouterr() == ("", "")


def test_training_on_a_split_measures_on_the_other(capsys):
    X = datasets.load_digits().to_dense()
    np.savez("digits.npz", train=X[:1000], test=X[1000:])
    assert main(["train", "digits.npz", "--split", "train", "--held-out-split", "test", "--hidden", "8", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "1,000 rows to learn from; 797 of 797 held-out rows measured after each epoch; levels 64-8" in out
    assert "(exact, 797 rows)" in out


def test_of_many_held_out_rows_the_report_takes_some(monkeypatch, capsys):
    monkeypatch.setattr(training_command, "FINAL_ROWS", 50)
    assert main(["train", *QUICK]) == 0
    assert "(K = 1,000, 50 rows)" in capsys.readouterr().out


def test_held_out_rows_are_not_trained_on(monkeypatch, capsys):
    seen = {}
    fit = HelmholtzMachine.fit
    monkeypatch.setattr(
        HelmholtzMachine, "fit", lambda self, X, **more: seen.update(X=X, **more) or fit(self, X, **more)
    )
    np.save("rows.npy", (np.arange(100)[:, None] >> np.arange(7) & 1).astype(np.uint8))  # all different
    main(["train", "rows.npy", "--held-out", "0.3", *QUICK])
    rows = [set(map(tuple, bits[:].to_dense().tolist())) for bits in (seen["X"], seen["validation"])]
    assert [len(part) for part in rows] == [70, 30]
    assert not rows[0] & rows[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_saves_says_so_and_resumes_to_the_same_bits(number):
    process = subprocess.Popen(
        [sys.executable, "-m", "wakesleep", "train", "-o", "cut.npz", "--epochs", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.search(rb"interrupted; \d+ epochs and \d+ steps are in cut.npz", errors)
    assert b"Traceback" not in errors
    epochs = str(HelmholtzMachine.load("cut.npz").n_iter_ + 3)
    assert main(["train", "-q", "-o", "cut.npz", "--epochs", epochs, "--resume"]) == 0
    assert main(["train", "-q", "-o", "whole.npz", "--epochs", epochs]) == 0
    cut, whole = HelmholtzMachine.load("cut.npz"), HelmholtzMachine.load("whole.npz")
    for one, other in zip(cut.generative_ + cut.recognition_, whole.generative_ + whole.recognition_, strict=True):
        assert (one.weights == other.weights).all()
        assert (one.biases == other.biases).all()


def test_nohup_is_obeyed():
    process = subprocess.Popen(
        ["nohup", sys.executable, "-m", "wakesleep", "train", "-o", "cut.npz", "--epochs", "100000"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_diverging_training_saves_the_last_good_parameters(capsys):
    assert main(["train", "-q", "--learning-rate", "4e38", "--hidden", "4", "-o", "bad.npz"]) == 1
    assert re.search("error: training diverged in epoch 1: .* learning_rate .* bad.npz\n", capsys.readouterr().err)
    assert np.isfinite(HelmholtzMachine.load("bad.npz").generative_[0].weights).all()


def test_training_that_diverges_at_once_leaves_the_file_as_it_is(model, capsys):
    before = Path(model).read_bytes()
    assert main(["train", "-q", "--learning-rate", "1e42", "-o", model]) == 1
    assert capsys.readouterr().err.startswith("wakesleep: error: training diverged in epoch 1: ")
    assert Path(model).read_bytes() == before


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (MemoryError("no room"), "out of memory: no room"),
    ],
)
def test_an_error_between_epochs_loses_no_training(error, told, monkeypatch, capsys):
    def refuse(entry):
        raise error

    monkeypatch.setattr(monitor, "line", refuse)
    assert main(["train", "-o", "cut.npz", *QUICK]) == 1
    assert capsys.readouterr().err == f"wakesleep: error: {told}; 1 epochs and 72 steps are in cut.npz\n"
    assert HelmholtzMachine.load("cut.npz").n_iter_ == 1


def test_no_output_at_all_is_no_error(model):
    for command in ("train -o other.npz --epochs 2 >&-", f"info {model} >&-", f"score {model} --particles 2 >&- 2>&-"):
        result = subprocess.run(
            f"'{sys.executable}' -m wakesleep {command}", shell=True, capture_output=True, timeout=60, check=False
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_sample_writes_what_it_draws(model, capsys):
    assert main(["sample", model, "-n", "3", "-o", "f.npy"]) == 0
    assert main(["sample", model, "-n", "3", "-o", "f.bits"]) == 0
    assert (np.load("f.npy") == Bits.open("f.bits").to_dense()).all()
    assert (np.load("f.npy") == HelmholtzMachine.load(model).sample(3)).all()
    assert main(["sample", model]) == 0
    assert "▄" in capsys.readouterr().out


def test_sample_prints_rows_that_are_no_images(capsys):
    np.save("rows.npy", np.eye(12))
    main(["train", "rows.npy", "-q", "-o", "rows-model.npz"])
    main(["sample", "rows-model.npz", "-n", "4"])
    assert re.fullmatch(r"([01]{12}\n){4}", capsys.readouterr().out)


def test_score_is_the_score_of_the_machine(model, capsys):
    assert main(["score", model, "--particles", "50", "-o", "scores.npy"]) == 0
    out = capsys.readouterr().out
    values = HelmholtzMachine.load(model).score_samples(datasets.load_digits(), n_particles=50)
    assert (np.load("scores.npy") == values).all()
    assert f"{values.mean():.3f} +- {values.std(ddof=1) / np.sqrt(1797):.3f}  (K = 50)" in out


def test_score_calls_the_elbo_by_its_name(model, capsys):
    assert main(["score", model, "--particles", "5", "--method", "elbo"]) == 0
    mean = HelmholtzMachine.load(model).score(datasets.load_digits(), method="elbo", n_particles=5)
    out = capsys.readouterr().out
    assert re.search(rf"^ELBO, nats +{mean:.3f} ", out, re.MULTILINE)
    assert "log p(x)" not in out


def test_diagnose_prints_the_diagnostics_of_the_machine(model, capsys):
    np.save("few.npy", datasets.load_digits()[:9].to_dense())
    capsys.readouterr()
    assert main(["diagnose", model, "few.npy", "--particles", "7", "--seed", "3"]) == 0
    found = HelmholtzMachine.load(model).diagnostics(datasets.load_digits()[:9], n_particles=7, random_state=3)
    assert capsys.readouterr().out == f"{found}\n"


def test_score_by_annealing(model, capsys):
    np.save("few.npy", datasets.load_digits().to_dense()[:9])
    assert main(["score", model, "few.npy", "--method", "ais", "--particles", "3", "--steps", "4"]) == 0
    out = capsys.readouterr().out
    machine = HelmholtzMachine.load(model)
    value = machine.score(datasets.load_digits()[:9], method="ais", n_particles=3, n_steps=4)
    assert re.search(rf"log p\(x\), nats +{value:.3f} \+- \d+\.\d+  \(K = 3, T = 4\)", out)


def test_info_tells_what_a_file_holds_and_what_runs_here(model, capsys):
    assert main(["info", model]) == 0
    assert re.search(r"levels +64-32-16\n", capsys.readouterr().out)
    assert main(["info"]) == 0
    assert re.search(r"instruction set +\w+", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "missing.npy"], "missing.npy: No such file"),
        (["score", "model.npz", "--binarize", "nan"], "binarize: want None or a finite number"),
        (["train", "one.csv"], "one.csv: want 2 rows or more"),
        ([*RESUME, "--epochs", "2"], "--resume: model.npz has 2 epochs already"),
        ([*RESUME, "--hidden", "8"], "--resume: want the hidden_layer_sizes of model.npz"),
        ([*RESUME, "--seed", "5"], "--resume: want the random_state of model.npz, which"),
        (["train", "--hidden", "0"], "hidden_layer_sizes: want a whole number from 1"),
        (["train", "--held-out", "1.5"], "--held-out: want a share"),
        (["train", "--split", "train"], "--split, --held-out-split: want DATA"),
        (["train", "--held-out-split", "test"], "--split, --held-out-split: want DATA"),
        (["train", "--shape", "3x3"], "shape: want .* = 64, got (3, 3)"),
        (["train", "--seed", "-1"], "random_state: want a whole number from 0"),
        (["info", "missing.npz"], "missing.npz: No such file"),
        (["sample", "broken.npz"], "broken.npz: "),
        (["score", "model.npz", "-o", "scores.txt"], "--output: want a .npy file"),
        (["score", "model.npz", "wrong.csv"], "X has 3 features, but HelmholtzMachine is expecting 64"),
        (["sample", "model.npz", "-o", "f.txt"], "--output: want a .npy or .bits file"),
        (["sample", "model.npz", "-n", "-1"], "n_samples: want a whole number from 0"),
        (["score", "model.npz", "--method", "ais", "--steps", "0"], "n_steps: want a whole number from 1"),
        (["diagnose", "model.npz", "--particles", "0"], "n_particles: want a whole number from 1"),
        (["diagnose", "model.npz", "wrong.csv"], "X has 3 features, but HelmholtzMachine is expecting 64"),
        (["score", "model.npz", "--method", "exact"], "at most 24 hidden units, this machine has 48"),
    ],
)
def test_errors_are_one_line_and_status_1(arguments, message, model, capsys):
    Path("broken.npz").write_bytes(b"PK\x03\x04 no archive")
    Path("wrong.csv").write_text("1,0,1\n0,0,1\n")
    Path("one.csv").write_text("1,0,1\n")
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("wakesleep: error: ")
    assert err.count("\n") == 1
    assert all(part in err for part in message.split(" .* "))


@pytest.mark.parametrize("command", ["train rows.npy", "score model.npz rows.npy", "sample model.npz"])
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("no/such/folder/m.npy", "want a file in a folder that exists"),
        ("folder.npy", "want a regular file"),
        ("closed/m.npy", "want a file in a folder that can be written to"),
    ],
)
def test_output_that_cannot_be_written_is_refused_before_the_work(command, output, message, model, capsys, monkeypatch):
    for work in ("fit", "score_samples", "sample"):
        monkeypatch.setattr(HelmholtzMachine, work, None)
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("closed"))  # root may write anywhere
    Path("folder.npy").mkdir()
    Path("closed").mkdir()
    np.save("rows.npy", np.eye(64))
    assert main([*command.split(), "-o", output]) == 1
    assert capsys.readouterr().err.startswith(f"wakesleep: error: {output}: {message}")


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], *(["train", *x.split()] for x in ("--epochs many", "--shape 8", "--rule other"))]
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: wakesleep" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "score model.npz"])
def test_the_data_are_never_overwritten(command, model, capsys):
    np.save("mine.npy", np.eye(64))
    before = Path("mine.npy").read_bytes()
    assert main([*command.split(), "mine.npy", "-o", "mine.npy"]) == 1
    assert "mine.npy: want another file" in capsys.readouterr().err
    assert Path("mine.npy").read_bytes() == before


def test_a_reader_that_stops_loses_no_training():
    command = f"'{sys.executable}' -m wakesleep train -o cut.npz --epochs 100000 | head -n 4"
    result = subprocess.run(command, shell=True, capture_output=True, timeout=60, check=True)
    assert b"are in cut.npz" in result.stderr
    assert b"Traceback" not in result.stderr
    assert HelmholtzMachine.load("cut.npz").n_iter_ > 0


def test_a_machine_worse_than_independent_units_is_called_so(capsys):
    assert main(["train", "--learning-rate", "1000", *QUICK]) == 0
    assert "worse than independent units: try" in capsys.readouterr().out


def test_a_reader_that_stops_is_no_error(model):
    command = f"'{sys.executable}' -m wakesleep sample {model} -n 100000 | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, timeout=60, check=True)
    assert result.stderr == b""


def test_help_shows_examples_and_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "wakesleep train mnist.npz" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    assert "(default: 40)" in out
    assert "None" not in out
