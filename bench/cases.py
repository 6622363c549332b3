"""Machines, what they are timed on, and what a little training must teach them, whoever does it."""

import os
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from wakesleep import HelmholtzMachine, SampleSizeWarning, datasets
from wakesleep.bits import Bits
from wakesleep.state import start

SEED = 0
N_PARTICLES = 100  # for log p(x) of held-out rows, where it is not exact


@dataclass(frozen=True, eq=False)
class Case:
    """A machine, its data, and how much a little training must teach it.

    `n_epochs` over the rows must raise the mean log p(x) of the held-out rows by `margin` nats, and by
    as much as in the core, within `tolerance` nats: twice the largest difference seen between seeds, or more.
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
    rule: str = "wake-sleep"
    n_particles: int = 1
    optimizer: str = "sgd"

    def __str__(self):
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch_size}"


# ---- what is learned ----


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
def mnist_rows(split):
    """Binarised MNIST."""
    folder = Path(os.environ.get("WAKESLEEP_DATA", Path(__file__).parents[1] / "../shared/data"))
    path = folder / "mnist_binarized_fixed.npz"
    if not path.is_file():
        raise FileNotFoundError("no binarised MNIST here: WAKESLEEP_DATA names its folder, bench/README.md its source")
    return datasets.read(path, split=split)


@cache
def mnist():
    """Binarised MNIST. Independent pixels would gain 339 nats, and the few rows of the slow gain 333."""
    return Case((784, 200), 100, 0.1, mnist_rows("train"), mnist_rows("valid")[::20], 200, 3, 325.0, 2.0)


@cache
def part_of_mnist():
    """The same in less time. The core gains 384 nats; if q does not learn, 343."""
    return Case((784, 200), 100, 0.1, mnist_rows("train")[:10_000], mnist_rows("valid")[::20], 200, 3, 380.0, 2.0)


@cache
def deep():
    """Three hidden levels on MNIST. The core gains 393 nats; if q does not learn, 342."""
    train, held_out = mnist_rows("train")[:20_000], mnist_rows("valid")[::20]
    return Case((784, 200, 200, 200), 100, 0.1, train, held_out, 200, 3, 385.0, 6.0)


@cache
def reweighted():
    """Ten weighted particles on MNIST. The core gains 385 nats; if q does not learn, 356."""
    train, held_out = mnist_rows("train")[:10_000], mnist_rows("valid")[::20]
    return Case((784, 200, 200, 200), 100, 0.1, train, held_out, 200, 2, 380.0, 3.0, "reweighted", 10)


@cache
def importance():
    """`deep`, trained by the core: everybody's mean log p(x) of 100 held-out rows."""
    train, held_out = mnist_rows("train")[:20_000], mnist_rows("valid")[::100]
    return Case((784, 200, 200, 200), 100, 0.1, train, held_out, 200, 3, 0.0, 0.5, n_particles=1000)


@cache
def wide():
    """Four kinds of rows, 2 % ones. Independent units would gain 6,131 nats; the core gains 6,197; if q does not
    learn, 6,129."""
    often = np.random.default_rng(SEED).random((4, 10_000)) < 0.1
    probabilities = np.where(often, 0.182, 0.002).astype(np.float32)

    def rows(n, seed):
        random = np.random.default_rng(seed)
        kinds = random.integers(0, len(often), n)
        return Bits.from_dense(random.random((n, often.shape[1]), np.float32) < probabilities[kinds])

    return Case((10_000, 500), 100, 0.1, rows(2000, 1), rows(100, 2), 100, 8, 6170.0, 12.0)


SIZES = {"tiny": tiny, "digits": digits, "mnist": mnist}


def rows_for(implementation, case):
    """How many rows an implementation is given."""
    return case.n_slow_rows if implementation.slow else len(case.train)


def score(machine, case):
    """Mean log p(x) of the held-out rows, nats: one measure for all, if too low so early."""
    fitted = HelmholtzMachine.from_parameters(*machine.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SampleSizeWarning)
        return fitted.score(case.held_out, n_particles=N_PARTICLES)


def train(implementation, case, n_rows):
    """A machine after the little training that the case wants, and the nats that it gained."""
    machine = implementation(case, case.train[:n_rows])
    machine.load(start(case.train, case.sizes[1:], SEED, initial_biases="zero").parameters)
    before = score(machine, case)
    for _ in range(case.n_epochs):
        machine.epoch()
    return machine, score(machine, case) - before


def measure(implementation, learner, case):
    """Mean log p(x) of the held-out rows, as the implementation measures it, of what another has learned."""
    learned, _ = train(learner, replace(case, n_particles=1), len(case.train))
    machine = implementation(case, case.held_out)
    machine.load(learned.state.parameters)
    machine.epoch()
    return float(machine.log_p)


# ---- what is timed ----


@dataclass(frozen=True)
class Work:
    """An epoch to be timed: rows of independent bits, of which a share of `density` is on; None: bars.

    `case` names what a little training is checked with before, if anything.
    """

    sizes: tuple[int, ...]
    n_rows: int
    batch_size: int = 100
    density: float | None = 0.13
    rate: float = 0.1
    case: str = ""
    rule: str = "wake-sleep"
    n_particles: int = 1
    optimizer: str = "sgd"

    def rows(self):
        if self.density is None:
            return datasets.make_bars(self.n_rows)
        random = np.random.default_rng(SEED)
        dense = np.empty((self.n_rows, self.sizes[0]), bool)
        for row in dense:  # one after the other, so that the floats need no room
            row[:] = random.random(len(row), np.float32) < self.density
        return Bits.from_dense(dense)
