"""`Bits`, the one data type: a binary matrix of 64 cells per word, in memory or mapped from a file."""

from __future__ import annotations

import functools
import operator
import os
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from wakesleep import html
from wakesleep._bits_file import map_planes, write
from wakesleep._packing import (
    Cut,
    as_matrix,
    as_threshold,
    check_missing,
    check_plane,
    checked_names,
    count_ones,
    counts_of,
    every_cell,
    pack,
    repack,
    row_blocks,
    unpack,
    whole_number,
)


class Bits:
    """A binary matrix of N rows and D features that takes N·⌈D/64⌉ words of memory, twice that with missing cells.

    Feature i of a row is bit ``i % 64`` of its word ``i // 64``. The attributes are `words`, `n_features`, `observed`
    and `feature_names`, as given.

    Parameters
    ----------
    words : ndarray of shape (N, ceil(D / 64)), uint64
        The packed rows, C-contiguous; bits beyond the last feature are zero. No copy is made.
    n_features : int
        D, the number of features.
    observed : ndarray like `words`, optional
        A second plane of bits, which are 1 where a cell is observed. A missing cell has a 0 in both planes. None:
        every cell is observed; so it is also where the plane says that.
    feature_names : tuple of str, optional
        D names, such as those of a ``.csv`` file that begins with a line of them.

    Raises
    ------
    ValueError, TypeError
        If `words`, `n_features`, `observed` or `feature_names` is not as described.

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
    >>> Bits.from_dense([[1, 0, np.nan], [0, 0, 1]], missing="marginalise")
    <Bits: 2 x 3, 40.0% ones, 16.7% missing>
    """

    __hash__ = None  # type: ignore[assignment]  # equality is that of the cells, and cells may change
    feature_names: tuple[str, ...] | None = None  # which an older pickle has not
    _cut: Cut | None = None  # the values that these bits were

    def __init__(
        self, words: NDArray[np.uint64], n_features: int, observed: NDArray[np.uint64] | None = None, *,
        feature_names: tuple[str, ...] | None = None,
    ) -> None:  # fmt: skip
        n_features = whole_number("n_features", n_features)
        if n_features < 0:
            raise ValueError(f"n_features: want 0 or more, got {n_features}")
        check_plane("words", words, n_features)
        self.words = words
        self.n_features = n_features
        self.feature_names = checked_names(feature_names, n_features)
        self.observed: NDArray[np.uint64] | None = None
        if observed is None:
            return
        check_plane("observed", observed, n_features)
        if len(observed) != len(words):
            raise ValueError(f"observed: want shape {words.shape} like words, got {observed.shape}")
        for rows in row_blocks(len(words), 8 * words.shape[1]):
            if (words[rows] & ~observed[rows]).any():
                raise ValueError("observed: want ones wherever words has ones, got zeros")
        self.observed = observed
        if self.complete:
            self.observed = None

    @classmethod
    def from_dense(cls, X: Any, *, binarize: float | None = 0.5, missing: str | None = None) -> Bits:
        """Pack a dense or sparse matrix, in blocks of rows, without a dense copy of the whole.

        Parameters
        ----------
        X : array-like or SciPy sparse matrix of shape (N, D)
            Booleans, integers, floats, or objects that convert to float.
        binarize : float or None, default=0.5
            A cell is 1 where its value is greater than this; None: all values must be 0 or 1.
        missing : {None, "marginalise"}, default=None
            Whether a cell may be missing: NaN, and among objects also None and ``pandas.NA``.

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
        check_missing(missing)
        matrix = as_matrix(X, "X")
        return cls._packed(matrix, as_threshold(binarize), "X", missing)

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
        ValueError, TypeError
            If `packed` has another dtype or shape, or `bitorder` is unknown.

        Examples
        --------
        >>> packed = np.packbits([[1, 0, 1], [0, 0, 1]], axis=1)
        >>> Bits.from_packed(packed, 3, bitorder="big")[0]
        array([1, 0, 1], dtype=uint8)
        """
        packed = np.asarray(packed)
        n_bytes = (whole_number("n_features", n_features) + 7) // 8
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != n_bytes:
            raise ValueError(
                f"packed: want uint8 of shape (N, {n_bytes}) for {n_features} features, "
                f"got {packed.dtype} of shape {packed.shape}"
            )
        if bitorder not in ("little", "big"):
            raise ValueError(f'bitorder: want "little" or "big", got {bitorder!r}')
        return cls(repack(packed, n_features, bitorder), n_features)

    @classmethod
    def _packed(cls, matrix: Any, threshold: float | None, name: str, missing: str | None) -> Bits:
        """The bits of what `as_matrix` returns, and of what values they were cut."""
        words, observed, cut = pack(matrix, threshold, name, missing)
        bits = cls(words, matrix.shape[1], observed)
        bits._cut = cut
        return bits

    @classmethod
    def _joined(cls, parts: list[Bits], feature_names: tuple[str, ...] | None) -> Bits:
        """The rows of all parts, cut at the same threshold, one part after the other."""
        words, n_features, observed = np.concatenate([part.words for part in parts]), parts[0].n_features, None
        if any(part.observed is not None for part in parts):
            planes = [every_cell(len(part), n_features) if part.observed is None else part.observed for part in parts]
            observed = np.concatenate(planes)
        whole, cuts = cls(words, n_features, observed, feature_names=feature_names), [part._cut for part in parts]
        whole._cut = None if cuts[0] is None else functools.reduce(Cut.joined, filter(None, cuts))
        return whole

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self.words), self.n_features

    @property
    def nbytes(self) -> int:
        """Bytes of the words, padding included, of both planes."""
        return self.words.nbytes + (0 if self.observed is None else self.observed.nbytes)

    @property
    def complete(self) -> bool:
        """Whether no cell is missing."""
        if self.observed is None:
            return True
        full = every_cell(1, self.n_features)
        return all((self.observed[rows] == full).all() for rows in row_blocks(len(self), self.words.shape[1]))

    @property
    def density(self) -> float:
        """The share of ones among the observed cells; 0.0 where there are none."""
        n_cells = len(self) * self.n_features if self.observed is None else count_ones(self.observed)
        return count_ones(self.words) / max(1, n_cells)

    def counts(self) -> NDArray[np.int64]:
        """Ones per feature: an array of shape (D,)."""
        return counts_of(self.words, self.n_features)

    def observed_counts(self) -> NDArray[np.int64]:
        """Observed cells per feature: an array of shape (D,)."""
        if self.observed is None:
            return np.full(self.n_features, len(self))
        return counts_of(self.observed, self.n_features)

    def filled(self) -> Bits:
        """The same rows with a 0 in every missing cell, without a copy."""
        return Bits(self.words, self.n_features)

    def to_dense(self, dtype: DTypeLike | None = None) -> NDArray[Any]:
        """The zeros and ones as an ordinary array of shape (N, D), with NaN in missing cells.

        Parameters
        ----------
        dtype : dtype, optional
            uint8 if left out, or float32 if there are missing cells.

        Raises
        ------
        ValueError
            If there are missing cells, for which `dtype` has no NaN.
        """
        dtype = np.dtype((np.uint8 if self.observed is None else np.float32) if dtype is None else dtype)
        if self.observed is not None and dtype.kind not in "fcO":
            raise ValueError(f"dtype: want one of floats, because cells are missing, got {dtype}")
        dense = np.empty(self.shape, dtype)
        for rows in row_blocks(len(self), self.n_features):
            dense[rows] = unpack(self.words[rows], self.n_features)
            if self.observed is not None:
                dense[rows][unpack(self.observed[rows], self.n_features) == 0] = np.nan
        return dense

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("copy: want None or True, because unpacking Bits makes a copy; got False")
        return self.to_dense(dtype)

    def __len__(self) -> int:
        return len(self.words)

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice | NDArray[Any] | list[int] | list[bool]) -> Bits: ...
    def __getitem__(self, key: Any) -> Bits | NDArray[Any]:
        """One row, unpacked, by an integer; or the Bits of several (those of a contiguous slice are a view)."""
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # bits[rows, ...], as scikit-learn splits what it knows nothing of
        if isinstance(key, slice):
            return self._part(key)
        rows = np.asarray(key)
        if rows.ndim == 0 and rows.dtype.kind in "iu":
            return np.asarray(self._part(np.array([operator.index(key)])).to_dense()[0])
        if rows.ndim == 1 and (rows.dtype.kind in "biu" or rows.size == 0) and not isinstance(key, tuple):
            return self._part(key)
        raise IndexError(f"rows: want an integer, a slice, or a 1-D array of integers or booleans, got {key!r}")

    def _part(self, rows: Any) -> Bits:
        """Several rows, with a second plane if the whole has one: it has been checked."""
        words = np.ascontiguousarray(self.words[rows])
        part = Bits(words, self.n_features, feature_names=self.feature_names)
        part._cut = self._cut
        if self.observed is not None:
            part.observed = np.ascontiguousarray(self.observed[rows])
        return part

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bits):
            return NotImplemented
        if self.n_features != other.n_features or not np.array_equal(self.words, other.words):
            return False
        if self.observed is None or other.observed is None:
            return self.complete and other.complete
        return np.array_equal(self.observed, other.observed)

    def __repr__(self) -> str:
        return f"<Bits: {len(self)} x {self.n_features}, {', '.join(f'{v} {k}' for k, v in self._shares().items())}>"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        memory = sum(plane.nbytes for plane in (self.words, self.observed) if plane is not None)
        rows = {"rows": f"{len(self):,}", "features": f"{self.n_features:,}", **self._shares(), "bytes": f"{memory:,}"}
        return html.table("Bits", rows)

    def _shares(self) -> dict[str, str]:
        """Of cells that are 1, and if there are any, of those that are missing."""
        shares = {"ones": f"{self.density:.1%}"}
        if self.observed is not None:
            shares["missing"] = f"{1 - count_ones(self.observed) / max(1, len(self) * self.n_features):.1%}"
        return shares

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.bits`` file: a header of 64 bytes, then the words of one plane or of both.

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
        write(Path(path), [self.words] if self.observed is None else [self.words, self.observed], self.n_features)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bits:
        """Map a ``.bits`` file into memory, read-only; only the rows in use take memory.

        A file with missing cells is read once, to check that they are 0.

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
        planes, n_features = map_planes(Path(path))
        try:
            return cls(planes[0], n_features, *planes[1:])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
