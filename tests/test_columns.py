"""Columns that are left out of a file, by name or number; an index, which is refused; those that a machine knows."""

import csv
import gzip
import re
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


@pytest.mark.parametrize("typed", [["--drop", ',id,"with, milk"'], ["--drop", "0,1", "--drop", '"with, milk"']])
def test_the_command_line_takes_names_as_a_csv_has_them(typed):
    assert main(["train", "all.csv", *MACHINE, *typed, "--epochs", "1"]) == 0
    assert HelmholtzMachine.load("model.npz").feature_names_in_.tolist() == ["tea", "3", "rum"]


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
