"""The border of the compiled core: what does not fit is refused by name, and changes nothing."""

import os
import subprocess
import sys

import numpy as np
import pytest
from checks import TABLES, WALK, same_bits

from wakesleep import _core, _likelihood, _panels
from wakesleep.optimizers import Optimizer
from wakesleep.rules import Rule

TOY_SIZES, TOY_METHODS = np.array([3, 2]), np.array([WALK, TABLES], np.uint8)
N = 19  # parameters of the toy
MACHINE = {"parameters": np.full(N, -0.0, np.float32), "sizes": TOY_SIZES, "methods": TOY_METHODS}
STATES = np.zeros((4, 2), np.uint64)
VERBS = {
    "recognise": {**MACHINE, "states": STATES, "seed": 1},
    "dream": {**MACHINE, "states": STATES, "seed": 1},
    "log_probabilities": {**MACHINE, "states": STATES},
    "teach": {
        **MACHINE, "states": STATES, "credits_p": np.ones(4, np.float32), "credits_q": np.ones(4, np.float32),
        "gradient": np.zeros(N, np.float32),
    },
    "train": {
        **MACHINE, "moments": np.zeros((1, N), np.float32), "data": np.zeros((4, 1), np.uint64),
        "position": np.zeros(3, np.int64), "n_updates": np.zeros(2, np.int64), "seed": 1, "batch_size": 2,
        "rates": np.full((1, 2), 0.1), "rule": Rule(), "optimizer": Optimizer("momentum"),
    },
    "binarize": {
        "values": np.zeros((4, 3), np.float32), "one": 1, "words": np.zeros((4, 1), np.uint64), "seed": 1,
        "keys": np.zeros(4, np.uint64),
    },
    "epoch_order": {"seed": 1, "epoch": 0, "n_rows": 5},
    "propagate": {
        "values": np.zeros((2, 3), np.float32), "weights": np.zeros((3, 4), np.float32),
        "biases": np.zeros(4, np.float32),
    },
}  # fmt: skip

OF_MACHINES = [
    ("parameters", np.zeros(N - 1, np.float32)),
    ("parameters", np.zeros((1, N), np.float32)),
    ("parameters", np.zeros(N)),
    ("parameters", [0.0] * N),
    ("sizes", np.array([3])),
    ("sizes", np.array([[3, 2]])),
    ("sizes", np.array([3, -2])),
    ("methods", np.array([0, 1, 1])),
    ("methods", np.array([0, 2])),
    ("methods", np.array([256, 1])),
    ("sizes", np.array([3.9, 2.2])),
]
OF_STATES = [
    ("states", np.zeros((4, 1), np.uint64)),
    ("states", np.zeros((4, 3), np.uint64)),
    ("states", np.zeros((4, 2), np.int64)),
    ("states", np.zeros(8, np.uint64)),
    ("states", None),
]
BEYOND = np.full((4, 2), 1 << 3, np.uint64)  # a one beyond the three visible units
REFUSED = {
    "recognise": [*OF_MACHINES, *OF_STATES, ("states", BEYOND)],
    "dream": OF_MACHINES + OF_STATES,
    "log_probabilities": [*OF_MACHINES, *OF_STATES, ("states", BEYOND)],
    "teach": [
        *OF_MACHINES, *OF_STATES, ("states", BEYOND),
        ("credits_p", np.ones(3, np.float32)), ("credits_p", np.ones(4)), ("credits_p", [1.0] * 4),
        ("credits_q", np.ones(5, np.float32)), ("credits_q", np.ones((4, 1), np.float32)),
        ("gradient", np.zeros(N + 1, np.float32)), ("gradient", np.zeros(N)), ("gradient", None),
    ],
    "train": [
        *OF_MACHINES,
        ("data", np.zeros((4, 2), np.uint64)), ("data", np.zeros((4, 0), np.uint64)),
        ("batch_size", 0), ("n_threads", 0), ("n_threads", -1),
        ("position", np.zeros(2, np.int64)), ("position", np.zeros(4, np.int64)),
        ("position", np.array([-1, 0, 0])), ("position", np.array([0, 4, 0])), ("position", [0, 0, 0]),
        ("n_updates", np.zeros(3, np.int64)), ("n_updates", np.zeros(2, np.int32)), ("n_updates", np.array([0, -1])),
        ("rates", np.full((1, 3), 0.1)), ("rates", np.full(2, 0.1)), ("rates", [(0.1, 0.1)]), ("data", None),
        ("moments", np.zeros((0, N), np.float32)), ("moments", np.zeros((2, N), np.float32)),
        ("moments", np.zeros((1, N + 1), np.float32)), ("moments", np.zeros((1, N))), ("moments", None),
        ("chosen", np.array([0, 4])), ("chosen", np.array([-1, 2])), ("chosen", np.array([[1]])), ("chosen", [0, 1]),
        ("chosen", np.array([1, 2], np.int32)),
        ("clock", np.zeros((1, 3, 6))), ("clock", np.zeros((1, 4, 6), np.float32)), ("clock", [0.0]),
    ],
    "binarize": [
        ("values", np.zeros((4, 3))), ("values", np.zeros(12, np.float32)), ("values", [[0.0]]), ("values", None),
        ("one", 0), ("one", 2), ("words", np.zeros((4, 2), np.uint64)), ("words", np.zeros((3, 1), np.uint64)),
        ("words", np.zeros((4, 1), np.int64)), ("keys", np.zeros(3, np.uint64)), ("keys", np.zeros(4)),
    ],
    "epoch_order": [("first", -1), ("first", 6), ("count", 6), ("count", -1)],
    "propagate": [
        ("values", np.zeros((2, 4), np.float32)), ("biases", np.zeros(3, np.float32)),
        ("biases", np.zeros(5, np.float32)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("function", VERBS)
def test_calls_like_the_refused_ones_are_accepted(function):
    getattr(_core, function)(**{name: np.copy(v) if hasattr(v, "shape") else v for name, v in VERBS[function].items()})


@pytest.mark.parametrize(
    ("function", "name", "value"), [(function, *case) for function, cases in REFUSED.items() for case in cases]
)
def test_what_does_not_fit_is_refused_by_name_and_changes_nothing(function, name, value):
    arguments = {**VERBS[function], name: value}
    arrays = {key: array for key, array in arguments.items() if isinstance(array, np.ndarray)}
    before = {key: array.copy() for key, array in arrays.items()}
    with pytest.raises(ValueError, match=rf"^(\w+, )?{name}\b"):
        getattr(_core, function)(**arguments)
    assert all(same_bits(array, before[key]) for key, array in arrays.items())


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("rule", "n_particles", Rule(n_particles=0)), ("rule", "n_particles", Rule("vimco", 1)),
        ("rule", "n_particles", Rule(n_particles=2**62)), ("rule", "n_particles", Rule(n_particles=2**30)),
        ("rule", "sleep_weight", Rule(sleep_weight=1.1)), ("rule", "sleep_weight", Rule(sleep_weight=float("nan"))),
        ("rule", "sleep_steps", Rule(sleep_steps=0)), ("rule", "baseline", Rule("vimco", 2, baseline="none")),
        ("rule", "rule", Rule("sleep-wake")),
        ("optimizer", "optimizer", Optimizer("adamw")), ("optimizer", "weight_decay", Optimizer("momentum", -0.1)),
        ("optimizer", "weight_decay", Optimizer("momentum", float("inf"))),
        ("optimizer", "clip_norm", Optimizer("momentum", clip_norm=0.0)),
        ("optimizer", "clip_norm", Optimizer("momentum", clip_norm=float("nan"))),
        ("optimizer", "frozen", Optimizer(frozen=frozenset({"prior", "prior_logits"}))),
    ],
)  # fmt: skip
def test_rules_and_optimizers_that_cannot_be_followed_are_refused(argument, name, value):
    with pytest.raises(ValueError, match=rf"^{name}: want"):
        _core.train(**VERBS["train"] | {argument: value})


def test_no_rows_to_train_on_are_refused():
    with pytest.raises(ValueError, match=r"position: .* 0 rows"):
        _core.train(**VERBS["train"], chosen=np.zeros(0, np.int64))
    with pytest.raises(ValueError, match=r"position: .* 0 rows"):
        _core.train(**{**VERBS["train"], "data": np.zeros((0, 1), np.uint64)})


@pytest.mark.parametrize("name", ["parameters", "gradient", "credits_p"])
def test_arrays_with_gaps_are_refused(name):
    arguments = dict(VERBS["teach"])
    arguments[name] = np.repeat(arguments[name], 2)[::2]
    with pytest.raises(ValueError, match="contiguous"):
        _core.teach(**arguments)


def test_the_cpu_level_can_be_chosen_and_wrong_ones_are_refused(cpu_level):
    assert _panels.cpu_level() == cpu_level
    with pytest.raises(ValueError, match=r"WAKESLEEP_CPU: want one of baseline.*'mmx'"):
        _panels.set_cpu_level("mmx")
    assert _panels.cpu_level() == cpu_level
    _panels.set_cpu_level()
    assert _panels.cpu_level() == _panels.cpu_levels()[-1]


def test_the_environment_chooses_the_cpu_level():
    program = "from wakesleep import _panels; print(_panels.cpu_level())"

    def run(level):
        environment = {**os.environ, "WAKESLEEP_CPU": level}
        return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)

    for level in _panels.cpu_levels():
        assert run(level).stdout.strip() == level
    refused = run("mmx")
    assert refused.returncode != 0
    assert "WAKESLEEP_CPU: want one of baseline" in refused.stderr


@pytest.mark.parametrize("data", [BEYOND[:, :1], np.zeros((4, 2), np.uint64), np.zeros((4, 1)), None])
def test_likelihoods_refuse_data_that_do_not_fit(data):
    with pytest.raises(ValueError, match=r"^data: want"):
        _likelihood.exact(MACHINE["parameters"], TOY_SIZES, data)
    with pytest.raises(ValueError, match=r"^data: want"):
        _likelihood.importance(**MACHINE, data=data, seed=1, n_particles=3)
