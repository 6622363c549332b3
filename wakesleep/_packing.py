"""What a user passes as X: checked, then packed into 64-bit words, one block of rows at a time."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from wakesleep.tables import as_table

BLOCK_BYTES = 4 << 20  # the most dense bytes that are held at a time
WORD = np.dtype("<u8")
MISSING = (None, "marginalise")
TAKEN = ' (with missing="marginalise" it is a missing cell)'


class Cut(NamedTuple):
    """A threshold, and the least and the greatest value of each feature, (D,), that it has cut."""

    threshold: float
    least: NDArray[Any]
    greatest: NDArray[Any]

    def joined(self, other: Cut) -> Cut:
        """That of these rows and of other ones."""
        return Cut(self.threshold, np.fmin(self.least, other.least), np.fmax(self.greatest, other.greatest))


def words_of(n_features: int) -> int:
    """Whole 64-bit words that hold n_features bits."""
    return (n_features + 63) // 64


def row_blocks(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Slices that cover n_rows rows in order, each of at most BLOCK_BYTES or of one row."""
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def as_threshold(binarize: Any) -> float | None:
    """`binarize` itself, after a check: None, or a finite number."""
    if binarize is None:
        return None
    try:
        threshold = float(binarize) if isinstance(binarize, Real) and not isinstance(binarize, bool) else math.nan
    except OverflowError:
        threshold = math.inf
    if not math.isfinite(threshold):
        raise ValueError(f"binarize: want None or a finite number, got {binarize!r:.80}")
    return threshold


def check_missing(missing: Any) -> None:
    """Refuse what does not say how missing cells are treated."""
    if not any(missing is known or (isinstance(missing, str) and missing == known) for known in MISSING):
        raise ValueError(f'missing: want None or "marginalise", got {missing!r:.80}')


def as_matrix(X: Any, name: str) -> Any:
    """X as an ndarray, or else as something of which `dense` reads rows, of two dimensions and of packable numbers.

    Missing cells of data frames and of masked arrays are NaN.
    """
    if X is None:
        raise ValueError(f"{name}: want an array of 2 dimensions, got None")
    if isinstance(X, str | bytes | os.PathLike):
        raise ValueError(f"{name}: want an array, got {X!r:.80}; datasets.read(path) or Bits.open(path) reads a file")
    if isinstance(X, Iterator):
        raise ValueError(f"{name}: want an array, got an iterator, {X!r:.80}; partial_fit reads blocks from one")
    matrix = as_table(X, name)
    if matrix is None:
        try:
            matrix = np.asarray(X)
        except ValueError as error:
            raise ValueError(f"{name}: want an array, with rows of one length ({error})") from error
    if matrix.dtype.kind == "c":
        raise ValueError(f"{name}: want real numbers, got {matrix.dtype}. Complex data not supported")
    if matrix.dtype.kind not in "biufO":
        raise ValueError(f"{name}: want numbers, got dtype {matrix.dtype}")
    if len(matrix.shape) != 2:
        how = "array.reshape(-1, 1) makes a column of one feature, array.reshape(1, -1) a row of one sample"
        if len(matrix.shape) > 2:
            how = "array.reshape(len(array), -1) makes a row of each image"
        raise ValueError(
            f"{name}: Expected 2D array, got {len(matrix.shape)}D array instead. Reshape your data: {how}"
        )
    return matrix


def check_shape(shape: tuple[int, int], n_features: int | None, name: str) -> None:
    """Refuse a matrix without rows, without columns, or with another number of columns than n_features."""
    if shape[0] == 0:
        raise ValueError(f"{name}: Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
    if shape[1] == 0:
        raise ValueError(f"{name}: Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
    if n_features is not None and shape[1] != n_features:
        raise ValueError(
            f"{name} has {shape[1]} features, but HelmholtzMachine is expecting {n_features} features as input"
        )


def pack(
    matrix: Any, threshold: float | None, name: str, missing: str | None = None
) -> tuple[NDArray[np.uint64], NDArray[np.uint64] | None, Cut | None]:
    """The bits of what `as_matrix` returns, as words of shape (N, ⌈D/64⌉); the padding is zero.

    With ``missing="marginalise"`` also which cells are observed, in the same shape; None where all of them are. Last,
    where a threshold cuts numbers, what these were.
    """
    n_rows, n_features = matrix.shape
    words = np.zeros((n_rows, words_of(n_features)), WORD)
    observed: NDArray[np.uint64] | None = None
    cut = None
    for rows in row_blocks(n_rows, n_features * matrix.dtype.itemsize):
        block, absent = without_missing(dense(matrix, rows), name, missing)
        _store(_ones(block, absent, threshold, name, rows.start), words[rows])
        if absent is not None:
            observed = every_cell(n_rows, n_features) if observed is None else observed
            _store(~absent, observed[rows])
        if threshold is not None and matrix.dtype.kind != "b":  # fmin and fmax pass over NaN
            part = Cut(threshold, np.fmin.reduce(block), np.fmax.reduce(block))
            cut = part if cut is None else cut.joined(part)
    return words, observed, cut


def shown(value: Any) -> str:
    """A value in a message: in one line, and not too long."""
    return " ".join(repr(value).split())[:80]


def whole_number(name: str, value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name}: want a whole number, got {shown(value)}")
    return int(value)


def checked_names(names: Any, n_features: int) -> tuple[str, ...] | None:
    """Names of features, if they are a sequence of as many."""
    if names is None:
        return None
    if isinstance(names, str) or not (isinstance(names, Sequence) or getattr(names, "ndim", 0) == 1):
        raise TypeError(f"feature_names: want a sequence of {n_features} str, got {shown(names)}")
    if len(names) != n_features:
        raise ValueError(f"feature_names: want {n_features}, one for each feature, got {len(names)}")
    return tuple(names)


def every_cell(n_rows: int, n_features: int) -> NDArray[np.uint64]:
    """Words with a one in each of (N, D) cells; the padding is zero."""
    row = np.full(words_of(n_features), ~np.uint64(0), WORD)
    if n_features % 64:
        row[-1] = (1 << n_features % 64) - 1
    return np.tile(row, (n_rows, 1))


def _store(cells: NDArray[np.bool_], words: NDArray[np.uint64]) -> None:
    """Pack the cells of some rows into their words."""
    words.view(np.uint8)[:, : (cells.shape[1] + 7) // 8] = np.packbits(cells, axis=1, bitorder="little")


def check_plane(name: str, words: NDArray[np.uint64], n_features: int) -> None:
    """Refuse what is not a plane of bits."""
    if not isinstance(words, np.ndarray) or words.dtype != WORD:
        raise ValueError(f"{name}: want an array of native uint64, got {getattr(words, 'dtype', type(words))}")
    if not words.flags.c_contiguous:
        raise ValueError(f"{name}: want a C-contiguous array, got strides {words.strides}")
    if words.ndim != 2 or words.shape[1] != words_of(n_features):
        raise ValueError(f"{name}: want shape (N, {words_of(n_features)}) for {n_features} features, got {words.shape}")
    if n_features % 64 and int(np.bitwise_or.reduce(words[:, -1])) >> n_features % 64:
        raise ValueError(f"{name}: want zeros beyond the last of {n_features} features, got ones")


def count_ones(words: NDArray[np.uint64]) -> int:
    """Ones in all."""
    return sum(int(np.bitwise_count(words[rows]).sum()) for rows in row_blocks(len(words), words.shape[1]))


def counts_of(words: NDArray[np.uint64], n_features: int) -> NDArray[np.int64]:
    """Ones per feature: an array of shape (D,)."""
    ones = np.zeros(n_features, np.int64)
    for rows in row_blocks(len(words), n_features):
        dense = unpack(words[rows], n_features)
        for first in range(0, len(dense), 255):  # as many as a byte can count, which is four times as fast
            ones += dense[first : first + 255].sum(axis=0, dtype=np.uint8)
    return ones


def repack(packed: NDArray[np.uint8], n_features: int, bitorder: Literal["little", "big"]) -> NDArray[np.uint64]:
    """Rows of packed bytes (N, ⌈D/8⌉), in either order of bits, as words."""
    words = np.zeros((len(packed), words_of(n_features)), WORD)
    for rows in row_blocks(len(packed), n_features):
        cells = np.unpackbits(packed[rows], axis=1, count=n_features, bitorder=bitorder)
        words.view(np.uint8)[rows, : packed.shape[1]] = np.packbits(cells, axis=1, bitorder="little")
    return words


def unpack(words: NDArray[np.uint64], n_features: int) -> NDArray[np.uint8]:
    """The bits of words (…, ⌈D/64⌉) as (…, D) bytes of 0 or 1."""
    return np.unpackbits(words.view(np.uint8), axis=-1, count=n_features, bitorder="little")


def dense(matrix: Any, rows: slice) -> NDArray[Any]:
    """Rows of what `as_matrix` returns, as an ordinary array."""
    return np.asarray(matrix[rows].toarray() if hasattr(matrix, "tocsr") else matrix[rows])


def as_floats(block: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Objects (n, D) as float64; an error names the first column that is refused."""
    columns = np.empty(block.shape)
    for column in range(block.shape[1]):
        try:
            columns[:, column] = block[:, column]
        except (TypeError, ValueError, OverflowError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            objects = f"objects that do not convert to float ({error}) in column {column}"
            raise kind(f"{name}: want numbers, got {objects}") from error
    return columns


def refuse_cell(
    block: NDArray[Any], wrong: NDArray[np.bool_], fault: str, name: str, first_row: int, more: str = ""
) -> NoReturn:
    """Name the first wrong cell of a block of rows, of which the first is number first_row of the matrix."""
    row, column = (int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
    raise ValueError(f"{name} {fault.format(block[row, column])} at row {first_row + row}, column {column}{more}")


def without_missing(
    block: NDArray[Any], name: str, missing: str | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """A block of numbers, and where they are missing if any are and may be."""
    if block.dtype.kind == "b":
        block = block.view(np.uint8)
    elif block.dtype.kind == "O":
        if missing is not None:
            empty = None, getattr(sys.modules.get("pandas"), "NA", None)  # what stands for NaN among objects
            none = np.frompyfunc(lambda value: any(value is each for each in empty), 1, 1)(block).astype(bool)
            block = np.where(none, np.nan, block)
        block = as_floats(block, name)
    if missing is None or block.dtype.kind != "f":
        return block, None
    absent = np.isnan(block)
    return block, absent if absent.any() else None


def _ones(
    block: NDArray[Any], absent: NDArray[np.bool_] | None, threshold: float | None, name: str, first_row: int
) -> NDArray[np.bool_]:
    """Where a block of numbers, whose first row is number first_row of the matrix, holds a one."""

    def refuse(wrong: NDArray[np.bool_], fault: str, more: str = "") -> NoReturn:
        refuse_cell(block, wrong, fault, name, first_row, more)

    if absent is not None:
        block = np.where(absent, block.dtype.type(0), block)
    if block.dtype.kind == "f" and not np.isfinite(block).all():
        wrong = ~np.isfinite(block)
        if np.isnan(block[wrong][0]):
            refuse(wrong, "contains NaN", TAKEN)
        refuse(wrong, "contains infinity")
    if threshold is None:
        ones: NDArray[np.bool_] = block == 1
        wrong = ~ones & (block != 0)
        if wrong.any():
            refuse(wrong, "contains {}, where binarize=None wants only 0 and 1,")
        return ones  # of missing cells, 0
    if block.dtype.kind in "iu":
        return block > math.floor(threshold)  # the same ones, compared as integers: exact, and no float copy
    with np.errstate(over="ignore"):  # a threshold beyond the range of a narrow float is infinite there
        ones = block > threshold
    return ones if absent is None else ones & ~absent
