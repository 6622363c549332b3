"""Every estimator of log p(x) on 200 small machines: its errors, in exact standard deviations, are standard normal.

Means and variances come from adding up all hidden states; for annealing, from all ways that a chain can take. Of what
is right each of the four checks complains for one choice of seeds in 1,000; the seeds are fixed. The same checks
complain of biased estimators, which are made from the twin. A bias of a thousandth they do not see.
"""

from __future__ import annotations

from functools import cache
from math import erf, sqrt
from typing import NamedTuple

import numpy as np
import pytest
from checks import every_state, random_parameters
from twin import mutant, twin

from wakesleep import _annealing, _likelihood, _reference

N_MACHINES = 200
SIZES = [(5, 3), (4, 2, 2), (3, 1, 2, 1)]
N_ROWS, T = 8, 3
MANY, FEW = 300, 12  # particles of the compiled module; and of its twin, which is slow, with narrow weights
SKEW = 0.4  # below which that of nineteen errors in twenty is; a normal one has 0
Z = 3.29  # two-sided, one in 1,000
KOLMOGOROV = 1.95  # of √n sup |F − Φ|, one in 1,000
FARTHEST = 4.57  # of 200, one in 1,000
ONE = 1e-9  # relative: sums of float64


class Case(NamedTuple):
    """A machine, some of its rows, and for these log p(x, h), and log q(h | x), (rows, 2^H)."""

    sizes: tuple[int, ...]
    parameters: np.ndarray
    rows: np.ndarray
    log_p: np.ndarray
    log_q: np.ndarray

    @property
    def machine(self):
        return self.parameters, self.sizes, np.array([0, *(1 for _ in self.sizes[1:])], np.uint8)

    @property
    def p(self):
        """p(x) of the rows."""
        return np.exp(self.log_p).sum(axis=1)


@cache
def case(seed, narrow=False):
    """Weights are as wide as they may be if the mean over so many particles is to be next to normal."""
    rng = np.random.default_rng(seed)
    sizes = SIZES[seed % len(SIZES)]
    parameters = random_parameters(sizes, scale=rng.uniform(0.2, 0.4 if narrow else 0.7), seed=seed)
    rows = rng.permutation(1 << sizes[0])[:N_ROWS].astype(np.uint64)[:, None]
    methods = np.zeros(len(sizes), np.uint8)
    log_p, log_q = (
        part.reshape(-1, 1 << sizes[0]).T[rows[:, 0].astype(int)]
        for part in _reference.log_probabilities(parameters.astype(np.float64), sizes, methods, every_state(sizes))
    )
    return Case(sizes, parameters, rows, log_p, log_q)


# ---- exact moments ----


def on_given_others(c, unit, beta):
    """P(unit is on | x, all others) under q^(1 − β) p^β, of every state, and the same states with it on, and off."""
    log_f = (1 - beta) * c.log_q + beta * c.log_p
    states = np.arange(log_f.shape[1])
    on, off = states | 1 << unit, states & ~(1 << unit)
    return 1 / (1 + np.exp(log_f[:, off] - log_f[:, on])), on, off


def moment_there(c, power):
    """E w^power of a chain from q to the posterior, of every row; q(h | x) w^power is moved along."""
    n_hidden, step = sum(c.sizes[1:]), np.exp(power * (c.log_p - c.log_q) / T)
    mass = np.exp(c.log_q) * step
    for t in range(1, T):
        for unit in range(n_hidden):
            p_on, on, off = on_given_others(c, unit, t / T)
            both = mass[:, on] + mass[:, off]
            mass = np.where(on == np.arange(len(on)), both * p_on, both * (1 - p_on))
        mass = mass * step
    return mass.sum(axis=1)


def moment_back(c, power):
    """E w^−power of a chain from every state to q, (rows, 2^H): what is to come is averaged, from the end on."""
    step = np.exp(-power * (c.log_p - c.log_q) / T)
    value = step
    for t in range(1, T):
        for unit in range(sum(c.sizes[1:])):
            p_on, on, off = on_given_others(c, unit, t / T)
            value = p_on * value[:, on] + (1 - p_on) * value[:, off]
        value = value * step
    return value


def standardised(error, variances, n_particles):
    """The sum of errors of independent means of so many particles, over its standard deviation."""
    return error.sum() / np.sqrt((variances / n_particles).sum())


# ---- errors of the estimators in standard deviations ----


def importance(module, c, seed, n_particles):
    estimates, _, _ = module.importance(*c.machine, c.rows, seed, n_particles)
    second = np.exp(2 * c.log_p - c.log_q).sum(axis=1)
    return standardised(np.exp(estimates) / c.p - 1, second / c.p**2 - 1, n_particles)


def elbo(module, c, seed, n_particles):
    _, _, elbos = module.importance(*c.machine, c.rows, seed, n_particles)
    log_w, q = c.log_p - c.log_q, np.exp(c.log_q)
    mean = (q * log_w).sum(axis=1)
    return standardised(elbos - mean, (q * log_w**2).sum(axis=1) - mean**2, n_particles)


def annealed(module, c, seed, n_particles):
    estimates, _ = module.annealed(*c.machine, c.rows, seed, n_particles, T)
    return standardised(np.exp(estimates) / c.p - 1, moment_there(c, 2) / c.p**2 - 1, n_particles)


def annealed_back(module, c, seed, n_particles):
    """Of one row, chains from all its states, each with its share of the posterior: Σ p(h | x) E[1/w | h] = 1/p(x)."""
    states = every_state(c.sizes)
    states = states[states[:, 0] == c.rows[0]]
    estimates, _ = module.annealed_back(*c.machine, states, seed, n_particles, T)
    share = np.exp(c.log_p[0] - np.logaddexp.reduce(c.log_p[0]))
    variances = moment_back(c, 2)[0] - moment_back(c, 1)[0] ** 2
    return standardised(share * np.exp(-estimates) - share / c.p[0], share**2 * variances, n_particles)


ESTIMATORS = {importance: _likelihood, elbo: _likelihood, annealed: _annealing, annealed_back: _annealing}
FEWER = {importance: 60, elbo: 60, annealed: 20, annealed_back: 20}  # machines for the twin


# ---- the checks ----


def faults(z):
    """Which of the checks find that z is not standard normal."""
    n = len(z)
    mean = abs(z.sum()) / sqrt(n)
    of_square = ((z @ z / n) ** (1 / 3) - (1 - 2 / (9 * n))) / sqrt(2 / (9 * n))  # Wilson & Hilferty 1931, of χ²
    normal = np.array([(1 + erf(value / sqrt(2))) / 2 for value in np.sort(z)])
    apart = sqrt(n) * max((np.arange(1, n + 1) / n - normal).max(), (normal - np.arange(n) / n).max())
    found = {
        "mean": mean > Z,
        "variance": abs(of_square) > Z,
        "distribution": apart > KOLMOGOROV,
        "tail": abs(z).max() > FARTHEST,
    }
    return [name for name, fault in found.items() if fault]


def errors(estimator, module):
    """Of 200 machines by the compiled module; or of fewer machines by the twin."""
    if module is ESTIMATORS[estimator]:
        return np.array([estimator(module, case(seed), seed, MANY) for seed in range(N_MACHINES)])
    return np.array([estimator(module, case(seed, narrow=True), seed, FEW) for seed in range(FEWER[estimator])])


def test_the_checks_pass_normal_errors_and_no_others():
    rng = np.random.default_rng(0)
    alarms = sum(bool(faults(rng.normal(size=N_MACHINES))) for _ in range(2000))
    assert alarms < 8 + 3 * sqrt(8)  # four checks, of one in 1,000
    for wrong in (
        rng.normal(0.4, 1, N_MACHINES),
        rng.normal(0, 1.4, N_MACHINES),
        rng.normal(0, 0.7, N_MACHINES),
        rng.exponential(1, N_MACHINES) - 1,
        np.append(rng.normal(size=N_MACHINES - 1), 5),
    ):
        assert faults(wrong)


def test_moments_of_chains_are_those_that_theory_wants():
    for seed in range(9):
        c = case(seed)
        posterior = np.exp(c.log_p) / c.p[:, None]
        np.testing.assert_allclose(moment_there(c, 1), c.p, rtol=ONE)
        np.testing.assert_allclose((posterior * moment_back(c, 1)).sum(axis=1), 1 / c.p, rtol=ONE)
        np.testing.assert_allclose((posterior * moment_back(c, 2)).sum(axis=1), moment_there(c, -1) / c.p, rtol=ONE)


def moments(estimator, c, power):
    """E w^power in units of p(x), of every row, or of every state of the first one."""
    if estimator is importance:
        return np.exp(power * c.log_p - (power - 1) * c.log_q).sum(axis=1) / c.p**power
    if estimator is annealed:
        return moment_there(c, power) / c.p**power
    return moment_back(c, power)[0] * np.exp(power * c.log_p[0])


@pytest.mark.parametrize(("narrow", "n_particles"), [(False, MANY), (True, FEW)])
@pytest.mark.parametrize("estimator", [importance, annealed, annealed_back], ids=lambda estimator: estimator.__name__)
def test_so_many_particles_make_errors_next_to_normal(estimator, narrow, n_particles):
    skews = []
    for seed in range(N_MACHINES):
        first, second, third = (moments(estimator, case(seed, narrow), power) for power in (1, 2, 3))
        cubes = third - 3 * second * first + 2 * first**3
        skews.append(cubes.sum() / (second - first**2).sum() ** 1.5 / sqrt(n_particles))
    assert np.quantile(np.abs(skews), 0.95) < SKEW


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.__name__)
def test_errors_are_standard_normal(estimator):
    assert faults(errors(estimator, ESTIMATORS[estimator])) == []


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.__name__)
def test_errors_of_the_twin_are_standard_normal(estimator):
    assert faults(errors(estimator, twin)) == []


ONE_TOO_MANY = ("np.log(w.mean(axis=1))", "np.log(w.sum(axis=1) / (w.shape[1] + 1))")
ALL_OF_P = "for level, layer, method in _p_layers(p, methods)\n    ]"
NO_PRIOR = (ALL_OF_P, f"{ALL_OF_P}[1:]")
BIASED = {  # an estimator, a text of the twin, and what replaces it
    "K off by one": (importance, *ONE_TOO_MANY),
    "log q a twentieth too small": (importance, "(log_p - log_q).reshape(len(", "(log_p - 0.95 * log_q).reshape(len("),
    "no prior": (importance, *NO_PRIOR),
    "logits rounded where they weigh": (
        importance, "terms = _kept(softplus(np.where(target, -z, z)), seen)",
        "z = np.round(z); terms = _kept(softplus(np.where(target, -z, z)), seen)",
    ),
    "units on too seldom": (importance, "exp_minus(z)) < 1)", "exp_minus(z)) < 0.8)"),
    "ELBO, K off by one": (elbo, "log_w.mean(axis=1)\n\n", "log_w.sum(axis=1) / (n_particles + 1)\n\n"),
    "ELBO, but that of all particles together": (elbo, "log_w.mean(axis=1)\n\n", "estimates(log_w)[0]\n\n"),
    "annealed, K off by one": (annealed, *ONE_TOO_MANY),
    "annealed, no prior": (annealed, *NO_PRIOR),
    "annealed, from q to q": (annealed, "z = beta * (p_on - p_off)", "z = 0 * (p_on - p_off)"),
    "annealed, from p to p": (annealed, "+ (1 - beta) * (q_on - q_off)", ""),
    "annealed, the next temperature": (annealed, "begun[n], t / n_steps", "begun[n], (t + 1) / n_steps"),
    "annealed, one step too few": (annealed, "range(n_steps):", "range(n_steps - 1):"),
    "back, K off by one": (annealed_back, *ONE_TOO_MANY),
    "back, from q to q": (annealed_back, "z = beta * (p_on - p_off)", "z = 0 * (p_on - p_off)"),
    "back, one step too few": (annealed_back, "range(n_steps - 1, -1, -1)", "range(n_steps - 1, 0, -1)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BIASED)
def test_biased_estimators_are_caught(name):
    estimator, text, replacement = BIASED[name]
    assert faults(errors(estimator, mutant(text, replacement)))
