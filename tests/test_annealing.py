"""Annealed importance sampling: against enumeration, against the NumPy twin, and its two bounds against each other."""

import numpy as np
import pytest
from checks import Z_MAX, assert_a_signal_stops, estimate, same_bits
from machines import DIGITS, every_row, random_machine, random_rows
from twin import twin

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
@pytest.mark.parametrize(("n_particles", "n_steps"), [(1, 1), (5, 2), (3, 6)])
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
    expected, actual = _likelihood.importance(*how)[:2], _annealing.annealed(*how, 1)
    np.testing.assert_allclose(actual, expected, rtol=FLOAT32, atol=FLOAT32)
    assert (np.abs(_annealing.annealed(*how, 2)[0] - expected[0]) > FLOAT32).any(), "this test has no power"


# ---- no bias: see test_estimators ----


def test_a_start_from_q_in_place_of_the_posterior_is_caught():
    machine = random_machine((4, 3, 2), 1.5)

    def ratio(seed, from_q):
        states = dreamt(machine, 100, seed)
        if from_q:
            _core.recognise(*described(machine), states, seed)
        estimates, _ = _annealing.annealed_back(*described(machine), states, seed, 2, 3)
        return np.exp(exact_of(machine, states) - estimates).mean()

    for from_q in (False, True):
        mean, error = estimate(lambda seed, from_q=from_q: ratio(seed, from_q), 100)
        assert (abs(mean - 1) > Z_MAX * error) == from_q


def test_the_way_back_is_the_way_there_reversed():
    """E back of p(x) / (p(x) + w) = E there of w / (p(x) + w): only if units are drawn in the opposite order."""
    machine = random_machine((2, 3, 3), 2.0)
    X = every_row(2)
    exact = machine.score_samples(X, method="exact")

    def there(seed):
        log_w, _ = _annealing.annealed(*described(machine), X.words, seed, 1, 2)
        return np.exp(exact) @ (1 / (1 + np.exp(exact - log_w)))

    def back(seed):
        states = dreamt(machine, 50, seed)
        log_w, _ = _annealing.annealed_back(*described(machine), states, seed, 1, 2)
        return (1 / (1 + np.exp(log_w - exact_of(machine, states)))).mean()

    (a, a_error), (b, b_error) = estimate(there, 20000), estimate(back, 5000)
    assert abs(a - b) < Z_MAX * np.hypot(a_error, b_error)


# ---- bounds ----


def test_exact_is_between_the_bounds_which_close_with_more_steps():
    machine = random_machine((12, 6, 4), 1.5)
    parameters, methods, gaps = machine._state.parameters, machine._state.methods, []
    for n_steps in (1, 20):
        rows, lower, upper = likelihood.simulated_bounds(
            parameters, methods, 1000, n_particles=2, n_steps=n_steps, seed=3
        )
        assert same_bits(rows.words, machine.sample(1000, random_state=3, bits=True).words)
        exact = machine.score_samples(rows, method="exact")
        for slack in (exact - lower, upper - exact):
            assert slack.mean() > Z_MAX * likelihood.standard_error(slack)
        gaps.append(upper - lower)
    closed = gaps[0] - 2 * gaps[1]
    assert closed.mean() > Z_MAX * likelihood.standard_error(closed)


def test_a_score_is_that_of_the_row_whatever_stands_beside_it_and_whoever_computes_it():
    def score(X, seed=None, **params):
        machine = random_machine((64, 7, 4), scale=0.3, **params)
        return machine.score_samples(X, method="ais", n_particles=5, n_steps=6, random_state=seed)

    X, order = DIGITS[:30], np.random.default_rng(0).permutation(30)
    log_p = score(X, n_threads=1)
    for n_threads in (2, 3):
        assert same_bits(score(X, n_threads=n_threads), log_p)
    assert same_bits(score(X[order]), log_p[order])
    assert same_bits(np.concatenate([score(X[row : row + 1]) for row in range(30)]), log_p)
    assert (score(X, 1) != log_p).all()


def test_bounds_do_not_depend_on_threads():
    machine = random_machine((64, 7, 4), scale=0.3)

    def bounds(n_threads):
        return likelihood.simulated_bounds(
            machine._state.parameters, machine._state.methods, 9, n_particles=3, n_steps=4, seed=1, n_threads=n_threads
        )[1:]

    assert all(map(same_bits, bounds(1), bounds(3)))


def test_no_rows_are_no_work():
    rows, lower, upper = likelihood.simulated_bounds(
        random_machine((4, 3))._state.parameters, np.zeros(2, np.uint8), 0, n_particles=1, n_steps=1, seed=0
    )
    assert len(rows) == len(lower) == len(upper) == 0


# ---- refusals, and Ctrl-C ----


@pytest.mark.parametrize("name", ["n_particles", "n_steps", "n_threads"])
def test_counts_below_one_are_refused(name):
    counts = {"n_particles": 1, "n_steps": 1, "n_threads": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name}: want 1 or more, below 2\\*\\*32, got 0"):
        _annealing.annealed(*described(random_machine((4, 3))), every_row(4).words, 0, **counts)


def test_n_steps_of_a_score_are_a_whole_number():
    with pytest.raises(TypeError, match="n_steps: want a whole number, got 1\\.5"):
        random_machine((4, 3)).score_samples(every_row(4), method="ais", n_steps=1.5)


@pytest.mark.parametrize("value", [601, np.nan])
def test_weights_whose_exponential_has_no_end_are_refused(value):
    parameters, sizes, methods = described(random_machine((4, 3)))
    parameters[0] = value
    with pytest.raises(ValueError, match="parameters: want none beyond ±600 for annealing, got"):
        _annealing.annealed(parameters, sizes, methods, every_row(4).words, 0, 1, 1)


def test_data_that_do_not_fit_are_refused():
    machine = random_machine((4, 3))
    with pytest.raises(ValueError, match="data: want zeros beyond unit 3 of level 0"):
        _annealing.annealed(*described(machine), np.full((1, 1), 16, np.uint64), 0, 1, 1)
    with pytest.raises(ValueError, match="states: want C-contiguous uint64 of shape"):
        _annealing.annealed_back(*described(machine), every_row(4).words, 0, 1, 1)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_signal_stops_it(n_threads):
    machine = random_machine((64, 7, 4), n_threads=n_threads)
    how = {"method": "ais", "n_particles": 2**20, "n_steps": 2**20}  # for days
    assert_a_signal_stops(lambda: machine.score_samples(DIGITS[:2], **how))
