"""Data frames and sparse matrices: their rows as ordinary arrays, a block at a time, and the names of features."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep.notices import warn

FRAMES = [("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"), ("pyarrow", "RecordBatch")]
SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN = 5  # names that an error message lists


class Table:
    """A frame or a sparse matrix, as far as it is read: ``table[rows]`` is an ordinary array; missing cells are NaN.

    Attributes
    ----------
    shape : (int, int)
    dtype : numpy.dtype
        One for all columns; float64 where cells may be missing.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], read: Callable[[slice], Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._read = read

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return np.asarray(self._read(rows))


def as_table(X: Any, name: str) -> Any:
    """A data frame or a SciPy sparse matrix as a `Table`, another sparse matrix in CSR form, or None for an array.

    Raises
    ------
    ValueError
        If a column does not hold numbers.
    """
    match library_of(X):
        case "pandas":
            return _of_pandas(X, name)
        case "polars":
            return _of_polars(X, name)
        case "pyarrow":
            return _of_pyarrow(X, name)
    if isinstance(X, np.ma.MaskedArray):
        return _of_masked(X)
    if type(X).__name__ == "LazyFrame":
        raise ValueError(f"{name}: want a data frame, got a LazyFrame; its collect() makes one")
    if not hasattr(X, "tocsr"):
        return X if isinstance(X, Table) else None
    matrix = _canonical(X, name)
    return _of_csr(matrix) if hasattr(matrix, "has_canonical_format") else matrix


def library_of(X: Any) -> str | None:
    """The library of a data frame. One that nobody has imported has made none, and is not imported."""
    for library, kind in FRAMES:
        if library in sys.modules and isinstance(X, getattr(sys.modules[library], kind, ())):
            return library
    return None


def feature_names(X: Any, name: str) -> tuple[str, ...] | None:
    """The names of a frame's columns, if all of them are strings, or those of the file that packed rows come from.

    Raises
    ------
    TypeError
        If only some of them are.
    ValueError
        If several columns have the same, or one has half a character, which no file can hold.
    """
    library = library_of(X)
    if library is None:
        columns = getattr(X, "feature_names", None) or ()
    else:
        columns = list(X.column_names if library == "pyarrow" else X.columns)
    texts = [isinstance(column, str) for column in columns]
    if any(texts) and not all(texts):
        types = sorted({type(column).__qualname__ for column in columns})
        raise TypeError(
            f"{name}: Feature names are only supported if all input features have string names, but your input has "
            f"{types} as feature name / column name types; X.columns.astype(str) converts them"
        )
    return distinct_names(columns, name) if any(texts) else None


def distinct_names(columns: Sequence[str], name: str) -> tuple[str, ...]:
    """Names of columns, if they are such; ValueErrors are those of `feature_names`."""
    if len(set(columns)) < len(columns):
        twice = few([column for column, n in Counter(columns).items() if n > 1])
        raise ValueError(f"{name}: want another name for each column, got several with the name {twice}")
    if halves := [column for column in columns if SURROGATE.search(column)]:
        raise ValueError(f"{name}: want names of whole characters, got lone surrogates in {few(halves)}")
    return tuple(map(str, columns))


def check_feature_names(fitted: tuple[str, ...] | None, X: Any, name: str, estimator: str) -> None:
    """Refuse a frame with other columns, or other places for them, than those that were seen by `fit`.

    Warns
    -----
    UserWarning
        If only one of both has names: then nothing tells whether the columns are the same.
    """
    given = feature_names(X, name)
    if given == fitted:
        return
    if given is None or fitted is None:
        have, without = ("does not have valid", "with") if given is None else ("has", "without")
        warn(f"{name} {have} feature names, but {estimator} was fitted {without} feature names", UserWarning)
        return
    unseen, missing = sorted(set(given) - set(fitted)), sorted(set(fitted) - set(given))
    message = "The feature names should match those that were passed during fit.\n"
    if unseen:
        message += f"Feature names unseen at fit time:\n{_listed(unseen)}"
    if missing:
        message += f"Feature names seen at fit time, yet now missing:\n{_listed(missing)}"
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
        differ = next((pair for pair in zip(given, fitted, strict=False) if pair[0] != pair[1]), None)
        message += "" if differ is None else f"The first that differs is {differ[0]!r}, where {differ[1]!r} was.\n"
    raise ValueError(message if name == "X" else f"{name}: {message}")


def columns_of(numbers: NDArray[np.int64], names: tuple[str, ...] | None, n_features: int) -> str:
    """Some columns in words: the first few of them by name, or else by number from 0, and how many more there are."""
    if len(numbers) == n_features > 1:
        return f"all {n_features} columns"
    return named([number if names is None else names[number] for number in numbers.tolist()])


def named(columns: Sequence[object]) -> str:
    """The first few columns, by their names or numbers, and how many more there are."""
    return f"column{'' if len(columns) == 1 else 's'} {few(columns)}"


def few(items: Sequence[object]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    return f"{', '.join(f'{item!r:.80}' for item in items[:SHOWN])}{more}"


def _listed(names: list[str]) -> str:
    return "".join(f"- {name:.80}\n" for name in names[:SHOWN]) + ("- ...\n" if len(names) > SHOWN else "")


def _checked(name: str, column: Any, dtype: Any, numeric: bool) -> None:
    if not numeric:
        complex_ = ". Complex data not supported" if getattr(dtype, "kind", "") == "c" else ""
        raise ValueError(f"{name}: want columns of numbers, got {dtype} in column {column!r}{complex_}")


def _of_pandas(frame: Any, name: str) -> Table:
    """Of extension types any cell may be missing, so that they become floats; objects stay what they are."""
    isna = sys.modules["pandas"].isna
    dtypes = set()
    for column, dtype in frame.dtypes.items():
        plain = isinstance(dtype, np.dtype)
        categories = getattr(dtype, "categories", None)
        kind = dtype.kind if categories is None else categories.dtype.kind
        _checked(name, column, dtype, kind in "biuf" or (plain and kind == "O"))
        narrow = getattr(dtype, "numpy_dtype", None) in (np.dtype(np.float32), np.dtype(bool))
        dtypes.add(dtype if plain else np.dtype(np.float32 if narrow else np.float64))
    dtype = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)

    def read(rows: slice) -> Any:
        block = frame.iloc[rows].to_numpy(dtype)
        return np.where(isna(block), np.nan, block) if dtype.kind == "O" else block

    return Table(frame.shape, dtype, read)


def _of_polars(frame: Any, name: str) -> Table:
    polars = sys.modules["polars"]
    for column, dtype in frame.schema.items():
        _checked(name, column, dtype, dtype.is_numeric() or dtype in (polars.Boolean, polars.Null))
    wide = any(str(kind).endswith("128") for kind in frame.dtypes)  # of integers, for which NumPy has no type
    dtype = np.dtype(np.float64) if wide else frame.clear().to_numpy().dtype
    has_nulls = frame.width and frame.null_count().sum_horizontal()[0]
    narrow = all(kind in (polars.Float32, polars.Boolean, polars.Null) for kind in frame.dtypes)
    floats = bool(has_nulls) or wide or dtype.kind == "O"  # objects are decimal numbers
    wanted = polars.Float32 if narrow else polars.Float64

    def read(rows: slice) -> Any:
        block = frame[rows]
        return (block.cast(wanted) if floats else block).to_numpy()

    return Table(frame.shape, np.dtype(np.float32 if narrow else np.float64) if floats else dtype, read)


def _of_pyarrow(table: Any, name: str) -> Table:
    types = sys.modules["pyarrow"].types
    whole, narrow = True, True
    for column, dtype in zip(table.column_names, table.schema.types, strict=True):
        value = dtype.value_type if types.is_dictionary(dtype) else dtype
        integer = types.is_boolean(value) or types.is_integer(value)
        numeric = integer or any(kind(value) for kind in (types.is_floating, types.is_decimal, types.is_null))
        _checked(name, column, dtype, numeric)
        whole &= integer and not types.is_uint64(value)
        narrow &= types.is_float32(value) or types.is_boolean(value) or types.is_null(value)
    whole = whole and not any(column.null_count for column in table.columns)
    dtype = "int64" if whole else "float32" if narrow else "float64"

    def read(rows: slice) -> Any:
        block = table.slice(rows.start, rows.stop - rows.start)
        columns = [column.cast(dtype, safe=False).to_numpy(zero_copy_only=False) for column in block.columns]
        return np.column_stack(columns)

    return Table(table.shape, np.dtype(dtype), read)


def _of_masked(X: Any) -> Table:
    """Masked cells are NaN; whole numbers become floats."""
    dtype = X.dtype if X.dtype.kind in "fO" else np.result_type(X.dtype, np.float32)
    return Table(X.shape, dtype, lambda rows: X[rows].astype(dtype).filled(np.nan))


def _check_indices(X: Any, name: str) -> None:
    """Refuse a sparse matrix with indices outside of it: SciPy itself reads and writes where they point."""
    try:
        if hasattr(X, "check_format"):
            X.check_format()
        elif getattr(X, "format", None) == "coo":
            for index, size in zip(X.coords, X.shape, strict=True):
                if index.size and (index.min() < 0 or index.max() >= size):
                    raise ValueError(f"indices go from {index.min()} to {index.max()}, where there are {size}")
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name}: want a sparse matrix whose indices fit its shape, got another ({error})") from error


def _canonical(X: Any, name: str) -> Any:
    """CSR form, in which a cell that was stored in parts is their sum, in 64 bits if fewer would not do."""
    _check_indices(X, name)
    matrix = X.tocsr()
    if matrix is not X:
        _check_indices(matrix, name)
    if not hasattr(matrix, "has_canonical_format"):
        return matrix
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    narrow = matrix.dtype.kind in "iu" and matrix.dtype.itemsize < 8 and X.format in ("coo", "csc", "csr")
    if narrow and matrix.data.sum(dtype=np.int64) != X.data.sum(dtype=np.int64):
        return _canonical(X.astype(np.int64), name)
    return matrix


def _of_csr(matrix: Any) -> Table:
    """Cells that are stored as 0 or 1, of whatever type, are read as bytes, which is many times as fast."""
    values, n_features = matrix.data, matrix.shape[-1]
    binary = values.dtype.kind in "biuf" and bool(((values == 0) | (values == 1)).all())
    dtype = np.dtype(np.uint8) if binary else values.dtype

    def read(rows: slice) -> NDArray[Any]:
        bounds = matrix.indptr[rows.start : rows.stop + 1]
        stored = slice(bounds[0], bounds[-1])
        cells = np.zeros((len(bounds) - 1, n_features), dtype)
        cells[np.repeat(np.arange(len(cells)), np.diff(bounds)), matrix.indices[stored]] = values[stored]
        return cells

    return Table(matrix.shape, dtype, read)
