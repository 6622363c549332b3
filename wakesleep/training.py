"""The training loop: a generator that trains and yields a small record, and does nothing else.

It never prints, plots, saves, scores or decides to stop; whoever consumes it does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakesleep import _core, schedules
from wakesleep.bits import Bits
from wakesleep.parameters import Parameters
from wakesleep.rows import Rows, Selection, drawn
from wakesleep.schedules import Schedule
from wakesleep.state import State

SECONDS_PER_CALL = 0.05  # of the compiled loop, between looks at Ctrl-C


class DivergenceError(ValueError):
    """Training produced NaN or infinity."""


@dataclass(frozen=True)
class Record:
    """What the loop yields: about twenty times a second, where it was asked to, and at the end of every epoch."""

    state: State
    epoch: int  # the epoch under way or just done, from 1
    epoch_done: bool
    seconds: float  # spent on this epoch so far
    rows: int  # trained on in these seconds
    data: Bits | Selection[Bits]  # the rows of this epoch, as they were drawn


def train(
    state: State,
    data: Rows,
    *,
    n_epochs: int,
    learning_rates: tuple[float, float],
    batch_size: int,
    schedule: Schedule = schedules.CONSTANT,
    n_iter: int | None = None,
    stops: Sequence[int] = (),
    n_particles: int = 1,
    n_threads: int = 1,
) -> Iterator[Record]:
    """Train until `n_epochs` epochs are done in all, and yield a `Record` now and then.

    How often it yields depends on the clock, save at `stops`; what it learns does not depend on either.
    `state` is left as it is: every record brings a new one.

    Parameters
    ----------
    state : State
        Where to begin.
    data : Bits, Probabilities or Selection of shape (N, D)
        What to learn; probabilities are drawn anew in each epoch, into the same memory.
    n_epochs : int
        Passes over the data, those that `state` has behind it included.
    learning_rates : (float, float)
        For p and for q, per mean gradient.
    schedule, n_iter : Schedule, int
        By what the rates are multiplied at each step, and the epochs it is made for, by default `n_epochs`.
    stops : sequence of int
        Yield also whenever the number of steps is a multiple of one of these.
    batch_size, n_particles, n_threads : int
        Rows per step; samples of the hidden units per row; threads.

    Yields
    ------
    Record

    Raises
    ------
    DivergenceError
        If a parameter becomes NaN or infinite. The last record yielded is from before.
    """
    seconds, rows, n_batches = 0.0, 0, 1
    batch_size = min(batch_size, len(data))
    whole = -(-len(data) // batch_size)  # minibatches of an epoch
    bits = None
    while state.epoch < n_epochs:
        if bits is None:
            bits = drawn(data, state.seed, state.epoch)
            words, chosen = (bits.words, None) if isinstance(bits, Bits) else (bits.rows.words, bits.chosen)
        left = -(-(len(data) - int(state.position[1])) // batch_size)
        now = min(n_batches, left, *(every - state.step % every for every in stops))
        horizon = n_epochs if n_iter is None else n_iter
        factors = schedules.factors(schedule, state.epoch, whole, horizon, whole - left, now)
        rates = factors[:, None] * np.array(learning_rates)
        now = _equal(rates)
        flat, position = state.parameters.flat.copy(), state.position.copy()
        began = time.perf_counter()
        _core.train(
            flat, state.parameters.sizes, state.methods, words, position, state.seed,
            batch_size, n_particles, now, rates[0].tolist(), n_threads, chosen=chosen,
        )  # fmt: skip
        took = time.perf_counter() - began
        if not np.isfinite(flat).all():
            raise DivergenceError(
                f"training diverged in epoch {state.epoch + 1}: the parameters are no longer finite; "
                f"use a smaller learning_rate (now {rates[0, 0]:g} for p, {rates[0, 1]:g} for q)"
            )
        seconds, rows = seconds + took, rows + int(position[2] - state.position[2])
        epoch, done = state.epoch + 1, now == left
        state = State(Parameters(state.parameters.sizes, flat), state.methods, state.seed, position, state.step + now)
        yield Record(state, epoch, done, seconds, rows, bits)
        if done:
            seconds, rows, bits = 0.0, 0, None
        n_batches = max(1, min(2 * n_batches, int(now * SECONDS_PER_CALL / max(took, 1e-9))))


def _equal(rates: NDArray[np.float64]) -> int:
    """For how many steps, from the first on, the rates are the same."""
    other = np.flatnonzero((rates != rates[0]).any(axis=1))
    return int(other[0]) if len(other) else len(rates)
