"""Small machines, the rows that they learn, and what it takes to say that two of them are the same."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wakesleep import Bits, HelmholtzMachine, datasets

DIGITS = datasets.load_digits()
ROWS = DIGITS[:130]
SIZES = (5, 3)


def small(**params: Any) -> HelmholtzMachine:
    """A machine of 5 and 3 hidden units that takes no time; its last batch is short: 130 rows are 32 · 4 + 2."""
    return HelmholtzMachine(**{"hidden_layer_sizes": SIZES, "batch_size": 32, "n_iter": 3, "random_state": 7, **params})


def parts(machine: HelmholtzMachine) -> list[NDArray[Any]]:
    """All that it has learned: the prior, then the weights and biases of p, then those of q, bottom level first."""
    layers = [*machine.generative_, *machine.recognition_]
    return [machine.prior_logits_, *(part for layer in layers for part in layer)]


def learned(machine: HelmholtzMachine) -> tuple[list[bytes], int, int]:
    """Every bit of its parameters, and how far it has come."""
    return [part.tobytes() for part in parts(machine)], machine.n_iter_, machine.step_


def measured(machine: HelmholtzMachine) -> list[dict[str, Any]]:
    """Its history without what the clock has written into it."""
    clock = ("seconds", "rows_per_second")
    return [{name: value for name, value in entry.items() if name not in clock} for entry in machine.history_]


def everything(machine: HelmholtzMachine) -> bytes:
    """All attributes of a machine, private ones and the state of its generator included."""
    return pickle.dumps(vars(machine))


def random_machine(sizes: tuple[int, ...], scale: float = 1.0, seed: int = 0, **params: Any) -> HelmholtzMachine:
    """A machine with normal parameters; `sizes` begin with the visible level."""
    rng = np.random.default_rng(seed)

    def layer(n_source: int, n_target: int) -> tuple[NDArray[Any], NDArray[Any]]:
        return scale * rng.normal(size=(n_source, n_target)), scale * rng.normal(size=n_target)

    pairs = list(pairwise(sizes))
    generative, recognition = [layer(high, low) for low, high in pairs], [layer(low, high) for low, high in pairs]
    prior_logits = scale * rng.normal(size=sizes[-1])
    return HelmholtzMachine.from_parameters(prior_logits, generative, recognition, **{"random_state": seed, **params})


def random_rows(n_rows: int, n_features: int, seed: int = 0) -> Bits:
    """Rows with two ones in five."""
    return Bits.from_dense(np.random.default_rng(seed).random((n_rows, n_features)) < 0.4)


def every_row(n_features: int) -> Bits:
    """All 2^D rows."""
    return Bits.from_dense(np.arange(1 << n_features)[:, None] >> np.arange(n_features) & 1)


def through_a_file(machine: HelmholtzMachine, path: Path) -> HelmholtzMachine:
    """The machine, saved and loaded."""
    machine.save(path)
    return HelmholtzMachine.load(path)


class Stopped(Exception):  # noqa: N818 (as StopIteration, it is no fault)
    """What a callback of these tests raises."""


def stopped(machine: HelmholtzMachine, X: Bits, n_steps: int, **how: Any) -> HelmholtzMachine:
    """Fit, and be stopped by a callback after so many steps."""

    def stop(entry: dict[str, Any]) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        machine.fit(X, callbacks=[(stop, n_steps)], **how)
    assert machine.step_ == n_steps
    return machine
