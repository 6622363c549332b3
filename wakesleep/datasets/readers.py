"""Files of binary data as `Bits`: IDX, NumPy's two formats, CSV and our own; and the digits in the package."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wakesleep._packing import as_threshold
from wakesleep.bits import Bits
from wakesleep.datasets import csv_file
from wakesleep.datasets.columns import Choice, ColumnError, as_columns, of_columns
from wakesleep.parameters import PRIOR
from wakesleep.probabilities import Probabilities
from wakesleep.rows import Rows, as_rows

IDX_SUFFIXES = (".idx", "-ubyte", ".gz")
SUFFIXES = (".bits", ".npy", ".npz", ".csv", ".csv.gz", *IDX_SUFFIXES)
IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NPY_HEADER_BYTES = 1 << 14  # more than any header of a plain array
MOST_INFLATED = 1032  # bytes that one byte of DEFLATE can stand for


class SplitError(ValueError):
    """The file does not have the split that was asked for, or has several and none was asked for."""


def load_digits() -> Bits:
    """Handwritten digits of 8×8 pixels, in memory: real data to start with.

    The 1,797 test images of the UCI optical digits; a pixel is 1 where its value is 8 or more of
    16. Source and licence are in the file ``DIGITS.txt`` beside this module.

    Returns
    -------
    Bits of shape (1797, 64)

    Examples
    --------
    >>> from wakesleep.datasets import load_digits
    >>> digits = load_digits()
    >>> digits
    <Bits: 1797 x 64, 32.3% ones>
    >>> for row in digits[0].reshape(8, 8):
    ...     print("".join("-#"[pixel] for pixel in row))
    ---##---
    --####--
    --#--##-
    --#--##-
    --#--##-
    --#--#--
    --#-##--
    ---##---
    """
    bits = Bits.open(Path(__file__).with_name("digits.bits"))
    return Bits(np.array(bits.words), bits.n_features)


def read(
    path: str | os.PathLike[str], *, split: str | None = None, binarize: float | str | None = 0.5,
    missing: str | None = None, drop: str | int | Sequence[str | int] = (),
) -> Rows:  # fmt: skip
    """Read a file of binary data, whose kind follows from its name.

    =============================  ================================================================
    ``.bits``                      what `Bits.save` wrote; mapped into memory, or read, where `drop` leaves columns
                                   out
    ``.npy``                       an array; packed in blocks, without a dense copy in memory
    ``.npz``                       arrays, of which `split` names one. An array ``NAME`` beside an
                                   array ``NAME_shape`` = (N, D) holds ``np.packbits(rows, axis=1)``
    ``.csv``, ``.csv.gz``          numbers, separated by commas, below a line of names, of 0, 1, 2, 3 ... or
                                   others that differ, or none; they become ``feature_names``, which
                                   a machine keeps, as it does a frame's
    ``.idx``, ``-ubyte``, ``.gz``  IDX, compressed or not, as MNIST has it
    =============================  ================================================================

    Arrays of more than two dimensions are flattened to N rows.

    Parameters
    ----------
    path : str or path-like
    split : str, optional
        The array of an ``.npz`` file; needed where it has several.
    binarize : float, None or "sample", default=0.5
        A cell is 1 where its value is greater than this; None: all values must be 0 or 1; "sample":
        values are probabilities, of which bits are drawn when they are needed. The bytes of an IDX
        file are grey levels of the value byte/255, so that a file of the bytes 0 and 1 wants
        ``binarize=None``; as probabilities they take a byte each.
    missing : {None, "marginalise"}, default=None
        Whether cells may be missing: NaN, in a ``.csv`` also nothing, NA, N/A, <NA>, null, None or ?, or so marked in
        a ``.bits`` file.
    drop : str, int, or sequence of these, default=()
        Columns to leave out, such as an index: by name, in a ``.csv`` that has names, or by number from 0 where no
        column has it for a name. Cells of a ``.csv`` that are left out may hold anything, also several lines in
        quotes. A first line of which only numbers and empty cells are left is a row, unless they are 0, 1, 2, 3 ..., or
        stand out from the lines below.

    Returns
    -------
    Bits of shape (N, D), or with "sample" Probabilities, where there are others than 0 and 1

    Raises
    ------
    ValueError
        If the kind of file is unknown, `split` is missing, unknown or out of place, `drop` has a column that is not
        there, or the file is damaged, is empty or holds something else than a matrix of numbers; also if a column of
        a ``.csv`` whose name is empty, or ``Unnamed: 0``, has another whole number in each row, as an index does.
    TypeError
        If `drop` has something else than names and whole numbers.
    OSError
        If the file cannot be read, e.g. FileNotFoundError.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from wakesleep.datasets import read
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "answers.csv")
    ...     path.write_text("tea,coffee,milk\\n1,0,1\\n0,1,1\\n")
    ...     read(path)
    28
    <Bits: 2 x 3, 66.7% ones>
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "frame.csv")
    ...     path.write_text(",tea,rum\\n0,1,0\\n1,0,1\\n2,0,0\\n")
    ...     read(path, drop=[""]).feature_names
    27
    ('tea', 'rum')
    """
    if not os.fspath(path):
        raise ValueError("path: want the name of a file, got ''")
    return read_chosen(Path(path), split, binarize, missing, Choice(str(path), as_columns(drop)))


def read_chosen(
    path: Path, split: str | None, binarize: float | str | None, missing: str | None, choose: Choice
) -> Rows:
    """`read`, with the columns that are chosen, in the order in which they are."""
    threshold = None if isinstance(binarize, str) and binarize == "sample" else as_threshold(binarize)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise ValueError(f"{path}: want a file whose name ends in {', '.join(SUFFIXES)}")
    if split is not None and suffix != ".npz":
        raise SplitError(f"split: want none for {path}, because only .npz files have splits; got {split!r}")
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path}: want rows, got an empty file")
    array: Any = Bits.open(path) if suffix == ".bits" else None
    with _damage_named(path):
        match suffix:
            case ".csv" | ".csv.gz":
                return csv_file.read_csv(path, choose, binarize, missing)
            case ".npy":
                array = _read_npy(path)
            case ".npz":
                array = _read_npz(path, split)
            case _ if suffix in IDX_SUFFIXES:
                array = _read_idx(path)
        if isinstance(array, Bits):
            binarize = None  # they are cut already
        if len(array.shape) == 2:
            array = of_columns(array, choose(None, array.shape[1]))
        if suffix in IDX_SUFFIXES and array.dtype == np.uint8:
            if binarize == "sample":
                array = Probabilities(array, one=255, name=str(path))
            elif threshold is not None:
                binarize = int(np.sum(np.arange(256) / 255 <= threshold)) - 1  # the same cut, in bytes
    return as_rows(array, binarize=binarize, name=str(path), missing=missing)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Whatever a parser makes of a damaged file becomes one ValueError with the file's name."""
    try:
        yield
    except (SplitError, ColumnError):
        raise
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"{path}: want text in UTF-8, got something else (the byte {byte:#04x})") from error
    except (
        *(ValueError, EOFError, NotImplementedError, OverflowError, RuntimeError),
        *(csv.Error, struct.error, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # neither gzip's complaint nor a seek to nowhere
            raise
        raise ValueError(f"{path}: {error}") from error


def _read_npy(path: Path) -> NDArray[Any]:
    with open(path, "rb") as file:
        dtype, shape, order, offset = _npy_header(file.read(NPY_HEADER_BYTES), os.fstat(file.fileno()).st_size)
        return _flat_rows(np.memmap(file, dtype, "r", offset, shape, order))


def _read_npz(path: Path, split: str | None) -> NDArray[Any] | Bits:
    with open(path, "rb") as file, _archive(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        shapes = {name for name in members if name.endswith("_shape") and name.removesuffix("_shape") in members}
        splits = [name for name in members if name not in shapes]
        if {"manifest", PRIOR} < set(splits):
            raise ValueError("want rows, got a machine that was saved")
        if not splits:
            raise ValueError("want an array, got none")
        if split is None and len(splits) == 1:
            split = splits[0]
        if split not in splits:
            got = "none" if split is None else repr(split)
            raise SplitError(f"split: want one of {', '.join(splits)}, which {path} has, got {got}")
        array = _npz_member(archive, members[split], os.fstat(file.fileno()).st_size)
        if f"{split}_shape" not in shapes:
            return _flat_rows(array)
        shape = _npz_member(archive, members[f"{split}_shape"], os.fstat(file.fileno()).st_size)
        if shape.shape != (2,) or shape.dtype.kind not in "iu" or shape[0] != len(array):
            raise ValueError(f"want {split}_shape to be (rows, columns) of {split}, got {shape} for {array.shape}")
        return Bits.from_packed(array, int(shape[1]), bitorder="big")


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    if not zipfile.is_zipfile(file):
        raise ValueError("want an .npz archive, got something else, or a part of one")
    return zipfile.ZipFile(file)


def _npz_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> NDArray[Any]:
    if info.file_size > MOST_INFLATED * min(info.compress_size, most):
        raise ValueError(f"{info.filename} claims {info.file_size} bytes, more than the file can hold")
    data = archive.read(info)
    dtype, shape, order, offset = _npy_header(data[:NPY_HEADER_BYTES], len(data))
    return np.frombuffer(data, dtype, offset=offset).reshape(shape, order=order)


def _npy_header(head: bytes, size: int) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"], int]:
    """dtype, shape, order and offset of the array in a ``.npy`` of `size` bytes, of which `head` are the first."""
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = parse(stream)
    except Exception as error:  # NumPy's parser evaluates text: a damaged one can raise almost anything
        raise ValueError(f"want a .npy array, got something else ({error})") from error
    if dtype.hasobject:
        raise ValueError("want numbers, got pickled objects, which are never read")
    if size != (wanted := stream.tell() + math.prod(shape) * dtype.itemsize):
        raise ValueError(f"want {wanted} bytes for shape {shape} of {dtype}, got {size}")
    return dtype, shape, "F" if fortran else "C", stream.tell()


def _read_idx(path: Path) -> NDArray[Any]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if compressed else file
        start = stream.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_DTYPES:
            raise ValueError(f"want an IDX file, got one that begins with {start!r}")
        dtype = np.dtype(IDX_DTYPES[start[2]])
        if len(sizes := stream.read(4 * start[3])) < 4 * start[3]:
            raise ValueError(f"want {start[3]} sizes of dimensions, got {len(sizes)} bytes")
        shape = struct.unpack(f">{start[3]}I", sizes)
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes > size * (MOST_INFLATED if compressed else 1):
            raise ValueError(f"the header claims shape {shape} of {dtype}, more than the file can hold")
        data = stream.read(n_bytes + 1)  # one more than there should be
        if len(data) != n_bytes:
            raise ValueError(f"want {n_bytes} bytes for shape {shape} of {dtype}, got {len(data)} or more")
        return _flat_rows(np.frombuffer(data, dtype).reshape(shape))


def _flat_rows(array: NDArray[Any]) -> NDArray[Any]:
    """An array of more than two dimensions as a matrix with the same first dimension."""
    return array.reshape(len(array), math.prod(array.shape[1:])) if array.ndim > 2 else array
