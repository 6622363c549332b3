"""Missing cells in files, and on the command line."""

import re

import numpy as np
import pytest
from machines import DIGITS, learned, small

from wakesleep import Bits, HelmholtzMachine
from wakesleep.cli import main
from wakesleep.datasets import read

NAN = np.nan
X = np.asarray(DIGITS[:200], np.float64)
X[np.random.default_rng(0).random(X.shape) < 0.2] = NAN
BITS = Bits.from_dense(X, missing="marginalise")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(rows, nothing):
    """A file of numbers in which missing cells are this text."""
    lines = [",".join(nothing if np.isnan(cell) else f"{cell:g}" for cell in row) for row in rows]
    with open("x.csv", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return "x.csv"


@pytest.mark.parametrize("nothing", ["", "NA", "nan", " NaN ", " "])
def test_csv_files_have_missing_cells(monkeypatch, nothing):
    monkeypatch.setattr("wakesleep.datasets.csv_file.BLOCK_BYTES", 64 * 8 * 7)  # blocks of seven rows
    rows = np.concatenate([np.nan_to_num(X[:20]), X[20:]])
    path = written(rows, nothing)
    assert read(path, missing="marginalise") == Bits.from_dense(rows, missing="marginalise")
    with pytest.raises(ValueError, match=r"line 21, column 6 \(from 0\): want a number|line 21 contains NaN"):
        read(path)


def test_a_line_with_an_empty_cell_is_no_line_of_names():
    with open("x.csv", "w", encoding="utf-8") as file:
        file.write("1,,0\n,1,1\n")
    assert read("x.csv", missing="marginalise") == Bits.from_dense([[1, NAN, 0], [NAN, 1, 1]], missing="marginalise")


def test_other_files_have_missing_cells():
    np.save("x.npy", X)
    np.savez("x.npz", X)
    BITS.save("x.bits")
    for path in ("x.npy", "x.npz", "x.bits"):
        assert read(path, missing="marginalise") == BITS
        with pytest.raises(ValueError, match=rf"^{re.escape(path)} contains (NaN|missing cells)"):
            read(path)


def test_the_command_line_trains_scores_and_goes_on_with_missing_cells(capsys):
    train = "train", written(X, ""), "--hidden", "6,4", "--missing", "marginalise", "--epochs"
    assert main([*train, "2"]) == 0
    assert "held-out log p(x), nats" in capsys.readouterr().out
    machine = HelmholtzMachine.load("x-model.npz")
    assert machine.missing == "marginalise"
    assert main(["score", "x-model.npz", "x.csv"]) == 0
    assert f"{machine.score(X):9.3f}" in capsys.readouterr().out
    assert main(["diagnose", "x-model.npz", "x.csv"]) == 0
    assert main([*train, "4", "--resume"]) == 0
    resumed = HelmholtzMachine.load("x-model.npz")
    assert main([*train, "4", "--overwrite", "-q"]) == 0
    assert learned(HelmholtzMachine.load("x-model.npz")) == learned(resumed)
    capsys.readouterr()
    assert main([*train[:4], "--epochs", "6", "--resume"]) == 1
    assert "--resume: want the --missing of x-model.npz, which is marginalise, got None" in capsys.readouterr().err


def test_held_out_rows_of_another_split_may_lack_cells_too(capsys):
    np.savez("x.npz", some=X[:100], others=X[100:])
    how = ["--split", "some", "--held-out-split", "others", "--missing", "marginalise", "--epochs", "1"]
    assert main(["train", "x.npz", *how]) == 0
    assert "100 of 100 held-out rows" in capsys.readouterr().out


def test_the_command_line_refuses_missing_cells_that_it_was_not_told_of(capsys):
    assert main(["train", written(X, "nan")]) == 1
    assert re.search(r"^wakesleep: error: x.csv: line 1 contains NaN in column", capsys.readouterr().err)


@pytest.mark.parametrize("draws", [False, True])
@pytest.mark.parametrize("output", ["filled.npy", "filled.csv"])
def test_impute_writes_what_the_machine_fills_in(draws, output, capsys):
    assert main(["train", written(X, "NA"), "--hidden", "6,4", "--missing", "marginalise", "--epochs", "1", "-q"]) == 0
    how = {"method": "importance", "n_particles": 20}
    more = ["--method", "importance", "--particles", "20", *(["--draws"] if draws else [])]
    assert main(["impute", "x-model.npz", "x.csv", "-o", output, "--seed", "3", *more]) == 0
    filled = np.load(output) if output.endswith(".npy") else np.loadtxt(output, delimiter=",")
    expected = HelmholtzMachine.load("x-model.npz").impute(BITS, **how, draws=draws, random_state=3)
    np.testing.assert_allclose(filled, expected, atol=1e-6)
    if not draws:
        assert np.abs(filled - HelmholtzMachine.load("x-model.npz").impute(BITS)).max() > 1e-4
    assert main(["impute", "x-model.npz", "x.csv", "-o", "filled.txt"]) == 1
    assert "--output: want a .npy or .csv file, got filled.txt" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["x.csv", "x.npy"])
@pytest.mark.parametrize(
    ("cells", "threshold", "values"),
    [
        ([[1, 5, np.nan, 2], [6, 3, np.nan, 1]], 3, "from 1 to 6"),
        ([[0, 1, np.nan, 0.25], [1, 0, np.nan, 0]], 0.5, "from 0 to 1"),
        ([[0, 1, 0, -1], [1, 0, np.nan, 0]], -0.5, "from -1 to 1"),
        ([[0, 1, np.nan, 0], [1, np.nan, np.nan, 1]], 0.5, None),
        ([[0, 1, np.nan, 0], [1, np.nan, np.nan, 1]], 0, None),
        ([[0, 1, np.nan, 0], [1, np.nan, np.nan, 1]], 1, "from 0 to 1"),
    ],
)
def test_impute_tells_of_values_that_it_writes_as_zeros_and_ones(source, cells, threshold, values, capsys):
    machine = HelmholtzMachine.from_parameters([0.0], [(np.ones((1, 4)), np.zeros(4))], [(np.ones((4, 1)), [0.0])])
    machine.save("model.npz")
    written(np.array(cells), "") if source == "x.csv" else np.save(source, np.array(cells, float))
    assert main(["impute", "model.npz", source, "-o", "filled.csv", "--binarize", str(threshold)]) == 0
    told = f"{source}: had values {values}; filled.csv has 0 and 1 in their place, 1 for those above {threshold:g}"
    assert capsys.readouterr().err == ("" if values is None else f"wakesleep: warning: {told}\n")
    known = ~np.isnan(cells)
    np.testing.assert_array_equal(np.loadtxt("filled.csv", delimiter=",")[known], np.array(cells)[known] > threshold)


def test_impute_by_a_machine_that_has_not_learned_from_gaps_is_told(capsys):
    small(n_iter=1).fit(DIGITS).save("model.npz")
    fault = "what is filled in may be far off, because q has not learned to recognise rows with gaps"
    how = "train --missing marginalise teaches it, where learning meets such rows"
    for rows, told in ((X, f"wakesleep: warning: {fault}; {how}\n"), (np.nan_to_num(X), "")):
        written(rows, "")
        assert main(["impute", "model.npz", "x.csv", "-o", "filled.csv", "--method", "importance"]) == 0
        assert capsys.readouterr().err == told
