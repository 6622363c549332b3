"""What is refused: the right class of error, a message that names the argument, and nothing changed."""

import copy
import re

import numpy as np
import pytest
from machines import ROWS, everything, random_machine, small

from wakesleep import CheckpointError, HelmholtzMachine

FITTED = small().fit(ROWS)
X = ROWS.to_dense()
NUMBER = 1e300  # no float32 holds it


@pytest.fixture
def fitted():
    return copy.deepcopy(FITTED)


def with_cell(value, dtype=object):
    """The rows with another value in row 1, column 2."""
    cells = X.astype(dtype)
    cells[1, 2] = value
    return cells


# ---- data ----

NO_DATA = {
    "a number": (5, ValueError, "Expected 2D array, got 0D array"),
    "a row": (X[0], ValueError, "Expected 2D array, got 1D array"),
    "an empty list": ([], ValueError, "Expected 2D array, got 1D array"),
    "3-D": (X[None], ValueError, "Expected 2D array, got 3D array"),
    "no rows": (X[:0], ValueError, r"Found array with 0 sample\(s\) \(shape=\(0, 64\)\)"),
    "no columns": (X[:, :0], ValueError, r"Found array with 0 feature\(s\) \(shape=\(130, 0\)\)"),
    "no rows of Bits": (ROWS[:0], ValueError, r"Found array with 0 sample\(s\) \(shape=\(0, 64\)\)"),
    "ragged": ([[0, 1], [1]], ValueError, "want an array, with rows of one length"),
    "NaN": (with_cell(np.nan, float), ValueError, "contains NaN at row 1, column 2"),
    "NaN of float32": (with_cell(np.nan, "f4"), ValueError, "contains NaN at row 1, column 2"),
    "infinity": (with_cell(np.inf, float), ValueError, "contains infinity at row 1, column 2"),
    "minus infinity": (with_cell(-np.inf, "f2"), ValueError, "contains infinity at row 1, column 2"),
    "NaN of objects": (with_cell(np.nan), ValueError, "contains NaN at row 1, column 2"),
    "an object": (with_cell(object()), TypeError, "want numbers, got objects that do not convert to float"),
    "a word": (with_cell("one"), ValueError, "want numbers, got objects that do not convert to float"),
    "a list": (with_cell({}), TypeError, "want numbers, got objects that do not convert to float"),
    "letters": ([["a", "b"]], ValueError, "want numbers, got dtype <U1"),
    "dates": (X.astype("M8[s]"), ValueError, r"want numbers, got dtype datetime64\[s\]"),
    "complex": (X * 1j, ValueError, "want real numbers, got complex128. Complex data not supported"),
}
TAKES_X = {
    "fit": lambda machine, X: machine.fit(X),
    "resume": lambda machine, X: machine.fit(X, resume=True),
    "partial_fit": lambda machine, X: machine.partial_fit(X),
    "fit_transform": lambda machine, X: machine.fit_transform(X),
    "validation": lambda machine, X: machine.fit(ROWS, validation=X),
    "transform": lambda machine, X: machine.transform(X),
    "reconstruct": lambda machine, X: machine.reconstruct(X),
    "score_samples": lambda machine, X: machine.score_samples(X),
    "score": lambda machine, X: machine.score(X),
    "reconstruction_cross_entropy": lambda machine, X: machine.reconstruction_cross_entropy(X),
}
takes_x = pytest.mark.parametrize("name", TAKES_X)


def refuses(machine, name, data, error, fault):
    """The method refuses the data, names the argument, and leaves the machine as it was."""
    before = everything(machine)
    argument = "validation" if name == "validation" else "X"
    with pytest.raises(error, match=rf"^{argument}:? .*{fault}"):
        TAKES_X[name](machine, data)
    assert everything(machine) == before


@takes_x
@pytest.mark.parametrize("wrong", NO_DATA.values(), ids=NO_DATA.keys())
def test_what_is_no_matrix_of_numbers_is_refused(fitted, name, wrong):
    if name == "validation" and wrong is NO_DATA["a number"]:
        wrong = 5, ValueError, "want a share of the rows between 0 and 1, got 5"
    refuses(fitted, name, *wrong)


@pytest.mark.parametrize("name", [name for name in TAKES_X if name != "validation"])
def test_none_is_no_data(fitted, name):
    refuses(fitted, name, None, ValueError, "want an array of 2 dimensions, got None")


@takes_x
@pytest.mark.parametrize("value", [2, -1, 0.5, 1 + 1e-9])
def test_what_is_not_binary_is_refused_where_it_must_be(fitted, name, value):
    fitted.set_params(binarize=None)
    refuses(fitted, name, with_cell(value, type(value)), ValueError, "contains .*binarize=None wants only 0 and 1")


@pytest.mark.parametrize("name", [name for name in TAKES_X if not name.startswith("fit")])
@pytest.mark.parametrize("data", [X[:, :63], np.zeros((3, 65)), ROWS.to_dense().T], ids=["63", "65", "130"])
def test_another_number_of_columns_is_refused_once_fitted(fitted, name, data):
    fault = f"has {data.shape[1]} features, but HelmholtzMachine is expecting 64 features"
    refuses(fitted, name, data, ValueError, fault)


@pytest.mark.parametrize("name", ["fit", "resume", "partial_fit", "fit_transform", "validation"])
def test_a_machine_that_is_refused_its_first_data_stays_unfitted(name):
    machine = small()
    with pytest.raises(ValueError, match="contains NaN"):
        TAKES_X[name](machine, with_cell(np.nan, float))
    assert vars(machine) == small().get_params()


@pytest.mark.parametrize("names", ["x", 3, ["a"], [["a"] * 64]], ids=["x", "3", "too few", "2-D"])
def test_names_that_are_not_one_for_each_feature_are_refused(fitted, names):
    with pytest.raises(ValueError, match=r"^input_features should have length equal .* \(64\), got shape \("):
        fitted.get_feature_names_out(names)


# ---- values of hidden units ----

NO_HIDDEN = {
    "None": (None, "want"),
    "a row": ([0.5, 0.5, 0.5], r"want shape \(n, 3\) for layer -1, got \(3,\)"),
    "too few": ([[0.5, 0.5]], r"want shape \(n, 3\) for layer -1, got \(1, 2\)"),
    "too many": (np.zeros((2, 5)), r"want shape \(n, 3\) for layer -1, got \(2, 5\)"),
    "3-D": (np.zeros((1, 2, 3)), r"want shape \(n, 3\) for layer -1, got \(1, 2, 3\)"),
    "ragged": ([[0, 1, 0], [1]], r"want numbers of shape \(n, 3\)"),
    "letters": ([["a", "b", "c"]], r"want numbers of shape \(n, 3\)"),
    "objects": ([[object(), 0, 0]], r"want numbers of shape \(n, 3\)"),
    "complex": ([[0.5j, 0, 0]], "want"),
    "NaN": ([[0, np.nan, 0]], "want finite numbers"),
    "infinity": ([[0, np.inf, 0]], "want finite numbers"),
    "beyond float32": ([[0, NUMBER, 0]], "want"),
    "complex array": (np.zeros((2, 3), complex), "want"),
    "more than 1": ([[0, 1, 1], [0, 1, 1.5]], "contains 1.5, where a .* from 0 to 1 is wanted, at row 1, column 2"),
    "less than 0": ([[0, -1, 1]], "contains -1.0, where a probability from 0 to 1 is wanted, at row 0, column 1"),
}


@pytest.mark.parametrize("wrong", NO_HIDDEN.values(), ids=NO_HIDDEN.keys())
def test_what_are_no_values_of_hidden_units_is_refused(fitted, wrong):
    H, fault = wrong
    before = everything(fitted)
    with pytest.raises((ValueError, TypeError), match=f"^H:? {fault}"):
        fitted.inverse_transform(H)
    assert everything(fitted) == before


@pytest.mark.parametrize("layer", [2, -3, 10**30, 1.0, True, "0", None, [0]], ids=repr)
def test_a_level_that_is_not_there_is_refused(fitted, layer):
    for call in (lambda: fitted.transform(X, layer=layer), lambda: fitted.inverse_transform([[1, 1, 1]], layer=layer)):
        with pytest.raises((ValueError, TypeError), match=r"^layer: want a hidden level from -2 to 1, got"):
            call()


# ---- hyper-parameters ----

NO_COUNT = [-1, 2**31, 10**30, 1.0, 1.5, True, np.True_, "1", [1], np.nan, 1j]
NO_RATE = [0, -0.1, np.nan, np.inf, "0.1", [], [0.1], (0.1, 0.1, 0.1), (0.1, 0), (0.1, None), 0.1j, True, 10**400]
NO_PARAMETERS = {
    "hidden_layer_sizes": [
        0,
        -1,
        True,
        1.5,
        None,
        "32",
        (),
        (0,),
        (3, -1),
        (3, 2**31),
        (3.0,),
        (True,),
        ("3",),
        ((3,),),
    ],
    "rule": ["sleep-wake", "Wake-Sleep", "", None, 5, ["wake-sleep"], b"wake-sleep"],
    "n_particles": [0, *NO_COUNT],
    "sleep_weight": [-0.1, 1.1, 0, np.nan, "1", True, [0.5], 1j, (1, 0), (0, 1), (1, 1.1), (1, 1, 1), (1, "1"), "1,1"],
    "sleep_steps": [0, None, *NO_COUNT],
    "gamma": [-0.1, 1.1, np.nan, 10**400, None, "1", True],
    "baseline": ["mean", "", None, 0, ["geometric"]],
    "weight_decay": [-0.1, np.inf, np.nan, None, "0", True],
    "clip_norm": [0, -1, np.inf, np.nan, "1", True, [1.0]],
    "frozen": ["prior_logits", None, {"prior_logits"}, ["prior"], ["generative.9.biases"], [0], [["prior_logits"]]],
    "optimizer": ["adam?", "", None, 5, ("sgd",)],
    "learning_rate": [*NO_RATE, (True, 0.1), np.array(["a"]), {0.1, 0.2}],
    "schedule": ["", "exponential", "decay", "linear:final=2", "cosine:5", None, 0.9, ("decay", 0.9)],
    "batch_size": [0, None, *NO_COUNT],
    "n_iter": [None, *NO_COUNT],
    "patience": [0, *NO_COUNT],
    "initial_biases": ["mean", "", None, 0, ["data"]],
    "binarize": [np.nan, np.inf, "0.5", "samples", True, [0.5], 1j, 10**400],
    "n_threads": [0, *NO_COUNT],
    "verbose": [None, *(value for value in NO_COUNT if value is not True)],
    "random_state": [-1, 2**64, 1.0, True, "7", [7], np.random, np.random.PCG64(0), np.nan],
}
NO_PARAMETERS["hidden_layer_sizes"] += [{3, 4}, {3: 4}, np.array(3.0), np.array([[5, 3]]), np.zeros(2)]
CASES = [pytest.param(name, value, id=f"{name}={value!r:.30}") for name, vs in NO_PARAMETERS.items() for value in vs]


@pytest.mark.parametrize(("name", "value"), CASES)
@pytest.mark.parametrize("train", ["fit", "partial_fit"])
def test_a_parameter_that_makes_no_sense_is_refused_by_name(name, value, train):
    machine = small(**{name: value})
    with pytest.raises((ValueError, TypeError), match=f"^{name}: want"):
        getattr(machine, train)(ROWS)
    assert vars(machine) == small(**{name: value}).get_params()


@pytest.mark.parametrize(("name", "value"), [case for case in CASES if case.values[0] != "hidden_layer_sizes"])
def test_a_refused_parameter_leaves_a_fitted_machine_as_it_was(fitted, name, value):
    fitted.set_params(**{name: value})
    before = vars(fitted) | {"history_": copy.deepcopy(fitted.history_)}
    begins, goes_on = fitted.fit, fitted.partial_fit
    for train in [begins] if name == "random_state" else [begins, goes_on]:  # a seed matters only where training begins
        with pytest.raises((ValueError, TypeError), match=f"^{name}: want"):
            train(ROWS)
        assert vars(fitted) == before  # the same state, because states are never changed, only replaced
        assert fitted._state is before["_state"]


@pytest.mark.parametrize("train", ["fit", "partial_fit"])
def test_sizes_that_are_gone_once_read_are_refused(train):
    with pytest.raises(TypeError, match=r"^hidden_layer_sizes: want a sequence"):
        TAKES_X[train](small(hidden_layer_sizes=map(int, "53")), ROWS)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("rule", r"wake-sleep, reweighted, vimco, ovis, leave-one-out, bihm, or a function \(log_w\) -> \(v, u\)"),
        ("optimizer", "sgd, momentum, rmsprop, adam"), ("initial_biases", "data, zero"),
        ("baseline", "geometric, arithmetic"),
    ],
)
def test_an_unknown_name_lists_those_that_are_known(name, known):
    with pytest.raises(ValueError, match=f"^{name}: want one of {known}, got 'unknown'$"):
        small(**{name: "unknown"}).fit(ROWS)


@pytest.mark.parametrize("train", ["resume", "partial_fit"])
@pytest.mark.parametrize("sizes", [(5,), (3, 5), (5, 3, 1)], ids=str)
def test_levels_of_a_fitted_machine_cannot_change(fitted, train, sizes):
    fitted.set_params(hidden_layer_sizes=sizes)
    before = everything(fitted)
    with pytest.raises(ValueError, match=r"^hidden_layer_sizes: want \(5, 3\) as fitted, got"):
        TAKES_X[train](fitted, ROWS)
    assert everything(fitted) == before


def test_more_parameters_than_fit_into_memory_are_refused():
    machine = small(hidden_layer_sizes=(2**31 - 1, 2**31 - 1))
    with pytest.raises(ValueError, match=r"^hidden_layer_sizes: want at most 2147483647 parameters, got"):
        machine.fit(ROWS)
    assert vars(machine) == machine.get_params()
    with pytest.raises(ValueError, match=r"^n_particles: want at most 2147483647 samples in a batch"):
        small(n_particles=2**30, batch_size=2).fit(ROWS)


@pytest.mark.parametrize("rule", ["reweighted", "vimco", "ovis", "leave-one-out", "bihm"])
def test_rules_that_compare_particles_want_two(rule):
    with pytest.raises(ValueError, match=rf"^n_particles: want 2 or more with rule '{rule}', .* got 1$"):
        small(rule=rule, n_particles=1).fit(ROWS)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"clip_norm": -1}, "clip_norm: want a positive, finite number or None, got -1"),
        ({"weight_decay": 1e9, "learning_rate": 0.25}, "weight_decay: want at most 1/learning_rate, 4, .* got 1e[+]09"),
        ({"weight_decay": 5, "learning_rate": (0.1, 0.25)}, "weight_decay: want at most 1/learning_rate, 4, .* got 5"),
        ({"schedule": "decay:factor=0"}, "schedule: want factor to be a number above 0 and at most 1, got '0'"),
        ({"schedule": "linear:final=2"}, "schedule: want final to be a number from 0 to 1, got '2'"),
        ({"schedule": "cosine:"}, "schedule: want warm_up=VALUE, final=VALUE after the colon of .*, got '' in .*"),
        ({"schedule": "linear:end=0"}, "schedule: want warm_up=VALUE, final=VALUE after the .*, got 'end=0' in .*"),
        ({"schedule": "linear:final=0,final=1"}, "schedule: want final once, got it twice in 'linear:final=0,final=1'"),
        ({"learning_rate": np.zeros((9, 9))}, r"learning_rate: want a number or a pair .*, got array[^\n]*"),
    ],
)
def test_a_message_says_what_is_wanted(params, message):
    with pytest.raises((ValueError, TypeError)) as refused:
        small(**params).fit(ROWS)
    assert re.fullmatch(message, str(refused.value))


def test_weights_may_decay_to_nothing_in_one_step_but_not_beyond():
    assert small(weight_decay=4, learning_rate=0.25).fit(ROWS).n_iter_ == 3


@pytest.mark.parametrize("value", ["no", 0, 1, None, "False", np.array([True])], ids=repr)
def test_a_switch_is_true_or_false(fitted, value):
    before = everything(fitted)
    with pytest.raises(TypeError, match=r"^resume: want True or False, got "):
        fitted.fit(ROWS, resume=value)
    with pytest.raises(TypeError, match=r"^bits: want True or False, got "):
        fitted.sample(bits=value)
    with pytest.raises(TypeError, match=r"^bits: want True or False, got "):
        fitted.transform(ROWS, bits=value)
    assert everything(fitted) == before
    assert fitted.fit(ROWS, resume=np.True_) is fitted


@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5", " ", "1e3", str(2**31), "9" * 5000], ids="{:.9}".format)
def test_an_environment_that_makes_no_sense_is_refused_by_name(fitted, monkeypatch, value):
    monkeypatch.setenv("WAKESLEEP_NUM_THREADS", value)
    before = everything(fitted)
    for call in (fitted.fit, fitted.partial_fit, fitted.score):
        with pytest.raises(ValueError, match=r"^WAKESLEEP_NUM_THREADS: want a whole number from 1"):
            call(ROWS)
    assert everything(fitted) == before
    fitted.set_params(n_threads=1).fit(ROWS)


@pytest.mark.parametrize("callbacks", [5, None, len, [5], [None], ["print"], [print, 5]], ids=repr)
def test_callbacks_that_cannot_be_called_are_refused_before_training(fitted, callbacks):
    before = everything(fitted)
    with pytest.raises((ValueError, TypeError), match=r"^callbacks?: want"):
        fitted.fit(ROWS, callbacks=callbacks)
    assert everything(fitted) == before


def test_the_generator_of_a_refused_call_is_not_used():
    machine = small(random_state=np.random.default_rng(0), n_iter=-1)
    for call in (lambda: machine.fit(ROWS), lambda: machine.set_params(n_iter=1).fit(with_cell(np.nan, float))):
        with pytest.raises(ValueError, match=r"n_iter|NaN"):
            call()
        assert machine.random_state.bit_generator.state == np.random.default_rng(0).bit_generator.state


# ---- sampling and scoring ----


@pytest.mark.parametrize("n_samples", NO_COUNT, ids=repr)
def test_a_number_of_fantasies_that_makes_no_sense_is_refused(fitted, n_samples):
    with pytest.raises((ValueError, TypeError), match=r"^n_samples: want a whole number"):
        fitted.sample(n_samples)


@pytest.mark.parametrize("random_state", NO_PARAMETERS["random_state"], ids=repr)
def test_a_seed_that_makes_no_sense_is_refused(fitted, random_state):
    for call in (lambda: fitted.sample(random_state=random_state), lambda: fitted.score(X, random_state=random_state)):
        with pytest.raises((ValueError, TypeError), match=r"^random_state: want"):
            call()


@pytest.mark.parametrize("method", ["Exact", "ais?", "", None, 5, ["exact"]], ids=repr)
def test_an_unknown_measure_lists_those_that_are_known(fitted, method):
    with pytest.raises(ValueError, match=r"^method: want one of auto, exact, importance"):
        fitted.score_samples(X, method=method)


@pytest.mark.parametrize("n_particles", [0, None, *NO_COUNT], ids=repr)
def test_a_number_of_particles_that_makes_no_sense_is_refused(fitted, n_particles):
    for method in ("auto", "exact", "importance"):
        with pytest.raises((ValueError, TypeError), match=r"^n_particles: want a whole number"):
            fitted.score(X, method=method, n_particles=n_particles)


def test_exact_of_too_many_hidden_units_says_so():
    machine = random_machine((2, 20, 5))
    with pytest.raises(
        ValueError, match=r'^method: "exact" enumerates at most 24 .* this machine has 25; use "importance"'
    ):
        machine.score([[0, 1]], method="exact")


# ---- files ----


@pytest.mark.parametrize(
    ("name", "error"), [("", OSError), ("no/such/folder.npz", FileNotFoundError), ("a\0b", ValueError)]
)
def test_paths_that_cannot_be_written_or_read_are_refused_and_nothing_is_left(fitted, tmp_path, name, error):
    path, before = f"{tmp_path}/{name}", everything(fitted)
    with pytest.raises(error):
        fitted.save(path)
    with pytest.raises(error):
        HelmholtzMachine.load(path)
    assert everything(fitted) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 5.5, object(), []], ids=repr)
def test_what_is_no_path_is_refused(fitted, path):
    with pytest.raises(TypeError, match="PathLike"):
        fitted.save(path)
    with pytest.raises(TypeError, match="PathLike"):
        HelmholtzMachine.load(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\3\4" + bytes(200)], ids=["empty", "text", "zip"])
def test_files_of_another_kind_are_refused(tmp_path, content):
    path = tmp_path / "machine.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path)):
        HelmholtzMachine.load(path)
