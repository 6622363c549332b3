"""What the benchmarks compare: four implementations of one algorithm, on machines of three sizes.

An implementation is a class of one small protocol: it is made for a case and a number of rows, `epoch()`
trains on these rows once, `load(parameters)` takes over the parameters of another, and `parameters()`
are its own, as the arguments of `HelmholtzMachine.from_parameters`.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy_minibatch
import pure_python
import pytest

from wakesleep import HelmholtzMachine, _core, _reference, datasets
from wakesleep.bits import Bits
from wakesleep.state import start

SEED = 0
N_PARTICLES = 100  # for log p(x) of held-out rows, where it is not exact


@dataclass(frozen=True, eq=False)
class Case:
    """A machine, its data, and how much a little training must teach it.

    `n_epochs` over the rows must raise the mean log p(x) of the held-out rows by `margin` nats, and by
    as much as in the core, within `tolerance` nats: twice the largest difference seen between seeds.
    """

    sizes: tuple[int, ...]
    batch_size: int
    rate: float
    train: Bits
    held_out: Bits
    n_slow_rows: int  # for the implementations that are slow
    n_epochs: int
    margin: float
    tolerance: float

    def __str__(self):
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch_size}"


# ---- sizes ----


@cache
def tiny():
    """Bars, 4×4 pixels. Independent pixels would gain 3.2 nats."""
    train, held_out = datasets.make_bars(20_000), datasets.make_bars(1000, random_state=1)
    return Case((16, 4), 64, 0.5, train, held_out, 20_000, 3, 4.5, 1.2)


@cache
def digits():
    """The digits in the package. Independent pixels would gain 19.8 nats."""
    data = datasets.load_digits()
    return Case((64, 32, 16), 20, 0.2, data[:1500], data[1500:], 1500, 5, 21.5, 0.5)


@cache
def mnist():
    """Binarised MNIST. Independent pixels would gain 339 nats, and the few rows of the slow gain 333."""
    folder = Path(os.environ.get("WAKESLEEP_DATA", Path(__file__).parents[1] / "../shared/data"))
    path = folder / "mnist_binarized_fixed.npz"
    if not path.is_file():
        pytest.skip("no binarised MNIST here (WAKESLEEP_DATA names its folder)")
    train, held_out = datasets.read(path, split="train"), datasets.read(path, split="valid")[::20]
    return Case((784, 200), 100, 0.1, train, held_out, 200, 3, 325.0, 2.0)


SIZES = {"tiny": tiny, "digits": digits, "mnist": mnist}


# ---- implementations ----


class Core:
    """The compiled core, on one thread."""

    slow = False
    equals_core = True  # in every bit
    train = staticmethod(_core.train)

    def __init__(self, case, n_rows):
        self.state = start(case.train, case.sizes[1:], SEED)
        self.words = case.train[:n_rows].words
        self.n_batches = -(-n_rows // case.batch_size)
        self.case = case

    def epoch(self):
        state, rate = self.state, self.case.rate
        self.train(
            state.parameters.flat, self.case.sizes, state.methods, self.words, state.position, SEED,
            self.case.batch_size, 1, self.n_batches, (rate, rate), 1,
        )  # fmt: skip

    def load(self, parameters):
        self.state.parameters.flat[:] = parameters.flat

    def parameters(self):
        parameters = self.state.parameters
        return parameters.prior_logits, parameters.generative, parameters.recognition


class Twin(Core):
    """The core's twin in plain NumPy, written to be read and to agree in every bit."""

    slow = True
    train = staticmethod(_reference.train)


class Peer:
    """A module with `Machine(sizes, seed)`, of layers `p` and `q`, and `epoch(machine, rows, batch_size, rate)`.

    Subclasses name the module, and say what its rows and its layers look like.
    """

    equals_core = False

    def __init__(self, case, n_rows):
        self.machine = self.module.Machine(case.sizes, SEED)
        self.rows = self.rows_of(case.train[:n_rows])
        self.case = case

    def epoch(self):
        self.module.epoch(self.machine, self.rows, self.case.batch_size, self.case.rate)

    def load(self, parameters):
        given = [*parameters.generative, parameters.prior, *parameters.recognition]
        for layer, (weights, biases) in zip([*self.machine.p, *self.machine.q], given, strict=True):
            self.put(layer, weights, biases)

    def parameters(self):
        p, q = ([self.get(layer) for layer in layers] for layers in (self.machine.p, self.machine.q))
        return p[-1][1], p[:-1], q


class NumPyMinibatch(Peer):
    """NumPy at its fastest, with one thread for BLAS."""

    slow = False
    module = numpy_minibatch

    @staticmethod
    def rows_of(data):
        return data.to_dense()

    @staticmethod
    def put(layer, weights, biases):
        layer[:-1], layer[-1] = weights, biases

    @staticmethod
    def get(layer):
        return layer[:-1], layer[-1]


class PurePython(Peer):
    """Lists and loops."""

    slow = True
    module = pure_python

    @staticmethod
    def rows_of(data):
        return data.to_dense(bool).tolist()

    @staticmethod
    def put(layer, weights, biases):
        layer.weights, layer.biases = weights.tolist(), biases.tolist()

    @staticmethod
    def get(layer):
        return layer.weights, layer.biases


IMPLEMENTATIONS = {"core": Core, "NumPy minibatch": NumPyMinibatch, "NumPy twin": Twin, "pure Python": PurePython}


# ---- the answer ----


def rows_for(implementation, case):
    """How many rows an implementation is given."""
    return case.n_slow_rows if implementation.slow else len(case.train)


def score(machine, case):
    """Mean log p(x) of the held-out rows, nats: one measure for all implementations."""
    fitted = HelmholtzMachine.from_parameters(*machine.parameters())
    return fitted.score(case.held_out, n_particles=N_PARTICLES)


def train(implementation, case, n_rows):
    """A machine after the little training that the case wants, and the nats that it gained."""
    machine = implementation(case, n_rows)
    machine.load(start(case.train, case.sizes[1:], SEED, initial_biases="zero").parameters)
    before = score(machine, case)
    for _ in range(case.n_epochs):
        machine.epoch()
    return machine, score(machine, case) - before
