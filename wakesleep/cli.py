"""The command line: train, sample, score, impute, diagnose, info."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence

import wakesleep
from wakesleep import hyperparameters, likelihood
from wakesleep._panels import PRECISIONS
from wakesleep.commands import N_DRAWN, diagnose, failed, impute, info, sample, score
from wakesleep.monitor import SampleSizeWarning
from wakesleep.optimizers import OPTIMIZERS
from wakesleep.rules import BASELINES, RULES
from wakesleep.training_command import INTERRUPTED, train

USAGE = 2  # exit status after wrong usage, as argparse has it

EPILOG = """\
examples:
  wakesleep train                                   the 8x8 digits that come with the package
  wakesleep train data.csv -o data-model.npz        rows of 0 and 1, or numbers (see --binarize)
  wakesleep train mnist.npz --split train --held-out-split test --hidden 200 --batch-size 100
  wakesleep sample digits-model.npz -n 8
  wakesleep score digits-model.npz data.npy --particles 10000
  wakesleep impute data-model.npz data.csv -o filled.csv    after train --missing marginalise
  wakesleep diagnose digits-model.npz               how well q follows p, level by level
  wakesleep info digits-model.npz
"""

RATE_HELP = "of both, or p,q; 0.3 if left out, or 0.01 with rmsprop and adam"
SCHEDULE_HELP = "of the rates, as cosine:warm_up=5; linear and cosine end with the last of --epochs"
RESUME_HELP = "go on with MODEL; only --epochs, --patience, --threads, --log and what is printed may change"
BINARIZE_HELP = "cells are 1 above this value; sample: they are probabilities, drawn anew for every epoch"
MISSING_HELP = "cells that are empty, NA or nan are missing, and summed out; an error if left out"
DATA_HELP = "rows to read: .npy, .npz, .csv, .bits or IDX (also .gz)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.  Returns the exit status: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
    args = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        hyperparameters.threads(None)
    except ValueError as error:  # a wrong variable of the environment is wrong usage
        return failed(error, USAGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", SampleSizeWarning)
            warnings.showwarning = _warned
            status = command(args)
        print(end="", flush=True)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("wakesleep: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (MemoryError, OSError, ValueError, TypeError) as error:
        return failed(error)
    return status


def _warned(message: Warning | str, *_: object, **__: object) -> None:
    """Tell a warning in one line."""
    print("wakesleep: warning:", message, file=sys.stderr)


class _Help(argparse.HelpFormatter):
    """Help that tells the defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        untold = action.default is None or isinstance(action.default, bool) or action.default == argparse.SUPPRESS
        return text if untold else f"{text} (default: %(default)s)"


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

    fit = add("train", train, "learn from data, measure on held-out rows, and save the machine")
    fit.add_argument("data", nargs="?", metavar="DATA", help=f"{DATA_HELP}; the digits in the package if left out")
    fit.add_argument("-o", "--output", metavar="MODEL", help="file to save to; DATA-model.npz if left out")
    fit.add_argument("--split", metavar="NAME", help="which rows of an .npz to train on")
    held_out = fit.add_mutually_exclusive_group()
    held_out.add_argument("--held-out", type=float, default=0.2, metavar="SHARE", help="share of rows to measure on")
    held_out.add_argument("--held-out-split", metavar="NAME", help="measure on these rows of the .npz instead")
    fit.add_argument(
        "--hidden", dest="hidden_layer_sizes", type=_numbers, default="32,16", metavar="N,N",
        help="units, bottom level first",
    )  # fmt: skip
    fit.add_argument("--rule", default="wake-sleep", choices=RULES, help="learning rule")
    fit.add_argument(
        "--particles", dest="n_particles", type=int, metavar="K",
        help="samples per row; 1 or 5 if left out, by the rule",
    )  # fmt: skip
    fit.add_argument("--sleep-weight", type=_one_or_pair, metavar="S[,S]", help="share of sleep in q; or first,last")
    fit.add_argument("--sleep-steps", type=int, default=1, metavar="N", help="dreams for each step")
    fit.add_argument("--gamma", type=float, default=1.0, metavar="G", help="of rule ovis; 0 is unbiased")
    fit.add_argument("--baseline", default="geometric", choices=BASELINES, help="of rule vimco")
    fit.add_argument("--optimizer", default="sgd", choices=OPTIMIZERS, help="what follows the gradient")
    fit.add_argument("--weight-decay", type=float, default=0.0, metavar="D", help="per unit of the learning rate")
    fit.add_argument("--clip-norm", type=float, metavar="C", help="largest norm of a model's gradient")
    fit.add_argument("--epochs", dest="n_iter", type=int, default=40, metavar="N", help="passes over the rows")
    fit.add_argument("--batch-size", type=int, default=20, metavar="N", help="rows per step")
    fit.add_argument("--learning-rate", type=_one_or_pair, metavar="R[,R]", help=RATE_HELP)
    fit.add_argument("--schedule", default="constant", metavar="S", help=SCHEDULE_HELP)
    fit.add_argument("--patience", type=int, metavar="N", help="stop N epochs after the best one, and keep that")
    fit.add_argument(
        "--seed", dest="random_state", type=int, default=0, metavar="N",
        help="the same seed and rows give the same machine",
    )  # fmt: skip
    fit.add_argument("--precision", default="float32", choices=PRECISIONS, help="bf16x2: by AMX, less exact")
    fit.add_argument(
        "--threads", dest="n_threads", type=int, metavar="N", help="all processors if left out; results are the same"
    )
    there = fit.add_mutually_exclusive_group()
    there.add_argument("--resume", action="store_true", help=RESUME_HELP)
    there.add_argument("--overwrite", action="store_true", help="begin anew where there is a MODEL, which is replaced")
    fit.add_argument("--log", metavar="FILE", help="append a line of JSON per epoch")
    fit.add_argument("-q", "--quiet", action="store_true", help="print nothing but warnings and errors")

    sampling = add("sample", sample, "draw fantasies from a machine")
    sampling.add_argument("model", metavar="MODEL", help="a file that train wrote")
    sampling.add_argument("-n", dest="n_samples", type=int, default=N_DRAWN, metavar="N", help="how many")
    sampling.add_argument("-o", "--output", metavar="FILE", help="write them to a .npy or .bits file")
    sampling.add_argument(
        "--seed", dest="random_state", type=int, metavar="N",
        help="the machine's own if left out: the same fantasies every time",
    )  # fmt: skip

    scoring = add("score", score, "tell how probable rows are: log p(x) in nats")
    diagnosing = add("diagnose", diagnose, "tell at which level likelihood is lost, and which units do nothing")
    for sub in (scoring, diagnosing):
        sub.add_argument("model", metavar="MODEL", help="a file that train wrote")
        sub.add_argument("data", nargs="?", metavar="DATA", help=f"{DATA_HELP}; the digits in the package if left out")
        sub.add_argument("--split", metavar="NAME", help="which rows of an .npz")
        sub.add_argument("--binarize", type=_threshold, metavar="T", help="the machine's own if left out")
        sub.add_argument(
            "--seed", dest="random_state", type=int, metavar="N", help="the machine's own if left out"
        )
    scoring.add_argument("--method", default="auto", choices=likelihood.METHODS, help="auto: exact if that is cheap")
    scoring.add_argument(
        "--particles", dest="n_particles", type=int, default=1000, metavar="K", help="samples per row of an estimate"
    )
    scoring.add_argument(
        "--steps", dest="n_steps", type=int, default=likelihood.N_STEPS, metavar="T", help="of annealing, by ais"
    )
    scoring.add_argument("-o", "--output", metavar="FILE", help="write log p(x) of every row to a .npy file")

    diagnosing.add_argument(
        "--particles", dest="n_particles", type=int, default=likelihood.N_PARTICLES, metavar="K", help="samples per row"
    )

    filling = add("impute", impute, "fill missing cells in: by the probability of a 1 given the others, or by draws")
    filling.add_argument("model", metavar="MODEL", help="a file that train wrote")
    filling.add_argument("data", metavar="DATA", help=DATA_HELP)
    filling.add_argument("-o", "--output", metavar="FILE", required=True, help="write the rows to a .npy or .csv file")
    filling.add_argument("--split", metavar="NAME", help="which rows of an .npz")
    filling.add_argument("--draws", action="store_true", help="zeros and ones in place of probabilities")
    filling.add_argument(
        "--particles", dest="n_particles", type=int, default=100, metavar="K", help="samples per row"
    )
    filling.add_argument("--seed", dest="random_state", type=int, metavar="N", help="the machine's own if left out")

    showing = add("info", info, "show what a file holds, or without one, what runs here")
    showing.add_argument("model", nargs="?", metavar="MODEL", help="a file that train wrote")

    fit.add_argument("--binarize", type=_threshold, default=0.5, metavar="T", help=BINARIZE_HELP)
    fit.add_argument("--missing", choices=["marginalise"], help=MISSING_HELP)
    for sub in (fit, sampling):
        sub.add_argument("--shape", type=_shape, metavar="HxW", help="draw rows as images of this shape")
    return top


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _one_or_pair(text: str) -> float | tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    return values if len(values) > 1 else values[0]


def _threshold(text: str) -> float | str:
    return text if text == "sample" else float(text)


def _shape(text: str) -> tuple[int, int]:
    height, width = (int(part) for part in text.lower().split("x"))
    return height, width


_numbers.__name__, _one_or_pair.__name__ = "whole numbers", "number, or pair of numbers,"  # in argparse's messages
_threshold.__name__, _shape.__name__ = "number or sample", "HxW"
