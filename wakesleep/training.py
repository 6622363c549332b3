"""The training loop: a generator that trains and yields a small record, and does nothing else.

It never prints, plots, saves, scores or decides to stop; whoever consumes it does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wakesleep import _core
from wakesleep.bits import Bits
from wakesleep.optimizers import MOMENTS, SGD, Optimizer
from wakesleep.parameters import Parameters
from wakesleep.rules import WAKE_SLEEP, Rule
from wakesleep.state import State

SECONDS_PER_CALL = 0.05  # of the compiled loop, between looks at Ctrl-C;
MANY = 2_500_000  # parameters: with more, calls are longer by as much, because each begins and ends with copies of all


class DivergenceError(ValueError):
    """Training produced NaN or infinity."""


@dataclass(frozen=True)
class Record:
    """What the loop yields, about twenty times a second and at the end of every epoch."""

    state: State
    epoch: int  # the epoch under way or just done, from 1
    epoch_done: bool
    seconds: float  # spent on this epoch so far
    rows: int  # trained on in these seconds


def train(
    state: State,
    data: Bits,
    *,
    n_epochs: int,
    learning_rates: tuple[float, float],
    batch_size: int,
    rule: Rule = WAKE_SLEEP,
    optimizer: Optimizer = SGD,
    n_threads: int = 1,
    precision: str = "float32",
) -> Iterator[Record]:
    """Train until `n_epochs` epochs are done in all, and yield a `Record` now and then.

    How often it yields depends on the clock; what it learns does not. `state` is left as it is:
    every record brings a new one.

    Parameters
    ----------
    state : State
        Where to begin.
    data : Bits of shape (N, D)
        What to learn.
    n_epochs : int
        Passes over the data, those that `state` has behind it included.
    learning_rates : (float, float)
        For p and for q, per mean gradient.
    rule : Rule
        How log weights become credits, and what else a step takes from it.
    optimizer : Optimizer
        What follows the gradient. Where `state` holds the moments of another one, they begin with zero.
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
    aim = SECONDS_PER_CALL * max(1.0, state.parameters.flat.size / MANY)
    while state.epoch < n_epochs:
        left = -(-(len(data) - int(state.position[1])) // batch_size)
        now = min(n_batches, left)
        flat, position = state.parameters.flat.copy(), state.position.copy()
        moments = state.moments_for(MOMENTS[optimizer.name])
        rates = np.tile(np.array(learning_rates, np.float64), (now, 1))
        began = time.perf_counter()
        _core.train(
            flat, moments, state.parameters.sizes, state.methods, data.words, position, state.step, state.seed,
            batch_size, rates, rule, optimizer, n_threads, precision=precision,
        )  # fmt: skip
        took = time.perf_counter() - began
        if not _finite(flat) or not _finite(moments):
            raise DivergenceError(
                f"training diverged in epoch {state.epoch + 1}: the parameters are no longer finite; "
                f"use a smaller learning_rate (now {learning_rates[0]:g} for p, {learning_rates[1]:g} for q)"
            )
        seconds, rows = seconds + took, rows + int(position[2] - state.position[2])
        epoch, done = state.epoch + 1, now == left
        parameters = Parameters(state.parameters.sizes, flat)
        state = State(parameters, state.methods, state.seed, position, state.step + now, moments)
        yield Record(state, epoch, done, seconds, rows)
        if done:
            seconds, rows = 0.0, 0
        n_batches = max(1, min(2 * n_batches, int(now * aim / max(took, 1e-9))))


def _finite(values: NDArray[np.float32]) -> bool:
    """Whether all are; without an array of answers, and where one is NaN, so are the smallest and the largest."""
    return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))
