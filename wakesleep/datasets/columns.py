"""Which columns of a file are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wakesleep.tables import Table

Choice = Callable[[tuple[str, ...] | None, int], list[int]]  # by number, of columns with these names, or none, so many


class ColumnError(ValueError):
    """A column that is to be left out is not there, or none would be left."""


def as_columns(drop: Any) -> list[str | int]:
    """Columns by name or number: a single one, or a sequence of them."""
    if isinstance(drop, str | int):
        return [drop]
    if not isinstance(drop, Iterable):
        raise TypeError(f"drop: want names or numbers of columns, got {drop!r:.80}")
    return list(drop)


def kept(drop: Sequence[str | int], path: Path, names: Sequence[str] | None, n_features: int) -> list[int]:
    """Numbers of the columns that are left: `drop` has names or, where no column has such a name, numbers from 0."""
    dropped: set[int] = set()
    for column in drop:
        text = str(column)
        found = [number for number, name in enumerate(names or ()) if name == text]
        if not found and text.isdecimal() and int(text) < n_features:
            found = [int(text)]
        if not found:
            by = "number" if names is None else "name, or by number"
            raise ColumnError(f"drop: want columns of {path}, by {by} from 0 to {n_features - 1}, got {column!r:.80}")
        dropped.update(found)
    if dropped and len(dropped) == n_features:
        raise ColumnError(f"drop: want a column or more of {path} left, got all {n_features} of them")
    return [number for number in range(n_features) if number not in dropped]


def of_columns(matrix: Any, columns: list[int]) -> Any:
    """These columns of an array or of Bits; what is mapped from a file is read a block at a time."""
    if columns == list(range(matrix.shape[1])):
        return matrix
    if isinstance(matrix, np.ndarray) and not isinstance(matrix, np.memmap):
        return matrix[:, columns]
    dtype = np.asarray(matrix[:0]).dtype
    return Table((len(matrix), len(columns)), dtype, lambda rows: np.asarray(matrix[rows])[:, columns])
