"""Machines that learn by every rule and optimizer: by name, by a function, saved, resumed, and stopped."""

import re

import numpy as np
import pytest
from checks import Z_MAX
from machines import DIGITS, ROWS, learned, small

from wakesleep import CheckpointError, DivergenceError, HelmholtzMachine, checkpoint, likelihood, rules, training
from wakesleep.optimizers import MOMENTS, OPTIMIZERS
from wakesleep.rules import RULES

MARGIN = 3.0  # nats per digit above independent pixels, after few epochs; a machine that does not learn has 0
LARGE = {"hidden_layer_sizes": (70, 65), "batch_size": 100}  # with five particles, work for several threads
WEIGHED = list(RULES)[1:]


def reweighted(log_w):
    """What "reweighted" does, as a user would write it, with the package's exp."""
    return rules.reweighted(log_w)


# ---- learning ----


@pytest.mark.parametrize(
    ("rule", "optimizer", "rate"),
    [
        *((rule, "adam", 0.01) for rule in RULES),
        *(("wake-sleep", optimizer, rate) for optimizer, rate in (("momentum", 0.3), ("rmsprop", 0.01))),
    ],
)
def test_every_rule_and_optimizer_learns(rule, optimizer, rate):
    train, held_out = DIGITS[:1397], DIGITS[1397:]
    independent = likelihood.independent_log_likelihood(train, held_out)

    def gain(n_iter):
        machine = HelmholtzMachine(
            (32,), rule, optimizer=optimizer, learning_rate=rate, n_iter=n_iter, batch_size=20, random_state=0
        )
        gained = machine.fit(train).score_samples(held_out) - independent
        return gained.mean(), Z_MAX * gained.std() / np.sqrt(len(gained))

    mean, error = gain(10)
    assert mean - error > MARGIN
    mean, error = gain(0)
    assert mean + error < MARGIN, "this test has no power"


@pytest.mark.parametrize(
    "other",
    [
        *({"rule": rule} for rule in WEIGHED),
        *({"optimizer": name, "learning_rate": 0.01} for name in OPTIMIZERS),
        *({"weight_decay": 0.1}, {"clip_norm": 0.1}, {"sleep_weight": 0.5}, {"sleep_steps": 2}),
    ],
    ids=str,
)
def test_what_is_asked_for_makes_a_difference(other):
    assert learned(small(**other).fit(ROWS))[0] != learned(small().fit(ROWS))[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"rule": "ovis", "gamma": 0.2}, {"rule": "ovis"}),
        ({"rule": "vimco", "baseline": "arithmetic"}, {"rule": "vimco"}),
        ({"rule": "reweighted", "sleep_weight": 0.4}, {"rule": "reweighted"}),
        ({"rule": "reweighted", "n_particles": 4}, {"rule": "reweighted"}),
        ({"optimizer": "adam", "weight_decay": 0.1}, {"optimizer": "adam"}),
    ],
    ids=str,
)
def test_what_a_rule_or_an_optimizer_takes_makes_a_difference(one, other):
    assert learned(small(**one).fit(ROWS))[0] != learned(small(**other).fit(ROWS))[0]


@pytest.mark.parametrize(
    ("defaults", "explicit"),
    [
        ({"rule": "reweighted"}, {"rule": "reweighted", "n_particles": 5, "sleep_weight": 0.5}),
        ({"rule": "vimco"}, {"rule": "vimco", "n_particles": 5, "sleep_weight": 0.0, "baseline": "geometric"}),
        ({"rule": "ovis"}, {"rule": "ovis", "n_particles": 5, "sleep_weight": 0.0, "gamma": 1}),
        ({}, {"rule": "wake-sleep", "n_particles": 1, "sleep_weight": 1, "sleep_steps": 1, "clip_norm": None}),
        ({"rule": reweighted}, {"rule": "reweighted", "sleep_weight": 0}),
        ({}, {"clip_norm": None, "weight_decay": 0, "gamma": 0.3, "baseline": "arithmetic"}),
    ],
    ids=str,
)
def test_what_says_the_same_learns_the_same_bits(defaults, explicit):
    assert learned(small(**defaults).fit(ROWS)) == learned(small(**explicit).fit(ROWS))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", ["wake-sleep", "reweighted", reweighted])
def test_n_partial_fits_are_one_fit(rule, optimizer):
    params = {"rule": rule, "optimizer": optimizer, "learning_rate": 0.01}
    machine = small(**params)
    for n_iter in (1, 2, 3):
        machine.partial_fit(ROWS)
        assert learned(machine) == learned(small(**params, n_iter=n_iter).fit(ROWS))


@pytest.mark.parametrize("n_threads", [2, 3, 4])
@pytest.mark.parametrize("rule", [*WEIGHED, reweighted])
def test_any_number_of_threads_learns_the_same_bits(rule, n_threads):
    params = LARGE | {"rule": rule, "n_iter": 1}
    alone, together = (learned(small(**params, n_threads=n).fit(DIGITS)) for n in (1, n_threads))
    assert together == alone


def test_clipping_bounds_the_step():
    before, after = (small(clip_norm=0.01, learning_rate=1.0, batch_size=130, n_iter=n).fit(ROWS) for n in (0, 1))
    moved = after._state.parameters.flat.astype(float) - before._state.parameters.flat
    p, q = np.split(moved, [64 * 6 + 5 * 4 + 3])
    for part in (p, q):
        np.testing.assert_allclose(np.linalg.norm(part), 0.01, rtol=1e-4)


def test_decay_shrinks_weights_and_leaves_biases():
    params = {"learning_rate": 0.5, "weight_decay": 1.0, "clip_norm": 1e-30, "batch_size": 130}  # no gradient is left
    begun, decayed = (small(**params, n_iter=n).fit(ROWS) for n in (0, 1))
    for layer, old in zip(
        (*decayed.generative_, *decayed.recognition_), (*begun.generative_, *begun.recognition_), strict=True
    ):
        np.testing.assert_allclose(layer.weights, 0.5 * old.weights, rtol=1e-6)
        np.testing.assert_allclose(layer.biases, old.biases, rtol=0, atol=1e-29)


# ---- a rule of the user's own ----


class BrokenError(Exception):
    """What a rule raises."""


def breaking_after(n_calls, error=BrokenError):
    """A rule that raises in a later call."""
    calls = iter(range(n_calls))

    def rule(log_w):
        if next(calls, None) is None:
            raise error("enough")
        return reweighted(log_w)

    return rule


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("sgd", 0.1), ("momentum", 0.1), ("rmsprop", 0.003), ("adam", 0.003)]
)
def test_the_learning_rate_that_is_left_out_is_that_of_the_optimizer(optimizer, rate, tmp_path):
    machine, given = small(optimizer=optimizer).fit(ROWS), small(optimizer=optimizer, learning_rate=rate).fit(ROWS)
    assert learned(machine) == learned(given)
    machine.save(tmp_path / "machine.npz")
    assert HelmholtzMachine.load(tmp_path / "machine.npz").learning_rate is None


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("error", [BrokenError, KeyboardInterrupt])
def test_a_rule_that_raises_ends_training_and_loses_nothing(monkeypatch, n_threads, error):
    monkeypatch.setattr(training, "SECONDS_PER_CALL", 0)  # one minibatch per chunk
    machine = small(**LARGE, rule=breaking_after(7, error), n_threads=n_threads)
    with pytest.raises(error, match="enough"):
        machine.fit(DIGITS)
    assert machine.step_ == 7
    machine.set_params(rule=reweighted, n_iter=1).fit(DIGITS, resume=True)
    assert learned(machine) == learned(small(**LARGE, rule=reweighted, n_iter=1).fit(DIGITS))


@pytest.mark.parametrize(
    ("returned", "fault"),
    [
        (lambda w: w, "want a pair (v, u) of arrays of shape (32, 5), got one array of shape (32, 5)"),
        (lambda w: None, "want a pair (v, u) of arrays of shape (32, 5), got None"),
        (lambda w: (w, w, w), "want a pair (v, u) of arrays of shape (32, 5), got 3 parts"),
        (lambda w: (w, w[:, :1]), "want u of real numbers and shape (32, 5), got float64 of (32, 1)"),
        (lambda w: (w.T, w), "want v of real numbers and shape (32, 5), got float64 of (5, 32)"),
        (lambda w: (w, None), "want u of real numbers and shape (32, 5), got object of ()"),
        (lambda w: (w * 1j, w), "want v of real numbers and shape (32, 5), got complex128"),
        (lambda w: (w, w * np.nan), "want finite numbers, got NaN or infinity in u"),
        (lambda w: (w * 1e300, w), "want finite numbers, got NaN or infinity in v"),
    ],
)
def test_what_a_rule_returns_is_checked(returned, fault):
    machine = small(rule=returned)
    with pytest.raises(ValueError, match=rf"^rule: {re.escape(fault)}"):
        machine.fit(ROWS)
    assert machine.step_ == 0


def test_a_rule_sees_float64_log_weights_of_every_example():
    seen = []

    def rule(log_w):
        seen.append(log_w)
        return reweighted(log_w)

    small(rule=rule, n_particles=3, n_iter=1).fit(ROWS)
    assert [log_w.shape for log_w in seen] == [(32, 3)] * 4 + [(2, 3)]
    assert all(log_w.dtype == np.float64 and np.isfinite(log_w).all() for log_w in seen)
    assert len({log_w.tobytes() for log_w in seen}) == 5


def test_a_function_cannot_be_saved_but_the_machine_can(tmp_path):
    machine = small(rule=reweighted).fit(ROWS)
    with pytest.raises(TypeError, match=r"^rule: a function cannot be saved"):
        machine.save(tmp_path / "machine.npz")
    assert not list(tmp_path.iterdir())
    machine.set_params(rule="reweighted").save(tmp_path / "machine.npz")
    assert learned(HelmholtzMachine.load(tmp_path / "machine.npz")) == learned(machine)


# ---- what optimizers keep ----


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_saved_machine_goes_on_as_if_it_had_never_stopped(tmp_path, optimizer):
    params = {"optimizer": optimizer, "learning_rate": 0.01, "rule": "reweighted"}
    small(**params, n_iter=2).fit(ROWS).save(tmp_path / "machine.npz")
    machine = HelmholtzMachine.load(tmp_path / "machine.npz").set_params(n_iter=5).fit(ROWS, resume=True)
    whole = small(**params, n_iter=5).fit(ROWS)
    assert learned(machine) == learned(whole)
    assert machine._state.moments.tobytes() == whole._state.moments.tobytes()
    assert machine._state.moments.shape == (MOMENTS[optimizer], machine._state.parameters.flat.size)
    if MOMENTS[optimizer]:
        forgetful = HelmholtzMachine.load(tmp_path / "machine.npz")
        forgetful._state.moments[:] = 0
        assert learned(forgetful.set_params(n_iter=5).fit(ROWS, resume=True))[0] != learned(whole)[0], "no power"


def test_another_optimizer_begins_with_no_moments():
    machine = small(optimizer="adam", learning_rate=0.01, n_iter=1).fit(ROWS)
    machine.set_params(optimizer="momentum").partial_fit(ROWS)
    assert machine._state.moments.shape[0] == 1
    machine.set_params(optimizer="sgd").partial_fit(ROWS)
    assert machine._state.moments.shape[0] == 0


@pytest.mark.parametrize("wrong", ["shape", "number", "dtype", "NaN"])
def test_moments_that_do_not_fit_are_no_machine(tmp_path, wrong):
    path = tmp_path / "machine.npz"
    small(optimizer="adam").fit(ROWS).save(path)
    arrays, manifest = checkpoint.load(path)
    moments = arrays["moments"]
    arrays["moments"] = {
        "shape": moments[:, 1:], "number": np.tile(moments, (2, 1)), "dtype": moments.astype(float),
        "NaN": np.full_like(moments, np.nan),
    }[wrong]  # fmt: skip
    checkpoint.save(path, arrays, manifest)
    with pytest.raises(CheckpointError, match="not a machine: moments: want"):
        HelmholtzMachine.load(path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_diverging_training_says_so(optimizer):
    machine = small(optimizer=optimizer, learning_rate=1e39)
    with pytest.raises(DivergenceError, match="epoch 1"):
        machine.fit(ROWS)
    assert learned(machine) == learned(small(n_iter=0).fit(ROWS))
