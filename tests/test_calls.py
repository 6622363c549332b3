"""A call that trains changes all that it should, or nothing, wherever it ends; and one call at a time does."""

import copy
import sys
import threading

import pytest
from machines import DIGITS, ROWS, everything, learned, measured, small

from wakesleep import learner, rules, training

X = DIGITS[:60]
PATIENT = {"hidden_layer_sizes": (4,), "batch_size": 20, "n_iter": 4, "learning_rate": 2.0, "patience": 2}
TRAINS = {
    "fit": lambda machine: machine.fit(X, validation=0.3),
    "resume": lambda machine: machine.fit(X, validation=0.3, resume=True),
    "partial_fit": lambda machine: machine.partial_fit(X),
}
every_way = pytest.mark.parametrize("train", TRAINS.values(), ids=TRAINS.keys())
ERRORS = ArithmeticError, MemoryError, KeyboardInterrupt, SystemExit
every_error = pytest.mark.parametrize("error", ERRORS)


def rule_that_raises(error, at=1):
    """A rule that raises when it is asked for the n-th time."""
    asked = iter(range(1, at))

    def rule(log_w):
        if next(asked, None) is None:
            raise error
        return rules.reweighted(log_w)

    return rule


# ---- a call that learns nothing ----


@every_way
@every_error
def test_a_first_call_that_learns_nothing_leaves_a_machine_unfitted(train, error):
    machine = small(rule=rule_that_raises(error))
    before = machine.get_params()
    with pytest.raises(error):
        train(machine)
    assert vars(machine) == before


@every_way
@every_error
@pytest.mark.parametrize("patience", [None, 2])
def test_a_call_that_learns_nothing_leaves_a_fitted_machine_as_it_was(train, error, patience):
    machine = small(**PATIENT | {"patience": patience}).fit(X, validation=0.3).set_params(n_iter=9, patience=9)
    assert patience is None or machine.best_epoch_ < machine.n_iter_, "this test has no power"
    before, state = everything(machine), machine._state
    with pytest.raises(error):
        train(machine.set_params(rule=rule_that_raises(error)))
    assert everything(machine.set_params(rule="wake-sleep")) == before
    assert machine._state is state


@every_way
@every_error
def test_stopped_before_it_begins_a_call_changes_nothing(monkeypatch, train, error):
    def stop(*args, **how):
        raise error

    machine = small().fit(X, validation=0.3).set_params(n_iter=9)
    before = everything(machine)
    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(error):
        train(machine)
    assert everything(machine) == before


@every_way
@every_error
def test_what_a_call_has_learned_before_it_fails_is_kept(monkeypatch, train, error):
    monkeypatch.setattr(training, "SECONDS_PER_CALL", 0)  # one minibatch per record
    machine = small(n_iter=1).fit(X, validation=0.3)
    assert machine.step_ == 2
    begun, at = machine._state.parameters, 3 if train is TRAINS["fit"] else 2  # anew, as many steps as it had before
    with pytest.raises(error):
        train(machine.set_params(rule=rule_that_raises(error, at), n_iter=9))
    assert machine._state.parameters is not begun
    assert machine.step_ == (2 if train is TRAINS["fit"] else 3)


# ---- a call that ends anywhere ----


def interrupted_at(number, machine, **how):
    """Fit, and raise KeyboardInterrupt at the n-th line that the learner runs.  Returns the line; None if it ends."""
    seen, where = 0, None

    def trace(frame, event, arg):
        nonlocal seen, where
        code = frame.f_code
        if code.co_filename != learner.__file__ or code.co_name == "call":  # which undoes what is interrupted
            return None
        seen += event == "line"
        if event == "line" and seen == number:
            where = f"{code.co_name}, line {frame.f_lineno}"
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        machine.fit(X, validation=0.3, callbacks=[(lambda entry: None, 2)], **how)
    except KeyboardInterrupt:
        return where
    finally:
        sys.settrace(before)
    return None


@pytest.mark.parametrize("fitted", [False, True])
def test_interrupted_at_any_line_a_machine_is_as_it_was_or_goes_on_as_if_it_never_had_been(fitted, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_PER_CALL", 1e9)
    whole = small(**PATIENT).fit(X, validation=0.3)
    old = small(**PATIENT).fit(X[:40], validation=0.3) if fitted else small(**PATIENT)
    kept, number = 0, 0
    while True:
        number += 1
        machine = copy.deepcopy(old)
        where = interrupted_at(number, machine)
        if where is None:
            break
        if everything(machine) == everything(old):
            continue
        kept += 1
        machine = copy.deepcopy(machine).fit(X, validation=0.3, resume=True)
        assert learned(machine) == learned(whole), where
        assert measured(machine) == measured(whole), where
        assert machine.best_epoch_ == whole.best_epoch_, where
    assert number > kept > 50, "this test has no power"


# ---- one call at a time ----


@every_way
def test_a_callback_cannot_train_the_machine_that_calls_it(train):
    machine, refused = small(), []

    def meddle(entry):
        with pytest.raises(RuntimeError, match=r"^(partial_)?fit: want one training of a machine at a time, got a sec"):
            train(machine)
        refused.append(entry)

    machine.fit(ROWS, callbacks=[meddle, (meddle, 2)])
    assert len(refused) == 3 + 7
    assert (learned(machine), measured(machine)) == (learned(small().fit(ROWS)), measured(small().fit(ROWS)))


def test_neither_can_a_rule():
    def rule(log_w):
        machine.partial_fit(ROWS)

    machine = small(rule=rule)
    with pytest.raises(RuntimeError, match=r"^partial_fit: want one training of a machine at a time"):
        machine.fit(ROWS)
    assert vars(machine) == machine.get_params()
    assert learned(machine.set_params(rule="wake-sleep").fit(ROWS)) == learned(small().fit(ROWS))


def test_a_callback_can_train_a_copy():
    copies = []
    machine = small()
    machine.fit(ROWS, callbacks=[lambda entry: copies.append(copy.deepcopy(machine).partial_fit(ROWS))])
    assert [one.n_iter_ for one in copies] == [2, 3, 4]
    assert learned(machine) == learned(small().fit(ROWS))


def test_two_threads_cannot_train_the_same_machine():
    machine, begun, tried = small(), threading.Event(), threading.Event()

    def wait(entry):
        begun.set()
        assert tried.wait(60)

    thread = threading.Thread(target=machine.fit, args=(ROWS,), kwargs={"callbacks": [wait]})
    thread.start()
    assert begun.wait(60)
    with pytest.raises(RuntimeError, match=r"^fit: want one training of a machine at a time"):
        machine.fit(ROWS)
    tried.set()
    thread.join()
    assert measured(machine) == measured(small().fit(ROWS))
    assert learned(machine.partial_fit(ROWS)) == learned(small(n_iter=4).fit(ROWS))


@every_error
def test_a_call_that_failed_is_not_in_the_way_of_the_next(error):
    machine = small(rule=rule_that_raises(error, 3))
    with pytest.raises(error):
        machine.fit(ROWS)
    machine.set_params(rule="wake-sleep").fit(ROWS)
    assert not learner._at_work


# ---- copies ----


def test_a_copy_keeps_its_history():
    machine = small(n_iter=2).fit(ROWS, validation=X)
    shallow, before = copy.copy(machine), copy.deepcopy(machine.history_)
    machine.set_params(n_iter=3).fit(ROWS, validation=X, resume=True)
    assert shallow.history_ == before
    assert learned(shallow.set_params(n_iter=3).fit(ROWS, validation=X, resume=True)) == learned(machine)
    assert measured(shallow) == measured(machine)


def test_so_does_a_copy_that_a_callback_makes():
    machine, copies = small(), []
    machine.fit(ROWS, validation=X, callbacks=[lambda entry: copies.append(copy.copy(machine))])
    assert [one.history_ for one in copies] == [machine.history_[:epoch] for epoch in (1, 2, 3)]


def test_what_is_measured_later_is_not_written_into_a_copy():
    machine = small().fit(ROWS)
    shallow = copy.copy(machine)
    machine.fit(ROWS, validation=X, resume=True)
    assert "log_likelihood" in machine.history_[-1]
    assert "log_likelihood" not in shallow.history_[-1]
