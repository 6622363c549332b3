"""Who decides how long to train, and how fast: schedules, early stopping, callbacks, held-out shares, the log."""

from fractions import Fraction

import numpy as np
import pytest
from machines import DIGITS, ROWS, everything, learned, measured, small, stopped, through_a_file
from steps import train
from twin import twin

from wakesleep import (
    DivergenceError,
    HelmholtzMachine,
    _core,
    monitor,
    schedules,
)
from wakesleep.optimizers import MOMENTS, Optimizer
from wakesleep.rules import Rule

SCHEDULES = ["linear", "cosine:warm_up=1", "decay:factor=0.5", "constant:warm_up=2", "linear:final=0.5,warm_up=1"]
OVERFITS = {"learning_rate": 1.0, "batch_size": 5, "n_iter": 40, "hidden_layer_sizes": (16,), "patience": 3}
X, HELD_OUT = DIGITS[:60], DIGITS[1000:1100]

pytestmark = pytest.mark.filterwarnings("ignore::wakesleep.PoorFitWarning")  # which such machines deserve


@pytest.fixture
def path(tmp_path):
    return tmp_path / "machine.npz"


# ---- schedules ----


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_step_has_the_rates_of_the_schedule(schedule):
    machine = small(schedule=schedule, learning_rate=(0.3, 0.2)).fit(ROWS)
    begun = small(n_iter=0).fit(ROWS)._state
    flat, position = begun.parameters.flat.copy(), np.zeros(3, np.int64)
    for epoch in range(3):
        for factor in schedules.factors(schedules.parse(schedule), epoch, 5, 3).tolist():
            rates = 0.3 * factor, 0.2 * factor
            train(twin, flat, (64, 5, 3), begun.methods, ROWS.words, position, 7, 32, 1, rates, Rule())
    assert machine._state.parameters.flat.tobytes() == flat.tobytes()
    assert learned(machine) != learned(small(learning_rate=(0.3, 0.2)).fit(ROWS))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n_steps", [1, 5, 8, 13])
def test_under_every_schedule_stopped_saved_and_resumed_is_never_having_stopped(path, schedule, n_steps):
    whole = small(schedule=schedule).fit(ROWS)
    machine = through_a_file(stopped(small(schedule=schedule), ROWS, n_steps), path)
    assert learned(machine.fit(ROWS, resume=True)) == learned(whole)
    assert measured(machine) == measured(whole)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_under_every_schedule_n_partial_fits_are_one_fit(schedule):
    machine = small(schedule=schedule)
    for _ in range(3):
        machine.partial_fit(ROWS)
    assert learned(machine) == learned(small(schedule=schedule).fit(ROWS))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("weights", [(1, 0), (0, 1), (0.25, 0.75)])
@pytest.mark.parametrize("sleep_steps", [1, 3])
def test_every_epoch_has_its_sleep_weight(weights, optimizer, sleep_steps):
    how = {"rule": "reweighted", "n_particles": 3, "optimizer": optimizer, "learning_rate": 0.1}
    how["sleep_steps"] = sleep_steps
    machine = small(sleep_weight=weights, **how).fit(ROWS)
    begun = small(n_iter=0, **how).fit(ROWS)._state
    flat, position = begun.parameters.flat.copy(), np.zeros(3, np.int64)
    moments, updates = np.zeros((MOMENTS[optimizer], flat.size), np.float32), np.zeros(2, np.int64)
    for weight in (weights[0], sum(weights) / 2, weights[1]):
        rule = Rule("reweighted", 3, weight, sleep_steps)
        batches = flat, (64, 5, 3), begun.methods, ROWS.words, position, 7, 32, 5, (0.1, 0.1), rule
        train(twin, *batches, Optimizer(optimizer), moments, updates)
    assert machine._state.parameters.flat.tobytes() == flat.tobytes()
    assert learned(machine) != learned(small(sleep_weight=weights[0], **how).fit(ROWS))


@pytest.mark.parametrize("n_steps", [1, 5, 8, 13])
def test_with_a_pair_of_sleep_weights_stopped_saved_and_resumed_is_never_having_stopped(path, n_steps):
    how = {"rule": "reweighted", "sleep_weight": (1.0, 0.25), "optimizer": "adam"}
    whole = small(**how).fit(ROWS)
    machine = through_a_file(stopped(small(**how), ROWS, n_steps), path)
    assert machine.sleep_weight == (1.0, 0.25)
    assert learned(machine.fit(ROWS, resume=True)) == learned(whole)


def test_a_pair_of_equal_sleep_weights_is_the_number():
    how = {"rule": "reweighted"}
    assert learned(small(sleep_weight=(0.3, 0.3), **how).fit(ROWS)) == learned(small(sleep_weight=0.3, **how).fit(ROWS))


def test_the_schedule_is_that_of_n_iter_and_not_of_the_call():
    machine = small(schedule="linear", n_iter=2).fit(ROWS).set_params(n_iter=3)
    assert learned(machine.fit(ROWS, resume=True)) != learned(small(schedule="linear").fit(ROWS))
    machine = small(schedule="decay:factor=0.5", n_iter=2).fit(ROWS).set_params(n_iter=3)
    assert learned(machine.fit(ROWS, resume=True)) == learned(small(schedule="decay:factor=0.5").fit(ROWS))


# ---- early stopping ----


def log_p(machine):
    return [entry["log_likelihood"] for entry in machine.history_]


@pytest.fixture(scope="module")
def overfitted():
    return small(**OVERFITS).fit(X, validation=HELD_OUT)


def test_training_stops_when_nothing_has_got_better_and_the_best_comes_back(overfitted):
    values = log_p(overfitted)
    best = int(np.argmax(values)) + 1
    assert len(values) == overfitted.n_iter_ == best + 3 < 40, "this test has no power"
    assert overfitted.best_epoch_ == best > 1
    assert overfitted.step_ == 12 * overfitted.n_iter_
    of_best = small(**OVERFITS | {"patience": None, "n_iter": best}).fit(X)
    assert learned(overfitted)[0] == learned(of_best)[0]
    assert overfitted.score(HELD_OUT, n_particles=100) == values[best - 1]
    np.testing.assert_array_equal(overfitted.transform(X), of_best.transform(X))


def test_the_best_comes_back_also_at_the_end():
    machine = small(**OVERFITS | {"patience": 100, "n_iter": 12}).fit(X, validation=HELD_OUT)
    assert machine.n_iter_ == len(machine.history_) == 12
    assert machine.best_epoch_ == int(np.argmax(log_p(machine))) + 1 < 12
    assert machine.score(HELD_OUT, n_particles=100) == max(log_p(machine))


@pytest.mark.parametrize("n_steps", [1, 12, 13, 100, 108, 109, 130, 143])
def test_stopped_saved_and_resumed_with_patience_is_never_having_stopped(path, overfitted, n_steps):
    machine = stopped(small(**OVERFITS), X, n_steps, validation=HELD_OUT)
    for one in (through_a_file(machine, path), machine):
        one.fit(X, validation=HELD_OUT, resume=True)
        assert learned(one) == learned(overfitted)
        assert one.best_epoch_ == overfitted.best_epoch_
        assert measured(one) == measured(overfitted)


def test_the_moments_of_both_states_are_kept(path):
    how = OVERFITS | {"optimizer": "adam", "learning_rate": 0.05, "rule": "reweighted", "n_iter": 60}
    whole = small(**how).fit(X, validation=HELD_OUT)
    assert 1 < whole.best_epoch_ < whole.n_iter_ < 60, "this test has no power"
    loaded = through_a_file(whole, path)
    for state, other in ((whole._state, loaded._state), (whole._aside, loaded._aside)):
        assert len(state.moments) == 2
        assert state.moments.tobytes() == other.moments.tobytes()
    assert whole._state.moments.tobytes() != whole._aside.moments.tobytes()
    machine = through_a_file(stopped(small(**how), X, 12 * whole.best_epoch_ + 13, validation=HELD_OUT), path)
    assert learned(machine.fit(X, validation=HELD_OUT, resume=True)) == learned(whole)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("at", [1, 9, 10, 12])
def test_stopped_while_it_measures_it_measures_when_it_goes_on(path, monkeypatch, overfitted, error, at):
    machine, measure = small(**OVERFITS), monitor.measure

    def interrupted(state, *args):
        if state.epoch == at:
            raise error
        return measure(state, *args)

    with monkeypatch.context() as patched:
        patched.setattr(monitor, "measure", interrupted)
        with pytest.raises(error):
            machine.fit(X, validation=HELD_OUT)
    assert machine.n_iter_ == len(machine.history_) == at
    seen = []
    machine = through_a_file(machine, path).fit(X, validation=HELD_OUT, resume=True, callbacks=[seen.append])
    assert learned(machine) == learned(overfitted)
    assert measured(machine) == measured(overfitted)
    assert seen == machine.history_[at - 1 :]


def test_more_patience_or_more_epochs_go_on_from_the_last_epoch_and_not_from_the_best(path, overfitted):
    params = OVERFITS | {"patience": 8}
    patient = small(**params).fit(X, validation=HELD_OUT)
    machine = through_a_file(overfitted, path)
    assert machine.n_iter_ == overfitted.n_iter_ < patient.n_iter_
    before = everything(machine)
    assert learned(machine.fit(X, validation=HELD_OUT, resume=True)) == learned(overfitted)  # there is nothing to do
    assert everything(machine) == before
    machine.set_params(patience=8).fit(X, validation=HELD_OUT, resume=True)
    assert learned(machine) == learned(patient)
    assert measured(machine) == measured(patient)
    short = small(**params | {"n_iter": overfitted.n_iter_}).fit(X, validation=HELD_OUT)
    short.set_params(n_iter=40).fit(X, validation=HELD_OUT, resume=True)
    assert learned(short) == learned(patient)


def test_without_patience_a_resumed_machine_goes_on_from_its_last_epoch(overfitted, path):
    machine = through_a_file(overfitted, path).set_params(patience=None, n_iter=overfitted.n_iter_ + 2)
    plain = small(**OVERFITS | {"patience": None, "n_iter": overfitted.n_iter_ + 2}).fit(X)
    assert learned(machine.fit(X, resume=True)) == learned(plain)
    assert machine.best_epoch_ == machine.n_iter_


def test_an_epoch_that_ended_without_held_out_rows_is_not_measured_later():
    """Its parameters are gone where the next one has begun."""
    machine = stopped(small(), ROWS, 7).fit(ROWS, validation=DIGITS[200:300], resume=True)
    assert ["log_likelihood" in entry for entry in machine.history_] == [False, True, True]


def test_a_pass_after_half_an_epoch_is_another_epoch():
    machine = stopped(small(), ROWS, 7).partial_fit(ROWS)
    assert (machine.n_iter_, machine.step_) == (3, 7 + 5)
    other = stopped(small(), ROWS, 5).partial_fit(ROWS)
    assert (other.n_iter_, other.step_) == (2, 5 + 5)


def test_partial_fit_goes_on_from_the_best(overfitted, path):
    machine = through_a_file(overfitted, path)
    best, n_iter = machine._state.parameters.flat.copy(), machine.n_iter_
    machine.set_params(learning_rate=1e-12).partial_fit(X)
    np.testing.assert_allclose(machine._state.parameters.flat, best, rtol=0, atol=1e-9)
    assert machine.n_iter_ == machine.best_epoch_ == n_iter + 1


@pytest.mark.parametrize("resume", [False, True])
def test_patience_without_held_out_rows_is_refused(overfitted, path, resume):
    machine = through_a_file(overfitted, path)
    before = everything(machine)
    with pytest.raises(ValueError, match=r"^validation: want held-out rows.* because patience needs them, got None"):
        machine.fit(X, resume=resume)
    assert everything(machine) == before


@pytest.mark.filterwarnings("ignore::wakesleep.SampleSizeWarning")
def test_diverging_with_patience_keeps_the_last_finite_parameters():
    params = {"learning_rate": 4e38, "batch_size": 20, "random_state": 3, "hidden_layer_sizes": (4, 3)}
    rows = np.random.default_rng(0).random((60, 7)) < 0.4
    machine = HelmholtzMachine(n_iter=1000, patience=1000, **params)
    with pytest.raises(DivergenceError):
        machine.fit(rows, validation=rows)
    assert machine.n_iter_ == len(machine.history_) < 1000
    assert machine.step_ >= 3 * machine.n_iter_
    assert np.isfinite(machine._state.parameters.flat).all()


def test_ended_by_a_callback_the_best_comes_back(overfitted):
    end = overfitted.best_epoch_ + 2
    machine = small(**OVERFITS).fit(X, validation=HELD_OUT, callbacks=[lambda entry: entry["epoch"] == end])
    assert learned(machine)[0] == learned(overfitted)[0]
    assert machine.n_iter_ == end


# ---- held-out shares ----


@pytest.mark.parametrize("share", [0.2, 0.29, 0.5, np.float32(0.25), Fraction(1, 4)])
def test_a_share_holds_out_rows_chosen_by_the_seed(share):
    machine, n = small().fit(ROWS, validation=share), round(130 * float(share))
    order = _core.epoch_order(7, 2**32, 130)
    assert not np.array_equal(order[:n], np.arange(n))
    other = small().fit(ROWS[np.sort(order[n:])], validation=ROWS[order[:n]])
    assert learned(machine) == learned(other)
    assert measured(machine) == measured(other)


def test_with_a_share_stopped_and_resumed_is_never_having_stopped(path):
    whole = small(random_state=None).fit(ROWS, validation=0.2)
    whole = small(random_state=whole._state.seed).fit(ROWS, validation=0.2)
    machine = through_a_file(stopped(small(random_state=whole._state.seed), ROWS, 6, validation=0.2), path)
    machine.fit(ROWS, validation=0.2, resume=True)
    assert learned(machine) == learned(whole)
    assert measured(machine) == measured(whole)


@pytest.mark.parametrize(
    ("share", "fault"),
    [(0.0, "between 0 and 1, got 0"), (1.0, "got 1"), (-0.5, "got -0.5"), (np.nan, "got nan"), (True, "got True"),
     (10**400, "got 1000"), (0.001, "want a share of the 130 rows .* such as 0.5, got 0.001, which holds out 0"),
     (0.999, "got 0.999, which holds out 130"), (Fraction(1, 1000), "got 0.001, which holds out 0"),
     (Fraction(3, 2), "between 0 and 1, got 3/2")],
)  # fmt: skip
def test_a_share_that_holds_out_none_or_all_is_refused(share, fault):
    machine = small()
    with pytest.raises(ValueError, match=f"^validation: .*{fault}"):
        machine.fit(ROWS, validation=share)
    assert vars(machine) == small().get_params()


def test_of_one_row_none_is_held_out():
    with pytest.raises(ValueError, match=r"^validation: want 2 rows or more to hold some of them out, got 1$"):
        small().fit(ROWS[:1], validation=0.5)


@pytest.mark.parametrize(("held_out", "told"), [(DIGITS[:900], "900 of 900 held-out rows"), (None, "1,000"),
                                                 (DIGITS[:1500], "1,000 of 1,500 held-out rows")])  # fmt: skip
def test_how_many_rows_are_measured_is_told(held_out, told):
    begin = f"2,000 rows to learn from; {told} measured after each epoch; levels 64-5-3\n"
    assert monitor.heading((64, 5, 3), 2000, held_out).startswith(begin)


@pytest.mark.parametrize(
    ("seconds", "error", "told"),
    [(0.012345, None, "0.0123 -"), (99.72, 0.0, "99.7 0.000"), (999.4, 0.25, "999 0.250"), (1234.6, 7, "1,235 7.000")],
)
def test_a_line_of_the_table_has_three_digits_of_the_seconds_and_the_error_if_there_is_one(seconds, error, told):
    entry = {"epoch": 3, "seconds": seconds, "rows_per_second": 12345.6, "reconstruction_cross_entropy": 9.0}
    entry |= {"log_likelihood": -10.0, "standard_error": error, "n_particles": 100}
    duration, error = told.split()
    assert monitor.line(entry).split() == ["3", duration, "12,346", "9.000", "-10.000", error, "100"]


def _broken_rule(log_w):
    raise RuntimeError("a rule of its own")


@pytest.mark.parametrize(("rule", "error"), [(lambda log_w: None, ValueError), (_broken_rule, RuntimeError)])
def test_a_fit_that_learns_nothing_leaves_a_fitted_machine_as_it_was(rule, error):
    machine = HelmholtzMachine((3,), n_iter=2, batch_size=5, random_state=0).fit(ROWS)
    before, history = learned(machine), list(machine.history_)
    with pytest.raises(error, match="rule"):
        machine.set_params(rule=rule).fit(ROWS)
    assert learned(machine) == before
    assert (machine.n_iter_, machine.history_) == (2, history)
