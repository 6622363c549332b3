"""Optimizers: what the mean gradient does to the parameters, so that the objective rises.

The compiled core does the same operations in the same order, layer by layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wakesleep.elementary import power

Floats = NDArray[np.floating[Any]]

MOMENTS = {"sgd": 0, "momentum": 1, "rmsprop": 1, "adam": 2}  # averages that each keeps of the gradients
RATES = {"sgd": 0.1, "momentum": 0.1, "rmsprop": 0.003, "adam": 0.003}  # learning rates where none is given
EMA = 0.95  # of "momentum"
SQUARES = 0.9  # of "rmsprop"
FIRST, SECOND = 0.9, 0.999  # of "adam"
EPSILON = 1e-8
OPTIMIZERS = tuple(MOMENTS)


class Optimizer(NamedTuple):
    """An optimizer with all that a step takes from it."""

    name: str = "sgd"
    weight_decay: float = 0.0  # per unit of the learning rate, of weights only
    clip_norm: float | None = None  # largest norm of a model's gradient
    frozen: frozenset[str] = frozenset()  # parts that do not learn, named as `Parameters.named` does

    @property
    def plain(self) -> bool:
        """Whether errors may go to the weights at once, without a gradient."""
        return self.name == "sgd" and not self.weight_decay and self.clip_norm is None

SGD = Optimizer()


def update(
    optimizer: Optimizer, weights: Floats, gradient: Floats, moments: Sequence[Floats], rate: float, step: int,
    decayed: bool, factor: float = 1.0,
) -> None:  # fmt: skip
    """weights += rate · what the optimizer makes of factor · gradient, in place      (eq. 14)

    weights, gradient : of one shape.  moments : 0, 1 or 2 arrays of that shape, moved along.  step : counted from 1.
    decayed : whether the weights decay; biases do not.
    """
    number = weights.dtype.type
    g = number(factor) * gradient
    if decayed:
        weights *= number(1 - rate * optimizer.weight_decay)
    if optimizer.name == "sgd":
        weights += number(rate) * g
    elif optimizer.name == "momentum":
        (mean,) = moments
        mean[...] = number(EMA) * mean + number(1 - EMA) * g
        weights += number(rate) * mean
    elif optimizer.name == "rmsprop":
        (square,) = moments
        square[...] = number(SQUARES) * square + number(1 - SQUARES) * (g * g)
        weights += number(rate) * g / (np.sqrt(square) + number(EPSILON))
    else:
        mean, square = moments
        mean[...] = number(FIRST) * mean + number(1 - FIRST) * g
        square[...] = number(SECOND) * square + number(1 - SECOND) * (g * g)
        scale = math.sqrt(1 - power(SECOND, step))
        adapted = number(rate * scale / (1 - power(FIRST, step)))
        weights += adapted * mean / (np.sqrt(square) + number(EPSILON * scale))
