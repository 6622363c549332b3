from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__test__: dict[str, str]  # put there by Cython

def exact(
    parameters: NDArray[np.floating[Any]], sizes: Sequence[int], data: NDArray[np.uint64], n_threads: int = 1
) -> NDArray[np.float64]: ...
