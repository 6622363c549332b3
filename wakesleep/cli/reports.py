"""What commands tell: errors in one line, means with their errors, images."""

from __future__ import annotations

import ast
import errno
import re
import shlex
import shutil
import sys
from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import CheckpointError, drawing, likelihood
from wakesleep.datasets.csv_file import as_cell
from wakesleep.drawing import printable
from wakesleep.hyperparameters import count
from wakesleep.machine import HelmholtzMachine

USAGE = 2  # exit status after wrong usage, as argparse has it
FULL = errno.ENOSPC, errno.EFBIG, errno.EDQUOT  # of a file without a name: all others are named
N_DRAWN = 8  # images in a row
PARAMS = tuple(HelmholtzMachine().get_params())
OPTIONS = {name: f"--{name.replace('_', '-')}" for name in (*PARAMS, "drop", "layer", "method", "shape")} | {
    "hidden_layer_sizes": "--hidden", "n_particles": "--particles", "n_iter": "--epochs", "n_threads": "--threads",
    "random_state": "--seed", "n_steps": "--steps", "n_samples": "-n", "X": "DATA",
    "validation": "--held-out, --held-out-split",
}  # fmt: skip  # what one types here for an argument of Python

WORDS = {
    'missing="marginalise"': "train --missing marginalise", "want None with": "want none with",
    'binarize="sample"': "--binarize sample", "binarize=": "--binarize ",
    "threshold or fewer columns": "threshold or --drop",
}  # fmt: skip
QUOTED = r"""(?<![\w=])(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
DROPPED = re.compile(r"drop=(\[[\d\0, ]*\])(?= leaves|, if)")
PATHS = "data", "model", "output", "log"


def failed(error: BaseException, args: Namespace, status: int = 1, more: str = "") -> int:
    """Tell an error in one line, and return the exit status; `args` is what was typed."""
    message = str(error)
    if not isinstance(error, CheckpointError | OSError):
        message = as_typed(message, args)
    if isinstance(error, MemoryError):
        message = f"out of memory: {error}" if message else "out of memory"
    elif isinstance(error, OSError) and error.strerror and (error.filename or error.errno in FULL):
        message = f"{error.filename or 'standard output'}: {error.strerror}"
    print("wakesleep: error:", printable(re.sub(r"\s*\n\s*", " ", f"{message}{more}")), file=sys.stderr)
    return status


def as_typed(message: str, args: Namespace) -> str:
    """A message with options in place of arguments of Python, and the file of X in place of that.

    Names in quotes, and paths that were typed, stay what they are.
    """
    names = OPTIONS | {"X": getattr(args, "data", None) or "X"}
    paths = sorted((text for text in map(vars(args).get, PATHS) if text), key=len)
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return f"\0{len(kept) - 1}\0"

    message = re.sub("|".join([*map(re.escape, reversed(paths)), QUOTED]), lambda found: keep(found[0]), message)
    message = re.sub(r"(?<=: want )None or | or None(?=, got| to impute)", "", message)  # None cannot be typed
    for python, typed in WORDS.items():
        message = message.replace(python, typed)
    message = re.sub(r"^\w+(?=[: ])|(?<=[ (/])\w+_\w+(?=[ :,])", lambda m: names.get(m[0], m[0]), message)

    def again(text: str) -> str:
        return re.sub("\0(\\d+)\0", lambda found: kept[int(found[1])], text)

    return again(DROPPED.sub(lambda found: keep(_as_typed_columns(again(found[1]))), message))


def _as_typed_columns(drop: str) -> str:
    typed = shlex.quote(",".join(as_cell(str(column)) for column in ast.literal_eval(drop)))
    return f"--drop={typed}" if typed.startswith("-") else f"--drop {typed}"


def n_of(number: int, unit: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def saved_to(path: object) -> None:
    """Tell where something is now."""
    print(f"saved to {printable(path)}")


def begin(machine: HelmholtzMachine, n_rows: int, n_particles: int | None, path: str | None) -> None:
    """Tell what is now measured, because that may take minutes, and that without a file it is not only new rows."""
    samples = "" if n_particles is None else f", {n_of(count('n_particles', n_particles), 'sample')} for each"
    levels = "-".join(map(str, (machine.n_features_in_, *machine.hidden_layer_sizes)))
    print(f"{n_of(n_rows, 'row')}{samples}; levels {levels}", flush=True)
    if path is None:
        print("no DATA: all digits in the package, those learned from among them", flush=True)


def how(machine: HelmholtzMachine, method: str, n_particles: int) -> str:
    """How log p(x) was found, for a line of a report."""
    n_hidden = sum(machine.hidden_layer_sizes)
    return "exact" if likelihood.chosen(method, n_hidden, n_particles) == "exact" else f"K = {n_particles:,}"


def mean(values: NDArray[np.float64], shared: float = 0.0) -> str:
    """A mean and its standard error, which a single row does not have, nats."""
    error = f" +- {likelihood.standard_error(values, shared):.3f}" if len(values) > 1 else ""
    return f"{values.mean():9.3f}{error}"


def draw(title: str, rows: NDArray[Any], shape: tuple[int, int]) -> None:
    """Print rows as images of this shape, as many as the terminal has columns for."""
    print(f"\n{title}:")
    columns = shutil.get_terminal_size().columns
    unicode = drawing.supports_unicode(sys.stdout)
    print(drawing.draw([rows], height=shape[0], width=shape[1], unicode=unicode, max_columns=columns))
