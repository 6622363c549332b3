"""`HelmholtzMachine(missing="marginalise")`: what it learns, that it learns the same bits, and what it refuses."""

import numpy as np
import pytest
from machines import DIGITS, learned, measured, small, stopped, through_a_file

from wakesleep import Bits, HelmholtzMachine, datasets, likelihood

NAN = np.nan
LARGE = {"hidden_layer_sizes": (70, 65), "batch_size": 100}  # work for several threads


def lacking(X, share=0.3, seed=0):
    """The rows with this share of the cells gone, as float64."""
    dense = np.asarray(X, np.float64)
    return np.where(np.random.default_rng(seed).random(dense.shape) < share, np.nan, dense)


ROWS = lacking(DIGITS[:130])
BITS = Bits.from_dense(ROWS, missing="marginalise")


def marginalising(**params):
    return small(missing="marginalise", **params)


# ---- the same bits ----


@pytest.mark.parametrize("rule", ["wake-sleep", "reweighted", "vimco"])
def test_rows_without_missing_cells_teach_the_same_bits_as_ever(rule):
    X, dense = DIGITS[:130], np.asarray(DIGITS[:130], np.float64)
    ever = learned(small(rule=rule).fit(X))
    assert learned(marginalising(rule=rule).fit(X)) == ever
    assert learned(marginalising(rule=rule).fit(dense)) == ever
    assert learned(marginalising(rule=rule).fit(ROWS)) != ever


@pytest.mark.parametrize(
    "params",
    [
        *({}, {"rule": "reweighted"}, {"rule": "vimco", "optimizer": "adam", "clip_norm": 1.0}),
        *({"sleep_steps": 2}, {"batch_size": 1, "n_iter": 1}),
    ],
    ids=str,
)
def test_all_kinds_of_input_and_numbers_of_threads_teach_the_same_bits(params, cpu_level):
    expected = learned(marginalising(**params).fit(BITS))
    for X in (ROWS, ROWS.astype(np.float32), np.where(np.isnan(ROWS), None, ROWS)):
        assert learned(marginalising(**params).fit(X)) == expected
    large = [learned(marginalising(**LARGE | params, n_threads=n).fit(BITS)) for n in (1, 2, 3)]
    assert large[0] == large[1] == large[2]


def test_a_mapped_file_of_two_planes_teaches_the_same_bits(tmp_path):
    BITS.save(tmp_path / "rows.bits")
    assert learned(marginalising().fit(Bits.open(tmp_path / "rows.bits"))) == learned(marginalising().fit(BITS))


@pytest.mark.parametrize("params", [{}, {"rule": "reweighted", "optimizer": "adam", "learning_rate": 0.01}], ids=str)
def test_a_training_goes_on_as_if_it_had_never_stopped(tmp_path, params):
    whole = marginalising(**params).fit(BITS)
    machine = stopped(marginalising(**params), BITS, 7)
    machine = through_a_file(machine, tmp_path / "machine.npz")
    assert machine.missing == "marginalise"
    assert learned(machine.fit(BITS, resume=True)) == learned(whole)
    parts = marginalising(**params)
    for _ in range(3):
        parts.partial_fit(ROWS)
    assert learned(parts) == learned(whole)


def test_a_training_goes_on_with_the_same_missing_cells_only(tmp_path):
    machine = marginalising(n_iter=1).fit(BITS).set_params(n_iter=2)
    with pytest.raises(ValueError, match="X: want the 130 rows that training began with, got 130 others"):
        machine.fit(BITS.filled(), resume=True)


def test_held_out_rows_may_lack_cells():
    for validation in (0.2, lacking(DIGITS[130:200])):
        machine = marginalising(n_iter=2).fit(ROWS, validation=validation)
        assert all(np.isfinite(entry["log_likelihood"]) for entry in measured(machine))
        zeros = marginalising(n_iter=2).fit(ROWS, validation=np.nan_to_num(lacking(DIGITS[130:200])))
        assert measured(zeros)[-1]["log_likelihood"] != measured(machine)[-1]["log_likelihood"]


# ---- where it begins ----


def test_biases_begin_at_the_logits_of_the_observed_mean():
    machine = marginalising(n_iter=0).fit(ROWS)
    ones, n = np.nansum(ROWS, axis=0), (~np.isnan(ROWS)).sum(axis=0)
    np.testing.assert_allclose(machine.generative_[0].biases, np.log((ones + 1) / (n - ones + 1)), rtol=1e-6, atol=1e-7)


@pytest.mark.filterwarnings("ignore:X. .* observed")
def test_rows_and_columns_without_any_cell_are_allowed():
    X = ROWS.copy()
    X[3], X[:, 5] = np.nan, np.nan
    machine = marginalising(rule="reweighted").fit(X)
    begun = marginalising(n_iter=0).fit(X)
    assert machine.generative_[0].biases[5] == begun.generative_[0].biases[5] == 0
    np.testing.assert_array_equal(machine.generative_[0].weights[:, 5], begun.generative_[0].weights[:, 5])
    assert machine.score_samples(X[3:4], method="exact")[0] == pytest.approx(0, abs=1e-12)
    empty = marginalising(n_iter=1).fit(np.full((5, 4), np.nan))
    assert np.isfinite(empty._state.parameters.flat).all()


# ---- what it learns ----


def test_a_machine_learns_from_rows_that_lack_a_third_of_their_cells():
    """Bars: its log p(x) comes near that of a machine that has seen all, and it fills in better than means do."""
    X, test = datasets.make_bars(3000, random_state=0), datasets.make_bars(1000, random_state=1)
    Y, gone = lacking(X), np.isnan(lacking(test, seed=2))
    params = {
        "rule": "reweighted", "optimizer": "adam", "learning_rate": 0.02, "n_iter": 25, "batch_size": 50,
        "random_state": 0, "missing": "marginalise",
    }  # fmt: skip
    whole, part = (HelmholtzMachine((9,), **params).fit(rows) for rows in (X, Y))
    zeros = HelmholtzMachine((9,), **params).fit(np.nan_to_num(Y))
    of_whole, of_part, of_zeros = (machine.score(test, method="exact") for machine in (whole, part, zeros))
    independent = likelihood.independent_log_likelihood(X, test).mean()
    assert of_part > of_whole - 0.2 * (of_whole - independent)
    assert of_zeros < of_whole - 0.2 * (of_whole - independent), "this test has no power"

    x = np.asarray(test, np.float64)
    filled = part.impute(np.where(gone, np.nan, x), n_particles=200)

    def cross_entropy(p):
        return -np.log(np.where(x == 1, p, 1 - p).clip(1e-6))[gone].mean()

    means = np.broadcast_to(np.nanmean(Y, axis=0), x.shape)
    assert cross_entropy(filled) < 0.6 * cross_entropy(means)


# ---- what it refuses ----


def test_nan_is_an_error_as_ever_unless_it_is_asked_for():
    for method in ("fit", "partial_fit"):
        with pytest.raises(
            ValueError, match=r"^X contains NaN at row 0, column \d+ \(with missing=\"marginalise\""
        ):
            getattr(small(), method)(ROWS)
        with pytest.raises(ValueError, match=r"^X contains missing cells: want missing=\"marginalise\" for them"):
            getattr(small(), method)(BITS)
    machine = small().fit(DIGITS[:130])
    for method in ("transform", "score_samples", "score", "reconstruct", "reconstruction_cross_entropy", "diagnostics"):
        with pytest.raises(ValueError, match=r"^X contains NaN"):
            getattr(machine, method)(ROWS)
        getattr(machine.set_params(missing="marginalise"), method)(ROWS)
        machine.set_params(missing=None)
    with pytest.raises(ValueError, match=r"^validation contains NaN"):
        small().fit(DIGITS[:130], validation=ROWS)


@pytest.mark.parametrize("missing", ["drop", True, 0, np.nan, ["marginalise"]])
def test_missing_is_none_or_marginalise(missing):
    with pytest.raises(ValueError, match=r"^missing: want None or \"marginalise\", got"):
        small(missing=missing).fit(DIGITS[:130])


def test_missing_cells_are_not_drawn():
    with pytest.raises(ValueError, match=r"^missing: want None with binarize=\"sample\", got 'marginalise'"):
        marginalising(binarize="sample").fit(ROWS)
    assert learned(marginalising(binarize=None).fit(ROWS)) == learned(marginalising().fit(ROWS))
    with pytest.raises(ValueError, match="X contains infinity"):
        marginalising().fit(np.where(np.isnan(ROWS), np.inf, ROWS))
