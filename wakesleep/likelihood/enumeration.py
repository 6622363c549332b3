"""What can be known exactly, by adding up all states: posteriors, distributions, and divergences from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakesleep import _likelihood
from wakesleep._packing import words_of
from wakesleep.bits import Bits
from wakesleep.likelihood.arguments import check
from wakesleep.parameters import Parameters

MOST_ENUMERATED = 24  # hidden units: 2²⁴ states
MOST_IN_POSTERIOR = 16  # hidden units: 2¹⁶ numbers for each row
MOST_VISIBLE = 20  # visible units: 2²⁰ rows
SUM = 1e-6  # how far from one probabilities may add up
_ROWS = 4096  # unpacked at a time


class Distribution(NamedTuple):
    """The distribution of the visible units.

    log_p : ndarray of shape (2**D,), float64
        log p(x), nats; unit i is on in row number s where bit i of s is set.
    entropy : float
        −Σ p(x) log p(x), nats.
    means : ndarray of shape (D,), float64
        P(unit is on).
    """

    log_p: NDArray[np.float64]
    entropy: float
    means: NDArray[np.float64]


def exact_distribution(parameters: Parameters, n_threads: int = 1) -> Distribution:
    """Probabilities p(x) of all 2^D rows x, exactly, for small D      (eq. 12)

    Takes 2^(D + H) operations, H of the lowest hidden level.

    Raises
    ------
    ValueError, TypeError
        If the machine has more than 20 visible or 24 hidden units.

    Examples
    --------
    >>> from wakesleep import HelmholtzMachine, likelihood
    >>> machine = HelmholtzMachine.from_parameters([0.0], [([[2.0, -2.0]], [0.0, 0.0])], [([[3.0], [-3.0]], [0.0])])
    >>> p = likelihood.exact_distribution(machine.parameters_)
    >>> np.exp(p.log_p).round(3), round(p.entropy, 3), p.means.round(3)
    (array([0.177, 0.513, 0.132, 0.177]), 1.224, array([0.69, 0.31]))
    """
    check(parameters, n_threads=n_threads)
    n_visible = parameters.sizes[0]
    if n_visible > MOST_VISIBLE:
        raise ValueError(f"parameters: want at most {MOST_VISIBLE} visible units to enumerate, got {n_visible}")
    _check_hidden(parameters, MOST_ENUMERATED)
    rows = np.arange(1 << n_visible, dtype=np.uint64)[:, None][:, : words_of(n_visible)]
    log_p = _likelihood.exact(parameters.flat, parameters.sizes, np.ascontiguousarray(rows), n_threads)
    p = np.exp(log_p)
    means = np.array([p.reshape(-1, 2, 1 << unit)[:, 1].sum() for unit in range(n_visible)])
    return Distribution(log_p, float(-(p[p > 0] * log_p[p > 0]).sum()), means)


def exact_kl(parameters: Parameters, data: Bits, probabilities: ArrayLike, n_threads: int = 1) -> float:
    """Divergence KL(data ‖ p) = Σ p_data(x) (log p_data(x) − log p(x)), nats, exactly      (eq. 12)

    Parameters
    ----------
    parameters : Parameters
        Of a machine, as its `parameters_`.
    data : Bits of shape (N, D)
        Distinct rows: all that the distribution of the data has, or all but such as have probability 0.
    probabilities : array-like of shape (N,)
        Of these rows, adding up to 1. ``make_bars(return_distribution=True)`` gives both.
    n_threads : int, default=1

    Raises
    ------
    ValueError, TypeError
        If the machine has more than 24 hidden units, or other visible units than `data`; if rows are given twice or
        lack cells, or `probabilities` are none.

    Examples
    --------
    >>> from wakesleep import HelmholtzMachine, datasets, likelihood
    >>> images, p = datasets.make_bars(return_distribution=True)
    >>> machine = HelmholtzMachine((8, 1), n_iter=0, random_state=0).fit(images)
    >>> bool(likelihood.exact_kl(machine.parameters_, images, p) > 0)
    True
    """
    check(parameters, data, n_threads=n_threads)
    _check_hidden(parameters, MOST_ENUMERATED)
    if not data.complete:
        raise ValueError("data: want rows without missing cells, got some with")
    p = np.asarray(probabilities, np.float64)
    if p.shape != (len(data),):
        raise ValueError(f"probabilities: want shape ({len(data)},), got {p.shape}")
    if not (p >= 0).all() or not abs(p.sum() - 1) <= SUM:
        least, total = p.min(initial=1), p.sum()
        raise ValueError(f"probabilities: want none below 0 and a sum of 1, got {least:.6g} and a sum of {total:.6g}")
    if len(np.unique(data.words, axis=0)) < len(data):
        raise ValueError("data: want distinct rows, got one of them twice")
    log_p = _likelihood.exact(parameters.flat, parameters.sizes, data.words, n_threads)
    seen = p > 0
    return float(p[seen] @ (np.log(p[seen]) - log_p[seen]))


def exact_posterior(parameters: Parameters, data: Bits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log p(h | x) of every row and every state of all hidden units together, and its means.

    Of a row with missing cells, that given the others. The units of all hidden levels are counted from the bottom
    level up, H of them; unit i is on in state s where bit i of s is set.

    Returns
    -------
    log_posterior : ndarray of shape (N, 2**H), float64, nats
    means : ndarray of shape (N, H), float64
        P(unit is on | x).

    Raises
    ------
    ValueError, TypeError
        If the machine has more than 16 hidden units, or other visible units than `data`.
    """
    check(parameters, data)
    _check_hidden(parameters, MOST_IN_POSTERIOR)
    sizes = parameters.sizes
    n_hidden = sum(sizes[1:])
    states = (np.arange(2**n_hidden)[:, None] >> np.arange(n_hidden) & 1).astype(np.float64)
    levels = np.split(states, np.cumsum(sizes[1:-1]), axis=1)
    log_p = levels[-1] @ parameters.prior_logits.astype(np.float64)
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in parameters.generative]
    for (weights, biases), source, target in zip(layers[1:], levels[1:], levels[:-1], strict=True):
        z = source @ weights + biases
        log_p += (target * z - np.logaddexp(0, z)).sum(1)
    weights, biases = layers[0]
    joint = data.filled().to_dense(np.float64) @ weights.T @ levels[0].T + log_p  # but for terms that all states share
    seen = None if data.observed is None else Bits(data.observed, data.n_features).to_dense(np.float64)
    for first in range(0, len(states), _ROWS):
        block = slice(first, first + _ROWS)
        terms = np.logaddexp(0, levels[0][block] @ weights + biases)
        joint[:, block] -= terms.sum(1) if seen is None else seen @ terms.T
    log_posterior = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)
    return log_posterior, np.exp(log_posterior) @ states


def _check_hidden(parameters: Parameters, most: int) -> None:
    n_hidden = sum(parameters.sizes[1:])
    if n_hidden > most:
        raise ValueError(f"parameters: want at most {most} hidden units to enumerate, got {n_hidden}")
