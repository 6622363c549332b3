"""The command that draws pictures into a file."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from wakesleep import datasets, plotting
from wakesleep.cli.files import check_output, read_for, writing
from wakesleep.cli.reports import USAGE, failed, saved_to
from wakesleep.machine import HelmholtzMachine

KINDS = ("all", "curves", "fields", "fantasies", "reconstructions", "activity")
OPTIONS_OF = {
    "layer": ("fields", "reconstructions", "activity"),
    **dict.fromkeys(("n_samples", "random_state"), ("fantasies",)),
}  # fmt: skip
USED_BY = OPTIONS_OF | {
    "shape": ("all", "fields", "fantasies", "reconstructions"),
    **dict.fromkeys(("data", "split", "drop", "binarize"), ("all", "reconstructions", "activity")),
}  # fmt: skip


def plot(args: argparse.Namespace) -> int:
    """Draw a machine, and what it makes of rows."""
    output = f"{Path(args.model).stem}.png" if args.output is None else args.output
    check_output(output, args.data)
    if Path(output).suffix.lower() not in plotting.KINDS_OF_FILES:
        raise ValueError(f"--output: want a {' or '.join(plotting.KINDS_OF_FILES)} file, got {output}")
    for name, kinds in USED_BY.items():
        if getattr(args, name) not in (None, []) and args.kind not in kinds:
            typed = {"data": "DATA", "split": "--split"}.get(name, name)
            raise ValueError(f"{typed}: want --kind {' or '.join(kinds)} with it, got {args.kind}")
    machine = HelmholtzMachine.load(args.model)
    rows = _rows(args, machine)
    try:
        axes = _drawn(args, machine, rows)
    except ImportError as error:
        return failed(error, args, USAGE)
    with writing(output), warnings.catch_warnings():
        warnings.filterwarnings("once", "Glyph")  # which the font lacks, as names of columns are laid out and drawn
        plotting.save(axes, output)
    if args.kind == "all" and not any("reconstruction_cross_entropy" in record for record in machine.history_):
        print("left out: curves, since no epoch was measured")
    if args.kind == "all" and rows is None:
        print(f"left out: reconstructions and activity, for want of DATA with {machine.n_features_in_} features")
    saved_to(output)
    return 0


def _rows(args: argparse.Namespace, machine: HelmholtzMachine) -> Any:
    """The rows that this picture needs: those of DATA, or the digits in the package, where the machine fits them."""
    if args.kind in ("curves", "fields", "fantasies"):
        return None
    of_rows = (args.data, args.split, args.binarize) != (None, None, None) or args.drop
    if args.kind == "all" and not of_rows and machine.n_features_in_ != datasets.load_digits().n_features:
        return None
    return read_for(machine, args)[0]


def _drawn(args: argparse.Namespace, machine: HelmholtzMachine, rows: Any) -> Any:
    given = {name: value for name in OPTIONS_OF if (value := getattr(args, name)) is not None}
    shape = args.shape
    match args.kind:
        case "curves":
            return plotting.learning_curves(machine)
        case "fields":
            return plotting.fields(machine, shape=shape, **given)
        case "fantasies":
            return plotting.fantasies(machine, shape=shape, **given)
        case "reconstructions":
            return plotting.reconstructions(machine, rows, shape=shape, **given)
        case "activity":
            return plotting.activity(machine, rows, **given)
        case _:
            return plotting.overview(machine, rows, shape=shape)
