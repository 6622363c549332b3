"""What is learned from rows with missing cells, in expectation, by every rule: the observed cells are what counts."""

import itertools

import checks
import numpy as np
import pytest
import steps
from checks import DIFFERENCE, TOY
from twin import twin

from wakesleep import _core, _reference, _reference_measures
from wakesleep.rules import RULES, Rule

SEEN = np.array([[0b011]], np.uint64)  # of x = 101, the first two units
DATA = TOY.data & SEEN
OF_P, OF_Q = slice(0, 11), slice(11, None)


def states(data=DATA):
    """A row with each hidden state."""
    return np.array([[data[0, 0], h] for h in range(4)], np.uint64)


def seen(n=4):
    return np.repeat(SEEN, n, axis=0)


def taught(credits_p, credits_q, of=None, observed=None):
    of = states() if of is None else of
    gradient = np.zeros_like(TOY.float64)
    credit = [None if c is None else np.asarray(c, np.float64) for c in (credits_p, credits_q)]
    _reference.teach(TOY.float64, TOY.sizes, TOY.methods, of, *credit, gradient, observed)
    return gradient


def log_p_of_observed(flat):
    """log p(x₁ = 1, x₂ = 0), by adding up both values of the third unit."""
    both = np.array([[0b001], [0b101]], np.uint64)
    return float(np.logaddexp.reduce(_reference_measures.exact(flat, TOY.sizes, both)))


def test_teaching_with_the_posterior_is_the_gradient_of_log_p_of_the_observed_cells():
    log_p, _ = _reference.log_probabilities(TOY.float64, TOY.sizes, TOY.methods, states(), seen())
    assert abs(np.logaddexp.reduce(log_p) - log_p_of_observed(TOY.float64)) < 1e-12
    posterior = np.exp(log_p - np.logaddexp.reduce(log_p))
    differences = checks.finite_differences(log_p_of_observed, TOY.float64)
    checks.assert_close(taught(posterior, None, observed=seen()), differences, DIFFERENCE)
    assert np.abs(taught(posterior, None) - differences).max() > 0.01, "missing cells are zeros"


def by_enumeration(rule, parameters=TOY.float64):
    """E[Σ_k v_k ∇log p(x, h_k) + u_k ∇log q(h_k | x)] over all K-tuples of the four hidden states."""
    log_p, log_q = _reference.log_probabilities(parameters, TOY.sizes, TOY.methods, states(), seen())
    tuples = np.array(list(itertools.product(range(4), repeat=rule.n_particles)))
    v, u = rule.credits((log_p - log_q)[tuples])
    probability = np.exp(log_q)[tuples].prod(axis=1, keepdims=True)
    of_p, of_q = (np.bincount(tuples.ravel(), (probability * credit).ravel(), 4) for credit in (v, u))
    return taught(of_p, of_q, observed=seen())


def bound(flat, n_particles=2):
    """E[log mean w] over all pairs."""
    log_p, log_q = _reference.log_probabilities(flat, TOY.sizes, TOY.methods, states(), seen())
    pairs = np.array(list(itertools.product(range(4), repeat=n_particles)))
    log_mean = np.logaddexp.reduce((log_p - log_q)[pairs], axis=1) - np.log(n_particles)
    return float(np.exp(log_q)[pairs].prod(axis=1) @ log_mean)


def test_reweighting_and_vimco_follow_the_bound_on_log_p_of_the_observed_cells():
    differences = checks.finite_differences(bound, TOY.float64)
    checks.assert_close(by_enumeration(Rule("vimco", 2)), differences, DIFFERENCE)
    checks.assert_close(by_enumeration(Rule("reweighted", 2))[OF_P], differences[OF_P], DIFFERENCE)
    assert bound(TOY.float64) < log_p_of_observed(TOY.float64)


def moved(module, dtype, rule, rates, n=400):
    """A function of the seed: how far one minibatch of n such rows moves the toy."""

    def move(seed):
        parameters, position = TOY.parameters(dtype), np.zeros(3, np.int64)
        steps.train(module, parameters, TOY.sizes, TOY.methods, np.repeat(DATA, n, axis=0), position, seed, n, 1,
                    rates, rule, observed=seen(n))  # fmt: skip
        return parameters - TOY.parameters(dtype)

    return move


def assert_moves(move, expected, repeats=300):
    """On average as expected, and where that is 0, as for whatever belongs to a missing cell, not at all."""
    checks.assert_expected(move, expected, repeats)
    assert not move(0)[expected == 0].any()


every_module = pytest.mark.parametrize(("module", "dtype"), [(_core, np.float32), (twin, np.float64)])


@every_module
@pytest.mark.parametrize("name", list(RULES)[1:])
def test_training_moves_by_the_expectations_of_the_rule(module, dtype, name):
    rule, rate = Rule(name, 2, sleep_weight=0.0), 0.25
    expected = rate * by_enumeration(rule)
    assert not expected[[2, 5, 8]].any(), "what p says of the missing unit"
    assert_moves(moved(module, dtype, rule, (rate, rate)), expected)


@every_module
def test_wake_sleep_moves_by_its_expectations(module, dtype):
    _, log_q = _reference.log_probabilities(TOY.float64, TOY.sizes, TOY.methods, states(), seen())
    wake = taught(np.exp(log_q), None, observed=seen())
    dreams = checks.every_state(TOY.sizes)
    log_p, _ = _reference.log_probabilities(TOY.float64, TOY.sizes, TOY.methods, dreams)
    dreams[:, :1] &= SEEN
    sleep = taught(None, np.exp(log_p), of=dreams)
    assert_moves(moved(module, dtype, Rule(n_particles=2), (0.25, 0.0)), 0.25 * wake)
    assert_moves(moved(module, dtype, Rule(), (0.0, 0.5)), 0.5 * sleep)
    assert np.abs(sleep[OF_Q] - np.nan_to_num(checks.SLEEP)[OF_Q]).max() > 0.01, "dreams lack nothing"
