from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__test__: dict[str, str]  # put there by Cython

def imputed_means(
    parameters: NDArray[np.float32],
    sizes: Sequence[int],
    methods: NDArray[np.uint8],
    data: NDArray[np.uint64],
    observed: NDArray[np.uint64],
    seed: int,
    n_particles: int,
    n_threads: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]: ...
def imputed_draws(
    parameters: NDArray[np.float32],
    sizes: Sequence[int],
    methods: NDArray[np.uint8],
    data: NDArray[np.uint64],
    observed: NDArray[np.uint64],
    seed: int,
    n_particles: int,
    n_threads: int = 1,
) -> tuple[NDArray[np.uint64], NDArray[np.float64]]: ...
