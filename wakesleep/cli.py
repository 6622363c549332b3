"""The command line: train, sample, score, info."""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import wakesleep
from wakesleep import _core, datasets, drawing, hyperparameters, likelihood, monitor
from wakesleep._panels import PRECISIONS, check_precision
from wakesleep.bits import Bits, as_bits
from wakesleep.machine import HelmholtzMachine
from wakesleep.optimizers import OPTIMIZERS
from wakesleep.rules import BASELINES, RULES
from wakesleep.training import DivergenceError

N_DRAWN = 8  # images in a row
FINAL_ROWS, FINAL_PARTICLES = 10_000, 1000  # what the report after training takes: half a minute, not hours
SECONDS_BETWEEN_SAVES = 30.0
STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
USAGE, INTERRUPTED = 2, 130  # exit status after wrong usage, as argparse has it; after Ctrl-C, as shells have it

EPILOG = """\
examples:
  wakesleep train                                   the 8x8 digits that come with the package
  wakesleep train data.csv -o data-model.npz        rows of 0 and 1, or numbers (see --binarize)
  wakesleep train mnist.npz --split train --held-out-split test --hidden 200 --batch-size 100
  wakesleep sample digits-model.npz -n 8
  wakesleep score digits-model.npz data.npy --particles 10000
  wakesleep info digits-model.npz
"""

DATA_HELP = "rows to read: .npy, .npz, .csv, .bits or IDX (also .gz)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.  Returns the exit status: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
    args = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        hyperparameters.threads(None)
    except ValueError as error:  # a wrong variable of the environment is wrong usage
        return _failed(error, USAGE)
    try:
        status = command(args)
        print(end="", flush=True)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("wakesleep: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (MemoryError, OSError, ValueError, TypeError) as error:
        return _failed(error)
    return status


def _failed(error: BaseException, status: int = 1, more: str = "") -> int:
    """Tell an error in one line, and return the exit status."""
    message = str(error)
    if isinstance(error, MemoryError):
        message = f"out of memory: {error}" if message else "out of memory"
    elif isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    print("wakesleep: error:", " ".join(f"{message}{more}".split()), file=sys.stderr)
    return status


class _Help(argparse.HelpFormatter):
    """Help that tells the defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        return text if action.default in (None, False, argparse.SUPPRESS) else f"{text} (default: %(default)s)"


def parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    top = argparse.ArgumentParser(
        prog="wakesleep",
        description="Train deep Helmholtz machines on binary data, and use them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"wakesleep {wakesleep.__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".",
            formatter_class=_Help,
        )  # fmt: skip
        sub.set_defaults(command=command)
        return sub

    train = add("train", _train, "learn from data, measure on held-out rows, and save the machine")
    train.add_argument("data", nargs="?", metavar="DATA", help=f"{DATA_HELP}; the digits in the package if left out")
    train.add_argument("-o", "--output", metavar="MODEL", help="file to save to; DATA-model.npz if left out")
    train.add_argument("--split", metavar="NAME", help="which rows of an .npz to train on")
    held_out = train.add_mutually_exclusive_group()
    held_out.add_argument("--held-out", type=float, default=0.2, metavar="SHARE", help="share of rows to measure on")
    held_out.add_argument("--held-out-split", metavar="NAME", help="measure on these rows of the .npz instead")
    train.add_argument("--hidden", type=_numbers(int), default="32,16", metavar="N,N", help="units, bottom level first")
    train.add_argument("--rule", default="wake-sleep", choices=RULES, help="learning rule")
    train.add_argument("--particles", type=int, metavar="K", help="samples per row; 1 or 5 if left out, by the rule")
    train.add_argument("--sleep-weight", type=float, metavar="S", help="share of the sleep phase in what q learns")
    train.add_argument("--sleep-steps", type=int, default=1, metavar="N", help="dreams for each step")
    train.add_argument("--gamma", type=float, default=1.0, metavar="G", help="of rule ovis")
    train.add_argument("--baseline", default="geometric", choices=BASELINES, help="of rule vimco")
    train.add_argument("--optimizer", default="sgd", choices=OPTIMIZERS, help="what follows the gradient")
    train.add_argument("--weight-decay", type=float, default=0.0, metavar="D", help="per unit of the learning rate")
    train.add_argument("--clip-norm", type=float, metavar="C", help="largest norm of a model's gradient")
    train.add_argument("--epochs", type=int, default=40, metavar="N", help="passes over the rows")
    train.add_argument("--batch-size", type=int, default=20, metavar="N", help="rows per step")
    train.add_argument("--learning-rate", type=_numbers(float), default="0.3", metavar="R[,R]", help="of both, or p,q")
    train.add_argument("--seed", type=int, default=0, help="the same seed and rows give the same machine")
    train.add_argument("--precision", default="float32", choices=PRECISIONS, help="bf16x2: by AMX, less exact")
    train.add_argument("--threads", type=int, metavar="N", help="all processors if left out; results are the same")
    train.add_argument("--resume", action="store_true", help="go on with MODEL; all but --epochs as it was")
    train.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")

    sample = add("sample", _sample, "draw fantasies from a machine")
    sample.add_argument("model", metavar="MODEL", help="a file that train wrote")
    sample.add_argument("-n", type=int, default=N_DRAWN, metavar="N", help="how many")
    sample.add_argument("-o", "--output", metavar="FILE", help="write them to a .npy or .bits file")
    sample.add_argument("--seed", type=int, help="the machine's own if left out: the same fantasies every time")

    score = add("score", _score, "tell how probable rows are: log p(x) in nats")
    score.add_argument("model", metavar="MODEL", help="a file that train wrote")
    score.add_argument("data", nargs="?", metavar="DATA", help=f"{DATA_HELP}; the digits in the package if left out")
    score.add_argument("--split", metavar="NAME", help="which rows of an .npz")
    score.add_argument("--method", default="auto", choices=likelihood.METHODS, help="auto: exact if that is cheap")
    score.add_argument("--particles", type=int, default=1000, metavar="K", help="samples per row of an estimate")
    score.add_argument("--steps", type=int, default=likelihood.N_STEPS, metavar="T", help="of annealing, by ais")
    score.add_argument("--seed", type=int, help="the machine's own if left out")
    score.add_argument("-o", "--output", metavar="FILE", help="write log p(x) of every row to a .npy file")

    info = add("info", _info, "show what a file holds, or without one, what runs here")
    info.add_argument("model", nargs="?", metavar="MODEL", help="a file that train wrote")

    train.add_argument("--binarize", type=float, default=0.5, metavar="T", help="cells are 1 above this value")
    score.add_argument("--binarize", type=float, metavar="T", help="the machine's own if left out")
    for sub in (train, sample):
        sub.add_argument("--shape", type=_shape, metavar="HxW", help="draw rows as images of this shape")
    return top


def _numbers(kind: type) -> Callable[[str], tuple[Any, ...]]:
    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind(part) for part in text.split(","))

    parse.__name__ = f"list of {kind.__name__}s"
    return parse


def _shape(text: str) -> tuple[int, int]:
    height, width = (int(part) for part in text.lower().split("x"))
    return height, width


_shape.__name__ = "HxW"


# ---- commands ----


def _train(args: argparse.Namespace) -> int:
    output = args.output or f"{Path(args.data).name.split('.')[0] if args.data else 'digits'}-model.npz"
    _check_output(output, args.data)
    machine = HelmholtzMachine(
        args.hidden, args.rule, n_particles=args.particles, sleep_weight=args.sleep_weight,
        sleep_steps=args.sleep_steps, gamma=args.gamma, baseline=args.baseline, optimizer=args.optimizer,
        learning_rate=args.learning_rate[0] if len(args.learning_rate) == 1 else args.learning_rate,
        weight_decay=args.weight_decay, clip_norm=args.clip_norm, batch_size=args.batch_size, n_iter=args.epochs,
        binarize=args.binarize, precision=args.precision, random_state=args.seed,
    )  # fmt: skip
    hyperparameters.settings(machine.get_params())
    check_precision(args.precision)
    if args.resume:
        machine = _resumed(output, machine)
    machine.set_params(n_threads=args.threads, verbose=0 if args.quiet else 1)
    train, held_out = _split(args)
    shape = drawing.image_shape(train.n_features, args.shape)
    if not args.quiet:
        levels = "-".join(map(str, (train.n_features, *args.hidden)))
        measured = f"{min(len(held_out), monitor.MOST_ROWS):,} of {len(held_out):,}"
        print(f"{len(train):,} rows to learn from; {measured} held-out rows measured after each epoch; levels {levels}")
    begun, saved = getattr(machine, "step_", 0), time.monotonic()

    def keep(entry: dict[str, Any]) -> None:
        nonlocal saved
        if time.monotonic() > saved + SECONDS_BETWEEN_SAVES:
            _save(machine, output)
            saved = time.monotonic()

    alone = threading.current_thread() is threading.main_thread()  # the only one that is told of signals
    stopping = [number for number in STOPPING if alone and signal.getsignal(number) == signal.SIG_DFL]  # not nohup's
    for number in stopping:
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C
    try:
        machine.fit(train, validation=held_out, callbacks=[keep], resume=args.resume)
    except (KeyboardInterrupt, OSError, MemoryError, DivergenceError) as stopped:
        if getattr(machine, "step_", 0) == begun:
            raise
        _save(machine, output)
        done = f"{machine.n_iter_} epochs and {machine.step_} steps are in {output}"
        if not isinstance(stopped, KeyboardInterrupt | BrokenPipeError):
            return _failed(stopped, more=f"; {done}")
        print(f"wakesleep: interrupted; {done}; the same command with --resume goes on", file=sys.stderr)
        if isinstance(stopped, BrokenPipeError):
            raise
        return INTERRUPTED
    finally:
        for number in stopping:
            signal.signal(number, signal.SIG_DFL)
    _save(machine, output)
    if not args.quiet:
        _report(machine, train, held_out)
        if shape is not None:
            _draw("fantasies", machine.sample(N_DRAWN), shape)
            _draw("held-out rows", held_out[:N_DRAWN].to_dense(), shape)
            _draw("their reconstructions", machine.reconstruct(held_out[:N_DRAWN]) > 0.5, shape)
        print(f"\nsaved to {output}")
    return 0


def _resumed(path: str, wanted: HelmholtzMachine) -> HelmholtzMachine:
    """The machine of a file, if it is being trained in the way that is wanted; more epochs may be."""
    machine = HelmholtzMachine.load(path)
    found = machine.get_params() | {"hidden_layer_sizes": tuple(machine.hidden_layer_sizes)}
    for name, value in wanted.get_params().items():
        if name not in ("n_iter", "n_threads", "verbose") and found[name] != value:
            raise ValueError(f"--resume: want the {name} of {path}, which is {found[name]!r}, got {value!r}")
    if machine.n_iter_ >= wanted.n_iter:
        raise ValueError(f"--resume: {path} has {machine.n_iter_} epochs already, want more --epochs than that")
    return machine.set_params(n_iter=wanted.n_iter)


def _check_output(path: str, data: str | None = None, kinds: Sequence[str] = ()) -> None:
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


def _save(machine: HelmholtzMachine, path: str) -> None:
    copy.copy(machine).set_params(n_threads=None, verbose=0).save(path)  # which are of this run, not of the machine


def _split(args: argparse.Namespace) -> tuple[Bits, Bits]:
    """Rows to learn from, and rows held out: a keyed choice, so that sorted data are no trap."""
    data = _read(args.data, args.split, args.binarize)
    seed = hyperparameters.seed(args.seed)
    if args.held_out_split is not None:
        held_out = _read(args.data, args.held_out_split, args.binarize)
        return data, held_out[_core.epoch_order(seed, monitor.SPLIT, len(held_out))]
    if len(data) < 2:
        raise ValueError(f"{args.data}: want 2 rows or more, to hold some out, got {len(data)}")
    if not 0 < args.held_out < 1:
        raise ValueError(f"--held-out: want a share between 0 and 1, got {args.held_out:g}")
    n_held_out = round(len(data) * args.held_out)
    if not 0 < n_held_out < len(data):
        raise ValueError(f"--held-out: want 1 to {len(data) - 1} of {len(data)} rows, got {n_held_out}")
    order = _core.epoch_order(seed, monitor.SPLIT, len(data))
    return data[np.sort(order[n_held_out:])], data[order[:n_held_out]]


def _read(path: str | None, split: str | None, binarize: float | None) -> Bits:
    if path is None and split is not None:
        raise ValueError("--split, --held-out-split: want DATA, since the digits in the package have no splits")
    data = datasets.load_digits() if path is None else datasets.read(path, split=split, binarize=binarize)
    return as_bits(data, binarize=binarize, name=path or "data")


def _report(machine: HelmholtzMachine, train: Bits, held_out: Bits) -> None:
    """log p(x) of the held-out rows, beside that of independent units; of many, the first: they are in keyed order."""
    held_out = held_out[:FINAL_ROWS]
    values = machine.score_samples(held_out, n_particles=FINAL_PARTICLES)
    independent = likelihood.independent_log_likelihood(train, held_out)
    how = _how(machine, "auto", FINAL_PARTICLES)
    print(f"\nheld-out log p(x), nats  {_mean(values)}  ({how}, {len(held_out):,} rows)")
    print(f"independent units        {_mean(independent)}")
    better = values - independent
    print(f"better by                {_mean(better)}")
    if better.mean() < 0:
        print("worse than independent units: try a smaller --learning-rate, a larger --batch-size or more --epochs")


def _how(machine: HelmholtzMachine, method: str, n_particles: int) -> str:
    n_hidden = sum(machine.hidden_layer_sizes)
    return "exact" if likelihood.chosen(method, n_hidden, n_particles) == "exact" else f"K = {n_particles:,}"


def _mean(values: NDArray[np.float64]) -> str:
    return f"{values.mean():9.3f} +- {likelihood.standard_error(values):.3f}"


def _draw(title: str, rows: NDArray[Any], shape: tuple[int, int]) -> None:
    print(f"\n{title}:")
    columns = shutil.get_terminal_size().columns
    unicode = drawing.supports_unicode(sys.stdout)
    print(drawing.draw([rows], height=shape[0], width=shape[1], unicode=unicode, max_columns=columns))


def _sample(args: argparse.Namespace) -> int:
    if args.output is not None:
        _check_output(args.output, kinds=(".npy", ".bits"))
    machine = HelmholtzMachine.load(args.model)
    fantasies = machine.sample(args.n, random_state=args.seed, bits=True)
    shape = drawing.image_shape(fantasies.n_features, args.shape)
    if args.output is not None:
        if args.output.endswith(".bits"):
            fantasies.save(args.output)
        else:
            np.save(args.output, fantasies.to_dense())
    elif shape is None:
        for row in fantasies.to_dense():
            print("".join(map(str, row)))
    else:
        fitting = max(1, (shutil.get_terminal_size().columns + 2) // (shape[1] + 2))
        for first in range(0, args.n, fitting):
            _draw("fantasies" if first == 0 else "more", fantasies[first : first + fitting].to_dense(), shape)
    return 0


def _score(args: argparse.Namespace) -> int:
    if args.output is not None:
        _check_output(args.output, args.data, kinds=(".npy",))
    machine = HelmholtzMachine.load(args.model)
    data = _read(args.data, args.split, machine.binarize if args.binarize is None else args.binarize)
    values = machine.score_samples(
        data, method=args.method, n_particles=args.particles, random_state=args.seed, n_steps=args.steps
    )
    how = _how(machine, args.method, args.particles)
    how += f", T = {args.steps:,}" if args.method == "ais" else ""
    if args.output is not None:
        np.save(args.output, values)
    print(f"rows                         {len(data):9,}")
    print(f"log p(x), nats               {_mean(values)}  ({how})")
    print(f"reconstruction cross-entropy {machine.reconstruction_cross_entropy(data):9.3f}")
    return 0


def _info(args: argparse.Namespace) -> int:
    if args.model is None:
        wakesleep.show_config()
        return 0
    machine = HelmholtzMachine.load(args.model)
    sizes = (machine.n_features_in_, *machine.hidden_layer_sizes)
    rows = [
        ("file", args.model), ("levels", "-".join(map(str, sizes))), ("epochs", machine.n_iter_),
        ("steps", machine.step_), *((k, v) for k, v in machine.get_params().items() if k != "hidden_layer_sizes"),
    ]  # fmt: skip
    for name, value in (machine.history_[-1] if machine.history_ else {}).items():
        if name not in ("epoch", "step"):
            rows.append((f"last {name.replace('_', ' ')}", f"{value:.6g}" if isinstance(value, float) else value))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name.replace('_', ' ').ljust(width)}  {value}")
    return 0
