"""Annealed importance sampling: against enumeration, against the NumPy twin, and its two bounds against each other."""

import numpy as np
import pytest
from checks import Z_MAX, estimate, same_bits
from machines import DIGITS, every_row, random_machine, random_rows
from twin import mutant, twin

from wakesleep import _annealing, _core, _likelihood, likelihood

TWIN = 1e-9  # absolute: float64 logits kept up to date, against sums taken afresh
FLOAT32 = 1e-4  # absolute, of log-probabilities summed in float32

MACHINES = [(9, 4), (6, 5, 3), (5, 3, 4, 2), (70, 66), (1, 1)]
SMALL = [(5, 4), (4, 3, 3), (3, 2, 3, 2)]


def described(machine):
    """What the functions of the compiled module and of its twin want."""
    return machine._state.parameters.flat, machine._state.parameters.sizes, machine._state.methods


def dreamt(machine, n_rows, seed=0):
    """Simulated rows x, each with a sample h of its posterior."""
    _, sizes, _ = described(machine)
    states = np.zeros((n_rows, sum((size + 63) // 64 for size in sizes)), np.uint64)
    _core.dream(*described(machine), states, seed)
    return states


def exact_of(machine, states):
    parameters, sizes, _ = described(machine)
    return _likelihood.exact(parameters, sizes, np.ascontiguousarray(states[:, : (sizes[0] + 63) // 64]))


# ---- the twin ----


@pytest.mark.parametrize("sizes", MACHINES, ids=str)
@pytest.mark.parametrize("n_particles, n_steps", [(1, 1), (5, 2), (3, 6)])
@pytest.mark.parametrize("scale", [0.5, 10])
def test_both_ways_are_those_of_the_reference(sizes, n_particles, n_steps, scale):
    machine = random_machine(sizes, scale)
    data, states = random_rows(2, sizes[0]).words, dreamt(machine, 2)
    for name, rows in (("annealed", data), ("annealed_back", states)):
        how = (*described(machine), rows, 5, n_particles, n_steps)
        expected, actual = getattr(twin, name)(*how), getattr(_annealing, name)(*how)
        np.testing.assert_allclose(actual, expected, rtol=TWIN, atol=TWIN)


def test_more_particles_than_are_begun_at_a_time():
    machine = random_machine((6, 5, 3))
    how = (*described(machine), random_rows(2, 6).words, 5, 300, 3)
    np.testing.assert_allclose(_annealing.annealed(*how), twin.annealed(*how), rtol=TWIN)


@pytest.mark.parametrize("scale", [100, 550])
def test_wild_weights_lose_no_unit(scale):
    machine = random_machine((20, 5, 4), 1.0)
    parameters, sizes, methods = described(machine)
    parameters = (parameters * np.float32(scale / np.abs(parameters).max())).astype(np.float32)
    how = (parameters, sizes, methods, random_rows(3, 20).words, 5, 4, 4)
    expected = twin.annealed(*how)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(_annealing.annealed(*how), expected, rtol=TWIN)


@pytest.mark.parametrize("sizes", MACHINES, ids=str)
@pytest.mark.parametrize("n_particles", [1, 40, 300])
def test_one_step_is_importance_sampling_with_the_same_particles(sizes, n_particles):
    machine = random_machine(sizes)
    how = (*described(machine), random_rows(4, sizes[0]).words, 5, n_particles)
    expected, actual = _likelihood.importance(*how), _annealing.annealed(*how, 1)
    np.testing.assert_allclose(actual, expected, rtol=FLOAT32, atol=FLOAT32)
    assert (np.abs(_annealing.annealed(*how, 2)[0] - expected[0]) > FLOAT32).any(), "this test has no power"


# ---- no bias ----


def forward_ratio(module, machine, n_steps, repeats):
    """Mean of w / p(x) over all rows, and its standard error: 1 in expectation."""
    X = every_row(machine.n_features_in_)
    exact = machine.score_samples(X, method="exact")

    def ratio(seed):
        return np.exp(module.annealed(*described(machine), X.words, seed, 10, n_steps)[0] - exact).mean()

    return estimate(ratio, repeats)


def backward_ratio(module, machine, n_steps, repeats, n_rows=100):
    """Mean of p(x) / w over simulated rows, and its standard error: 1 in expectation."""

    def ratio(seed):
        states = dreamt(machine, n_rows, seed)
        estimates, _ = module.annealed_back(*described(machine), states, seed, 2, n_steps)
        return np.exp(exact_of(machine, states) - estimates).mean()

    return estimate(ratio, repeats)


@pytest.mark.parametrize("sizes", SMALL, ids=str)
@pytest.mark.parametrize("n_steps", [2, 3, 8])
def test_weights_have_the_mean_p(sizes, n_steps):
    mean, error = forward_ratio(_annealing, random_machine(sizes, 0.7), n_steps, 300)
    assert abs(mean - 1) < Z_MAX * error
    assert error < 0.02, "this test has no power"


@pytest.mark.parametrize("sizes", SMALL, ids=str)
@pytest.mark.parametrize("n_steps", [2, 3, 8])
def test_inverse_weights_of_simulated_rows_have_the_mean_one_over_p(sizes, n_steps):
    mean, error = backward_ratio(_annealing, random_machine(sizes, 0.7), n_steps, 300)
    assert abs(mean - 1) < Z_MAX * error
    assert error < 0.02, "this test has no power"


BIASED = {  # a text of the twin, what replaces it, and which way it is wrong
    "q alone": ("z = beta * (p_on - p_off)", "z = 0 * (p_on - p_off)", "both"),
    "p alone": ("+ (1 - beta) * (q_on - q_off)", "", "both"),
    "the next temperature": ("states, t / n_steps, int(key)", "states, (t + 1) / n_steps, int(key)", "forward"),
    "one step too few": ("range(n_steps):", "range(n_steps - 1):", "forward"),
    "always forward": ("reversed(order) if back else order", "order", "backward"),
    "not from the posterior": ("chains = np.repeat(states[n : n + 1]", "chains = np.repeat(states[:1]", "backward"),
    "a temperature late": ("range(n_steps - 1, -1, -1)", "range(n_steps - 2, -2, -1)", "backward"),
}


@pytest.mark.parametrize("name", BIASED)
def test_biased_variants_are_caught(name):
    text, replacement, way = BIASED[name]
    module, caught = mutant(text, replacement), []
    machine = random_machine((4, 3, 2), 1.5)
    for ratio, kind in ((forward_ratio, "forward"), (backward_ratio, "backward")):
        mean, error = ratio(module, machine, 3, 30)
        caught.append(abs(mean - 1) > Z_MAX * error and way in (kind, "both"))
    print(name, caught)
    assert any(caught)
