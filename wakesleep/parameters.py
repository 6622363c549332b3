"""All learned numbers of a machine in one flat vector, with a named view of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakesleep.elementary import log

PRIOR = "prior_logits"


class Layer(NamedTuple):
    """P(target = 1 | source) = σ(source·weights + biases)      (eq. 1)

    weights : (n_source, n_target), one row per source unit.  biases : (n_target,).
    """

    weights: NDArray[np.floating[Any]]
    biases: NDArray[np.floating[Any]]

    def __repr__(self) -> str:
        return f"Layer(weights of {self.weights.shape}, biases of {self.biases.shape})"


class Parameters:
    """The parameters of both models: one flat vector, p first, then q, bottom level first.

    Parameters
    ----------
    sizes : sequence of int
        Units per level: visible, then hidden from the bottom up; two levels or more.
    flat : ndarray of shape (n,), optional
        The vector to look into (no copy is made); zeros of float32 where it is left out.

    Attributes
    ----------
    flat : ndarray of shape (n,)
        The numbers themselves. Gradients and moments have the same layout.
    generative, recognition : list of Layer
        Views of the layers of p and q, bottom level first: ``generative[l]`` goes from hidden
        level l down, ``recognition[l]`` goes up to it.
    prior_logits : ndarray of shape (sizes[-1],)
        View of the biases of the top level.

    Raises
    ------
    ValueError
        If `flat` does not have the length that `sizes` want.

    Examples
    --------
    >>> parameters = Parameters((4, 3, 2))
    >>> parameters.flat.size
    50
    >>> parameters.generative[1].weights.shape, parameters.recognition[1].weights.shape
    ((2, 3), (3, 2))
    """

    def __init__(self, sizes: Sequence[int], flat: NDArray[np.floating[Any]] | None = None) -> None:
        self.sizes = tuple(int(size) for size in sizes)
        down = [*zip(self.sizes[1:], self.sizes[:-1], strict=True), (0, self.sizes[-1])]
        shapes = down + [(low, high) for high, low in down[:-1]]
        total = sum((n_source + 1) * n_target for n_source, n_target in shapes)
        self.flat = np.zeros(total, np.float32) if flat is None else flat
        if self.flat.shape != (total,):
            raise ValueError(f"flat: want shape ({total},) for levels of {self.sizes} units, got {self.flat.shape}")
        layers, start = [], 0
        for n_source, n_target in shapes:
            middle, stop = start + n_source * n_target, start + (n_source + 1) * n_target
            layers.append(Layer(self.flat[start:middle].reshape(n_source, n_target), self.flat[middle:stop]))
            start = stop
        n_hidden = len(self.sizes) - 1
        self.generative = layers[:n_hidden]
        self.prior = layers[n_hidden]
        self.prior_logits = self.prior.biases
        self.recognition = layers[n_hidden + 1 :]

    def named(self) -> dict[str, NDArray[np.floating[Any]]]:
        """Views of all parts by name, such as ``generative.0.weights`` and ``prior_logits``."""
        parts = {PRIOR: self.prior_logits}
        layers = [*self.generative, self.prior, *self.recognition]
        for names, layer in zip(names_of_layers(len(self.generative)), layers, strict=True):
            parts |= {name: part for name, part in zip(names, layer, strict=True) if name is not None}
        return parts

    def __repr__(self) -> str:
        return f"Parameters({self.sizes})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (self.sizes, self.flat)  # so that a copy's views look into the copy


def names_of_layers(n_hidden: int) -> list[tuple[str | None, str]]:
    """What the weights and the biases of each layer are called, in the order of the flat vector.

    The prior has no weights.
    """
    p, q = (
        [(f"{model}.{i}.weights", f"{model}.{i}.biases") for i in range(n_hidden)]
        for model in ("generative", "recognition")
    )
    return [*p, (None, PRIOR), *q]


def finite_floats(name: str, values: ArrayLike, shape: str) -> NDArray[np.float32]:
    """A C-contiguous float32 array of these values.

    Raises
    ------
    ValueError
        If they are not real numbers that are finite in float32; the message says which argument.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind == "c":
            raise TypeError("complex numbers")
        with np.errstate(over="ignore"):
            array = np.asarray(array, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: want numbers of shape {shape}, got {values!r:.80}") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: want finite numbers, got NaN or infinity in float32")
    return array


def logit_of_mean(counts: NDArray[np.int64], n_rows: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """log(m / (1 − m)) of the mean m = (counts + 1) / (n_rows + 2), which is never 0 or 1, over the rows observed."""
    return log((counts + 1) / (n_rows - counts + 1))
