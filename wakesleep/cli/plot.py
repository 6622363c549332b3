"""The command that draws pictures into a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wakesleep import datasets, plotting
from wakesleep.cli.files import check_output, read, writing
from wakesleep.cli.reports import USAGE, failed
from wakesleep.machine import HelmholtzMachine

KINDS = ("all", "curves", "fields", "fantasies", "reconstructions", "activity")


def plot(args: argparse.Namespace) -> int:
    """Draw a machine, and what it makes of rows."""
    output = f"{Path(args.model).stem}.png" if args.output is None else args.output
    check_output(output, args.data, kinds=plotting.KINDS_OF_FILES)
    machine = HelmholtzMachine.load(args.model)
    rows = _rows(args, machine)
    try:
        axes = _drawn(args, machine, rows)
    except ImportError as error:
        return failed(error, USAGE)
    with writing(output):
        plotting.save(axes, output)
    print(f"saved to {output}")
    return 0


def _rows(args: argparse.Namespace, machine: HelmholtzMachine) -> Any:
    """The rows that this picture needs: those of DATA, or the digits in the package, where the machine fits them."""
    if args.kind in ("curves", "fields", "fantasies"):
        return None
    if args.kind == "all" and args.data is None and machine.n_features_in_ != datasets.load_digits().n_features:
        return None
    binarize = machine.binarize if args.binarize is None else args.binarize
    return read(args.data, args.split, binarize, machine.n_features_in_, missing=machine.missing)


def _drawn(args: argparse.Namespace, machine: HelmholtzMachine, rows: Any) -> Any:
    shape, layer = args.shape, {} if args.layer is None else {"layer": args.layer}
    match args.kind:
        case "curves":
            return plotting.learning_curves(machine)
        case "fields":
            return plotting.fields(machine, shape=shape, **layer)
        case "fantasies":
            return plotting.fantasies(machine, args.n_samples, shape=shape, random_state=args.random_state)
        case "reconstructions":
            return plotting.reconstructions(machine, rows[: plotting.N_PAIRS], shape=shape)
        case "activity":
            return plotting.activity(machine, rows, **layer)
        case _:
            return plotting.overview(machine, rows, shape=shape)
