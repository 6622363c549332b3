"""The names of the columns of a .csv file: kept with the machine, compared ever after, and written again."""

import csv
from pathlib import Path

import numpy as np
import pytest

from wakesleep import Bits, HelmholtzMachine, datasets
from wakesleep.cli import main

NAMES = ["tea", "coffee", "with, milk", "rum"]
CELLS = (np.random.default_rng(0).random((60, 4)) < 0.4).astype(int)
MACHINE = ["-o", "model.npz", "--hidden", "3", "-q"]
WRONG = "wakesleep: error: permuted.csv: The feature names should match those that were passed during fit. "


def write(path, cells, names=None):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([names] * (names is not None) + cells.tolist())


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("data.csv", CELLS, NAMES)
    write("permuted.csv", CELLS[:, ::-1], NAMES[::-1])
    write("other.csv", CELLS, [*NAMES[:3], "gin"])
    write("bare.csv", CELLS)
    write("gaps.csv", np.where(np.eye(60, 4) > 0, "", CELLS.astype(object)), NAMES)


@pytest.fixture
def model(capsys):
    assert main(["train", "data.csv", *MACHINE, "--epochs", "2"]) == 0
    assert not capsys.readouterr().err
    return "model.npz"


def test_rows_that_are_read_have_the_names_of_their_file():
    rows = datasets.read("data.csv")
    grey = datasets.read("data.csv", binarize="sample")
    for part in (rows, rows[:7], rows[[3, 1]], grey, grey[:7]):
        assert part.feature_names == tuple(NAMES)
    assert datasets.read("bare.csv").feature_names is None
    assert rows == datasets.read("bare.csv")


def test_a_line_of_empty_cells_is_no_line_of_names():
    Path("gaps.csv").write_text(",NA\n1,0\n")
    rows = datasets.read("gaps.csv", missing="marginalise")
    np.testing.assert_array_equal(rows.to_dense(), [[np.nan, np.nan], [1, 0]])
    assert rows.feature_names is None
    with pytest.raises(ValueError, match="line 1, column 1: want a number, got an empty cell"):
        datasets.read("gaps.csv")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["score", "model.npz", "permuted.csv"], ["diagnose", "model.npz", "permuted.csv"]),
        *(["impute", "model.npz", "permuted.csv", "-o", "filled.csv"], ["plot", "model.npz", "permuted.csv"]),
        ["train", "permuted.csv", *MACHINE, "--epochs", "3", "--resume"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_other_columns_are_refused_in_one_line(arguments, model, capsys):
    assert main(arguments) == 1
    order = "Feature names must be in the same order as they were in fit."
    assert capsys.readouterr().err == f"{WRONG}{order} The first that differs is 'rum', where 'tea' was.\n"


def test_names_that_differ_are_listed(model, capsys):
    assert main(["score", model, "other.csv"]) == 1
    err = capsys.readouterr().err
    assert err.endswith("unseen at fit time: - gin Feature names seen at fit time, yet now missing: - rum\n")
    assert err.count("\n") == 1


def test_where_only_one_has_names_that_is_told_once(model, capsys):
    assert main(["score", model, "bare.csv"]) == 0
    what = "does not have valid feature names, but HelmholtzMachine was fitted with feature names"
    assert capsys.readouterr().err == f"wakesleep: warning: bare.csv {what}\n"
    assert main(["train", "bare.csv", *MACHINE, "--epochs", "2", "--overwrite"]) == 0
    assert main(["score", model, "data.csv"]) == 0
    what = "has feature names, but HelmholtzMachine was fitted without feature names"
    assert capsys.readouterr().err == f"wakesleep: warning: data.csv {what}\n"


def test_packed_rows_need_no_names(model, capsys):
    datasets.read("data.csv").save("data.bits")
    assert main(["score", model, "data.bits"]) == 0
    assert not capsys.readouterr().err


def test_a_frame_with_the_columns_of_the_file_fits_the_machine(model):
    pandas = pytest.importorskip("pandas")
    machine = HelmholtzMachine.load(model)
    assert machine.feature_names_in_.tolist() == NAMES
    assert machine.score(pandas.read_csv("data.csv")) == machine.score(datasets.read("data.csv"))
    with pytest.raises(ValueError, match="must be in the same order"):
        machine.score(pandas.read_csv("permuted.csv"))


def test_in_python_the_names_of_two_files_are_compared():
    machine = HelmholtzMachine((3,), n_iter=1).fit(datasets.read("data.csv"), validation=datasets.read("data.csv"))
    assert machine.feature_names_in_.tolist() == NAMES
    with pytest.raises(ValueError, match=r"^The feature names should match .*\n.* same order"):
        machine.score(datasets.read("permuted.csv")[:9])
    with pytest.raises(ValueError, match=r"^validation: The feature names should match"):
        machine.fit(datasets.read("data.csv"), validation=datasets.read("other.csv"))
    machine.score(Bits.from_dense(CELLS))


def test_what_is_written_begins_with_names(model):
    for command in (["impute", model, "gaps.csv", "-o", "out.csv"], ["sample", model, "-n", "3", "-o", "out.csv"]):
        assert main(command) == 0
        assert datasets.read("out.csv").feature_names == tuple(NAMES)
    machine = HelmholtzMachine.load(model)
    np.testing.assert_array_equal(datasets.read("out.csv"), machine.sample(3))
    for method, name in (("importance", "log_likelihood"), ("elbo", "elbo")):
        assert main(["score", model, "data.csv", "-o", "scores.csv", "--method", method]) == 0
        header, *values = Path("scores.csv").read_text().splitlines()
        assert header == name
        expected = machine.score_samples(datasets.read("data.csv"), method=method)
        np.testing.assert_allclose(np.array(values, float), expected, rtol=1e-11)


def test_without_names_nothing_stands_above_the_rows(capsys):
    write("gaps.csv", np.where(np.eye(60, 4) > 0, "", CELLS.astype(object)))
    assert main(["train", "bare.csv", *MACHINE, "--epochs", "1"]) == 0
    for command in (["impute", "model.npz", "gaps.csv"], ["sample", "model.npz", "-n", "60"]):
        assert main([*command, "-o", "out.csv"]) == 0
        assert np.loadtxt("out.csv", delimiter=",").shape == (60, 4)
