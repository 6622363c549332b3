"""What values X has: told where a threshold between 0 and 1 cuts values that lie beyond, as on a scale of 1 to 5."""

import warnings

import numpy as np
import pytest
from machines import small

from wakesleep import Bits, datasets
from wakesleep.cli import main

RNG = np.random.default_rng(0)
COUNTS = RNG.integers(0, 17, (40, 3))
SCALE = RNG.integers(1, 6, (40, 3))
WITHIN = RNG.random((40, 3))


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
    message = "X: has values from 0 to 16; binarize=0.5 makes ones of those above it, another threshold may suit"
    assert told(machine.fit, list(forms(COUNTS))[number], validation=0.2) == [message]
    assert told(machine.score, COUNTS) == []
    assert told(small(missing="marginalise").partial_fit, list(forms(COUNTS))[number]) == [message]


@pytest.mark.parametrize("part", [slice(None), slice(9), [5, 2, 3]], ids=str)
def test_values_that_packed_rows_were_cut_from_are_told_by_their_parts(part):
    X = Bits.from_dense(COUNTS, missing="marginalise")[part]
    assert told(small(missing="marginalise", n_iter=1).fit, X)[0].startswith("X: has values from 0 to 16; ")


def test_values_below_zero_are_told():
    assert told(small().fit, np.array([[0.25, -2.5], [1, 0.75]]))[0].startswith("X: has values from -2.5 to 1; ")


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
    expected = "X: has values from 1 to 5; binarize=0.5 makes ones of all, want another threshold"
    for method in ("fit", "partial_fit"):
        assert told(getattr(small(missing="marginalise", n_iter=1), method), X) == [expected]


def test_the_command_line_tells_it_of_all_blocks_of_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.readers, "BLOCK_BYTES", 200)
    values = np.column_stack([np.arange(40), COUNTS[:, :2] > 8])  # the first column numbers the rows
    np.savetxt("data.csv", values, fmt="%d", delimiter=",")
    np.save("scale.npy", SCALE)
    assert main(["train", "data.csv", "-q", "--epochs", "1"]) == 0
    expected = "DATA: has values from 0 to 39; --binarize 0.5 makes ones of those above it, another threshold may suit"
    assert capsys.readouterr().err == f"wakesleep: warning: {expected}\n"
    assert main(["train", "scale.npy", "-q", "--epochs", "1"]) == 0
    expected = "DATA: has values from 1 to 5; --binarize 0.5 makes ones of all, want another threshold"
    assert capsys.readouterr().err == f"wakesleep: warning: {expected}\n"
    assert main(["train", "scale.npy", "-q", "--epochs", "1", "--overwrite", "--binarize", "3"]) == 0
    assert not capsys.readouterr().err
