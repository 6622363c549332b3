"""The measures in plain NumPy: the twin of `_likelihood`.

The functions, their names and their arguments are those of the compiled module; what they draw is the
same to the last bit, and what they add up in float64 agrees to rounding. Equation numbers are those of
docs/MATH.md. B rows, K particles, L hidden levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep._reference import (
    IMPORTANCE,
    TABLES,
    Floats,
    Words,
    _draw,
    _logits,
    add_rows,
    all_states,
    levels,
    log_probabilities,
    pack,
    random_words,
    recognise,
    sigmoid,
    softplus,
    unpack,
    words_of,
)  # fmt: skip
from wakesleep.parameters import Parameters


def hash_rows(data: Words, seed: int) -> NDArray[np.uint64]:
    """A 64-bit key of (seed, content of the row) for estimates that do not depend on where a row stands."""
    return _scrambled(np.zeros(len(data), np.uint64), [np.uint64(seed), *data.T])


def _scrambled(key: NDArray[np.uint64], words: list[Any]) -> NDArray[np.uint64]:
    for word in words:
        key = (key ^ word) * np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        key = key ^ (key >> np.uint64(32))
    return key


def _keys(data: Words, seed: int, observed: Words | None, n_units: int) -> NDArray[np.uint64]:
    """`hash_rows`; to the content of a row belongs which cells are missing, if any are."""
    keys = hash_rows(data, seed)
    if observed is None:
        return keys
    return np.where(unpack(observed, n_units).all(axis=1), keys, _scrambled(keys, [*observed.T]))


def particles(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], data: Words, seed: int, n_particles: int,
    observed: Words | None = None,
) -> Words:  # fmt: skip
    """The states (x, h) with h ~ q(h | x) that `importance` weighs: K of the first row, K of the second, …"""
    states = np.zeros((len(data), n_particles, sum(words_of(size) for size in sizes)), np.uint64)
    states[:, :, : data.shape[1]] = data[:, None]
    for n, key in enumerate(_keys(data, seed, observed, sizes[0])):
        recognise(parameters, sizes, methods, states[n], int(key), IMPORTANCE)
    return states.reshape(-1, states.shape[2])


def importance(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], data: Words, seed: int, n_particles: int,
    observed: Words | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """log (1/K) Σ_k w_k, the effective sample size (Σ w)² / Σ w² and (1/K) Σ_k log w_k of every row      (eq. 11)"""
    _, log_w = _weighed(parameters, sizes, methods, data, seed, n_particles, observed)
    return *estimates(log_w), log_w.mean(axis=1)


def _weighed(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], data: Words, seed: int, n_particles: int,
    observed: Words | None,
) -> tuple[Words, NDArray[np.float64]]:  # fmt: skip
    """The particles, and their log weights, (B, K)."""
    states = particles(parameters, sizes, methods, data, seed, n_particles, observed)
    seen = None if observed is None else np.repeat(observed, n_particles, axis=0)
    log_p, log_q = log_probabilities(parameters, sizes, methods, states, seen)
    return states, (log_p - log_q).reshape(len(data), n_particles)


def imputed_means(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], data: Words, observed: Words, seed: int,
    n_particles: int,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:  # fmt: skip
    """E[x | observed cells of the row], by the particles of `importance`; effective sample sizes      (eq. 19)"""
    states, log_w = _weighed(parameters, sizes, methods, data, seed, n_particles, observed)
    w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    p = sigmoid(_logits(Parameters(sizes, parameters).generative[0], levels(states, sizes)[1], methods[1]))
    means = np.einsum("bk,bku->bu", w, p.reshape(*w.shape, sizes[0]).astype(np.float64)) / w.sum(axis=1)[:, None]
    means = np.where(unpack(observed, sizes[0]), unpack(data, sizes[0]), means)
    return means.astype(np.float32), estimates(log_w)[1]


def imputed_draws(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], data: Words, observed: Words, seed: int,
    n_particles: int,
) -> tuple[Words, NDArray[np.float64]]:  # fmt: skip
    """x ~ p(x | observed cells of the row), as far as K particles tell: one by its weight, then x given it  (eq. 19)"""
    states, log_w = _weighed(parameters, sizes, methods, data, seed, n_particles, observed)
    shares = np.exp(log_w - log_w.max(axis=1, keepdims=True)).cumsum(axis=1)
    layer, drawn = Parameters(sizes, parameters).generative[0], data.copy()
    for n, key in enumerate(_keys(data, seed, observed, sizes[0]).tolist()):
        random = random_words(key, IMPORTANCE + len(sizes), 1, 1)[0, 0]
        k = int(np.searchsorted(shares[n], shares[n, -1] * (random + 0.5) / 2.0**32, side="right"))
        h = levels(states[n * n_particles + k][None], sizes)[1]
        drawn[n] |= pack(_draw(_logits(layer, h, methods[1]), key, IMPORTANCE, k))[0] & ~observed[n]
    return drawn, estimates(log_w)[1]


def estimates(log_w: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log (1/K) Σ_k w_k and (Σ w)² / Σ w² of every row.  log_w : (B, K)."""
    top = log_w.max(axis=1)
    w = np.exp(log_w - top[:, None])
    return top + np.log(w.mean(axis=1)), w.sum(axis=1) ** 2 / (w * w).sum(axis=1)


def exact(parameters: Floats, sizes: Sequence[int], data: Words) -> NDArray[np.float64]:
    """log p(x) of every row by adding up all hidden states, float64, nats      (eq. 12)"""
    p = Parameters(sizes, parameters.astype(np.float64))
    log_prior = -softplus(np.where(all_states(sizes[-1]), -p.prior_logits, p.prior_logits)).sum(1)
    for level in range(len(sizes) - 2, -1, -1):
        targets = unpack(data, sizes[0]) if level == 0 else all_states(sizes[level])
        z = add_rows(all_states(sizes[level + 1]), p.generative[level].weights, TABLES, p.generative[level].biases)
        joint = targets @ z.T - softplus(z).sum(1) + log_prior
        log_prior = np.logaddexp.reduce(joint, axis=1)
    return np.asarray(log_prior)
