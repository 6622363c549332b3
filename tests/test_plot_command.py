"""`wakesleep plot`: files that matplotlib writes, the rows that they show, and errors of one line."""

import errno
import subprocess
import sys
from xml.parsers import expat

import pytest
from checks import posix
from machines import DIGITS, random_machine, small

from wakesleep import plotting
from wakesleep.cli import main

pytest.importorskip("matplotlib")

FIGURES = ("curves", "fields", "fantasies", "reconstructions", "activity")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    machine = small(n_iter=4, batch_size=20, learning_rate=0.3).fit(DIGITS[:500], validation=DIGITS[500:700])
    path = tmp_path_factory.mktemp("models") / "some.npz"
    machine.save(path)
    return str(path)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_ending_of_the_file_decides(model, tmp_path, capsys, kind, ending, begins):
    for name in ("one", "two"):
        assert main(["plot", model, "--kind", kind, "-o", f"{name}.{ending}"]) == 0
    assert capsys.readouterr().out == f"saved to one.{ending}\nsaved to two.{ending}\n"
    one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
    assert one.startswith(begins)
    assert one == two


def test_the_ending_may_be_in_capitals(model, tmp_path, capsys):
    assert main(["plot", model, "--kind", "fields", "-o", "x.PNG"]) == 0
    assert (tmp_path / "x.PNG").read_bytes().startswith(b"\x89PNG")


def test_all_in_one_is_the_default(model, tmp_path, capsys, monkeypatch):
    seen = []
    overview = plotting.overview
    monkeypatch.setattr(
        plotting, "overview", lambda m, X, **how: seen.append((X, how)) or overview(m, X, **how)
    )
    assert main(["plot", model]) == 0
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")
    assert seen == [(DIGITS, {"shape": None})]


@pytest.mark.parametrize(
    ("kind", "options", "n_rows", "how"),
    [
        ("reconstructions", "--shape 4x16 --layer 0", 1797, {"shape": (4, 16)}), ("activity", "--layer 0", 1797, {}),
        ("fields", "--layer 1", None, {"shape": None}), ("fantasies", "-n 7 --seed 3", None, {"shape": None}),
    ],
)  # fmt: skip
def test_rows_and_options_come_to_the_picture(model, monkeypatch, capsys, kind, options, n_rows, how):
    seen, draw = [], getattr(plotting, kind)
    monkeypatch.setattr(plotting, kind, lambda m, *X, **how: seen.append((*map(len, X), how)) or draw(m, *X, **how))
    assert main(["plot", model, "--kind", kind, *options.split()]) == 0
    given = {name: {"layer": 0} for name in ("activity", "reconstructions")}
    given |= {"fields": {"layer": 1}, "fantasies": {"n_samples": 7, "random_state": 3}}
    assert seen == [(*([] if n_rows is None else [n_rows]), how | given.get(kind, {}))]


def test_a_machine_of_other_rows_is_drawn_without_the_digits(tmp_path, capsys):
    machine = random_machine((12, 5))
    for history in ([], [{"epoch": 1, "step": 3}]):
        machine.history_ = history
        machine.save(tmp_path / "m.npz")
        assert main(["plot", "m.npz", "--shape", "3x4"]) == 0
        assert capsys.readouterr().out == (
            "left out: curves, since no epoch was measured\n"
            "left out: reconstructions and activity, for want of DATA with 12 features\n"
            "saved to m.png\n"
        )
    assert main(["plot", "m.npz", "--kind", "activity"]) == 1
    assert "DATA: want a file of 12 features, since the digits in the package have 64" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        (["--split", "q"], "--split: want DATA"), (["--drop", "tea"], "--drop: want DATA"),
        (["--binarize", "0"], "DATA: want a file of 12 features"),
    ],
)  # fmt: skip
def test_how_rows_are_read_is_not_said_of_none(capsys, option, fault):
    random_machine((12, 5)).save("m.npz")
    assert main(["plot", "m.npz", *option]) == 1
    assert capsys.readouterr().err.startswith(f"wakesleep: error: {fault}")


def test_characters_of_a_name_that_cannot_be_shown_are_written_as_escapes(capsys, tmp_path):
    machine = random_machine((4, 3))
    machine._feature_names = ("a\x1bb", *"bcd")
    machine.save("m.npz")
    assert main(["plot", "m.npz", "-o", "m.svg"]) == 0
    assert capsys.readouterr().err == ""
    picture = (tmp_path / "m.svg").read_text(encoding="utf-8")
    expat.ParserCreate().Parse(picture, True)
    assert r"a\x1bb" in picture


def test_a_character_that_the_font_lacks_is_told_once(tmp_path, capsys):
    machine = random_machine((4, 3))
    machine._feature_names = tuple("\N{CJK UNIFIED IDEOGRAPH-5496}bcd")
    machine.save("m.npz")
    assert main(["plot", "m.npz", "-o", "m.svg"]) == 0
    assert capsys.readouterr().err.count("Glyph 21654") == 1


@posix
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_disk_that_is_full_leaves_the_old_picture_alone(tmp_path, ending):
    path, script = tmp_path / f"x.{ending}", """if True:
        import resource, sys
        import numpy as np
        from wakesleep import plotting
        axes = plotting.images(np.eye(9))
        plotting.save(axes, sys.argv[1])
        old = open(sys.argv[1], "rb").read()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # stands for a disk that is full
        try:
            plotting.save(axes, sys.argv[1])
        except OSError as error:
            print(error.errno, error.filename)
        assert open(sys.argv[1], "rb").read() == old
        assert len(old) > 1000
    """
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EFBIG), str(path)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_at_fault_is_named_though_another_is_written(model, monkeypatch, capsys):
    def lacking(axes, path):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "some font.ttf")

    monkeypatch.setattr(plotting, "save", lacking)
    assert main(["plot", model, "--kind", "fields"]) == 1
    assert capsys.readouterr().err == "wakesleep: error: some font.ttf: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["-o", "x.pdf"], "--output: want a .png or .svg file, got x.pdf"),
        (["--kind", "curves", "--layer", "1"], "--layer: want --kind fields or reconstructions or activity with it"),
        (["--layer", "1"], "--layer: want --kind fields or reconstructions or activity with it, got all"),
        (["--kind", "fields", "-n", "3"], " -n: want --kind fantasies with it, got fields"),
        (["--kind", "activity", "--seed", "3"], "--seed: want --kind fantasies with it, got activity"),
        (["nofile.csv", "--kind", "fields"], "DATA: want --kind all or reconstructions or activity with it, got"),
        (["--kind", "curves", "--split", "q"], "--split: want --kind all or reconstructions or activity with it, got"),
        (["--kind", "fantasies", "--drop", "nope"], "--drop: want --kind all or reconstructions or activity with it"),
        (["--kind", "fields", "--binarize", "0"], "--binarize: want --kind all or reconstructions or activity with it"),
        (["--kind", "activity", "--shape", "8x8"], "--shape: want --kind all or fields or fantasies or"),
        (["-o", ""], "--output: want the name of a file, got ''"),
        (["--kind", "fields", "--layer", "2"], "--layer: want a hidden level from -2 to 1, got 2"),
        (["--shape", "4x4"], "--shape: want (height, width) with height × width = 64, got (4, 4)"),
        (["missing.npy"], "missing.npy: No such file"),
        (["--kind", "fantasies", "-n", "0"], " -n: want a whole number from 1"),
    ],
)
def test_its_errors_are_one_line(model, capsys, arguments, fault):
    assert main(["plot", model, *arguments]) == 1
    err = capsys.readouterr().err
    assert fault in err
    assert err.count("\n") == 1


def test_without_matplotlib_the_command_says_so_in_one_line(model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["plot", model]) == 2
    assert capsys.readouterr() == (
        "", "wakesleep: error: pictures need matplotlib: pip install 'wakesleep[plot]'\n"
    )  # fmt: skip
