from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

WALK: Final[int]
TABLES: Final[int]
INIT: Final[int]
ORDER: Final[int]
WAKE: Final[int]
SLEEP: Final[int]
IMPORTANCE: Final[int]
FANTASY: Final[int]
DATASETS: Final[int]
BINARIZE: Final[int]
STAGES: Final[tuple[str, ...]]

__test__: dict[str, str]  # put there by Cython

def check_machine(
    parameters: NDArray[np.float32], sizes: ArrayLike, methods: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8]]: ...
def check_flat(name: str, array: object, length: int) -> None: ...
def check_array(name: str, array: object, dtype: type[np.generic], shape: tuple[int | None, ...]) -> None: ...
def check_bits(name: str, words: object, sizes: NDArray[np.int64], given: int) -> None: ...
def random_words(
    seed: int, stream: int, n_samples: int, n_units: int, first_sample: int = 0
) -> NDArray[np.uint32]: ...
def binarize(
    values: NDArray[np.uint8] | NDArray[np.float32],
    one: int,
    words: NDArray[np.uint64],
    seed: int,
    first_sample: int = 0,
    keys: NDArray[np.uint64] | None = None,
) -> None: ...
def epoch_order(
    seed: int, epoch: int, n_rows: int, first: int = 0, count: int | None = None
) -> NDArray[np.int64]: ...
def recognise(
    parameters: NDArray[np.float32],
    sizes: ArrayLike,
    methods: ArrayLike,
    states: NDArray[np.uint64],
    seed: int,
    stream: int = ...,
    first_sample: int = 0,
) -> None: ...
def dream(
    parameters: NDArray[np.float32],
    sizes: ArrayLike,
    methods: ArrayLike,
    states: NDArray[np.uint64],
    seed: int,
    stream: int = ...,
    first_sample: int = 0,
) -> None: ...
def log_probabilities(
    parameters: NDArray[np.float32], sizes: ArrayLike, methods: ArrayLike, states: NDArray[np.uint64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def teach(
    parameters: NDArray[np.float32],
    sizes: ArrayLike,
    methods: ArrayLike,
    states: NDArray[np.uint64],
    credits_p: NDArray[np.float32] | None,
    credits_q: NDArray[np.float32] | None,
    gradient: NDArray[np.float32],
) -> None: ...
def train(
    parameters: NDArray[np.float32],
    sizes: ArrayLike,
    methods: ArrayLike,
    data: NDArray[np.uint64],
    position: NDArray[np.int64],
    seed: int,
    batch_size: int,
    n_particles: int,
    n_batches: int,
    learning_rates: Sequence[float],
    n_threads: int = 1,
    clock: NDArray[np.float64] | None = None,
    chosen: NDArray[np.int64] | None = None,
) -> None: ...
def propagate(
    values: NDArray[np.float32], weights: NDArray[np.float32], biases: NDArray[np.float32]
) -> NDArray[np.float32]: ...
