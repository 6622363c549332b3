from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep._enumeration import exact as exact

__pyx_capi__: dict[str, Any]
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
    observed: NDArray[np.uint64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def particles(
    parameters: NDArray[np.float32],
    sizes: Sequence[int],
    methods: NDArray[np.uint8],
    data: NDArray[np.uint64],
    seed: int,
    n_particles: int,
    n_threads: int = 1,
    observed: NDArray[np.uint64] | None = None,
) -> NDArray[np.uint64]: ...
