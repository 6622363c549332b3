"""Files of binary data as `Bits`: IDX, NumPy's two formats, CSV and our own; and the digits in the package."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wakesleep._packing import BLOCK_BYTES, TAKEN, as_threshold
from wakesleep.bits import Bits
from wakesleep.parameters import PRIOR
from wakesleep.probabilities import Probabilities
from wakesleep.rows import Rows, as_bits, as_rows

SUFFIXES = (".bits", ".npy", ".npz", ".csv", ".csv.gz", ".idx", "-ubyte", ".gz")
IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NPY_HEADER_BYTES = 1 << 14  # more than any header of a plain array
EMPTY = "", "na", "n/a", "<na>", "null", "none", "?"  # cells of a .csv that hold nothing, in small letters
CELL = re.compile(r"at row 0, column (\d+)")  # how an error names it in a matrix of one row
OTHER_MARKS = (";", "\t", "|", " ")  # by which cells are separated in what is no CSV file
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
    missing: str | None = None,
) -> Rows:  # fmt: skip
    """Read a file of binary data, whose kind follows from its name.

    =============================  ================================================================
    ``.bits``                      what `Bits.save` wrote; mapped into memory
    ``.npy``                       an array; packed in blocks, without a dense copy in memory
    ``.npz``                       arrays, of which `split` names one. An array ``NAME`` beside an
                                   array ``NAME_shape`` = (N, D) holds ``np.packbits(rows, axis=1)``
    ``.csv``, ``.csv.gz``          numbers, separated by commas, below a line of names, of 0, 1, 2, 3 ...
                                   or none; they become ``feature_names``, which a machine keeps, as it
                                   does a frame's
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

    Returns
    -------
    Bits of shape (N, D), or with "sample" Probabilities, where there are others than 0 and 1

    Raises
    ------
    ValueError
        If the kind of file is unknown, `split` is missing, unknown or out of place, or the file
        is damaged, is empty or holds something else than a matrix of numbers.
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
    """
    path = Path(path)
    threshold = None if binarize == "sample" else as_threshold(binarize)
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise ValueError(f"{path}: want a file whose name ends in {', '.join(SUFFIXES)}")
    if split is not None and suffix != ".npz":
        raise SplitError(f"split: want none for {path}, because only .npz files have splits; got {split!r}")
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path}: want rows, got an empty file")
    if suffix == ".bits":
        return as_bits(Bits.open(path), name=str(path), missing=missing)
    array: NDArray[Any] | Bits | Probabilities
    with _damage_named(path):
        match suffix:
            case ".csv" | ".csv.gz":
                return _read_csv(path, binarize, missing)
            case ".npy":
                array = _read_npy(path)
            case ".npz":
                array = _read_npz(path, split)
            case _:
                array = _read_idx(path)
                if array.dtype == np.uint8 and binarize == "sample":
                    array = Probabilities(array, one=255, name=str(path))
                elif array.dtype == np.uint8 and threshold is not None:
                    binarize = int(np.sum(np.arange(256) / 255 <= threshold)) - 1  # the same cut, in bytes
    return as_rows(array, binarize=binarize, name=str(path), missing=missing)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Whatever a parser makes of a damaged file becomes one ValueError with the file's name."""
    try:
        yield
    except SplitError:
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


def _read_csv(path: Path, binarize: float | str | None, missing: str | None) -> Rows:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig") as file:
        lines = ((number, text) for number, text in enumerate(file, 1) if text.strip())
        first = next(lines, None)
        if first is None:
            raise ValueError("want lines of numbers, got none")
        cells = _cells(first[1])
        has_names = _are_names(cells)
        rows = lines if has_names else chain([first], lines)
        blocks = []
        while block := list(islice(rows, max(1, BLOCK_BYTES // (8 * len(cells))))):
            blocks.append(_csv_block(block, len(cells), binarize, missing))
    if not blocks:
        raise ValueError("want lines of numbers below the names, got none")
    names = tuple(cells) if has_names else None
    if packed := [block for block in blocks if isinstance(block, Bits)]:
        return Bits._joined(packed, names)
    values = [block.values for block in blocks if isinstance(block, Probabilities)]
    return Probabilities(np.concatenate(values), feature_names=names)


def _are_names(cells: list[str]) -> bool:
    """Whether most cells are words, if there are numbers among them; or they count the columns, as frames do."""
    n_words = sum(not _is_number(cell) and not _is_empty(cell) for cell in cells)
    no_number = not any(_is_number(cell) for cell in cells)
    counted = len(cells) > 3 and cells == [str(column) for column in range(len(cells))]
    return counted or 2 * n_words > len(cells) or (no_number and n_words > 0)


def _csv_block(
    lines: list[tuple[int, str]], n_features: int, binarize: float | str | None, missing: str | None
) -> Rows:
    rows = [_csv_row(number, text, n_features, missing) for number, text in lines]
    try:
        return as_rows(rows, binarize=binarize, missing=missing)
    except ValueError:
        for (number, _), row in zip(lines, rows, strict=True):  # one of them is refused: name its line
            try:
                as_rows([row], binarize=binarize, name=f"line {number}", missing=missing)
            except ValueError as error:
                raise ValueError(CELL.sub(lambda cell: f"in column {int(cell[1]) + 1}", str(error))) from error
        raise


def _csv_row(number: int, text: str, n_features: int, missing: str | None) -> NDArray[np.float64]:
    cells = _cells(text)
    if len(cells) != n_features:
        raise ValueError(f"line {number}: want {n_features} numbers like the first line, got {len(cells)}")
    try:
        return np.array([np.nan if missing and _is_empty(cell) else _number(cell) for cell in cells])
    except ValueError as error:
        wrong = (i for i, cell in enumerate(cells) if not _is_number(cell) and not (missing and _is_empty(cell)))
        column = next(wrong)
        cell = cells[column].strip()
        other = next((mark for mark in OTHER_MARKS if all(map(_is_number, cell.split(mark)))), None) if cell else None
        hint = TAKEN if _is_empty(cell) else ""
        if other is not None:
            hint = f"; cells are separated by commas, not by {other!r}"
        got = repr(cell)[:80] if cell else "an empty cell"
        raise ValueError(f"line {number}, column {column + 1}: want a number, got {got}{hint}") from error


def _cells(text: str) -> list[str]:
    """The cells of a line; only where there are quotes is it worth a parser."""
    return next(csv.reader([text])) if '"' in text else text.strip().split(",")


def _number(cell: str) -> float:
    """A cell's number; True and False are 1 and 0."""
    return float({"true": "1", "false": "0"}.get(cell.strip().lower(), cell))


def _is_empty(cell: str) -> bool:
    return cell.strip().lower() in EMPTY


def _is_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def _flat_rows(array: NDArray[Any]) -> NDArray[Any]:
    """An array of more than two dimensions as a matrix with the same first dimension."""
    return array.reshape(len(array), math.prod(array.shape[1:])) if array.ndim > 2 else array
