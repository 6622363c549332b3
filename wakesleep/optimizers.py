"""Optimizers: what happens to the mean gradient. The compiled loop does the same in place, without the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def sgd(parameters: Floats, gradient: Floats, learning_rate: float) -> None:
    """parameters += learning_rate · gradient, in place."""
    parameters += parameters.dtype.type(learning_rate) * gradient


OPTIMIZERS = {"sgd": sgd}
