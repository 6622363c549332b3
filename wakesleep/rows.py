"""What training takes: `Bits`, `Probabilities`, or some rows of either, chosen without a copy."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wakesleep._packing import as_matrix, as_threshold, check_missing, check_shape, dense, pack, row_blocks
from wakesleep.bits import Bits
from wakesleep.probabilities import Probabilities, checked

Matrix = TypeVar("Matrix", Bits, Probabilities)


class Selection(Generic[Matrix]):
    """Some rows of a matrix, by their numbers: eight bytes for each, and no copy, so that a mapped file stays on disk.

    Parameters
    ----------
    rows : Bits or Probabilities of shape (N, D)
    chosen : ndarray of shape (n,), int64
        From 0 to N − 1, C-contiguous.
    """

    def __init__(self, rows: Matrix, chosen: NDArray[np.int64]) -> None:
        self.rows: Matrix = rows
        self.chosen = chosen

    @property
    def shape(self) -> tuple[int, int]:
        """(n, D)."""
        return len(self.chosen), self.n_features

    @property
    def n_features(self) -> int:
        """D."""
        return self.rows.n_features

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the features, where the rows come from a file that has them."""
        return self.rows.feature_names

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Matrix:
        """A copy of several of the rows."""
        return self.rows[self.chosen[rows]]

    def counts(self: Selection[Bits]) -> NDArray[np.int64]:
        """Ones per feature: an array of shape (D,)."""
        return np.asarray(sum(block.counts() for block in self._blocks()), np.int64)

    def observed_counts(self: Selection[Bits]) -> NDArray[np.int64]:
        """Observed cells per feature: an array of shape (D,)."""
        return np.asarray(sum(block.observed_counts() for block in self._blocks()), np.int64)

    def _blocks(self) -> Iterator[Matrix]:
        return (self[block] for block in row_blocks(len(self), self.n_features))


Rows = Bits | Probabilities | Selection[Bits] | Selection[Probabilities]


class Fingerprint(NamedTuple):
    """What tells some rows from others: how many they are, and the CRC-32 of their cells and of which are observed."""

    n_rows: int
    crc: int


class Given(NamedTuple):
    """What a training was given, as far as it takes to notice that it goes on with something else."""

    rows: Fingerprint
    held_out: Fingerprint | None


def fingerprint(rows: Rows) -> Fingerprint:
    """The fingerprint of rows, in whatever way they were chosen."""
    crc = 0
    for block in row_blocks(len(rows), 4 * rows.n_features):
        part = rows[block]
        crc = zlib.crc32(np.ascontiguousarray(part.words if isinstance(part, Bits) else part.values).data, crc)
        if isinstance(part, Bits) and part.observed is not None and not part.complete:
            crc = zlib.crc32(part.observed.data, crc)
    return Fingerprint(len(rows), crc)


def given(rows: Rows, held_out: Bits | None) -> Given:
    """What a training is given."""
    return Given(fingerprint(rows), None if held_out is None else fingerprint(held_out))


def given_before(stored: Any) -> Given | None:
    """What a training was given, from JSON, where it was stored.

    Raises
    ------
    ValueError
        If it is something else.
    """
    match stored:
        case None:
            return None
        case [[int(), int()] as rows, [int(), int()] | None as held_out]:
            return Given(Fingerprint(*rows), None if held_out is None else Fingerprint(*held_out))
        case _:
            raise ValueError(f"data: want the fingerprints of rows and of those held out, got {stored!r:.80}")


def select(rows: Rows, chosen: NDArray[np.int64]) -> Rows:
    """Rows by their numbers, without a copy."""
    if isinstance(rows, Bits):
        return Selection(rows, chosen)
    if isinstance(rows, Probabilities):
        return Selection(rows, chosen)
    return select(rows.rows, rows.chosen[chosen])


def has_gaps(rows: Rows) -> bool:
    """Whether cells are missing, in some row of the matrix from which these are chosen."""
    matrix = rows.rows if isinstance(rows, Selection) else rows
    return isinstance(matrix, Bits) and matrix.observed is not None


def drawn(rows: Rows, seed: int, epoch: int) -> Bits | Selection[Bits]:
    """The rows of an epoch: drawn, where they are probabilities."""
    if isinstance(rows, Bits):
        return rows
    if isinstance(rows, Probabilities):
        return rows.draw(seed, epoch)
    return Selection(rows.rows if isinstance(rows.rows, Bits) else rows.rows.draw(seed, epoch), rows.chosen)


def drawn_by_content(rows: Rows, seed: int) -> Bits:
    """Every row drawn once, where they are probabilities: a function of the seed and of the row."""
    matrix = rows[slice(None)] if isinstance(rows, Selection) else rows
    return matrix if isinstance(matrix, Bits) else matrix.draw_by_content(seed)


def as_bits(
    X: Any, *, binarize: float | None = 0.5, n_features: int | None = None, name: str = "X", missing: str | None = None
) -> Bits:
    """X as `Bits`, after every check that a user's data needs; `Bits` pass through without a copy.

    Parameters
    ----------
    X : array-like, SciPy sparse matrix or Bits of shape (N, D)
        Booleans, integers, floats, or objects that convert to float. N and D are at least 1.
    binarize : float or None, default=0.5
        A cell is 1 where its value is greater than this, compared in the precision of X;
        None: all values must be 0 or 1.
    n_features : int, optional
        The number of features that is wanted; any where it is left out.
    name : str, default="X"
        What error messages call the argument.
    missing : {None, "marginalise"}, default=None
        Whether a cell may be missing: NaN, and among objects also None and ``pandas.NA``; or missing in Bits.

    Returns
    -------
    Bits of shape (N, D)

    Raises
    ------
    ValueError
        If X is not a matrix of finite real numbers, or of such and NaN, is empty, has another number of features, or
        holds something other than 0 and 1 with ``binarize=None``; or if `binarize` is not a number.
    TypeError
        If X holds objects that float() refuses.

    Examples
    --------
    >>> as_bits([[0.2, 0.9, 1.0]])
    <Bits: 1 x 3, 66.7% ones>
    """
    threshold = as_threshold(binarize)
    check_missing(missing)
    matrix = X if isinstance(X, Bits) else as_matrix(X, name)
    check_shape(matrix.shape, n_features, name)
    if isinstance(matrix, Bits):
        check_complete(matrix, missing, name)
        return matrix
    return Bits._packed(matrix, threshold, name, missing)


def check_complete(rows: Bits, missing: str | None, name: str) -> None:
    """Refuse rows with missing cells where these are not to be marginalised."""
    if missing is None and not rows.complete:
        raise ValueError(f'{name} contains missing cells: want missing="marginalise" for them')


def as_rows(
    X: Any, *, binarize: float | str | None, n_features: int | None = None, name: str = "X", missing: str | None = None
) -> Rows:
    """X as what training takes: `Bits`, or with ``binarize="sample"`` `Probabilities` where cells lie between 0 and 1.

    Parameters and errors are those of `as_bits`. Booleans and whole numbers must be 0 or 1, and become `Bits`. Cells
    may be missing only where none is a probability.
    """
    if isinstance(X, Selection) or (isinstance(X, Bits | Probabilities) and isinstance(binarize, str)):
        check_shape(X.shape, n_features, name)
        matrix = X.rows if isinstance(X, Selection) else X
        if isinstance(matrix, Bits):
            check_complete(matrix, missing, name)
        return X
    if not isinstance(binarize, str):
        return as_bits(X, binarize=binarize, n_features=n_features, name=name, missing=missing)
    matrix = as_matrix(X, name)
    check_shape(matrix.shape, n_features, name)
    if matrix.dtype.kind not in "biu":
        return Probabilities(matrix, name=name)
    for rows in row_blocks(matrix.shape[0], matrix.shape[1] * matrix.dtype.itemsize):
        checked(dense(matrix, rows), 1, name, rows.start)
    words, *_ = pack(matrix, 0.5, name)
    return Bits(words, matrix.shape[1])
