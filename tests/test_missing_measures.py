"""Rows with missing cells, measured and filled in: against sums over all completions, and against the NumPy twin."""

import numpy as np
import pytest
from checks import Z_MAX, estimate, same_bits
from machines import every_row, random_machine, random_rows

from wakesleep import Bits, HelmholtzMachine, _imputation, _likelihood, _reference_measures, likelihood
from wakesleep.monitor import SampleSizeWarning
from wakesleep.rows import as_bits

NAN = float("nan")
EXACT = 1e-9  # relative: the same float64 sums in another order
SUMMED = 1e-12  # absolute, of log p(nothing) = 0
SINGLE = 1e-6  # absolute, of a float32 probability
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


def test_diagnostics_are_of_the_observed_cells():
    machine, X = marginalising((70, 5, 4), scale=0.4), incomplete(30, 70)
    found = machine.diagnostics(X, n_particles=50)
    how = {"method": "importance", "n_particles": 50}
    assert found.log_likelihood == pytest.approx(machine.score(X, **how), rel=1e-5)
    assert found.elbo == pytest.approx(machine.score(X, method="elbo", n_particles=50), rel=1e-5)
    full = Bits(X.words, 70, X.words | np.asarray(X.observed))
    assert machine.diagnostics(full, n_particles=50) == found
    zeros = machine.diagnostics(X.filled(), n_particles=50)
    assert zeros.wake_gradient_norm != found.wake_gradient_norm
    assert zeros.sleep_gradient_norm != found.sleep_gradient_norm


def test_divergences_want_complete_rows():
    machine = marginalising((4, 3))
    with pytest.raises(ValueError, match=r"^data: want rows without missing cells"):
        likelihood.exact_kl(machine.parameters_, incomplete(2, 4), [0.5, 0.5])


# ---- filling in ----


@pytest.mark.parametrize("sizes", [*SIZES, (30, 150, 70)], ids=str)
@pytest.mark.parametrize("n_particles", [1, 50, 257, 600])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_imputation_is_that_of_the_reference(cpu_level, sizes, n_particles, n_threads):
    machine, X = marginalising(sizes), incomplete(4, sizes[0])
    how = (*described(machine), X.words, X.observed, 5, n_particles)
    (means, of_means), (draws, of_draws) = (
        function(*how, n_threads) for function in (_imputation.imputed_means, _imputation.imputed_draws)
    )
    expected, sizes_of_samples = _reference_measures.imputed_means(*how)
    np.testing.assert_allclose(means, expected, rtol=0, atol=SINGLE)
    assert same_bits(draws, _reference_measures.imputed_draws(*how)[0])
    for effective in (of_means, of_draws, _reference_measures.imputed_draws(*how)[1]):
        np.testing.assert_allclose(effective, sizes_of_samples, rtol=1e-7)
    assert same_bits(means, _imputation.imputed_means(*how)[0])
    assert not (draws ^ X.words)[-1].any()
    np.testing.assert_array_equal(means[-1], X[-1])


def conditional_means(machine, X):
    """E[x | observed cells], by adding up all completions of each row."""
    means = []
    for row in X.to_dense(np.float64):
        rows = completions(row)
        log_p = machine.score_samples(rows, method="exact")
        means.append(np.exp(log_p - np.logaddexp.reduce(log_p)) @ rows.to_dense(np.float64))
    return np.array(means)


@pytest.mark.parametrize("sizes", [(7, 4), (6, 5, 3), (5, 3, 4, 2), (1, 1), (9, 12)], ids=str)
def test_exact_means_are_the_conditional_means(sizes):
    machine, X = marginalising(sizes), incomplete(20, sizes[0])
    expected = conditional_means(machine, X)
    for method in ("auto", "exact"):
        np.testing.assert_allclose(machine.impute(X, method=method), expected, rtol=0, atol=SINGLE)
    if sizes[0] > 1:
        unweighted = machine.impute(X, method="importance", n_particles=1)
        assert np.abs(unweighted - expected).max() > 0.02, "weights do not matter here"


@pytest.fixture
def only_q(monkeypatch):
    """Particles of q even for rows of which little is observed."""
    monkeypatch.setattr(likelihood.imputation, "LITTLE", -1)


@pytest.mark.parametrize("sizes", [(6, 4), (5, 4, 3)], ids=str)
def test_imputed_means_converge_to_the_conditional_means(sizes, only_q):
    machine, X = marginalising(sizes, scale=0.5), incomplete(10, sizes[0])
    exact, how = conditional_means(machine, X), {"method": "importance"}
    gone = np.isnan(X.to_dense())
    mean, error = estimate(lambda seed: machine.impute(X, n_particles=2000, random_state=seed, **how), 40)
    bias = 2e-3  # of weights that are normalised by their sum, of the order 1/K
    assert (np.abs(mean - exact)[gone] < Z_MAX * error[gone] + bias).all()
    assert (np.abs(mean - exact - 0.05)[gone] > Z_MAX * error[gone] + bias).all(), "this test has no power"
    unweighted, _ = estimate(lambda seed: machine.impute(X, n_particles=1, random_state=seed, **how), 400)
    assert (np.abs(unweighted - exact)[gone] > 0.02).any(), "weights do not matter here"


@pytest.mark.parametrize(("method", "by"), [("exact", "states"), ("importance", "q"), ("importance", "fantasies")])
def test_draws_have_the_conditional_means_and_correlations(method, by, request):
    if by == "q":
        request.getfixturevalue("only_q")
    machine, X = marginalising((6, 3), scale=2.0), incomplete(6, 6, share=0.6)
    rows = [completions(row) for row in X.to_dense(np.float64)]
    log_p = [machine.score_samples(each, method="exact") for each in rows]
    pairs = np.array([
        np.einsum("n,ni,nj->ij", np.exp(p - np.logaddexp.reduce(p)), x, x)
        for p, x in zip(log_p, (each.to_dense(np.float64) for each in rows), strict=True)
    ])  # fmt: skip
    n, bias = 3000, {"states": 1e-12, "q": 5e-3, "fantasies": 2e-2}[by]

    def draw(seed):
        x = machine.impute(X, method=method, draws=True, n_particles=300, random_state=seed).astype(np.float64)
        return x[:, :, None] * x[:, None, :]

    mean, _ = estimate(draw, n)
    error = np.sqrt((pairs * (1 - pairs)).clip(0) / n)
    assert (np.abs(mean - pairs) < (Z_MAX + 0.5) * error + bias).all()
    apart = pairs.diagonal(axis1=1, axis2=2)
    independent = apart[:, :, None] * apart[:, None, :]
    assert (np.abs(mean - independent) > (Z_MAX + 0.5) * error + bias).any(), "cells are drawn apart"


@pytest.mark.parametrize("method", ["exact", "importance"])
def test_what_is_filled_in_depends_on_the_seed_and_the_row(method):
    machine, X = marginalising((70, 5, 4), scale=0.3), incomplete(12, 70)
    for draws in (False, True):
        how, order = {"method": method, "draws": draws}, np.random.default_rng(0).permutation(12)
        filled = machine.impute(X, **how)
        assert same_bits(machine.impute(X[order], **how), filled[order])
        assert same_bits(np.concatenate([machine.impute(X[row : row + 1], **how) for row in range(12)]), filled)
        by_chance = draws or method == "importance"
        assert same_bits(machine.impute(X, **how, random_state=1), filled) != by_chance
        seen = ~np.isnan(X.to_dense())
        np.testing.assert_array_equal(filled[seen], X.to_dense()[seen])
        assert filled.dtype == (np.uint8 if draws else np.float32)
        assert ((filled >= 0) & (filled <= 1)).all()


@pytest.mark.parametrize(
    ("sizes", "n_particles", "exact"),
    [((64, 12), 10, True), ((64, 13), 10, False), ((64, 13), 8192, True), ((65, 12), 10, False)],
    ids=str,
)
def test_auto_is_exact_where_there_are_few_states(sizes, n_particles, exact):
    machine, X = marginalising(sizes, scale=0.1), incomplete(2, sizes[0])
    filled = machine.impute(X, n_particles=n_particles)
    method = "exact" if exact else "importance"
    assert same_bits(filled, machine.impute(X, method=method, n_particles=n_particles))
    other = machine.impute(X, method="importance" if exact else "exact", n_particles=n_particles)
    assert not same_bits(filled, other)


def test_rows_without_missing_cells_come_back():
    machine, X = random_machine((9, 4)), random_rows(5, 9)
    for given, dtype in ((X, np.float32), (X.to_dense(np.float32), np.float32), (X.to_dense().tolist(), np.float64)):
        filled = machine.impute(given)
        assert filled.dtype == dtype
        np.testing.assert_array_equal(filled, X.to_dense())
        assert same_bits(machine.impute(given, draws=True), X.to_dense())


def test_a_row_of_which_nothing_is_observed_is_filled_in_by_the_model_alone():
    """Not by q, which says nothing of the posterior here: these are the figures of independent samples of p."""
    machine, X = marginalising((6, 5, 4), scale=3.0), [[NAN] * 6]
    means = likelihood.exact_distribution(machine.parameters_).means
    np.testing.assert_allclose(machine.impute(X)[0], means, rtol=0, atol=SINGLE)
    n = likelihood.imputation.MOST_FANTASIES
    filled = machine.impute(X, method="importance", n_particles=n)[0]
    assert (np.abs(filled - means) < Z_MAX * np.sqrt(means * (1 - means) / n)).all()
    parameters, methods, bits = machine.parameters_, machine._state.methods, as_bits(X, missing="marginalise")
    by_q, _ = _imputation.imputed_means(*described(machine), bits.words, bits.observed, 0, n)
    assert (np.abs(by_q[0] - means) > Z_MAX * np.sqrt(means * (1 - means) / n)).any(), "this test has no power"
    _, effective = likelihood.impute(parameters, methods, bits, method="importance", n_particles=n)
    assert effective[0] == pytest.approx(n)
    drawn, error = estimate(lambda seed: machine.impute(X, method="importance", draws=True, random_state=seed), 2000)
    assert (np.abs(drawn[0] - means) < Z_MAX * error[0]).all()


def test_rows_of_which_little_is_observed_are_filled_in_by_fantasies(monkeypatch):
    machine, X = marginalising((40, 10), scale=2.0), incomplete(30, 40, share=0.9)[:-1]
    exact, how = machine.impute(X, method="exact"), {"method": "importance", "n_particles": 1000, "seed": 1}
    filled, effective = likelihood.impute(machine.parameters_, machine._state.methods, X, **how)
    enough = effective >= 1000 / likelihood.imputation.ENOUGH
    assert 15 < enough.sum() < len(X)
    limit = 5 * np.sqrt(exact * (1 - exact) / effective[:, None]) + 1e-3  # of thousands of cells, some at 4 errors
    assert (np.abs(filled - exact) <= limit)[enough].all()
    monkeypatch.setattr(likelihood.imputation, "LITTLE", -1)
    by_q, alone = likelihood.impute(machine.parameters_, machine._state.methods, X, **how)
    assert np.abs(by_q - exact)[enough].mean() > 2 * np.abs(filled - exact)[enough].mean()
    np.testing.assert_array_equal(by_q[~enough], filled[~enough])
    np.testing.assert_array_equal(alone[~enough], effective[~enough])


@pytest.mark.parametrize("n_particles", [1, 5, 16])
def test_few_fantasies_do_not_stand_in_for_a_better_q(n_particles):
    machine = HelmholtzMachine.from_parameters([0.0], [([[8.0] * 8], [-4.0] * 8)], [([[8.0]] * 8, [-20.0])])
    X = [[1.0] * 7 + [NAN]]
    exact = machine.impute(X, method="exact")[0, 7]
    for seed in range(5):
        found = machine.impute(X, method="importance", n_particles=n_particles, random_state=seed)[0, 7]
        assert abs(found - exact) < 0.01


def test_complete_rows_are_neither_sampled_nor_told_of():
    machine = random_machine((12, 8), scale=3.0)
    X = random_rows(300, 12).to_dense(np.float64)
    X[7, 3] = NAN
    _, sizes = likelihood.impute(machine.parameters_, machine._state.methods, as_bits(X, missing="marginalise"),
                                 method="importance", n_particles=10)  # fmt: skip
    assert sizes.shape == (1,)


def test_weights_without_end_are_an_error_and_never_nan():
    machine, X = marginalising((40, 3)), incomplete(5, 40)
    machine.parameters_.flat[:] = np.where(np.arange(machine.parameters_.flat.size) % 2, 3e38, -3e38)
    assert np.isfinite(machine.impute(X)).all()
    for draws in (False, True):
        with pytest.raises(ValueError, match=r"^parameters: want such as give row \d a probability, got .* 3e\+38"):
            machine.impute(X, method="importance", draws=draws)


def test_cells_that_rest_on_one_sample_are_told():
    machine, X = marginalising((60, 20), scale=2.0), incomplete(20, 60, share=0.2)
    with pytest.warns(SampleSizeWarning, match=r"^what is filled in of \d+ % of the rows rests on one of 1,000"):
        machine.impute(X)


def test_impute_refuses_what_does_not_fit():
    machine = random_machine((3, 2))
    for X, fault in (([[NAN, 1]], "X has 2 features, but"), ([[NAN, 1, np.inf]], "X contains infinity")):
        with pytest.raises(ValueError, match=fault):
            machine.impute(X)
    with pytest.raises(TypeError, match="draws: want True or False"):
        machine.impute([[NAN, 1, 0]], draws="yes")
    with pytest.raises(ValueError, match="n_particles: want a whole number from 1"):
        machine.impute([[NAN, 1, 0]], n_particles=0)
    with pytest.raises(ValueError, match="method: want one of auto, exact, importance, got 'ais'"):
        machine.impute([[NAN, 1, 0]], method="ais")
    for sizes in ((3, 17), (3, 12, 13), (200, 16)):
        with pytest.raises(ValueError, match=r"exact.* at most 16 units in the lowest .*, 24 hidden .*, and 8,388,608"):
            random_machine(sizes).impute(np.full((1, sizes[0]), NAN), method="exact")
    with pytest.raises(ValueError, match="binarize: want a threshold or None to impute"):
        random_machine((3, 2), binarize="sample").impute([[NAN, 1, 0]])
