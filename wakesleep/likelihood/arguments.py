"""What the functions of this package take: one check for all of them."""

from __future__ import annotations

from typing import Any

from wakesleep.bits import Bits
from wakesleep.hyperparameters import count, shown
from wakesleep.parameters import Parameters


def check(parameters: Any, data: Any = None, *, seed: Any = 0, n_rows: Any = 0, **counts: Any) -> None:
    """Refuse what are not the parameters of a machine, rows for it, a seed, and whole numbers, by name.

    Raises
    ------
    ValueError, TypeError
        If `data`, where they are not None, are no `Bits` with the visible units of the machine, `seed` is not from 0
        to 2**64 - 1, `n_rows` is less than 0, or one of `counts` less than 1.
    """
    if not isinstance(parameters, Parameters):
        raise TypeError(f"parameters: want those of a machine, which are its parameters_, got {shown(parameters)}")
    if data is not None:
        check_rows("data", data)
        if data.n_features != parameters.sizes[0]:
            raise ValueError(f"data: want {parameters.sizes[0]} features, got {data.n_features}")
    for name, value in counts.items():
        count(name, value)
    count("n_rows", n_rows, least=0)
    check_seed(seed)


def check_rows(name: str, data: Any) -> None:
    """Refuse what are no packed rows."""
    if not isinstance(data, Bits):
        raise TypeError(f"{name}: want Bits, such as Bits.from_dense makes, got {type(data).__name__}")


def check_seed(value: Any) -> None:
    """Refuse what is no whole number of 64 bits."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"seed: want a whole number, got {shown(value)}")
    if not 0 <= value < 2**64:
        raise ValueError(f"seed: want a whole number from 0 to 2**64 - 1, got {shown(value)}")
