"""`State`: where a training stands, and the ways to begin: anew, from given weights, from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakesleep import _core
from wakesleep.bits import Bits
from wakesleep.optimizers import MOMENTS, SGD
from wakesleep.parameters import Layer, Parameters, finite_floats, logit_of_mean
from wakesleep.rows import Selection

NEWER = {"optimizer", "n_updates"}  # what older manifests do not have
WALK_BELOW, WALK_ABOVE = 0.25, 64  # share of ones, and units: there, walking over set bits was measured to be faster


@dataclass(frozen=True)
class State:
    """Where a training stands: all that it takes to go on as if it had never stopped.

    Attributes
    ----------
    parameters : Parameters
        What has been learned.
    methods : ndarray of shape (n_levels,), uint8
        How sums over the units of each level are taken, `_core.WALK` or `_core.TABLES`: fixed when
        training starts, because it fixes the order of the sums.
    seed : int
        Key of all randomness, 64 bits.
    position : ndarray of shape (3,), int64
        Epochs done, rows done of the present epoch, rows seen in all.
    step : int
        Minibatches seen.
    moments : ndarray of shape (0, 1 or 2, n_parameters), float32
        What the optimizer keeps, in the layout of the parameters.
    optimizer : str
        Whose moments these are.
    n_updates : ndarray of shape (2,), int64
        Updates of p and of q that they have seen, since they began with zero.
    """

    parameters: Parameters
    methods: NDArray[np.uint8]
    seed: int
    position: NDArray[np.int64]
    step: int
    moments: NDArray[np.float32]
    optimizer: str
    n_updates: NDArray[np.int64]

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return int(self.position[0])

    def moments_for(self, optimizer: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Copies of the moments, and of the updates that they have seen; zeros where another optimizer was at work."""
        if self.optimizer == optimizer:
            return self.moments.copy(), self.n_updates.copy()
        return np.zeros((MOMENTS[optimizer], self.parameters.flat.size), np.float32), np.zeros(2, np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What has been learned by name, and the moments, if there are any."""
        kept = {"moments": self.moments} if len(self.moments) else {}
        return self.parameters.named() | kept

    def manifest(self) -> dict[str, Any]:
        """All the rest of it, as JSON values."""
        return {
            "sizes": list(self.parameters.sizes), "methods": self.methods.tolist(), "seed": self.seed,
            "position": self.position.tolist(), "step": self.step, "optimizer": self.optimizer,
            "n_updates": self.n_updates.tolist(),
        }  # fmt: skip


def methods_for(sizes: Sequence[int], density: float) -> NDArray[np.uint8]:
    """Walk over the visible units where they are many and few are on; tables for all others, half on at first."""
    methods = np.full(len(sizes), _core.TABLES, np.uint8)
    if density < WALK_BELOW and sizes[0] > WALK_ABOVE:
        methods[0] = _core.WALK
    return methods


def start(
    data: Bits | Selection[Bits], hidden_layer_sizes: Sequence[int], seed: int, initial_biases: str = "data"
) -> State:
    """Draw the initial parameters.

    Weights are uniform, a tenth of Glorot and Bengio's (2010) range; biases are zero, but with
    ``initial_biases="data"`` those of the visible units are the logits of the data's mean, so that
    learning starts from independent units. The mean is that of the observed cells; for the choice of methods, which
    is one of speed, a missing cell is a zero, as it is to the sums.
    """
    sizes = (data.n_features, *hidden_layer_sizes)
    parameters = Parameters(sizes)
    for number, layer in enumerate([*parameters.generative, *parameters.recognition]):
        n_source, n_target = layer.weights.shape
        words = _core.random_words(seed, _core.INIT + number, n_source, n_target)
        range_ = 0.1 * np.sqrt(6 / (n_source + n_target))
        layer.weights[:] = ((words >> np.uint32(8)) / 2.0**23 - 1) * range_
    counts = data.counts()
    if initial_biases == "data":
        parameters.generative[0].biases[:] = logit_of_mean(counts, data.observed_counts())
    return _begun(parameters, methods_for(sizes, int(counts.sum()) / (len(data) * sizes[0])), seed)


def _begun(parameters: Parameters, methods: NDArray[np.uint8], seed: int) -> State:
    none_yet = np.zeros((0, parameters.flat.size), np.float32)
    return State(parameters, methods, seed, np.zeros(3, np.int64), 0, none_yet, SGD.name, np.zeros(2, np.int64))


def given(
    prior_logits: ArrayLike, generative: Sequence[tuple[ArrayLike, ArrayLike]],
    recognition: Sequence[tuple[ArrayLike, ArrayLike]],
) -> State:  # fmt: skip
    """Take parameters from elsewhere: layers are (weights, biases), bottom level first. The seed is 0.

    Raises
    ------
    ValueError, TypeError
        If a part is not finite numbers, or its shape does not fit its neighbours; by name.
    """
    prior = _array("prior_logits", prior_logits, 1)
    down, up = _layers("generative", generative), _layers("recognition", recognition)
    sizes = (*(layer.weights.shape[1] for layer in down), len(prior))
    if len(up) != len(down):
        raise ValueError(f"recognition: want {len(down)} layers as in generative, got {len(up)}")
    for number, (layer, back) in enumerate(zip(down, up, strict=True)):
        low, high = sizes[number : number + 2]
        for name, array, shape in (
            (f"generative[{number}].weights", layer.weights, (high, low)),
            (f"generative[{number}].biases", layer.biases, (low,)),
            (f"recognition[{number}].weights", back.weights, (low, high)),
            (f"recognition[{number}].biases", back.biases, (high,)),
        ):
            if array.shape != shape:
                what = "(n_source, n_target)" if len(shape) == 2 else "(n_target,)"
                raise ValueError(f"{name}: want shape {shape} {what}, got {array.shape}")
    parameters = Parameters(sizes)
    for view, layer in zip([*parameters.generative, *parameters.recognition], [*down, *up], strict=True):
        view.weights[:], view.biases[:] = layer
    parameters.prior_logits[:] = prior
    # the mean fantasy tells how many visible units will be on
    visible = _core.propagate(np.zeros((1, 0), np.float32), np.zeros((0, len(prior)), np.float32), prior)
    for layer in down[::-1]:
        visible = _core.propagate(visible, *layer)
    return _begun(parameters, methods_for(sizes, math.fsum(visible[0].tolist()) / sizes[0]), 0)


def _layers(name: str, layers: Sequence[tuple[ArrayLike, ArrayLike]]) -> list[Layer]:
    pairs = isinstance(layers, Sequence) and all(isinstance(pair, Sequence) and len(pair) == 2 for pair in layers)
    if not pairs or not layers:
        raise TypeError(f"{name}: want a list of one (weights, biases) or more, bottom level first, got {layers!r:.80}")
    return [
        Layer(_array(f"{name}[{i}].weights", weights, 2), _array(f"{name}[{i}].biases", biases, 1))
        for i, (weights, biases) in enumerate(layers)
    ]


def _array(name: str, values: ArrayLike, ndim: int) -> NDArray[np.float32]:
    array = finite_floats(name, values, "(n_source, n_target)" if ndim == 2 else "(n_units,)")
    if array.ndim != ndim or not array.size:
        raise ValueError(f"{name}: want a non-empty array of {ndim} dimension(s), got shape {array.shape}")
    return array + np.float32(0)  # of zero, the sign is not kept


def restored(
    arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any], optimizer: str, updates_of_q: int
) -> State:
    """The state whose parameters and manifest these are.

    Where an older manifest does not tell: the moments began with training, are those of `optimizer` if it keeps so
    many, and q was updated so many times in each step.

    Raises
    ------
    ValueError, TypeError, KeyError
        If anything is missing, or not of the type, shape or range that it must be.
    """
    names = {"sizes", "methods", "seed", "position", "step"}
    if set(manifest) not in (names, names | NEWER):
        raise ValueError(f"state: want {', '.join(sorted(names | NEWER))}, got {sorted(manifest)!r:.200}")
    sizes, methods, position = (_integers(name, manifest[name]) for name in ("sizes", "methods", "position"))
    seed, step = _integers("seed, step", [manifest["seed"], manifest["step"]])
    arrays = dict(arrays)
    moments = arrays.pop("moments", None)
    total = sum(array.size for array in arrays.values())
    if len(sizes) < 2 or min(sizes) < 1 or sum(low * high for low, high in pairwise(sizes)) > total:
        raise ValueError(f"sizes: want those of the arrays, got {sizes!r:.80}")
    if len(methods) != len(sizes) or not set(methods) <= {_core.WALK, _core.TABLES}:
        raise ValueError(f"methods: want WALK or TABLES for each level, got {methods!r:.80}")
    if len(position) != 3 or max(position) >= 2**62:
        raise ValueError(f"position: want three numbers below 2**62, got {position!r:.80}")
    parameters = Parameters(sizes)
    named = parameters.named()
    if set(named) != set(arrays):
        raise ValueError(f"want arrays {sorted(named)!r:.200}, got {sorted(arrays)!r:.200}")
    for name, part in named.items():
        if arrays[name].dtype != np.float32 or arrays[name].shape != part.shape:
            raise ValueError(f"{name}: want float32 of {part.shape}, got {arrays[name].dtype} of {arrays[name].shape}")
        part[:] = finite_floats(name, arrays[name], str(part.shape))
    if moments is None:
        moments = np.zeros((0, parameters.flat.size), np.float32)
    elif moments.dtype != np.float32 or moments.shape not in [(n, parameters.flat.size) for n in (1, 2)]:
        wanted = f"float32 of (1 or 2, {parameters.flat.size})"
        raise ValueError(f"moments: want {wanted}, got {moments.dtype} of {moments.shape}")
    moments = finite_floats("moments", moments, str(moments.shape))
    n_updates = [step, step * updates_of_q]
    if "optimizer" in manifest:
        optimizer, n_updates = manifest["optimizer"], _integers("n_updates", manifest["n_updates"])
        if not isinstance(optimizer, str) or MOMENTS.get(optimizer) != len(moments):
            raise ValueError(f"optimizer: want one that keeps {len(moments)} moments, got {optimizer!r:.80}")
    elif MOMENTS[optimizer] != len(moments):
        optimizer, moments = SGD.name, moments[:0]
    if len(n_updates) != 2 or max(n_updates) >= 2**62:
        raise ValueError(f"n_updates: want two numbers below 2**62, got {n_updates!r:.80}")
    return State(
        parameters, np.array(methods, np.uint8), seed, np.array(position, np.int64), step, moments, optimizer,
        np.array(n_updates, np.int64),
    )  # fmt: skip


def _integers(name: str, values: Any) -> list[int]:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**64 for value in values):
        raise TypeError(f"{name}: want whole numbers, got {values!r:.80}")
    return values
