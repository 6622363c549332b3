"""`Bits`, the one data type: a binary matrix of 64 cells per word, in memory or mapped from a file."""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from wakesleep._bits_file import map_words, write
from wakesleep._packing import WORD, as_matrix, as_threshold, check_shape, pack, repack, row_blocks, unpack, words_of


class Bits:
    """A binary matrix of N rows and D features that takes N·⌈D/64⌉ words of memory.

    Feature i of a row is bit ``i % 64`` of its word ``i // 64``. The attributes are `words` and
    `n_features`, as given.

    Parameters
    ----------
    words : ndarray of shape (N, ceil(D / 64)), uint64
        The packed rows, C-contiguous; bits beyond the last feature are zero. No copy is made.
    n_features : int
        D, the number of features.
    observed : None
        Reserved for a second plane of bits, which will tell observed cells from missing ones.

    Raises
    ------
    ValueError
        If `words` is not as described, or `observed` is not None.

    Examples
    --------
    >>> bits = Bits.from_dense([[1, 0, 1], [0, 0, 1]])
    >>> bits
    <Bits: 2 x 3, 50.0% ones>
    >>> bits[0]
    array([1, 0, 1], dtype=uint8)
    >>> bits.words
    array([[5],
           [4]], dtype=uint64)
    """

    __hash__ = None  # type: ignore[assignment]  # equality is that of the cells, and cells may change

    def __init__(self, words: NDArray[np.uint64], n_features: int, observed: None = None) -> None:
        if observed is not None:
            raise ValueError(f"observed: want None (a plane of missing cells is not supported), got {observed!r}")
        n_features = operator.index(n_features)
        if n_features < 0:
            raise ValueError(f"n_features: want 0 or more, got {n_features}")
        if not isinstance(words, np.ndarray) or words.dtype != WORD:
            raise ValueError(f"words: want an array of native uint64, got {getattr(words, 'dtype', type(words))}")
        if not words.flags.c_contiguous:
            raise ValueError(f"words: want a C-contiguous array, got strides {words.strides}")
        if words.ndim != 2 or words.shape[1] != words_of(n_features):
            raise ValueError(
                f"words: want shape (N, {words_of(n_features)}) for {n_features} features, got {words.shape}"
            )
        if n_features % 64 and int(np.bitwise_or.reduce(words[:, -1])) >> n_features % 64:
            raise ValueError(f"words: want zeros beyond the last of {n_features} features, got ones")
        self.words = words
        self.n_features = n_features

    @classmethod
    def from_dense(cls, X: Any, *, binarize: float | None = 0.5) -> Bits:
        """Pack a dense or sparse matrix, in blocks of rows, without a dense copy of the whole.

        Parameters
        ----------
        X : array-like or SciPy sparse matrix of shape (N, D)
            Booleans, integers, floats, or objects that convert to float.
        binarize : float or None, default=0.5
            A cell is 1 where its value is greater than this; None: all values must be 0 or 1.

        Returns
        -------
        Bits of shape (N, D)

        Raises
        ------
        ValueError, TypeError
            As `as_bits` does, save that N or D may be 0.

        Examples
        --------
        >>> Bits.from_dense([[0.2, 0.9], [0.5, 0.6]]).to_dense()
        array([[0, 1],
               [0, 1]], dtype=uint8)
        """
        matrix = as_matrix(X, "X")
        return cls(pack(matrix, as_threshold(binarize), "X"), matrix.shape[1])

    @classmethod
    def from_packed(cls, packed: ArrayLike, n_features: int, *, bitorder: Literal["little", "big"]) -> Bits:
        """Take over rows of packed bytes, as ``np.packbits(X, axis=1, bitorder=bitorder)`` makes them.

        Parameters
        ----------
        packed : array-like of shape (N, ceil(n_features / 8)), uint8
            The rows; bits beyond the last feature are ignored.
        n_features : int
            D, the number of features.
        bitorder : {"little", "big"}
            Whether the first feature is the lowest or the highest bit of the first byte. It has
            no default, because the wrong order goes unnoticed. (`numpy.packbits` has "big".)

        Returns
        -------
        Bits of shape (N, n_features)

        Raises
        ------
        ValueError
            If `packed` has another dtype or shape, or `bitorder` is unknown.

        Examples
        --------
        >>> packed = np.packbits([[1, 0, 1], [0, 0, 1]], axis=1)
        >>> Bits.from_packed(packed, 3, bitorder="big")[0]
        array([1, 0, 1], dtype=uint8)
        """
        packed = np.asarray(packed)
        n_bytes = (n_features + 7) // 8
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != n_bytes:
            raise ValueError(
                f"packed: want uint8 of shape (N, {n_bytes}) for {n_features} features, "
                f"got {packed.dtype} of shape {packed.shape}"
            )
        if bitorder not in ("little", "big"):
            raise ValueError(f'bitorder: want "little" or "big", got {bitorder!r}')
        return cls(repack(packed, n_features, bitorder), n_features)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self.words), self.n_features

    @property
    def nbytes(self) -> int:
        """Bytes of the words, padding included."""
        return self.words.nbytes

    @property
    def density(self) -> float:
        """The share of ones among the cells; 0.0 where there are no cells."""
        blocks = row_blocks(len(self), self.words.shape[1])
        ones = sum(int(np.bitwise_count(self.words[rows]).sum()) for rows in blocks)
        return ones / max(1, len(self) * self.n_features)

    def counts(self) -> NDArray[np.int64]:
        """Ones per feature: an array of shape (D,)."""
        ones = np.zeros(self.n_features, np.int64)
        for rows in row_blocks(len(self), self.n_features):
            dense = unpack(self.words[rows], self.n_features)
            for first in range(0, len(dense), 255):  # as many as a byte can count, which is four times as fast
                ones += dense[first : first + 255].sum(axis=0, dtype=np.uint8)
        return ones

    def to_dense(self, dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """The zeros and ones as an ordinary array of shape (N, D)."""
        dense = np.empty(self.shape, dtype)
        for rows in row_blocks(len(self), self.n_features):
            dense[rows] = unpack(self.words[rows], self.n_features)
        return dense

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("copy: want None or True, because unpacking Bits makes a copy; got False")
        return self.to_dense(np.uint8 if dtype is None else dtype)

    def __len__(self) -> int:
        return len(self.words)

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, key: slice | NDArray[Any] | list[int] | list[bool]) -> Bits: ...
    def __getitem__(self, key: Any) -> Bits | NDArray[np.uint8]:
        """One row, unpacked, by an integer; or the Bits of several (those of a contiguous slice are a view)."""
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # bits[rows, ...], as scikit-learn splits what it knows nothing of
        if isinstance(key, slice):
            return Bits(np.ascontiguousarray(self.words[key]), self.n_features)
        rows = np.asarray(key)
        if rows.ndim == 0 and rows.dtype.kind in "iu":
            return unpack(self.words[key], self.n_features)
        if rows.ndim == 1 and (rows.dtype.kind in "biu" or rows.size == 0) and not isinstance(key, tuple):
            return Bits(self.words[key], self.n_features)
        raise IndexError(f"rows: want an integer, a slice, or a 1-D array of integers or booleans, got {key!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bits):
            return NotImplemented
        return self.n_features == other.n_features and np.array_equal(self.words, other.words)

    def __repr__(self) -> str:
        return f"<Bits: {len(self)} x {self.n_features}, {self.density:.1%} ones>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.bits`` file: a header of 64 bytes, then the words.

        The file appears complete or not at all: an existing one is replaced at the very end.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Bits.from_dense([[1, 0, 1]]).save(f"{folder}/one.bits")
        ...     Bits.open(f"{folder}/one.bits")
        <Bits: 1 x 3, 66.7% ones>
        """
        write(Path(path), self.words, self.n_features)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bits:
        """Map a ``.bits`` file into memory, read-only; only the rows in use take memory.

        Parameters
        ----------
        path : str or path-like
            A file that `save` wrote. It must not change while it is mapped.

        Returns
        -------
        Bits

        Raises
        ------
        ValueError
            If the file is damaged or of another kind or version.
        OSError
            If the file cannot be read, e.g. FileNotFoundError.

        Examples
        --------
        See `save`.
        """
        words, n_features = map_words(Path(path))
        try:
            return cls(words, n_features)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def as_bits(X: Any, *, binarize: float | None = 0.5, n_features: int | None = None, name: str = "X") -> Bits:
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

    Returns
    -------
    Bits of shape (N, D)

    Raises
    ------
    ValueError
        If X is not a matrix of finite real numbers, is empty, has another number of features, or
        holds something other than 0 and 1 with ``binarize=None``; or if `binarize` is not a number.
    TypeError
        If X holds objects that float() refuses.

    Examples
    --------
    >>> as_bits([[0.2, 0.9, 1.0]])
    <Bits: 1 x 3, 66.7% ones>
    """
    threshold = as_threshold(binarize)
    matrix = X if isinstance(X, Bits) else as_matrix(X, name)
    check_shape(matrix.shape, n_features, name)
    return matrix if isinstance(matrix, Bits) else Bits(pack(matrix, threshold, name), matrix.shape[1])
