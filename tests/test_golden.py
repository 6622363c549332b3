"""The golden toy and other small machines, where everything is known by adding up all states."""

import checks
import numpy as np
import pytest
import steps
from checks import DIFFERENCE, FLOAT32, TABLE, Z_MAX
from twin import twin

from wakesleep import _core, _likelihood, _reference, _reference_measures

EXACT = 1e-12  # absolute: sums of up to 2¹³ terms in float64

IMPLEMENTATIONS = [
    pytest.param(twin, np.float64, TABLE, id="twin64"),
    pytest.param(twin, np.float32, FLOAT32, id="twin32"),
    pytest.param(_core, np.float32, FLOAT32, id="core"),
]
every_implementation = pytest.mark.parametrize(("module", "dtype", "tolerance"), IMPLEMENTATIONS)
by_sampling = pytest.mark.parametrize(("module", "dtype", "tolerance"), IMPLEMENTATIONS[::2])  # twin32 is the core
machines = pytest.mark.parametrize("sizes", [(10, 3), (6, 4, 3), (5, 3, 3, 2)], ids=str)


@every_implementation
def test_golden_probabilities(module, dtype, tolerance):
    checks.check_golden_probabilities(module, dtype, tolerance)


@every_implementation
def test_golden_gradients(module, dtype, tolerance):
    checks.check_golden_gradients(module, dtype, tolerance)


@every_implementation
def test_golden_gradients_by_sampling_with_the_verbs(module, dtype, tolerance):
    checks.check_sampled_verbs(module, dtype)


@by_sampling
def test_golden_gradients_by_sampling_with_train(module, dtype, tolerance):
    steps.check_sampled_train(module, dtype)


@every_implementation
def test_train_equals_its_parts_by_hand(module, dtype, tolerance):
    steps.check_train_by_hand(module, dtype)


@every_implementation
def test_p_and_q_are_normalised(module, dtype, tolerance):
    checks.check_normalised(module, dtype, tolerance)


def test_golden_tolerances_see_a_wrong_digit(monkeypatch):
    monkeypatch.setattr(checks, "POSTERIOR", [p + 10 * FLOAT32 for p in checks.POSTERIOR])
    for module, dtype, tolerance in (parameter.values for parameter in IMPLEMENTATIONS):
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            checks.check_golden_probabilities(module, dtype, tolerance)


def test_teach_is_the_gradient_of_log_probabilities():
    checks.check_finite_differences(_reference)


def test_teaching_with_the_posterior_is_the_gradient_of_log_p(toy):
    states = checks.toy_states()
    log_p, _ = _reference.log_probabilities(toy.float64, toy.sizes, toy.methods, states)
    posterior = np.exp(log_p - np.logaddexp.reduce(log_p))

    def log_px(flat):
        return _reference_measures.exact(flat, toy.sizes, toy.data)[0]

    differences = checks.finite_differences(log_px, toy.float64)
    gradient = checks.taught(_reference, toy.float64, states, posterior, None)
    checks.assert_close(gradient, differences, DIFFERENCE)
    assert np.abs(1.001 * gradient - differences).max() > DIFFERENCE, "this test has no power"


@machines
def test_exact_adds_up_to_one(sizes):
    data = checks.every_state(sizes[:1])
    log_p = _reference_measures.exact(checks.random_parameters(sizes, np.float64), sizes, data)
    assert abs(np.exp(log_p).sum() - 1) < EXACT


@machines
def test_exact_is_the_sum_over_whole_states(sizes):
    parameters = checks.random_parameters(sizes, np.float64)
    log_joint, _ = _reference.log_probabilities(
        parameters, sizes, np.zeros(len(sizes), np.uint8), checks.every_state(sizes)
    )
    by_hand = np.logaddexp.reduce(log_joint.reshape(-1, 1 << sizes[0]))
    assert np.abs(_reference_measures.exact(parameters, sizes, checks.every_state(sizes[:1])) - by_hand).max() < EXACT


@pytest.mark.parametrize("n_particles", [1, 20])
@pytest.mark.parametrize("sizes", [(4, 3), (3, 3, 2), (3, 2, 2, 2)], ids=str)
def test_importance_weights_have_the_mean_p(sizes, n_particles):
    parameters, methods = checks.random_parameters(sizes, np.float64, scale=0.4), np.zeros(len(sizes), np.uint8)
    data = checks.every_state(sizes[:1])
    log_p = _reference_measures.exact(parameters, sizes, data)

    def ratio(repeat):
        estimate, size = _reference_measures.importance(parameters, sizes, methods, data, repeat << 32, n_particles)
        assert ((size >= 1 - EXACT) & (size <= n_particles * (1 + EXACT))).all()
        return np.exp(estimate - log_p).mean()

    mean, error = checks.estimate(ratio, 200)
    assert abs(mean - 1) < Z_MAX * error
    assert abs(mean - 1.1) > Z_MAX * error, "this test has no power"


def test_every_row_and_seed_has_a_key_of_its_own():
    keys = [_reference_measures.hash_rows(checks.every_state((6,)), seed) for seed in range(64)]
    assert len(np.unique(keys)) == 64 * 64


@pytest.mark.parametrize(
    ("module", "dtype", "tolerance"),
    [
        pytest.param(_reference_measures, np.float64, TABLE, id="twin64"),
        pytest.param(_likelihood, np.float32, FLOAT32, id="compiled"),
    ],
)
def test_golden_likelihood(module, dtype, tolerance):
    checks.check_golden_likelihood(module, dtype, tolerance)


def test_effective_sample_size_has_the_golden_limit(toy):
    n_particles, repeats = 2000, 100
    how = toy.float64, toy.sizes, toy.methods, toy.data
    sizes = [_reference_measures.importance(*how, seed, n_particles)[1][0] / n_particles for seed in range(repeats)]
    error = np.std(sizes, ddof=1) / np.sqrt(repeats)
    assert abs(np.mean(sizes) - checks.ESS) < Z_MAX * error
    assert Z_MAX * error < 0.01, "this test has no power"
