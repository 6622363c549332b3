"""The files that commands read and write: data, machines, and what comes out."""

from __future__ import annotations

import argparse
import errno
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import datasets, tables
from wakesleep.atomic import replace_file
from wakesleep.datasets.columns import Choice, ColumnError
from wakesleep.datasets.csv_file import as_cell, opened
from wakesleep.datasets.readers import SplitError, read_chosen
from wakesleep.machine import HelmholtzMachine
from wakesleep.notices import warn
from wakesleep.rows import Rows, as_rows


def check_output(path: str, data: str | None = None, kinds: Sequence[str] = (), option: str = "--output") -> None:
    """Refuse to begin work whose result could not be written to `path` afterwards, or would overwrite the data.

    Whether files can be made in its folder is tried, and no file is left there.
    """
    if not path:
        raise ValueError(f"{option}: want the name of a file, got ''")
    if kinds and Path(path).suffix not in kinds:
        raise ValueError(f"{option}: want a {' or '.join(kinds)} file, got {path}")
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise ValueError(f"{path}: want a file in a folder that exists")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{path}: want a file in a folder that can be written to")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path}: want a regular file to write to")
    if data is not None and os.path.exists(path) and os.path.exists(data) and os.path.samefile(data, path):
        raise ValueError(f"{path}: want another file to write to than the data")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{path}: want a file in a folder where files can be made: {error.strerror}") from error


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Whatever goes wrong while a file is written, the error names the file."""
    try:
        yield
    except OSError as error:
        if error.filename:
            raise
        raise OSError(error.errno or errno.EIO, error.strerror or f"not written to its end: {error}", path) from error


class Columns(Choice):
    """Which columns of a file are read: those of a machine, by name where both have names, or all that --drop leaves.

    Attributes
    ----------
    numbers : list of int
        Their places in the file, in the order in which they are read; empty before it is.
    whole : bool
        Whether these are all columns, in the order of the file.
    """

    def __init__(self, path: str | None, drop: Sequence[str], known: Sequence[str] | None = None) -> None:
        super().__init__(path or "", drop, known)
        self.numbers: list[int] = []
        self.whole = True

    def __call__(self, names: Sequence[str] | None, n_features: int) -> list[int]:
        """Choose them."""
        numbers = self.left(names, n_features)
        self.numbers = numbers if self.known is None or names is None else self._by_name(numbers, names, self.known)
        self.whole = self.numbers == list(range(n_features))
        return self.numbers

    def _by_name(self, numbers: list[int], names: Sequence[str], known: Sequence[str]) -> list[int]:
        """Those that are known, in that order; tells of those that are not, and one that is lacking is an error."""
        rank = {name: place for place, name in enumerate(known)}
        left = [names[i] for i in numbers]
        lacking, others = sorted(rank.keys() - set(left), key=rank.__getitem__), [n for n in left if n not in rank]
        if lacking:
            where = f"{self.path}:{' after --drop' if self.drop else ''} lacks"
            has = f", and has {tables.named(others)}, which it was not" if others else ""
            raise ColumnError(f"{where} {tables.named(lacking)}, which the machine was trained on{has}")
        if others:
            what = f"left out {tables.named(others)}, which the machine was not trained on"
            warn(f"{self.path}: {what}; --drop does so without this warning", UserWarning)
        return sorted((i for i in numbers if names[i] in rank), key=lambda i: rank[names[i]])


def read(
    path: str | None, split: str | None, binarize: float | str | None, columns: Columns, n_features: int | None = None,
    option: str = "--split", missing: str | None = None,
) -> Rows:  # fmt: skip
    """The rows of a file, or the digits in the package; `option` is what the split was asked for by."""
    if path is None and split is not None:
        raise ValueError(f"{option}: want DATA, since the digits in the package have no splits")
    if path is None and columns.drop:
        raise ValueError("--drop: want DATA, since the digits in the package are read whole")
    if path in ("", "-"):
        raise ValueError(f"DATA: want the name of a file, got {path!r}{'; standard input is not read' if path else ''}")
    try:
        if path is None:
            data: Rows = datasets.load_digits()
        else:
            data = read_chosen(Path(path), split, binarize, missing, columns)
    except SplitError as error:
        raise ValueError(str(error).replace("split", option, 1)) from error
    if path is None and n_features not in (None, D := data.n_features):
        raise ValueError(f"DATA: want a file of {n_features} features, since the digits in the package have {D}")
    return as_rows(data, binarize=binarize, n_features=n_features, name=path or "DATA", missing=missing)


def write_rows(
    path: str, rows: NDArray[Any], names: Sequence[str] | None, digits: str = "%d", source: Columns | None = None,
    in_place: bool = False,
) -> None:  # fmt: skip
    """Write an array to a .npy file, or to a .csv file, with its names of columns, if any, above it.

    Where the rows come from a .csv file of which not all columns were read, a .csv file gets the others as they are
    there: before the numbers, or around them if these are `in_place`, in the columns that were read.
    """
    content = io.BytesIO()
    if path.endswith(".csv"):
        if source is not None and (source.whole or not source.path.lower().endswith((".csv", ".csv.gz"))):
            source = None
        for line in _lines(rows.reshape(len(rows), -1), names, digits, source, in_place):
            content.write(f"{line}\n".encode())
    else:
        np.save(content, rows)
    with writing(path):
        replace_file(path, [content.getbuffer()])


def _lines(
    rows: NDArray[Any], names: Sequence[str] | None, digits: str, source: Columns | None, in_place: bool
) -> Iterator[str]:
    """Names, if any, and rows as lines of a .csv file; with a source, its other columns among them."""
    nothing: tuple[None, int, Iterator[tuple[int, list[str]]]] = None, 0, repeat((0, []), len(rows))
    with nullcontext(nothing) if source is None else opened(Path(source.path), source) as (found, n_columns, lines):
        numbers = [] if source is None else source.numbers
        left = sorted(set(range(n_columns)) - set(numbers))
        places = [*(numbers if in_place and numbers else [n_columns] * rows.shape[1]), *left]
        order = np.argsort(places, kind="stable").tolist()
        if names is not None:
            above = [*names, *("" if found is None else found[i] for i in left)]
            yield ",".join(as_cell(above[i]) for i in order)
        for row, (_, cells) in zip(rows, lines, strict=True):
            written = [*(digits % value for value in row.tolist()), *(as_cell(cells[i]) for i in left)]
            yield ",".join([written[i] for i in order])


def read_both(args: argparse.Namespace, missing: str | None = None) -> tuple[HelmholtzMachine, Rows, Columns]:
    """A machine, rows to use it on, and which columns of DATA these are."""
    machine = HelmholtzMachine.load(args.model)
    return machine, *read_for(machine, args, missing)


def read_for(
    machine: HelmholtzMachine, args: argparse.Namespace, missing: str | None = None
) -> tuple[Rows, Columns]:
    """Rows to use a machine on, and which columns of DATA these are.

    What counts as a 1, or as missing, is the machine's own if not given.
    """
    binarize = machine.binarize if args.binarize is None else args.binarize
    expected, missing = machine.n_features_in_, missing or machine.missing
    columns = Columns(args.data, args.drop, machine._feature_names)
    rows = read(args.data, args.split, binarize, columns, None if args.data else expected, missing=missing)
    if args.data is not None and not args.data.lower().endswith(".bits"):
        tables.check_feature_names(machine._feature_names, rows, args.data, type(machine).__name__)
    if args.data is not None and rows.n_features > expected:
        has = f"{args.data} has {rows.n_features} features, but HelmholtzMachine is expecting {expected}"
        raise ValueError(f"{has}; want the --drop that it was trained with, or other rows")
    rows = as_rows(rows, binarize=binarize, n_features=expected, name=args.data or "DATA", missing=missing)
    return rows, columns
