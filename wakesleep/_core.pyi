from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakesleep._border import check_array as check_array
from wakesleep._border import check_bits as check_bits
from wakesleep._border import check_flat as check_flat
from wakesleep._border import check_machine as check_machine
from wakesleep._border import check_observed as check_observed
from wakesleep._learning import STAGES as STAGES
from wakesleep._learning import train as train

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

__test__: dict[str, str]  # put there by Cython

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
    parameters: NDArray[np.float32],
    sizes: ArrayLike,
    methods: ArrayLike,
    states: NDArray[np.uint64],
    observed: NDArray[np.uint64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def teach(
    parameters: NDArray[np.float32],
    sizes: ArrayLike,
    methods: ArrayLike,
    states: NDArray[np.uint64],
    credits_p: NDArray[np.float32] | None,
    credits_q: NDArray[np.float32] | None,
    gradient: NDArray[np.float32],
    observed: NDArray[np.uint64] | None = None,
) -> None: ...
def propagate(
    values: NDArray[np.float32], weights: NDArray[np.float32], biases: NDArray[np.float32]
) -> NDArray[np.float32]: ...
