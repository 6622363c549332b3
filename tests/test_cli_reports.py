"""What commands report of a machine: the errors of means, and images of the right rows."""

import re

import numpy as np
import pytest

from wakesleep import HelmholtzMachine, datasets, likelihood
from wakesleep.cli import main, train

DIGITS = datasets.load_digits()
SPLITS = ["digits.npz", "-o", "model.npz", "--split", "train", "--held-out-split", "test"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_noise_that_equal_rows_share_is_part_of_every_error(capsys):
    equal = DIGITS[[0] * 9].to_dense()
    np.savez("digits.npz", train=DIGITS[:200].to_dense(), test=equal)
    assert main(["train", *SPLITS, "--epochs", "2"]) == 0
    errors = re.findall(r"^(\S+ \S+).* \+- (\S+)", capsys.readouterr().out, re.MULTILINE)
    assert [(name, float(error) > 0) for name, error in errors] == [
        ("held-out log", True), ("independent units", False), (errors[2][0], True),
    ]  # fmt: skip
    assert main(["score", "model.npz", "digits.npz", "--split", "test", "--particles", "50"]) == 0
    error, size = re.search(r"nats .* \+- (\S+) .*\neffective sample size +(\S+)", capsys.readouterr().out).groups()
    assert float(error) == pytest.approx(np.sqrt(8 / 9 * (1 / float(size) - 1 / 50)), abs=2e-3)


def test_images_after_training_are_fantasies_and_rows_with_their_reconstructions(monkeypatch, capsys):
    np.savez("digits.npz", train=DIGITS[:1000].to_dense(), test=DIGITS[1000:1050].to_dense())
    seen = {}
    monkeypatch.setattr(train, "draw", lambda title, rows, shape: seen.update({title: np.asarray(rows)}))
    assert main(["train", *SPLITS, "--epochs", "10"]) == 0
    machine = HelmholtzMachine.load("model.npz")
    np.testing.assert_array_equal(seen["fantasies"], machine.sample(8))
    rows = seen["held-out rows"]
    assert len(rows) == 8
    assert set(map(bytes, rows)) <= set(map(bytes, DIGITS[1000:1050].to_dense()))
    reconstructed = machine.reconstruct(rows) > 0.5
    assert len(set(map(bytes, reconstructed))) > 4, "this test has no power"
    np.testing.assert_array_equal(seen["their reconstructions"], reconstructed)


def test_a_machine_that_is_worse_than_independent_units_is_called_so(monkeypatch, capsys):
    monkeypatch.setattr(train.likelihood, "independent_log_likelihood", lambda rows, held_out: np.zeros(len(held_out)))
    assert main(["train", "--epochs", "2"]) == 0
    out = capsys.readouterr().out
    log_p = re.search(r"^held-out log p\(x\), nats +-([\d.]+) ", out, re.MULTILINE)[1]
    assert re.search(rf"^worse by +{log_p} \+- ", out, re.MULTILINE)


def test_of_many_held_out_rows_the_report_takes_some(monkeypatch, capsys):
    monkeypatch.setattr(train, "FINAL_ROWS", 50)
    assert main(["train", "--epochs", "2"]) == 0
    assert "(K = 1,000, 50 rows)" in capsys.readouterr().out


def test_ctrl_c_in_the_report_loses_nothing(monkeypatch, capsys):
    def interrupted(*arguments, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(likelihood, "independent_log_likelihood", interrupted)
    assert main(["train", "--epochs", "2"]) == 130
    assert capsys.readouterr().err == "wakesleep: interrupted; training is done, and saved to digits-model.npz\n"
    assert HelmholtzMachine.load("digits-model.npz").n_iter_ == 2


def test_a_machine_worse_than_independent_units_is_called_so(capsys):
    assert main(["train", "-q", "--learning-rate", "1000", "--epochs", "8"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("wakesleep: warning: for 5 epochs held-out log p(x) has been far below")
    assert "--learning-rate may be far too large" in err
    assert err.count("\n") == 1
    assert main(["train", "-q", "--learning-rate", "1e-4", "--epochs", "8", "--overwrite"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("wakesleep: warning: log p(x) of held-out rows is not clearly above that of independent")
    more = "more of them, by a smaller --batch-size or a larger --epochs, or another --learning-rate may help"
    assert err.endswith(f" nats: after 576 steps, {more}\n")
