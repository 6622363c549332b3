"""Diagnostics: against plain sums over the twin's particles and dreams, and units whose fault is known."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from checks import Z_MAX, estimate
from machines import DIGITS, every_row, random_machine, random_rows
from test_missing_measures import incomplete

from wakesleep import Bits, HelmholtzMachine, _likelihood, _reference, _reference_measures, likelihood

SINGLE = 2e-5  # relative and absolute: sums of float32
MACHINES = [(9, 4), (6, 5, 3), (70, 3, 4, 2), (1, 1)]


def described(machine):
    """What the functions of the compiled module and of its twin want."""
    return machine.parameters_.flat, machine.parameters_.sizes, machine._state.methods


def softplus(z):
    return np.logaddexp(0, z)


def by_hand(machine, X, n_particles, seed):
    """All that `diagnostics` finds, in float64, one level after the other."""
    parameters, sizes, methods = described(machine)
    how = parameters, sizes, methods, X.words, seed, n_particles, X.observed
    states = _reference_measures.particles(*how)
    seen = None if X.observed is None else X.observed.repeat(n_particles, axis=0)
    dreams = np.zeros((len(X), states.shape[1]), np.uint64)
    _reference.dream(parameters, sizes, methods, dreams, seed, _reference.FANTASY)
    if X.observed is not None:
        dreams[:, : X.words.shape[1]] &= X.observed
    wake, sleep = np.zeros((2, parameters.size))
    exact, ones = parameters.astype(np.float64), np.ones(len(states))
    _reference.teach(exact, sizes, methods, states, ones / len(states), None, wake, seen)
    _reference.teach(exact, sizes, methods, dreams, None, np.ones(len(X)) / len(X), sleep)
    log_likelihoods, effective, elbos = _reference_measures.importance(*how)
    levels, asleep = _reference.levels(states, sizes), _reference.levels(dreams, sizes)

    def logits(layer, source):
        return source @ layer.weights.astype(np.float64) + layer.biases

    def log_p(z, bits, counted=1):
        return (counted * (bits * z - softplus(z))).sum(axis=1).mean()

    def entropy(z):
        return (softplus(z) - z / (1 + np.exp(-z))).sum(axis=1).mean()

    def of_level(number, q):
        z, bits = logits(q, levels[number - 1]), levels[number]
        mean = (1 / (1 + np.exp(-z))).reshape(len(X), n_particles, -1).mean(axis=1)
        prior = number == len(sizes) - 1
        p, source = (machine.prior_logits_, None) if prior else (machine.generative_[number], number + 1)
        z_p, z_dream = (p + 0 * z, p[None]) if prior else (logits(p, levels[source]), logits(p, asleep[source]))
        return {
            "n_units": sizes[number],
            "divergence": log_p(z, bits) - log_p(z_p, bits),
            "entropy_q": entropy(z),
            "entropy_p": entropy(z_dream.astype(np.float64)),
            "inactive": (mean.var(axis=0) < 0.01).mean(),
            "dead": ((mean.mean(axis=0) < 0.01) | (mean.mean(axis=0) > 0.99)).mean(),
            "saturated": (np.abs(z) > np.log(99)).mean(),
        }

    counted = 1 if seen is None else Bits(seen, sizes[0]).to_dense(np.bool_)
    return {
        "n_rows": len(X),
        "n_particles": n_particles,
        "log_likelihood": log_likelihoods.mean(),
        "elbo": elbos.mean(),
        "reconstruction": log_p(logits(machine.generative_[0], levels[1]), levels[0], counted),
        "entropy_p": entropy(logits(machine.generative_[0], asleep[1])),
        "effective_sample_size": effective.mean(),
        "median_effective_sample_size": np.median(effective),
        "few_effective": (effective < 1.1).mean(),
        "wake_gradient_norm": np.linalg.norm(wake),
        "sleep_gradient_norm": np.linalg.norm(sleep),
        "levels": [of_level(number, q) for number, q in enumerate(machine.recognition_, 1)],
    }


def assert_same(found, expected):
    found, expected = dict(found), dict(expected)
    for one, other in zip(found.pop("levels"), expected.pop("levels"), strict=True):
        assert one == pytest.approx(other, rel=SINGLE, abs=SINGLE)
    assert found == pytest.approx(expected, rel=SINGLE, abs=SINGLE)


@pytest.mark.parametrize("sizes", MACHINES, ids=str)
@pytest.mark.parametrize(("n_particles", "scale"), [(1, 0.5), (30, 2.5)])
@pytest.mark.parametrize("missing", [0, 0.4])
def test_all_is_what_sums_by_hand_come_to(sizes, n_particles, scale, missing, monkeypatch):
    machine, X = random_machine(sizes, scale, missing="marginalise"), random_rows(50, sizes[0])
    if missing:
        X = incomplete(50, sizes[0], missing)
    expected = by_hand(machine, X, n_particles, 3)
    for states in (4096, 20):  # unpacked at a time
        monkeypatch.setattr(likelihood.diagnosis, "_STATES", states)
        found = machine.diagnostics(X, n_particles=n_particles, random_state=3)
        assert_same(asdict(found), expected)
    assert found.elbo == found.reconstruction - sum(level.divergence for level in found.levels)


@pytest.mark.parametrize("sizes", [*MACHINES, (30, 150, 70)], ids=str)
@pytest.mark.parametrize("n_particles", [1, 50, 256, 257, 600])
def test_particles_are_those_of_the_reference(sizes, n_particles):
    how = (*described(random_machine(sizes)), random_rows(4, sizes[0]).words, 5, n_particles)
    states = _reference_measures.particles(*how)
    for n_threads in (1, 2, 9):
        np.testing.assert_array_equal(_likelihood.particles(*how, n_threads), states)
    assert len(_likelihood.particles(*how[:3], how[3][:0], 5, n_particles)) == 0


def test_it_measures_the_particles_that_a_score_takes():
    machine, X = random_machine((64, 7, 4), 0.3), DIGITS[:60]
    how = {"n_particles": 30, "random_state": 8}
    found = machine.diagnostics(X, **how)
    assert found.elbo == pytest.approx(machine.score(X, method="elbo", **how), rel=SINGLE)
    assert found.log_likelihood == pytest.approx(machine.score(X, method="importance", **how), rel=SINGLE)
    order = np.random.default_rng(0).permutation(60)
    there, back = asdict(found), asdict(machine.diagnostics(X[order], **how))
    assert_same(there, back)
    assert machine.diagnostics(X, n_particles=30, random_state=9).elbo != found.elbo
    assert asdict(machine.diagnostics(X)) == asdict(machine.diagnostics(X, random_state=0, n_particles=100))


def test_at_the_top_the_divergence_is_that_of_q_from_the_prior():
    """Exact KL(q ‖ prior) at one hidden level, and exact log p(x | h¹), by enumeration."""
    machine, X = random_machine((5, 4)), every_row(5)
    z = X.to_dense(float) @ machine.recognition_[0].weights + machine.recognition_[0].biases
    means, prior = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-machine.prior_logits_.astype(float)))
    exact = (means * np.log(means / prior) + (1 - means) * np.log((1 - means) / (1 - prior))).sum(axis=1).mean()
    mean, error = estimate(
        lambda seed: machine.diagnostics(X, n_particles=20, random_state=seed).levels[0].divergence, 100
    )
    assert abs(mean - exact) < Z_MAX * error
    assert abs(mean - 1.05 * exact) > Z_MAX * error, "this test has no power"


def test_units_with_a_fault_are_found():
    """Of q's units one is off, one on, one tosses a coin, one follows x, one does so for sure."""
    weights, biases = np.zeros((2, 5)), np.array([-6.0, 6.0, 0.0, -1.0, -10.0])
    weights[0, 3], weights[0, 4] = 2.0, 20.0
    machine = HelmholtzMachine.from_parameters(np.zeros(5), [(np.zeros((5, 2)), np.zeros(2))], [(weights, biases)])
    found = machine.diagnostics([[0, 0], [0, 1], [1, 0], [1, 1]]).levels[0]
    assert (found.dead, found.inactive, found.saturated) == (2 / 5, 3 / 5, 3 / 5)
    assert found.entropy_p == pytest.approx(5 * np.log(2))


def test_gradients_vanish_where_p_and_q_are_right():
    """Independent units: q = p knows all, and the mean of the rows is p's; then only noise is left, of 1/√N."""
    machine = HelmholtzMachine.from_parameters([0.0], [([[0.0, 0.0]], [0.0, 0.0])], [([[0.0], [0.0]], [0.0])])
    X = np.tile(every_row(2).to_dense(), (2500, 1))
    found = machine.diagnostics(X, n_particles=10)
    assert found.sleep_gradient_norm < Z_MAX * np.sqrt(3 / 4 / len(X))
    assert found.log_likelihood == pytest.approx(found.elbo) == pytest.approx(-2 * np.log(2))
    assert found.effective_sample_size == pytest.approx(10)
    assert machine.diagnostics(X[X[:, 0] == 1], n_particles=10).wake_gradient_norm > 0.4


def test_a_table_of_it():
    machine = random_machine((6, 5, 3))
    found = machine.diagnostics(random_rows(50, 6), n_particles=10)
    measures = "log_likelihood", "elbo", "reconstruction", "effective_sample_size", "median_effective_sample_size"
    numbers = dict(zip(measures, (-2.5, -3.25, -1.125, 7.5, 6.75), strict=True))
    norms = {"wake_gradient_norm": 0.5, "sleep_gradient_norm": 0.25}
    table = str(replace(found, few_effective=0.1234, **numbers, **norms)).splitlines()
    assert [" ".join(line.split()) for line in table[:10]] == [
        "rows 50", "particles for each 10", "log p(x), nats -2.500", "ELBO, nats -3.250",
        "reconstruction log p(x | h) -1.125", "effective sample size 7.500", "its median 6.750",
        "rows where it is below 1.1 12.3 %", "norm of the wake gradient 0.5", "norm of the sleep gradient 0.25",
    ]  # fmt: skip
    assert [line.split()[0] for line in table[-4:]] == ["level", "1", "0", "x"]
    assert max(map(len, table)) <= 80


@pytest.mark.parametrize("name", ["n_particles", "n_threads"])
def test_counts_below_one_are_refused(name):
    counts = {"n_particles": 1, "n_threads": 1, name: 0}
    machine = random_machine((4, 3))
    with pytest.raises(ValueError, match=f"^{name}: want 1 or more, got 0"):
        _likelihood.particles(*described(machine), every_row(4).words, 0, **counts)
    with pytest.raises(ValueError, match=f"^{name}: want a whole number from 1 to 2147483647, got 0"):
        likelihood.diagnostics(machine.parameters_, machine._state.methods, every_row(4), **counts)


def test_rows_that_do_not_fit_are_refused():
    machine = random_machine((4, 3))
    with pytest.raises(ValueError, match=r"^X"):
        machine.diagnostics(np.zeros((0, 4)))
    with pytest.raises(ValueError, match=r"^data: want one row or more, got 0"):
        likelihood.diagnostics(machine.parameters_, machine._state.methods, every_row(4)[:0])
    with pytest.raises(ValueError, match=r"^data: want zeros beyond unit 3"):
        _likelihood.particles(*described(machine), np.full((1, 1), 16, np.uint64), 0, 1)
    with pytest.raises(TypeError, match=r"^n_particles: want a whole number, got 1\.5"):
        machine.diagnostics(every_row(4), n_particles=1.5)


def test_a_machine_that_has_not_learned_has_none():
    with pytest.raises(ValueError, match="call fit"):
        HelmholtzMachine().diagnostics(every_row(4))
