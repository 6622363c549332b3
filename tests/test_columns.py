"""Columns that are left out of a file, by name or number; an index, which is refused; those that a machine knows."""

import csv
import gzip
import re
import shlex
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from wakesleep import Bits, HelmholtzMachine, Probabilities, datasets
from wakesleep.cli import main
from wakesleep.datasets import read

CELLS = (np.random.default_rng(0).random((60, 70)) < 0.4).astype(np.uint8)
LEFT = np.delete(CELLS, [0, 66], axis=1)
NAMES = ["tea", "with, milk", "3", "rum"]
ROWS = CELLS[:, :4]
MACHINE = ["-o", "model.npz", "--hidden", "3", "-q"]


def told(columns):
    what = f"all.csv: left out {columns}, which the machine was not trained on"
    return f"wakesleep: warning: {what}; --drop does so without this warning\n"


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = [["", "id", *NAMES], *([n, f"p{n}", *row] for n, row in enumerate(ROWS.tolist()))]
    Path("all.csv").write_text("".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in frame))


@pytest.fixture
def model(capsys):
    assert main(["train", "all.csv", *MACHINE, "--drop", ",id", "--epochs", "2"]) == 0
    assert not capsys.readouterr().err
    return "model.npz"


def idx(cells):
    return b"\0\0\x08\2" + struct.pack(">2I", *cells.shape) + cells.tobytes()


def test_columns_of_every_kind_of_file_are_left_out_by_number():
    Bits.from_dense(CELLS).save("x.bits")
    np.save("x.npy", CELLS)
    np.savez("x.npz", a=CELLS)
    np.savez("packed.npz", a=np.packbits(CELLS, axis=1), a_shape=CELLS.shape)
    np.savetxt("x.csv", CELLS, "%d", ",")
    Path("x.idx").write_bytes(idx(CELLS * 255))
    Path("x.gz").write_bytes(gzip.compress(idx(CELLS * 255)))
    for name in ("x.bits", "x.npy", "x.npz", "packed.npz", "x.csv", "x.idx", "x.gz"):
        np.testing.assert_array_equal(read(name, drop=[0, "66"]), LEFT)
        assert read(name, drop=()) == Bits.from_dense(CELLS)


def test_columns_of_rows_with_missing_cells_or_probabilities_are_left_out():
    holes = np.where(np.eye(60, 70) > 0, np.nan, CELLS)
    Bits.from_dense(holes, missing="marginalise").save("holes.bits")
    left = Bits.from_dense(np.delete(holes, [0, 66], axis=1), missing="marginalise")
    for binarize in (7, None):  # no threshold cuts bits again
        assert read("holes.bits", drop=[0, 66], missing="marginalise", binarize=binarize) == left
    Path("x.idx").write_bytes(idx(CELLS * 100))
    grey = read("x.idx", drop=[0, 66], binarize="sample")
    assert (grey.values.dtype, grey.one) == (np.uint8, 255)
    np.testing.assert_array_equal(grey.values, LEFT * 100)


def test_columns_of_a_csv_are_left_out_by_name_whatever_is_in_them():
    rows = read("all.csv", drop=["", "id"])
    assert rows.feature_names == tuple(NAMES)
    np.testing.assert_array_equal(rows, ROWS)
    rows = read("all.csv", drop=[0, 1, 3])  # of which the last is a name, and not the column with that number
    assert rows.feature_names == ("tea", "with, milk", "rum")
    np.testing.assert_array_equal(rows, ROWS[:, [0, 1, 3]])
    assert read("all.csv", drop=["", "id"], binarize="sample").feature_names == tuple(NAMES)
    Path("one.csv").write_text("id,tea\n7,1\n8,0\n")
    assert read("one.csv", drop="id") == read("one.csv", drop=0) == Bits.from_dense([[1], [0]])


@pytest.mark.parametrize(
    ("drop", "error", "message"),
    [
        (["gin"], ValueError, r"^drop: want columns of all\.csv, by name, or by number from 0 to 5, got 'gin'"),
        ([6], ValueError, r"^drop: want columns of all\.csv, .* got 6"),
        ([-1], ValueError, r"^drop: want columns of all\.csv, .* got -1"),
        (range(6), ValueError, r"^drop: want columns .* got 5$"),
        (["", "id", *NAMES], ValueError, r"^drop: want a column or more of all\.csv left, got all 6"),
        (["01"], ValueError, r"^drop: want columns of all\.csv, .* got '01'$"),
        (["\u0661"], ValueError, "^drop: want columns of all\\.csv, .* got '\u0661'$"),  # which int() reads as 1
        ("9" * 5000, ValueError, r"^drop: want columns of all\.csv, .* got '9{79}$"),
    ],
)
def test_what_cannot_be_left_out_is_told(drop, error, message):
    if drop == range(6):
        Path("all.csv").write_text("a,b,c,d,e\n1,0,1,0,1\n")
    with pytest.raises(error, match=message):
        read("all.csv", drop=drop)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("note", ["two\nlines", "\n\n, \"said\"\r\n", "a" * 200_000, "\r"])
def test_what_is_left_out_may_go_over_lines_and_be_long(note, end):
    with open("notes.csv", "w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator=end)
        writer.writerows([["note", "a"], [note, 1], ["x", 0], [note, 1]])
    for drop in ("note", 0):
        assert read("notes.csv", drop=drop) == Bits.from_dense([[1], [0], [1]])
    with open("notes.csv", "w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator=end)
        writer.writerows([[note, 1], [0, 1], [note, 1]])  # without names
    assert read("notes.csv", drop=0) == Bits.from_dense([[1], [1], [1]])


def test_the_longest_cell_that_others_read_stays_what_it_is():
    limit = csv.field_size_limit(9)
    try:
        assert read("all.csv", drop=["", "id"]) == Bits.from_dense(ROWS)
        assert csv.field_size_limit() == 9
    finally:
        csv.field_size_limit(limit)


def test_the_longest_cell_is_as_it_was_after_reading_by_several_threads():
    limit = csv.field_size_limit()
    Path("quoted.csv").write_text('a,b\n' + '"1","0"\n' * 3000)
    threads = [threading.Thread(target=read, args=("quoted.csv",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert csv.field_size_limit() == limit


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


def test_a_note_of_several_lines_is_written_as_it_was_read(model):
    frame = [["note", *NAMES], ["two\nlines", 1, 0, "", 1], ['"\r\n', 0, "", 1, 0]]
    with open("notes.csv", "w", newline="") as file:
        csv.writer(file).writerows(frame)
    assert main(["impute", model, "notes.csv", "--drop", "note", "--draws", "-o", "filled.csv"]) == 0
    with open("filled.csv", newline="") as file:
        filled = list(csv.reader(file))
    assert [line[0] for line in filled] == [line[0] for line in frame]
    assert (filled[0], filled[1][1:3], filled[2][3:]) == (frame[0], ["1", "0"], ["1", "0"])


@pytest.mark.parametrize("drop", [0.5, None, b"a", True, np.arange(2)])
def test_what_is_no_name_and_no_number_of_a_column_is_told(drop):
    for given in ([drop], drop)[: 1 if np.ndim(drop) else 2]:
        with pytest.raises(TypeError, match=re.escape(f"drop: want names or numbers of columns, got {drop!r}")):
            read("all.csv", drop=given)


@pytest.mark.parametrize("drop", [1, np.int64(1), np.array(1), np.array([1]), {1}, iter(["1"]), np.array(["1"])])
def test_one_column_is_left_out_however_it_is_numbered(drop):
    Path("one.csv").write_text("id,tea\n1,7\n0,8\n")
    assert read("one.csv", drop=drop).feature_names == ("id",)


@pytest.mark.parametrize("by", ["{}", "column {}"])
def test_each_column_that_is_left_out_is_looked_up_once(by):
    class Name(str):
        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other):
            Name.compared += 1
            return str.__eq__(self, other)

    names = [Name(f"column {number}") for number in range(300)]
    assert datasets.columns.Choice("x.csv", [by.format(number) for number in range(299)])(names, 300) == [299]
    assert Name.compared < 300 * 10


def test_a_column_whose_place_is_a_known_name_is_left_out(capsys):
    names = ["tea", "with, milk", "rum", "1"]
    machine = HelmholtzMachine((2,), n_iter=1).fit(Bits._joined([Bits.from_dense(ROWS)], tuple(names)))
    machine.save("model.npz")
    for place in range(5):
        with open("more.csv", "w", newline="") as file:
            csv.writer(file).writerows([np.insert(names, place, "extra"), *np.insert(ROWS, place, 7, 1).tolist()])
        assert main(["score", "model.npz", "more.csv", "-o", "scores.npy"]) == 0
        assert "more.csv: left out column 'extra', which" in capsys.readouterr().err
        np.testing.assert_array_equal(np.load("scores.npy"), machine.score_samples(Bits.from_dense(ROWS)))


def test_all_columns_of_a_name_are_left_out():
    Path("twice.csv").write_text("id,tea,id\n7,1,7\n8,0,8\n")
    assert read("twice.csv", drop="id") == Bits.from_dense([[1], [0]])


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


@pytest.mark.parametrize("typed", [["--drop", ',id,"with, milk"'], ["--drop", "0,1", "--drop", '"with, milk"']])
def test_the_command_line_takes_names_as_a_csv_has_them(typed):
    assert main(["train", "all.csv", *MACHINE, *typed, "--epochs", "1"]) == 0
    assert HelmholtzMachine.load("model.npz").feature_names_in_.tolist() == ["tea", "3", "rum"]


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


def test_numbers_that_train_took_are_places_for_all_commands(capsys):
    cells = [[f"d{row}", "f", *row_of] for row, row_of in enumerate(CELLS[:20, :4])]
    for names, left in (["date", "sex", "0", "1", "2", "3"], "0123"), (["date", "sex", *"5678"], "5678"):
        with open("frame.csv", "w", newline="") as file:
            csv.writer(file).writerows([names, *cells])
        for command in commands("frame.csv", "--drop", "0,1"):
            if command[0] == "score":
                assert main(["train", "frame.csv", *MACHINE, "--epochs", "1", "--drop", "0,1", "--overwrite"]) == 0
            assert main(command) == 0, capsys.readouterr().err
            assert HelmholtzMachine.load("model.npz").feature_names_in_.tolist() == list(left)


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


def commands(data, *options):
    yield ["score", "model.npz", data, "-o", "scores.csv", *options]
    yield ["diagnose", "model.npz", data, *options]
    yield ["impute", "model.npz", data, "-o", "filled.csv", *options]
    yield ["train", data, *MACHINE, "--epochs", "3", "--resume", *options]


@pytest.mark.parametrize("number", range(4))
def test_columns_that_the_machine_does_not_know_are_left_out_and_told(number, model, capsys):
    (command,) = list(commands("all.csv"))[number : number + 1]
    assert main(command) == 0
    assert capsys.readouterr().err == told("columns '', 'id'")
    (command,) = list(commands("all.csv", "--drop", ",id"))[number : number + 1]
    assert main([*command, "--epochs", "4"] if command[0] == "train" else command) == 0
    assert not capsys.readouterr().err


def test_only_what_was_not_asked_for_is_told(model, capsys):
    assert main(["score", model, "all.csv", "--drop", "0"]) == 0
    assert capsys.readouterr().err == told("column 'id'")
    machine = HelmholtzMachine.load(model)
    assert main(["score", model, "all.csv", "-o", "scores.csv"]) == 0
    expected = machine.score_samples(Bits.from_dense(ROWS))
    scores = np.loadtxt("scores.csv", str, delimiter=",")
    np.testing.assert_allclose(scores[1:, 2].astype(float), expected, rtol=1e-9)
    np.testing.assert_array_equal(scores[:, :2], [["", "id"], *([n, f"p{n}"] for n in range(60))])
    assert scores[0, 2] == "log_likelihood"


CUSTOMERS = [
    'rum,when,3,"said, ""why""",tea,"with, milk"', '1,2024-01-01, ,"more, and ""more""",0,1', "",
    "0,2024-01-02,1,,,NA", ",,0,nothing,1,0", "",
]  # fmt: skip
DROPPED = ["--drop", "when", "--drop", '"said, ""why"""']


@pytest.mark.parametrize("source", ["customers.csv", "customers.csv.gz"])
@pytest.mark.parametrize("drop", [DROPPED, []], ids=["drop", "unknown"])
def test_what_was_left_out_is_written_as_it_was_read_and_where(source, drop, model):
    opened = gzip.open if source.endswith(".gz") else open
    with opened(source, "wt") as file:
        file.write("\n".join(CUSTOMERS))
    assert main(["impute", model, source, "-o", "filled.npy", "--draws", *drop]) == 0
    assert main(["impute", model, source, "-o", "filled.csv", "--draws", *drop]) == 0
    header, first, second, third = csv.reader(Path("filled.csv").read_text().splitlines())
    assert header == ["rum", "when", "3", 'said, "why"', "tea", "with, milk"]
    assert (first[1], first[3]) == ("2024-01-01", 'more, and "more"')
    assert (second[1], second[3], third[1], third[3]) == ("2024-01-02", "", "", "nothing")
    filled = [[line[header.index(name)] for name in NAMES] for line in (first, second, third)]
    np.testing.assert_array_equal(np.array(filled, int), np.load("filled.npy"))
    assert (first[0], first[4:], second[0], second[2], third[2]) == ("1", ["0", "1"], "0", "1", "0")


def test_rows_without_names_are_written_whole_too():
    Path("bare.csv").write_text("".join(f"{n},a{n},{n % 2},{n // 2 % 2}\n" for n in range(8)))
    assert main(["train", "bare.csv", *MACHINE, "--drop", "0,1", "--epochs", "1"]) == 0
    assert main(["impute", "model.npz", "bare.csv", "-o", "filled.csv", "--drop", "0,1"]) == 0
    assert Path("filled.csv").read_text() == Path("bare.csv").read_text()
    assert main(["score", "model.npz", "bare.csv", "-o", "scores.csv", "--drop", "0,1"]) == 0
    header, *lines = Path("scores.csv").read_text().splitlines()
    assert header == ",,log_likelihood"
    assert [line.split(",")[:2] for line in lines] == [[f"{n}", f"a{n}"] for n in range(8)]


def test_rows_without_names_get_those_of_the_machine(model):
    Path("bare.csv").write_text("1,7,0,1,1\n0,8,0,1,0\n")
    assert main(["impute", model, "bare.csv", "-o", "filled.csv", "--drop", "1"]) == 0
    assert Path("filled.csv").read_text() == 'tea,,"with, milk",3,rum\n1,7,0,1,1\n0,8,0,1,0\n'


def test_a_machine_without_names_wants_the_option_again(capsys):
    np.save("x.npy", np.column_stack([np.arange(60), ROWS]))
    assert main(["train", "x.npy", *MACHINE, "--drop", "0", "--epochs", "1"]) == 0
    assert main(["score", "model.npz", "x.npy"]) == 1
    wants = "x.npy has 5 features, but HelmholtzMachine is expecting 4; want the --drop that it was trained with"
    assert capsys.readouterr().err.startswith(f"wakesleep: error: {wants}")
    np.save("few.npy", ROWS[:, 1:])
    assert main(["score", "model.npz", "few.npy"]) == 1
    wants = "few.npy has 3 features, but HelmholtzMachine is expecting 4 features as input"
    assert capsys.readouterr().err == f"wakesleep: error: {wants}\n"
    for command in commands("x.npy", "--drop", "0"):
        assert main(command) == 0
    assert not capsys.readouterr().err


def test_both_splits_lack_what_is_left_out():
    np.savez("x.npz", train=CELLS, test=CELLS[:9])
    how = ["x.npz", *MACHINE, "--split", "train", "--held-out-split", "test", "--drop", "0,66", "--epochs", "1"]
    assert main(["train", *how]) == 0
    assert HelmholtzMachine.load("model.npz").n_features_in_ == 68


def test_a_large_file_stays_on_disk_when_columns_are_left_out():
    np.save("x.npy", CELLS)
    mapped = np.load("x.npy", mmap_mode="r")
    table = datasets.columns.of_columns(mapped, [2, 1])
    assert not isinstance(table, np.ndarray)
    np.testing.assert_array_equal(table[slice(3, 5)], CELLS[3:5, [2, 1]])
    assert datasets.columns.of_columns(mapped, list(range(70))) is mapped
    np.testing.assert_array_equal(datasets.columns.of_columns(CELLS[:, :2], [1, 0]), CELLS[:, [1, 0]])


def test_names_are_as_many_as_features():
    words = np.zeros((2, 1), np.uint64)
    assert Bits(words, 3, feature_names=("a", "b", "c"))[[1]].feature_names == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"^feature_names: want 3, one for each feature, got 2$"):
        Bits(words, 3, feature_names=("a", "b"))
    with pytest.raises(ValueError, match=r"^feature_names: want 3, one for each feature, got 4$"):
        Probabilities(np.zeros((2, 3)), feature_names=tuple("abcd"))
    for wrong in (3, "abc", {"a", "b", "c"}, np.array("abc")):
        for make, of in ((Bits, (words, 3)), (Probabilities, (np.zeros((2, 3)),))):
            with pytest.raises(TypeError, match=r"^feature_names: want a sequence of 3 str, got "):
                make(*of, feature_names=wrong)
    assert Bits(words, 3, feature_names=np.array(["a", "b", "c"])).feature_names == ("a", "b", "c")
