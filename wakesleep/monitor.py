"""What is measured after every epoch, and the line that tells it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from wakesleep import _core, likelihood
from wakesleep.bits import Bits
from wakesleep.rows import Rows, Selection, drawn_by_content, select
from wakesleep.state import State

MOST_ROWS, PARTICLES = 1000, 100
SPLIT = 2**32  # an epoch that no training comes to: its order chooses rows
FEWEST_EFFECTIVE, EPOCHS_WITH_FEW = 1.1, 5  # samples that an estimate rests on, and for how long before it is told
HEADER = "epoch  seconds      rows/s  cross-entropy"
HELD_OUT_HEADER = HEADER + "  held-out log p(x)  std.error      K"


class SampleSizeWarning(UserWarning):
    """The estimates of log p(x) rest on a single sample: q is far from the posterior."""


def n_held_out(name: str, share: Any, n_rows: int) -> int:
    """How many rows a share of them comes to; at least one is held out, and one is not.

    Raises
    ------
    ValueError
        If it comes to none or to all, or is no share; the message names the argument.
    """
    if not 0 < share < 1:  # a number, of any kind and size
        raise ValueError(f"{name}: want a share of the rows between 0 and 1, got {share!s:.80}")
    if n_rows < 2:
        raise ValueError(f"{name}: want 2 rows or more to hold some of them out, got {n_rows}")
    share = float(share)
    wanted: int = round(n_rows * share)
    if not 0 < wanted < n_rows:
        raise ValueError(
            f"{name}: want a share that is 1 to {n_rows - 1} of the {n_rows} rows, got {share:g}, which is {wanted}"
        )
    return wanted


def split(data: Rows, n_held_out: int, seed: int) -> tuple[Rows, Bits]:
    """Rows to learn from, in their order, and rows held out: a keyed choice, so that sorted data are no trap.

    Only those held out are copied; of probabilities they are drawn, once.
    """
    order = _core.epoch_order(seed, SPLIT, len(data))
    return select(data, np.sort(order[n_held_out:])), drawn_by_content(data[order[:n_held_out]], seed)


def measure(state: State, train: Bits | Selection[Bits], held_out: Bits | None, n_threads: int = 1) -> dict[str, Any]:
    """Reconstruction cross-entropy and log p(x) of held-out rows, nats; without any, the former of training rows.

    Beside an estimate of log p(x) stands its mean effective sample size (eq. 11).
    """
    rows = train if held_out is None else held_out
    if len(rows) > MOST_ROWS or isinstance(rows, Selection):  # a keyed choice, so that sorted rows are no trap
        rows = rows[np.sort(_core.epoch_order(state.seed, SPLIT, len(rows), 0, min(len(rows), MOST_ROWS)))]
    measured: dict[str, Any] = {
        "reconstruction_cross_entropy": likelihood.reconstruction_cross_entropy(state.parameters, rows)
    }
    if held_out is not None:
        values, size = likelihood.log_likelihood(
            state.parameters, state.methods, rows,
            method="auto", n_particles=PARTICLES, seed=state.seed, n_threads=n_threads,
        )  # fmt: skip
        with np.errstate(invalid="ignore"):  # of a machine that is about to diverge, log p(x) may be infinite
            measured["log_likelihood"] = float(values.mean())
            measured["standard_error"] = likelihood.standard_error(values) if len(rows) > 1 else None
        measured["n_particles"] = None if size is None else PARTICLES
        measured["effective_sample_size"] = None if size is None else float(size.mean())
    return measured


def warn_of_few(history: list[dict[str, Any]]) -> None:
    """Warn, once, when the effective sample size has been next to one for several epochs."""
    sizes = [entry.get("effective_sample_size") for entry in history[-EPOCHS_WITH_FEW - 1 :]]
    few = [size is not None and size < FEWEST_EFFECTIVE for size in sizes]
    if len(few) >= EPOCHS_WITH_FEW and all(few[-EPOCHS_WITH_FEW:]) and few != [True] * (EPOCHS_WITH_FEW + 1):
        warnings.warn(
            f"of {PARTICLES} samples per row, fewer than {FEWEST_EFFECTIVE:g} have counted (effective sample size) for "
            f"{EPOCHS_WITH_FEW} epochs: q is far from the posterior, and the held-out log p(x) is too low",
            SampleSizeWarning,
            stacklevel=7,
        )


def heading(sizes: Sequence[int], n_rows: int, held_out: Bits | None) -> str:
    """What a training begins with: its sizes, and the header of the table."""
    of = n_rows if held_out is None else len(held_out)
    measured = f"{min(of, MOST_ROWS):,} of {of:,} held-out rows" if held_out is not None else f"{min(of, MOST_ROWS):,}"
    levels = "-".join(map(str, sizes))
    about = f"{n_rows:,} rows to learn from; {measured} measured after each epoch; levels {levels}"
    return f"{about}\n{HEADER if held_out is None else HELD_OUT_HEADER}"


def line(entry: dict[str, Any]) -> str:
    """One epoch of a history, under one of the headers."""
    text = f"{entry['epoch']:5d} {entry['seconds']:8.3g} {entry['rows_per_second']:11,.0f}"
    text += f" {entry['reconstruction_cross_entropy']:14.3f}"
    if "log_likelihood" in entry:
        k = "exact" if entry["n_particles"] is None else f"{entry['n_particles']:,}"
        error = "-" if entry["standard_error"] is None else f"{entry['standard_error']:.3f}"
        text += f" {entry['log_likelihood']:18.3f} {error:>10} {k:>6}"
    return text
