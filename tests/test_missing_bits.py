"""Bits with missing cells: two planes, packed from NaN, sliced, compared, saved, and refused where none may be."""

import pickle

import numpy as np
import pytest

from wakesleep import Bits
from wakesleep.rows import Selection, as_bits, as_rows, fingerprint

NAN = float("nan")
SHAPES = [(5, 3), (4, 64), (7, 130), (1, 1)]


def incomplete(n_rows, n_features, share=0.3, seed=0):
    """A float matrix of 0 and 1 in which this share of the cells is NaN."""
    rng = np.random.default_rng(seed)
    dense = (rng.random((n_rows, n_features)) < 0.4).astype(np.float64)
    dense[rng.random(dense.shape) < share] = np.nan
    dense[0, 0] = np.nan
    return dense


def marginalised(X, **how):
    return Bits.from_dense(X, missing="marginalise", **how)


class Sparse:
    """A sparse matrix, as far as packing looks at one."""

    def __init__(self, dense):
        self.dense, self.shape, self.dtype = dense, dense.shape, dense.dtype

    def tocsr(self):
        return self

    def toarray(self):
        return self.dense

    def __getitem__(self, rows):
        return Sparse(self.dense[rows])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [np.float64, np.float32, object, Sparse])
@pytest.mark.parametrize("binarize", [0.5, None, -1])
def test_nan_is_a_missing_cell(shape, kind, binarize):
    dense = incomplete(*shape)
    X = Sparse(dense) if kind is Sparse else dense.astype(kind)
    bits = marginalised(X, binarize=binarize)
    expected = np.where(np.isnan(dense), np.nan, 1.0) if binarize == -1 else dense
    np.testing.assert_array_equal(bits.to_dense(np.float64), expected)
    assert bits.observed is not None
    assert not (bits.words & ~bits.observed).any()
    assert bits == as_bits(X, binarize=binarize, missing="marginalise")


def test_none_and_na_among_objects_are_missing():
    pandas = pytest.importorskip("pandas")
    assert marginalised(np.array([[1, None], [pandas.NA, 0]], object)) == marginalised([[1, NAN], [NAN, 0]])
    frame = pandas.DataFrame({"a": pandas.array([1, None, 0], dtype="Int64"), "b": [1.0, 0.0, NAN]})
    assert marginalised(frame) == marginalised([[1, 1], [NAN, 0], [0, NAN]])


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_told_of_missing_cells(shape):
    dense = incomplete(*shape)
    bits, seen = marginalised(dense), ~np.isnan(dense)
    assert bits.density == (dense == 1).sum() / max(1, seen.sum())
    np.testing.assert_array_equal(bits.counts(), (dense == 1).sum(axis=0))
    np.testing.assert_array_equal(bits.observed_counts(), seen.sum(axis=0))
    assert bits.nbytes == 2 * bits.words.nbytes
    assert repr(bits).endswith(f" ones, {1 - seen.mean():.1%} missing>")
    assert not bits.complete
    assert bits.filled() == Bits.from_dense(np.nan_to_num(dense))
    assert bits.filled() != bits


def test_a_complete_matrix_has_one_plane():
    dense = np.nan_to_num(incomplete(6, 70))
    bits = marginalised(dense)
    assert bits.observed is None
    full = marginalised(np.where(dense == 0, NAN, dense))
    again = Bits(bits.words, 70, bits.words | full.observed | marginalised(np.where(dense == 1, NAN, dense)).observed)
    assert again.observed is None
    assert again == bits
    assert again.complete
    np.testing.assert_array_equal(bits.observed_counts(), 6)


def test_arrays_of_incomplete_bits():
    dense = incomplete(5, 3)
    bits = marginalised(dense)
    assert bits.to_dense().dtype == np.asarray(bits).dtype == bits[1].dtype == np.float32
    np.testing.assert_array_equal(np.asarray(bits), dense)
    np.testing.assert_array_equal(bits[-1], dense[-1])
    for dtype in (np.uint8, bool, int):
        with pytest.raises(ValueError, match=r"^dtype: want one of floats, because cells are missing, got"):
            bits.to_dense(dtype)


@pytest.mark.parametrize("key", [slice(1, 4), slice(None, None, -2), np.array([3, 0, 3]), [True, False] * 3 + [True]])
def test_parts_have_both_planes(key):
    dense = incomplete(7, 130)
    part = marginalised(dense)[key]
    np.testing.assert_array_equal(part.to_dense(), dense[key])
    assert part == marginalised(dense[key])
    assert pickle.loads(pickle.dumps(part)) == part


def test_equality_looks_at_both_planes():
    one, other, zeros = ([[1, NAN]], [[1, 0]], [[NAN, 0]])
    assert marginalised(one) != marginalised(other)
    assert marginalised(zeros) != marginalised([[0, NAN]])
    complete = marginalised([[1, 0], [1, NAN]])[:1]
    assert complete.observed is not None
    assert complete == marginalised(other)
    assert marginalised(other) == complete


@pytest.mark.parametrize("shape", SHAPES)
def test_files_have_two_planes(tmp_path, shape):
    bits = marginalised(incomplete(*shape))
    bits.save(tmp_path / "X.bits")
    opened = Bits.open(tmp_path / "X.bits")
    assert opened == bits
    assert opened.observed is not None
    assert isinstance(opened.observed, np.memmap)
    assert (tmp_path / "X.bits").stat().st_size == 64 + bits.nbytes


def test_damaged_second_planes_are_refused(tmp_path):
    path = tmp_path / "X.bits"
    marginalised([[1, NAN, 0], [1, 1, 1]]).save(path)
    content = path.read_bytes()
    for damaged, fault in (
        (content[:-8], "want 96 bytes for 2 x 3 cells, got 88"),
        (content[:-8] + bytes(8), "observed: want ones wherever words has ones"),
        (content[:-8] + b"\xff" * 8, "observed: want zeros beyond the last of 3 features"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=fault):
            Bits.open(path)


def test_planes_that_do_not_fit_are_refused():
    words = np.array([[5], [1]], np.uint64)
    for observed, fault in (
        (words.astype(np.int64), "observed: want an array of native uint64, got int64"),
        (words[:1], r"observed: want shape \(2, 1\) like words, got \(1, 1\)"),
        (np.repeat(words, 2, axis=1), r"observed: want shape \(N, 1\) for 3 features, got \(2, 2\)"),
        (words[::-1].copy(), "observed: want ones wherever words has ones"),
        (words | np.uint64(8), "observed: want zeros beyond the last of 3 features"),
    ):
        with pytest.raises(ValueError, match=fault):
            Bits(words, 3, observed)


def test_missing_cells_are_an_error_unless_asked_for():
    for X in ([[0, 1], [1, NAN]], np.array([[0, 1], [1, NAN]], object)):
        with pytest.raises(ValueError, match=r"^X contains NaN at row 1, column 1 \(with missing=\"marginalise\""):
            Bits.from_dense(X)
    bits = marginalised([[0, 1], [1, NAN]])
    for rows in (bits, Selection(bits, np.array([0, 1]))):
        with pytest.raises(ValueError, match=r"^Y contains missing cells: want missing=\"marginalise\""):
            as_rows(rows, binarize=0.5, name="Y")
        assert as_rows(rows, binarize=0.5, missing="marginalise") is rows
    with pytest.raises(ValueError, match=r"^missing: want None or \"marginalise\", got 'drop'"):
        Bits.from_dense([[0]], missing="drop")


def test_infinity_and_values_between_are_no_missing_cells():
    for cell in (np.inf, -np.inf):
        with pytest.raises(ValueError, match="X contains infinity at row 1, column 0"):
            marginalised([[NAN, 1], [cell, 0]])
    with pytest.raises(ValueError, match=r"X contains 0\.5, where binarize=None"):
        marginalised([[NAN, 0.5]], binarize=None)


def test_fingerprints_tell_patterns_of_missing_cells_apart():
    patterns = [[NAN, 1], [0, 1]], [[0, NAN], [0, 1]], [[0, 0], [0, 1]], [[NAN, 0], [0, 1]]
    prints = {fingerprint(marginalised(np.array(pattern, float))) for pattern in patterns}
    assert len(prints) == 4
    whole = marginalised([[1, 0], [1, NAN]])
    assert fingerprint(whole[:1]) == fingerprint(Bits.from_dense([[1, 0]]))
    chosen = Selection(whole, np.array([1, 0]))
    assert fingerprint(chosen) == fingerprint(whole[::-1])
    np.testing.assert_array_equal(chosen.observed_counts(), [2, 1])
