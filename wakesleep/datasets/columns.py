"""Which columns of a file are read."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wakesleep.tables import Table


class ColumnError(ValueError):
    """A column that is to be left out is not there, or none would be left."""


class Choice:
    """Which columns of a file are read: all that `drop` leaves.

    Attributes
    ----------
    path : str
        The file, as errors name it.
    drop : sequence of str or int
        Columns to leave out, by name or number.
    known : sequence of str, optional
        The names of a machine's columns: a first line with all of them is one of names, even if they are numbers.
    by_number : bool
        Whether a number in `drop` is a place, even where a column has it for a name.
    """

    def __init__(self, path: str, drop: Sequence[str | int], known: Sequence[str] | None = None) -> None:
        self.path, self.drop, self.known, self.by_number = path, drop, known, False

    def __call__(self, names: Sequence[str] | None, n_features: int) -> list[int]:
        """Numbers of the columns that are read, of so many with these names, or none."""
        return self.left(names, n_features)

    def left(self, names: Sequence[str] | None, n_features: int) -> list[int]:
        """Numbers of those that are left: `drop` has names or, where no column has such a name, numbers from 0."""
        numbers = {str(number): [number] for number in range(n_features)}
        named: dict[str, list[int]] = {}
        for number, name in enumerate(names or ()):
            named.setdefault(name, []).append(number)
        places = named | numbers if self.by_number else numbers | named
        dropped: set[int] = set()
        for column in self.drop:
            if str(column) not in places:
                wanted = f"{'' if names is None else 'by name, or '}by number from 0 to {n_features - 1}"
                hint = "; it has no line of names" if names is None and not str(column).isdecimal() else ""
                raise ColumnError(f"drop: want columns of {self.path}, {wanted}, got {column!r:.80}{hint}")
            dropped.update(places[str(column)])
        if dropped and len(dropped) == n_features:
            raise ColumnError(f"drop: want a column or more of {self.path} left, got all {n_features} of them")
        return [number for number in range(n_features) if number not in dropped]


def as_columns(drop: Any) -> list[str | int]:
    """Columns by name or number: a single one, or a sequence of them."""
    alone = isinstance(drop, str | bytes) or not np.iterable(drop)
    return [_column(item) for item in ([drop] if alone else drop)]


def _column(item: Any) -> str | int:
    number: Any = None if isinstance(item, bool) else item
    try:
        return str(item) if isinstance(item, str) else operator.index(number)
    except TypeError as error:
        raise TypeError(f"drop: want names or numbers of columns, got {item!r:.80}") from error


def of_columns(matrix: Any, columns: list[int]) -> Any:
    """These columns of an array or of Bits; what is mapped from a file is read a block at a time."""
    if columns == list(range(matrix.shape[1])):
        return matrix
    if isinstance(matrix, np.ndarray) and not isinstance(matrix, np.memmap):
        return matrix[:, columns]
    dtype = np.asarray(matrix[:0]).dtype
    return Table((len(matrix), len(columns)), dtype, lambda rows: np.asarray(matrix[rows])[:, columns])
