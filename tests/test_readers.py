"""Reading every kind of file, and refusing every kind of damage with one error that names the file."""

import gzip
import re
import struct
import zipfile

import numpy as np
import pytest

from wakesleep.bits import Bits
from wakesleep.datasets import load_digits, read


def random_dense(n_rows, n_features, dtype=np.uint8):
    return (np.random.default_rng(0).random((n_rows, n_features)) < 0.4).astype(dtype)


def idx(array, code=0x08):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def packed(dense, name="all"):
    return {name: np.packbits(dense, axis=1), f"{name}_shape": np.array(dense.shape)}


def write(path, content):
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content)
    return path


def assert_refused(path, fault, **options):
    with pytest.raises(ValueError, match=re.escape(fault)) as caught:
        read(path, **options)
    assert str(path) in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


# ---- the digits ----


def test_digits_are_in_memory_and_each_call_has_its_own():
    digits = load_digits()
    assert digits.shape == (1797, 64)
    digits.words[:] = 0
    assert load_digits().density == pytest.approx(0.3230297, abs=1e-7)


def test_digits_are_the_published_ones(data_folder):
    assert load_digits() == read(data_folder / "digits8.npz")


# ---- .npy, .npz and .bits ----


@pytest.mark.parametrize("dtype", ["?", "u1", ">i8", "<f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, dtype, order):
    dense = random_dense(5, 67, dtype)
    np.save(tmp_path / "X.npy", np.asarray(dense, order=order))
    np.testing.assert_array_equal(read(tmp_path / "X.npy"), dense)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(12, 7), (3, 4, 7)])
def test_images_become_rows(tmp_path, shape, order):
    dense = random_dense(5, 3 * 4 * 7)
    images = np.asarray(dense.reshape(5, *shape), order=order)
    np.save(tmp_path / "X.npy", images)
    npz(tmp_path / "X.npz", images=images)
    write(tmp_path / "X.idx", idx(images.copy(order="C")))
    for name, binarize in [("X.npy", 0.5), ("X.npz", 0.5), ("X.idx", None)]:
        np.testing.assert_array_equal(read(tmp_path / name, binarize=binarize), dense)


def test_binarize_is_the_threshold(tmp_path):
    np.save(tmp_path / "X.npy", [[0.1, 0.2, 0.3]])
    write(tmp_path / "X.csv", "0.1,0.2,0.3\n")
    npz(tmp_path / "X.npz", X=[[0.1, 0.2, 0.3]])
    for name in ("X.npy", "X.csv", "X.npz"):
        assert read(tmp_path / name, binarize=0.2)[0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("name", ["x.bits", "x.npy", "x.npz", "x.csv", "x.idx", "x.gz"])
def test_binarize_is_checked_before_the_file_is_opened(tmp_path, name):
    for wrong in ("x", np.arange(3)):
        with pytest.raises(ValueError, match=r"^binarize: want None or a finite number, got ('x'|array)"):
            read(tmp_path / name, binarize=wrong)


def test_nothing_is_no_name_of_a_file():
    with pytest.raises(ValueError, match=r"^path: want the name of a file, got ''$"):
        read("")


def test_bits(tmp_path):
    bits = Bits.from_dense(random_dense(5, 67))
    bits.save(tmp_path / "X.bits")
    assert read(str(tmp_path / "X.bits")) == bits
    assert isinstance(read(tmp_path / "X.bits").words, np.memmap)


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_of_packed_and_dense_arrays(tmp_path, compressed):
    train, test = random_dense(6, 67), random_dense(3, 67, float)
    path = tmp_path / "X.npz"
    (np.savez_compressed if compressed else np.savez)(path, **packed(train, "train"), test=test)
    np.testing.assert_array_equal(read(path, split="train"), train)
    np.testing.assert_array_equal(read(path, split="test"), test)
    assert_refused(path, f"split: want one of train, test, which {path} has, got none")
    assert_refused(path, f"split: want one of train, test, which {path} has, got 'train_shape'", split="train_shape")


def test_the_only_split_is_the_default(tmp_path):
    dense = random_dense(6, 67)
    assert read(npz(tmp_path / "X.npz", **packed(dense))) == Bits.from_dense(dense)
    assert read(npz(tmp_path / "Y.npz", image_shape=dense)) == Bits.from_dense(dense)
    assert read(npz(tmp_path / "Z.npz", manifest=dense, rows=dense), split="rows") == Bits.from_dense(dense)


@pytest.mark.parametrize("shape", [(5, 67), (6, 80), (6, 67, 1), (6,), (6.0, 67.0), (6, -1), (6, 2**62)])
def test_npz_with_a_wrong_shape_is_refused(tmp_path, shape):
    path = npz(tmp_path / "X.npz", all=np.packbits(random_dense(6, 67), axis=1), all_shape=np.array(shape))
    assert_refused(path, f"{path}: ")


def test_the_test_data(data_folder):
    for name, split, shape in [
        ("mnist_binarized_fixed", "train", (50_000, 784)),
        ("nade_dna", "test", (1_186, 180)),
        ("debd_nltcs", "valid", (2_157, 16)),
    ]:
        bits = read(data_folder / f"{name}.npz", split=split)
        assert bits.shape == shape
        with np.load(data_folder / f"{name}.npz") as arrays:
            dense = np.unpackbits(arrays[split], axis=1, count=shape[1])
        np.testing.assert_array_equal(bits.counts(), dense.sum(axis=0, dtype=np.int64))
        np.testing.assert_array_equal(bits[-7:], dense[-7:])


# ---- IDX ----


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
@pytest.mark.parametrize("name", ["x-images-idx3-ubyte", "x.idx", "x.idx3-ubyte.gz", "X.IDX.GZ"])
def test_idx_of_every_type(tmp_path, name, code, dtype):
    dense = random_dense(5, 67)
    content = idx((dense * 100).astype(dtype), code)
    path = write(tmp_path / name, gzip.compress(content) if name.lower().endswith("gz") else content)
    np.testing.assert_array_equal(read(path, binarize=0.3), dense)


def test_idx_is_recognised_by_content(tmp_path):
    dense = random_dense(5, 67)
    path = write(tmp_path / "x-ubyte", gzip.compress(idx(dense * 255)))
    np.testing.assert_array_equal(read(path), dense)


@pytest.mark.parametrize("binarize", [-1, 0, 0.1, 0.2, 0.5, 200 / 255, 0.999, 1])
def test_idx_bytes_are_grey_levels(tmp_path, binarize):
    levels = np.arange(256, dtype=np.uint8)[None]
    bits = read(write(tmp_path / "x.idx", idx(levels)), binarize=binarize)
    np.testing.assert_array_equal(bits, levels / 255 > binarize)


# ---- CSV ----


@pytest.mark.parametrize(
    "text",
    [
        "1,0,1\n0,0,1\n",
        "1,0,1\r\n0,0,1",
        "\ufeff1,0,1\n0,0,1\n",
        "tea,coffee,milk\n1,0,1\n0,0,1\n",
        '"tea, green",coffee,milk\n1,0,1\n\n0,0,1\n\n',
        "tea,coffee,\n1, 0 ,1.0\n-3,0.5,2e3\n",
        '"1","0","1"\n"0",0,"1"\n',
    ],
    ids=["plain", "windows", "byte order mark", "names", "quoted name, empty lines", "unnamed column", "quoted cells"],
)
def test_csv(tmp_path, text):
    assert read(write(tmp_path / "x.csv", text)).to_dense().tolist() == [[1, 0, 1], [0, 0, 1]]


def test_a_long_csv_is_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("wakesleep.datasets.csv_file.BLOCK_BYTES", 8 * 5 * 3)  # three lines
    dense = random_dense(10, 5)
    lines = [",".join(map(str, row)) for row in dense.tolist()]
    path = write(tmp_path / "x.csv", "\n".join(lines))
    np.testing.assert_array_equal(read(path), dense)
    lines[7] = "0,1,nan,1,1"
    assert_refused(write(path, "\n".join(lines)), f"{path}: line 8 contains NaN in column 2 (from 0)")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "want rows, got an empty file"),
        ("\n\n", "want lines of numbers, got none"),
        ("a,b\n", "want lines of numbers below the names, got none"),
        ("1,0\n1,0,1\n", "line 2: want 2 cells like the first line, got 3"),
        ("a,b\n\n1,0\n1\n", "line 4: want 2 cells like the first line, got 1"),
        ("1,0\n0,x\n", "line 2, column 1 (from 0): want a number, got 'x'"),
        ("1,a\n0,1\n", "line 1, column 1 (from 0): want a number, got 'a'"),
        ("1,0\n0,\n", "line 2, column 1 (from 0): want a number, got an empty cell"),
        ("id,a\nanna,1\n", "line 2, column 'id': want a number, got 'anna'"),
        ("1,0,\n0,1,\n", "line 1, column 2 (from 0): want a number, got an empty cell"),
        ("yes,no\nno,yes\n", "line 2, column 'yes': want a number, got 'no'"),
        ("1;0\n0;1\n", "want cells with commas between them, got ';' there"),
        ("1\t0\n0\t1\n", r"want cells with commas between them, got '\t' there"),
        ("id;tea;rum\nanna;;0\n", "want cells with commas between them, got ';' there"),
        ("1 0\n0 1\n", "line 2, column '1 0': want a number, got '0 1'; want commas between cells, not ' '"),
        ("a|b\n0|1\n", "want cells with commas between them, got '|' there"),
        ("0,5;0,3\n", "line 1, column 1 (from 0): want a number, got '5;0'; want commas between cells, not ';'"),
        ("1,0\n0,inf\n", "line 2 contains infinity in column 1 (from 0)"),
        (b"1,0\n\xff,1\n", "want text in UTF-8, got something else (the byte 0xff)"),
        (b"\x00\x01,\x02\n1,0,0\n", "line 2: want 2 cells like the first line, got 3"),
    ],
)
def test_a_faulty_csv_line_is_named(tmp_path, text, fault):
    path = write(tmp_path / "x.csv", text)
    assert_refused(path, f"{path}: {fault}")


def test_without_binarize_a_csv_line_that_is_not_binary_is_named(tmp_path):
    path = write(tmp_path / "x.csv", "1,0\n0,1\n0,2\n")
    fault = f"{path}: line 3 contains 2.0, where binarize=None wants only 0 and 1, in column 1 (from 0)"
    assert_refused(path, fault, binarize=None)


# ---- what is refused ----


@pytest.mark.parametrize("name", ["x.bits", "x.npy", "x.npz", "x.csv", "x.idx", "x.gz"])
def test_a_missing_file_is_a_file_not_found_error(tmp_path, name):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["x.txt", "x", "x.npy.bak", "npz"])
def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path, name):
    known = ".bits, .npy, .npz, .csv, .csv.gz, .idx, -ubyte, .gz"
    assert_refused(tmp_path / name, f"want a file whose name ends in {known}")


@pytest.mark.parametrize("name", ["x.bits", "x.npy", "x.csv", "x.idx", "x-ubyte.gz"])
def test_a_split_of_a_file_without_splits_is_refused(tmp_path, name):
    assert_refused(tmp_path / name, "because only .npz files have splits; got 'train'", split="train")


def npy_header(text):
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


def npy(array):
    return npy_header(f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}, }}\n")


DENSE = random_dense(5, 8)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("x.npy", b"", "want rows, got an empty file"),
        ("x.npy", b"PK\3\4", "want a .npy array, got something else"),
        ("x.npy", npy(DENSE)[:30], "want a .npy array, got something else"),
        ("x.npy", npy_header("{'descr': " + "(" * 500), "want a .npy array, got something else"),
        ("x.npy", npy(DENSE) + DENSE.tobytes()[1:], "want 110 bytes for shape (5, 8) of uint8, got 109"),
        ("x.npy", npy(DENSE) + DENSE.tobytes() + b"\0", "want 110 bytes for shape (5, 8) of uint8, got 111"),
        (
            "x.npy",
            npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 1024), }"),
            "bytes for shape (1099511627776, 1024) of float64, got 84",
        ),
        (
            "x.npy",
            npy_header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }") + b"\x80\x04K\x01.",
            "want numbers, got pickled objects, which are never read",
        ),
        ("x.npy", npy(np.zeros((1, 2), "U1")) + b"1\0\0\0000\0\0\0", "want numbers, got dtype <U1"),
        ("x.npy", npy(np.zeros(3, "u1")) + b"\0\0\0", "Expected 2D array, got 1D array instead"),
        ("x.npy", npy(np.zeros((0, 3), "u1")), "Found array with 0 sample(s) (shape=(0, 3))"),
        ("x.npz", b"", "want rows, got an empty file"),
        ("x.npz", b"not a zip file at all", "want an .npz archive, got something else"),
        ("x.idx", b"", "want rows, got an empty file"),
        ("x.idx", b"\x93NUMPY", "want an IDX file, got one that begins with b'\\x93NUM'"),
        ("x.idx", b"\0\0\x0a\2" + bytes(8), "want an IDX file, got one that begins with b'\\x00\\x00\\n\\x02'"),
        ("x.idx", idx(DENSE)[:9], "want 2 sizes of dimensions, got 5 bytes"),
        ("x.idx", idx(DENSE)[:-1], "want 40 bytes for shape (5, 8) of uint8, got 39"),
        ("x.idx", idx(DENSE) + b"\0", "want 40 bytes for shape (5, 8) of uint8, got 41"),
        ("x.idx", b"\0\0\x0e\4" + b"\xff" * 16, "of >f8, more than the file can hold"),
        ("x.idx", idx(DENSE[0]), "Expected 2D array, got 1D array instead"),
        ("x.gz", gzip.compress(idx(DENSE))[:-9], "Compressed file ended before the end-of-stream marker"),
        ("x.gz", gzip.compress(idx(DENSE)[:-1]), "want 40 bytes for shape (5, 8) of uint8, got 39"),
        ("x.gz", gzip.compress(idx(DENSE) + b"\0"), "want 40 bytes for shape (5, 8) of uint8, got 41"),
        ("x.gz", gzip.compress(idx(DENSE))[:-8] + bytes(8), "CRC check failed"),
        ("x.gz", gzip.compress(idx(DENSE)) + b"junk", "Not a gzipped file"),
        ("x.gz", gzip.compress(b"\0\0\x0e\4" + b"\xff" * 16), "of >f8, more than the file can hold"),
        ("x.gz", gzip.compress(b"a,b\n1,0\n"), "want an IDX file, got one that begins with b'a,b\\n'"),
        ("x.gz", b"\x1f\x8b\x08", "Compressed file ended before the end-of-stream marker"),
        ("x.bits", b"", "want rows, got an empty file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damage_is_refused_by_name(tmp_path, name, content, fault):
    assert_refused(write(tmp_path / name, content), fault)


def damaged_member(path, content, **claims):
    """A ZIP file whose one member, stored, claims more than it holds."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", content)
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\1\2")
    for offset, field in ((20, "compress_size"), (24, "file_size")):
        if field in claims:
            data[central + offset : central + offset + 4] = struct.pack("<I", claims[field])
    return write(path, bytes(data))


def test_damage_of_an_npz_is_refused_by_name(tmp_path):
    path = tmp_path / "X.npz"
    whole = npy(DENSE) + DENSE.tobytes()
    assert read(damaged_member(path, whole)) == Bits.from_dense(DENSE)
    assert_refused(damaged_member(path, whole, file_size=1 << 30), "X.npy claims 1073741824 bytes")
    assert_refused(damaged_member(path, whole, file_size=1 << 30, compress_size=1 << 30), "X.npy claims 1073741824")
    assert_refused(damaged_member(path, whole[:-1]), "want 110 bytes for shape (5, 8) of uint8, got 109")
    assert_refused(damaged_member(path, b"x"), "want a .npy array, got something else")
    assert_refused(
        write(path, damaged_member(path, whole).read_bytes().replace(DENSE[1:3].tobytes(), bytes(16))), "CRC"
    )
    shifted = bytearray(damaged_member(path, whole).read_bytes())
    shifted[-6] += 1  # where the directory begins: the member then begins before the file
    assert_refused(write(path, bytes(shifted)), f"{path}: ")
    assert_refused(npz(path, X=np.array([[None]])), "want numbers, got pickled objects")
    assert_refused(npz(path), "want an array, got none")


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.idx", "x.gz", "x.bits"])
def test_no_cut_goes_unnoticed(tmp_path, name):
    path = tmp_path / name
    if name == "x.npy":
        np.save(path, DENSE)
    elif name == "x.npz":
        npz(path, **packed(DENSE))
    elif name == "x.bits":
        Bits.from_dense(DENSE).save(path)
    else:
        write(path, gzip.compress(idx(DENSE * 255)) if name == "x.gz" else idx(DENSE * 255))
    content = path.read_bytes()
    assert read(path) == Bits.from_dense(DENSE)
    for length in range(len(content)):
        assert_refused(write(path, content[:length]), f"{path}: ")


def test_true_and_false_of_a_csv_are_one_and_zero(tmp_path):
    (tmp_path / "survey.csv").write_text("smokes,drinks\nTrue,False\nfalse,TRUE\n")
    np.testing.assert_array_equal(read(tmp_path / "survey.csv").to_dense(), [[1, 0], [0, 1]])
