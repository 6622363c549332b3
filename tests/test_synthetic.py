"""Data from a hidden generator."""

import numpy as np
import pytest

from wakesleep import HelmholtzMachine
from wakesleep.datasets import make_synthetic
from wakesleep.datasets.synthetic import _normal

STANDARD_ERRORS = 4


def test_rows_come_from_the_generator_that_is_returned():
    X, true = make_synthetic(20_000, n_features=6, hidden_layer_sizes=(3, 2), random_state=5)
    machine = HelmholtzMachine.from_parameters(true.prior_logits, true.generative, true.recognition)
    rows = (np.arange(64)[:, None] >> np.arange(6) & 1).astype(np.uint8)
    p = np.exp(machine.score_samples(rows, method="exact"))
    seen = np.bincount(X.to_dense() @ (1 << np.arange(6)), minlength=64)
    z = (seen - len(X) * p) / np.sqrt(len(X) * p * (1 - p))
    assert np.abs(z).max() < STANDARD_ERRORS
    swapped = p.reshape((2,) * 6).T.ravel()  # features in reverse order
    assert np.abs((seen - len(X) * swapped) / np.sqrt(len(X) * swapped)).max() > STANDARD_ERRORS


def test_more_rows_begin_with_fewer():
    assert make_synthetic(30, random_state=2)[0] == make_synthetic(100, random_state=2)[0][:30]
    assert make_synthetic(30, random_state=2)[0] != make_synthetic(30, random_state=3)[0]


def test_rows_of_another_seed_have_noise_of_their_own():
    """Not only another generator: here, of one unit at even odds, both have the same."""
    rows = [make_synthetic(400, n_features=1, hidden_layer_sizes=(1,), random_state=seed) for seed in range(9)]
    on = np.array([X.to_dense()[:, 0] ^ (true.prior_logits[0] < 0) for X, true in rows])
    correlations = np.corrcoef(on)[np.triu_indices(9, 1)]
    assert np.abs(correlations).max() < STANDARD_ERRORS / np.sqrt(400)


def test_weights_are_normal_with_the_stated_scale_and_the_prior_half():
    _, true = make_synthetic(1, n_features=400, hidden_layer_sizes=(25,), random_state=1)
    weights = true.generative[0].weights.ravel() * np.sqrt(25) / 0.8
    assert abs(weights.mean()) < STANDARD_ERRORS / np.sqrt(weights.size)
    assert abs(weights.var() - 1) < STANDARD_ERRORS * np.sqrt(2 / weights.size)
    assert set(true.prior_logits.tolist()) == {-0.5, 0.5}
    assert not true.generative[0].biases.any()
    assert not any(layer.weights.any() for layer in true.recognition)


def test_normal_numbers_have_the_fourth_moment_of_the_normal():
    x = _normal(7, 0, 100_000)
    assert abs((x**4).mean() - 3) < STANDARD_ERRORS * np.sqrt(96 / len(x))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n_samples": 0}, "n_samples"),
        ({"n_features": 0}, "n_features"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes"),
        *(({"hidden_layer_sizes": sizes}, "hidden_layer_sizes") for sizes in (b"a", {3, 4}, "4", True, (2.0,), None)),
        *(({name: True}, name) for name in ("n_samples", "n_features", "random_state")),
        ({"random_state": -1}, "random_state"),
        ({"random_state": 2**64}, "random_state"),
    ],
)
def test_refuses_by_name(arguments, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: want "):
        make_synthetic(**arguments)


def test_a_single_number_is_one_level():
    (X, true), (same, _) = make_synthetic(9, hidden_layer_sizes=3), make_synthetic(9, hidden_layer_sizes=[3])
    assert true.sizes == (16, 3)
    assert same == X
