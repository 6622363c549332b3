"""What the command line does, save training: sample, score, diagnose, info; and what all commands share."""

from __future__ import annotations

import argparse
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import wakesleep
from wakesleep import CheckpointError, datasets, drawing, hyperparameters, likelihood
from wakesleep.datasets.readers import SplitError
from wakesleep.machine import HelmholtzMachine
from wakesleep.rows import Rows, as_rows

N_DRAWN = 8  # images in a row
PARAMS = tuple(HelmholtzMachine().get_params())
OPTIONS = {name: f"--{name.replace('_', '-')}" for name in (*PARAMS, "method", "shape")} | {
    "hidden_layer_sizes": "--hidden", "n_particles": "--particles", "n_iter": "--epochs", "n_threads": "--threads",
    "random_state": "--seed", "n_steps": "--steps", "n_samples": "-n", "X": "DATA",
    "validation": "--held-out, --held-out-split",
}  # fmt: skip  # what one types here for an argument of Python


def failed(error: BaseException, status: int = 1, more: str = "") -> int:
    """Tell an error in one line, and return the exit status."""
    message = str(error)
    if not isinstance(error, CheckpointError | OSError):
        message = re.sub(r"^\w+(?=[: ])|(?<=[ (/])\w+_\w+(?=[ :,])", lambda m: OPTIONS.get(m[0], m[0]), message)
    if isinstance(error, MemoryError):
        message = f"out of memory: {error}" if message else "out of memory"
    elif isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    print("wakesleep: error:", " ".join(f"{message}{more}".split()), file=sys.stderr)
    return status


def check_output(path: str, data: str | None = None, kinds: Sequence[str] = ()) -> None:
    """Refuse to begin work whose result could not be written to `path` afterwards, or would overwrite the data."""
    if kinds and Path(path).suffix not in kinds:
        raise ValueError(f"--output: want a {' or '.join(kinds)} file, got {path}")
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise ValueError(f"{path}: want a file in a folder that exists")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{path}: want a file in a folder that can be written to")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path}: want a regular file to write to")
    if data is not None and os.path.exists(path) and os.path.exists(data) and os.path.samefile(data, path):
        raise ValueError(f"{path}: want another file to write to than the data")


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Whatever goes wrong while a file is written, the error names the file."""
    try:
        yield
    except OSError as error:
        if error.filename:
            raise
        raise OSError(error.errno or errno.EIO, error.strerror or f"not written to its end: {error}", path) from error


def read(
    path: str | None, split: str | None, binarize: float | str | None, n_features: int | None = None,
    option: str = "--split", missing: str | None = None,
) -> Rows:  # fmt: skip
    """The rows of a file, or the digits in the package; `option` is what the split was asked for by."""
    if path is None and split is not None:
        raise ValueError(f"{option}: want DATA, since the digits in the package have no splits")
    try:
        if path is None:
            data: Rows = datasets.load_digits()
        else:
            data = datasets.read(path, split=split, binarize=binarize, missing=missing)
    except SplitError as error:
        raise ValueError(str(error).replace("split", option, 1)) from error
    return as_rows(data, binarize=binarize, n_features=n_features, name=path or "DATA", missing=missing)


def read_both(args: argparse.Namespace) -> tuple[HelmholtzMachine, Rows]:
    """A machine and rows to measure it on, which are compared with its own threshold if none is given."""
    machine = HelmholtzMachine.load(args.model)
    binarize = machine.binarize if args.binarize is None else args.binarize
    return machine, read(args.data, args.split, binarize, machine.n_features_in_, missing=machine.missing)


def how(machine: HelmholtzMachine, method: str, n_particles: int) -> str:
    """How log p(x) was found, for a line of a report."""
    n_hidden = sum(machine.hidden_layer_sizes)
    return "exact" if likelihood.chosen(method, n_hidden, n_particles) == "exact" else f"K = {n_particles:,}"


def mean(values: NDArray[np.float64]) -> str:
    """A mean and its standard error, which a single row does not have, nats."""
    error = f" +- {likelihood.standard_error(values):.3f}" if len(values) > 1 else ""
    return f"{values.mean():9.3f}{error}"


def draw(title: str, rows: NDArray[Any], shape: tuple[int, int]) -> None:
    """Print rows as images of this shape, as many as the terminal has columns for."""
    print(f"\n{title}:")
    columns = shutil.get_terminal_size().columns
    unicode = drawing.supports_unicode(sys.stdout)
    print(drawing.draw([rows], height=shape[0], width=shape[1], unicode=unicode, max_columns=columns))


def sample(args: argparse.Namespace) -> int:
    """Draw fantasies: onto the terminal, or into a file."""
    if args.output is not None:
        check_output(args.output, kinds=(".npy", ".bits"))
    machine = HelmholtzMachine.load(args.model)
    fantasies = machine.sample(args.n_samples, random_state=args.random_state, bits=True)
    shape = drawing.image_shape(fantasies.n_features, args.shape)
    if args.output is not None:
        with writing(args.output):
            if args.output.endswith(".bits"):
                fantasies.save(args.output)
            else:
                np.save(args.output, fantasies.to_dense())
    elif shape is None:
        for row in fantasies.to_dense():
            print("".join(map(str, row)))
    else:
        fitting = max(1, (shutil.get_terminal_size().columns + 2) // (shape[1] + 2))
        for first in range(0, args.n_samples, fitting):
            draw("fantasies" if first == 0 else "more", fantasies[first : first + fitting].to_dense(), shape)
    return 0


def score(args: argparse.Namespace) -> int:
    """Tell how probable rows are."""
    if args.output is not None:
        check_output(args.output, args.data, kinds=(".npy",))
    machine, data = read_both(args)
    values = machine.score_samples(
        data, method=args.method, n_particles=args.n_particles, random_state=args.random_state, n_steps=args.n_steps
    )
    estimate = how(machine, args.method, args.n_particles)
    if args.method == "ais":
        estimate += f", T = {args.n_steps:,}"
    if args.output is not None:
        with writing(args.output):
            np.save(args.output, values)
    print(f"rows                         {len(data):9,}")
    measure = "ELBO" if args.method == "elbo" else "log p(x)"
    print(f"{measure + ', nats':28} {mean(values)}  ({estimate})")
    print(f"reconstruction cross-entropy {machine.reconstruction_cross_entropy(data):9.3f}")
    return 0


def impute(args: argparse.Namespace) -> int:
    """Fill missing cells in, and write the rows to a file."""
    check_output(args.output, args.data, kinds=(".npy", ".csv"))
    machine = HelmholtzMachine.load(args.model)
    data = read(args.data, args.split, machine.binarize, machine.n_features_in_, missing="marginalise")
    filled = machine.impute(data, n_particles=args.n_particles, draws=args.draws, random_state=args.random_state)
    with writing(args.output):
        if args.output.endswith(".csv"):
            np.savetxt(args.output, filled, fmt="%d" if args.draws else "%.6g", delimiter=",")
        else:
            np.save(args.output, filled)
    return 0


def diagnose(args: argparse.Namespace) -> int:
    """Tell at which level likelihood is lost, and which units do nothing."""
    machine, data = read_both(args)
    print(machine.diagnostics(data, n_particles=args.n_particles, random_state=args.random_state))
    return 0


def _in_effect(machine: HelmholtzMachine) -> list[tuple[str, Any]]:
    """The arguments of a machine, with what stands for those that were left out."""
    params = machine.get_params()
    settings = hyperparameters.settings(params)
    params |= {
        "n_particles": settings.rule.n_particles, "random_state": machine._state.seed,
        "n_threads": hyperparameters.threads(settings.n_threads),
    }  # fmt: skip
    pairs = {
        "sleep_weight": (settings.rule.sleep_weight, settings.final_sleep_weight),
        "learning_rate": settings.learning_rates,
    }
    params |= {name: first if first == last else f"{first:g},{last:g}" for name, (first, last) in pairs.items()}
    unused = ("hidden_layer_sizes", "verbose")
    return [(name, "none" if value is None else value) for name, value in params.items() if name not in unused]


def info(args: argparse.Namespace) -> int:
    """Tell what a file holds, or without one, what runs here."""
    if args.model is None:
        wakesleep.show_config()
        return 0
    machine = HelmholtzMachine.load(args.model)
    sizes = (machine.n_features_in_, *machine.hidden_layer_sizes)
    rows = [
        ("file", args.model), ("levels", "-".join(map(str, sizes))), ("epochs", machine.n_iter_),
        ("steps", machine.step_), ("best epoch", machine.best_epoch_), *_in_effect(machine),
    ]  # fmt: skip
    if machine._given is not None:
        rows += [
            (name, f"{part.n_rows:,}")
            for name, part in zip(("rows", "held-out rows"), machine._given, strict=True)
            if part is not None
        ]
    for name, value in (machine.history_[-1] if machine.history_ else {}).items():
        if name not in ("epoch", "step"):
            rows.append((f"last {name.replace('_', ' ')}", f"{value:.6g}" if isinstance(value, float) else value))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name.replace('_', ' ').ljust(width)}  {value}")
    return 0
