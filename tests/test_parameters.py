"""One flat vector and its views, the logarithm of our own, and machines made of weights from elsewhere."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from checks import same_bits
from machines import ROWS, every_row, learned, parts, random_machine, small

from wakesleep import HelmholtzMachine
from wakesleep.elementary import log
from wakesleep.parameters import Parameters, logit_of_mean

LOG = 4e-16  # relative to the larger of 1 and the result: two roundings of float64
SIZES = [(1, 1), (4, 3), (4, 3, 2), (7, 2, 5, 1)]


# ---- Parameters ----


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_views_cover_the_vector_once_and_in_order(sizes):
    length = Parameters(sizes).flat.size
    p = Parameters(sizes, np.arange(length))
    layers = [*p.generative, p.prior, *p.recognition]
    np.testing.assert_array_equal(np.concatenate([part.ravel() for layer in layers for part in layer]), p.flat)
    assert all(np.shares_memory(part, p.flat) for layer in layers for part in layer if part.size)
    assert p.prior_logits is p.prior.biases
    assert sorted(np.concatenate([part.ravel() for part in p.named().values()])) == list(range(length))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_weights_have_a_row_per_source_unit(sizes):
    p = Parameters(sizes)
    down = [(layer.weights.shape, layer.biases.shape) for layer in p.generative]
    up = [(layer.weights.shape, layer.biases.shape) for layer in p.recognition]
    assert down == [((high, low), (low,)) for low, high in pairwise(sizes)]
    assert up == [((low, high), (high,)) for low, high in pairwise(sizes)]
    assert p.prior_logits.shape == (sizes[-1],)
    assert p.flat.dtype == np.float32
    assert not p.flat.any()


def test_parts_have_names():
    p = Parameters((4, 3, 2))
    layers = {"generative": p.generative, "recognition": p.recognition}
    expected = {"prior_logits": p.prior_logits}
    for model, of_model in layers.items():
        for number, layer in enumerate(of_model):
            expected |= {f"{model}.{number}.{part}": array for part, array in layer._asdict().items()}
    named = p.named()
    assert named.keys() == expected.keys()
    assert all(named[name] is expected[name] for name in expected)


def test_a_layer_shows_its_shapes_and_is_a_tuple():
    layer = Parameters((400, 300), np.arange(241_000.0)).generative[0]
    assert repr(layer) == "Layer(weights of (300, 400), biases of (400,))"
    weights, biases = again = pickle.loads(pickle.dumps(layer))
    assert type(again) is type(layer)
    assert same_bits(weights, layer.weights)
    assert same_bits(biases, layer.biases)


@pytest.mark.parametrize("length", [0, 49, 51])
def test_a_vector_of_another_length_is_refused(length):
    with pytest.raises(
        ValueError, match=rf"flat: want shape \(50,\) for levels of \(4, 3, 2\) units, got \({length},\)"
    ):
        Parameters((4, 3, 2), np.zeros(length))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))], ids=["copy", "pickle"])
def test_the_views_of_a_copy_look_into_the_copy(duplicate):
    p = Parameters((4, 3, 2), np.arange(50.0))
    twin = duplicate(p)
    assert same_bits(twin.flat, p.flat)
    for array in twin.named().values():
        array[...] = -1
    assert (twin.flat == -1).all()
    assert (p.flat == np.arange(50)).all()


# ---- the logarithm ----


def test_log_is_the_logarithm():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.exp(rng.uniform(-700, 700, 20000)), 1 + rng.uniform(-1e-3, 1e-3, 20000), np.arange(1, 1000)])
    error = np.abs(log(x) - np.log(x)) / np.maximum(1, np.abs(np.log(x)))
    assert error.max() < LOG
    assert log(np.ones(1))[0] == 0
    for power in (-1022, -1, 1, 1023):
        assert log(np.array([2.0**power]))[0] == power * 0.6931471805599453


def test_logits_of_means_are_finite_and_those_of_the_smoothed_mean():
    counts = np.array([0, 1, 5, 9, 10])
    mean = (counts + 1) / 12
    np.testing.assert_allclose(logit_of_mean(counts, 10), np.log(mean) - np.log1p(-mean), rtol=0, atol=10 * LOG)


# ---- machines of given weights ----


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_given_weights_are_the_machine(sizes):
    machine = random_machine(sizes, random_state=4)
    same = HelmholtzMachine.from_parameters(
        machine.prior_logits_, machine.generative_, machine.recognition_, random_state=4
    )
    assert learned(same) == learned(machine)
    np.testing.assert_array_equal(same.sample(20), machine.sample(20))
    rows = every_row(sizes[0])
    for method in ("exact", "importance"):
        assert same_bits(same.score_samples(rows, method=method), machine.score_samples(rows, method=method))
    assert same.hidden_layer_sizes == sizes[1:]
    assert (same.n_features_in_, same.n_iter_, same.step_, same.history_) == (sizes[0], 0, 0, [])


def test_given_weights_are_copied_and_rounded_to_float32():
    prior_logits, down, up = [0.1], [(np.array([[2.0, -2.0]]), np.array([0.0, 1 / 3]))], [([[3], [-3]], [0])]
    machine = HelmholtzMachine.from_parameters(prior_logits, down, up)
    expected = ([0.1], [[2.0, -2.0]], [0.0, 1 / 3], [[3], [-3]], [0])
    for part, values in zip(parts(machine), expected, strict=True):
        np.testing.assert_array_equal(part, np.array(values, np.float32))
    down[0][0][:] = 7
    np.testing.assert_array_equal(machine.generative_[0].weights, [[2, -2]])


def test_a_machine_of_given_weights_goes_on_learning():
    fitted = small().fit(ROWS)
    given = fitted.prior_logits_, fitted.generative_, fitted.recognition_
    machine = HelmholtzMachine.from_parameters(*given, n_iter=2, batch_size=32, random_state=1)
    resumed = copy.deepcopy(machine).fit(ROWS, resume=True)
    assert learned(machine.partial_fit(ROWS).partial_fit(ROWS)) == learned(resumed)
    assert (machine.n_iter_, machine.step_) == (2, 10)
    assert learned(machine)[0] != learned(fitted)[0]
    begun = HelmholtzMachine((5, 3), n_iter=2, batch_size=32, random_state=1).fit(ROWS)
    assert learned(machine.fit(ROWS)) == learned(begun)


def test_other_arguments_are_those_of_the_constructor():
    machine = random_machine((4, 3), learning_rate=(0.3, 0.2), n_particles=3, random_state=6, verbose=1)
    expected = {
        "hidden_layer_sizes": (3,),
        "learning_rate": (0.3, 0.2),
        "n_particles": 3,
        "random_state": 6,
        "verbose": 1,
    }
    assert machine.get_params() == HelmholtzMachine().get_params() | expected


PRIOR = [0.5, -0.5]
DOWN = [(np.zeros((3, 4)), np.zeros(4)), (np.zeros((2, 3)), np.zeros(3))]
UP = [(np.zeros((4, 3)), np.zeros(3)), (np.zeros((3, 2)), np.zeros(2))]


def with_part(layers, number, part, values):
    layers = [list(layer) for layer in layers]
    layers[number][part] = values
    return layers


NO_PARAMETERS = {
    "generative.0 transposed": (
        PRIOR,
        with_part(DOWN, 0, 0, np.zeros((4, 3))),
        UP,
        r"generative\[0\]\.weights: want sha",
    ),
    "generative.1 too tall": (
        PRIOR,
        with_part(DOWN, 1, 0, np.zeros((3, 3))),
        UP,
        r"generative\[1\]\.weights: want shape",
    ),
    "generative.1 biases": (PRIOR, with_part(DOWN, 1, 1, np.zeros(2)), UP, r"generative\[[01]\]\.\w+: want shape"),
    "recognition.0 transposed": (
        PRIOR,
        DOWN,
        with_part(UP, 0, 0, np.zeros((3, 4))),
        r"recognition\[0\]\.weights: want sh",
    ),
    "recognition.1 biases": (
        PRIOR,
        DOWN,
        with_part(UP, 1, 1, np.zeros(3)),
        r"recognition\[1\]\.biases: want shape \(2,",
    ),
    "prior too long": ([0, 0, 0], DOWN, UP, r"(prior_logits|generative\[1\]\.weights): want shape"),
    "prior a matrix": (
        [[0, 0]],
        DOWN,
        UP,
        r"prior_logits: want a non-empty array of 1 dimension\(s\), got shape \(1, 2\)",
    ),
    "prior a number": (0.5, DOWN, UP, "prior_logits: want a non-empty array of 1 dim"),
    "prior empty": ([], DOWN, UP, "prior_logits: want a non-empty array of 1 dim"),
    "prior NaN": ([0, np.nan], DOWN, UP, "prior_logits: want finite numbers"),
    "prior infinite": ([0, -np.inf], DOWN, UP, "prior_logits: want finite numbers"),
    "prior too large": ([0, 1e39], DOWN, UP, "prior_logits: want finite numbers"),
    "prior None": (None, DOWN, UP, "prior_logits: want"),
    "prior of objects": ([object(), 0], DOWN, UP, "prior_logits: want numbers of shape"),
    "prior of letters": (["a", "b"], DOWN, UP, "prior_logits: want numbers of shape"),
    "prior complex": (np.array([1j, 0]), DOWN, UP, "prior_logits: want"),
    "weights ragged": (
        PRIOR,
        with_part(DOWN, 1, 0, [[0, 0, 0], [0]]),
        UP,
        r"generative\[1\]\.weights: want numbers of shape",
    ),
    "weights NaN": (
        PRIOR,
        DOWN,
        with_part(UP, 0, 0, np.full((4, 3), np.nan)),
        r"recognition\[0\]\.weights: want finite",
    ),
    "recognition too few": (PRIOR, DOWN, UP[:1], "recognition: want 2 layers as in generative, got 1"),
    "recognition too many": (PRIOR, DOWN, [*UP, *UP], "recognition: want 2 layers as in generative, got 4"),
    "generative none": (PRIOR, [], UP, r"generative: want a list of one \(weights, biases\) or more"),
    "generative None": (PRIOR, None, UP, r"generative: want a list of one \(weights, biases\) or more"),
    "generative not pairs": (
        PRIOR,
        [np.zeros((2, 4))],
        UP,
        r"generative: want a list of one \(weights, biases\) or more",
    ),
    "recognition triples": (
        PRIOR,
        DOWN,
        [(*UP[0], 0), UP[1]],
        r"recognition: want a list of one \(weights, biases\) or",
    ),
}


@pytest.mark.parametrize("given", NO_PARAMETERS.values(), ids=NO_PARAMETERS.keys())
def test_the_part_that_does_not_fit_is_named(given):
    *parameters, fault = given
    HelmholtzMachine.from_parameters(PRIOR, DOWN, UP)
    with pytest.raises((ValueError, TypeError), match=f"^{fault}"):
        HelmholtzMachine.from_parameters(*parameters)


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({"hidden_layer_sizes": (3, 2)}, "hidden_layer_sizes: want it left out, because the weights tell it"),
        ({"epochs": 3}, "Invalid parameter 'epochs'"),
        ({"rule": "sleep-wake"}, "rule: want one of wake-sleep"),
        ({"n_iter": -1}, "n_iter: want a whole number from 0"),
        ({"random_state": -1}, "random_state: want a whole number from 0"),
    ],
    ids=str,
)
def test_arguments_beside_the_weights_are_checked(params, fault):
    with pytest.raises(ValueError, match=fault):
        HelmholtzMachine.from_parameters(PRIOR, DOWN, UP, **params)


def test_a_refused_machine_takes_no_seed_from_a_generator():
    rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
    for parameters, params in (([0.5], {}), (PRIOR, {"n_iter": -1})):
        with pytest.raises(ValueError, match="want"):
            HelmholtzMachine.from_parameters(parameters, DOWN, UP, random_state=rng, **params)
        assert rng.bit_generator.state == untouched.bit_generator.state
