"""`Probabilities`: rows whose cells are not 0 or 1 but the probability of a 1, from which `Bits` are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wakesleep import _core, _likelihood
from wakesleep._packing import WORD, as_floats, as_matrix, checked_names, dense, refuse_cell, row_blocks, words_of
from wakesleep.bits import Bits

FAULT = "contains {}, where a probability from 0 to {} is wanted,"


class Probabilities:
    """A matrix of N rows and D features whose cells are probabilities; bits are drawn from it when they are needed.

    Arrays of floats become one by ``binarize="sample"``; make it by hand for grey levels of whole numbers, which then
    take a byte per cell.

    Parameters
    ----------
    values : array-like of shape (N, D)
        uint8 or float32 are not copied if C-contiguous; all others become float32.
    one : int, default=1
        The value of a cell that is 1 for certain: a probability is ``values / one``. Only uint8 may have more than 1.
    name : str, default="values"
        What error messages call the argument.
    feature_names : tuple of str, optional
        D names, such as those of a ``.csv`` file that begins with a line of them.

    Raises
    ------
    ValueError, TypeError
        If it is no matrix of numbers, there are more or fewer names than features, or a cell is NaN or outside
        [0, one]; the message names the cell.

    Examples
    --------
    >>> grey = Probabilities(np.array([[0, 128, 255]], np.uint8), one=255)
    >>> grey.draw(seed=0, epoch=0).to_dense(), grey.draw(seed=0, epoch=3).to_dense()
    (array([[0, 0, 1]], dtype=uint8), array([[0, 1, 1]], dtype=uint8))
    """

    def __init__(
        self, values: Any, one: int = 1, name: str = "values", *, feature_names: tuple[str, ...] | None = None
    ) -> None:
        matrix = as_matrix(values, name)
        whole = isinstance(matrix, np.ndarray) and matrix.dtype == np.uint8
        if not isinstance(one, int | np.integer) or not 1 <= one <= (255 if whole else 1):
            raise ValueError(f"one: want 1, or with uint8 at most 255, got {one!r:.80}")
        self.one = int(one)
        self.feature_names = checked_names(feature_names, matrix.shape[1])
        kept = isinstance(matrix, np.ndarray) and matrix.dtype in (np.uint8, np.float32) and matrix.flags.c_contiguous
        self.values = matrix if kept else np.empty(matrix.shape, np.uint8 if whole else np.float32)
        for rows in row_blocks(matrix.shape[0], matrix.shape[1] * matrix.dtype.itemsize):
            block = checked(dense(matrix, rows), self.one, name, rows.start)
            if not kept:
                self.values[rows] = block

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self.values), self.n_features

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.values.shape[1])

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Probabilities:
        """The probabilities of several rows."""
        return Probabilities(self.values[rows], self.one, feature_names=self.feature_names)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return (self.values / np.float32(self.one)).astype(np.float32 if dtype is None else dtype, copy=False)

    def __repr__(self) -> str:
        return f"<Probabilities: {len(self)} x {self.n_features}>"

    def draw(self, seed: int, epoch: int) -> Bits:
        """The rows of an epoch, a function of (seed, epoch, row, unit)."""
        words = np.empty((len(self), words_of(self.n_features)), WORD)
        for rows in self._blocks():
            _core.binarize(self.values[rows], self.one, words[rows], seed, (epoch << 32) + rows.start)
        return Bits(words, self.n_features)

    def draw_by_content(self, seed: int) -> Bits:
        """Every row drawn once, a function of the seed and of its own cells alone."""
        words = np.empty((len(self), words_of(self.n_features)), WORD)
        for rows in self._blocks():
            bounds = np.ceil(self.values[rows] * (2.0**32 / self.one)).astype(np.uint64)
            _core.binarize(self.values[rows], self.one, words[rows], seed, keys=_likelihood.hash_rows(bounds, seed))
        return Bits(words, self.n_features)

    def _blocks(self) -> Any:
        return row_blocks(len(self), 8 * self.n_features)  # few enough that Ctrl-C is heard between them


def checked(block: NDArray[Any], one: int, name: str, first_row: int) -> NDArray[Any]:
    """A block of rows whose cells are all from 0 to one."""
    if block.dtype.kind == "O":
        block = as_floats(block, name)
    wrong = ~((block >= 0) & (block <= one))
    if wrong.any():
        refuse_cell(block, wrong, FAULT.format("{}", one), name, first_row)
    return block
