"""What values X has: told where a threshold between 0 and 1 cuts values that lie beyond, as on a scale of 1 to 5."""

import warnings

import numpy as np
import pytest
from machines import small

from wakesleep import Bits, _packing, datasets
from wakesleep.cli import main

RNG = np.random.default_rng(0)
COUNTS = RNG.integers(0, 17, (40, 3))
SCALE = RNG.integers(1, 6, (40, 3))
WITHIN = RNG.random((40, 3))
ABOVE = "makes ones of those above it, another threshold or fewer columns may suit"


def forms(values):
    yield values
    yield values.astype(np.float32)
    yield np.where(np.eye(*values.shape) > 0, np.nan, values)
    yield Bits.from_dense(values)
    yield pytest.importorskip("pandas").DataFrame(values)
    yield pytest.importorskip("scipy.sparse").csr_array(values)


def told(fit, *arguments, **how):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(*arguments, **how)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("number", range(6))
def test_values_beyond_zero_and_one_are_told_once(number):
    machine = small(missing="marginalise", n_iter=1)
    message = f"X: has values from 0 to 16 in all 3 columns; binarize=0.5 {ABOVE}"
    assert told(machine.fit, list(forms(COUNTS))[number], validation=0.2) == [message]
    assert told(machine.score, COUNTS) == []
    assert told(small(missing="marginalise").partial_fit, list(forms(COUNTS))[number]) == [message]


@pytest.mark.parametrize("part", [slice(None), slice(9), [5, 2, 3]], ids=str)
def test_values_that_packed_rows_were_cut_from_are_told_by_their_parts(part):
    X = Bits.from_dense(COUNTS, missing="marginalise")[part]
    assert told(small(missing="marginalise", n_iter=1).fit, X)[0].startswith("X: has values from 0 to 16 in all ")


def test_the_least_and_the_greatest_of_all_blocks_are_told(monkeypatch):
    monkeypatch.setattr(_packing, "BLOCK_BYTES", 24)  # a row of them
    for order in (slice(None), slice(None, None, -1)):
        values = np.array([[-3.0, 0.5, 1], [0, 0.5, 1], [1, 0.5, 9]])[order]
        (message,) = told(small(n_iter=1).fit, values)
        assert message.startswith("X: has values from -3 to 9 in columns 0, 2; ")


def test_values_below_zero_are_told():
    (message,) = told(small().fit, np.array([[0.25, -2.5], [1, 0.75]]))
    assert message.startswith("X: has values from -2.5 to 0.75 in column 1; ")


def test_the_columns_at_fault_are_named():
    values = np.where(np.arange(9) % 4 == 1, 7, np.eye(9))
    values[0, 8] = -1
    names = [f"item {number}" for number in range(9)]
    frame = pytest.importorskip("pandas").DataFrame(values, columns=names)
    for X, where in ((values, "columns 1, 5, 8"), (frame, "columns 'item 1', 'item 5', 'item 8'")):
        assert told(small(n_iter=1).fit, X) == [f"X: has values from -1 to 7 in {where}; binarize=0.5 {ABOVE}"]
    values[:, :-1], values[0, 8] = 2, 0
    assert " in columns 0, 1, 2, 3, 4 and 3 more; " in told(small(n_iter=1).fit, values)[0]


def test_the_threshold_that_is_told_is_the_one_that_cut():
    (message,) = told(small(binarize=0.25, n_iter=1).fit, Bits.from_dense(COUNTS, binarize=0.75))
    assert "binarize=0.75 makes" in message


@pytest.mark.parametrize("binarize", [0, 1, 8, None])
def test_another_threshold_is_meant(binarize):
    values = COUNTS if binarize is not None else COUNTS > 8
    assert told(small(binarize=binarize, n_iter=1).fit, values) == []


@pytest.mark.parametrize("values", [WITHIN, WITHIN > 0.5, np.ones((5, 3)), np.zeros((5, 3), int)], ids=len)
def test_values_from_zero_to_one_are_no_reason_to_warn(values):
    assert told(small(n_iter=1).fit, values) == []


@pytest.mark.parametrize("number", range(6))
def test_where_nothing_but_ones_comes_out_that_is_told(number):
    X = list(forms(SCALE))[number]
    expected = "X: has values from 1 to 5 in all 3 columns; binarize=0.5 makes ones of all, want another threshold"
    for method in ("fit", "partial_fit"):
        assert told(getattr(small(missing="marginalise", n_iter=1), method), X) == [expected]


def test_columns_and_rows_in_which_nothing_is_observed_are_told(tmp_path, monkeypatch, capsys):
    X = (COUNTS > 8).astype(float)
    X[:, 1], X[:4] = np.nan, np.nan
    column, rows = "X: fewer than 4 of 40 cells are observed in column {}; what a machine", "4 of 40 rows"
    column += " says of such cells is a guess"
    learned = f"X: nothing is observed in {rows}, which teach nothing"
    machine = small(missing="marginalise", n_iter=1)
    assert told(machine.fit, X) == [column.format(1), learned]
    assert told(machine.score, X) == [f"X: nothing is observed in {rows}, which have probability 1"]
    assert told(machine.score_samples, X[4:]) == told(machine.impute, X) == []
    assert told(machine.partial_fit, X) == []
    frame = pytest.importorskip("pandas").DataFrame(X, columns=list("abc"))
    assert told(small(missing="marginalise").partial_fit, frame) == [column.format("'b'"), learned]
    assert told(small(missing="marginalise", n_iter=1).fit, X[4:, [0, 2]]) == []
    for n_rows, n_cells, seen in ((40, 3, True), (40, 4, False), (300, 9, True), (300, 10, False), (19, 1, False)):
        gappy = np.ones((n_rows, 2))
        gappy[n_cells:, 0] = np.nan
        assert (told(small(missing="marginalise", n_iter=1).fit, gappy) != []) == seen, (n_rows, n_cells)
    gappy[:, 0] = np.nan
    (message,) = told(small(missing="marginalise", n_iter=1).fit, gappy)
    assert message.startswith("X: nothing is observed in column 0; ")
    monkeypatch.chdir(tmp_path)
    frame.to_csv("answers.csv", index=False)
    assert main(["train", "answers.csv", "--missing", "marginalise", "-q", "--epochs", "1"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        f"wakesleep: warning: {line.replace('X:', 'answers.csv:')}" for line in (column.format("'b'"), learned)
    ]


def test_the_command_line_tells_it_of_all_blocks_of_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.csv_file, "BLOCK_BYTES", 200)
    values = np.column_stack([np.arange(40), COUNTS[:, :2] > 8])  # the first column numbers the rows
    np.savetxt("data.csv", values, fmt="%d", delimiter=",")
    np.save("scale.npy", SCALE)
    assert main(["train", "data.csv", "-q", "--epochs", "1"]) == 0
    above = ABOVE.replace("fewer columns", "--drop")
    expected = f"data.csv: has values from 0 to 39 in column 0; --binarize 0.5 {above}"
    assert capsys.readouterr().err == f"wakesleep: warning: {expected}\n"
    assert main(["train", "scale.npy", "-q", "--epochs", "1"]) == 0
    expected = "scale.npy: has values from 1 to 5 in all 3 columns; --binarize 0.5 makes ones of all, want another"
    assert capsys.readouterr().err == f"wakesleep: warning: {expected} threshold\n"
    assert main(["train", "scale.npy", "-q", "--epochs", "1", "--overwrite", "--binarize", "3"]) == 0
    assert not capsys.readouterr().err
