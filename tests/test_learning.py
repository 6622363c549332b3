"""Machines that learn by every rule and optimizer: by name, by a function, saved, resumed, and stopped."""

import copy
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
        (lambda w: (w, None), "want u, or a sleep_weight above 0, for q to learn by, got None for u and 0"),
        (lambda w: (None, w), "want v of real numbers and shape (32, 5), got object of ()"),
        (lambda w: (w * 1j, w), "want v of real numbers and shape (32, 5), got complex128"),
        (lambda w: (w, w * np.nan), "want finite numbers, got NaN or infinity in u"),
        (lambda w: (1e300 + w, w), "want numbers of float32, at most 3.4e38, got 1e+300 in v"),
        (lambda w: (w, -1e39 + 0 * w), "want numbers of float32, at most 3.4e38, got -1e+39 in u"),
        (lambda w: (np.ma.masked_less(w, w[0, 0] + 1e-9), w), "want v without masked elements, got "),
        (lambda w: (w, np.ma.masked_all(w.shape)), "want u without masked elements, got 160 of them"),
    ],
)
def test_what_a_rule_returns_is_checked(returned, fault):
    machine = small(rule=returned)
    with pytest.raises(ValueError, match=rf"^rule: {re.escape(fault)}"):
        machine.fit(ROWS)
    assert vars(machine) == machine.get_params()


def asleep_only(log_w):
    """v of "reweighted", while q learns asleep."""
    return rules.reweighted(log_w)[0], None


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_rule_may_let_q_learn_asleep_only(optimizer, n_threads):
    how = {**LARGE, "optimizer": optimizer, "n_iter": 1}
    machine = small(rule=asleep_only, sleep_weight=1.0, n_threads=n_threads, **how).fit(DIGITS)
    assert learned(machine) == learned(small(rule="reweighted", sleep_weight=1.0, **how).fit(DIGITS))
    by_halves = small(rule=asleep_only, sleep_weight=0.5, n_threads=n_threads, **how).fit(DIGITS)
    no_credits = small(rule=lambda w: (rules.reweighted(w)[0], 0 * w), sleep_weight=0.5, **how).fit(DIGITS)
    assert learned(by_halves) == learned(no_credits) != learned(machine)


def test_a_rule_may_have_credits_for_q_in_some_batches_and_none_in_others():
    halves = iter(range(100))
    rule = small(rule=lambda w: reweighted(w) if next(halves) % 2 else asleep_only(w), sleep_weight=0.5).fit(ROWS)
    asked = iter(range(100))
    zeros = small(rule=lambda w: (reweighted(w)[0], reweighted(w)[1] * (next(asked) % 2)), sleep_weight=0.5).fit(ROWS)
    assert learned(rule) == learned(zeros)


def test_masked_arrays_without_masked_elements_are_arrays():
    masked = small(rule=lambda w: tuple(map(np.ma.array, reweighted(w)))).fit(ROWS)
    assert learned(masked) == learned(small(rule=reweighted).fit(ROWS))


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


@pytest.mark.filterwarnings("ignore::wakesleep.PoorFitWarning")
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


def moved(before, optimizer, **params):
    """By how much the parameters of p go in the next step, in which all optimizers follow the same gradient."""
    machine = copy.deepcopy(before).set_params(optimizer=optimizer, batch_size=len(ROWS), learning_rate=RATE, **params)
    machine.partial_fit(ROWS)
    of_p = slice(0, sum(part.size for layer in machine.generative_ for part in layer) + machine.prior_logits_.size)
    return (machine.parameters_.flat - before.parameters_.flat)[of_p].astype(float)


RATE, OF_FLOAT32 = 0.125, 2e-6  # what rounding makes of a parameter of about 10


@pytest.mark.parametrize("first", OPTIMIZERS)
def test_an_optimizer_that_takes_over_begins_anew(first):
    before = small(optimizer=first, learning_rate=0.01, n_iter=4).fit(ROWS)
    gradient = moved(before, "sgd") / RATE
    begins = {
        "momentum": 0.05 * gradient,
        "rmsprop": gradient / (np.sqrt(0.1) * np.abs(gradient) + 1e-8),
        "adam": gradient / (np.abs(gradient) + 1e-8),
    }
    clear = np.abs(gradient) > 1e-3  # of smaller ones, rounding leaves too little
    assert clear.sum() > 50
    for second, expected in begins.items():
        difference = np.abs(moved(before, second) - RATE * expected)[clear].max()
        if second == first:
            assert difference > 100 * OF_FLOAT32, "this test has no power"
        else:
            assert difference < (OF_FLOAT32 if second == "momentum" else 0.01 * RATE)


def test_to_go_back_to_an_optimizer_is_to_begin_anew():
    machine = small(optimizer="adam", n_iter=2).fit(ROWS)
    machine.set_params(optimizer="sgd").partial_fit(ROWS).set_params(optimizer="adam").partial_fit(ROWS)
    assert machine._state.n_updates.tolist() == [5, 5]


def test_updates_of_q_are_counted_as_they_are_made():
    how = {"rule": "reweighted", "optimizer": "adam", "sleep_steps": 3}
    machine = small(sleep_weight=(1, 0), **how).fit(ROWS)
    assert machine._state.n_updates.tolist() == [15, 15 + 15 + 5]
    one, three = (small(rule="vimco", optimizer="adam", sleep_steps=n).fit(ROWS) for n in (1, 3))
    assert learned(one) == learned(three)  # without sleep, there is nothing to be done three times


# ---- files of before, which do not say whose moments they hold ----


def as_before(machine, path):
    """Save a machine as it was done before."""
    machine.save(path)
    arrays, manifest = checkpoint.load(path)
    for state in (manifest["state"], manifest["aside"]):
        if state is not None:
            del state["optimizer"], state["n_updates"]
    checkpoint.save(path, arrays, manifest)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("sleep", [{"sleep_steps": 2}, {"rule": "vimco", "sleep_steps": 3}, {"patience": 9}], ids=str)
def test_a_file_of_before_goes_on(tmp_path, optimizer, sleep):
    how = {"validation": 0.3} if "patience" in sleep else {}
    machine = small(optimizer=optimizer, n_iter=2, **sleep).fit(ROWS, **how)
    as_before(machine, tmp_path / "machine.npz")
    loaded = HelmholtzMachine.load(tmp_path / "machine.npz")
    for one in (machine, loaded):
        one.set_params(n_iter=4).fit(ROWS, resume=True, **how)
    assert learned(loaded) == learned(machine)
    assert loaded._frontier.n_updates.tolist() == machine._frontier.n_updates.tolist()
    assert loaded._frontier.optimizer == optimizer


def test_in_a_file_of_before_moments_that_its_optimizer_does_not_keep_are_left_out(tmp_path):
    machine = small(optimizer="adam", n_iter=2).fit(ROWS).set_params(optimizer="momentum")
    as_before(machine, tmp_path / "machine.npz")
    loaded = HelmholtzMachine.load(tmp_path / "machine.npz")
    assert learned(loaded.partial_fit(ROWS)) == learned(machine.partial_fit(ROWS))
    assert loaded._state.n_updates.tolist() == machine._state.n_updates.tolist() == [5, 5]


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
    assert vars(machine) == machine.get_params()
    begun = small(n_iter=0).fit(ROWS)
    before = learned(begun)
    with pytest.raises(DivergenceError, match="epoch 1"):
        begun.set_params(optimizer=optimizer, learning_rate=1e39).partial_fit(ROWS)
    assert learned(begun) == before
