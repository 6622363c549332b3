"""log p(x) by enumeration and by importance sampling, against each other and against the NumPy twin."""

import numpy as np
import pytest
from checks import Z_MAX, estimate, same_bits
from machines import DIGITS, every_row, random_machine, random_rows

from wakesleep import Bits, HelmholtzMachine, _likelihood, _reference, _reference_measures, likelihood

EXACT = 1e-9  # relative: the same float64 sums in another order
ONE = 1e-9  # absolute, of Σ p(x): the same
CROSS_ENTROPY = 1e-5  # relative, of a float32 mean-field pass
GOLDEN_LOG_P, GOLDEN_ELBO = -1.2937481974557414, -1.349358240908178  # by enumeration
GOLDEN_POSTERIOR = [0.1366633313, 0.4778458478, 0.0738531211, 0.3116376998]  # h = 00, 10, 01, 11
GOLDEN_RECOGNITION = [0.2205645386, 0.4018947926, 0.1337791551, 0.2437615137]
GOLDEN = 1e-7  # absolute: the parameters are rounded to float32
SINGLE = 1e-4  # absolute, of sums of logs in float32
UNITS = 1e-12  # relative, of a float64 sum

MACHINES = [(9, 4), (6, 5, 3), (5, 3, 4, 2), (70, 6), (130, 3, 5), (1, 1)]


def described(machine):
    """What the functions of the compiled module and of its twin want."""
    return machine._state.parameters.flat, machine._state.parameters.sizes


def golden_machine():
    """A toy with parameters by hand, whose measures are known by enumeration for x = 1, 0, 1."""
    return HelmholtzMachine.from_parameters(
        [0.5, -0.3],
        [([[1, -0.8, 0.3], [-0.5, 0.7, 1.2]], [0.1, -0.2, 0.4])],
        [([[0.6, -0.1], [-0.4, 0.9], [0.2, -0.7]], [-0.2, 0.3])],
    )


# ---- exact ----


def test_exact_posterior_has_the_golden_values():
    machine, x = golden_machine(), Bits.from_dense([[1, 0, 1]])
    log_posterior, means = likelihood.exact_posterior(machine.parameters_, x)
    log_p = log_posterior[0]
    np.testing.assert_allclose(np.exp(log_p), GOLDEN_POSTERIOR, atol=GOLDEN)
    np.testing.assert_allclose(
        means[0], [GOLDEN_POSTERIOR[1] + GOLDEN_POSTERIOR[3], sum(GOLDEN_POSTERIOR[2:])], atol=GOLDEN
    )
    q = np.array(GOLDEN_RECOGNITION)
    divergence = (q * (np.log(q) - log_p)).sum()
    assert abs(divergence - 0.055610043452436475) < GOLDEN
    assert abs((np.exp(log_p) * (log_p - np.log(q))).sum() - 0.04997453100428838) < GOLDEN
    log_p_x = machine.score_samples(x, method="exact")[0]
    assert abs(log_p_x - GOLDEN_LOG_P) < GOLDEN
    assert abs(log_p_x - divergence - GOLDEN_ELBO) < GOLDEN


@pytest.mark.parametrize("sizes", [(6, 3), (70, 3, 2), (5, 2, 3, 2), (3, 13)], ids=str)
def test_exact_posterior_is_the_joint_over_its_sum(sizes):
    machine, X = random_machine(sizes), random_rows(4, sizes[0])
    log_posterior, means = likelihood.exact_posterior(machine.parameters_, X)
    n_hidden = sum(sizes[1:])
    on = np.arange(2**n_hidden)[:, None] >> np.arange(n_hidden) & 1
    levels = [Bits.from_dense(level).words for level in np.split(on, np.cumsum(sizes[1:-1]), axis=1)]
    for row in range(len(X)):
        states = np.hstack([np.repeat(X.words[row : row + 1], len(on), axis=0), *levels])
        log_p, _ = _reference.log_probabilities(*described(machine), machine._state.methods, states)
        expected = log_p - np.logaddexp.reduce(log_p)
        np.testing.assert_allclose(log_posterior[row], expected, atol=SINGLE)
        np.testing.assert_allclose(means[row], np.exp(expected) @ on, atol=SINGLE)


def test_exact_posterior_has_an_end():
    with pytest.raises(ValueError, match=r"^parameters: want at most 16 hidden units to enumerate, got 17"):
        likelihood.exact_posterior(random_machine((2, 10, 7)).parameters_, random_rows(1, 2))


@pytest.mark.parametrize("sizes", MACHINES, ids=str)
def test_exact_is_that_of_the_reference(sizes):
    machine, X = random_machine(sizes), random_rows(40, sizes[0])
    actual = machine.score_samples(X, method="exact")
    np.testing.assert_allclose(actual, _reference_measures.exact(*described(machine), X.words), rtol=EXACT)
    assert actual.dtype == np.float64


@pytest.mark.parametrize("sizes", [(9, 4), (6, 5, 3), (5, 3, 4, 2), (1, 1), (8, 13)], ids=str)
@pytest.mark.parametrize("scale", [0.1, 1, 10])
def test_exact_adds_up_to_one_over_all_rows(sizes, scale):
    machine = random_machine(sizes, scale)
    p = np.exp(machine.score_samples(every_row(sizes[0]), method="exact"))
    assert abs(p.sum() - 1) < ONE
    assert abs(p.sum() - p.max() - 1) > ONE, "this test has no power"


@pytest.mark.parametrize("scale", [1, 30, 300])
@pytest.mark.parametrize("sizes", [(600, 6), (300, 5, 4)], ids=str)
def test_exact_loses_no_state_however_far_apart_they_are(sizes, scale):
    machine, X = random_machine(sizes, scale), random_rows(20, sizes[0])
    actual = machine.score_samples(X, method="exact")
    np.testing.assert_allclose(actual, _reference_measures.exact(*described(machine), X.words), rtol=EXACT)


def test_exact_of_a_machine_without_weights_is_that_of_independent_units():
    machine = random_machine((9, 4, 3))
    for layer in machine.generative_:
        layer.weights[:] = 0
    z = machine.generative_[0].biases.astype(np.float64)
    X = every_row(9)
    expected = X.to_dense(float) @ z - np.logaddexp(0, z).sum()
    np.testing.assert_allclose(machine.score_samples(X, method="exact"), expected, rtol=EXACT)


def test_exact_has_an_end(monkeypatch):
    monkeypatch.setattr(likelihood.estimates, "MOST_ENUMERATED", 7)
    machine, X = random_machine((5, 4, 4)), random_rows(3, 5)
    with pytest.raises(
        ValueError, match='method: "exact" enumerates at most 7 hidden units, this machine has 8; use "im'
    ):
        machine.score_samples(X, method="exact")
    importance = machine.score_samples(X, method="importance", n_particles=256)
    assert same_bits(machine.score_samples(X, method="auto", n_particles=256), importance)
    assert random_machine((5, 4, 3)).score_samples(X, method="exact").shape == (3,)


def test_exact_goes_up_to_24_hidden_units():
    with pytest.raises(ValueError, match="at most 24 hidden units, this machine has 25"):
        random_machine((2, 13, 12)).score([[0, 1]], method="exact")
    assert random_machine((2, 12, 12), scale=0.1).score([[0, 1]], method="exact") < 0


@pytest.mark.parametrize("sizes", [(9, 4), (6, 5, 3), (1, 1), (5, 13)], ids=str)
def test_the_distribution_of_the_visible_units_by_hand(sizes):
    machine = random_machine(sizes)
    found, X = likelihood.exact_distribution(machine.parameters_, n_threads=2), every_row(sizes[0])
    assert same_bits(found.log_p, machine.score_samples(X, method="exact"))
    p = np.exp(found.log_p)
    assert abs(p.sum() - 1) < ONE
    assert found.entropy == pytest.approx(-(p @ found.log_p), rel=UNITS)
    np.testing.assert_allclose(found.means, p @ X.to_dense(), rtol=UNITS)


def test_the_distribution_of_independent_units_is_their_product():
    z = np.array([-2.0, 0.0, 0.7, 900.0])
    machine = HelmholtzMachine.from_parameters([0.3], [(np.zeros((1, 4)), z)], [(np.zeros((4, 1)), [0.0])])
    found = likelihood.exact_distribution(machine.parameters_)
    on = 1 / (1 + np.exp(-z.astype(np.float32).astype(np.float64)))
    np.testing.assert_allclose(found.means, on, rtol=UNITS)
    halves = [-p * np.log(p) - (1 - p) * np.log(1 - p) for p in on[:3]]
    assert found.entropy == pytest.approx(sum(halves), rel=UNITS)


def test_exact_kl_of_a_machine_from_itself_is_nothing_and_from_others_what_sums_come_to():
    machine, other, X = random_machine((6, 5, 3)), random_machine((6, 4), seed=1), every_row(6)
    log_p, log_q = (likelihood.exact_distribution(m.parameters_).log_p for m in (machine, other))
    p = np.exp(log_p)
    assert abs(likelihood.exact_kl(machine.parameters_, X, p)) < ONE
    assert likelihood.exact_kl(other.parameters_, X, p) == pytest.approx(p @ (log_p - log_q), rel=EXACT)
    some = np.arange(0, 64, 5)
    q = p[some] / p[some].sum()
    expected = q @ (np.log(q) - log_q[some])
    assert likelihood.exact_kl(other.parameters_, X[some], q, n_threads=2) == pytest.approx(expected, rel=EXACT)
    assert likelihood.exact_kl(other.parameters_, X[:7], [0, 0, 1, 0, 0, 0, 0]) == pytest.approx(-log_q[2], rel=EXACT)


def test_exact_kl_refuses_what_is_no_distribution():
    parameters, X = random_machine((4, 3)).parameters_, every_row(4)[:3]
    for p in ([0.5, 0.5], [0.5, 0.6, -0.1], [0.2, 0.2, 0.2], [np.nan, 0.5, 0.5], [[1, 0, 0]]):
        with pytest.raises(ValueError, match=r"^probabilities: want"):
            likelihood.exact_kl(parameters, X, p)
    with pytest.raises(ValueError, match=r"^probabilities: want none below 0 and a sum of 1"):
        likelihood.exact_kl(parameters, X[:0], [])
    with pytest.raises(ValueError, match=r"^data: want distinct rows"):
        likelihood.exact_kl(parameters, X[[0, 1, 0]], [0.5, 0.3, 0.2])
    with pytest.raises(ValueError, match=r"^data: want 4 features, got 5"):
        likelihood.exact_kl(parameters, every_row(5), np.full(32, 1 / 32))
    wide = random_machine((21, 13, 12)).parameters_
    with pytest.raises(ValueError, match=r"^parameters: want at most 24 hidden units to enumerate, got 25"):
        likelihood.exact_kl(wide, random_rows(1, 21), [1])
    with pytest.raises(ValueError, match=r"^parameters: want at most 20 visible units to enumerate, got 21"):
        likelihood.exact_distribution(wide)
    most = likelihood.exact_distribution(random_machine((20, 1)).parameters_)
    assert np.exp(most.log_p).sum() == pytest.approx(1)


# ---- importance ----


@pytest.mark.filterwarnings("ignore::wakesleep.SampleSizeWarning")
@pytest.mark.parametrize("sizes", [*MACHINES, (30, 150, 70)], ids=str)
@pytest.mark.parametrize("n_particles", [1, 2, 50, 256, 257, 600])
def test_importance_is_that_of_the_reference(sizes, n_particles):
    machine, X = random_machine(sizes), random_rows(4, sizes[0])
    how = (*described(machine), machine._state.methods, X.words, 5, n_particles)
    estimates, effective, elbos = _reference_measures.importance(*how)
    np.testing.assert_allclose(
        machine.score_samples(X, method="importance", n_particles=n_particles, random_state=5), estimates, rtol=EXACT
    )
    np.testing.assert_allclose(
        machine.score_samples(X, method="elbo", n_particles=n_particles, random_state=5), elbos, rtol=EXACT
    )
    np.testing.assert_allclose(_likelihood.importance(*how)[1], effective, rtol=EXACT)
    assert ((effective >= 1 - EXACT) & (effective <= n_particles * (1 + EXACT))).all()


@pytest.mark.parametrize("sizes", [(6, 4), (5, 4, 3), (4, 3, 3, 2)], ids=str)
@pytest.mark.parametrize("n_particles", [1, 30])
def test_importance_weights_have_the_mean_p(sizes, n_particles):
    machine, X = random_machine(sizes, scale=0.3), every_row(sizes[0])
    exact = machine.score_samples(X, method="exact")

    def ratio(seed):
        log_p = machine.score_samples(X, method="importance", n_particles=n_particles, random_state=seed)
        return np.exp(log_p - exact).mean()

    mean, error = estimate(ratio, 200)
    assert abs(mean - 1) < Z_MAX * error
    assert abs(mean - 1.1) > Z_MAX * error, "this test has no power"


def test_elbo_has_the_golden_expectation():
    machine = golden_machine()
    mean, error = estimate(
        lambda seed: machine.score([[1, 0, 1]], method="elbo", n_particles=50, random_state=seed), 400
    )
    assert abs(mean - GOLDEN_ELBO) < Z_MAX * error
    assert abs(mean - GOLDEN_LOG_P) > Z_MAX * error, "this test has no power"


def test_importance_is_too_low_on_average_and_less_so_with_more_particles():
    machine, X = random_machine((6, 5)), random_rows(30, 6)
    exact = machine.score(X, method="exact")

    def gap(n_particles):
        return estimate(
            lambda seed: exact - machine.score(X, method="importance", n_particles=n_particles, random_state=seed), 200
        )

    (few, few_error), (many, many_error) = gap(1), gap(10)
    assert many > Z_MAX * many_error
    assert few - many > Z_MAX * np.hypot(few_error, many_error)


def test_importance_converges_to_exact():
    machine, X = random_machine((20, 6, 4), scale=0.4), random_rows(30, 20)
    estimates, effective, _ = _likelihood.importance(*described(machine), machine._state.methods, X.words, 0, 20000)
    errors = np.sqrt(1 / effective - 1 / 20000)  # relative, of the mean of the weights
    exact = machine.score_samples(X, method="exact")
    assert (np.abs(np.expm1(estimates - exact)) < Z_MAX * errors).all()
    assert (np.abs(np.expm1(estimates - exact - 0.1)) > Z_MAX * errors).any(), "this test has no power"


def test_a_q_that_is_the_posterior_has_weights_that_are_all_the_same():
    machine = random_machine((5, 1))
    down, up = machine.generative_[0], machine.recognition_[0]
    on, off = down.biases + down.weights[0], down.biases
    up.weights[:, 0] = down.weights[0]
    up.biases[:] = machine.prior_logits_ - (np.logaddexp(0, on) - np.logaddexp(0, off)).sum()
    X = every_row(5)
    _, effective, _ = _likelihood.importance(*described(machine), machine._state.methods, X.words, 0, 40)
    np.testing.assert_allclose(effective, 40, rtol=1e-5)  # float32 parameters
    exact = machine.score_samples(X, method="exact")
    np.testing.assert_allclose(machine.score_samples(X, method="importance", n_particles=1), exact, rtol=1e-5)


# ---- auto, and what an estimate depends on ----


@pytest.mark.parametrize("sizes", [(6, 4), (6, 2, 2)], ids=str)
def test_auto_is_exact_where_that_takes_no_more_states_than_particles(sizes):
    machine, X = random_machine(sizes), random_rows(20, 6)
    for n_particles, method in ((15, "importance"), (16, "exact"), (1000, "exact")):
        expected = machine.score_samples(X, method=method, n_particles=n_particles)
        assert same_bits(machine.score_samples(X, n_particles=n_particles), expected)
        assert same_bits(machine.score_samples(X, method="auto", n_particles=n_particles), expected)
    assert not same_bits(machine.score_samples(X, n_particles=15), machine.score_samples(X, n_particles=16))


@pytest.fixture(params=["exact", "importance"])
def scored(request):
    """A function that scores rows of digits with one machine and method."""
    machine = random_machine((64, 7, 4), scale=0.3)
    return lambda X, **how: machine.score_samples(X, **{"method": request.param, "n_particles": 300, **how})


def test_a_score_depends_on_the_row_and_not_on_the_others(scored):
    log_p, order = scored(DIGITS[:60]), np.random.default_rng(0).permutation(60)
    assert same_bits(scored(DIGITS[:60][order]), log_p[order])
    assert same_bits(scored(DIGITS[20:30]), log_p[20:30])
    assert same_bits(np.concatenate([scored(DIGITS[row : row + 1]) for row in range(60)]), log_p)
    assert same_bits(scored(DIGITS[[5, 9, 5, 5]]), log_p[[5, 9, 5, 5]])
    assert len(np.unique(log_p)) == 60


def test_an_estimate_repeats_itself_until_another_seed_is_given():
    machine, X = random_machine((64, 7, 4), random_state=3), DIGITS[:20]

    def score(random_state=None):
        return machine.score_samples(X, method="importance", n_particles=10, random_state=random_state)

    assert same_bits(score(), score())
    assert same_bits(score(3), score())
    assert (score(4) != score()).all()
    assert (score(3 + 2**32) != score()).all()
    rng = np.random.default_rng(0)
    first = score(rng)
    assert (score(rng) != first).all()
    assert same_bits(score(np.random.default_rng(0)), first)


def test_a_row_under_one_seed_has_other_noise_than_a_row_under_another_seed():
    data = every_row(6).words
    keys = np.concatenate([_likelihood.hash_rows(data, seed) for seed in range(64)])
    assert len(np.unique(keys)) == 64 * 64
    for seed in (0, 63, 2**64 - 1):
        assert same_bits(_likelihood.hash_rows(data, seed), _reference_measures.hash_rows(data, seed))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_do_not_matter(scored, n_threads):
    machine = random_machine((64, 7, 4), scale=0.3, n_threads=n_threads)
    for method in ("exact", "importance"):
        threaded = machine.score_samples(DIGITS[:60], method=method, n_particles=300)
        assert same_bits(threaded, scored(DIGITS[:60], method=method))


def test_score_is_the_mean_of_score_samples():
    machine, X = random_machine((64, 7, 4), scale=0.3), DIGITS[:60]
    how = {"method": "importance", "n_particles": 7, "random_state": 2}
    assert machine.score(X, **how) == machine.score_samples(X, **how).mean()
    assert machine.score(X) == machine.score(X, None) == machine.score_samples(X, None).mean()
    assert isinstance(machine.score(X), float)


# ---- reconstruction, independent units, standard errors ----


@pytest.mark.parametrize("sizes", [(9, 4), (64, 6, 5), (11, 8, 4, 3)], ids=str)
def test_reconstruction_cross_entropy_is_that_of_the_reconstruction(sizes):
    machine, X = random_machine(sizes), random_rows(50, sizes[0])
    r, x = machine.reconstruct(X).astype(np.float64), X.to_dense()
    by_hand = -(x * np.log(r) + (1 - x) * np.log1p(-r)).sum(axis=1).mean()
    assert machine.reconstruction_cross_entropy(X) == pytest.approx(by_hand, rel=CROSS_ENTROPY)
    assert isinstance(machine.reconstruction_cross_entropy(X), float)


def test_reconstruction_cross_entropy_clips_what_is_certain():
    machine = random_machine((3, 2))
    machine.generative_[0].weights[:], machine.generative_[0].biases[:] = 0, [100, -100, 0]
    for x, expected in (
        ([1, 0, 0], -2 * np.log(1 - 1e-7) + np.log(2)),
        ([0, 0, 1], -np.log(1 - 1e-7) - np.log(1e-7) + np.log(2)),
        ([0, 1, 1], -2 * np.log(1e-7) + np.log(2)),
    ):
        assert machine.reconstruction_cross_entropy([x]) == pytest.approx(expected, rel=CROSS_ENTROPY)


def test_rows_are_taken_in_blocks_without_a_trace(monkeypatch):
    machine, X = random_machine((64, 7, 4), scale=0.3), DIGITS[:60]

    def outputs():
        H = machine.transform(X)
        return [H, machine.inverse_transform(H), machine.reconstruct(X), machine.transform(X, layer=0)]

    whole, cross_entropy = outputs(), machine.reconstruction_cross_entropy(X)
    independent = likelihood.independent_log_likelihood(X, X)
    monkeypatch.setattr(likelihood.mean_field, "_ROWS", 7)
    assert all(map(same_bits, outputs(), whole))
    assert machine.reconstruction_cross_entropy(X) == pytest.approx(cross_entropy, rel=UNITS)
    np.testing.assert_allclose(likelihood.independent_log_likelihood(X, X), independent, rtol=UNITS)


def test_independent_units_have_the_smoothed_means_of_the_training_rows():
    train, test = DIGITS[:50], DIGITS[50:90]
    mean, x = (train.to_dense(float).sum(axis=0) + 1) / 52, test.to_dense()
    by_hand = (x * np.log(mean) + (1 - x) * np.log(1 - mean)).sum(axis=1)
    np.testing.assert_allclose(likelihood.independent_log_likelihood(train, test), by_hand, rtol=UNITS)
    np.testing.assert_allclose(likelihood.independent_log_likelihood(train.to_dense(), x), by_hand, rtol=UNITS)
