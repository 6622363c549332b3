"""Tasks with published likelihoods: their data, what is measured, and the recipes that are meant to beat them.

A recipe is an entry of a table: another rule, optimizer or schedule is a further entry, and no code.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from wakesleep import HelmholtzMachine, datasets
from wakesleep.likelihood import exact_kl, standard_error

WATCHED_ROWS, WATCHED_PARTICLES = 1000, 100  # of the validation split, while a machine learns


def read(file, split):
    """A split of a data set in the folder that WAKESLEEP_DATA names."""
    path = Path(os.environ.get("WAKESLEEP_DATA", Path(__file__).parents[1] / "../shared/data")) / file
    if not path.is_file():
        raise FileNotFoundError(f"no {file} here: WAKESLEEP_DATA names its folder, bench/README.md its source")
    return datasets.read(path, split=split)


@dataclass(frozen=True)
class Toy:
    """Samples to learn from, of a distribution that is known: what is measured is exact, in bits."""

    make: Callable
    n_samples: int = 100_000

    unit = "bits"
    selects = False  # the last epoch counts

    def rows(self, seed):
        """Samples to learn from; every machine has its own."""
        return self.make(self.n_samples, random_state=seed)

    def watch(self, machine):
        """−Σ p_data(x) log₂ p(x), and its excess over the entropy of the data."""
        images, p = self.make(return_distribution=True)
        kl = exact_kl(machine.parameters_, images, p) / np.log(2)
        found = {"nll": kl - float(p @ np.log2(p)), "kl": kl}
        return found | ({"direction": direction(machine)} if self.make is datasets.make_shifter else {})

    def measure(self, machine, particles):
        """What is reported: the same, and without a standard error."""
        return self.watch(machine)


@dataclass(frozen=True)
class Split:
    """A data set in three parts: learned from, chosen by, reported on. Nats, by importance sampling."""

    file: str

    unit = "nats"
    selects = True  # the epoch that is best on the validation split counts

    def rows(self, seed):
        """The training split, whatever the seed."""
        return read(self.file, "train")

    def watch(self, machine):
        """−log p(x) of about a thousand validation rows, evenly spread."""
        rows = read(self.file, "valid")
        rows = rows[:: max(1, len(rows) // WATCHED_ROWS)]
        values = machine.score_samples(rows, method="importance", n_particles=WATCHED_PARTICLES)
        return {"nll": -float(values.mean()), "standard_error": standard_error(values)}

    def measure(self, machine, particles):
        """−log p(x) of all test rows for every K, with the standard error over rows."""
        rows, found = read(self.file, "test"), {}
        for k in particles:
            values = machine.score_samples(rows, method="importance", n_particles=k)
            found |= {"nll": -float(values.mean()), "standard_error": standard_error(values), "particles": k}
            found.setdefault("by_particles", {})[str(k)] = found["nll"]
        return found


@cache
def shifts():
    """Of the images of the shifter that only one direction makes: where they are, whether it is left, probability."""
    images, p = datasets.make_shifter(return_distribution=True)
    row, shifted = images.to_dense()[:, :8], images.to_dense()[:, 16:24]
    left, right = ((np.roll(row, by, 1) == shifted).all(1) for by in (-1, 1))
    clear = left != right
    return clear, left[clear], p[clear] / p[clear].sum()


def direction(machine):
    """Share of the unambiguous images whose shift the best top unit tells, whichever of its values means left.

    A unit tells 1 where its mean-field probability is above ½; images weigh by their probability.
    """
    images, _ = datasets.make_shifter(return_distribution=True)
    clear, left, p = shifts()
    told = p @ ((machine.transform(images)[clear] > 0.5) == left[:, None])
    return float(np.maximum(told, 1 - told).max())


class Stage(NamedTuple):
    """Until that epoch is done, `other` arguments replace those of the task, and the rates are times the factor."""

    until: int
    factor: float
    other: Mapping = MappingProxyType({})


@dataclass(frozen=True)
class Task:
    """A machine, what it learns from, how, and what is to be beaten.

    `params` are the constructor's arguments, but for `stages`, of which the first counts that is not over. Every
    `watched_every` epochs the machine is measured and saved. `biases`: where the visible units of p begin, and the
    hidden units below the top, of p and of q, if not where a new machine has them; sparse units find causes sooner.
    `key` names the figure that `published`, `must` and `goal` are about, the direction after a comma.
    """

    data: Toy | Split
    sizes: tuple[int, ...]
    params: dict
    stages: tuple[Stage, ...]
    published: str
    must: str
    goal: str = "-"
    biases: tuple[float, float] | None = None
    watched_every: int = 1
    seeds: tuple[int, ...] = (0,)
    particles: tuple[int, ...] = (1000, 50_000)
    key: str = "nll"

    def reached(self, facts, wanted):
        """Whether what was measured is as good as `must` or `goal` say."""
        most, *directions = map(float, wanted.split(", "))
        return bool(facts[self.key] <= most and all(facts["direction"] >= least for least in directions))

    def machine(self, seed):
        """As it is before it learns."""
        machine = HelmholtzMachine(self.sizes, random_state=seed, **self.params)
        if self.biases is None:
            return machine
        visible, hidden = self.biases
        begun = machine.set_params(n_iter=0).fit(self.data.rows(seed))
        generative = [(layer.weights, np.full_like(layer.biases, hidden)) for layer in begun.generative_]
        recognition = [(layer.weights, np.full_like(layer.biases, hidden)) for layer in begun.recognition_]
        recognition[-1][1][:] = 0
        generative[0][1][:] = visible
        return HelmholtzMachine.from_parameters(
            begun.prior_logits_, generative, recognition, random_state=seed, **self.params
        )


FIVE = (0, 1, 2, 3, 4)
BARS, SHIFTER = Toy(datasets.make_bars), Toy(datasets.make_shifter, 75_000)
MNIST, DNA, MUSHROOMS = (Split(f"{name}.npz") for name in ("mnist_binarized_fixed", "nade_dna", "nade_mushrooms"))


def falling(n_epochs):
    """Full rates for half of the epochs, then four times a third of what was, for an eighth of the epochs each."""
    return tuple(Stage(n_epochs * (4 + k) // 8, 3.0**-k) for k in range(5))


def finish(stages):
    """And 32 epochs more with K = 50 and little decay, at a half, a sixth and an eighteenth of the rates."""
    n_epochs, more = stages[-1].until, {"n_particles": 50, "weight_decay": 0.003}
    return (*stages, *(Stage(n_epochs + n, 0.5 * 3.0**-k, more) for k, n in enumerate((16, 24, 32))))


WAKE_SLEEP = {"learning_rate": 0.1}
REWEIGHTED = {"rule": "reweighted", "n_particles": 10, "optimizer": "adam"}
SMALL = REWEIGHTED | {"batch_size": 20}
PATIENT = REWEIGHTED | {"learning_rate": 0.002}

ONLINE = {"learning_rate": 0.2, "batch_size": 1}
SEVERAL = {"rule": "reweighted", "n_particles": 5, "learning_rate": 0.1, "batch_size": 1}

# At first the lowest hidden units are held rare and independent, and pixels off where none of these units is on: each
# finds a cause. With all parts free, some units die, and the top units, not needed yet, become causes themselves.
CAUSES = {"frozen": ("prior_logits", "generative.1.weights", "generative.1.biases", "generative.0.biases")}
CAUSES_BY_DREAMS = CAUSES | {"rule": "wake-sleep", "n_particles": 1}

TASKS = {
    "bars-wake-sleep": Task(
        BARS, (8, 1), ONLINE, (Stage(8, 1.0, CAUSES), *falling(20)), "0.10 (1995)", "0.10",
        biases=(-2.0, -3.5), seeds=FIVE, key="kl",
    ),
    "bars-reweighted": Task(
        BARS, (8, 1), SEVERAL, (Stage(4, 1.0, CAUSES_BY_DREAMS), *falling(10)), "0.10 (1995)", "0.10", "0.03",
        biases=(-2.0, -3.0), seeds=FIVE, key="kl",
    ),
    "shifter-reweighted": Task(
        SHIFTER, (16, 4), SEVERAL, (Stage(6, 1.0, CAUSES), *falling(20)), "9.36, direction 0.633", "9.0, 0.75",
        "8.3, 0.9", biases=(-3.0, -3.0), watched_every=5, seeds=FIVE,
    ),
    "mnist-200-wake-sleep": Task(MNIST, (200,), WAKE_SLEEP, falling(200), "116.3", "116.3", watched_every=5),
    "mnist-200-200-wake-sleep": Task(MNIST, (200, 200), WAKE_SLEEP, falling(200), "106.9", "106.9", watched_every=5),
    "mnist-200-200-200-wake-sleep": Task(
        MNIST, (200, 200, 200), WAKE_SLEEP, falling(200), "101.3", "101.3", watched_every=5
    ),
    "mnist-200-reweighted": Task(
        MNIST, (200,), PATIENT | {"weight_decay": 0.003}, falling(400), "103.1 (VIMCO 98.8)", "103.1", "98.5",
        watched_every=20,
    ),
    "mnist-200-200-reweighted": Task(
        MNIST, (200, 200), PATIENT | {"weight_decay": 0.003}, finish(falling(600)), "93.4 (VIMCO 90.7)", "93.4",
        "90.5", watched_every=20,
    ),
    "mnist-200-200-200-reweighted": Task(
        MNIST, (200, 200, 200), PATIENT, finish(falling(900)[:4]), "90.1 (VIMCO 91.9)", "90.1", "89",
        watched_every=20,
    ),
    "dna-reweighted": Task(
        DNA, (200,), SMALL | {"learning_rate": 0.008, "weight_decay": 0.03}, falling(80), "90.63 (BiHM 86.49)", "90.6",
        "86", watched_every=2,
    ),
    "mushrooms-reweighted": Task(
        MUSHROOMS, (100, 50, 20), SMALL | {"learning_rate": 0.02, "weight_decay": 0.003}, falling(400),
        "9.90 (BiHM 9.40)", "9.9", "9.4", watched_every=10, particles=(1000,),
    ),
}  # fmt: skip
