"""Optimizers: what happens to the mean gradient. The compiled loop applies them; this is what there is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


class Optimizer(NamedTuple):
    """An optimizer and what it keeps: vectors of moments in the layout of the parameters."""

    n_moments: int


def sgd(parameters: Floats, gradient: Floats, learning_rate: float) -> None:
    """parameters += learning_rate · gradient, in place."""
    parameters += parameters.dtype.type(learning_rate) * gradient


OPTIMIZERS = {"sgd": Optimizer(n_moments=0)}
