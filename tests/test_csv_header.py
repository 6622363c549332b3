"""Whether the first line of a .csv file is one of names: told from a row by what stands below it."""

import ast
import csv
import re
from pathlib import Path

import numpy as np
import pytest
from test_csv_names import CELLS, write

from wakesleep import Bits, datasets


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_line_of_empty_cells_is_no_line_of_names():
    Path("gaps.csv").write_text(",NA\n1,0\n")
    rows = datasets.read("gaps.csv", missing="marginalise")
    np.testing.assert_array_equal(rows.to_dense(), [[np.nan, np.nan], [1, 0]])
    assert rows.feature_names is None
    with pytest.raises(ValueError, match=r"line 1, column 0 \(from 0\): want a number, got an empty cell"):
        datasets.read("gaps.csv")


@pytest.mark.parametrize(
    ("first", "names"),
    [
        ("0,1,2,3", ("0", "1", "2", "3")),  # as a frame without names writes them
        ("a,b,2,c", ("a", "b", "2", "c")),
        ("0,1,0,1", None),
        ("1,1,2,3", None),
        ("0,1", None),
        ("0,1,2", None),
        (",0,1,2", ("", "0", "1", "2")),
        ("id,0,1,2", ("id", "0", "1", "2")),
        (",0,1", None),
        ("?,0,1,2", None),
        ("tea; green|mint", ("tea; green|mint",)),
        (",1,0,2", None),
    ],
)
def test_a_line_of_words_or_of_the_columns_numbers_is_one_of_names(first, names):
    Path("rows.csv").write_text(f"{first}\n{first.count(',') * '1,'}0\n")
    rows = datasets.read("rows.csv", missing="marginalise")
    assert (rows.feature_names, len(rows)) == (names, 1 if names else 2)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("first", "below", "are_names"),
    [
        ("1,2,3", ["0,1,1", "1,,0", "0,0,1"], True), ("2019, 2020,2021,2022", ["0,1,1,1.0"] * 3, True),
        ("1.1,1.2,2.1", ["1,1,0"] * 4, True), ("0.1,0.2,0.9", ["0,0,0"] * 3, True),
        ("1_1,1_2,1_3", ["1,1,0"], True), ("1_0,1,0", ["1,1,0"] * 3, False),
        ("0,1,2", ["0,1,1"] * 3, False), ("1,2", ["0,1"] * 3, False), ("1,2,2", ["0,1,1"] * 3, False),
        ("1,2,3", ["0,1,1"] * 2, False), ("1,2,3", ["0,1,1"] * 2 + ["2,0,1"], False),
        ("1,2,x", ["0,1,1"] * 3, True), ("1,0,x", ["0,1,1"] * 3, False),
        ("1,2,3", ["0,1,1", "1,0,0", "0.5,0,1"], False),
    ],
)  # fmt: skip
def test_different_numbers_above_bits_are_names(first, below, are_names, end):
    with open("items.csv", "w", newline="") as file:
        file.write(end.join([first, *below, ""]))
    if not are_names and ("x" in first or "1_0" in first):
        with pytest.raises(ValueError, match=r"items\.csv: line 1, column "):
            datasets.read("items.csv", missing="marginalise")
        return
    read = datasets.read("items.csv", missing="marginalise")
    assert len(read) == len(below) + (not are_names)
    assert read.feature_names == (tuple(first.split(",")) if are_names else None)


NUMBERS = [str(number) for number in range(1, 31)]


PEOPLE = {"id": "x{}", "date": "2024-01-0{}", "comment": "fine, {}", "site": "north{}", "age": "{}7"}


@pytest.mark.parametrize("mark", ["", '"'])
@pytest.mark.parametrize("scale", [1, 5])
@pytest.mark.parametrize(
    "questions",
    [NUMBERS, ["female", "smoker", *NUMBERS], [str(year) for year in range(1995, 2025)], [f"1_{n}" for n in NUMBERS],
     ["0", *NUMBERS], ["female", "smoker", *(f"2_{n}" for n in NUMBERS), *NUMBERS]],
    ids=lambda names: f"{names[0]}-{names[-1]}",
)  # fmt: skip
@pytest.mark.parametrize("people", [[], ["id"], ["id", "date"], ["id", "date", "comment", "site"], ["age"]], ids=len)
def test_what_errors_advise_leaves_out_the_columns_that_are_meant(people, questions, scale, mark):
    """Questions with numbers for names are told from a row where answers are bits; or an error, and not silence."""
    names, rng = [*people, *questions], np.random.default_rng(0)
    answers = np.clip(rng.integers(0, scale + 1, (9, len(questions))), 0, scale)
    lines = [
        [*(PEOPLE[name].format(row) for name in people), *map(str, answers[row])] for row in range(len(answers))
    ]
    with open("survey.csv", "w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL if mark else csv.QUOTE_MINIMAL).writerows([names, *lines])
    drop = []
    for _ in range(3):
        try:
            rows = datasets.read("survey.csv", drop=drop, binarize=scale / 2)
            break
        except ValueError as error:
            drop = ast.literal_eval(re.search(r"drop=(\[.*\]) leaves", str(error))[1])
    else:
        pytest.fail(f"the advice leads nowhere: {drop}")
    words = [name for name in people if name != "age"]
    if rows.feature_names is None:
        assert scale > 1 or not any(map(str.isalpha, names)), "a line of names was taken for a row"
        assert len(rows) == 10
        assert rows.n_features == len(names) - len(words)
        return
    assert rows.feature_names == tuple(name for name in names if name not in words)
    np.testing.assert_array_equal(rows.to_dense()[:, -len(questions) :], answers > scale / 2)


@pytest.mark.parametrize("first", [".,.,0,1,1", "1,DK,0,DK,1", "DK,RF,0,1,1", "90+,>100k,0,1,1", "34,3,2,1,0"])
def test_marks_of_missing_cells_and_counts_above_bits_are_no_names(first):
    below = ["22,0,1,1,0", "45,1,0,1,0", "31,0,0,0,0", "50,2,4,1,1"] if first[0] == "3" else 5 * ["1,0,1,0,1"]
    Path("rows.csv").write_text("\n".join([first, *below]))
    drop = [place for place, cell in enumerate(first.split(",")) if not cell.isdecimal()]
    rows = datasets.read("rows.csv", drop=drop)
    assert (len(rows), rows.feature_names) == (len(below) + 1, None)


@pytest.mark.parametrize("cells", ["NA,1,0", "true,False,TRUE", "1.00,0.00,1.00", "1.0e+00,0e+00,nan", "\n1,0,1\n   "])
def test_bits_below_names_may_be_written_otherwise(cells):
    Path("years.csv").write_text("\n".join(["2001,2002,2003", *3 * [cells], "1,1,1"]))
    assert datasets.read("years.csv", missing="marginalise").feature_names == ("2001", "2002", "2003")


@pytest.mark.parametrize(
    ("names", "cells"),
    [("date,sex,0,1", "d,f,1,0"), ("id,2020", "p,1"), ("id,2015,2016", "p,5,3"), ("IID,500,20,300", "p,2,0,1")],
)
def test_the_first_line_is_told_both_ways_where_it_may_be_either(names, cells):
    Path("either.csv").write_text("\n".join([names, *4 * [cells]]))
    with pytest.raises(ValueError, match=r", if line 1 has names$") as told:
        datasets.read("either.csv")
    by_number, by_name = map(ast.literal_eval, re.findall(r"drop=(\[.*?\])", str(told.value)))
    words = [cell for cell in names.split(",") if not cell.isdecimal()]
    assert (by_number, by_name) == (list(range(len(words))), words)
    rows = datasets.read("either.csv", drop=by_name)
    assert (len(rows), rows.feature_names) == (4, tuple(names.split(",")[len(words) :]))
    assert len(datasets.read("either.csv", drop=by_number)) == 5


@pytest.mark.parametrize("n_features", [4, 3, 2, 1])
@pytest.mark.parametrize("missing", [None, "marginalise"])
def test_a_frame_of_an_array_is_read_without_its_index(n_features, missing):
    numbers = [str(number) for number in range(n_features)]
    write("array.csv", np.column_stack([np.arange(60), CELLS[:, :n_features]]), ["", *numbers])
    rows = datasets.read("array.csv", drop="", missing=missing)
    assert rows.feature_names == tuple(numbers)
    np.testing.assert_array_equal(rows.to_dense(), CELLS[:, :n_features])
    if n_features > 2:
        for drop in ((), 0):  # the name of the column after the index
            with pytest.raises(ValueError, match=r"column '' numbers the rows, .* drop=\[(0, )?''\] leaves it out"):
                datasets.read("array.csv", drop=drop, missing=missing)


def test_a_frame_of_an_array_and_a_column_more():
    write("array.csv", np.column_stack([CELLS, 7 + CELLS[:, 0]]), ["0", "1", "2", "3", "id"])
    for drop in (4, "id"):
        rows = datasets.read("array.csv", drop=drop)
        assert rows.feature_names == ("0", "1", "2", "3")
        np.testing.assert_array_equal(rows.to_dense(), CELLS)


def test_a_line_of_which_no_word_is_left_is_a_row():
    Path("rows.csv").write_text("p1,mon,1,\np2,tue,0,1\np3,wed,1,0\n")
    rows = datasets.read("rows.csv", drop=[0, 1], missing="marginalise")
    assert rows.feature_names is None
    np.testing.assert_array_equal(rows.to_dense(), [[1, np.nan], [0, 1], [1, 0]])
    Path("rows.csv").write_text("p1,mon,1\np2,tue,0\np3,wed,1\n")
    assert datasets.read("rows.csv", drop=[0, 1]) == Bits.from_dense([[1], [0], [1]])
    assert datasets.read("rows.csv", drop=["p1", "mon"]).feature_names == ("1",), "what is told by name is one"
    Path("rows.csv").write_text("1,0,1\n0,0,1\n")
    wanted = r"^drop: want columns of rows\.csv, by number from 0 to 2, got 'p4'; it has no line of names$"
    with pytest.raises(ValueError, match=wanted):
        datasets.read("rows.csv", drop=["p4"])


def test_a_word_among_numbers_is_no_name():
    Path("rows.csv").write_text("1,0,x,1\n1,0,1,1\n")
    with pytest.raises(ValueError, match=r"line 1, column 2 \(from 0\): want a number, got 'x'"):
        datasets.read("rows.csv")


@pytest.mark.parametrize(
    ("first", "are_names"),
    [
        ("order,10001,10002,10005,10040", True), (",1,2,3,11", True), ("id,1980,1981,1982,1983", True),
        ("id,1980,1981,1982", False), ("p1,1,2,3,4", False), ("p1,1,3,2,11", False), ("p1,1,2,2,11", False),
        ("1979,1980,1981,1982,1983", False), ("id,1980,1981,1982,x", False), ("id,1,2,3,11.5", False),
    ],
)  # fmt: skip
def test_whole_numbers_that_rise_after_a_word_may_be_names(first, are_names):
    """Four or more, some beyond ten: the answers 1 to 5 of a person, after a name, are a row."""
    n_columns = first.count(",")
    Path("data.csv").write_text(f"{first}\n" + f"p2{',0' * n_columns}\np3{',1' * n_columns}\n".replace("p", "9"))
    drop = [0] if are_names or "x" not in first else [0, n_columns]
    read = datasets.read("data.csv", drop=drop)
    assert len(read) == 2 + (not are_names)
    assert (read.feature_names is not None) == are_names
