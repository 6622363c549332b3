"""Rows of probabilities: how bits are drawn from them, what they depend on, and what is refused."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from checks import Z_MAX
from machines import DIGITS, ROWS, everything, learned, measured, small, stopped, through_a_file

from wakesleep import Bits, HelmholtzMachine, Probabilities, _packing, datasets
from wakesleep.cli import main
from wakesleep.rows import as_rows, select

RNG = np.random.default_rng(0)
GREY = RNG.random((130, 64)).astype(np.float32) * (ROWS.to_dense() * 0.8 + 0.1).astype(np.float32)
SAMPLE = {"binarize": "sample"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "machine.npz"


# ---- drawing ----


@pytest.mark.parametrize("levels", [None, 255, 16], ids=str)
def test_ones_come_as_often_as_the_probabilities_say(levels):
    values = GREY if levels is None else np.round(GREY * levels).astype(np.uint8)
    p = values / np.float32(levels or 1)
    grey, n = Probabilities(values, levels or 1), 400
    by_epoch = sum(grey.draw(5, epoch).to_dense(float) for epoch in range(n))
    by_content = sum(grey.draw_by_content(seed).to_dense(float) for seed in range(n))
    assert not np.array_equal(by_epoch, by_content)
    for ones in (by_epoch, by_content):
        for axis in (0, 1):
            error = np.sqrt(n * (p * (1 - p)).sum(axis))
            assert np.abs((ones - n * p).sum(axis) / error).max() < Z_MAX
            assert np.abs((ones - 1.02 * n * p).sum(axis) / error).max() > Z_MAX, "this test has no power"


def test_zero_and_one_are_certain():
    for values, one in ((ROWS.to_dense(np.float32), 1), (ROWS.to_dense() * np.uint8(7), 7)):
        assert Probabilities(values, one).draw(1, 2) == Probabilities(values, one).draw_by_content(3) == ROWS


def test_a_draw_depends_on_the_seed_the_epoch_the_row_and_the_unit():
    grey = Probabilities(np.full((64, 64), 0.5, np.float32))
    draws = [grey.draw(seed, epoch).to_dense() for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    draws += [draws[0][::-1], draws[0][:, ::-1], draws[0].T]
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert abs((one != other).mean() - 0.5) < Z_MAX / 64  # each pair of cells may be compared twice
    np.testing.assert_array_equal(grey.draw(1, 0).to_dense(), draws[0])


def test_drawn_by_content_a_row_is_the_same_wherever_it_stands():
    grey, order = Probabilities(GREY), np.random.default_rng(1).permutation(130)
    together = grey.draw_by_content(3).to_dense()
    np.testing.assert_array_equal(grey[order].draw_by_content(3).to_dense(), together[order])
    np.testing.assert_array_equal(grey[50:51].draw_by_content(3).to_dense(), together[50:51])
    half = np.full((2, 64), 0.5, np.float32)
    half[:, ::2] = [[0.0], [-0.0]]
    assert len(np.unique(Probabilities(half).draw_by_content(3).words)) == 1  # zeros of either sign are equal
    assert (grey.draw_by_content(4).to_dense() != together).any()


def test_parts_of_parts_are_those_rows_of_the_whole():
    grey = Probabilities(np.array([[0, 255, 128], [255, 0, 3], [9, 200, 255], [1, 2, 254]], np.uint8), 255)
    np.testing.assert_array_equal(grey[[2, 0]], np.asarray(grey)[[2, 0]])
    for whole in (grey, grey.draw(0, 0)):
        chosen = select(select(whole, np.array([3, 1, 2])), np.array([2, 0]))
        np.testing.assert_array_equal(chosen[:], np.asarray(whole)[[2, 3]])


def test_no_two_epochs_draw_alike_however_many_rows_there_are():
    half = Probabilities(np.full((1 << 17, 1), 0.5, np.float32))
    one, other = (half.draw(0, epoch).to_dense()[:, 0] for epoch in (0, 1))
    assert all((one[1 << n :][:64] != other[:64]).any() for n in range(17))


def test_how_rows_come_in_blocks_does_not_matter(monkeypatch):
    grey = Probabilities(GREY)
    by_epoch, by_content = Bits(grey.draw(1, 5).words.copy(), 64), grey.draw_by_content(1)
    monkeypatch.setattr(_packing, "BLOCK_BYTES", 3000)  # five rows
    assert grey.draw(1, 5) == by_epoch
    assert grey.draw_by_content(1) == by_content
    wrong = GREY.astype(float)
    wrong[77, 5] = 2
    with pytest.raises(ValueError, match="at row 77, column 5"):
        Probabilities(wrong)


def test_an_epoch_takes_no_more_memory_than_its_bits_and_leaves_others_alone():
    """Several machines may learn from the same probabilities at once."""
    values = np.tile(RNG.integers(0, 255, (1000, 800), np.uint8), (10, 1))
    grey = Probabilities(values, 255)
    assert grey.values is values
    words = grey.draw(0, 0).words
    before = words.copy()
    tracemalloc.start()
    try:
        assert (grey.draw(0, 1).words != words).any()
        assert tracemalloc.get_traced_memory()[1] < 1.5 * words.nbytes
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(words, before)


# ---- learning ----


def test_every_epoch_learns_from_a_draw_of_its_own():
    grey, odd = Probabilities(GREY), np.arange(1, 130, 2)
    for rows, chosen in ((GREY, slice(None)), (select(grey, odd), odd)):
        machine, begun = small(**SAMPLE).fit(rows), small(binarize=None)
        for epoch in range(3):
            begun.partial_fit(grey.draw(7, epoch)[chosen])
        assert learned(machine) == learned(begun)
        assert learned(machine)[0] != learned(small(binarize=None).fit(grey.draw(7, 0)[chosen]))[0]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_stopped_in_the_middle_of_a_draw_saved_and_resumed_is_never_having_stopped(path, n_threads):
    params = {**SAMPLE, "n_threads": n_threads, "schedule": "cosine", "patience": 9}
    whole = small(**params).fit(GREY, validation=0.3)
    for n_steps in (1, 3, 5, 8):
        machine = through_a_file(stopped(small(**params), GREY, n_steps, validation=0.3), path)
        machine.fit(GREY, validation=0.3, resume=True)
        assert learned(machine) == learned(whole)
        assert measured(machine) == measured(whole)


def test_n_partial_fits_are_one_fit():
    machine = small(**SAMPLE)
    for _ in range(3):
        machine.partial_fit(GREY)
    assert learned(machine) == learned(small(**SAMPLE).fit(GREY))


KINDS = {
    "float32": lambda X: X,
    "float64": lambda X: X.astype(float),
    "objects": lambda X: X.astype(object),
    "list": lambda X: X.tolist(),
    "Fortran order": np.asfortranarray,
    "big-endian": lambda X: X.astype(">f4"),
    "Probabilities": Probabilities,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_gives_the_same_bits(kind):
    X, fitted = KINDS[kind](GREY), small(**SAMPLE).fit(GREY, validation=GREY)
    machine = small(**SAMPLE).fit(X, validation=X)
    assert learned(machine) == learned(fitted)
    assert measured(machine) == measured(fitted)
    np.testing.assert_array_equal(machine.score_samples(X), fitted.score_samples(GREY))
    np.testing.assert_array_equal(machine.transform(X), fitted.transform(GREY.astype(X.dtype) if kind == "f" else GREY))
    assert machine.reconstruction_cross_entropy(X) == fitted.reconstruction_cross_entropy(GREY)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, float])
def test_rows_of_zeros_and_ones_are_those_rows(dtype):
    X = ROWS.to_dense(dtype)
    assert learned(small(**SAMPLE).fit(X)) == learned(small(**SAMPLE).fit(ROWS)) == learned(small().fit(ROWS))
    assert type(as_rows(X, binarize="sample")) is (Probabilities if X.dtype.kind == "f" else Bits)


def test_scores_and_codes_do_not_depend_on_what_stands_beside_a_row():
    machine, order = small(**SAMPLE).fit(GREY), np.random.default_rng(1).permutation(130)
    for method in ("transform", "score_samples", "reconstruct"):
        together = getattr(machine, method)(GREY)
        np.testing.assert_array_equal(getattr(machine, method)(GREY[order]), together[order])
        np.testing.assert_array_equal(getattr(machine, method)(GREY[40:41]), together[40:41])
    assert (machine.score_samples(GREY, random_state=1) != machine.score_samples(GREY, random_state=2)).any()


# ---- what is refused ----


@pytest.mark.parametrize("value", [-0.1, 1.0001, np.nan, np.inf, 1 + 1e-9])
@pytest.mark.parametrize("dtype", [float, object])
@pytest.mark.parametrize("argument", ["X", "validation"])
def test_what_is_no_probability_is_refused_by_its_cell(value, dtype, argument):
    wrong = GREY.astype(dtype)
    wrong[100, 3] = value
    machine = small(**SAMPLE)
    before = everything(machine)
    with pytest.raises(ValueError, match=rf"^{argument} contains .* at row 100, column 3$"):
        machine.fit(GREY if argument == "validation" else wrong, validation=wrong)
    assert everything(machine) == before
    machine.fit(GREY)
    with pytest.raises(ValueError, match=r"^X contains .*a probability from 0 to 1 is wanted, at row 100, column 3$"):
        machine.score_samples(wrong)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
def test_whole_numbers_must_be_zero_or_one(dtype):
    X = ROWS.to_dense(dtype)
    X[2, 1] = 3
    with pytest.raises(ValueError, match=r"^X contains 3, where .* at row 2, column 1$"):
        small(**SAMPLE).fit(X)


def test_grey_levels_above_one_are_refused():
    with pytest.raises(ValueError, match=r"^values contains 17, where a probability from 0 to 16 is wanted"):
        Probabilities(np.array([[1, 17]], np.uint8), 16)
    no_one = [(np.zeros((1, 1)), one) for one in (2, None, 1.0, "1", np.ones(2))]
    for values, one in ((np.zeros((1, 1), np.uint8), 256), (np.zeros((1, 1), np.uint8), 0), *no_one):
        with pytest.raises(ValueError, match=r"^one: want 1, or with uint8 at most 255, got"):
            Probabilities(values, one)


def test_another_number_of_columns_is_refused():
    machine = small(**SAMPLE).fit(GREY)
    for X in (GREY[:, :63], Probabilities(GREY[:, :63])):
        with pytest.raises(ValueError, match="X has 63 features, but HelmholtzMachine is expecting 64"):
            machine.transform(X)


# ---- files and the command line ----


def test_files_of_grey_levels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    levels = np.round(GREY[:20] * 255).astype(np.uint8)
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 20, 8, 8)
    Path("x.idx3-ubyte.gz").write_bytes(gzip.compress(header + levels.tobytes()))
    grey = datasets.read("x.idx3-ubyte.gz", binarize="sample")
    assert (grey.one, grey.values.dtype, grey.shape) == (255, np.uint8, (20, 64))
    assert grey.draw(0, 1) == Probabilities(levels, 255).draw(0, 1)
    np.testing.assert_array_equal(np.asarray(grey), levels / np.float32(255))

    np.save("x.npy", GREY)
    np.savetxt("x.csv", GREY, delimiter=",", fmt="%.9g")
    for name in ("x.npy", "x.csv"):
        grey = datasets.read(name, binarize="sample")
        assert grey.draw(0, 1) == Probabilities(GREY).draw(0, 1)
    DIGITS.save("x.bits")
    assert isinstance(datasets.read("x.bits", binarize="sample"), Bits)
    Path("x.csv").write_text("0.1,0.2\n0.3,1.5\n")
    with pytest.raises(ValueError, match=r"x\.csv: line 2 contains 1\.5, where .* in column 1 \(from 0\)"):
        datasets.read("x.csv", binarize="sample")


def test_training_from_grey_levels_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("grey.npy", np.tile(GREY, (4, 1)))
    command = ["train", "grey.npy", "--binarize", "sample", "--hidden", "8"]
    assert main([*command, "-o", "whole.npz", "--epochs", "6"]) == 0
    assert main([*command, "-q", "-o", "cut.npz", "--epochs", "2"]) == 0
    assert main([*command, "-q", "-o", "cut.npz", "--epochs", "6", "--resume"]) == 0
    cut, whole = HelmholtzMachine.load("cut.npz"), HelmholtzMachine.load("whole.npz")
    assert cut.binarize == "sample"
    assert learned(cut) == learned(whole)
    capsys.readouterr()
    assert main(["score", "whole.npz", "grey.npy", "-o", "scores.npy"]) == 0
    np.testing.assert_array_equal(np.load("scores.npy"), whole.score_samples(np.load("grey.npy")))
    np.save("wrong.npy", 2 * GREY)
    assert main(["train", "wrong.npy", "--binarize", "sample"]) == 1
    assert "wrong.npy contains 1." in capsys.readouterr().err
