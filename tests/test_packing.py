"""What users pass as X: packed like a plain comparison, within bounded memory, or refused in clear words."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wakesleep._packing import BLOCK_BYTES
from wakesleep.bits import Bits
from wakesleep.rows import as_bits

SHAPES = [(0, 0), (0, 65), (3, 0), (1, 1), (5, 3), (4, 63), (3, 64), (2, 65), (7, 130)]
DTYPES = ["?", "u1", "i1", "<i2", ">i4", "<u8", "i8", "f2", "<f4", ">f4", "f8", "g"]
NAN, INF = float("nan"), float("inf")


def random_dense(n_rows, n_features, dtype=np.uint8, seed=0):
    return (np.random.default_rng(seed).random((n_rows, n_features)) < 0.4).astype(dtype)


class Sparse:
    """What is used of a SciPy sparse matrix; it remembers the largest block that was made dense."""

    def __init__(self, dense):
        self.dense, self.shape, self.dtype, self.largest = dense, dense.shape, dense.dtype, [0]

    def tocsr(self):
        return self

    def __getitem__(self, rows):
        part = Sparse(self.dense[rows])
        part.largest = self.largest
        return part

    def toarray(self):
        self.largest[0] = max(self.largest[0], self.dense.nbytes)
        return self.dense


class Frame:
    """What is used of a data frame."""

    def __init__(self, dense):
        self.dense = dense

    def __array__(self, dtype=None, copy=None):
        return self.dense.astype(dtype or self.dense.dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_feature_i_is_bit_i_mod_64_of_word_i_div_64(shape):
    dense = random_dense(*shape)
    words = Bits.from_dense(dense).words
    assert words.shape == (shape[0], -(-shape[1] // 64))
    assert words.dtype == np.uint64
    for row, packed in zip(dense.tolist(), words.tolist(), strict=True):
        whole = sum(word << 64 * i for i, word in enumerate(packed))
        assert whole == sum(bit << i for i, bit in enumerate(row))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_dense_round_trip(shape, dtype):
    dense = random_dense(*shape, dtype)
    back = Bits.from_dense(dense).to_dense()
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, dense)


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: X[::-1].copy()[::-1],
        lambda X: X.tolist(),
        lambda X: X.astype(object),
        Frame,
        Sparse,
    ],
    ids=["fortran", "strided rows", "strided columns", "reversed", "lists", "objects", "frame", "sparse"],
)
@pytest.mark.parametrize("dtype", ["?", "u1", ">f4"])
def test_every_layout_packs_alike(layout, dtype):
    dense = random_dense(6, 67, dtype)
    assert as_bits(layout(dense)) == Bits.from_dense(dense)


def test_read_only_input_packs():
    dense = random_dense(4, 70)
    dense.flags.writeable = False
    np.testing.assert_array_equal(Bits.from_dense(dense), dense)


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        st.tuples(st.integers(1, 4), st.integers(1, 70)),
        elements=st.floats(-4, 4, width=16),
    ),
    st.sampled_from([-1, 0, 0.1, 0.5, 3.5]),
)
def test_a_float_is_one_where_it_is_greater_than_binarize(X, binarize):
    np.testing.assert_array_equal(Bits.from_dense(X, binarize=binarize), np.greater(X, binarize))


@given(
    hnp.arrays(
        st.sampled_from([np.bool_, np.int8, np.uint8, np.int64, np.uint64]),
        st.tuples(st.integers(1, 4), st.integers(1, 70)),
    ),
    st.floats(-300, 300) | st.sampled_from([-0.3, 0.5, 0.7, 1, 1e30, -1e30, 2.0**62]),
)
def test_an_integer_is_compared_with_binarize_exactly(X, binarize):
    expected = [[int(value) > binarize for value in row] for row in X.tolist()]
    np.testing.assert_array_equal(Bits.from_dense(X, binarize=binarize), expected)


def test_a_threshold_beyond_a_narrow_float_is_infinite_without_a_warning():
    X = np.array([[0, 60000]], np.float16)
    assert Bits.from_dense(X, binarize=1e10).density == 0
    assert Bits.from_dense(X, binarize=-1e10).density == 1


# ---- memory ----


def peak_bytes(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["?", "u1", "<f4", ">f8"])
def test_packing_a_memmap_takes_no_dense_copy(tmp_path, dtype):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", dtype, (30_000, 1_000))
    X[-1] = 1
    packed_bytes = 30_000 * 16 * 8
    result = []
    assert peak_bytes(lambda: result.append(Bits.from_dense(X))) < packed_bytes + 3 * BLOCK_BYTES < X.size / 1.5
    assert result[0].counts().tolist() == [1] * 1_000


def test_packing_objects_takes_no_dense_copy():
    X = np.full((20_000, 100), 1, object)
    assert peak_bytes(lambda: Bits.from_dense(X)) < 20_000 * 16 + 3 * BLOCK_BYTES < X.nbytes


def test_sparse_rows_are_made_dense_in_blocks():
    X = Sparse(random_dense(10_000, 1_000))
    np.testing.assert_array_equal(Bits.from_dense(X), X.dense)
    assert 0 < X.largest[0] <= BLOCK_BYTES


@pytest.mark.parametrize("measure", [Bits.counts, lambda bits: bits.density, repr])
def test_measures_of_the_whole_take_no_dense_copy(measure):
    bits = Bits(np.zeros((30_000, 16), np.uint64), 1_000)
    assert peak_bytes(lambda: measure(bits)) < 3 * BLOCK_BYTES < 30_000 * 1_000 / 2


# ---- what users pass ----


def test_bits_pass_through_without_a_copy():
    bits = Bits.from_dense(random_dense(3, 5))
    assert as_bits(bits, n_features=5) is bits


@pytest.mark.parametrize(
    ("X", "fault"),
    [
        (None, "features: want an array of 2 dimensions, got None"),
        ("x.bits", "features: want an array, got 'x.bits'; datasets.read(path) or Bits.open(path) reads a file"),
        (b"x.npy", "features: want an array, got b'x.npy'; datasets.read(path) or Bits.open(path) reads a file"),
        (Path("x.csv"), "x.csv'); datasets.read(path) or Bits.open(path) reads a file"),
        (iter([[0, 1]]), "features: want an array, got an iterator, <list_iterator"),
        ([["a", "b"]], "features: want numbers, got dtype <U1"),
        (np.zeros((2, 2), "M8[s]"), "features: want numbers, got dtype datetime64[s]"),
        ([[1, 0], [1]], "features: want an array, with rows of one length"),
        ([[1j, 0]], "features: want real numbers, got complex128. Complex data not supported"),
        (np.zeros((1, 1), "F"), "features: want real numbers, got complex64. Complex data not supported"),
        (1.0, "features: Expected 2D array, got 0D array instead. Reshape your data"),
        ([1, 0], "features: Expected 2D array, got 1D array instead. Reshape your data"),
        (np.zeros((2, 2, 2)), "got 3D array instead. Reshape your data: array.reshape(len(array), -1) makes"),
        (Sparse(np.zeros(3)), "features: Expected 2D array, got 1D array instead"),
        (
            np.zeros((0, 3)),
            "features: Found array with 0 sample(s) (shape=(0, 3)) while a minimum of 1 is required.",
        ),
        (
            np.zeros((3, 0)),
            "features: Found array with 0 feature(s) (shape=(3, 0)) while a minimum of 1 is required.",
        ),
        (Bits.from_dense(np.zeros((0, 3))), "features: Found array with 0 sample(s) (shape=(0, 3))"),
        ([[0, 1], [INF, NAN]], "features contains infinity at row 1, column 0"),
        ([[0, 1], [1, NAN]], "features contains NaN at row 1, column 1"),
        ([[0, -INF], [0, NAN]], "features contains infinity at row 0, column 1"),
        (np.array([[0, 1], [0, NAN]]).astype("f4"), "features contains NaN at row 1, column 1"),
        (Sparse(np.array([[0, 1], [NAN, 1]])), "features contains NaN at row 1, column 0"),
        (np.array([[0, NAN]], object), "features contains NaN at row 0, column 1"),
        ([[0, None]], "features contains NaN at row 0, column 1"),
        (np.array([[0, 1], [1, "x"]], object), "features: want numbers, got objects that do not convert to float ("),
        (np.array([[0, 1], [1, "x"]], object), "could not convert string to float: 'x') in column 1"),
        (np.array([[0, 10**400]], object), "features: want numbers, got objects that do not convert to float ("),
    ],
)
def test_unusable_input_is_refused_by_name(X, fault):
    with pytest.raises(ValueError, match=re.escape(fault)):
        as_bits(X, name="features")


@pytest.mark.parametrize("value", [{"foo": "bar"}, 1j], ids=repr)
def test_objects_that_float_refuses_are_a_type_error(value):
    X = np.array([[0, 1], [1, value]], object)
    with pytest.raises(TypeError, match=r"X: want numbers, got objects .*argument must be .* string.* number"):
        as_bits(X)


@pytest.mark.parametrize(
    ("X", "value", "place"),
    [
        (np.array([[0, 1, 2], [3, 0, 0]]), "2", "row 0, column 2"),
        (np.array([[0, 1], [0, 0.5]]), "0.5", "row 1, column 1"),
        (np.array([[-1, 1]], np.int8), "-1", "row 0, column 0"),
        (Sparse(np.array([[0, 1], [255, 0]], np.uint8)), "255", "row 1, column 0"),
    ],
)
def test_without_binarize_only_0_and_1_are_taken(X, value, place):
    fault = f"X contains {value}, where binarize=None wants only 0 and 1, at {place}"
    with pytest.raises(ValueError, match=re.escape(fault)):
        as_bits(X, binarize=None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_binarize_0_and_1_are_taken(dtype):
    dense = random_dense(3, 65, dtype)
    np.testing.assert_array_equal(as_bits(dense, binarize=None), dense)


def test_a_fault_is_located_in_the_whole_and_not_in_its_block():
    X = np.zeros((3 * BLOCK_BYTES // 800, 100))
    X[-2, 7] = NAN
    with pytest.raises(ValueError, match=f"X contains NaN at row {len(X) - 2}, column 7"):
        as_bits(X)


@pytest.mark.parametrize("as_input", [np.asarray, Bits.from_dense, Sparse])
def test_the_number_of_features_is_checked(as_input):
    X = as_input(random_dense(4, 3))
    assert as_bits(X, n_features=3).shape == (4, 3)
    with pytest.raises(ValueError, match="X has 3 features, but HelmholtzMachine is expecting 5 features as input"):
        as_bits(X, n_features=5)


@pytest.mark.parametrize("binarize", ["sample", True, np.True_, NAN, INF, 1j, [0.5]], ids=repr)
def test_binarize_is_checked(binarize):
    fault = re.escape(f"binarize: want None or a finite number, got {binarize!r}")
    for pack in (as_bits, Bits.from_dense):
        with pytest.raises(ValueError, match=fault):
            pack([[0, 1]], binarize=binarize)


@pytest.mark.parametrize("binarize", [0, 0.5, np.float32(0.5), np.int64(0)], ids=repr)
def test_any_real_number_can_be_binarize(binarize):
    assert as_bits([[0, 1]], binarize=binarize)[0].tolist() == [0, 1]
