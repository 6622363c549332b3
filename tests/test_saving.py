"""A machine that is stopped at any moment, saved and loaded goes on as if nothing had happened."""

import copy
from fractions import Fraction

import numpy as np
import pytest
from machines import (
    DIGITS,
    ROWS,
    everything,
    learned,
    measured,
    random_machine,
    random_rows,
    small,
    stopped,
    through_a_file,
)

from wakesleep import Bits, HelmholtzMachine, _packing, checkpoint, monitor, training
from wakesleep.rows import Selection, fingerprint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "machine.npz"


# ---- what goes in comes out ----


@pytest.mark.parametrize("sizes", [(64, 5), (64, 5, 3), (1, 1), (70, 6, 5, 4)], ids=str)
def test_a_loaded_machine_is_the_machine_that_was_saved(path, sizes):
    machine = random_machine(sizes, random_state=2**64 - 1).partial_fit(random_rows(20, sizes[0]))
    before = everything(machine)
    loaded = through_a_file(machine, path)
    assert everything(machine) == before
    assert learned(loaded) == learned(machine)
    assert loaded.history_ == machine.history_
    assert loaded.get_params() == machine.get_params()
    X = random_rows(30, sizes[0], seed=1)
    np.testing.assert_array_equal(loaded.transform(X), machine.transform(X))
    np.testing.assert_array_equal(loaded.sample(30), machine.sample(30))
    np.testing.assert_array_equal(
        loaded.score_samples(X, method="importance"), machine.score_samples(X, method="importance")
    )
    again = path.with_name("again.npz")
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "params",
    [
        *({"hidden_layer_sizes": [5, 3]}, {"hidden_layer_sizes": np.array([5, 3])}, {"hidden_layer_sizes": 4}),
        *({"learning_rate": [0.1, 0.2]}, {"learning_rate": (0.1, 0.2)}, {"learning_rate": np.float32(0.1)}),
        *({"batch_size": np.int64(9), "n_iter": np.uint8(2)}, {"binarize": None}, {"binarize": np.float64(0.5)}),
        *({"n_threads": 2, "n_particles": 2, "initial_biases": "zero"}, {"random_state": np.uint64(2**64 - 1)}),
    ],
    ids=str,
)
def test_all_kinds_of_parameters_come_back(path, params):
    machine = small(**params).fit(ROWS)
    loaded = through_a_file(machine, path)
    for name, value in machine.get_params().items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    assert learned(loaded.fit(ROWS)) == learned(machine)


def test_of_a_fraction_the_float_is_kept_that_it_was_in_training(path):
    fractions = {"learning_rate": (Fraction(1, 10), Fraction(1, 7)), "sleep_weight": Fraction(1, 3), "clip_norm": 1}
    machine = small(**fractions, rule="reweighted", binarize=Fraction(1, 2)).fit(ROWS)
    loaded = through_a_file(machine, path)
    assert loaded.learning_rate == (0.1, 1 / 7)
    assert (loaded.sleep_weight, loaded.clip_norm, loaded.binarize) == (1 / 3, 1, 0.5)
    assert learned(loaded.partial_fit(ROWS)) == learned(machine.partial_fit(ROWS))


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
def test_of_a_generator_the_seed_is_kept(path, kind):
    machine = small(random_state=kind(5)).fit(ROWS)
    before = everything(machine)
    loaded = through_a_file(machine, path)
    assert everything(machine) == before
    assert isinstance(loaded.random_state, int)
    assert learned(copy.copy(loaded).fit(ROWS)) == learned(machine)
    assert learned(loaded.partial_fit(ROWS)) == learned(machine.partial_fit(ROWS))


def test_without_a_seed_the_machine_still_goes_on_as_it_would_have(path):
    machine = small(random_state=None).fit(ROWS)
    loaded = through_a_file(machine, path)
    assert loaded.random_state is None
    np.testing.assert_array_equal(loaded.sample(30), machine.sample(30))
    assert learned(loaded.partial_fit(ROWS)) == learned(machine.partial_fit(ROWS))


def test_the_history_comes_back_where_a_single_row_has_no_standard_error(path):
    machine = small(n_iter=1).fit(ROWS, validation=DIGITS[:1])
    np.testing.assert_equal(through_a_file(machine, path).history_, machine.history_)


@pytest.mark.parametrize("params", [{"n_iter": -1}, {"rule": "sleep-wake"}, {"hidden_layer_sizes": (3, 5)}], ids=str)
def test_what_load_would_refuse_is_not_saved(path, params):
    machine = small().fit(ROWS)
    machine.save(path)
    before = path.read_bytes()
    (name,) = params
    with pytest.raises(ValueError, match=f"^{name}: want"):
        machine.set_params(**params).save(path)
    assert path.read_bytes() == before


def test_arguments_newer_than_the_file_take_their_defaults(path):
    machine = small(patience=None, gamma=0.5, schedule="linear").fit(ROWS)
    machine.save(path)
    arrays, manifest = checkpoint.load(path)
    del manifest["params"]["gamma"], manifest["params"]["schedule"]
    checkpoint.save(path, arrays, manifest)
    loaded = HelmholtzMachine.load(path)
    assert loaded.get_params() == machine.get_params() | {"gamma": 1.0, "schedule": "constant"}
    assert learned(loaded) == learned(machine)


def test_arguments_that_there_are_not_are_refused(path):
    small().fit(ROWS).save(path)
    arrays, manifest = checkpoint.load(path)
    manifest["params"]["temperature"] = 1.0
    checkpoint.save(path, arrays, manifest)
    with pytest.raises(checkpoint.CheckpointError, match=r"params: want .* got also \['temperature'\]"):
        HelmholtzMachine.load(path)


def test_a_subclass_loads_as_itself(path):
    class Mine(HelmholtzMachine):
        pass

    small().fit(ROWS).save(path)
    assert type(Mine.load(path)) is Mine


# ---- stopped at any moment ----


def stop_after(n_records):
    """A training loop that ends like one under Ctrl-C, after so many records."""
    train = training.train

    def stopped(*args, **kwargs):
        records = train(*args, **kwargs)
        for _ in range(n_records):
            yield next(records)
        raise KeyboardInterrupt

    return stopped


def interrupted(machine, X, monkeypatch, n_steps, **how):
    """Fit, and stop after so many minibatches."""
    with monkeypatch.context() as patched:
        patched.setattr(training, "SECONDS_PER_CALL", 0)  # one minibatch per record
        patched.setattr(training, "train", stop_after(n_steps))
        with pytest.raises(KeyboardInterrupt):
            machine.fit(X, **how)
    return machine


@pytest.mark.parametrize("random_state", [7, np.random.default_rng(3)], ids=["seed", "generator"])
@pytest.mark.parametrize("n_steps", [1, 4, 5, 7, 14])
def test_stopped_saved_and_resumed_is_never_having_stopped(path, monkeypatch, n_steps, random_state):
    whole = small(random_state=copy.deepcopy(random_state)).fit(ROWS, validation=ROWS)
    machine = small(random_state=copy.deepcopy(random_state))
    interrupted(machine, ROWS, monkeypatch, n_steps, validation=ROWS)
    assert (machine.step_, machine.n_iter_, len(machine.history_)) == (n_steps, n_steps // 5, n_steps // 5)
    loaded = through_a_file(machine, path)
    assert learned(loaded) == learned(machine)
    for one in (loaded, machine):
        one.fit(ROWS, resume=True, validation=ROWS)
        assert learned(one) == learned(whole)
        assert measured(one) == measured(whole)


def test_stopped_after_every_minibatch_is_never_having_stopped(path, monkeypatch):
    machine, whole = small(n_iter=2), small(n_iter=2).fit(ROWS)
    for n_steps in range(1, 10):
        interrupted(machine, ROWS, monkeypatch, 1, resume=True)
        machine = through_a_file(machine, path)
        assert machine.step_ == n_steps
    assert learned(machine.fit(ROWS, resume=True)) == learned(whole)
    assert measured(machine) == measured(whole)


def test_resuming_with_another_seed_would_be_noticed(path, monkeypatch):
    machine = interrupted(small(), ROWS, monkeypatch, 7)
    machine.save(path)
    arrays, manifest = checkpoint.load(path)
    manifest["state"]["seed"] += 1
    checkpoint.save(path, arrays, manifest)
    assert learned(HelmholtzMachine.load(path).fit(ROWS, resume=True)) != learned(small().fit(ROWS))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_callback_that_raises_stops_after_its_epoch(path, epoch, error):
    machine = small()

    def stop(entry):
        if entry["epoch"] == epoch:
            machine.save(path)
            raise error("enough")

    with pytest.raises(error, match="enough"):
        machine.fit(ROWS, callbacks=[stop])
    assert machine.n_iter_ == len(machine.history_) == epoch
    done = small(n_iter=epoch).fit(ROWS)
    assert (learned(machine), measured(machine)) == (learned(done), measured(done))
    np.testing.assert_array_equal(machine.transform(ROWS), done.transform(ROWS))
    for one in (machine, HelmholtzMachine.load(path)):
        assert learned(one.fit(ROWS, resume=True)) == learned(small().fit(ROWS))
        assert measured(one) == measured(small().fit(ROWS))


def test_stopped_while_it_measures_a_machine_still_has_every_epoch_in_its_history(monkeypatch):
    def measure(*args):
        raise KeyboardInterrupt

    machine = small().partial_fit(ROWS)
    with monkeypatch.context() as patched:
        patched.setattr(monitor, "measure", measure)
        with pytest.raises(KeyboardInterrupt):
            machine.fit(ROWS, resume=True, validation=ROWS)
    assert [entry["epoch"] for entry in machine.fit(ROWS, resume=True).history_] == [1, 2, 3]


def test_partial_fit_after_a_stop_begins_a_whole_pass(monkeypatch):
    machine = interrupted(small(), ROWS, monkeypatch, 7)
    machine.partial_fit(ROWS)
    assert (machine.step_, machine.n_iter_) == (12, 3)


# ---- and then goes on with something else ----

OTHER = DIGITS[1000:1130]


@pytest.mark.parametrize(
    ("begun_with", "X", "validation", "message"),
    [
        (0.2, ROWS, 0.5, "validation: want the 26 rows that have been held out, got 65 others"),
        (0.2, OTHER, 0.2, "validation: want the 26 rows that have been held out, got 26 others"),
        (0.2, ROWS, OTHER, "validation: want the 26 rows that have been held out, got 130 others"),
        (0.2, ROWS, None, "X: want the 104 rows that training began with, got 130 others"),
        (OTHER, ROWS, OTHER[1:], "validation: want the 130 rows that have been held out, got 129 others"),
        (OTHER, ROWS, OTHER[::-1], "validation: want the 130 rows that have been held out, got 130 others"),
        (OTHER, OTHER, OTHER, "X: want the 130 rows that training began with, got 130 others"),
        (None, ROWS[:64], None, "X: want the 130 rows that training began with, got 64 others"),
        (None, ROWS[::-1], None, "X: want the 130 rows that training began with, got 130 others"),
        (None, ROWS, 0.2, "X: want the 130 rows that training began with, got 104 others, 26 of X being held out"),
    ],
)
def test_training_goes_on_with_the_rows_that_it_began_with(path, begun_with, X, validation, message):
    machine = stopped(small(), ROWS, 7, validation=begun_with)
    for one in (machine, through_a_file(machine, path)):
        before = everything(one)
        with pytest.raises(ValueError, match=f"^{message}$"):
            one.fit(X, validation=validation, resume=True)
        assert everything(one) == before


def test_probabilities_are_told_apart_too():
    grey = np.random.default_rng(0).random((40, 9))
    machine = stopped(small(binarize="sample"), grey, 1, validation=grey[:5])
    other = grey.copy()
    other[7, 3] = 0.123
    with pytest.raises(ValueError, match=r"^X: want the 40 rows that training began with, got 40 others"):
        machine.fit(other, validation=grey[:5], resume=True)
    with pytest.raises(ValueError, match=r"^validation: want the 5 rows that have been held out, got 6 others"):
        machine.fit(grey, validation=grey[:6], resume=True)
    machine.fit(grey.tolist(), validation=grey[:5].tolist(), resume=True)


def test_a_fingerprint_is_that_of_all_rows_however_many_are_read_at_a_time(monkeypatch):
    whole = fingerprint(ROWS)
    monkeypatch.setattr(_packing, "BLOCK_BYTES", 2000)
    assert fingerprint(ROWS) == whole


def test_the_same_rows_in_another_form_are_the_same(path):
    whole = small().fit(ROWS, validation=OTHER)
    machine = through_a_file(stopped(small(), ROWS.to_dense(), 7, validation=OTHER.to_dense()), path)
    machine.fit(Selection(DIGITS, np.arange(130)), validation=OTHER.to_dense().tolist(), resume=True)
    assert learned(machine) == learned(whole)
    gappy = Bits.from_dense([np.full(64, np.nan), *ROWS.to_dense()], missing="marginalise")
    assert fingerprint(gappy[1:]) == fingerprint(ROWS), "no cell of these is missing"


def test_held_out_rows_may_be_left_out_for_a_while_or_come_later(path):
    machine = stopped(small(), ROWS, 7, validation=OTHER)
    stopped(machine, ROWS, 8, resume=True)
    machine = through_a_file(machine, path)
    with pytest.raises(ValueError, match=r"^validation: want the 130 rows"):
        machine.fit(ROWS, validation=ROWS, resume=True)
    assert learned(machine.fit(ROWS, validation=OTHER, resume=True)) == learned(small().fit(ROWS))
    later = stopped(small(), ROWS, 7)
    stopped(later, ROWS, 8, validation=OTHER, resume=True)
    with pytest.raises(ValueError, match=r"^validation: want the 130 rows"):
        later.fit(ROWS, validation=ROWS, resume=True)


def test_a_fit_that_begins_anew_and_partial_fit_take_other_rows():
    machine = stopped(small(), ROWS, 7, validation=0.2)
    assert learned(copy.deepcopy(machine).fit(OTHER, validation=0.5)) == learned(small().fit(OTHER, validation=0.5))
    machine.partial_fit(OTHER).fit(OTHER[:50], validation=0.5, resume=True)
    with pytest.raises(ValueError, match=r"^validation: want the 25 rows"):
        machine.fit(OTHER[:50], validation=0.2, resume=True)


def test_a_fit_that_learned_nothing_was_given_nothing():
    def broken(log_w):
        raise ArithmeticError

    machine = random_machine((64, 5, 3))
    with pytest.raises(ArithmeticError):
        machine.set_params(rule=broken).fit(ROWS)
    assert machine.set_params(rule="wake-sleep", n_iter=1).fit(OTHER, resume=True).n_iter_ == 1


def test_where_it_is_not_known_what_training_began_with_rows_must_be_enough_for_the_epoch(path):
    stopped(small(), ROWS, 7).save(path)
    arrays, manifest = checkpoint.load(path)
    del manifest["data"]
    checkpoint.save(path, arrays, manifest)
    machine = HelmholtzMachine.load(path)
    before = everything(machine)
    with pytest.raises(ValueError, match="X: want the rows of the epoch to resume, of which 64 are done, got only 64"):
        machine.fit(ROWS[:64], resume=True)
    assert everything(machine) == before
    assert learned(machine.fit(ROWS, resume=True)) == learned(small().fit(ROWS))


def test_the_environment_is_not_the_machine(path, monkeypatch):
    machine = small().fit(ROWS)
    monkeypatch.setenv("WAKESLEEP_NUM_THREADS", "many")
    assert learned(through_a_file(machine, path)) == learned(machine)
