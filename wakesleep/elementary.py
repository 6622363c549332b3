"""exp, log and powers of float64 by IEEE operations alone: the same bits on every platform and in the compiled core."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

LARGEST = 700.0  # e^±700 are normal numbers
SHIFT = 1.5 * 2.0**52  # adding it rounds to a whole number, which its lowest bits then are
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the former times a whole number is exact
COEFFICIENTS = [1 / math.factorial(i) for i in range(13, -1, -1)]


def exp(x: Any) -> Doubles:
    """e^x, with x clamped to ±700; relative error about 3e-16. NaN stays NaN."""
    x = np.asarray(x, np.float64)
    x = np.where(x < -LARGEST, -LARGEST, np.where(x > LARGEST, LARGEST, x))
    shifted = x * 1.4426950408889634 + SHIFT
    n = shifted - SHIFT
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = np.full_like(r, COEFFICIENTS[0])
    for coefficient in COEFFICIENTS[1:]:
        p = p * r + coefficient
    return np.asarray(p * ((shifted.view(np.int64) + 1023) << 52).view(np.float64))


def log(x: Any) -> Doubles:
    """Natural logarithm of positive numbers."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < np.sqrt(0.5)
    mantissa, exponent = np.where(low, 2 * mantissa, mantissa), exponent - low
    s = (mantissa - 1) / (mantissa + 1)
    t = s * s
    series = np.zeros_like(t)
    for odd in range(23, 0, -2):
        series = series * t + 1 / odd
    return np.asarray(2 * s * series + exponent * 0.6931471805599453)


def power(base: float, exponent: int) -> float:
    """base^exponent by repeated squaring, since the platform's pow may round in another way.  exponent : 0 or more."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base, exponent = base * base, exponent >> 1
    return result
