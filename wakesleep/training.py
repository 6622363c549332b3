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
from wakesleep.optimizers import SGD, Optimizer
from wakesleep.parameters import Parameters
from wakesleep.rows import Rows, Selection, drawn
from wakesleep.rules import WAKE_SLEEP, Rule
from wakesleep.schedules import Schedule
from wakesleep.state import State

SECONDS_PER_CALL = 0.05  # of the compiled loop, between looks at Ctrl-C;
MANY = 2_500_000  # parameters: with more, calls are longer by as much, because each begins and ends with copies of all


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
    rule: Rule = WAKE_SLEEP,
    final_sleep_weight: float | None = None,
    optimizer: Optimizer = SGD,
    n_threads: int = 1,
    precision: str = "float32",
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
    rule : Rule
        How log weights become credits, and what else a step takes from it.
    final_sleep_weight : float, optional
        Sleep weight of the last of `n_iter` epochs, to which that of the rule goes in a straight line, epoch by epoch.
    optimizer : Optimizer
        What follows the gradient. Where `state` holds the moments of another one, its own begin with zero.
    batch_size, n_threads : int
        Rows per step; threads.
    precision : str
        Of sums, as `_core.train` has it.

    Yields
    ------
    Record

    Raises
    ------
    DivergenceError
        If a parameter, or what the optimizer keeps, becomes NaN or infinite. The last record yielded is from before.
    Exception
        Whatever a rule that is a function raises. The last record yielded is from before.
    """
    seconds, rows, n_batches = 0.0, 0, 1
    batch_size = min(batch_size, len(data))
    whole = -(-len(data) // batch_size)  # minibatches of an epoch
    bits = None
    last_weight = rule.sleep_weight if final_sleep_weight is None else final_sleep_weight
    aim = SECONDS_PER_CALL * max(1.0, state.parameters.flat.size / MANY)
    while state.epoch < n_epochs:
        if bits is None:
            bits = drawn(data, state.seed, state.epoch)
            whole_rows, chosen = (bits, None) if isinstance(bits, Bits) else (bits.rows, bits.chosen)
        left = -(-(len(data) - int(state.position[1])) // batch_size)
        now = min(n_batches, left, *(every - state.step % every for every in stops))
        horizon = n_epochs if n_iter is None else n_iter
        factors = schedules.factors(schedule, state.epoch, whole, horizon, whole - left, now)
        rates = factors[:, None] * np.array(learning_rates, np.float64)
        weight = schedules.between(rule.sleep_weight, last_weight, state.epoch, horizon)
        flat, position = state.parameters.flat.copy(), state.position.copy()
        moments, n_updates = state.moments_for(optimizer.name)
        began = time.perf_counter()
        _core.train(
            flat, moments, state.parameters.sizes, state.methods, whole_rows.words, position, n_updates, state.seed,
            batch_size, rates, rule._replace(sleep_weight=weight), optimizer, n_threads, precision=precision,
            chosen=chosen, observed=whole_rows.observed,
        )  # fmt: skip
        took = time.perf_counter() - began
        if not _finite(flat) or not _finite(moments):
            raise DivergenceError(
                f"training diverged in epoch {state.epoch + 1}: the parameters are no longer finite; "
                f"use a smaller learning_rate (now {rates[0, 0]:g} for p, {rates[0, 1]:g} for q)"
            )
        seconds, rows = seconds + took, rows + int(position[2] - state.position[2])
        epoch, done = state.epoch + 1, now == left
        parameters = Parameters(state.parameters.sizes, flat)
        state = State(
            parameters, state.methods, state.seed, position, state.step + now, moments, optimizer.name, n_updates
        )
        yield Record(state, epoch, done, seconds, rows, bits)
        if done:
            seconds, rows, bits = 0.0, 0, None
        n_batches = max(1, min(2 * n_batches, int(now * aim / max(took, 1e-9))))


def _finite(values: NDArray[np.float32]) -> bool:
    """Whether all are; without an array of answers, and where one is NaN, so are the smallest and the largest."""
    return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))
