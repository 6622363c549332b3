"""The commands that use a machine: sample, score, impute, diagnose, info."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

import numpy as np

import wakesleep
from wakesleep import drawing, hyperparameters, likelihood, tables
from wakesleep._packing import Cut
from wakesleep.bits import Bits
from wakesleep.cli.files import check_output, read_both, write_rows, writing
from wakesleep.cli.reports import begin, draw, how, mean, saved_to
from wakesleep.drawing import printable
from wakesleep.likelihood.imputation import is_exact
from wakesleep.machine import HelmholtzMachine
from wakesleep.notices import warn


def sample(args: argparse.Namespace) -> int:
    """Draw fantasies: onto the terminal, or into a file."""
    if args.output is not None:
        check_output(args.output, args.model, kinds=(".npy", ".csv", ".bits"))
    machine = HelmholtzMachine.load(args.model)
    fantasies = machine.sample(args.n_samples, random_state=args.random_state, bits=True)
    shape = drawing.image_shape(fantasies.n_features, args.shape)
    if args.output is not None and args.output.endswith(".bits"):
        with writing(args.output):
            fantasies.save(args.output)
    elif args.output is not None:
        write_rows(args.output, fantasies.to_dense(), machine._feature_names)
    if args.output is not None:
        saved_to(args.output)
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
        check_output(args.output, args.data, kinds=(".npy", ".csv"))
    if args.n_steps is not None and args.method != "ais":
        raise ValueError(f"--steps: want it with --method ais only, got --method {args.method}")
    n_steps = likelihood.N_STEPS if args.n_steps is None else hyperparameters.count("n_steps", args.n_steps)
    machine, data, columns = read_both(args)
    estimate = how(machine, args.method, args.n_particles)
    begin(machine, len(data), None if estimate == "exact" else args.n_particles, args.data)
    values, sizes, rows = machine._estimates(data, args.method, args.n_particles, args.random_state, n_steps)
    if args.method == "ais":
        estimate += f", T = {n_steps:,}"
    if args.output is not None:
        write_rows(args.output, values, ["elbo" if args.method == "elbo" else "log_likelihood"], "%.12g", columns)
    measure = "ELBO" if args.method == "elbo" else "log p(x)"
    shared = likelihood.shared_variance(rows, None if args.method == "elbo" else sizes, args.n_particles)
    print(f"{measure + ', nats':28} {mean(values, shared)}  ({estimate})")
    if sizes is not None and args.method not in ("elbo", "ais"):
        print(f"effective sample size        {sizes.mean():9.3f}")
        print(f"  below {likelihood.FEW:g}                  {100 * (sizes < likelihood.FEW).mean():9.1f} %")
    print(f"reconstruction cross-entropy {machine.reconstruction_cross_entropy(data):9.3f}  (mean field)")
    if args.output is not None:
        saved_to(args.output)
    return 0


def impute(args: argparse.Namespace) -> int:
    """Fill missing cells in, and write the rows to a file."""
    check_output(args.output, args.data, kinds=(".npy", ".csv"))
    machine, data, columns = read_both(args, missing="marginalise")
    exact = is_exact(args.method, (machine.n_features_in_, *machine.hidden_layer_sizes), args.n_particles)
    begin(machine, len(data), None if exact else args.n_particles, args.data)
    filled = machine.impute(
        data, method=args.method, n_particles=args.n_particles, draws=args.draws, random_state=args.random_state
    )
    names, digits = data.feature_names or machine._feature_names, "%d" if args.draws else "%.6g"
    write_rows(args.output, filled, names, digits, columns, in_place=True)
    if isinstance(data, Bits) and data._cut is not None:
        _tell_of_values(data._cut, args)
    saved_to(args.output)
    return 0


def _tell_of_values(cut: Cut, args: argparse.Namespace) -> None:
    """Warn where observed cells are not written as they were, as far as the ends of each column tell."""
    ends = np.array([cut.least, cut.greatest], np.float64)
    if not (0 <= cut.threshold < 1 and np.isin(ends[~np.isnan(ends)], (0, 1)).all()):
        values = f"{args.data}: had values from {np.nanmin(ends):g} to {np.nanmax(ends):g}"
        warn(f"{values}; {args.output} has 0 and 1 in their place, 1 for those above {cut.threshold:g}", UserWarning)


def diagnose(args: argparse.Namespace) -> int:
    """Tell at which level likelihood is lost, and which units do nothing."""
    machine, data, _ = read_both(args)
    begin(machine, len(data), args.n_particles, args.data)
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
    params["frozen"] = ",".join(params["frozen"]) or None
    return [(name, "none" if value is None else value) for name, value in params.items() if name not in unused]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1e4 else f"{value:.6g}"


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
    if machine._feature_names is not None:
        rows.append(("columns", f"{sizes[0]:,}: {tables.few(machine._feature_names)}"))
    if machine._given is not None:
        rows += [
            (name, f"{part.n_rows:,}")
            for name, part in zip(("rows", "held-out rows"), machine._given, strict=True)
            if part is not None
        ]
    for name, value in (machine.history_[-1] if machine.history_ else {}).items():
        if name not in ("epoch", "step"):
            rows.append((f"last {name.replace('_', ' ')}", _number(value) if isinstance(value, float) else value))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(printable(f"{name.replace('_', ' ').ljust(width)}  {value}"))
    return 0
