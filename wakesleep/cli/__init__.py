"""The command line: train, sample, score, impute, diagnose, plot, info."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial

from wakesleep import hyperparameters
from wakesleep.cli.arguments import parse
from wakesleep.cli.reports import USAGE, as_typed, failed
from wakesleep.cli.train import INTERRUPTED
from wakesleep.drawing import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.  Returns the exit status: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
    args = parse(arguments)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        hyperparameters.threads(None)
    except ValueError as error:  # a wrong variable of the environment is wrong usage
        return failed(error, args, USAGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = partial(_warned, args)
            status = command(args)
        print(end="", flush=True)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("wakesleep: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (MemoryError, OSError, ValueError, TypeError) as error:
        return failed(error, args)
    return status


def _warned(args: argparse.Namespace, message: Warning | str, *_: object, **__: object) -> None:
    """Tell a warning in one line."""
    print("wakesleep: warning:", printable(as_typed(str(message), args)), file=sys.stderr)
