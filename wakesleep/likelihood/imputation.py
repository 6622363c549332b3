"""What a machine says of missing cells: their means given the observed cells of the row, or draws of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import _core, _imputation, _likelihood
from wakesleep._packing import words_of
from wakesleep.bits import Bits
from wakesleep.elementary import exp, log
from wakesleep.hyperparameters import choice, count, flag
from wakesleep.likelihood.arguments import check
from wakesleep.likelihood.enumeration import MOST_ENUMERATED, MOST_IN_POSTERIOR
from wakesleep.likelihood.estimates import paced
from wakesleep.parameters import Layer, Parameters

WAYS = ("auto", "exact", "importance")
FEW_CELLS = 1 << 18  # of all states of the lowest hidden level: a quarter of a millisecond for each row
MOST_CELLS = 1 << 23  # of a matrix of states and visible units, of which a few are kept
LITTLE = 16  # observed cells of a row, for which fantasies may be better than particles of q
ENOUGH = 16  # of so many fantasies one has to count
MOST_FANTASIES = 1 << 12


def impute(
    parameters: Parameters,
    methods: NDArray[np.uint8],
    data: Bits,
    *,
    method: str = "auto",
    n_particles: int,
    draws: bool = False,
    seed: int = 0,
    n_threads: int = 1,
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """The rows with missing cells filled in, and effective sample sizes of rows that had any, None if none is sampled.

    They are filled in by E[x | observed cells], or by draws from p(x | observed cells). ``"exact"`` adds up all states
    of the lowest hidden level (eq. 20). ``"importance"`` lets particles h ~ q(h | x), for which q sees a 0 in a
    missing cell, stand for the posterior by their weights (eq. 19); or as many fantasies, 4,096 at most, where so
    little of a row is observed, 16 cells at most, that their effective sample size is a sixteenth of them, and more
    than that of the particles. ``"auto"`` is exact where these states are no more than `n_particles`, or than 2¹⁸/D.
    What is filled in depends on the seed and on the row's content only.

    Returns
    -------
    filled : ndarray of shape (N, D)
        float32 of means, or uint8 of draws; observed cells are as they were.
    sizes : ndarray of shape (number of rows with missing cells,), float64, or None
        (Σ w)² / Σ w² of the weights of a row's particles.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not what it should be; if "exact" is asked for with more than 16 units in the lowest
        hidden level, 24 in all, or 2²³ states of the lowest times visible units; if weights are so large that no
        particle has a probability.
    """
    check(parameters, data, seed=seed, n_threads=n_threads)
    exact = is_exact(method, parameters.sizes, n_particles, draws)
    dtype = np.uint8 if draws else np.float32
    if data.observed is None:
        return data.to_dense(dtype), None
    gaps = np.flatnonzero(np.bitwise_count(data.observed).sum(axis=1) < data.n_features)
    all_rows, data = data.filled().to_dense(dtype), data[gaps]
    if not gaps.size:
        return all_rows, None
    if exact:
        all_rows[gaps] = _enumerated(parameters, data, draws, seed, n_threads)
        return all_rows, None
    all_rows[gaps], sizes = _sampled(parameters, methods, data, n_particles, draws, seed, n_threads)
    if np.isnan(sizes).any():
        row, most = int(gaps[np.argmax(np.isnan(sizes))]), np.abs(parameters.flat).max()
        raise ValueError(f"parameters: want such as give row {row} a probability, got some of up to {most:.2g}")
    return all_rows, sizes


def _sampled(
    parameters: Parameters, methods: NDArray[np.uint8], data: Bits, n_particles: int, draws: bool, seed: int,
    n_threads: int,
) -> tuple[NDArray[Any], NDArray[np.float64]]:  # fmt: skip
    """Rows filled in by particles of q, or where little is observed by fantasies; and effective sample sizes."""
    filled, sizes = np.empty(data.shape, np.uint8 if draws else np.float32), np.empty(len(data))
    observed = np.asarray(data.observed)
    for rows in paced(len(data), n_threads):
        words, seen = data.words[rows], observed[rows]
        how = (parameters.flat, parameters.sizes, methods, words, seen, seed, n_particles, n_threads)
        if draws:
            drawn, sizes[rows] = _imputation.imputed_draws(*how)
            filled[rows] = Bits(drawn, data.n_features).to_dense()
        else:
            filled[rows], sizes[rows] = _imputation.imputed_means(*how)
    little = np.flatnonzero(np.bitwise_count(observed).sum(axis=1) <= LITTLE)
    if little.size:
        n_fantasies = min(n_particles, MOST_FANTASIES, max(MOST_CELLS // data.n_features, 1))
        better, effective = _by_fantasies(parameters, methods, data[little], draws, seed, n_fantasies)
        enough = (effective >= n_fantasies / ENOUGH) & ~(effective <= sizes[little])  # NaN: q has none
        filled[little[enough]], sizes[little[enough]] = better[enough], effective[enough]
    return filled, sizes


def is_exact(method: str, sizes: tuple[int, ...], n_particles: int, draws: bool = False) -> bool:
    """Whether all states are added up; or a ValueError or TypeError for the argument of `impute` that is wrong."""
    n_visible, *hidden = sizes
    choice("method", method, WAYS)
    count("n_particles", n_particles)
    flag("draws", draws)
    possible = hidden[0] <= MOST_IN_POSTERIOR and sum(hidden) <= MOST_ENUMERATED
    possible = possible and n_visible << hidden[0] <= MOST_CELLS
    if method == "exact" and not possible:
        raise ValueError(
            f'method: "exact" wants at most {MOST_IN_POSTERIOR} units in the lowest hidden level, {MOST_ENUMERATED} '
            f"hidden ones in all, and {MOST_CELLS:,} states times visible units; this machine has "
            f'{"-".join(map(str, sizes))} units: use "importance"'
        )
    few = possible and 2 ** hidden[0] <= max(n_particles, FEW_CELLS // n_visible)
    return few if method == "auto" else method == "exact"


def _enumerated(parameters: Parameters, data: Bits, draws: bool, seed: int, n_threads: int) -> NDArray[Any]:
    """E[x | observed cells], or draws, by adding up all states of the lowest hidden level      (eqs. 12, 20)"""
    sizes = parameters.sizes
    states = np.arange(1 << sizes[1], dtype=np.uint64)[:, None]
    upper, p_above = Parameters(sizes[1:]), [*parameters.generative[1:], parameters.prior]
    for mine, given in zip([*upper.generative, upper.prior], p_above, strict=True):
        mine.weights[:], mine.biases[:] = given
    log_prior = _likelihood.exact(upper.flat, upper.sizes, states, n_threads)
    return _by_states(parameters, states, log_prior, data, draws, seed)[0]


def _by_fantasies(
    parameters: Parameters, methods: NDArray[np.uint8], data: Bits, draws: bool, seed: int, n_fantasies: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The same by so many fantasies, which stand for the prior; and effective sample sizes      (eq. 20)"""
    first, last = np.cumsum([*map(words_of, parameters.sizes)])[:2]
    states = np.zeros((n_fantasies, sum(map(words_of, parameters.sizes))), np.uint64)
    _core.dream(parameters.flat, parameters.sizes, methods, states, seed, _core.FANTASY)
    h = np.ascontiguousarray(states[:, first:last])
    return _by_states(parameters, h, np.zeros(n_fantasies), data, draws, seed)


def _by_states(
    parameters: Parameters, states: NDArray[np.uint64], log_prior: NDArray[np.float64], data: Bits, draws: bool,
    seed: int,
) -> tuple[NDArray[Any], NDArray[np.float64]]:  # fmt: skip
    """Rows filled in by these states of the lowest hidden level, and (Σ w)² / Σ w² of their weights      (eq. 20)

    Without products of matrices, whose sums have an order of their own on every processor.
    """
    z = _logits_of_units(parameters.generative[0], states)
    softplus = log(1 + exp(-np.abs(z)))
    log_p = np.stack([-np.maximum(z, 0) - softplus, np.minimum(z, 0) - softplus])  # of 0 and of 1
    p, filled, sizes = exp(log_p[1]), data.filled().to_dense(np.uint8 if draws else np.float32), np.empty(len(data))
    observed = Bits(np.asarray(data.observed), data.n_features)
    keys = _likelihood.hash_rows(np.hstack([data.words, observed.words]), seed).tolist()
    for row, (key, seen) in enumerate(zip(keys, observed.to_dense(np.bool_), strict=True)):
        joint = log_prior + log_p[filled[row, seen].astype(np.intp), np.flatnonzero(seen)].sum(axis=0)
        w, gone = exp(joint - joint.max()), ~seen
        if draws:
            u = (_core.random_words(key, _core.IMPORTANCE, 1, 1 + data.n_features)[0] + 0.5) / 2.0**32
            shares = w.cumsum()
            filled[row, gone] = u[1:][gone] < p[gone, np.searchsorted(shares, shares[-1] * u[0], side="right")]
        else:
            filled[row, gone] = (w * p[gone]).sum(axis=1) / w.sum()
        sizes[row] = w.sum() ** 2 / (w * w).sum()
    return filled, sizes


def _logits_of_units(layer: Layer, states: NDArray[np.uint64]) -> NDArray[np.float64]:
    """z = b + h·W of every state h, a row for each target, by the 256 sums of eight sources      (eq. 4)"""
    weights, biases = (part.astype(np.float64) for part in layer)
    z, octets = np.repeat(biases[:, None], len(states), axis=1), states.view(np.uint8)
    for first in range(0, len(weights), 8):
        sums = np.zeros((len(z), 1))
        for row in weights[first : first + 8]:
            sums = np.hstack([sums, sums + row[:, None]])
        z += sums[:, octets[:, first // 8]]
    return z
