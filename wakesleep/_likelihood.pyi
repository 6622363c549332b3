from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__test__: dict[str, str]  # put there by Cython

def hash_rows(data: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]: ...
def importance(
    parameters: NDArray[np.float32],
    sizes: Sequence[int],
    methods: NDArray[np.uint8],
    data: NDArray[np.uint64],
    seed: int,
    n_particles: int,
    n_threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def exact(
    parameters: NDArray[np.floating[Any]], sizes: Sequence[int], data: NDArray[np.uint64]
) -> NDArray[np.float64]: ...
