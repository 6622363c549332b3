"""Files that hold no machine are refused with one class of error, whatever is wrong with them, and at no cost."""

import copy
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import ROWS, small

from wakesleep import CheckpointError, HelmholtzMachine, checkpoint
from wakesleep.estimator import MEASURED

MOST_MEMORY = 1 << 20  # bytes, and ten times the file: what it may take to refuse one of 5 kB
LONGEST = 1000  # characters of a message, which may name a number of 400 digits


@pytest.fixture
def path(tmp_path):
    return tmp_path / "machine.npz"


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Nobody pulls the plug here, so nothing has to wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


ABSENT = object()


def changed(manifest, where, value):
    """A copy of the manifest with another value, or none, in one place."""
    manifest = copy.deepcopy(manifest)
    *folders, last = where
    inside = manifest
    for folder in folders:
        inside = inside[folder]
    if value is ABSENT:
        del inside[last]
    else:
        inside[last] = value
    return manifest


def machine_file(path):
    """Write a machine to a file, and return what is in it."""
    small().fit(ROWS).save(path)
    return checkpoint.load(path)


def deep(depth):
    nested = []
    for _ in range(depth):
        nested = [nested]
    return nested


OTHER_SIZES = [[64], [64, 5], [64, 3, 5], [64, 5, 3, 1], [64, 5, 0], [64, 5, -3], [64.0, 5, 3], [["64"], 5, 3]]
OTHER_METHODS = [[1, 1], [1, 1, 1, 1], [1, 1, 2], [1, 1, -1], [1, 1, True], [1, 1, 1.0], [[1, 1, 1]]]
HUGE_SIZES = [[2**63, 5, 3], [64, 2**63, 3], [10**6, 10**6, 10**6], [2**32, 2**32], [1] * 10**5]
HUGE_POSITIONS = [[2**63, 0, 0], [2**63 - 1, 0, 0], [0, 2**63, 0], [0, 0, 2**63 - 1]]
WRONG = {
    ("params",): [ABSENT, None, 5, "", "rule", [], [["n_iter", 3]]],
    ("params", "epochs"): [5],
    ("params", "self"): [5],
    ("params", "hidden_layer_sizes"): [None, "53", [], [5], [3, 5], [5, 3, 1], [5.0, 3], ["5", 3], [True, 3], [[5], 3]],
    ("params", "rule"): ["sleep-wake", None, 5, ["wake-sleep"], {}],
    ("params", "optimizer"): ["adagrad", None, []],
    ("params", "initial_biases"): ["mean", None, 0],
    ("params", "n_particles"): [0, -1, 1.5, True, "1", 2**31, 10**400],
    ("params", "batch_size"): [0, -1, 1.5, None, False, "", 2**31, []],
    ("params", "n_iter"): [-1, 1.5, None, True, 2**31, {}],
    ("params", "n_threads"): [0, -1, 2.0, "2", 10**12],
    ("params", "verbose"): [-1, None, 0.5, "yes"],
    ("params", "learning_rate"): [0, -0.1, "0.1", [0.1], [0.1, 0.1, 0.1], [0.1, None], [0.1, -1], True, 10**400],
    ("params", "binarize"): ["0.5", True, [], 10**400],
    ("params", "random_state"): ["7", -1, 1.5, 2**64, True, [7]],
    ("state",): [ABSENT, None, 5, "", [], "sizes", {}],
    ("state", "sizes"): [ABSENT, None, 64, "", {}, [], *OTHER_SIZES, *HUGE_SIZES, deep(300), deep(800)],
    ("state", "methods"): [ABSENT, None, 1, "", {}, [], *OTHER_METHODS],
    ("state", "position"): [ABSENT, None, 0, "", [], [0, 0], [0, 0, 0, 0], [-1, 0, 0], [0.0, 0, 0], *HUGE_POSITIONS],
    ("state", "seed"): [ABSENT, None, -1, 2**64, 7.0, "7", True, [7]],
    ("state", "step"): [ABSENT, None, -1, 2**64, 7.0, "7", True, []],
    ("state", "optimizer"): [ABSENT, None, "", 5, [], "adam", "adagrad", {}],
    ("state", "n_updates"): [ABSENT, None, 5, "", [], [1], [1, 2, 3], [-1, 0], [0.0, 1], [2**62, 0], [True, 1], {}],
    ("data",): [5, "", [], {}, [1, 2], [[1, 2]], [None, [1, 2]], [[1, 2], [3]], [["1", 2], None], [[1, 2.5], None]],
    ("aside",): [ABSENT, 5, "", [], {}],
    ("feature_names",): [5, "", "ab", {}, [], ["tea"], ["tea"] * 65, [1] * 64, [["tea"]] * 64,
                        ["tea"] * 64, ["\ud800", *map(str, range(63))], ["a\udcffb", *map(str, range(63))]],
    ("history",): [ABSENT, None, 5, "", "history", {}, {"epoch": 1}, [5], ["ab"], [None], [[]], [[["epoch", 1]]],
                   [{}], [{"epoch": 1}], [{"step": 9}], [{"epoch": "1", "step": 9}], [{"epoch": 1, "step": None}],
                   *([{"epoch": number, "step": 9}] for number in (-1, 2**64, 10**400)),
                   *([{"epoch": 1, "step": 9, k: v}] for k in MEASURED for v in ("9", [], True, 1e101, 10**400))],
}


@pytest.mark.parametrize(
    ("where", "value"), [pytest.param(k, v, id=f"{'.'.join(k)}={v!r:.30}") for k, vs in WRONG.items() for v in vs]
)
def test_a_manifest_of_no_machine_is_refused(path, where, value):
    arrays, manifest = machine_file(path)
    checkpoint.save(path, arrays, changed(manifest, where, value))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="not a machine: ") as caught:
            HelmholtzMachine.load(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY + 10 * path.stat().st_size
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < LONGEST


def test_numbers_that_are_not_finite_come_back_from_a_file(path):
    machine = small().fit(ROWS)
    numbers = {"log_likelihood": -np.inf, "reconstruction_cross_entropy": np.nan, "standard_error": np.nan}
    machine.history_ = [{"epoch": 1, "step": 2**64 - 1, **numbers}]
    machine.save(path)
    (entry,) = HelmholtzMachine.load(path).history_
    assert entry["log_likelihood"] == -np.inf
    assert np.isnan(entry["reconstruction_cross_entropy"])
    assert entry["standard_error"] is None
    machine.history_ = [{"epoch": 1, "step": 9}]
    machine.save(path)
    assert HelmholtzMachine.load(path).history_ == machine.history_


@pytest.mark.parametrize("where", [("extra",), ("state", "moments")], ids=str)
def test_a_manifest_with_more_than_this_version_knows_is_refused(path, where):
    arrays, manifest = machine_file(path)
    checkpoint.save(path, arrays, changed(manifest, where, [1, 2, 3]))
    with pytest.raises(CheckpointError, match=where[-1]):
        HelmholtzMachine.load(path)


def without(arrays, name):
    return {other: array for other, array in arrays.items() if other != name}


BIASES = "recognition.0.biases"
WRONG_ARRAYS = {
    "none": lambda arrays: {},
    "one less": lambda arrays: without(arrays, BIASES),
    "one more": lambda arrays: {**arrays, "moments": arrays[BIASES]},
    "a best state that the manifest lacks": lambda arrays: {**arrays, f"aside.{BIASES}": arrays[BIASES]},
    "another name": lambda arrays: {**without(arrays, BIASES), "biases": arrays[BIASES]},
    "float64": lambda arrays: {**arrays, BIASES: arrays[BIASES].astype(float)},
    "uint32": lambda arrays: {**arrays, BIASES: arrays[BIASES].view(np.uint32)},
    "shape": lambda arrays: {**arrays, BIASES: arrays[BIASES][None]},
    "longer": lambda arrays: {**arrays, BIASES: np.zeros(6, np.float32)},
    "transposed": lambda arrays: {**arrays, "generative.0.weights": arrays["generative.0.weights"].T},
    "NaN": lambda arrays: {**arrays, BIASES: np.full(5, np.nan, np.float32)},
    "infinity": lambda arrays: {**arrays, BIASES: np.full(5, np.inf, np.float32)},
}


@pytest.mark.parametrize("wrong", WRONG_ARRAYS.values(), ids=WRONG_ARRAYS.keys())
def test_arrays_of_no_machine_are_refused(path, wrong):
    arrays, manifest = machine_file(path)
    checkpoint.save(path, wrong(arrays), manifest)
    with pytest.raises(CheckpointError, match="not a machine: "):
        HelmholtzMachine.load(path)


def test_a_best_state_of_other_sizes_is_refused(path):
    small(hidden_layer_sizes=(4, 3)).fit(ROWS).save(path)
    best, of_best = checkpoint.load(path)
    arrays, manifest = machine_file(path)
    arrays |= {f"aside.{name}": array for name, array in best.items()}
    checkpoint.save(path, arrays, changed(manifest, ("aside",), of_best["state"]))
    with pytest.raises(CheckpointError, match=r"not a machine: aside: want the sizes of state, got \(64, 4, 3\)"):
        HelmholtzMachine.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=6,
)
NUMBERS = st.sampled_from([0, 1, -1, 3, 5, 64, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 0.5, 1e308])
PLACES = [*WRONG, ("state", "sizes", 0), ("state", "methods", 1), ("state", "position", 1), ("history", 0)]


@settings(max_examples=300)
@given(where=st.sampled_from(PLACES), value=JSON | NUMBERS)
def test_whatever_a_manifest_says_it_is_a_machine_or_a_checkpoint_error(tmp_path_factory, where, value):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    arrays, manifest = machine_file(path)
    checkpoint.save(path, arrays, changed(manifest, where, value))
    try:
        machine = HelmholtzMachine.load(path)
    except CheckpointError:
        return
    assert machine.transform(ROWS).shape == (130, 3)
    assert machine.sample(3).shape == (3, 64)
    assert np.isfinite(machine.score(ROWS, n_particles=3))
    assert all(isinstance(entry, dict) for entry in machine.history_)
    machine.save(path)
    machine.set_params(n_iter=0, verbose=0).fit(ROWS)


REFUSALS = r"damaged|truncated|not a wakesleep checkpoint|bytes added|please upgrade"


def test_damage_is_noticed_before_anything_is_made_of_it(path):
    small().fit(ROWS).save(path)
    damaged = bytearray(path.read_bytes())
    for place in range(0, len(damaged), 97):
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=REFUSALS):
            HelmholtzMachine.load(path)
        damaged[place] ^= 1
