"""Annealed importance sampling in plain NumPy: the twin of `_annealing`.

The functions, their names and their arguments are those of the compiled module. The particles begin with the
same bits; every conditional is taken from the log-probabilities of two whole states, in float64, where the
compiled module keeps logits up to date. Equation numbers are those of docs/MATH.md. K particles, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wakesleep._reference import (
    ANNEALING,
    Floats,
    Words,
    exp_minus,
    log_probabilities,
    random_words,
    words_of,
)  # fmt: skip
from wakesleep._reference_measures import estimates, hash_rows, particles

Estimates = tuple[NDArray[np.float64], NDArray[np.float64]]


def annealed(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], data: Words,
    seed: int, n_particles: int, n_steps: int,
) -> Estimates:  # fmt: skip
    """log (1/K) Σ_k w_k of chains from q to the posterior, and (Σ w)² / Σ w², of every row, nats      (eq. 15)"""
    log_w = np.zeros((len(data), n_particles))
    begun = particles(parameters, sizes, methods, data, seed, n_particles).reshape(*log_w.shape, -1)
    for n, key in enumerate(hash_rows(data, seed)):
        for t in range(n_steps):
            if t > 0:
                _sweep(parameters, sizes, methods, begun[n], t / n_steps, int(key), t, False)
            log_w[n] += _log_ratio(parameters, sizes, methods, begun[n]) / n_steps
    return estimates(log_w)


def annealed_back(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], states: Words,
    seed: int, n_particles: int, n_steps: int,
) -> Estimates:  # fmt: skip
    """−log (1/K) Σ_k 1/w_k of chains from a state of the posterior to q, and (Σ 1/w)² / Σ 1/w², nats      (eq. 16)"""
    log_w = np.zeros((len(states), n_particles))
    for n, key in enumerate(hash_rows(states, seed)):
        chains = np.repeat(states[n : n + 1], n_particles, axis=0)
        for t in range(n_steps - 1, -1, -1):
            log_w[n] += _log_ratio(parameters, sizes, methods, chains) / n_steps
            if t > 0:
                _sweep(parameters, sizes, methods, chains, t / n_steps, int(key), t, True)
    estimate, size = estimates(-log_w)
    return -estimate, size


def _log_ratio(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], states: Words
) -> NDArray[np.float64]:
    """r = log p(x, h) − log q(h | x) in float64"""
    log_p, log_q = log_probabilities(parameters.astype(np.float64), sizes, methods, states)
    return log_p - log_q


def _sweep(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], states: Words,
    beta: float, seed: int, t: int, back: bool,
) -> None:  # fmt: skip
    """Draw each hidden unit in turn given all others under q^(1 − β) p^β, in place: from the bottom up, or back."""
    offsets = np.cumsum([0, *(words_of(size) for size in sizes)])
    order = [(level, unit) for level in range(1, len(sizes)) for unit in range(sizes[level])]
    words = [random_words(seed, ANNEALING + level, len(states), n, t << 32) for level, n in enumerate(sizes)]
    exact = parameters.astype(np.float64)
    for level, unit in reversed(order) if back else order:
        word, bit = offsets[level] + unit // 64, np.uint64(1 << unit % 64)
        on, off = states.copy(), states.copy()
        on[:, word] |= bit
        off[:, word] &= ~bit
        (p_on, q_on), (p_off, q_off) = (log_probabilities(exact, sizes, methods, h) for h in (on, off))
        z = beta * (p_on - p_off) + (1 - beta) * (q_on - q_off)
        u = (words[level][:, unit] + 0.5) * 2.0**-32
        states[:, word] = np.where(u * (1 + exp_minus(z)) < 1, on[:, word], off[:, word])
