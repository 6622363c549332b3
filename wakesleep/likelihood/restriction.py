"""Missing cells, summed out exactly: a machine without the visible units of these cells gives the rest its p(x)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wakesleep.bits import Bits
from wakesleep.parameters import Parameters

Rows = NDArray[np.int64] | slice


def by_pattern(parameters: Parameters, data: Bits) -> Iterator[tuple[Rows, Parameters, Bits]]:
    """Rows that lack the same cells, the machine without these units, and the rows without these cells      (eq. 18)

    There are as many of these as there are patterns among the rows.
    """
    if data.observed is None:
        yield slice(None), parameters, data
        return
    patterns, number = np.unique(data.observed, axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(number.ravel(), minlength=len(patterns)))
    for rows, pattern in zip(np.split(order, ends[:-1]), patterns, strict=True):
        units = np.flatnonzero(Bits(pattern[None], data.n_features)[0])
        cells = data[rows].filled().to_dense()[:, units]
        yield rows, restricted(parameters, units), Bits.from_dense(cells, binarize=None)


def restricted(parameters: Parameters, units: NDArray[np.int64]) -> Parameters:
    """The machine with only these of its visible units."""
    part = Parameters((len(units), *parameters.sizes[1:]))
    layers = [*part.generative, part.prior, *part.recognition]
    for mine, whole in zip(layers, [*parameters.generative, parameters.prior, *parameters.recognition], strict=True):
        if whole is parameters.generative[0]:
            mine.weights[:], mine.biases[:] = whole.weights[:, units], whole.biases[units]
        elif whole is parameters.recognition[0]:
            mine.weights[:], mine.biases[:] = whole.weights[units], whole.biases
        else:
            mine.weights[:], mine.biases[:] = whole
    return part
