"""The command line, as a person meets it."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from checks import posix

from wakesleep import Bits, HelmholtzMachine, datasets, drawing
from wakesleep.cli import main, train
from wakesleep.optimizers import OPTIMIZERS

QUICK = ["--epochs", "2"]


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


def test_what_is_frozen_does_not_learn(capsys):
    for output, frozen in (("all.npz", []), ("some.npz", ["--frozen", "prior_logits,generative.0.weights"])):
        assert main(["train", "-q", "-o", output, *frozen, *QUICK]) == 0
    every, some, anew = HelmholtzMachine.load("all.npz"), HelmholtzMachine.load("some.npz"), HelmholtzMachine((32, 16))
    anew.set_params(n_iter=0, random_state=0).fit(datasets.load_digits())
    assert every.prior_logits_.all()
    assert not some.prior_logits_.any()
    np.testing.assert_array_equal(some.generative_[0].weights, anew.generative_[0].weights)
    assert (some.generative_[1].weights != anew.generative_[1].weights).all()
    for model, told in (("all.npz", "none"), ("some.npz", "prior_logits,generative.0.weights")):
        assert main(["info", model]) == 0
        assert re.search(rf"^frozen +{told}$", capsys.readouterr().out, re.MULTILINE)


def test_quiet_prints_nothing(capsys):
    main(["train", "-q", *QUICK])
    assert capsys.readouterr() == ("", "")


def test_training_on_a_split_measures_on_the_other(capsys):
    X = datasets.load_digits().to_dense()
    np.savez("digits.npz", train=X[:1000], test=X[1000:])
    how = ["--split", "train", "--held-out-split", "test", "--hidden", "8", "--threads", "2"]
    assert main(["train", "digits.npz", *how, *QUICK]) == 0
    out = capsys.readouterr().out
    assert "1,000 rows to learn from; 797 of 797 held-out rows measured after each epoch; levels 64-8" in out
    assert "(exact, 797 rows)" in out
    machine = HelmholtzMachine.load("digits-model.npz")
    assert (machine.verbose, machine.n_threads) == (0, None), "these are of the run, not of the machine"


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


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupt_saves_says_so_and_resumes_to_the_same_bits(name):
    process = subprocess.Popen(
        [sys.executable, "-m", "wakesleep", "train", "-o", "cut.npz", "--epochs", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(getattr(signal, name), signal.SIG_DFL),  # though it may be ignored here
    )  # fmt: skip
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert re.search(rb"interrupted; \d+ epochs? and [\d,]+ steps? are in cut.npz", errors)
    assert b"Traceback" not in errors
    epochs = str(HelmholtzMachine.load("cut.npz").n_iter_ + 3)
    assert main(["train", "-q", "-o", "cut.npz", "--epochs", epochs, "--resume"]) == 0
    assert main(["train", "-q", "-o", "whole.npz", "--epochs", epochs]) == 0
    cut, whole = HelmholtzMachine.load("cut.npz"), HelmholtzMachine.load("whole.npz")
    for one, other in zip(cut.generative_ + cut.recognition_, whole.generative_ + whole.recognition_, strict=True):
        assert (one.weights == other.weights).all()
        assert (one.biases == other.biases).all()


@posix
def test_signals_mean_what_they_did_once_training_is_over():
    before = [signal.signal(number, signal.SIG_DFL) for number in train.STOPPING]
    try:
        assert main(["train", "-q", *QUICK]) == 0
        assert [signal.getsignal(number) for number in train.STOPPING] == [signal.SIG_DFL] * len(before)
    finally:
        for number, handler in zip(train.STOPPING, before, strict=True):
            signal.signal(number, handler)


@posix
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
    process.communicate(timeout=120)
    assert process.returncode == 130


@posix
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
    assert main(["sample", model, "-n", "3", "--seed", "5", "-o", "g.npy"]) == 0
    assert (np.load("f.npy") == HelmholtzMachine.load(model).sample(3)).all()
    assert (np.load("g.npy") == HelmholtzMachine.load(model).sample(3, random_state=5)).all()
    assert main(["sample", model]) == 0
    assert "▄" in capsys.readouterr().out


def test_sample_prints_rows_that_are_no_images(capsys):
    np.save("rows.npy", np.eye(12))
    main(["train", "rows.npy", "-q", "-o", "rows-model.npz"])
    main(["sample", "rows-model.npz", "-n", "4"])
    assert re.fullmatch(r"([01]{12}\n){4}", capsys.readouterr().out)


def test_fantasies_that_do_not_fit_beside_each_other_stand_below(model, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "78")
    assert main(["sample", model, "-n", "20"]) == 0  # eight of 8 × 8, and seven gaps of two columns
    out = capsys.readouterr().out
    assert re.findall(r"^(.*):$", out, re.MULTILINE) == ["fantasies", "more", "more"]
    everything, fantasies = out.split("more:"), HelmholtzMachine.load(model).sample(20)
    for picture, rows in zip(everything, (fantasies[:8], fantasies[8:16], fantasies[16:]), strict=True):
        assert drawing.draw([rows], height=8, width=8, unicode="▄" in out) in picture


def test_score_is_the_score_of_the_machine(model, capsys):
    assert main(["score", model, "--particles", "50", "-o", "scores.npy"]) == 0
    out = capsys.readouterr().out
    values = HelmholtzMachine.load(model).score_samples(datasets.load_digits(), n_particles=50)
    assert (np.load("scores.npy") == values).all()
    assert f"{values.mean():.3f} +- {values.std(ddof=1) / np.sqrt(1797):.3f}  (K = 50)" in out
    assert main(["score", model, "--particles", "50", "--seed", "5", "-o", "others.npy"]) == 0
    others = HelmholtzMachine.load(model).score_samples(datasets.load_digits(), n_particles=50, random_state=5)
    assert (np.load("others.npy") == others).all()


def test_score_tells_how_many_samples_counted(model, capsys):
    assert main(["score", model, "--particles", "50"]) == 0
    lines = r"^effective sample size +(\S+)\n  below 1.1 +(\S+) %$"
    size, share = re.search(lines, capsys.readouterr().out, re.MULTILINE).groups()
    found = HelmholtzMachine.load(model).diagnostics(datasets.load_digits(), n_particles=50)
    assert float(size) == pytest.approx(found.effective_sample_size, rel=0.1)
    assert float(share) == pytest.approx(100 * found.few_effective, abs=0.1)
    for method in (["elbo"], ["ais", "--steps", "2"]):
        assert main(["score", model, "--particles", "2", "--method", *method]) == 0
        assert "effective" not in capsys.readouterr().out


def test_score_warns_where_one_sample_decides(capsys):
    assert main(["train", "-q", "-o", "good.npz"]) == 0
    machine = HelmholtzMachine.load("good.npz")
    q = [(-layer.weights, -layer.biases) for layer in machine.recognition_]
    HelmholtzMachine.from_parameters(machine.prior_logits_, machine.generative_, q, random_state=0).save("bad.npz")
    assert main(["score", "bad.npz", "--particles", "100"]) == 0
    err = capsys.readouterr().err
    assert re.fullmatch(r"wakesleep: warning: log p\(x\) of \d+ % of the rows rests on one of 100 samples .*\n", err)


def test_of_one_row_there_is_no_standard_error(model, capsys):
    np.save("one.npy", datasets.load_digits().to_dense()[:1])
    assert main(["score", model, "one.npy"]) == 0
    assert re.search(r"log p\(x\), nats +-\d+\.\d{3}  \(K = 1,000\)", capsys.readouterr().out)


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
    assert capsys.readouterr().out == f"9 rows, 7 samples for each; levels 64-32-16\n{found}\n"


@pytest.mark.parametrize("command", ["score", "diagnose", "impute"])
def test_what_may_take_long_tells_first_what_it_measures(command, model, monkeypatch, capsys):
    def interrupted(*arguments, **how):
        raise KeyboardInterrupt

    for work in ("_estimates", "diagnostics", "impute"):
        monkeypatch.setattr(HelmholtzMachine, work, interrupted)
    np.save("few.npy", datasets.load_digits()[:9].to_dense())
    assert main([command, model, "few.npy", *(["-o", "filled.npy"] if command == "impute" else [])]) == 130
    n_samples = "100" if command == "diagnose" else "1,000"
    assert capsys.readouterr().out == f"9 rows, {n_samples} samples for each; levels 64-32-16\n"


@pytest.mark.parametrize("command", ["score", "diagnose"])
def test_without_data_the_output_says_that_rows_learned_from_are_measured_too(command, model, capsys):
    np.save("few.npy", datasets.load_digits()[:9].to_dense())
    told = "no DATA: all digits in the package, those learned from among them"
    for data in ([], ["few.npy"]):
        assert main([command, model, *data, "--particles", "2"]) == 0
        assert (capsys.readouterr().out.splitlines()[1] == told) is (data == [])


def test_score_by_annealing(model, capsys):
    np.save("few.npy", datasets.load_digits().to_dense()[:9])
    assert main(["score", model, "few.npy", "--method", "ais", "--particles", "3", "--steps", "4"]) == 0
    out = capsys.readouterr().out
    machine = HelmholtzMachine.load(model)
    value = machine.score(datasets.load_digits()[:9], method="ais", n_particles=3, n_steps=4)
    assert re.search(rf"log p\(x\), nats +{value:.3f} \+- \d+\.\d+  \(K = 3, T = 4\)", out)


def test_info_tells_what_a_file_holds_and_what_runs_here(model, capsys):
    assert main(["info", model]) == 0
    out = capsys.readouterr().out
    for line in (
        "levels 64-32-16", "epochs 2", "n particles 1", "sleep weight 1.0", "learning rate 0.3", "patience none",
        "random state 0", "rows 1,438", "held-out rows 359",
    ):  # fmt: skip
        assert re.search(rf"^{line.replace(' ', ' +')}$", out, re.MULTILINE), line
    assert "None" not in out
    machine = HelmholtzMachine.load(model)
    machine.history_[-1] |= {"rows_per_second": 12345.6, "seconds": 0.123456789}
    machine.save(model)
    assert main(["info", model]) == 0
    out = capsys.readouterr().out
    for line in (r"last seconds +0\.123457", "last rows per second +12,346"):
        assert re.search(f"^{line}$", out, re.MULTILINE), line
    assert main(["info"]) == 0
    assert re.search(r"instruction set +\w+", capsys.readouterr().out)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_rate_suits_the_optimizer(optimizer, capsys):
    assert main(["train", "-o", "m.npz", "--optimizer", optimizer]) == 0
    assert float(re.search(r"better by +([\d.]+)", capsys.readouterr().out).group(1)) >= 5


@pytest.mark.parametrize(
    ("how", "jump"),
    [
        ("--schedule cosine", "the factor of --schedule goes on from 0.5, not 0"),
        ("--schedule linear:final=0.5", "the factor of --schedule goes on from 0.75, not 0.5"),
        ("--rule reweighted --sleep-weight 1,0.25", "--sleep-weight goes on from 0.5, not 0.25"),
        ("--schedule decay:factor=0.9", None),
    ],
)
def test_what_jumps_when_training_goes_on_for_longer_is_told(how, jump, capsys):
    train = ["train", "-q", "-o", "m.npz", *how.split()]
    assert main([*train, "--epochs", "2"]) == 0
    assert main([*train, "--epochs", "4", "--resume"]) == 0
    told = f"wakesleep: warning: with --epochs 4 and no longer 2, {jump}\n" if jump else ""
    assert capsys.readouterr() == ("", told)


def test_ctrl_c_while_the_machine_is_saved_loses_nothing(monkeypatch, capsys):
    save = HelmholtzMachine.save

    def interrupted(machine, path):
        monkeypatch.setattr(HelmholtzMachine, "save", save)
        raise KeyboardInterrupt

    monkeypatch.setattr(HelmholtzMachine, "save", interrupted)
    assert main(["train", *QUICK, "--overwrite"]) == 130
    told = "interrupted; 2 epochs and 144 steps are in digits-model.npz; the same command with --resume instead of"
    assert told in capsys.readouterr().err
    assert HelmholtzMachine.load("digits-model.npz").n_iter_ == 2


@posix
def test_a_reader_that_stops_loses_no_training():
    command = f"'{sys.executable}' -m wakesleep train -o cut.npz --epochs 100000 | head -n 4"
    result = subprocess.run(command, shell=True, capture_output=True, timeout=60, check=True)
    assert b"wakesleep: the output was closed; " in result.stderr
    assert b"are in cut.npz" in result.stderr
    assert b"Traceback" not in result.stderr
    assert HelmholtzMachine.load("cut.npz").n_iter_ > 0


@posix
def test_a_reader_that_stops_is_told_by_the_status_alone(model):
    command = [sys.executable, "-m", "wakesleep", "sample", model, "-n", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=60)) == (b"", 1)


def test_help_shows_examples_and_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "wakesleep train mnist.npz" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    assert "(default: 40)" in out
    assert "usage: wakesleep train [options] [DATA]" in out
    assert "in Python, those of HelmholtzMachine are a rate of 0.1 (0.003 with" in " ".join(out.split())
    assert "reconstructions, by q upwards and p downwards without" in " ".join(out.split())
    assert "--seed N the same seed and rows give the same machine (default: 0)" in " ".join(out.split())
    assert "None" not in out


@pytest.mark.parametrize("command", ["train", "sample", "score", "impute", "diagnose", "plot", "info"])
def test_help_ends_with_examples_of_the_command(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    examples = capsys.readouterr().out.split("\nexamples:\n")[1].splitlines()
    assert examples
    assert all(line.startswith(f"  wakesleep {command} ") for line in examples)
