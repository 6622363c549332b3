"""Rows with missing cells, measured: against sums over all completions, and against the NumPy twin."""

import numpy as np
import pytest
from checks import Z_MAX, estimate, same_bits
from machines import every_row, random_machine, random_rows

from wakesleep import Bits, _likelihood, _reference_measures, likelihood
from wakesleep.rows import as_bits

pytestmark = pytest.mark.filterwarnings("ignore:X. nothing is observed")

NAN = float("nan")
EXACT = 1e-9  # relative: the same float64 sums in another order
SUMMED = 1e-12  # absolute, of log p(nothing) = 0
SIZES = [(9, 4), (6, 5, 3), (70, 5, 4), (130, 17, 3), (1, 1)]


def incomplete(n_rows, n_features, share=0.4, seed=0):
    """Bits in which this share of the cells is missing, in the first row all of them, and in the last row none."""
    rng = np.random.default_rng([seed, 1])  # another stream than that of the cells
    dense = random_rows(n_rows, n_features, seed=seed).to_dense(np.float64)
    gone = rng.random(dense.shape) < share
    gone[0], gone[-1] = True, False
    return Bits.from_dense(np.where(gone, np.nan, dense), missing="marginalise")


def described(machine):
    """What the functions of the compiled module and of its twin want."""
    return machine._state.parameters.flat, machine._state.parameters.sizes, machine._state.methods


def marginalising(sizes, scale=1.0, seed=0, **params):
    return random_machine(sizes, scale, seed, missing="marginalise", **params)


def completions(row):
    """All rows of 0 and 1 that agree with the observed cells of a row."""
    rows = every_row(len(row)).to_dense(np.float64)
    return Bits.from_dense(rows[((rows == row) | np.isnan(row)).all(axis=1)])


# ---- log p(x) ----


@pytest.mark.parametrize("sizes", [(7, 4), (6, 5, 3), (5, 3, 4, 2), (1, 1)], ids=str)
def test_exact_is_the_sum_over_all_completions(sizes):
    machine, X = marginalising(sizes), incomplete(20, sizes[0])
    by_hand = [np.logaddexp.reduce(machine.score_samples(completions(row), method="exact")) for row in X.to_dense()]
    actual = machine.score_samples(X, method="exact")
    np.testing.assert_allclose(actual, by_hand, rtol=EXACT, atol=SUMMED)
    assert abs(actual[0]) < SUMMED
    assert (actual != machine.score_samples(X.filled(), method="exact"))[:-1].any()


@pytest.mark.parametrize("method", ["importance", "ais"])
def test_a_row_of_which_nothing_is_observed_needs_no_estimate(method):
    machine, X = marginalising((7, 4)), incomplete(20, 7)
    values = machine.score_samples(X, method=method, n_particles=5, n_steps=2)
    np.testing.assert_array_equal(values == 0, ~X.observed.any(axis=1))


@pytest.mark.parametrize("n_particles", [1, 30])
@pytest.mark.parametrize("sizes", [(6, 4), (5, 4, 3)], ids=str)
def test_importance_weights_have_the_mean_p_of_the_observed_cells(sizes, n_particles):
    machine, X = marginalising(sizes, scale=0.3), incomplete(20, sizes[0])
    exact = machine.score_samples(X, method="exact")

    def ratio(seed, of=X):
        log_p = machine.score_samples(of, method="importance", n_particles=n_particles, random_state=seed)
        return np.exp(log_p - exact).mean()

    mean, error = estimate(ratio, 1500)
    assert abs(mean - 1) < Z_MAX * error
    assert abs(mean - 1.1) > Z_MAX * error, "this test has no power"
    zeros, error = estimate(lambda seed: ratio(seed, X.filled()), 1500)
    assert abs(zeros - 1) > Z_MAX * error, "missing cells are zeros"


def test_annealing_converges_to_the_p_of_the_observed_cells():
    machine, X = marginalising((12, 6, 4), scale=0.7), incomplete(12, 12)
    estimates, effective = likelihood.annealed(
        machine.parameters_, machine._state.methods, X, n_particles=2000, n_steps=5, seed=0
    )
    errors = np.sqrt(1 / effective - 1 / 2000)  # relative, of the mean of the weights
    exact = machine.score_samples(X, method="exact")
    assert (np.abs(np.expm1(estimates - exact)) < Z_MAX * errors).all()
    assert (np.abs(np.expm1(estimates - exact - 0.1)) > Z_MAX * errors).any(), "this test has no power"
    assert same_bits(machine.score_samples(X, method="ais", n_particles=2000, n_steps=5, random_state=0), estimates)


@pytest.mark.parametrize("sizes", [*SIZES, (30, 150, 70)], ids=str)
@pytest.mark.parametrize("n_particles", [1, 50, 257])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_importance_is_that_of_the_reference(cpu_level, sizes, n_particles, n_threads):
    machine, X = marginalising(sizes), incomplete(4, sizes[0])
    how = (*described(machine), X.words, 5, n_particles)
    expected = _reference_measures.importance(*how, observed=X.observed)
    for ours, twins in zip(_likelihood.importance(*how, n_threads, X.observed), expected, strict=True):
        np.testing.assert_allclose(ours, twins, rtol=EXACT, atol=SUMMED)
    particles = _reference_measures.particles(*how, observed=X.observed)
    assert same_bits(_likelihood.particles(*how, n_threads, X.observed), particles)


@pytest.mark.parametrize("method", ["exact", "importance", "elbo", "ais"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_score_depends_on_the_row_and_not_on_the_others(method, n_threads):
    machine, X = marginalising((70, 5, 4), n_threads=n_threads), incomplete(12, 70)
    how = {"method": method, "n_particles": 30, "n_steps": 3}
    scores, order = machine.score_samples(X, **how), np.random.default_rng(0).permutation(12)
    assert same_bits(machine.score_samples(X[order], **how), scores[order])
    assert same_bits(np.concatenate([machine.score_samples(X[row : row + 1], **how) for row in range(12)]), scores)
    assert same_bits(machine.score_samples(X[-1:].filled(), **how), scores[-1:])
    one = random_machine((70, 5, 4)).score_samples(X[-1:].filled(), **how)
    assert same_bits(one, scores[-1:])


def test_what_is_missing_is_part_of_what_a_row_is():
    machine = marginalising((5, 4))
    X = as_bits([[1, NAN, 0, 0, 0], [1, 0, NAN, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, NAN]], missing="marginalise")
    states = _likelihood.particles(*described(machine), X.words, 0, 64, 1, X.observed).reshape(4, 64, 2)
    for one in range(4):
        for other in range(one):
            assert (states[one] != states[other]).any()


def test_a_machine_without_the_units_that_are_not_observed_has_the_weights_of_the_others():
    machine, units = random_machine((6, 5, 3)), np.array([0, 2, 5])
    part = likelihood.restriction.restricted(machine.parameters_, units)
    X = random_rows(9, 6)
    zeros = Bits.from_dense(np.where(np.isin(range(6), units), X.to_dense(), 0))
    np.testing.assert_array_equal(likelihood.encode(part, Bits.from_dense(X.to_dense()[:, units]), 1),
                                  machine.transform(zeros))  # fmt: skip
    H = random_rows(9, 3).to_dense(np.float32)
    np.testing.assert_array_equal(likelihood.decode(part, H, 1), machine.inverse_transform(H)[:, units])


# ---- the other measures ----


@pytest.mark.parametrize("sizes", [(6, 3), (70, 3, 2), (3, 13)], ids=str)
def test_exact_posterior_is_that_given_the_observed_cells(sizes):
    machine, X = marginalising(sizes), incomplete(6, sizes[0])
    log_posterior, means = likelihood.exact_posterior(machine.parameters_, X)
    n_hidden = sum(sizes[1:])
    on = np.arange(2**n_hidden)[:, None] >> np.arange(n_hidden) & 1
    h = np.split(on.astype(float), np.cumsum(sizes[1:-1]), axis=1)
    log_p = np.zeros(len(on))
    layers = [*machine.generative_[1:], None]
    for level, layer in enumerate(layers):
        z = machine.prior_logits_.astype(float) if layer is None else h[level + 1] @ layer.weights + layer.biases
        log_p += (h[level] * z - np.logaddexp(0, z)).sum(axis=1)
    z = h[0] @ machine.generative_[0].weights.astype(float) + machine.generative_[0].biases
    for row, x in enumerate(X.to_dense()):
        joint = log_p + np.nansum(x * z - np.where(np.isnan(x), np.nan, 1) * np.logaddexp(0, z), axis=1)
        expected = joint - np.logaddexp.reduce(joint)
        np.testing.assert_allclose(log_posterior[row], expected, atol=1e-5)
        np.testing.assert_allclose(means[row], np.exp(expected) @ on, atol=1e-5)


def test_cross_entropy_and_independent_units_look_at_observed_cells_only(monkeypatch):
    machine, X = marginalising((70, 5, 4)), incomplete(30, 70)
    x, r = X.to_dense(np.float64), machine.reconstruct(X).astype(np.float64)
    by_hand = -np.nansum(x * np.log(r) + (1 - x) * np.log1p(-r), axis=1).mean()
    assert machine.reconstruction_cross_entropy(X) == pytest.approx(by_hand, rel=1e-5)
    mean = (np.nansum(x, axis=0) + 1) / ((~np.isnan(x)).sum(axis=0) + 2)
    expected = np.nansum(x * np.log(mean) + (1 - x) * np.log1p(-mean), axis=1)
    for rows in (4096, 7):
        monkeypatch.setattr(likelihood.mean_field, "_ROWS", rows)
        np.testing.assert_allclose(likelihood.independent_log_likelihood(X, X), expected, rtol=EXACT, atol=SUMMED)


def test_transform_sees_zeros_in_missing_cells():
    machine, X = marginalising((70, 5, 4)), incomplete(30, 70)
    assert same_bits(machine.transform(X), machine.transform(X.filled()))
    assert machine.transform(X).dtype == np.float32


def test_diagnostics_are_of_the_observed_cells(monkeypatch):
    machine, X = marginalising((70, 5, 4), scale=0.4), incomplete(30, 70)
    found = machine.diagnostics(X, n_particles=50)
    how = {"method": "importance", "n_particles": 50}
    assert found.log_likelihood == pytest.approx(machine.score(X, **how), rel=1e-5)
    assert found.elbo == pytest.approx(machine.score(X, method="elbo", n_particles=50), rel=1e-5)
    full = Bits(X.words, 70, X.words | np.asarray(X.observed))
    assert machine.diagnostics(full, n_particles=50) == found
    monkeypatch.setattr(likelihood.diagnosis, "_STATES", 7)
    in_parts = machine.diagnostics(X, n_particles=50)
    assert in_parts.sleep_gradient_norm == pytest.approx(found.sleep_gradient_norm, rel=1e-5)
    assert in_parts.wake_gradient_norm == pytest.approx(found.wake_gradient_norm, rel=1e-5)
    zeros = machine.diagnostics(X.filled(), n_particles=50)
    assert zeros.wake_gradient_norm != found.wake_gradient_norm
    assert zeros.sleep_gradient_norm != found.sleep_gradient_norm


def test_divergences_want_complete_rows():
    machine = marginalising((4, 3))
    with pytest.raises(ValueError, match=r"^data: want rows without missing cells"):
        likelihood.exact_kl(machine.parameters_, incomplete(2, 4), [0.5, 0.5])
