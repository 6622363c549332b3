"""What the compiled modules ask of their arguments: ValueError names the argument, what was wanted and what came."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

WALK, TABLES = 0, 1
ROWS = 1 << 14  # looked at together


def check_machine(
    parameters: Any, sizes: ArrayLike, methods: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8]]:
    """The three arrays that describe a machine, as contiguous arrays of the right types, or a ValueError."""
    sizes, methods = np.asarray(sizes), np.asarray(methods)
    if sizes.dtype.kind not in "iu" or sizes.ndim != 1 or len(sizes) < 2 or (sizes < 0).any():
        raise ValueError(f"sizes: want two or more levels of 0 or more units, got {sizes.tolist()}")
    if methods.dtype.kind not in "iu" or methods.shape != sizes.shape or methods.min() < WALK or methods.max() > TABLES:
        raise ValueError(f"methods: want WALK or TABLES for each of {len(sizes)} levels, got {methods.tolist()}")
    sizes = np.ascontiguousarray(sizes, dtype=np.int64)
    methods = np.ascontiguousarray(methods, dtype=np.uint8)
    both_ways = sum((low + 1) * high + (high + 1) * low for low, high in pairwise(sizes.tolist()))
    check_flat("parameters", parameters, both_ways + int(sizes[len(sizes) - 1]))
    return parameters, sizes, methods


def check_flat(name: str, array: Any, length: int) -> None:
    """Refuse what is not a contiguous float32 vector of this length."""
    check_array(name, array, np.float32, (length,))


def check_array(name: str, array: Any, dtype: type[np.generic], shape: tuple[int | None, ...]) -> None:
    """Refuse what is not a C-contiguous array of this type and shape, where None stands for any number."""
    wanted = str(tuple("n" if size is None else size for size in shape)).replace("'", "")
    what = f"{name}: want C-contiguous {np.dtype(dtype).name} of shape {wanted}"
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{what}, got {type(array).__name__}")
    fits = len(array.shape) == len(shape) and all(size in (None, n) for size, n in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits or not array.flags.c_contiguous:
        raise ValueError(f"{what}, got {array.dtype} of shape {array.shape} and strides {array.strides}")


def check_bits(name: str, words: Any, sizes: NDArray[np.int64], given: int) -> None:
    """Refuse rows that are not whole words per level, or that have ones beyond the last unit of a given level."""
    n_words = (sizes + 63) // 64
    check_array(name, words, np.uint64, (None, int(n_words.sum())))
    for level in range(given):
        used = int(sizes[level]) % 64
        last = words[:, int(n_words[: level + 1].sum()) - 1] if used else words[:0]
        if (last >> np.uint64(used)).any():
            raise ValueError(f"{name}: want zeros beyond unit {sizes[level] - 1} of level {level}, got ones")


def check_observed(observed: Any, words: NDArray[np.uint64]) -> None:
    """Refuse a second plane of another shape than the rows, or without ones where they have ones."""
    if observed is None:
        return
    check_array("observed", observed, np.uint64, words.shape)
    for first in range(0, len(words), ROWS):
        if (words[first : first + ROWS] & ~observed[first : first + ROWS]).any():
            raise ValueError("observed: want ones wherever the rows have ones, got zeros")
