"""What the functions of this package take: one check for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from wakesleep._packing import shown
from wakesleep.bits import Bits
from wakesleep.hyperparameters import MOST_SEED, count
from wakesleep.parameters import Parameters


def check(parameters: Any, data: Any = ..., *, seed: Any = 0, n_rows: Any = 0, **counts: Any) -> None:
    """Refuse what are not the parameters of a machine, rows for it, a seed, and whole numbers, by name.

    Raises
    ------
    ValueError, TypeError
        If `data`, where they are given, are no `Bits` with the visible units of the machine, `seed` is not from 0 to
        2**64 - 1, `n_rows` is less than 0, or one of `counts` less than 1.
    """
    if not isinstance(parameters, Parameters):
        raise TypeError(f"parameters: want those of a machine, which are its parameters_, got {shown(parameters)}")
    if data is not ...:
        if not isinstance(data, Bits):
            raise TypeError(f"data: want Bits, such as Bits.from_dense makes, got {type(data).__name__}")
        if data.n_features != parameters.sizes[0]:
            raise ValueError(f"data: want {parameters.sizes[0]} features, got {data.n_features}")
    for name, value in counts.items():
        count(name, value)
    count("n_rows", n_rows, least=0)
    count("seed", seed, 0, MOST_SEED)


def level_of(parameters: Parameters, layer: Any) -> int:
    """The hidden level that `layer` means, 0 at the bottom or -1 at the top, counted from 0; or a ValueError."""
    n_hidden = len(parameters.sizes) - 1
    if isinstance(layer, bool) or not isinstance(layer, int | np.integer) or not -n_hidden <= layer < n_hidden:
        raise ValueError(f"layer: want a hidden level from {-n_hidden} to {n_hidden - 1}, got {shown(layer)}")
    return int(layer) % n_hidden
