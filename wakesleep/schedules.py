"""Schedules: the factor of the learning rates at every minibatch, a pure function of where training stands.

A schedule is typed as a string, ``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE``, because a string is the same in a
constructor, on a command line and in the JSON of a checkpoint, and because equal strings are equal schedules.

==============  ==============================================================================================
``constant``    1
``linear``      from 1 in a straight line to `final` at the end of the last of `n_iter` epochs
``cosine``      the same along half a period of a cosine (Loshchilov & Hutter 2017, "SGDR")
``decay``       times `factor` after every epoch
==============  ==============================================================================================

With ``warm_up=N``, the factor rises from 0 to 1 in a straight line over the first N epochs, and the rest comes after.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wakesleep.elementary import power

OPTIONS = {
    "constant": ("warm_up",),
    "linear": ("warm_up", "final"),
    "cosine": ("warm_up", "final"),
    "decay": ("warm_up", "factor"),
}


class Schedule(NamedTuple):
    """A checked schedule: which curve, and its numbers."""

    curve: str
    warm_up: int = 0  # epochs
    final: float = 0.0
    factor: float = 1.0


CONSTANT = Schedule("constant")


def parse(text: Any, name: str = "schedule") -> Schedule:
    """The schedule that a string describes.

    Parameters
    ----------
    text : str
        ``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE``.
    name : str, default="schedule"
        What error messages call the argument.

    Returns
    -------
    Schedule

    Raises
    ------
    TypeError, ValueError
        If it is not a string, or names or numbers are not those that there are.

    Examples
    --------
    >>> parse("cosine:warm_up=5,final=0.1")
    Schedule(curve='cosine', warm_up=5, final=0.1, factor=1.0)
    """
    if not isinstance(text, str):
        raise TypeError(f"{name}: want a string such as 'cosine:warm_up=5', got {text!r:.80}")
    curve, colon, rest = text.partition(":")
    if curve not in OPTIONS:
        raise ValueError(f"{name}: want one of {', '.join(OPTIONS)}, got {text!r:.80}")
    values: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        option, _, value = part.partition("=")
        if option not in OPTIONS[curve]:
            known = ", ".join(f"{option}=VALUE" for option in OPTIONS[curve])
            raise ValueError(f"{name}: want {known} after the colon of {curve!r}, got {part!r:.80} in {text!r:.80}")
        if option in values:
            raise ValueError(f"{name}: want {option} once, got it twice in {text!r:.80}")
        values[option] = _number(option, value, name)
    if curve == "decay" and "factor" not in values:
        raise ValueError(f"{name}: want a factor, as in 'decay:factor=0.99', got {text!r:.80}")
    return Schedule(curve, **values)


def _number(option: str, value: str, name: str) -> float | int:
    if option == "warm_up":
        if not value.isascii() or not value.isdecimal() or len(value) > 9:
            raise ValueError(f"{name}: want warm_up to be a whole number of epochs, got {value!r:.80}")
        return int(value)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1 or (option == "factor" and number == 0):
        least = "above 0 and at most" if option == "factor" else "from 0 to"
        raise ValueError(f"{name}: want {option} to be a number {least} 1, got {value!r:.80}")
    return number


def check(schedule: Schedule, n_iter: int) -> None:
    """Refuse a curve that ends with training before it has begun.

    Raises
    ------
    ValueError
    """
    if schedule.curve in ("linear", "cosine") and schedule.warm_up >= n_iter > 0:
        raise ValueError(
            f"schedule: want warm_up below n_iter, {n_iter}, the epochs with which {schedule.curve!r} ends, "
            f"got {schedule.warm_up}"
        )


def factors(
    schedule: Schedule, epoch: int, n_batches: int, n_iter: int, first: int = 0, count: int | None = None
) -> NDArray[np.float64]:
    """Factors of minibatches first … first + count − 1 of the `n_batches` of an epoch, counted from 0.

    IEEE operations alone, so that they are the same bits on every platform. They depend on nothing else than the
    arguments: training that stops and goes on has the same factors. Beyond `n_iter` epochs, ``linear`` and
    ``cosine`` stay at their end.

    Parameters
    ----------
    schedule : Schedule
    epoch, n_batches : int
        Number of the epoch, and minibatches in it. With one minibatch, this is the factor of a quantity that
        changes from epoch to epoch.
    n_iter : int
        Epochs at whose end the curve has come to its end.
    first : int, default=0
    count : int, optional
        All that remain where it is left out.

    Returns
    -------
    ndarray of shape (count,), float64
    """
    step = epoch * n_batches + np.arange(first, n_batches if count is None else first + count)
    warm = schedule.warm_up * n_batches
    progress = np.clip((step - warm) / max(1, n_iter * n_batches - warm), 0, 1)
    match schedule.curve:
        case "linear":
            curve = 1 - (1 - schedule.final) * progress
        case "cosine":
            curve = schedule.final + (1 - schedule.final) * _half_cosine(progress)
        case "decay":
            curve = np.full(len(step), power(schedule.factor, max(0, epoch - schedule.warm_up)))
        case _:
            curve = np.ones(len(step))
    return np.asarray(curve * np.minimum((step + 1) / warm, 1) if warm else curve)


def _half_cosine(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + cos πx) / 2 for x in [0, 1], by the series of sin π(½ − x)."""
    y = math.pi * (0.5 - x)
    square, series = y * y, np.zeros_like(y)
    for odd in range(21, 0, -2):
        series = series * square + (-1) ** (odd // 2) / math.factorial(odd)
    return np.clip((1 + y * series) / 2, 0, 1)


def between(first: float, last: float, epoch: int, n_iter: int) -> float:
    """From `first`, in epoch 0, in a straight line to `last`, in the last of `n_iter` epochs and beyond.

    The same bits on every platform, and nothing else than the arguments decides, as with `factors`.

    Examples
    --------
    >>> [between(1.0, 0.0, epoch, 3) for epoch in range(4)]
    [1.0, 0.5, 0.0, 0.0]
    """
    progress = min(epoch / max(1, n_iter - 1), 1.0)
    return last if progress == 1 else first + (last - first) * progress
