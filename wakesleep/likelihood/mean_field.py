"""Mean-field passes up and down, how well they bring a row back, and what independent units would reach."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import _core
from wakesleep.bits import Bits
from wakesleep.likelihood.arguments import check, level_of
from wakesleep.parameters import Parameters, logit_of_mean
from wakesleep.rows import Selection, as_bits

_ROWS = 4096  # unpacked at a time


def encode(parameters: Parameters, data: Bits, layer: int) -> NDArray[np.float32]:
    """Probabilities of hidden level `layer`, each level fed those of the level below.  Returns (N, H).

    Level 0 is at the bottom; negative numbers count from the top, and a level that is not there is a ValueError.
    Missing cells are zeros to it, as they are in training.
    """
    check(parameters, data)
    layers = parameters.recognition[: level_of(parameters, layer) + 1]
    out = np.empty((len(data), len(layers[-1].biases)), np.float32)
    for first in range(0, len(data), _ROWS):
        rows = slice(first, first + _ROWS)
        values = data[rows].filled().to_dense(np.float32)
        for upward in layers:
            values = _core.propagate(values, *upward)
        out[rows] = values
    return out


def decode(parameters: Parameters, values: NDArray[np.float32], layer: int) -> NDArray[np.float32]:
    """Probabilities of the visible units, given those of hidden level `layer`, as in `encode`.  Returns (N, D)."""
    check(parameters)
    layers = parameters.generative[level_of(parameters, layer) :: -1]
    out = np.empty((len(values), parameters.sizes[0]), np.float32)
    for first in range(0, len(values), _ROWS):
        rows = slice(first, first + _ROWS)
        below = values[rows]
        for downward in layers:
            below = _core.propagate(below, *downward)
        out[rows] = below
    return out


def reconstruction_cross_entropy(parameters: Parameters, data: Bits) -> float:
    """Mean over rows of −Σ x log r + (1 − x) log(1 − r), nats, with r the mean-field reconstruction.

    The sum is over the observed cells of a row. The probabilities are clipped to [1e-7, 1 − 1e-7].
    """
    check(parameters, data)
    top, total = len(parameters.sizes) - 2, 0.0
    for first in range(0, len(data), _ROWS):
        rows = data[slice(first, first + _ROWS)]
        r = decode(parameters, encode(parameters, rows, top), top).astype(np.float64).clip(1e-7, 1 - 1e-7)
        terms = np.log(np.where(rows.filled().to_dense(np.bool_), r, 1 - r))
        total -= float(terms.sum() if rows.observed is None else terms[_seen(rows)].sum())
    return total / len(data)


def independent_log_likelihood(train: Any, test: Any) -> NDArray[np.float64]:
    """log p(observed cells) of every row of `test`, nats, under independent units with the means of `train`.

    Parameters
    ----------
    train, test : Bits, or whatever `Bits.from_dense` takes, of shapes (N, D) and (n, D)
        NaN is a missing cell.

    Returns
    -------
    ndarray of shape (n,), float64

    Raises
    ------
    ValueError, TypeError
    """
    if not isinstance(train, Selection):
        train = as_bits(train, name="train", missing="marginalise")
    test = as_bits(test, n_features=train.n_features, name="test", missing="marginalise")
    logits = logit_of_mean(train.counts(), train.observed_counts())
    out, terms = np.empty(len(test)), np.logaddexp(0, logits)
    for first in range(0, len(test), _ROWS):
        rows = slice(first, first + _ROWS)
        part = test[rows]
        out[rows] = part.filled().to_dense(np.float64) @ logits
        out[rows] -= terms.sum() if part.observed is None else _seen(part) @ terms
    return out


def _seen(rows: Bits) -> NDArray[np.bool_]:
    """Which cells are observed."""
    return Bits(np.asarray(rows.observed), rows.n_features).to_dense(np.bool_)


def standard_error(values: NDArray[np.float64], shared: float = 0.0) -> float:
    """Standard deviation of the mean over rows; NaN for a single row.

    Parameters
    ----------
    values : ndarray of shape (n,), float64
    shared : float, default=0.0
        What `shared_variance` says of estimates. The noise that rows do not share is part of `values`.
    """
    return float(np.sqrt(np.var(values, ddof=1) / len(values) + shared)) if len(values) > 1 else float("nan")
