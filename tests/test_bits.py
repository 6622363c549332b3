"""`Bits`, the object and its file, against plain arrays."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakesleep._packing import BLOCK_BYTES
from wakesleep.bits import Bits

SHAPES = [(0, 0), (0, 65), (3, 0), (1, 1), (5, 3), (4, 63), (3, 64), (2, 65), (7, 130)]


def random_dense(n_rows, n_features, dtype=np.uint8, seed=0):
    return (np.random.default_rng(seed).random((n_rows, n_features)) < 0.4).astype(dtype)


@pytest.mark.parametrize(
    ("words", "n_features", "fault"),
    [
        ([[0]], 3, "words: want an array of native uint64, got <class 'list'>"),
        (np.zeros((2, 1), np.int64), 3, "words: want an array of native uint64, got int64"),
        (np.zeros((2, 1), ">u8"), 3, "words: want an array of native uint64, got >u8"),
        (np.zeros((2, 4), np.uint64)[:, ::2], 128, r"words: want a C-contiguous array, got strides \(32, 16\)"),
        (np.zeros(2, np.uint64), 3, r"words: want shape \(N, 1\) for 3 features, got \(2,\)"),
        (np.zeros((2, 1), np.uint64), 65, r"words: want shape \(N, 2\) for 65 features, got \(2, 1\)"),
        (np.zeros((2, 1), np.uint64), 0, r"words: want shape \(N, 0\) for 0 features, got \(2, 1\)"),
        (np.array([[0], [8]], np.uint64), 3, "words: want zeros beyond the last of 3 features, got ones"),
        (np.array([[9, 1 << 63]], np.uint64), 127, "words: want zeros beyond the last of 127 features, got ones"),
        (np.zeros((2, 0), np.uint64), -1, "n_features: want 0 or more, got -1"),
    ],
)
def test_words_of_another_form_are_refused(words, n_features, fault):
    with pytest.raises(ValueError, match=fault):
        Bits(words, n_features)


def test_the_highest_bit_of_a_word_is_a_feature_and_not_padding():
    assert Bits(np.array([[1 << 63]], np.uint64), 64)[0].tolist() == [0] * 63 + [1]


def test_n_features_must_be_an_integer():
    for wrong in (3.0, None, True, "3", np.array(3)):
        with pytest.raises(TypeError, match=r"^n_features: want a whole number, got "):
            Bits(np.zeros((1, 1), np.uint64), wrong)
        with pytest.raises(TypeError, match=r"^n_features: want a whole number, got "):
            Bits.from_packed(np.zeros((1, 1), np.uint8), wrong, bitorder="big")
    assert Bits(np.zeros((1, 1), np.uint64), np.int32(3)).n_features == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_measures(shape):
    dense = random_dense(*shape)
    bits = Bits.from_dense(dense)
    assert bits.shape == shape
    assert len(bits) == shape[0]
    assert bits.nbytes == shape[0] * -(-shape[1] // 64) * 8
    assert bits.density == (dense.sum() / dense.size if dense.size else 0.0)
    assert bits.counts().dtype == np.int64
    np.testing.assert_array_equal(bits.counts(), dense.sum(axis=0))


def test_counts_add_up_over_blocks():
    dense = random_dense(3 * BLOCK_BYTES // 1000, 1000)
    np.testing.assert_array_equal(Bits.from_dense(dense).counts(), dense.sum(axis=0))


@pytest.mark.parametrize("n_rows", [254, 255, 256, 257, 511, 1021])
def test_counts_are_not_those_of_a_byte(n_rows):
    assert Bits.from_dense(np.ones((n_rows, 3))).counts().tolist() == [n_rows] * 3


def test_repr_is_short():
    assert repr(Bits.from_dense([[1, 0, 1], [0, 0, 0]])) == "<Bits: 2 x 3, 33.3% ones>"


@pytest.mark.parametrize("dtype", ["?", "f4", "f8", "i8"])
def test_arrays_of_other_types_come_out(dtype):
    dense = random_dense(3, 70)
    for array in (Bits.from_dense(dense).to_dense(dtype), np.asarray(Bits.from_dense(dense), dtype)):
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, dense)


def test_the_array_protocol_cannot_avoid_the_copy():
    bits = Bits.from_dense([[1, 0]])
    assert np.asarray(bits).dtype == np.uint8
    assert np.array(bits, copy=True).tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="copy: want None or True"):
        np.asarray(bits, copy=False)


@pytest.mark.parametrize("n_features", [0, 1, 63, 65])
@pytest.mark.parametrize("key", [0, 4, -1, -5, np.int64(2), np.uint8(3), np.array(1)], ids=repr)
def test_an_integer_gives_a_row(key, n_features):
    dense = random_dense(5, n_features)
    row = Bits.from_dense(dense)[key]
    assert row.dtype == np.uint8
    np.testing.assert_array_equal(row, dense[int(key)])


@pytest.mark.parametrize("n_features", [1, 64, 65])
@pytest.mark.parametrize(
    "key",
    [
        *(slice(None), slice(1, 4), slice(3, 3), slice(9, 99), slice(None, None, 2), slice(None, None, -1)),
        *([3, 0, 0, -1], [], np.array([4, 1], np.uint64), np.array([], np.intp)),
        *([True, False, True, True, False], np.zeros(5, bool)),
    ],
    ids=repr,
)
def test_slices_indices_and_masks_give_those_rows(key, n_features):
    dense = random_dense(5, n_features)
    rows = Bits.from_dense(dense)[key]
    assert isinstance(rows, Bits)
    np.testing.assert_array_equal(rows, dense[key])


def test_a_contiguous_slice_is_a_view_and_other_rows_are_a_copy():
    bits = Bits.from_dense(random_dense(5, 65))
    assert np.shares_memory(bits[1:4].words, bits.words)
    assert not np.shares_memory(bits[::2].words, bits.words)
    assert not np.shares_memory(bits[[1, 2]].words, bits.words)


@pytest.mark.parametrize(
    "key", [None, ..., True, 1.0, "1", (1, 2), (slice(2), 0), [[0, 1]], [0.0, 1.0], np.ones((5, 1), bool)], ids=repr
)
def test_other_keys_are_refused(key):
    with pytest.raises(IndexError, match="rows: want an integer, a slice, or a 1-D array"):
        Bits.from_dense(random_dense(5, 3))[key]


@pytest.mark.parametrize("key", [5, -6, [0, 5], [True, False]], ids=repr)
def test_rows_out_of_range_are_refused(key):
    with pytest.raises(IndexError, match=r"out of bounds|did not match"):
        Bits.from_dense(random_dense(5, 3))[key]


def test_iteration_gives_the_rows():
    dense = random_dense(3, 5)
    assert [row.tolist() for row in Bits.from_dense(dense)] == dense.tolist()


def test_equality_is_that_of_shape_and_cells():
    bits = Bits.from_dense([[1, 0], [0, 0]])
    assert bits == Bits.from_dense([[1, 0], [0, 0]])
    assert bits != Bits.from_dense([[1, 0], [0, 1]])
    assert bits != Bits.from_dense([[1, 0, 0], [0, 0, 0]])
    assert bits != Bits.from_dense([[1, 0]])
    assert bits != "bits"
    assert bits.__eq__([[1, 0], [0, 0]]) is NotImplemented
    with pytest.raises(TypeError, match="unhashable"):
        hash(bits)


# ---- packed bytes ----


@given(
    st.integers(0, 5).flatmap(lambda n: st.integers(0, 140).map(lambda d: (n, d))),
    st.sampled_from(["little", "big"]),
    st.integers(0, 99),
)
def test_packed_bytes_are_taken_over_and_their_padding_ignored(shape, bitorder, seed):
    dense = random_dense(*shape, seed=seed)
    padded = np.ones((shape[0], -(-shape[1] // 8) * 8), np.uint8)
    padded[:, : shape[1]] = dense
    packed = np.packbits(padded, axis=1, bitorder=bitorder)
    assert Bits.from_packed(packed, shape[1], bitorder=bitorder) == Bits.from_dense(dense)


@pytest.mark.parametrize("packed", [np.zeros((2, 2), np.int64), np.zeros(2, np.uint8), np.zeros((2, 3), np.uint8)])
def test_packed_bytes_of_another_form_are_refused(packed):
    wanted = rf"packed: want uint8 of shape \(N, 2\) for 9 features, got {packed.dtype} of shape"
    with pytest.raises(ValueError, match=wanted):
        Bits.from_packed(packed, 9, bitorder="big")


def test_bitorder_is_checked_and_has_no_default():
    with pytest.raises(ValueError, match='bitorder: want "little" or "big", got \'middle\''):
        Bits.from_packed(np.zeros((2, 2), np.uint8), 9, bitorder="middle")
    with pytest.raises(TypeError, match="bitorder"):
        Bits.from_packed(np.zeros((2, 2), np.uint8), 9)


# ---- files ----


@pytest.mark.parametrize("shape", SHAPES)
def test_file_round_trip(tmp_path, shape):
    bits = Bits.from_dense(random_dense(*shape))
    bits.save(tmp_path / "X.bits")
    opened = Bits.open(str(tmp_path / "X.bits"))
    assert opened == bits
    assert isinstance(opened.words, np.memmap)
    assert not opened.words.flags.writeable
    assert os.listdir(tmp_path) == ["X.bits"]


def test_file_layout_is_the_documented_one(tmp_path):
    Bits.from_dense(np.eye(2, 65, 63)).save(tmp_path / "X.bits")
    header = b"\x93WSBITS\n" + bytes.fromhex("01000000 01000000 0200000000000000 4100000000000000") + bytes(32)
    words = bytes(7) + b"\x80" + bytes(8) + bytes(8) + b"\x01" + bytes(7)
    assert (tmp_path / "X.bits").read_bytes() == header + words


def test_a_slice_of_a_file_stays_mapped(tmp_path):
    Bits.from_dense(random_dense(5, 65)).save(tmp_path / "X.bits")
    bits = Bits.open(tmp_path / "X.bits")
    assert np.shares_memory(bits[2:4].words, bits.words)


def damage_cut(data):
    return data[:-1]


def damage_longer(data):
    return data + b"\0"


def write_at(offset, new):
    return lambda data: data[:offset] + new + data[offset + len(new) :]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda data: b"", "want a .bits file, got something else"),
        (lambda data: data[:63], "want a .bits file, got something else"),
        (write_at(0, b"PK"), "want a .bits file, got something else"),
        (write_at(8, b"\2"), "want version 1 of the .bits format, got version 2"),
        (write_at(12, b"\3"), "want 1 or 2 planes of bits, got 3"),
        (damage_cut, "want 144 bytes for 5 x 65 cells, got 143"),
        (damage_longer, "want 144 bytes for 5 x 65 cells, got 145"),
        (write_at(16, b"\4"), "want 128 bytes for 4 x 65 cells, got 144"),
        (write_at(22, b"\1"), "the header is damaged (it claims 281474976710661 x 65 cells)"),
        (write_at(24, bytes(7) + b"\1"), "the header is damaged (it claims 5 x 72057594037927936 cells)"),
        (write_at(63, b"\1"), "the header is damaged (it claims 5 x 65 cells)"),
        (write_at(72, b"\2"), "words: want zeros beyond the last of 65 features, got ones"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, damage, fault):
    path = tmp_path / "X.bits"
    Bits.from_dense(random_dense(5, 65)).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(f"{path}: {fault}")):
        Bits.open(path)


def test_rows_without_features_cannot_claim_any_number(tmp_path):
    path = tmp_path / "X.bits"
    Bits(np.zeros((3, 0), np.uint64), 0).save(path)
    path.write_bytes(write_at(16, b"\xff" * 8)(path.read_bytes()))
    with pytest.raises(ValueError, match="the header is damaged"):
        Bits.open(path)


def test_system_errors_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError):
        Bits.open(tmp_path / "none.bits")
    with pytest.raises(IsADirectoryError):
        Bits.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        Bits.from_dense([[1]]).save(tmp_path / "none" / "X.bits")


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_failed_save_leaves_the_old_file_alone(tmp_path, monkeypatch, function, error):
    path = tmp_path / "X.bits"
    Bits.from_dense([[1, 0]]).save(path)

    def fail(*_):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        Bits.from_dense([[0, 1]]).save(path)
    assert os.listdir(tmp_path) == ["X.bits"]
    assert Bits.open(path)[0].tolist() == [1, 0]


def test_a_mapped_file_can_be_replaced(tmp_path):
    path = tmp_path / "X.bits"
    Bits.from_dense([[1, 0]]).save(path)
    old = Bits.open(path)
    Bits.from_dense([[0, 1]]).save(path)
    assert old[0].tolist() == [1, 0]
    assert Bits.open(path)[0].tolist() == [0, 1]


def test_save_takes_a_path_or_a_string(tmp_path):
    for path in (tmp_path / "a.bits", str(tmp_path / "b.bits")):
        Bits.from_dense([[1, 1]]).save(path)
        assert Bits.open(Path(path)).density == 1
