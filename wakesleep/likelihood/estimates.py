"""log p(x) of given rows: by enumeration, by particles of q, by annealing; and bounds of it on simulated rows."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wakesleep import _annealing, _core, _likelihood
from wakesleep._packing import words_of
from wakesleep.bits import Bits
from wakesleep.hyperparameters import choice
from wakesleep.likelihood.arguments import check
from wakesleep.likelihood.enumeration import MOST_ENUMERATED
from wakesleep.likelihood.restriction import by_pattern
from wakesleep.parameters import Parameters

METHODS = ("auto", "exact", "importance", "elbo", "ais")
N_STEPS = 100  # of annealing
SECONDS_PER_CALL = 0.1  # of the compiled estimate, between looks at Ctrl-C


def log_likelihood(
    parameters: Parameters,
    methods: NDArray[np.uint8],
    data: Bits,
    *,
    method: str,
    n_particles: int,
    seed: int,
    n_threads: int = 1,
    n_steps: int = N_STEPS,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """log p(x) of every row, or a bound, nats, and the effective sample size where it is an estimate, else None.

    ``"exact"`` adds up all hidden states (eq. 12); ``"importance"`` is log (1/K) Σ w_k with K particles
    from q (eq. 11), on average too low, and less so the larger K is: its expectation is the importance-weighted
    bound IWAE_K (Burda et al. 2016), which is the ELBO for K = 1; ``"elbo"`` is (1/K) Σ log w_k of the same
    particles, whose expectation is the ELBO for every K; ``"auto"`` is exact where that takes no more states than
    particles; ``"ais"`` is `annealed`, in `n_steps` steps.

    Missing cells are summed out (eq. 18). By ``"exact"`` and ``"ais"`` this is done once for each pattern of missing
    cells among the rows, with a machine that lacks these units: where all patterns differ, an enumeration for each row.

    An estimate depends on the seed and on the row's content only: neither on where the row stands,
    nor on the other rows. So equal rows share their noise: `shared_variance` tells what that does to a mean over rows.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not what it should be; and as `chosen` does.

    References
    ----------
    Burda, Y., Grosse, R. & Salakhutdinov, R. (2016). Importance weighted autoencoders. ICLR.
    """
    check(parameters, data, seed=seed, n_particles=n_particles, n_steps=n_steps, n_threads=n_threads)
    flat, sizes = parameters.flat, parameters.sizes
    method = chosen(method, sum(sizes[1:]), n_particles)
    if method == "exact":
        values = np.empty(len(data))
        for rows, restricted, part in by_pattern(parameters, data):
            values[rows] = _likelihood.exact(restricted.flat, restricted.sizes, part.words, n_threads)
        return values, None
    if method == "ais":
        return annealed(
            parameters, methods, data, n_particles=n_particles, n_steps=n_steps, seed=seed, n_threads=n_threads
        )
    estimates, effective, elbos = np.empty(len(data)), np.empty(len(data)), np.empty(len(data))
    for rows in paced(len(data), n_threads):
        part = data[rows]
        estimates[rows], effective[rows], elbos[rows] = _likelihood.importance(
            flat, sizes, methods, part.words, seed, n_particles, n_threads, part.observed
        )
    return elbos if method == "elbo" else _certain(data, estimates), effective


def shared_variance(data: Bits, sizes: NDArray[np.float64] | None, n_particles: int) -> float:
    """Variance that a mean of estimates over rows has because equal rows share their noise, nats²      (eq. 21)

    Parameters
    ----------
    data : Bits of shape (n, D)
    sizes : ndarray of shape (n,), float64, or None
        Effective sample sizes, as `log_likelihood` gives them; None, of exact values, which have no noise.
    n_particles : int
        Samples per row.

    Returns
    -------
    float
        0 where no two rows are equal.
    """
    if sizes is None:
        return 0.0
    planes = data.words if data.observed is None else np.hstack([data.words, data.observed])
    _, row, n_equal = np.unique(_likelihood.hash_rows(planes, 0), return_inverse=True, return_counts=True)
    return float(((n_equal[row] - 1) * (1 / np.maximum(sizes, 1) - 1 / n_particles)).sum() / len(data) ** 2)


def paced(n_rows: int, n_threads: int) -> Iterator[slice]:
    """Slices of a few rows, as many as take a tenth of a second, so that Ctrl-C is heard between them."""
    first, now = 0, n_threads
    while first < n_rows:
        began = time.perf_counter()
        yield slice(first, first + now)
        took = time.perf_counter() - began
        first, now = first + now, max(n_threads, min(2 * now, int(now * SECONDS_PER_CALL / max(took, 1e-9))))


def chosen(method: str, n_hidden: int, n_particles: int) -> str:
    """ "exact", "importance", "elbo" or "ais": what a method comes to for a machine with so many hidden units.

    Raises
    ------
    ValueError
        If `method` is unknown, or "exact" with more than 24 hidden units.
    """
    if choice("method", method, METHODS) == "exact" and n_hidden > MOST_ENUMERATED:
        raise ValueError(
            f'method: "exact" enumerates at most {MOST_ENUMERATED} hidden units, this machine has {n_hidden}; '
            'use "importance"'
        )
    if method != "auto":
        return method
    return "exact" if n_hidden <= MOST_ENUMERATED and 2**n_hidden <= n_particles else "importance"


def annealed(
    parameters: Parameters,
    methods: NDArray[np.uint8],
    data: Bits,
    *,
    n_particles: int,
    n_steps: int,
    seed: int,
    n_threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log p(x) of every row by annealed importance sampling, nats, and the effective sample size      (eq. 15)

    Each of `n_particles` chains begins with h ~ q(h | x) and moves to the posterior in `n_steps` steps, drawing
    every hidden unit once on the way from step to step. The mean of the weights is p(x), so that its logarithm is
    too low on average, the less so the more steps there are; one step is importance sampling with the same particles.
    A step of a chain takes as long as some 40 particles of importance sampling (64-32-16 units) to some 200
    (784-200-200): it pays where q misses much of the posterior.

    Like every estimate, it depends on the seed and on the row's content only.

    Raises
    ------
    ValueError, TypeError
        For an argument that is not what it should be; if a parameter is beyond ±600.

    References
    ----------
    Neal, R. M. (2001). Annealed importance sampling. Statistics and Computing 11, 125-139.
    """
    check(parameters, data, seed=seed, n_particles=n_particles, n_steps=n_steps, n_threads=n_threads)
    estimates, effective = np.empty(len(data)), np.empty(len(data))
    for rows, restricted, part in by_pattern(parameters, data):
        estimates[rows], effective[rows] = _annealing.annealed(
            restricted.flat, restricted.sizes, methods, part.words, seed, n_particles, n_steps, n_threads
        )
    return _certain(data, estimates), effective


def _certain(data: Bits, estimates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The estimates, with 0 for rows of which nothing is observed: that needs none."""
    return estimates if data.observed is None else np.where(data.observed.any(axis=1), estimates, 0.0)


def simulated_bounds(
    parameters: Parameters,
    methods: NDArray[np.uint8],
    n_rows: int,
    *,
    n_particles: int,
    n_steps: int,
    seed: int,
    n_threads: int = 1,
) -> tuple[Bits, NDArray[np.float64], NDArray[np.float64]]:
    """Rows x ~ p(x), and a lower and an upper bound on log p(x) of each, nats      (eqs. 15, 16)

    The h with which x was dreamt is an exact sample of the posterior. Chains that begin with it, and go back to q,
    have weights whose mean is 1/p(x): minus its logarithm is too high on average, as `annealed` is too low. The
    mean gap shows how far off `annealed` may be with so many steps and particles, on rows that are typical of the
    model; of other rows it says nothing. The bounds hold on average, not for every row.

    Returns
    -------
    rows : Bits of shape (n_rows, D)
        Those that the machine's `sample` gives with this seed.
    lower, upper : ndarray of shape (n_rows,), float64

    Raises
    ------
    ValueError, TypeError
        For an argument that is not what it should be; if a parameter is beyond ±600.

    References
    ----------
    Wu, Y., Burda, Y., Salakhutdinov, R. & Grosse, R. (2017). On the quantitative analysis of decoder-based
    generative models. ICLR.
    """
    check(parameters, seed=seed, n_rows=n_rows, n_particles=n_particles, n_steps=n_steps, n_threads=n_threads)
    sizes = parameters.sizes
    states = np.zeros((n_rows, sum(map(words_of, sizes))), np.uint64)
    _core.dream(parameters.flat, sizes, methods, states, seed, _core.FANTASY)
    rows = Bits(np.ascontiguousarray(states[:, : words_of(sizes[0])]), sizes[0])
    how = (seed, n_particles, n_steps, n_threads)
    lower, _ = _annealing.annealed(parameters.flat, sizes, methods, rows.words, *how)
    upper, _ = _annealing.annealed_back(parameters.flat, sizes, methods, states, *how)
    return rows, lower, upper
