"""Files of numbers that are separated by commas, below a line of names or none."""

from __future__ import annotations

import csv
import gzip
import math
import operator
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wakesleep._packing import BLOCK_BYTES, TAKEN
from wakesleep.bits import Bits
from wakesleep.datasets.columns import Choice, ColumnError
from wakesleep.probabilities import Probabilities
from wakesleep.rows import Rows, as_rows

EMPTY = "", "na", "n/a", "<na>", "null", "none", "?"  # cells that hold nothing, in small letters
CELL = re.compile(r"at row 0, column (\d+)")  # how an error names it in a matrix of one row
OTHER_MARKS = (";", "\t", "|", " ")  # by which cells are separated in what is no CSV file
NO_NAME = re.compile(r"\s*|Unnamed: \d+")  # of a column, as written, and as pandas reads that
MARKS = re.compile(r'[,"\r\n]')  # of a line, which a cell has in quotes only
LONGEST = 2**31 - 1  # characters of a cell, as many as any C compiler's long has room for
PARSER = threading.Lock()  # for as long as that is so
LONG = 60  # a name, in place of which the number of its column is told
MOST_TOLD = 8  # columns to leave out; more of words are taken for answers
MOST_DIGITS = 20  # of a number that may be a name
LOOKED_AT = 20  # lines below the first
FEWEST_COUNTED = 3  # rows that a column numbers, before it is taken for an index

Lines = Iterator[tuple[int, str]]


class _Columns(NamedTuple):
    """Those of a file."""

    numbers: list[int]  # of those that are read
    whole: bool  # whether these are all, in their order
    names: tuple[str, ...] | None  # of these
    dropped: Sequence[str | int]  # those that are not read

    def place(self, column: int) -> str:
        """How an error names one of those that are read: as `drop` does."""
        return f"column {self.numbers[column]} (from 0)" if self.names is None else f"column {self.names[column]!r:.80}"

    def hint(self, *columns: int) -> str:
        """How to leave them out as well."""
        drop = [*self.dropped, *map(self._called, columns)]
        return f"drop={drop!r} leaves {'it' if len(columns) == 1 else 'such columns'} out"

    def _called(self, column: int) -> str | int:
        """The name of one of those that are read, or its number, where that is shorter and plain."""
        number, names = self.numbers[column], self.names
        if names is None or str(number) in names:
            return number if names is None else names[column]
        return number if len(names[column]) > LONG or names.count(names[column]) > 1 else names[column]


def read_csv(path: Path, choose: Choice, binarize: float | str | None, missing: str | None) -> Rows:
    """The rows of a file, as `datasets.read` has them."""
    with opened(path, choose) as (names, n_columns, lines):
        numbers = choose(names, n_columns)
        whole = numbers == list(range(n_columns))
        columns = _Columns(numbers, whole, None if names is None else tuple(names[i] for i in numbers), choose.drop)
        rows = ((number, _row(number, cells, columns, missing)) for number, cells in lines)
        blocks: list[Rows] = []
        while block := list(islice(rows, max(1, BLOCK_BYTES // (8 * n_columns)))):
            if names is not None and not blocks and len(block) >= FEWEST_COUNTED:
                _refuse_index([row for _, row in block], columns)
            blocks.append(_block(block, columns, binarize, missing))
    if not blocks:
        raise ValueError("want lines of numbers below the names, got none")
    if packed := [block for block in blocks if isinstance(block, Bits)]:
        return Bits._joined(packed, columns.names)
    values = [block.values for block in blocks if isinstance(block, Probabilities)]
    return Probabilities(np.concatenate(values), feature_names=columns.names)


@contextmanager
def opened(path: Path, choose: Choice) -> Iterator[tuple[tuple[str, ...] | None, int, Iterator[tuple[int, list[str]]]]]:
    """The names above the columns of a file, if any, how many these are, and numbers of lines with the cells there."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    file: IO[str]
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:  # names in quotes may have ends of lines
        lines: Lines = enumerate(file, 1)
        number, cells = _first(lines)
        if not cells:
            raise ValueError("want lines of numbers, got none")
        below = list(islice(lines, LOOKED_AT))
        _refuse_other_marks(cells, below)
        lines = chain(below, lines)
        first = [_cells(text, iter(())) for _, text in below if text.strip()]
        names = tuple(cells) if _are_names(cells, first, choose) else None
        rows = _of_rows(lines, len(cells))
        numbered: Iterator[tuple[int, list[str]]] = ((at, _cells(text, lines)) for at, text in rows)
        if names is None:
            above = ((at, [""]) for at in range(1, number if len(cells) == 1 else 1))
            numbered = chain(above, [(number, cells)], numbered)
        yield names, len(cells), (_checked(at, found, len(cells)) for at, found in numbered)


def _first(lines: Lines) -> tuple[int, list[str]]:
    """The number of the first line that is not empty, and the cells that begin there, which may go over more lines."""
    for number, text in lines:
        if text.strip():
            return number, _parsed(text, lines)
    return 0, []


def _refuse_other_marks(cells: list[str], below: list[tuple[int, str]]) -> None:
    """Refuse a single cell with marks other than commas, if the next line has as many of them."""
    for mark in OTHER_MARKS[:-1]:
        if len(cells) == 1 and below and mark in cells[0] and cells[0].count(mark) == below[0][1].count(mark):
            raise ValueError(f"want cells with commas between them, got {mark!r} there")


def _of_rows(lines: Lines, n_columns: int) -> Lines:
    """Lines that are rows: not the empty ones, save those between the rows of a single column, whose cells they are."""
    empty: list[tuple[int, str]] = []
    for number, text in lines:
        if text.strip():
            yield from empty
            empty.clear()
            yield number, text
        elif n_columns == 1:
            empty.append((number, ""))


def _are_names(cells: list[str], below: list[list[str]], choose: Choice) -> bool:
    """Whether the cells of a first line are names, above some lines that are not.

    They are if the names that are known are among them, or one that is to be left out; if they differ from what is
    below; if they, or those that are left of them, count the columns, as frames do; or if a word is left, and most
    cells are words, or none are numbers.
    """
    if choose.known is not None and set(choose.known) <= set(cells):
        with suppress(ColumnError):  # a number leaves out what is at its place, where else a known one would lack
            choose.by_number = not set(choose.known) <= {cells[i] for i in choose.left(cells, len(cells))}
        return True
    if any(not str(name).isdecimal() and name in cells for name in choose.drop):
        return True
    fewest = 1 if "" in choose.drop else 3
    if _count_columns(cells, fewest):
        return True
    parts, left = [cells], list(range(len(cells)))
    for names in (None, cells):  # what is to be left out is told by number, or else by name
        with suppress(ColumnError):
            left = choose.left(names, len(cells))
            parts.append([cells[i] for i in left])
            if _count_columns(parts[-1], fewest):
                choose.by_number = names is None
                return True
            break
    if _stand_out(cells, below, left):
        return True
    n_words, n_numbers = sum(map(_is_word, cells)), sum(map(_is_number, cells))
    return all(any(map(_is_word, part)) for part in parts) and (2 * n_words > len(cells) or not n_numbers)


def _stand_out(cells: list[str], below: list[list[str]], left: list[int]) -> bool:
    """Whether cells, no two the same, differ from those below in the columns that are left.

    They do if two words stand above numbers, or above bits three cells, one of them a bit at most.
    """
    rows = [row for row in below if len(row) == len(cells)]
    columns = [(cells[i].strip(), [row[i] for row in rows]) for i in left]
    words = [cell for cell, column in columns if _is_word(cell) and _hold(_is_number, column)]
    above = [cell for cell, column in columns if _hold(_is_bit, column)]
    many = len(rows) >= FEWEST_COUNTED and len(above) >= 3 and sum(map(_is_bit, above)) <= 1
    return len(set(cells)) == len(cells) and (len(words) >= 2 or many)


def _hold(kind: Callable[[str], bool], column: list[str]) -> bool:
    """Whether all cells that are not empty are of a kind, and some are."""
    cells = [cell for cell in column if not _is_empty(cell)]
    return bool(cells) and all(map(kind, cells))


def _count_columns(cells: list[str], fewest: int) -> bool:
    """Whether these more than the fewest are 0, 1, 2 ..., perhaps after the name of an index, which may be empty.

    After that, other whole numbers that rise may be names, too: years or products, four or more and some beyond ten.
    """
    first = int(_is_word(cells[0]) or not cells[0].strip())
    numbers = [int(cell) for cell in cells[first:] if cell.isascii() and cell.isdecimal() and len(cell) < MOST_DIGITS]
    if len(numbers) + first < len(cells) or len(cells) <= fewest:
        return False
    named = first and len(numbers) >= 4 and numbers[-1] > 10 and all(map(operator.lt, numbers, numbers[1:]))
    return bool(named) or numbers == list(range(len(numbers)))


def _block(
    rows: list[tuple[int, NDArray[np.float64]]], columns: _Columns, binarize: float | str | None, missing: str | None
) -> Rows:
    try:
        return as_rows([row for _, row in rows], binarize=binarize, missing=missing)
    except ValueError:
        for number, row in rows:  # one of them is refused: name its line
            try:
                as_rows([row], binarize=binarize, name=f"line {number}", missing=missing)
            except ValueError as error:
                raise ValueError(CELL.sub(lambda cell: f"in {columns.place(int(cell[1]))}", str(error))) from error
        raise


def _refuse_index(rows: list[NDArray[np.float64]], columns: _Columns) -> None:
    """Refuse a column without a name that numbers the rows, in whatever order, as the index of a frame does."""
    for column, name in enumerate(columns.names or ()):
        if NO_NAME.fullmatch(name):
            numbers = [float(row[column]) for row in rows]
            if np.isnan(numbers).all():
                raise ValueError(f"column {name!r} has neither a name nor a cell; {columns.hint(column)}")
            if len(set(numbers)) == len(rows) and all(map(float.is_integer, numbers)):
                shown = ", ".join(f"{number:g}" for number in numbers[:3])
                raise ValueError(
                    f"column {name!r} numbers the rows, {shown} ..., and is an index; "
                    f"{columns.hint(column)}, or to_csv(index=False) where it is written"
                )


def _checked(number: int, cells: list[str], n_columns: int) -> tuple[int, list[str]]:
    if len(cells) != n_columns:
        hint = "; is there a comma too many at its end?" if len(cells) == n_columns + 1 and not cells[-1] else ""
        hint = "; is there a quote that is not closed?" if any("\n" in cell for cell in cells) else hint
        raise ValueError(f"line {number}: want {n_columns} cells like the first line, got {len(cells)}{hint}")
    return number, cells


def _row(number: int, cells: list[str], columns: _Columns, missing: str | None) -> NDArray[np.float64]:
    chosen = cells if columns.whole else [cells[i] for i in columns.numbers]
    try:
        return np.array([np.nan if missing and _is_empty(cell) else _number(cell) for cell in chosen])
    except ValueError as error:
        wrong = [i for i, cell in enumerate(chosen) if not _is_number(cell) and not (missing and _is_empty(cell))]
        column, words = wrong[0], [i for i in wrong if _is_word(chosen[i])]
        cell = chosen[column].strip()
        other = next((mark for mark in OTHER_MARKS if all(map(_is_number, cell.split(mark)))), None) if cell else None
        hint = f"; {columns.hint(*words or [column])}"
        plain = len(set(cells)) == len(cells) and all(len(chosen[i]) <= LONG for i in words)
        if columns.names is None and number == 1 and plain:
            hint += f", or drop={[*columns.dropped, *(chosen[i] for i in words)]!r}, if line 1 has names"
        if len(words) > MOST_TOLD:
            hint = f"; {len(words)} columns hold words, where 0 and 1 are wanted"
        if _is_empty(cell) and (columns.names is None or not NO_NAME.fullmatch(columns.names[column])):
            hint = TAKEN
        if other is not None:
            hint = f"; want commas between cells, not {other!r}"
        got = repr(cell)[:80] if cell else "an empty cell"
        raise ValueError(f"line {number}, {columns.place(column)}: want a number, got {got}{hint}") from error


def _cells(text: str, lines: Lines) -> list[str]:
    """The cells that begin in a line; only where there are quotes is it worth a parser."""
    return _parsed(text, lines) if '"' in text else text.strip().split(",")


def _parsed(text: str, lines: Lines) -> list[str]:
    """The cells that begin in a line, of whatever length; those in quotes may go on in the lines below."""
    with PARSER:
        limit = csv.field_size_limit(LONGEST)
        try:
            return next(csv.reader(chain([text], (more for _, more in lines))))
        finally:
            csv.field_size_limit(limit)


def as_cell(text: str) -> str:
    """A text as a cell of a line: in quotes, if it has marks of its own."""
    return '"{}"'.format(text.replace('"', '""')) if MARKS.search(text) else text


def _number(cell: str) -> float:
    """A cell's number; True and False are 1 and 0. (`float` takes 1_0 for 10.)"""
    try:
        number = float(cell)
    except ValueError:
        return float({"true": "1", "false": "0"}.get(cell.strip().lower(), cell))
    if "_" in cell:
        raise ValueError(cell)
    return number


def _is_empty(cell: str) -> bool:
    return cell.strip().lower() in EMPTY


def _is_bit(cell: str) -> bool:
    return _is_number(cell) and (math.isnan(number := _number(cell)) or number in (0, 1))


def _is_word(cell: str) -> bool:
    return not _is_number(cell) and not _is_empty(cell)


def _is_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True
