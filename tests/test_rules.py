"""Every rule against the golden toy, in expectation by adding up all K-tuples of hidden states, and by sampling."""

import itertools

import checks
import numpy as np
import pytest
import steps
from checks import TABLE, TOY, layout
from twin import twin

from wakesleep import _core, _reference
from wakesleep.elementary import exp, log
from wakesleep.optimizers import OPTIMIZERS, Optimizer
from wakesleep.rules import RULES, Rule, reweighted, vimco

ZERO_R, NO_W = np.full((2, 3), np.nan), np.full((3, 2), np.nan)


def expected(db=(np.nan,) * 3, da=(np.nan,) * 2, dc=(np.nan,) * 2):
    """The toy's flat vector of what the table holds; the rest is not compared."""
    return layout(db, da, NO_W, dc, ZERO_R)


GOLDEN = {  # the expected sums of credit · gradient, of p and of the wake part of q
    Rule("reweighted", 2): expected(
        (0.3532059174, -0.3796286022, 0.271468584), (0.1023761374, -0.047172173), (0.0791791624, 0.0008446414)),
    Rule("reweighted", 5): expected(
        (0.3438646973, -0.3723763871, 0.2683506388), (0.1441387451, -0.0434746016), (0.1209417701, 0.0045422128)),
    Rule("vimco", 2): expected(dc=(0.0775533789, 0.0041595057)),
    Rule("vimco", 3): expected(dc=(0.0492552991, 0.0034689172)),
    Rule("vimco", 2, baseline="arithmetic"): expected(dc=(0.0775533789, 0.0041595057)),
    Rule("vimco", 3, baseline="arithmetic"): expected(dc=(0.0492552991, 0.0034689172)),
    Rule("ovis", 2, gamma=1.0): expected(dc=(0.1567325413, 0.0050041471)),
    Rule("ovis", 3, gamma=1.0): expected(dc=(0.1526479674, 0.0061065046)),
    Rule("ovis", 3, gamma=0.0): expected(dc=(0.0492552991, 0.0034689172)),
    Rule("leave-one-out", 2): expected(
        (0.3716091939, -0.3943834331, 0.2760567547), (0.023196975, -0.0480168144), (0.1653523440, 0.0013954891)),
    Rule("leave-one-out", 4): expected(dc=(0.1653523440, 0.0013954891)),
    Rule("bihm", 2): expected(
        (0.3620984950, -0.3867532814, 0.2737035758), (0.0640800777, -0.0476483124), (0.0408831026, 0.0003685020)),
}  # fmt: skip
every_golden = pytest.mark.parametrize("rule", GOLDEN, ids=lambda rule: f"{rule.name}-{rule.n_particles}-{rule[4:]}")


def by_enumeration(rule, parameters=TOY.float64):
    """E[Σ_k v_k ∇log p(x, h_k) + u_k ∇log q(h_k | x)] over all K-tuples of the four hidden states."""
    states = checks.toy_states()
    log_p, log_q = _reference.log_probabilities(parameters, TOY.sizes, TOY.methods, states)
    tuples = np.array(list(itertools.product(range(4), repeat=rule.n_particles)))
    v, u = rule.credits((log_p - log_q)[tuples])
    probability = np.exp(log_q)[tuples].prod(axis=1, keepdims=True)
    of_states = [np.bincount(tuples.ravel(), (probability * credit).ravel(), 4) for credit in (v, u)]
    return checks.taught(_reference, parameters, states, *of_states)


@every_golden
def test_expectations_are_golden(rule):
    checks.assert_close(by_enumeration(rule), GOLDEN[rule], TABLE)


@every_golden
def test_the_core_moves_by_the_golden_expectations(rule):
    data, rate = np.repeat(TOY.data, 400, axis=0), 0.25

    def moved(seed):
        parameters, position = TOY.parameters(np.float32), np.zeros(3, np.int64)
        awake = rule._replace(sleep_weight=0.0)
        steps.train(_core, parameters, TOY.sizes, TOY.methods, data, position, seed, 400, 1, (rate, rate), awake)
        return parameters - TOY.parameters(np.float32)

    checks.assert_expected(moved, rate * GOLDEN[rule], 400)


def test_part_of_the_sleep_phase_is_part_of_what_q_learns():
    data, rule = np.repeat(TOY.data, 400, axis=0), Rule("reweighted", 2, sleep_weight=0.3)

    def moved(seed):
        parameters, position = TOY.parameters(np.float32), np.zeros(3, np.int64)
        steps.train(_core, parameters, TOY.sizes, TOY.methods, data, position, seed, 400, 1, (0.0, 0.5), rule)
        return parameters - TOY.parameters(np.float32)

    mixed = 0.5 * (0.7 * by_enumeration(rule) + 0.3 * np.nan_to_num(checks.SLEEP))
    mixed[:11] = np.nan  # p has a rate of zero
    checks.assert_expected(moved, mixed, 400)


def iwae(parameters, n_particles):
    """E[log mean w] over all K-tuples."""
    log_p, log_q = _reference.log_probabilities(parameters, TOY.sizes, TOY.methods, checks.toy_states())
    tuples = np.array(list(itertools.product(range(4), repeat=n_particles)))
    bound = np.logaddexp.reduce((log_p - log_q)[tuples], axis=1) - np.log(n_particles)
    return float(np.exp(log_q)[tuples].prod(axis=1) @ bound)


@pytest.mark.parametrize("n_particles", [2, 3])
@pytest.mark.parametrize("baseline", ["geometric", "arithmetic"])
def test_vimco_is_the_gradient_of_the_importance_weighted_bound(n_particles, baseline):
    gradient = by_enumeration(Rule("vimco", n_particles, baseline=baseline))
    differences = checks.finite_differences(lambda flat: iwae(flat, n_particles), TOY.float64)
    checks.assert_close(gradient, differences, checks.DIFFERENCE)


def test_reweighting_teaches_p_the_gradient_of_the_importance_weighted_bound():
    of_p = slice(0, 11)
    for n_particles in (2, 3):
        differences = checks.finite_differences(lambda flat, k=n_particles: iwae(flat, k), TOY.float64)[of_p]
        gradient = by_enumeration(Rule("reweighted", n_particles))[of_p]
        checks.assert_close(gradient, differences, checks.DIFFERENCE)
        assert np.abs(by_enumeration(Rule("leave-one-out", n_particles))[of_p] - differences).max() > 0.01


def test_vimco_without_its_second_term_is_something_else():
    def incomplete(log_w):
        v, u = vimco(log_w)
        return v, u + v

    gradient = by_enumeration(Rule(incomplete, 2))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        checks.assert_close(gradient, GOLDEN[Rule("vimco", 2)], TABLE)


def test_one_reweighted_particle_teaches_q_nothing_on_average():
    def alone(log_w):
        v, _ = reweighted(log_w)
        return v, v  # without the baseline, which would make it zero always

    of_q = slice(11, None)
    assert np.abs(by_enumeration(Rule(alone, 1))[of_q]).max() < 1e-12
    assert np.abs(by_enumeration(Rule(alone, 2))[of_q]).max() > 1e-3


def test_ovis_is_vimco_and_reweighting_at_its_ends():
    log_w = np.random.default_rng(0).normal(size=(9, 4))
    constant = np.log(1 - 1 / 4)
    _, arithmetic = vimco(log_w, "arithmetic")
    np.testing.assert_allclose(Rule("ovis", 4, gamma=0.0).credits(log_w)[1], arithmetic - constant, atol=1e-14)
    both = by_enumeration(Rule("vimco", 3)) + by_enumeration(Rule("reweighted", 3))
    checks.assert_close(by_enumeration(Rule("ovis", 3))[11:], (both - 1 * 0)[11:], TABLE)


# ---- numbers far apart ----

FAR = np.array([[0.0, -1000.0, -2000.0], [-50.0, 0.0, -50.5], [-1e4, -1e4, -1e4], [3.0, 2.0, 1.0], [-600.0, 5.0, 5.0]])


@pytest.mark.parametrize("name", list(RULES)[1:])
def test_credits_of_log_weights_that_are_far_apart_are_finite(name):
    v, u = Rule(name, 3).credits(FAR)
    assert np.isfinite(v).all()
    assert np.isfinite(u).all()
    np.testing.assert_allclose(v.sum(axis=1), 1, rtol=1e-15)


def test_the_log_of_one_minus_the_largest_credit_does_not_underflow():
    v, u = Rule("ovis", 3).credits(FAR)
    assert v[0, 0] == v[1, 1] == 1
    others = np.logaddexp.reduce(np.delete(FAR, 1, axis=1)[1])
    np.testing.assert_allclose(u[0, 0], np.log(2 / 3) + 1000, rtol=1e-12)
    np.testing.assert_allclose(u[1, 1], np.log(2 / 3) - others, rtol=1e-12)


# ---- exp and log of our own ----


def test_exp_and_log_are_those_of_numpy_but_for_the_last_bits():
    x = np.concatenate([np.random.default_rng(0).uniform(-700, 700, 10_000), [0.0, 1e-300, 700, -700]])
    np.testing.assert_allclose(exp(x), np.exp(x), rtol=4e-16)
    np.testing.assert_allclose(log(np.exp(x)), np.log(np.exp(x)), rtol=4e-16, atol=4e-16)
    assert exp(np.array(0.0)) == 1
    assert exp(np.array(-1e9)) == exp(np.array(-700.0)) > 0
    assert np.isnan(exp(np.nan))


# ---- one step, the whole family ----


def softened(log_w):
    """A rule of the user's own."""
    v = np.exp(log_w / 3 - np.logaddexp.reduce(log_w / 3, axis=1, keepdims=True))
    return v, log_w / 100


FAMILY = [
    *(Rule(name, 3, sleep_weight=s) for name in RULES for s in (0.0, 0.3, 1.0)),
    *(Rule("vimco", 2, 0.0, baseline="arithmetic"), Rule("ovis", 4, 0.2, gamma=0.5), Rule(softened, 2, 0.5)),
    *(Rule("wake-sleep", 1, 1.0, 3), Rule("reweighted", 5, 0.5, 2), Rule("vimco", 3, 0.0, 2)),
]
OPTIMIZERS_TOO = [
    *(Optimizer(name, decay, clip) for name in OPTIMIZERS for decay in (0.0, 0.1) for clip in (None, 0.5)),
]
"""Every rule, and every optimizer."""


@pytest.mark.parametrize("rule", FAMILY, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_step_is_what_the_rule_says(rule, dtype):
    steps.check_train_by_hand(twin, dtype, rule)


@pytest.mark.parametrize("optimizer", OPTIMIZERS_TOO, ids=str)
@pytest.mark.parametrize("rule", [Rule(), Rule("reweighted", 3, 0.5, 2)], ids=["wake-sleep", "reweighted"])
def test_a_step_is_what_the_optimizer_says(rule, optimizer):
    steps.check_train_by_hand(twin, np.float64, rule, optimizer)
