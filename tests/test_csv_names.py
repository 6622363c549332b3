"""The names of the columns of a .csv file: kept with the machine, compared ever after, and written again."""

import csv
import errno
import gzip
import os
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


@pytest.mark.parametrize("line", [" tea, with milk ,rum ", '" tea"," with milk ","rum "'])
def test_blanks_belong_to_names_as_they_do_in_frames(line):
    Path("rows.csv").write_text(f"{line}\n1,0,1\n")
    assert datasets.read("rows.csv").feature_names == (" tea", " with milk ", "rum ")
    pandas = pytest.importorskip("pandas")
    assert datasets.read("rows.csv").feature_names == tuple(pandas.read_csv("rows.csv").columns)


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
