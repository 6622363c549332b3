from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakesleep.optimizers import Optimizer
from wakesleep.rules import Rule

STAGES: Final[tuple[str, ...]]
RULES: dict[str, int]
BASELINES: Final[tuple[str, ...]]

__test__: dict[str, str]  # put there by Cython

def check_rule(rule: Rule) -> None: ...
def check_optimizer(optimizer: Optimizer, moments: object, n_parameters: int, n_hidden: int) -> None: ...
def train(
    parameters: NDArray[np.float32],
    moments: NDArray[np.float32],
    sizes: ArrayLike,
    methods: ArrayLike,
    data: NDArray[np.uint64],
    position: NDArray[np.int64],
    n_updates: NDArray[np.int64],
    seed: int,
    batch_size: int,
    rates: NDArray[np.float64],
    rule: Rule,
    optimizer: Optimizer,
    n_threads: int = 1,
    clock: NDArray[np.float64] | None = None,
    precision: str = "float32",
    chosen: NDArray[np.int64] | None = None,
    observed: NDArray[np.uint64] | None = None,
) -> None: ...
