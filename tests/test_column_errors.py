"""Columns of a .csv file that are not what is wanted: where they are, and what to type to leave them out."""

import csv
import shlex
from pathlib import Path

import numpy as np
import pytest
from test_columns import MACHINE, NAMES, ROWS

from wakesleep import Bits, HelmholtzMachine
from wakesleep.cli import main
from wakesleep.datasets import read


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_empty_cell_below_no_name_is_told_with_what_leaves_the_column_out():
    Path("comma.csv").write_text("tea,rum,\n1,0,\n0,1,\n")
    with pytest.raises(ValueError, match=r"column '': want a number, got an empty cell; drop=\[''\] leaves it out$"):
        read("comma.csv")
    assert read("comma.csv", drop="") == Bits.from_dense([[1, 0], [0, 1]])
    Path("comma.csv").write_text("tea,rum,\n1,0,\n0,1,\n0,0,\n")
    with pytest.raises(ValueError, match=r"column '' has neither a name nor a cell; drop=\[''\] leaves it out$"):
        read("comma.csv", missing="marginalise")
    Path("comma.csv").write_text("tea,rum\n1,0,\n0,1,\n")
    with pytest.raises(ValueError, match=r"line 2: want 2 cells like the first line, got 3; is there a comma too many"):
        read("comma.csv")


def test_an_error_names_the_line_in_which_a_row_begins():
    Path("notes.csv").write_text('note,a\n"two\n\nlines",1\n"two\nlines",x\n')
    with pytest.raises(ValueError, match=r"^notes\.csv: line 5, column 'a': want a number, got 'x'"):
        read("notes.csv", drop="note")
    Path("notes.csv").write_text('note,a\n"two\nlines",1\n"one,1\nx,0\n')
    what = r"line 4: want 2 cells like the first line, got 1; is there a quote that is not closed\?$"
    with pytest.raises(ValueError, match=rf"^notes\.csv: {what}"):
        read("notes.csv", drop="note")


@pytest.mark.parametrize(
    ("cell", "place"),
    [("x", "line {}, {}: want a number, got 'x'; {}"), ("0.5", r"line {} contains 0\.5, .* in {}$")],
)
@pytest.mark.parametrize(
    ("names", "line", "column", "how"),
    [
        ("id,tea,rum\n", 2, "column 'rum'", r"drop=\['0', 'rum'\] leaves it out"),
        ("id,tea," + 61 * "x" + "\n", 2, f"column '{61 * 'x'}'", r"drop=\['0', 2\] leaves it out"),
        ("", 1, r"column 2 \(from 0\)", r"drop=\['0', 2\] leaves it out"),
    ],
)
def test_a_wrong_cell_is_named_as_it_can_be_left_out(cell, place, names, line, column, how):
    Path("rows.csv").write_text(f"{names}7,1,{cell}\n")
    with pytest.raises(ValueError, match=f"^rows.csv: {place.format(line, column, how)}"):
        read("rows.csv", drop="0", binarize=None)


@pytest.mark.parametrize("name", ["", " ", "Unnamed: 0", "Unnamed: 12"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(("binarize", "n_rows"), [(0.5, 3), (None, 9), ("sample", 9)])
def test_a_column_without_a_name_that_counts_the_rows_is_refused(name, first, binarize, n_rows):
    Path("frame.csv").write_text(f"tea,{name}\n" + "".join(f"1,{n}\n" for n in range(first, first + n_rows)))
    what = rf"column '{name}' numbers the rows, {first}, {first + 1}, {first + 2} \.\.\., and is an index; "
    with pytest.raises(ValueError, match=rf"^frame\.csv: {what}drop=\['{name}'\] leaves it out"):
        read("frame.csv", binarize=binarize)
    np.testing.assert_array_equal(read("frame.csv", binarize=binarize, drop=[name]), np.ones((n_rows, 1)))


@pytest.mark.parametrize(
    "text",
    [
        *("tea,\n1,0\n0,1\n", "tea,\n1,0\n0,1\n1,0\n", "tea,n\n0,0\n0,1\n0,2\n", "0,0\n0,1\n0,2\n"),
        *("tea,\n1,7\n0,3\n1,7\n", "tea,\n1,7\n0,3\n1,3.5\n"),
    ],
)
def test_what_does_not_count_or_has_a_name_is_no_index(text):
    Path("frame.csv").write_text(text)
    assert len(read("frame.csv")) in (2, 3)


def test_an_index_is_told_in_whatever_order():
    Path("frame.csv").write_text("tea,\n1,40\n0,7\n1,13\n")
    with pytest.raises(ValueError, match=r"column '' numbers the rows, 40, 7, 13 \.\.\., and is an index; drop="):
        read("frame.csv")


def test_an_index_of_a_frame_is_told_as_it_is_typed(capsys):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(ROWS, columns=NAMES).to_csv("frame.csv")
    assert main(["train", "frame.csv", *MACHINE]) == 1
    what = "frame.csv: column '' numbers the rows, 0, 1, 2 ..., and is an index"
    how = "--drop '' leaves it out, or to_csv(index=False) where it is written"
    assert capsys.readouterr().err == f"wakesleep: error: {what}; {how}\n"
    assert main(["train", "frame.csv", *MACHINE, "--drop", "", "--epochs", "1"]) == 0
    assert HelmholtzMachine.load("model.npz").feature_names_in_.tolist() == NAMES


@pytest.mark.parametrize(
    "name",
    [
        *("when", "the date", "two  blanks", "-id", "--drop", "drop=[1] leaves", "with, milk", 'so "called"', "it's"),
        *("batch_size", "1", 70 * "x"),
    ],
)
def test_a_cell_that_is_no_number_is_told_with_what_to_type(name, capsys):
    with open("dates.csv", "w", newline="") as file:
        csv.writer(file).writerows([["rum", name, "tea"], *([1, "2024-01-01", row] for row in (0, 1, 1, 0))])
    assert main(["train", "dates.csv", *MACHINE]) == 1
    error, how = capsys.readouterr().err.split("; ")
    assert error == f"wakesleep: error: dates.csv: line 2, column {name!r}: want a number, got '2024-01-01'"
    *typed, _, _, _ = shlex.split(how)
    assert typed[0].partition("=")[0] == "--drop"
    assert main(["train", "dates.csv", *MACHINE, "--epochs", "1", *typed, "--held-out", "0.5"]) == 0
    assert HelmholtzMachine.load("model.npz").feature_names_in_.tolist() == ["rum", "tea"]


def test_all_columns_of_words_are_told_at_once_and_with_those_already_left_out(capsys):
    with open("people.csv", "w", newline="") as file:
        rows = ([n, "x", 1, "y", n % 2] for n in range(4))
        csv.writer(file).writerows([["", "id", "tea", "last, first", "rum"], *rows])
    for typed, told in (([], "id,"), (["--drop", ""], ",id,"), (["--drop", "id", "--drop", "tea"], "id,tea,")):
        assert main(["train", "people.csv", *MACHINE, *typed]) == 1
        place = "people.csv: line 2, column 'id'" if len(typed) < 4 else "people.csv: line 2, column 'last, first'"
        how = shlex.quote(f'{told}"last, first"')
        leaves = "it" if len(typed) == 4 else "such columns"
        error = capsys.readouterr().err
        assert error.startswith(f"wakesleep: error: {place}: want a number, got ")
        assert error.endswith(f"; --drop {how} leaves {leaves} out\n")
    with pytest.raises(ValueError, match=r"drop=\['id', 'last, first'\] leaves such columns out$"):
        read("people.csv")
    with pytest.raises(ValueError, match=r"drop=\['id', 'last, first', ''\] leaves it out, or"):
        read("people.csv", drop=["id", "last, first"])
    Path("words.csv").write_text(",".join(f"c{n}" for n in range(20)) + "\n" + ",".join(20 * "x") + "\n")
    with pytest.raises(ValueError, match=r"column 'c0': want a number, got 'x'; 20 columns hold words, where"):
        read("words.csv")


def test_a_path_may_be_called_as_an_option_is(capsys):
    for name in ("method", "n_samples", "missing"):
        assert main(["train", name, *MACHINE]) == 1
        assert capsys.readouterr().err.startswith(f"wakesleep: error: {name}: want a file whose name ends in ")


def test_a_name_that_several_columns_have_is_told_by_its_place():
    Path("twice.csv").write_text("Other,q1,Other,q2\n1,0,x,1\n0,0,y,1\n")
    with pytest.raises(ValueError, match=r"drop=\[2\] leaves it out$"):
        read("twice.csv")
    assert read("twice.csv", drop=[2]).feature_names == ("Other", "q1", "q2")
    long = 88 * "x"
    Path("long.csv").write_text(f"id1,{long},1,2,3\n" + "1,x,0,1,1\n" * 4)
    with pytest.raises(ValueError, match=rf"drop=\['{long}'\] leaves it out$"):  # since column 2 is called 1
        read("long.csv")


@pytest.mark.parametrize("folder", ["my n_iter dir", "n_iter", "X"])
@pytest.mark.parametrize("name", ["total batch_size used", "cost binarize=2", "b: want None or c", "X n_iter: d"])
def test_what_the_user_named_stays_as_it_is_in_errors(folder, name, capsys):
    Path(folder).mkdir()
    path = f"{folder}/shape x.csv"
    Path(path).write_text(f"tea,{name}\n" + "1,x\n" * 4)
    assert main(["train", path, *MACHINE]) == 1
    expected = f"wakesleep: error: {path}: line 2, column {name!r}: want a number, got 'x'; --drop {shlex.quote(name)}"
    assert capsys.readouterr().err == f"{expected} leaves it out\n"
    assert main(["train", path, *MACHINE, "--drop", name, "--epochs", "1"]) == 0


def test_a_cell_that_is_no_number_is_told_with_the_number_of_its_column(capsys):
    Path("dates.csv").write_text("1,x,0\n" * 4)
    assert main(["train", "dates.csv", *MACHINE]) == 1
    where = "line 1, column 1 (from 0)"
    assert capsys.readouterr().err == (
        f"wakesleep: error: dates.csv: {where}: want a number, got 'x'; "
        "--drop 1 leaves it out, or --drop x, if line 1 has names\n"
    )
