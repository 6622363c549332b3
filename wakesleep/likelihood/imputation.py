"""What a machine says of missing cells: their means given the observed cells of the row, or draws of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import _imputation
from wakesleep.bits import Bits
from wakesleep.likelihood.estimates import paced
from wakesleep.parameters import Parameters


def impute(
    parameters: Parameters,
    methods: NDArray[np.uint8],
    data: Bits,
    *,
    n_particles: int,
    draws: bool = False,
    seed: int = 0,
    n_threads: int = 1,
) -> NDArray[Any]:
    """The rows with their missing cells filled in: by E[x | observed cells], or by draws from p(x | observed cells).

    Particles h ~ q(h | x), for which q sees a 0 in a missing cell, stand for the posterior by their weights
    (eq. 19). What is filled in depends on the seed and on the row's content only.

    Returns
    -------
    ndarray of shape (N, D)
        float32 of means, or uint8 of draws; observed cells are as they were.
    """
    if data.observed is None:
        return data.to_dense(np.uint8 if draws else np.float32)
    filled = np.empty(data.shape, np.uint8 if draws else np.float32)
    for rows in paced(len(data), n_threads):
        words, seen = data.words[rows], data.observed[rows]
        how = (parameters.flat, parameters.sizes, methods, words, seen, seed, n_particles, n_threads)
        if draws:
            filled[rows] = Bits(_imputation.imputed_draws(*how), data.n_features).to_dense()
        else:
            filled[rows] = _imputation.imputed_means(*how)
    return filled
