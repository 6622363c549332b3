"""Sums by matrix tiles against float64: in emulation, and by the processor where it has tiles."""

import ctypes
from typing import NamedTuple

import numpy as np
import pytest
from checks import TABLES, WALK

from wakesleep import _panels

LOST = 2.0**-15  # of the sum of the selected rows' absolute values, at most
ROUNDING = 2.0**-22  # of the number that the sum is added to


class Packed(ctypes.Structure):
    _fields_ = (("words", ctypes.c_void_p), ("row", ctypes.c_ssize_t), ("word", ctypes.c_ssize_t))


class Selection(ctypes.Structure):
    _fields_ = (
        ("bits", Packed), ("index", ctypes.c_void_p), ("start", ctypes.c_void_p), ("method", ctypes.c_int),
        ("far", ctypes.c_int),
    )  # fmt: skip


P, N, I = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int  # noqa: E741 # pointer, size and int in the signatures below
FIND_BITS = ctypes.CFUNCTYPE(None, P, N, N, P, P)
ADD_ROWS = ctypes.CFUNCTYPE(None, P, P, I, N, N, P, P)
ADD_ROWS_INTO = ctypes.CFUNCTYPE(None, P, P, I, N, N, ctypes.c_float, P, P)


class Kernels(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("find_bits", FIND_BITS), ("transpose", P), ("add_rows", ADD_ROWS),
        ("add_rows_into", ADD_ROWS_INTO),
    )  # fmt: skip


@pytest.fixture(scope="module", params=["emulated", "native"] if _panels.has_amx() else ["emulated"])
def kernels(request):
    """The two structs of kernels, in tiles and of avx512: with tiles of plain C, and with the processor's."""
    native = request.param == "native"
    loaded = ctypes.CDLL(str(_panels.__file__ if native else request.getfixturevalue("emulated_tiles")))
    loaded.kernels_in_tiles.restype = loaded.kernels_for.restype = ctypes.POINTER(Kernels)
    return loaded.kernels_in_tiles().contents, loaded.kernels_for(b"avx512").contents


def aligned(shape, fill=0.0):
    """float32 at a multiple of 64 bytes."""
    n = int(np.prod(shape))
    memory = np.full(n + 16, fill, np.float32)
    return memory[-(memory.ctypes.data // 4) % 16 :][:n].reshape(shape)


class Sums(NamedTuple):
    """A selection, the rows that it selects, and what they are added to."""

    chosen: np.ndarray  # (n_out, n_rows)
    rows: np.ndarray  # n_rows + 16; what stands in the last ones must not matter
    start: np.ndarray
    goal: np.ndarray

    @property
    def sums(self):
        return self.chosen @ self.rows[: self.chosen.shape[1]].astype(float)

    @property
    def sizes(self):
        """Of the selected rows: what errors are measured by."""
        return self.chosen @ np.abs(self.rows[: self.chosen.shape[1]].astype(float))


def case(n_out, n_rows, blocks, seed=0, density=0.5):
    """Rows of all magnitudes, followed by NaN."""
    rng = np.random.default_rng(seed)
    rows, start, goal = aligned((n_rows + 16, 16 * blocks), np.nan), aligned(16 * blocks), aligned((n_out, 16 * blocks))
    rows[:n_rows] = rng.normal(size=(n_rows, 16 * blocks)) * 10 ** rng.uniform(-4, 2, (n_rows, 1))
    start[:], goal[:] = rng.normal(size=start.shape), rng.normal(size=goal.shape)
    return Sums(rng.random((n_out, n_rows)) < density, rows, start, goal)


def words_of(chosen, by_word):
    """Packed bits of outputs, word after word or row after row, with ones in all that does not belong to them."""
    n_out, n_rows = chosen.shape
    n_words = -(-n_rows // 32)
    bits = np.zeros((n_out, 32 * n_words), np.uint8)
    bits[:, :n_rows] = chosen
    packed = np.packbits(bits, axis=1, bitorder="little").view(np.uint32).reshape(n_out, n_words)
    memory = np.full((n_words, n_out + 16) if by_word else (n_out + 16, n_words + 1), 2**32 - 1, np.uint32)
    memory[: packed.T.shape[0] if by_word else n_out, : n_out if by_word else n_words] = packed.T if by_word else packed
    stride = memory.strides[0] // 4
    return memory, (1, stride) if by_word else (stride, 1)


def add_rows(kernels, sums, rows=None, method=TABLES, by_word=True, scale=None, finder=None):
    """What a kernel makes of it: out = start + sums, or with a scale, goal += scale * sums."""
    memory, strides = words_of(sums.chosen, by_word)
    n_out, n_rows = sums.chosen.shape
    index, start = np.zeros(sums.chosen.size + 2 * n_out * (n_rows // 256 + 1) + 64, np.uint8), None
    selection = Selection(Packed(memory.ctypes.data, *strides), index.ctypes.data, None, method, 0)
    if method == WALK:
        start = np.zeros(n_out * (n_rows // 256 + 1) + 1, np.int64)
        selection.start = start.ctypes.data
        kernels.find_bits(ctypes.addressof(selection.bits), n_out, n_rows, selection.index, selection.start)
    rows = sums.rows if rows is None else rows
    blocks, out = rows.shape[1] // 16, aligned(sums.goal.shape, np.nan)
    common = ctypes.addressof(selection), rows.ctypes.data, blocks, n_rows, n_out
    if scale is None:
        kernels.add_rows(*common, sums.start.ctypes.data, out.ctypes.data)
        return out
    goal = aligned(sums.goal.shape)
    goal[:] = sums.goal
    kernels.add_rows_into(*common, scale, out.ctypes.data, goal.ctypes.data)
    return goal


SHAPES = [
    (12, 1), (12, 33), (15, 31), (16, 32), (17, 33), (31, 63), (32, 64), (33, 65), (48, 2), (49, 255), (64, 256),
    (65, 257), (100, 200), (13, 511), (35, 513), (20, 784),
]  # fmt: skip


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
@pytest.mark.parametrize(("n_out", "n_rows"), SHAPES)
def test_sums_are_within_the_bound(kernels, n_out, n_rows, blocks):
    sums = case(n_out, n_rows, blocks)
    for by_word in (True, False):
        off = np.abs(add_rows(kernels[0], sums, by_word=by_word) - (sums.start + sums.sums))
        assert (off <= LOST * sums.sizes + ROUNDING * np.abs(sums.start)).all()
        scale = 0.3
        off = np.abs(add_rows(kernels[0], sums, by_word=by_word, scale=scale) - (sums.goal + scale * sums.sums))
        assert (off <= scale * LOST * sums.sizes + ROUNDING * np.abs(sums.goal)).all()


def test_without_the_low_half_the_bound_would_be_broken(kernels):
    sums = case(64, 256, 4)
    high = aligned(sums.rows.shape)
    high.view(np.uint32)[:] = (sums.rows.view(np.uint32) + 0x8000) & 0xFFFF0000
    off = np.abs(add_rows(kernels[0], sums, rows=high) - (sums.start + sums.sums))
    assert (off > LOST * sums.sizes + ROUNDING * np.abs(sums.start)).any()


@pytest.mark.parametrize("n_rows", [1, 40, 300])
def test_where_nothing_is_selected_nothing_is_added(kernels, n_rows):
    sums = case(35, n_rows, 3, density=0)
    assert (add_rows(kernels[0], sums) == sums.start).all()
    assert (add_rows(kernels[0], sums, scale=0.3) == sums.goal).all()


@pytest.mark.parametrize("scale", [None, 0.3])
def test_a_sum_is_the_same_whatever_stands_beside_it(kernels, scale):
    whole = case(70, 300, 4)
    out = add_rows(kernels[0], whole, scale=scale)
    for first, last in [(0, 1), (1, 2), (1, 4), (2, 4)]:
        columns = slice(16 * first, 16 * last)
        part = case(70, 300, last - first)
        part.rows[:], part.start[:] = whole.rows[:, columns], whole.start[columns]
        part = Sums(whole.chosen[5:45], part.rows, part.start, aligned((40, 16 * (last - first))))
        part.goal[:] = whole.goal[5:45, columns]
        np.testing.assert_array_equal(add_rows(kernels[0], part, scale=scale), out[5:45, columns])


@pytest.mark.parametrize(("n_out", "n_rows", "method"), [(11, 100, TABLES), (20, 0, TABLES), (20, 300, WALK)])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_other_sums_are_those_of_float32(kernels, n_out, n_rows, method, scale):
    sums = case(n_out, n_rows, 3)
    sums.rows[n_rows:] = 0  # here they may be read
    got, want = (add_rows(one, sums, method=method, scale=scale) for one in kernels)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("value", [np.inf, np.nan, 3.4e38])
def test_what_is_not_finite_does_not_get_lost(kernels, value):
    sums = case(20, 40, 2)
    sums.rows[7, 5] = value
    sums.chosen[:, 7] = True
    out = add_rows(kernels[0], sums)
    assert not np.isfinite(out[:, 5]).any()
    assert np.isfinite(np.delete(out, 5, axis=1)).all()


def test_the_smallest_numbers_cost_no_more_than_themselves(kernels):
    sums = case(20, 40, 2)
    sums.rows[:40] *= np.float32(1e-38)
    sums.start[:] = 0
    assert (np.abs(add_rows(kernels[0], sums) - sums.sums) <= LOST * sums.sizes + 2 * 40 * 2.0**-126).all()
