"""The precision "bf16x2": sums by matrix tiles, in emulation where the processor has none, and errors where they are asked
for in vain."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from checks import TABLES, WALK
from machines import DIGITS, ROWS, everything, learned, small

from wakesleep import HelmholtzMachine, _core, _panels

HERE = Path(__file__).parent
KERNELS = HERE.parent / "wakesleep" / "_kernels"
FLAGS = ["-shared", "-fPIC", "-std=gnu11", "-O1", "-ffp-contract=off", "-fno-trapping-math", "-Wno-psabi"]
LOST = 2.0**-15  # of the sum of the selected rows' absolute values, at most
ROUNDING = 2.0**-22  # of the number that the sum is added to
Z_MAX = 3

needs_amx = pytest.mark.skipif(not _panels.has_amx(), reason="needs Linux on x86 with AMX")
without_amx = pytest.mark.skipif(_panels.has_amx(), reason="this processor has AMX")


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


def build(folder, *flags):
    """(kernels in tiles, kernels of avx512), compiled from the sources, or a skip."""
    cc = shutil.which("cc")
    if cc is None or not KERNELS.is_dir():
        pytest.skip("no C compiler or no sources here")
    library = folder / "kernels.so"
    subprocess.run([cc, *FLAGS, *flags, KERNELS / "dispatch.c", "-o", library], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.kernels_in_tiles.restype = loaded.kernels_for.restype = ctypes.POINTER(Kernels)
    found = loaded.kernels_in_tiles()
    if not found:
        pytest.skip("no tiles here, or no bfloat16 in vectors to emulate them with")
    return found.contents, loaded.kernels_for(b"avx512").contents


@pytest.fixture(scope="module", params=["emulated", "native"])
def kernels(request, tmp_path_factory):
    """The two structs of kernels, with tiles of plain C, and with the processor's."""
    if request.param == "native" and not _panels.has_amx():
        pytest.skip("needs Linux on x86 with AMX")
    emulated = ["-DEMULATED_TILES", "-I", HERE] if request.param == "emulated" else []
    return build(tmp_path_factory.mktemp(request.param), *emulated)


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


# ---- in training ----


def test_only_the_best_level_has_tiles(cpu_level):
    if cpu_level != "avx512":
        assert not _panels.has_amx()
        with pytest.raises(ValueError, match=r"^precision: want float32 on this processor"):
            small(precision="bf16x2").fit(ROWS)


@needs_amx
def test_it_is_another_machine_that_is_trained_but_the_same_with_any_number_of_threads():
    one, many, exact = (
        HelmholtzMachine((200, 70), n_iter=2, precision=precision, n_threads=n_threads, random_state=0).fit(DIGITS)
        for precision, n_threads in [("bf16x2", 1), ("bf16x2", 3), ("float32", 1)]
    )
    assert learned(one) == learned(many)
    assert learned(one) != learned(exact)


@needs_amx
def test_it_learns_as_well_as_float32():
    found = {}
    for precision in _panels.PRECISIONS:
        machines = [
            HelmholtzMachine(
                (32, 16), learning_rate=0.3, batch_size=20, n_iter=10, precision=precision, random_state=seed
            ).fit(DIGITS[:1400])
            for seed in range(5)
        ]
        found[precision] = np.array([machine.score(DIGITS[1400:], n_particles=100) for machine in machines])
    better = found["bf16x2"] - found["float32"]
    assert (better != 0).all()
    spread = np.hypot(*(values.std(ddof=1) for values in found.values())) / np.sqrt(5)
    assert abs(better.mean()) < Z_MAX * spread
    assert abs(better.mean() - 2 * Z_MAX * spread) > Z_MAX * spread, "this test has no power"


REFUSED = r"^precision: want float32 on this processor \(bf16x2 needs Linux on x86 with AMX\), got 'bf16x2'$"


@without_amx
@pytest.mark.parametrize("train", ["fit", "partial_fit"])
def test_where_there_is_no_amx_training_is_refused_and_changes_nothing(train):
    machine = small().fit(ROWS).set_params(precision="bf16x2")
    before = everything(machine)
    with pytest.raises(ValueError, match=REFUSED):
        getattr(machine, train)(ROWS)
    assert everything(machine) == before
    parameters, position = np.zeros(19, np.float32), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match=REFUSED):
        _core.train(
            parameters, [3, 2], [WALK, TABLES], np.zeros((4, 1), np.uint64), position, 1, 2, 1, 1, (0.1, 0.1),
            precision="bf16x2",
        )  # fmt: skip
    assert not parameters.any()
    assert not position.any()


@without_amx
def test_where_there_is_no_amx_a_machine_is_still_good_for_all_but_training(tmp_path):
    exact = small().fit(ROWS)
    path = tmp_path / "machine.npz"
    exact.set_params(precision="bf16x2").save(path)
    loaded = HelmholtzMachine.load(path)
    assert loaded.precision == "bf16x2"
    assert learned(loaded) == learned(exact)
    np.testing.assert_array_equal(loaded.score_samples(ROWS), exact.score_samples(ROWS))
    np.testing.assert_array_equal(loaded.sample(5), exact.sample(5))
    with pytest.raises(ValueError, match=REFUSED):
        loaded.fit(ROWS, resume=True)


@without_amx
def test_the_command_line_tells_it_before_the_work(tmp_path):
    command = [sys.executable, "-m", "wakesleep", "train", "-o", tmp_path / "x.npz", "--precision", "bf16x2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("wakesleep: error: precision: want float32 on this processor")
    assert not list(tmp_path.iterdir())
