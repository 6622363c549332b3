"""What runs here, and what the environment decides about it."""

import os
import re
import subprocess
import sys

import pytest

import wakesleep
from wakesleep import _panels, processors

SCRIPT = "import sys\nfrom wakesleep.cli import main\nsys.exit(main())\n"  # as pip writes it


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, env=os.environ | environment, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(params=["script", "module"])
def program(request, tmp_path):
    """The command line's program, in the two ways that there are to run it."""
    if request.param == "module":
        return ["-m", "wakesleep"]
    (tmp_path / "wakesleep").write_text(SCRIPT)
    return [str(tmp_path / "wakesleep")]


def test_the_level_in_use_is_shown(cpu_level):
    found = wakesleep.show_config(mode="dicts")["instruction_set"]
    assert found["in_use"] == cpu_level
    assert found["available"] == _panels.cpu_levels()


def test_what_is_printed_is_what_is_returned(capsys, monkeypatch):
    monkeypatch.delenv("WAKESLEEP_NUM_THREADS", raising=False)
    assert wakesleep.show_config() is None
    lines = [re.split(" {2,}", line) for line in capsys.readouterr().out.splitlines()]
    found = wakesleep.show_config(mode="dicts")
    assert [name for name, _ in lines] == [name.replace("_", " ") for name in found]
    printed = dict(lines)
    for name in ("wakesleep", "python", "numpy", "platform"):
        assert printed[name] == found[name]
    assert found["threads"]["default"] == processors.count()
    assert printed["threads"] == f"{found['threads']['default']} (the processors that this process may use)"


def test_what_the_environment_forces_is_called_so():
    out = run("-m", "wakesleep", "info", WAKESLEEP_CPU="baseline", WAKESLEEP_NUM_THREADS="3").stdout
    assert "instruction set  baseline (of " in out
    assert "; forced by WAKESLEEP_CPU)" in out
    assert "3 (forced by WAKESLEEP_NUM_THREADS)" in out
    assert "forced" not in run("-m", "wakesleep", "info", WAKESLEEP_CPU="", WAKESLEEP_NUM_THREADS="").stdout


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"^mode: want one of stdout, dicts, got 'json'"):
        wakesleep.show_config("json")


@pytest.mark.parametrize(
    ("name", "fault"),
    [("WAKESLEEP_CPU", "want one of baseline"), ("WAKESLEEP_NUM_THREADS", "want a whole number from 1")],
)
@pytest.mark.parametrize("command", ["train", "info"])
def test_a_wrong_variable_is_wrong_usage(program, command, name, fault):
    result = run(*program, command, **{name: "foo"})
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"wakesleep: error: {name}: {fault}")
    assert result.stderr.endswith(", got 'foo'\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("code", ["import wakesleep", "from wakesleep import cli"])
def test_in_python_a_wrong_level_is_an_error_to_catch(code):
    result = run("-c", code, WAKESLEEP_CPU="foo")
    assert result.returncode == 1
    assert "\nValueError: WAKESLEEP_CPU: want one of baseline" in result.stderr
