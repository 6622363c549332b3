"""What users type: every method of `HelmholtzMachine`, its attributes, and what it takes as X."""

import copy
import pickle

import numpy as np
import pytest
from checks import Z_MAX
from machines import DIGITS, ROWS, SIZES, every_row, everything, learned, parts, random_machine, random_rows, small

from wakesleep import Bits, HelmholtzMachine, NotFittedError

MEAN_FIELD = 1e-5  # absolute, of probabilities: float32 sums of up to 70 terms of size 1, and an exp good to 1e-7
PRINTED = 0.0005  # the seed's worked example prints three digits

DEEP = [(9, 4), (70, 6, 5), (11, 8, 4, 3)]


@pytest.fixture(scope="module")
def fitted():
    return small().fit(ROWS)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def mean_field(values, layers):
    """The probabilities of the last level, each fed those of the one before, in float64."""
    for weights, biases in layers:
        values = sigmoid(values @ weights.astype(np.float64) + biases)
    return values


# ---- transform, inverse_transform, reconstruct ----


@pytest.mark.parametrize("sizes", DEEP, ids=str)
def test_transform_is_the_mean_field_pass_to_every_layer(sizes):
    machine, X = random_machine(sizes, scale=0.7), random_rows(50, sizes[0])
    for layer in range(len(sizes) - 1):
        H = machine.transform(X, layer=layer)
        expected = mean_field(X.to_dense(float), machine.recognition_[: layer + 1])
        assert H.shape == (50, sizes[layer + 1])
        np.testing.assert_allclose(H, expected, rtol=0, atol=MEAN_FIELD)
        np.testing.assert_array_equal(machine.transform(X, layer=layer - len(sizes) + 1), H)
    np.testing.assert_array_equal(machine.transform(X), H)


def test_transform_feeds_probabilities_and_not_states():
    machine, X = random_machine((11, 8, 4)), random_rows(50, 11)
    rounded = mean_field(np.round(machine.transform(X, layer=0)), machine.recognition_[1:])
    assert np.abs(machine.transform(X) - rounded).max() > 1000 * MEAN_FIELD


def test_bits_of_transform_are_the_probabilities_above_one_half():
    machine, X = random_machine((70, 67, 5), scale=0.7), random_rows(50, 70)
    for layer in (0, -1):
        H, codes = machine.transform(X, layer=layer), machine.transform(X, layer=layer, bits=True)
        assert isinstance(codes, Bits)
        np.testing.assert_array_equal(codes.to_dense(), H > 0.5)
        distances = np.bitwise_count(codes.words[:1] ^ codes.words).sum(axis=1)
        np.testing.assert_array_equal(distances, ((H > 0.5) != (H[0] > 0.5)).sum(axis=1))
    undecided = HelmholtzMachine.from_parameters([0.0], [([[1.0]], [0.0])], [([[0.0]], [0.0])])
    assert undecided.transform([[1]], bits=True).to_dense() == 0, "a probability of one half is no 1"


@pytest.mark.parametrize("sizes", DEEP, ids=str)
def test_inverse_transform_is_the_mean_field_pass_down_from_every_layer(sizes):
    machine = random_machine(sizes, scale=0.7)
    for layer in range(len(sizes) - 1):
        H = np.random.default_rng(layer).random((50, sizes[layer + 1]))
        x = machine.inverse_transform(H, layer=layer)
        assert x.shape == (50, sizes[0])
        np.testing.assert_allclose(x, mean_field(H, machine.generative_[layer::-1]), rtol=0, atol=MEAN_FIELD)
        np.testing.assert_array_equal(machine.inverse_transform(H, layer=layer - len(sizes) + 1), x)
    np.testing.assert_array_equal(machine.inverse_transform(H), x)


@pytest.mark.parametrize("sizes", DEEP, ids=str)
def test_reconstruct_goes_up_to_the_top_and_down_again(sizes):
    machine, X = random_machine(sizes, scale=0.7), random_rows(50, sizes[0])
    expected = mean_field(mean_field(X.to_dense(float), machine.recognition_), machine.generative_[::-1])
    np.testing.assert_allclose(machine.reconstruct(X), expected, rtol=0, atol=MEAN_FIELD)
    np.testing.assert_array_equal(machine.reconstruct(X), machine.inverse_transform(machine.transform(X)))
    np.testing.assert_array_equal(machine.reconstruct(X, 0), machine.inverse_transform(machine.transform(X, 0), 0))


def test_fit_transform_is_fit_then_transform(fitted):
    np.testing.assert_array_equal(small().fit_transform(ROWS), fitted.transform(ROWS))
    np.testing.assert_array_equal(small().fit_transform(ROWS, layer=0), fitted.transform(ROWS, 0))


@pytest.mark.parametrize("method", ["transform", "reconstruct"])
def test_mean_field_of_a_row_has_the_same_bits_whatever_stands_beside_it(fitted, method):
    together = getattr(fitted, method)(DIGITS[:600])
    order = np.random.default_rng(0).permutation(600)
    np.testing.assert_array_equal(getattr(fitted, method)(DIGITS[:600][order]), together[order])
    for row in (0, 255, 256, 599):
        np.testing.assert_array_equal(getattr(fitted, method)(DIGITS[row : row + 1]), together[row : row + 1])


def test_the_worked_example_of_inference():
    Wg = [[1, -0.5, 0.2], [-0.3, 0.8, -0.1], [0.6, 0.1, 0], [-0.7, 0.2, 0.3]]
    Wg += [[0.4, -0.9, 0.5], [0.1, 0.2, -0.4], [-0.2, 0.3, 0.7], [0.5, 0, -0.6]]
    Wr = [[0.5, -0.3, 0.7, -0.1, 0.2, 0, -0.4, 0.1], [-0.2, 0.6, -0.1, 0.3, -0.5, 0.1, 0.2, -0.3]]
    Wr += [[0.1, 0.2, 0, -0.4, 0.3, -0.2, 0.5, 0.1]]
    bg, br, a = [0, 0.1, -0.2, 0, 0.2, 0, -0.1, 0], [0, 0.1, -0.1], [0.2, -0.2, 0]
    machine = HelmholtzMachine.from_parameters(a, [(np.transpose(Wg), bg)], [(np.transpose(Wr), br)])
    x = [[1, 0, 1, 0, 1, 0, 0, 1]]
    for actual, printed in (
        (machine.transform(x), [[0.818, 0.269, 0.599]]),
        (machine.reconstruct(x), [[0.691, 0.503, 0.579, 0.416, 0.642, 0.474, 0.559, 0.512]]),
        (sigmoid(machine.prior_logits_), [0.550, 0.450, 0.500]),
    ):
        np.testing.assert_allclose(actual, printed, rtol=0, atol=PRINTED)


# ---- sample ----


def test_sample_repeats_itself_until_another_seed_is_given(fitted):
    fantasies = fitted.sample(40)
    assert fantasies.shape == (40, 64)
    assert fantasies.dtype == np.uint8
    assert set(np.unique(fantasies)) == {0, 1}
    np.testing.assert_array_equal(fitted.sample(40), fantasies)
    np.testing.assert_array_equal(fitted.sample(40, random_state=7), fantasies)  # the machine's own seed
    assert (fitted.sample(40, random_state=8) != fantasies).any()


def test_a_generator_gives_other_fantasies_every_time(fitted):
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    first, second = fitted.sample(40, random_state=rng), fitted.sample(40, random_state=rng)
    assert (first != second).any()
    np.testing.assert_array_equal(fitted.sample(40, random_state=again), first)
    fitted.sample(40, random_state=np.random.RandomState(0))


@pytest.mark.parametrize("n_features", [1, 63, 64, 65, 130])
def test_fantasies_as_bits_are_the_same_fantasies(n_features):
    machine = random_machine((n_features, 4))
    bits = machine.sample(300, bits=True)
    assert isinstance(bits, Bits)
    np.testing.assert_array_equal(bits.to_dense(), machine.sample(300))


def test_more_fantasies_begin_with_the_fewer(fitted):
    many = fitted.sample(700)
    for n in (0, 1, 256, 257):
        np.testing.assert_array_equal(fitted.sample(n), many[:n])
    np.testing.assert_array_equal(fitted.sample(), many[:1])


@pytest.mark.parametrize("sizes", [(3, 2), (3, 3, 2)], ids=str)
def test_fantasies_come_as_often_as_p_says(sizes):
    machine, n = random_machine(sizes), 40000
    p = np.exp(machine.score_samples(every_row(3), method="exact"))
    share = np.bincount(machine.sample(n) @ [1, 2, 4], minlength=8) / n
    error = np.sqrt(p * (1 - p) / n)
    assert np.abs((share - p) / error).max() < Z_MAX
    assert np.abs((share - np.roll(p, 1)) / error).max() > Z_MAX, "this test has no power"


# ---- what X may be, and what comes out ----


class Table:
    """Neither an array nor a list, like the frames of other packages."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def read_only(X):
    X = np.array(X, np.float32)
    X.flags.writeable = False
    return X


def memory_map(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def mapped_bits(X, folder):
    Bits.from_dense(X).save(folder / "X.bits")
    return Bits.open(folder / "X.bits")


KINDS = {
    "bool": lambda X, _: X.astype(bool),
    "uint8": lambda X, _: X.astype(np.uint8),
    "int64": lambda X, _: X.astype(np.int64),
    "float16": lambda X, _: X.astype(np.float16),
    "float32": lambda X, _: X.astype(np.float32),
    "float64": lambda X, _: X.astype(np.float64),
    "grey levels": lambda X, _: np.where(X, 0.6, 0.4),
    "list": lambda X, _: X.tolist(),
    "objects": lambda X, _: X.astype(object),
    "__array__": lambda X, _: Table(X),
    "Fortran order": lambda X, _: np.asfortranarray(X, dtype=float),
    "stride": lambda X, _: np.repeat(X, 2, axis=1)[:, ::2],
    "big-endian": lambda X, _: X.astype(">f4"),
    "read-only": lambda X, _: read_only(X),
    "memory map": memory_map,
    "Bits": lambda X, _: Bits.from_dense(X),
    "mapped Bits": mapped_bits,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_gives_the_same_bits(fitted, kind, tmp_path):
    X = KINDS[kind](ROWS.to_dense(), tmp_path)
    machine = small().fit(X, validation=X)
    assert learned(machine) == learned(fitted)
    np.testing.assert_array_equal(machine.transform(X), fitted.transform(ROWS.to_dense(float)))
    np.testing.assert_array_equal(machine.score_samples(X), fitted.score_samples(ROWS))
    assert machine.reconstruction_cross_entropy(X) == fitted.reconstruction_cross_entropy(ROWS)
    small().partial_fit(X)


@pytest.mark.filterwarnings("ignore:X. has values from")
@pytest.mark.parametrize("threshold", [-1.5, 0, 0.25, 3])
def test_a_cell_is_one_where_it_is_greater_than_binarize(threshold):
    X = np.random.default_rng(0).choice([threshold - 1, threshold, threshold + 1e-3], (40, 6))
    ones = np.greater(X, threshold)
    machine, other = small(binarize=threshold).fit(X), small(binarize=None).fit(ones)
    assert learned(machine) == learned(other)
    np.testing.assert_array_equal(machine.transform(X), other.transform(ones))


def test_x_is_left_as_it_was(fitted):
    X = ROWS.to_dense(float) * 0.9
    before = X.copy()
    machine = small().fit(X, validation=X).partial_fit(X)
    for method in ("transform", "inverse_transform", "reconstruct", "score_samples", "reconstruction_cross_entropy"):
        getattr(machine, method)(X[:, :3] if method == "inverse_transform" else X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("?", "f8"), ("u1", "f8"), ("i8", "f8"), (object, "f8")],
)
def test_outputs_follow_the_float_dtype_of_the_input(fitted, dtype, expected):
    X, H = ROWS.to_dense().astype(dtype), np.eye(3).astype(dtype)
    for output in (fitted.transform(X), fitted.reconstruct(X), fitted.inverse_transform(H)):
        assert output.dtype == expected
    np.testing.assert_array_equal(fitted.transform(X), fitted.transform(ROWS))


def test_bits_come_out_as_float32_and_lists_as_float64(fitted):
    assert fitted.transform(ROWS).dtype == fitted.reconstruct(ROWS).dtype == np.float32
    assert fitted.transform(ROWS.to_dense().tolist()).dtype == np.float64


# ---- attributes, copies, the estimator protocol ----


def test_fitted_attributes():
    machine = small()
    assert machine.fit(ROWS) is machine
    assert machine.partial_fit(ROWS) is machine
    assert [layer.weights.shape for layer in machine.generative_] == [(5, 64), (3, 5)]
    assert [layer.biases.shape for layer in machine.generative_] == [(64,), (5,)]
    assert [layer.weights.shape for layer in machine.recognition_] == [(64, 5), (5, 3)]
    assert [layer.biases.shape for layer in machine.recognition_] == [(5,), (3,)]
    assert machine.prior_logits_.shape == (3,)
    assert {part.dtype for part in parts(machine)} == {np.dtype(np.float32)}
    assert (machine.n_features_in_, machine.n_iter_, machine.step_) == (64, 4, 20)
    assert len(machine.history_) == 4


def test_as_many_rows_as_can_be_counted_are_one_batch():
    assert learned(small(batch_size=2**31 - 1).fit(ROWS)) == learned(small(batch_size=130).fit(ROWS))


def test_levels_may_be_a_range_and_a_single_number_is_one_level():
    assert learned(small(hidden_layer_sizes=range(5, 1, -2)).fit(ROWS)) == learned(small().fit(ROWS))
    assert learned(small(hidden_layer_sizes=4).fit(ROWS)) == learned(small(hidden_layer_sizes=[np.int8(4)]).fit(ROWS))


def test_one_row_and_one_column_are_enough():
    machine = HelmholtzMachine(1, n_iter=2, random_state=0).fit([[1]])
    assert machine.transform([[0]]).shape == machine.reconstruct([[1]]).shape == machine.sample().shape == (1, 1)
    assert abs(np.exp(machine.score_samples([[0], [1]])).sum() - 1) < MEAN_FIELD


UNFITTED = {
    "transform": lambda machine: machine.transform(ROWS),
    "inverse_transform": lambda machine: machine.inverse_transform([[0.5, 0.5, 0.5]]),
    "reconstruct": lambda machine: machine.reconstruct(ROWS),
    "sample": lambda machine: machine.sample(),
    "score_samples": lambda machine: machine.score_samples(ROWS),
    "score": lambda machine: machine.score(ROWS),
    "reconstruction_cross_entropy": lambda machine: machine.reconstruction_cross_entropy(ROWS),
    "save": lambda machine: machine.save("never-written.npz"),
    **{
        f"{name}_": lambda machine, name=name: getattr(machine, f"{name}_")
        for name in ("generative", "recognition", "prior_logits", "n_features_in", "n_iter", "step")
    },
}


@pytest.mark.parametrize("use", UNFITTED.values(), ids=UNFITTED.keys())
def test_nothing_works_before_fit(use):
    machine = small()
    with pytest.raises(NotFittedError, match="This HelmholtzMachine has no parameters yet: call fit"):
        use(machine)
    assert vars(machine) == machine.get_params()


def test_fitted_attributes_are_absent_before_fit():
    machine = small()
    fitted_names = ("generative_", "recognition_", "prior_logits_", "n_features_in_", "n_iter_", "step_", "history_")
    assert not any(hasattr(machine, name) for name in fitted_names)
    assert not machine.__sklearn_is_fitted__()
    machine.fit(ROWS)
    assert all(hasattr(machine, name) for name in fitted_names)
    assert machine.__sklearn_is_fitted__()


def test_the_constructor_only_stores_its_arguments():
    names = HelmholtzMachine().get_params().keys()
    given = {name: object() for name in names}
    machine = HelmholtzMachine(**given)
    assert vars(machine) == given
    assert machine.get_params() == machine.get_params(deep=False) == given


def test_set_params_changes_what_it_names_or_nothing():
    machine = small()
    assert machine.set_params(n_iter=9, learning_rate=0.5) is machine
    assert (machine.n_iter, machine.learning_rate, machine.batch_size) == (9, 0.5, 32)
    before = machine.get_params()
    with pytest.raises(ValueError, match=r"Invalid parameter 'epochs' for estimator HelmholtzMachine\. Valid param"):
        machine.set_params(n_iter=1, epochs=5)
    assert machine.get_params() == before


def test_repr_shows_what_is_not_the_default():
    assert repr(HelmholtzMachine()) == "HelmholtzMachine()"
    assert repr(small()) == "HelmholtzMachine(hidden_layer_sizes=(5, 3), batch_size=32, n_iter=3, random_state=7)"
    assert repr(HelmholtzMachine(learning_rate=(0.1, 0.2))) == "HelmholtzMachine(learning_rate=(0.1, 0.2))"
    assert "array([3, 4])" in repr(HelmholtzMachine(np.array([3, 4])))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_a_copy_is_the_same_machine_and_shares_nothing(fitted, duplicate):
    before, twin = everything(fitted), duplicate(fitted)
    assert learned(twin) == learned(fitted)
    assert twin.history_ == fitted.history_
    np.testing.assert_array_equal(twin.sample(5), fitted.sample(5))
    assert learned(twin.partial_fit(ROWS)) == learned(small(n_iter=4).fit(ROWS))
    twin.generative_[0].weights[:] = 0
    twin.prior_logits_[:] = 50
    assert (twin.inverse_transform(np.eye(3)).std(axis=0) == 0).all()
    assert twin.sample(99).tolist() != fitted.sample(99).tolist()
    assert everything(fitted) == before


def test_the_views_look_into_the_machine():
    machine = random_machine((6, 4, 3))
    for layer in machine.generative_:
        layer.weights[:], layer.biases[:] = 0, 0
    machine.generative_[0].biases[:] = np.log([1, 3, 1, 1, 1, 1])
    np.testing.assert_allclose(machine.inverse_transform([[1, 0, 1]])[0], [0.5, 0.75] + [0.5] * 4, atol=MEAN_FIELD)
    assert abs(machine.score([[1, 1, 0, 0, 0, 0]], method="exact") - np.log(0.75 / 32)) < MEAN_FIELD


def test_hidden_sizes_are_bottom_level_first(fitted):
    assert (len(fitted.transform(ROWS, layer=0)[0]), len(fitted.transform(ROWS, layer=1)[0])) == SIZES
