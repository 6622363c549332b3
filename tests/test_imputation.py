"""Missing cells, filled in: against sums over all completions, against the NumPy twin, and in stated orders."""

import pickle
import warnings

import numpy as np
import pytest
from checks import Z_MAX, estimate, same_bits
from machines import random_machine, random_rows
from test_missing_measures import NAN, SIZES, completions, described, incomplete, marginalising

from wakesleep import (
    Bits,
    HelmholtzMachine,
    _core,
    _imputation,
    _likelihood,
    _panels,
    _reference_measures,
    checkpoint,
    likelihood,
)
from wakesleep.elementary import exp, log
from wakesleep.monitor import SampleSizeWarning
from wakesleep.rows import as_bits

SINGLE = 1e-6  # absolute, of a float32 probability


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


def with_poor_q(n_features):
    """A machine of causes that q is wrong of: as many fantasies count for more than its particles."""
    rng, n_hidden = np.random.default_rng(0), 12
    p = [(0.3 * rng.normal(size=(n_hidden, n_features)), np.zeros(n_features))]
    q = [(np.zeros((n_features, n_hidden)), np.full(n_hidden, 2.5))]
    return HelmholtzMachine.from_parameters(np.zeros(n_hidden), p, q, missing="marginalise", random_state=0)


@pytest.mark.parametrize("by", ["states", "q", "fantasies"])
def test_what_is_filled_in_depends_on_the_seed_and_the_row(by):
    machine = with_poor_q(70) if by == "fantasies" else marginalising((70, 5, 4), scale=0.3)
    X, method = incomplete(12, 70, 0.9 if by == "fantasies" else 0.4), "exact" if by == "states" else "importance"
    for draws in (False, True):
        how, order = {"method": method, "draws": draws}, np.random.default_rng(0).permutation(12)
        filled = machine.impute(X, **how)
        assert same_bits(machine.impute(X[order], **how), filled[order])
        assert same_bits(np.concatenate([machine.impute(X[row : row + 1], **how) for row in range(12)]), filled)
        by_chance = draws or by != "states"
        others = machine.impute(X, **how, random_state=1) != filled
        np.testing.assert_array_equal(others.any(axis=1), by_chance & np.isnan(X.to_dense()).any(axis=1))
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


@pytest.mark.parametrize("method", ["exact", "importance"])
def test_rows_that_lack_other_cells_have_other_noise(method):
    """Though their bits are the same."""
    machine, X = with_poor_q(70), np.full((2, 70), NAN)
    X[0, 0] = X[1, 1] = 0
    machine.generative_[0].weights[:] = 0
    one, other = machine.impute(X, method=method, draws=True)[:, 2:]
    assert 20 < (one != other).sum() < 48, "of 68 fair coins"


@pytest.mark.parametrize(("limit", "value"), [("MOST_FANTASIES", 64), ("MOST_CELLS", 64 * 40), ("MOST_CELLS", 1)])
def test_fantasies_are_limited(limit, value, monkeypatch):
    machine, X = with_poor_q(40), as_bits([[NAN] * 40], missing="marginalise")
    monkeypatch.setattr(likelihood.imputation, limit, value)
    how = {"method": "importance", "n_particles": 1000}
    _, effective = likelihood.impute(machine.parameters_, machine._state.methods, X, **how)
    by_q = likelihood.log_likelihood(machine.parameters_, machine._state.methods, X, seed=0, **how)[1]
    assert by_q < 60
    np.testing.assert_allclose(effective, 64 if value > 1 else by_q)


@pytest.mark.parametrize(("n_particles", "expected"), [(4095, 4095), (5000, 4096)])
def test_a_row_takes_4096_fantasies_at_most(n_particles, expected):
    machine, X = with_poor_q(40), as_bits([[NAN] * 40], missing="marginalise")
    how = {"method": "importance", "n_particles": n_particles}
    _, effective = likelihood.impute(machine.parameters_, machine._state.methods, X, **how)
    np.testing.assert_allclose(effective, expected)


def test_fantasies_are_for_rows_of_up_to_sixteen_cells():
    machine, X = with_poor_q(40), np.full((3, 40), NAN)
    machine.generative_[0].weights[:] = 0
    for row, n_observed in enumerate((15, 16, 17)):
        X[row, :n_observed] = 0
    bits = as_bits(X, missing="marginalise")
    how = {"method": "importance", "n_particles": 1000}
    _, effective = likelihood.impute(machine.parameters_, machine._state.methods, bits, **how)
    np.testing.assert_allclose(effective[:2], 1000)
    assert effective[2] < 100


def test_where_no_particle_of_q_has_a_weight_fantasies_fill_in():
    machine, X = with_poor_q(40), np.full((1, 40), NAN)
    X[0, :4] = 0
    machine.prior_logits_[:2], machine.generative_[0].weights[:2], machine.recognition_[0].biases[:2] = -99, 3e38, 99
    bits = as_bits(X, missing="marginalise")
    by_q = _imputation.imputed_means(*described(machine), bits.words, bits.observed, 0, 1000)[1]
    assert np.isnan(by_q).all(), "this test has no power"
    filled = machine.impute(X, method="importance")
    np.testing.assert_allclose(filled, machine.impute(X, method="exact"), atol=0.05)


@pytest.mark.parametrize("n_particles", [1, 5, 16])
def test_few_fantasies_do_not_stand_in_for_a_better_q(n_particles):
    p, q = ([[8.0] * 8], [-4.0] * 8), ([[8.0]] * 8, [-20.0])
    machine = HelmholtzMachine.from_parameters([0.0], [p], [q], missing="marginalise")
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


def by_states(machine, states, log_prior, X, row, seed):
    """The means of a row, draws of it and its effective sample size, with the operations of eq. 20, one by one."""
    weights, biases = (part.astype(np.float64) for part in machine.generative_[0])
    z = np.empty((X.n_features, len(states)))
    for s, h in enumerate(states):
        for unit, bias in enumerate(biases):
            total = bias
            for first in range(0, len(h), 8):
                eight = 0.0
                for i in np.flatnonzero(h[first : first + 8]):
                    eight += weights[first + i, unit]
                total += eight
            z[unit, s] = total
    softplus = log(1 + exp(-np.abs(z)))
    cells, joint = X[row], 0.0
    for unit in np.flatnonzero(~np.isnan(cells)):
        joint = joint + ((np.minimum(z[unit], 0) if cells[unit] else -np.maximum(z[unit], 0)) - softplus[unit])
    joint = log_prior + joint
    w = exp(joint - joint.max())
    p = exp(np.minimum(z, 0) - softplus)
    means = [np.sum(w * p[unit]) / np.sum(w) if np.isnan(cell) else cell for unit, cell in enumerate(cells)]
    key = int(_likelihood.hash_rows(np.hstack([X.words, X.observed]), seed)[row])
    of_state, *of_units = (_core.random_words(key, _core.IMPORTANCE, 1, 1 + X.n_features)[0] + 0.5) / 2.0**32
    shares = np.cumsum(w)
    chosen = next(s for s in range(len(states)) if shares[s] > of_state * shares[-1])
    draws = [u < p[unit, chosen] if np.isnan(cells[unit]) else cells[unit] for unit, u in enumerate(of_units)]
    return np.array(means, np.float32), np.array(draws, np.uint8), np.sum(w) ** 2 / np.sum(w * w)


@pytest.mark.parametrize("sizes", [(9, 4), (70, 6, 3), (11, 21), (1, 1)], ids=str)
def test_sums_over_states_are_in_the_order_that_is_stated(sizes):
    """A product of matrices would have another one, which depends on the processor and its threads."""
    machine, X = marginalising(sizes, scale=0.4), incomplete(9, sizes[0])[:-1]
    rng, weights = np.random.default_rng(0), machine.generative_[0].weights
    weights *= 10 ** rng.uniform(-9, 0.5, weights.shape)  # or else sums of float32 are exact in float64
    h, log_prior = rng.random((37, sizes[1])) < 0.4, rng.normal(size=37)
    how, seed = (Bits.from_dense(h).words, log_prior, X), 5
    filled, effective = likelihood.imputation._by_states(machine.parameters_, *how, False, seed)
    drawn, of_draws = likelihood.imputation._by_states(machine.parameters_, *how, True, seed)
    for row in range(len(X)):
        means, draws, size = by_states(machine, h, log_prior, X, row, seed)
        assert same_bits(filled[row], means)
        assert same_bits(drawn[row], draws)
        assert effective[row] == of_draws[row] == size


@pytest.mark.parametrize("draws", [False, True])
@pytest.mark.parametrize("method", ["exact", "importance"])
def test_what_is_filled_in_does_not_depend_on_threads_and_processors(cpu_level, method, draws):
    machine, X = marginalising((70, 9, 4), n_threads=3), incomplete(12, 70, share=0.9)
    filled = machine.impute(X, method=method, draws=draws)
    _panels.set_cpu_level("baseline")
    assert same_bits(filled, machine.set_params(n_threads=1).impute(X, method=method, draws=draws))


def test_weights_without_end_are_an_error_and_never_nan():
    machine, X = marginalising((40, 3)), incomplete(5, 40)[::-1]  # the first row is complete
    machine.parameters_.flat[:] = np.where(np.arange(machine.parameters_.flat.size) % 2, 3e38, -3e38)
    assert np.isfinite(machine.impute(X)).all()
    for draws in (False, True):
        with pytest.raises(ValueError, match=r"^parameters: want such as give row 1 a probability, got .* 3e\+38"):
            machine.impute(X, method="importance", draws=draws)


def test_cells_that_rest_on_one_sample_are_told():
    machine, X = marginalising((60, 20), scale=2.0), incomplete(20, 60, share=0.2)
    with pytest.warns(SampleSizeWarning, match=r"^what is filled in of \d+ % of the rows rests on one of 1,000"):
        machine.impute(X)


def test_a_machine_that_has_not_learned_from_gaps_is_told_of():
    untaught, X = random_machine((9, 4, 2)), np.where(np.eye(5, 9) > 0, NAN, 1.0)
    told = r"^what is filled in may be far off, because q has not learned .* gaps; missing=\"marginalise\" teaches it"
    with pytest.warns(UserWarning, match=told):
        untaught.impute(X, method="importance", n_particles=50)
    for method in ("exact", "auto"):
        untaught.impute(X, method=method)
    untaught.impute(np.ones((5, 9)), method="importance")
    marginalising((9, 4, 2)).impute(X, method="importance")


def test_whether_a_machine_has_learned_from_gaps_is_known_and_saved(tmp_path):
    whole = np.random.default_rng(0).integers(0, 2, (40, 9)).astype(float)
    X = np.where(np.eye(40, 9) > 0, NAN, whole)

    def told(machine):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            machine.impute(X, method="importance", n_particles=50)
        machine.save(tmp_path / "machine.npz")
        for copy in (HelmholtzMachine.load(tmp_path / "machine.npz"), pickle.loads(pickle.dumps(machine))):
            with warnings.catch_warnings(record=True) as again:
                warnings.simplefilter("always")
                copy.impute(X, method="importance", n_particles=50)
            assert len(again) == len(caught)
        return len(caught) == 1

    machine = HelmholtzMachine((4, 2), missing="marginalise", n_iter=1, random_state=0).fit(whole)
    assert told(machine)
    with pytest.raises(ValueError, match="n_iter"):
        machine.set_params(n_iter=-1).fit(X)
    assert told(machine.set_params(n_iter=1))
    assert not told(machine.partial_fit(X))
    assert not told(machine.partial_fit(whole))
    assert not told(machine.fit(X, validation=0.5))
    assert told(machine.fit(whole))
    assert told(HelmholtzMachine((4, 2), n_iter=1, random_state=0).fit(whole))
    for missing in (None, "marginalise"):  # files that do not tell
        HelmholtzMachine((4, 2), n_iter=1, random_state=0, missing=missing).fit(whole).save(tmp_path / "old.npz")
        arrays, manifest = checkpoint.load(tmp_path / "old.npz")
        checkpoint.save(tmp_path / "old.npz", arrays, {name: manifest[name] for name in manifest if name != "gaps"})
        assert told(HelmholtzMachine.load(tmp_path / "old.npz")) == (missing is None)


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
