"""The names of the columns of a .csv file: kept with the machine, compared ever after, and written again."""

import ast
import csv
import errno
import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest

from wakesleep import Bits, HelmholtzMachine, datasets
from wakesleep.cli import files, main

NAMES = ["tea", "coffee", "with, milk", "rum"]
CELLS = (np.random.default_rng(0).random((60, 4)) < 0.4).astype(int)
MACHINE = ["-o", "model.npz", "--hidden", "3", "-q"]


def write(path, cells, names=None):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names] * (names is not None) + cells.tolist())


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("data.csv", CELLS, NAMES)
    write("permuted.csv", CELLS[:, ::-1], NAMES[::-1])
    write("other.csv", CELLS, [*NAMES[:3], "gin"])
    write("bare.csv", CELLS)
    write("gaps.csv", np.where(np.eye(60, 4) > 0, "", CELLS.astype(object)), NAMES)


@pytest.fixture
def model(capsys):
    assert main(["train", "data.csv", *MACHINE, "--epochs", "2"]) == 0
    assert not capsys.readouterr().err
    return "model.npz"


def test_rows_that_are_read_have_the_names_of_their_file():
    rows = datasets.read("data.csv")
    grey = datasets.read("data.csv", binarize="sample")
    for part in (rows, rows[:7], rows[[3, 1]], grey, grey[:7]):
        assert part.feature_names == tuple(NAMES)
    assert datasets.read("bare.csv").feature_names is None
    assert rows == datasets.read("bare.csv")


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


YEARS = ["2019", "2020", "2021", "2022"]


@pytest.mark.parametrize("names", [YEARS, YEARS[::-1], [*YEARS[:2], "2018", *YEARS[2:]]])
def test_a_machine_tells_its_names_from_numbers(names, capsys):
    cells = {name: CELLS[:, place] for place, name in enumerate(YEARS)}
    write("years.csv", np.column_stack([cells.get(name, CELLS[:, 0] + 7) for name in names]), names)
    machine = HelmholtzMachine((2,), n_iter=1)
    machine.fit(Bits._joined([Bits.from_dense(CELLS)], tuple(YEARS))).save("model.npz")
    assert main(["score", "model.npz", "years.csv", "-o", "scores.npy"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("60 rows; ")
    told = "wakesleep: warning: years.csv: left out column '2018', which the machine was not trained on; "
    assert captured.err == (f"{told}--drop does so without this warning\n" if "2018" in names else "")
    np.testing.assert_array_equal(np.load("scores.npy"), machine.score_samples(Bits.from_dense(CELLS)))
    assert main(["impute", "model.npz", "years.csv", "--draws", "-o", "filled.csv"]) == 0
    assert Path("filled.csv").read_text() == Path("years.csv").read_text()


def test_what_a_machine_with_numbers_for_names_writes_it_reads(capsys):
    machine = HelmholtzMachine((2,), n_iter=1)
    machine.fit(Bits._joined([Bits.from_dense(CELLS)], tuple(YEARS))).save("model.npz")
    assert main(["sample", "model.npz", "-n", "2", "-o", "sample.csv"]) == 0
    capsys.readouterr()
    assert main(["score", "model.npz", "sample.csv"]) == 0
    captured = capsys.readouterr()
    assert (captured.out.partition(";")[0], captured.err) == ("2 rows", "")


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


@pytest.mark.parametrize("line", [" tea, with milk ,rum ", '" tea"," with milk ","rum "'])
def test_blanks_belong_to_names_as_they_do_in_frames(line):
    Path("rows.csv").write_text(f"{line}\n1,0,1\n")
    assert datasets.read("rows.csv").feature_names == (" tea", " with milk ", "rum ")
    pandas = pytest.importorskip("pandas")
    assert datasets.read("rows.csv").feature_names == tuple(pandas.read_csv("rows.csv").columns)


def test_a_word_among_numbers_is_no_name():
    Path("rows.csv").write_text("1,0,x,1\n1,0,1,1\n")
    with pytest.raises(ValueError, match=r"line 1, column 2 \(from 0\): want a number, got 'x'"):
        datasets.read("rows.csv")


def test_a_frame_with_a_column_too_many_is_refused(model):
    write("more.csv", np.hstack([CELLS, CELLS[:, :1]]), [*NAMES, "id"])
    with pytest.raises(ValueError, match=r"The feature names should match .*\n.*unseen at fit time:\n- id"):
        HelmholtzMachine.load(model).score(datasets.read("more.csv"))


@pytest.mark.parametrize("name", ["gaps.csv.gz", "GAPS.CSV.GZ"])
def test_compressed_files_and_what_spreadsheets_write_for_nothing(name):
    cells = "tea,rum\n1,NULL\nN/A,0\n<NA>,1\nnone,?\n"
    with gzip.open(name, "wt") as file:
        file.write(cells)
    rows = datasets.read(name, missing="marginalise")
    nothing = np.nan
    np.testing.assert_array_equal(rows.to_dense(), [[1, nothing], [nothing, 0], [nothing, 1], [nothing] * 2])
    assert rows.feature_names == ("tea", "rum")


@pytest.mark.parametrize(
    "command",
    [
        *(["score", "model.npz", "{}", "-o", "out.npy"], ["diagnose", "model.npz", "{}"]),
        *(["impute", "model.npz", "{}", "-o", "out.npy"], ["plot", "model.npz", "{}", "-o", "out.png"]),
        ["train", "{}", *MACHINE, "--epochs", "3", "--resume"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_columns_are_taken_by_name_in_whatever_order(command, model, capsys):
    if command[0] == "plot":
        pytest.importorskip("matplotlib")
    start, found = Path(model).read_bytes(), {}
    for name in ("data.csv", "permuted.csv"):
        Path(model).write_bytes(start)
        assert main([argument.format(name) for argument in command]) == 0
        captured = capsys.readouterr()
        assert not captured.err
        machine = HelmholtzMachine.load(model)
        outputs = [path.read_bytes() for path in Path().glob("out.*")]
        found[name] = outputs, machine.parameters_.flat.tobytes(), captured.out.replace(name, "")
    assert found["data.csv"] == found["permuted.csv"]


@pytest.mark.parametrize("drop", [[], ["--drop", "id"]])
def test_columns_in_another_order_among_others(drop, model, capsys):
    cells = np.hstack([CELLS[:, [2, 0]], 7 + CELLS[:, :1], CELLS[:, [3, 1]]])
    write("more.csv", cells, ["with, milk", "tea", "id", "rum", "coffee"])
    assert main(["impute", model, "more.csv", "-o", "out.npy", *drop]) == 0
    np.testing.assert_array_equal(np.load("out.npy"), CELLS)
    told = "more.csv: left out column 'id', which the machine was not trained on; --drop does so without this warning"
    assert capsys.readouterr().err == ("" if drop else f"wakesleep: warning: {told}\n")


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        ([*NAMES[:3], "gin"], [], "lacks column 'rum', which the machine was trained on, and has column 'gin', which"),
        (["ale", "gin", "rum", "port"], [], "lacks columns 'tea', 'coffee', 'with, milk', which the machine was tr"),
        (NAMES, ["--drop", "tea"], "after --drop lacks column 'tea', which the machine was trained on"),
    ],
)
def test_names_that_are_missing_are_told_in_one_sentence(names, options, told, model, capsys):
    write("other.csv", CELLS, names)
    assert main(["score", model, "other.csv", *options]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"wakesleep: error: other.csv: {told}")
    assert err.count("\n") == 1


def test_the_first_few_of_many_names_that_are_missing_are_told(capsys):
    names = [f"item {number}" for number in range(12)]
    write("data.csv", np.tile(CELLS, 3), names)
    assert main(["train", "data.csv", *MACHINE, "--epochs", "1"]) == 0
    assert main(["score", "model.npz", "other.csv"]) == 1
    few = "columns 'item 0', 'item 1', 'item 2', 'item 3', 'item 4' and 7 more"
    others = "columns 'tea', 'coffee', 'with, milk', 'gin'"
    told = f"other.csv: lacks {few}, which the machine was trained on, and has {others}, which it was not"
    assert capsys.readouterr().err == f"wakesleep: error: {told}\n"


def test_a_name_that_two_columns_have_is_refused_where_the_machine_knows_it(model, capsys):
    write("twice.csv", np.zeros((5, 6), int), ["id", *NAMES, "id"])
    assert main(["score", model, "twice.csv"]) == 0
    capsys.readouterr()
    write("twice.csv", np.zeros((5, 5), int), [*NAMES, "tea"])
    assert main(["score", model, "twice.csv"]) == 1
    told = "twice.csv: want another name for each column, got several with the name 'tea'"
    assert capsys.readouterr().err.endswith(f"wakesleep: error: {told}\n")


def test_where_only_one_has_names_that_is_told_once(model, capsys):
    assert main(["score", model, "bare.csv"]) == 0
    what = "does not have valid feature names, but HelmholtzMachine was fitted with feature names"
    assert capsys.readouterr().err == f"wakesleep: warning: bare.csv {what}\n"
    assert main(["train", "bare.csv", *MACHINE, "--epochs", "2", "--overwrite"]) == 0
    assert main(["score", model, "data.csv"]) == 0
    what = "has feature names, but HelmholtzMachine was fitted without feature names"
    assert capsys.readouterr().err == f"wakesleep: warning: data.csv {what}\n"


@pytest.mark.parametrize("name", ["data.bits", "data.BITS"])
def test_packed_rows_need_no_names(name, model, capsys):
    datasets.read("data.csv").save(name)
    assert main(["score", model, name]) == 0
    assert not capsys.readouterr().err


def test_info_tells_the_first_names_and_how_many_there_are(model, capsys):
    assert main(["info", model]) == 0
    assert "\ncolumns                            4: 'tea', 'coffee', 'with, milk', 'rum'\n" in capsys.readouterr().out
    write("many.csv", np.eye(9, dtype=int), [f"item {n}" for n in range(8)] + ["\x1b"])
    assert main(["train", "many.csv", *MACHINE, "--epochs", "1", "--overwrite"]) == 0
    assert main(["info", model]) == 0
    assert " 9: 'item 0', 'item 1', 'item 2', 'item 3', 'item 4' and 4 more\n" in capsys.readouterr().out
    assert main(["train", "bare.csv", *MACHINE, "--epochs", "1", "--overwrite"]) == 0
    assert main(["info", model]) == 0
    assert "columns" not in capsys.readouterr().out


def test_a_frame_with_the_columns_of_the_file_fits_the_machine(model):
    pandas = pytest.importorskip("pandas")
    machine = HelmholtzMachine.load(model)
    assert machine.feature_names_in_.tolist() == NAMES
    assert machine.score(pandas.read_csv("data.csv")) == machine.score(datasets.read("data.csv"))
    with pytest.raises(ValueError, match="must be in the same order"):
        machine.score(pandas.read_csv("permuted.csv"))


def test_in_python_the_names_of_two_files_are_compared():
    machine = HelmholtzMachine((3,), n_iter=1).fit(datasets.read("data.csv"), validation=datasets.read("data.csv"))
    assert machine.feature_names_in_.tolist() == NAMES
    with pytest.raises(ValueError, match=r"^The feature names should match .*\n.* same order"):
        machine.score(datasets.read("permuted.csv")[:9])
    with pytest.raises(ValueError, match=r"^validation: The feature names should match"):
        machine.fit(datasets.read("data.csv"), validation=datasets.read("other.csv"))
    machine.score(Bits.from_dense(CELLS))


def test_names_are_read_as_they_were_written():
    names = [" tea", "rum ", "two\nlines", "a\n\n\"b\", c", "carriage\r\nreturn", "\u00a0", "\t"]
    rows = np.eye(7, dtype=int)
    files.write_rows("odd.csv", rows, names)
    read = datasets.read("odd.csv")
    assert read.feature_names == tuple(names)
    np.testing.assert_array_equal(read, rows)
    frame = pytest.importorskip("pandas").read_csv("odd.csv")
    assert frame.columns.tolist() == names
    frame.to_csv("odd.csv", index=False)
    assert datasets.read("odd.csv").feature_names == tuple(names)


@pytest.mark.parametrize(("name", "above"), [("tea\n", 1), ("", 0), ("\n\ntea\n", 3)])
def test_an_empty_line_between_the_rows_of_one_column_is_an_empty_cell(name, above):
    Path("one.csv").write_text(f"{name}1\n\n0\n \n\"\"\n1\n\n\n")
    rows = datasets.read("one.csv", missing="marginalise")
    np.testing.assert_array_equal(rows.to_dense()[:, 0], [1, np.nan, 0, np.nan, np.nan, 1])
    with pytest.raises(ValueError, match=rf"^one\.csv: line {above + 2}, column .*: want a number, got an empty cell"):
        datasets.read("one.csv")


def test_empty_lines_above_a_single_column_without_a_name_are_cells():
    Path("one.csv").write_text("\n\n1\n0\n")
    rows = datasets.read("one.csv", missing="marginalise")
    np.testing.assert_array_equal(rows.to_dense()[:, 0], [np.nan, np.nan, 1, 0])


def test_what_is_written_begins_with_names(model):
    for command in (["impute", model, "gaps.csv", "-o", "out.csv"], ["sample", model, "-n", "3", "-o", "out.csv"]):
        assert main(command) == 0
        assert datasets.read("out.csv").feature_names == tuple(NAMES)
    machine = HelmholtzMachine.load(model)
    np.testing.assert_array_equal(datasets.read("out.csv"), machine.sample(3))
    for method, name in (("importance", "log_likelihood"), ("elbo", "elbo")):
        assert main(["score", model, "data.csv", "-o", "scores.csv", "--method", method]) == 0
        header, *values = Path("scores.csv").read_text().splitlines()
        assert header == name
        expected = machine.score_samples(datasets.read("data.csv"), method=method)
        np.testing.assert_allclose(np.array(values, float), expected, rtol=1e-11)


@pytest.mark.parametrize(
    "typed",
    [
        *("sample model.npz -o out.csv", "sample model.npz -o out.npy", "sample model.npz -o out.bits"),
        *("score model.npz data.csv -o out.csv", "impute model.npz gaps.csv -o out.npy"),
    ],
)
def test_what_is_written_is_told_at_the_end(typed, model, capsys):
    assert main(typed.split()) == 0
    assert capsys.readouterr().out.endswith(f"saved to {typed.split()[-1]}\n")


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


def test_names_are_written_in_utf_8():
    names = ["thé", "κρασί", "茶", "☕"]
    write("data.csv", CELLS, names)
    assert main(["train", "data.csv", *MACHINE, "--epochs", "1"]) == 0
    assert main(["sample", "model.npz", "-o", "out.csv"]) == 0
    assert Path("out.csv").read_bytes().startswith(",".join(names).encode() + b"\n")


def test_rows_that_are_filled_in_have_their_own_names_or_else_those_of_the_machine(model, capsys):
    write("bare.csv", np.where(np.eye(60, 4) > 0, "", CELLS.astype(object)))
    assert main(["impute", model, "bare.csv", "-o", "out.csv"]) == 0
    assert datasets.read("out.csv").feature_names == tuple(NAMES)
    write("bare.csv", CELLS)
    assert main(["train", "bare.csv", *MACHINE, "--epochs", "1", "--overwrite"]) == 0
    assert main(["impute", model, "gaps.csv", "-o", "out.csv"]) == 0
    assert datasets.read("out.csv").feature_names == tuple(NAMES)


def test_without_names_nothing_stands_above_the_rows(capsys):
    write("gaps.csv", np.where(np.eye(60, 4) > 0, "", CELLS.astype(object)))
    assert main(["train", "bare.csv", *MACHINE, "--epochs", "1"]) == 0
    for command in (["impute", "model.npz", "gaps.csv"], ["sample", "model.npz", "-n", "60"]):
        assert main([*command, "-o", "out.csv"]) == 0
        assert np.loadtxt("out.csv", delimiter=",").shape == (60, 4)


@pytest.mark.parametrize("name", ["rows.csv", "rows.npy", "rows.bits"])
def test_a_file_is_replaced_whole_or_not_at_all(model, name, monkeypatch, capsys):
    assert main(["sample", model, "-n", "50", "-o", name]) == 0
    before, files = Path(name).read_bytes(), sorted(os.listdir())

    def full(*names):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(["sample", model, "-n", "9", "-o", name]) == 1
    assert capsys.readouterr().err == f"wakesleep: error: {name}: No space left on device\n"
    assert Path(name).read_bytes() == before
    assert sorted(os.listdir()) == files
