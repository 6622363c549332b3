"""Data from a hidden generator: a random sigmoid belief network whose parameters are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wakesleep import _core
from wakesleep.bits import Bits
from wakesleep.elementary import log
from wakesleep.hyperparameters import MOST_SEED, count, layer_sizes
from wakesleep.parameters import Parameters

_WEIGHTS, _SIGNS, _ROWS = (_core.DATASETS + 256 * (1 + i) for i in range(3))  # streams of this module


def make_synthetic(
    n_samples: int = 2000,
    *,
    n_features: int = 16,
    hidden_layer_sizes: int | Sequence[int] = (4,),
    random_state: int = 0,
) -> tuple[Bits, Parameters]:
    """Draw rows from a hidden generator, and tell what it was.

    The weights of the generator are N(0, 1) · 0.8 / √(units above), its prior logits are ±0.5, its other biases are 0.

    Parameters
    ----------
    n_samples : int, default=2000
    n_features : int, default=16
    hidden_layer_sizes : int or sequence of int, default=(4,)
        Hidden units per level of the generator, bottom level first.
    random_state : int, default=0
        Below 2**64. The same number gives the same generator and rows, and more rows begin with fewer.

    Returns
    -------
    X : Bits of shape (n_samples, n_features)
    true : Parameters
        The generator is ``true.prior_logits`` and ``true.generative``; its ``recognition`` is zero.

    Raises
    ------
    ValueError, TypeError
        If a size is not positive, or `random_state` is not a number from 0 to 2**64 − 1.

    Examples
    --------
    >>> from wakesleep.datasets import make_synthetic
    >>> X, true = make_synthetic(100, random_state=1)
    >>> X.shape, true.generative[0].weights.shape, true.prior_logits
    ((100, 16), (4, 16), array([ 0.5,  0.5, -0.5,  0.5], dtype=float32))
    """
    n_samples, n_features = count("n_samples", n_samples), count("n_features", n_features)
    sizes, seed = (n_features, *layer_sizes(hidden_layer_sizes)), count("random_state", random_state, 0, MOST_SEED)
    true = Parameters(sizes)
    signs = _core.random_words(seed, _SIGNS, 1, sizes[-1])[0] >> np.uint32(31)
    true.prior_logits[:] = np.where(signs, 0.5, -0.5)
    for number, layer in enumerate(true.generative):
        scale = 0.8 / np.sqrt(len(layer.weights))
        numbers = _normal(seed, _WEIGHTS + number, layer.weights.size)
        layer.weights[:] = scale * numbers.reshape(layer.weights.shape)
    states = np.zeros((n_samples, sum((size + 63) // 64 for size in sizes)), np.uint64)
    methods = np.full(len(sizes), _core.TABLES, np.uint8)
    _core.dream(true.flat, sizes, methods, states, seed, _ROWS)
    return Bits(np.ascontiguousarray(states[:, : (n_features + 63) // 64]), n_features), true


def _normal(seed: int, stream: int, size: int) -> NDArray[np.float64]:
    """Standard normal numbers by Marsaglia's polar method: IEEE operations alone, the same bits everywhere."""
    found = np.empty(0)
    n_pairs = 2 * size + 32  # of which π/4 are kept
    while len(found) < size:
        u = _core.random_words(seed, stream, n_pairs, 2) / 2.0**31 - 1 + 2.0**-32
        s = (u * u).sum(axis=1)
        u, s = u[s < 1], s[s < 1]
        found = (u * np.sqrt(-2 * log(s) / s)[:, None]).ravel()
        n_pairs *= 2
    return found[:size]
