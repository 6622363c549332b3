"""What is measured after every epoch, and the line that tells it."""

from __future__ import annotations

from typing import Any

import numpy as np

from wakesleep import _core, likelihood
from wakesleep.bits import Bits
from wakesleep.state import State

MOST_ROWS, PARTICLES = 1000, 100
SPLIT = 2**32  # an epoch that no training comes to: its order chooses rows
HEADER = "epoch  seconds      rows/s  cross-entropy"
HELD_OUT_HEADER = HEADER + "  held-out log p(x)  std.error      K"


def measure(state: State, train: Bits, held_out: Bits | None, n_threads: int = 1) -> dict[str, Any]:
    """Reconstruction cross-entropy and log p(x) of held-out rows, nats; without any, the former of training rows."""
    rows = train if held_out is None else held_out
    if len(rows) > MOST_ROWS:  # a keyed choice, so that sorted rows are no trap
        rows = rows[np.sort(_core.epoch_order(state.seed, SPLIT, len(rows), 0, MOST_ROWS))]
    measured: dict[str, Any] = {
        "reconstruction_cross_entropy": likelihood.reconstruction_cross_entropy(state.parameters, rows)
    }
    if held_out is not None:
        values, size = likelihood.log_likelihood(
            state.parameters, state.methods, rows,
            method="auto", n_particles=PARTICLES, seed=state.seed, n_threads=n_threads,
        )  # fmt: skip
        measured["log_likelihood"] = float(values.mean())
        measured["standard_error"] = likelihood.standard_error(values) if len(rows) > 1 else None
        measured["n_particles"] = None if size is None else PARTICLES
    return measured


def line(entry: dict[str, Any]) -> str:
    """One epoch of a history, under one of the headers."""
    text = f"{entry['epoch']:5d} {entry['seconds']:8.3g} {entry['rows_per_second']:11,.0f}"
    text += f" {entry['reconstruction_cross_entropy']:14.3f}"
    if "log_likelihood" in entry:
        k = "exact" if entry["n_particles"] is None else f"{entry['n_particles']:,}"
        error = "-" if entry["standard_error"] is None else f"{entry['standard_error']:.3f}"
        text += f" {entry['log_likelihood']:18.3f} {error:>10} {k:>6}"
    return text
