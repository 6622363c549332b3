"""What the command line refuses: in one line, that names what was typed, before anything is lost."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checks import posix
from machines import learned

from wakesleep import HelmholtzMachine, checkpoint, monitor
from wakesleep.cli import main

QUICK = ["--epochs", "2"]
RESUME = ["train", "-o", "model.npz", "--resume"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(capsys):
    assert main(["train", "-q", "-o", "model.npz", *QUICK]) == 0
    capsys.readouterr()
    return "model.npz"


def test_diverging_training_saves_the_last_good_parameters(capsys):
    assert main(["train", "-q", "--learning-rate", "4e38", "--hidden", "4", "-o", "bad.npz"]) == 1
    assert re.search("error: training diverged in epoch 1: .* --learning-rate .* bad.npz\n", capsys.readouterr().err)
    assert np.isfinite(HelmholtzMachine.load("bad.npz").generative_[0].weights).all()


def test_training_that_diverges_at_once_leaves_the_file_as_it_is(model, capsys):
    before = Path(model).read_bytes()
    assert main(["train", "-q", "--learning-rate", "1e42", "-o", model, "--overwrite"]) == 1
    assert capsys.readouterr().err.startswith("wakesleep: error: training diverged in epoch 1: ")
    assert Path(model).read_bytes() == before


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "standard output: No space left on device"),
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
        (MemoryError("no room"), "out of memory: no room"),
    ],
)
def test_an_error_between_epochs_loses_no_training(error, told, monkeypatch, capsys):
    def refuse(entry):
        raise error

    monkeypatch.setattr(monitor, "line", refuse)
    assert main(["train", "-o", "cut.npz", *QUICK]) == 1
    assert capsys.readouterr().err == f"wakesleep: error: {told}; 1 epoch and 72 steps are in cut.npz\n"
    assert HelmholtzMachine.load("cut.npz").n_iter_ == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "missing.npy"], "missing.npy: No such file"),
        (["train", "None or all.npy"], "error: None or all.npy: No such file"),
        (["train", "None or x.csv", "--drop", "9"], "--drop: want columns of None or x.csv, by number from 0 to 2"),
        (["score", "model.npz", "--binarize", "nan"], "--binarize: want a finite number, got nan"),
        (["train", "one.csv"], "one.csv: want 2 rows or more"),
        ([*RESUME, "--epochs", "2"], "--resume: model.npz has 2 epochs already"),
        ([*RESUME, "--hidden", "8"], "--resume: want the --hidden of model.npz, which is 32,16, got 8"),
        ([*RESUME, "--seed", "5"], "--resume: want the --seed of model.npz, which is 0, got 5"),
        ([*RESUME, "--batch-size", "50"], "--resume: want the --batch-size of model.npz, which is 20, got 50"),
        ([*RESUME, "--frozen", "prior_logits"], "want the --frozen of model.npz, which is none, got prior_logits"),
        (["train", "--frozen", "prior"], "--frozen: want one of generative.0.weights, .* got 'prior'"),
        (["train", "--clip-norm", "0"], "--clip-norm: want a positive, finite number, got 0.0"),
        ([*RESUME, "--held-out", "0.3"], "--held-out, --held-out-split: want the 359 rows that .* got 539 others"),
        (["train", "-o", "model.npz"], "model.npz: is there already; --resume goes on with it, --overwrite begins"),
        (["train", "-o", "model.npz", "two.npz"], "--split: want one of one, other, which two.npz has, got none"),
        (["train", "-o", "model.npz", "broken.npz"], "broken.npz: want an .npz archive, got something else"),
        (["train", "-o", ""], "error: --output: want the name of a file, got ''"),
        (["train", "--log", ""], "error: --log: want the name of a file, got ''"),
        (["plot", "model.npz", "-o", ""], "error: --output: want the name of a file, got ''"),
        (["train", "--schedule", "cosine:warm_up=40"], "--schedule: want warm_up below --epochs, 40, .* got 40"),
        (["train", "two.npz"], "--split: want one of one, other, which two.npz has, got none"),
        (["score", "model.npz", "two.npz", "--split", "third"], "--split: want one of one, other, .* got 'third'"),
        (["train", "two.npz", "--split", "one", "--held-out-split", "x"], "--held-out-split: want one of .* got 'x'"),
        (
            ["train", "two.npz", "--split", "one", "--held-out-split", "other"],
            "--held-out-split: want 3 features, as one has, got 4 in other of two.npz",
        ),
        (["train", "pair.csv"], "--held-out: want a share of the 2 rows .* such as 0.5, got 0.2, which holds out 0"),
        (["train", ""], "error: DATA: want the name of a file, got ''"),
        (["score", "model.npz", "-"], "error: DATA: want the name of a file, got '-'; standard input is not read"),
        (["train", "--drop", "3"], "error: --drop: want DATA"),
        (["train", "one.csv", "--drop", "3"], "--drop: want columns of one.csv, by number from 0 to 2, got '3'"),
        (["train", "one.csv", "--drop", "0,2,1"], "--drop: want a column or more of one.csv left, got all 3 of them"),
        (["train", "one.csv", "--split", "one"], "--split: want none for one.csv"),
        ([*RESUME, "wrong.csv"], "wrong.csv has 3 features, but HelmholtzMachine is expecting 64"),
        (["train", "twice.csv"], "error: twice.csv: want another name for each column, got several with the name 'a'"),
        (["train", "."], "error: .: Is a directory"), (["score", "model.npz", ".."], "error: ..: Is a directory"),
        (["train", "folder.npy"], "folder.npy: Is a directory"), (["info", "folder.npy"], "folder.npy: Is a directory"),
        (["info", "one.csv"], "one.csv: not a wakesleep checkpoint"), (["info", "cut.npz"], "cut.npz: truncated"),
        (["sample", "newer.npz"], "newer.npz: format version 2 is newer than 1, please upgrade wakesleep"),
        (["train", "-o", "missing.npz", "--resume"], "--resume: want a machine to go on with, but missing.npz is not"),
        (["train", "-o", "m.txt"], "--output: want a .npz file, got m.txt"),
        (["train", "-o", "model.npz", "--log", "one.csv"], "--log: want a new file, or one of JSON lines"),
        (["train", "-o", "model.npz", "--schedule", "cosine:warm_up=40"], "--schedule: want warm_up below --epochs"),
        (["train", "-o", "model.npz", "--hidden", "70000,70000"], "--hidden: want at most 2147483647 parameters"),
        (["train", "--gamma", "0.5"], "--gamma: want it with --rule ovis only, got --rule wake-sleep"),
        (["train", "--rule", "ovis", "--baseline", "arithmetic"], "--baseline: want it with --rule vimco only"),
        (["train", "--missing", "marginalise", "--binarize", "sample"], "want none with --binarize sample, got 'marg"),
        (["score", "model.npz", "--steps", "5"], "--steps: want it with --method ais only, got --method auto"),
        (["train", "model.npz"], "model.npz: want rows, got a machine that was saved"),
        (["train", "empty.npy"], "empty.npy: want rows, got an empty file"),
        (["score", "model.npz", "hole.npy"], "row 0, column 0 (with train --missing marginalise it is a missing cell"),
        (["train", "--held-out", "1.5"], "--held-out: want a share"),
        (["train", "--split", "train"], "error: --split: want DATA"),
        (["train", "--held-out-split", "test"], "error: --held-out-split: want DATA"),
        (["train", "--shape", "3x3"], "--shape: want .* = 64, got (3, 3)"),
        (["train", "--weight-decay", "9"], "--weight-decay: want at most 1/--learning-rate, 3.33333, .* got 9"),
        (["info", "missing.npz"], "missing.npz: No such file"),
        (["sample", "broken.npz"], "broken.npz: "),
        (["score", "model.npz", "-o", "scores.txt"], "--output: want a .npy or .csv file"),
        (["score", "model.npz", "wrong.csv"], "wrong.csv has 3 features, but HelmholtzMachine is expecting 64"),
        (["diagnose", "model.npz", "--particles", "0"], "--particles: want a whole number from 1"),
        (["diagnose", "model.npz", "wrong.csv"], "wrong.csv has 3 features, but HelmholtzMachine is expecting 64"),
        (["sample", "model.npz", "-o", "f.txt"], "--output: want a .npy or .csv or .bits file"),
        (["sample", "model.npz", "-n", "-1"], " -n: want a whole number from 0"),
        (["score", "model.npz", "--method", "ais", "--steps", "0"], " --steps: want a whole number from 1"),
        (["score", "model.npz", "--method", "exact"], "error: --method: .* at most 24 hidden units, this"),
    ],
)
def test_errors_are_one_line_and_status_1(arguments, message, model, capsys, monkeypatch):
    Path("broken.npz").write_bytes(b"PK\x03\x04 no archive")
    Path("wrong.csv").write_text("1,0,1\n0,0,1\n")
    Path("one.csv").write_text("1,0,1\n")
    Path("None or x.csv").write_text("1,0,1\n")
    Path("pair.csv").write_text("1,0,1\n0,0,1\n")
    Path("twice.csv").write_text("a,b,a\n" + "1,0,1\n" * 9)
    Path("empty.npy").write_bytes(b"")
    np.save("hole.npy", np.full((1, 64), np.nan))
    Path("folder.npy").mkdir()
    Path("cut.npz").write_bytes(Path(model).read_bytes()[:3000])
    np.savez("two.npz", one=np.eye(3), other=np.eye(4))
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "FORMAT_VERSION", 2)
        checkpoint.save("newer.npz", {}, {})
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("wakesleep: error: ")
    assert err.count("\n") == 1
    assert all(part in err for part in message.split(" .* "))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--hidden", "0"), ("--particles", "0"), ("--epochs", "-1"), ("--threads", "0"), ("--seed", "-1"),
        ("--learning-rate", "0"), ("--learning-rate", "1,2,3"), ("--sleep-weight", "2"), ("--sleep-steps", "0"),
        ("--rule ovis --gamma", "2"), ("--weight-decay", "-1"), ("--clip-norm", "0"), ("--batch-size", "0"),
        ("--patience", "0"), ("--schedule", "sometimes"), ("--binarize", "nan"),
    ],
)
def test_an_error_names_the_option_and_comes_before_the_work(option, value, capsys):
    assert main(["train", *option.split(), value]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"wakesleep: error: {option.split()[-1]}: want ")


def test_a_model_is_replaced_only_where_that_is_asked_for(model):
    before = HelmholtzMachine.load(model)
    assert main(["train", "-q", "-o", model, "--epochs", "1"]) == 1
    assert learned(HelmholtzMachine.load(model)) == learned(before)
    assert main(["train", "-q", "-o", model, "--epochs", "1", "--overwrite"]) == 0
    assert HelmholtzMachine.load(model).n_iter_ == 1


@pytest.mark.parametrize(
    ("command", "kind"),
    [("train rows.npy", ".npz"), ("score model.npz rows.npy", ".npy"), ("sample model.npz", ".npy")],
)
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("no/such/folder/m", "want a file in a folder that exists"),
        ("folder", "want a regular file"),
        ("closed/m", "want a file in a folder that can be written to"),
    ],
)
def test_output_that_cannot_be_written_is_refused_before_the_work(
    command, kind, output, message, model, capsys, monkeypatch
):
    output += kind
    for work in ("fit", "score_samples", "sample"):
        monkeypatch.setattr(HelmholtzMachine, work, None)
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("closed"))  # root may write anywhere
    Path(f"folder{kind}").mkdir()
    Path("closed").mkdir()
    np.save("rows.npy", np.eye(64))
    assert main([*command.split(), "-o", output]) == 1
    assert capsys.readouterr().err.startswith(f"wakesleep: error: {output}: {message}")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no folder here where nobody can make a file")
def test_a_folder_where_no_file_can_be_made_is_found_out_before_the_work(capsys, monkeypatch):
    monkeypatch.setattr(HelmholtzMachine, "fit", None)
    assert main(["train", "-o", "/proc/m.npz"]) == 1
    assert capsys.readouterr().err.startswith("wakesleep: error: /proc/m.npz: want a file in a folder ")


def test_nothing_is_left_where_it_was_tried_to_make_a_file(monkeypatch):
    def interrupted(*arguments, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(HelmholtzMachine, "fit", interrupted)
    assert main(["train", "-o", "m.npz"]) == 130
    assert os.listdir() == []


@pytest.mark.parametrize("command", ["train", "sample", "score", "impute", "diagnose", "plot", "info"])
def test_wrong_usage_is_told_in_two_lines(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--no-such"])
    usage, error = capsys.readouterr().err.splitlines()
    assert usage.startswith(f"usage: wakesleep {command} ")
    assert error.startswith(f"wakesleep {command}: error: ")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("--hidden 16 4", "4; several numbers for one option are joined by commas, as in --hidden 32,16"),
        ("rows.npy --hidden 16 4", "4; several numbers for one option are joined by commas, as in --hidden 32,16"),
        ("--n-particles 5", "--n-particles; is --particles meant?"), ("--n_iter=5", "--n_iter=5; is --epochs meant?"),
        (".5", ".5; several numbers for one option are joined by commas, as in --hidden 32,16"),
        ("--lerning-rate 1", "--lerning-rate; is --learning-rate meant?"), ("--no-such x.npy", "--no-such"),
    ],
)  # fmt: skip
def test_what_is_unknown_is_told_with_what_may_be_meant(typed, hint, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", *typed.split()])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith(f"\nwakesleep train: error: unrecognized arguments: {hint}\n")


def test_the_name_alone_prints_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    help_text = capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", help_text)


def test_an_unknown_option_of_no_command_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["--bogus"])
    assert capsys.readouterr().err.endswith("\nwakesleep: error: unrecognized arguments: --bogus\n")


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], *(["train", *x.split()] for x in ("--epochs many", "--shape 8", "--rule other"))]
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: wakesleep" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("--epochs 2.5", "want a whole number, got '2.5'"), ("--held-out x", "want a number, got 'x'"),
        ("--hidden 32,,16", "want whole numbers with commas between them, got '32,,16'"),
        ("--shape 8by8", "want height x width, such as 28x28, got '8by8'"),
        ("--learning-rate fast", "want a number, or two with a comma between them, got 'fast'"),
        ("--binarize yes", "want a number, or sample, got 'yes'"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_is_wanted(option, wanted, capsys):
    with pytest.raises(SystemExit):
        main(["train", *option.split()])
    *_, last = capsys.readouterr().err.splitlines()
    assert last == f"wakesleep train: error: argument {option.split()[0]}: {wanted}"


@pytest.mark.parametrize("folder", ["", "./"])
@pytest.mark.parametrize(("command", "data"), [("train", "mine.npz"), ("score model.npz", "mine.npy")])
def test_the_data_are_never_overwritten(command, data, folder, model, capsys):
    (np.save if data == "mine.npy" else np.savez)(data, np.eye(64))
    before = Path(data).read_bytes()
    assert main([*command.split(), data, "-o", folder + data]) == 1
    assert f"{data}: want another file" in capsys.readouterr().err
    assert Path(data).read_bytes() == before


@posix
@pytest.mark.parametrize("file", ["f.npy", "f.bits", "s.npy", "m.npz"])
def test_a_full_disk_is_told_with_the_name_of_the_file(file, model):
    command = {
        "f.npy": f"sample {model} -n 10000 -o {file}", "f.bits": f"sample {model} -n 10000 -o {file}",
        "s.npy": f"score {model} --particles 1 -o {file}", "m.npz": f"train -q -o {file} --epochs 2",
    }[file]  # fmt: skip
    result = subprocess.run(  # a limit to the size of files stands for the disk
        f"ulimit -f 8; exec '{sys.executable}' -m wakesleep {command}",
        shell=True, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert re.fullmatch(rf"wakesleep: error: {file}: (File too large|not written to its end: .*)\n", result.stderr)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no file here that is always full")
def test_a_full_standard_output_is_named(model):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "wakesleep", "info", model]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "wakesleep: error: standard output: No space left on device\n")


@posix
def test_a_log_that_finds_no_room_is_named_and_training_saved():
    Path("log.json").write_text("{}\n" * 10_900)
    result = subprocess.run(
        f"ulimit -f 64; exec '{sys.executable}' -m wakesleep train -q -o m.npz --hidden 2 --log log.json",
        shell=True, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert re.fullmatch(
        r"wakesleep: error: log.json: File too large; \d epochs? and \d+ steps are in m.npz\n", result.stderr
    )
    assert HelmholtzMachine.load("m.npz").n_iter_ > 0


@pytest.mark.parametrize(("option", "value"), [("gamma", 0.5), ("baseline", "arithmetic")])
def test_what_the_rule_does_not_take_is_no_reason_not_to_resume(option, value, model, capsys):
    machine = HelmholtzMachine.load(model).set_params(**{option: value})
    machine.save(model)
    assert main([*RESUME, "-q", "--epochs", "3"]) == 0
    assert HelmholtzMachine.load(model).n_iter_ == 3
    machine.set_params(rule="ovis", gamma=0.5, n_particles=5, sleep_weight=0.5).save(model)
    assert main([*RESUME, "--rule", "ovis", "--particles", "5", "--sleep-weight", "0.5", "--epochs", "4"]) == 1
    assert "--resume: want the --gamma of model.npz, which is 0.5, got 1.0" in capsys.readouterr().err


def test_training_goes_on_after_epochs_of_no_likelihood(capsys):
    """JSON has no infinity: what was one comes back as one, and is drawn."""
    how = ["train", "-o", "far.npz", "-q", "--learning-rate", "1.5e38"]
    assert main([*how, "--epochs", "4"]) == 0
    assert main([*how, "--epochs", "6", "--resume"]) == 0
    assert HelmholtzMachine.load("far.npz").history_[-1]["log_likelihood"] == -np.inf
    pytest.importorskip("matplotlib")
    assert main(["plot", "far.npz", "--kind", "curves"]) == 0
    assert "error" not in capsys.readouterr().err


def test_what_a_terminal_would_obey_is_not_printed(capsys):
    Path("red.csv").write_text("a,\x1b[31mb\n" + "1,0\n0,1\n" * 5)
    assert main(["train", "red.csv", "-o", "red.npz", "-q", "--hidden", "1", "--epochs", "1"]) == 0
    Path("other.csv").write_text("a,b\n1,0\n")
    assert main(["score", "red.npz", "other.csv"]) == 1
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert r"\x1b[31mb" in told


@posix
def test_nor_is_it_in_a_warning(capsys):
    Path("\x1b[31m.csv").write_text("a,b\n" + "5,0\n0,1\n" * 5)
    assert main(["train", "\x1b[31m.csv", "-o", "red.npz", "-q", "--hidden", "1", "--epochs", "1"]) == 0
    told = capsys.readouterr().err
    assert told.startswith(r"wakesleep: warning: \x1b[31m.csv: has values from 0 to 5 in column 'a'")
    assert "\x1b" not in told


def test_a_machine_is_not_overwritten_by_its_fantasies(capsys):
    assert main(["train", "-o", "m.npz", "-q", "--epochs", "1"]) == 0
    os.rename("m.npz", "m.npy")
    before = Path("m.npy").read_bytes()
    assert main(["sample", "m.npy", "-o", "m.npy"]) == 1
    assert Path("m.npy").read_bytes() == before


def test_no_character_that_a_terminal_obeys_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["train", "--\x1b[31mx"])
    assert capsys.readouterr().err.endswith(r"unrecognized arguments: --\x1b[31mx" + "\n")
    assert main(["train", "-o", "a\x1b[31m.npz", "--epochs", "1"]) == 0
    assert capsys.readouterr().out.endswith("saved to a\\x1b[31m.npz\n")
