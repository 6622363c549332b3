"""The imputer: observed cells as they were, missing ones as the machine says, in pipelines and searches."""

import pickle

import numpy as np
import pytest

from wakesleep import Bits, datasets

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

import wakesleep
from wakesleep.sklearn import HelmholtzImputer, HelmholtzMachine

BARS = datasets.make_bars(400).to_dense(float)
GAPS = np.random.default_rng(0).random(BARS.shape) < 0.2
X = np.where(GAPS, np.nan, BARS)


def machine(kind=HelmholtzMachine, **params):
    return kind((8, 1), **{"batch_size": 20, "learning_rate": 0.3, "n_iter": 4, **params})


@pytest.mark.parametrize("kind", [wakesleep.HelmholtzMachine, HelmholtzMachine], ids=["core", "derived"])
def test_missing_cells_are_what_the_machine_says_and_the_others_what_they_were(kind):
    coded = np.where(X == 1, 0.75, X)  # is above `binarize`
    filled = HelmholtzImputer(machine(kind), random_state=3).fit_transform(coded)
    by_hand = machine(kind, missing="marginalise", random_state=3).fit(X).impute(X)
    np.testing.assert_array_equal(filled[GAPS], by_hand[GAPS])
    np.testing.assert_array_equal(filled[~GAPS], coded[~GAPS])


def test_the_given_machine_is_only_copied():
    given = machine()
    imputer = HelmholtzImputer(given, random_state=1).fit(X)
    assert (given.missing, given.random_state) == (None, None)
    assert not hasattr(given, "prior_logits_")
    assert (imputer.estimator_.missing, imputer.estimator_.random_state) == ("marginalise", 1)
    assert HelmholtzImputer(machine(random_state=2)).fit(X).estimator_.random_state == 2


@pytest.mark.filterwarnings("ignore::wakesleep.PoorFitWarning")
def test_without_a_machine_it_is_one_with_the_defaults():
    assert repr(HelmholtzImputer().fit(X).estimator_) == "HelmholtzMachine(missing='marginalise')"


def test_draws_are_zeros_and_ones_and_another_seed_gives_others():
    imputer = HelmholtzImputer(machine(), draws=True, random_state=0).fit(X)
    some, others = imputer.transform(X), imputer.set_params(random_state=1).transform(X)
    assert set(np.unique(some[GAPS])) == set(np.unique(others[GAPS])) == {0.0, 1.0}
    assert (some[GAPS] != others[GAPS]).any()


def test_patience_has_rows_to_hold_out():
    patient = machine(patience=1, n_iter=30, random_state=0)
    imputer = HelmholtzImputer(patient).fit(X, validation=0.25)
    assert imputer.estimator_.n_iter_ < 30
    by_hand = clone(patient).set_params(missing="marginalise").fit(X, validation=0.25)
    assert np.array_equal(imputer.estimator_.parameters_.flat, by_hand.parameters_.flat)
    frames = [pytest.importorskip("pandas").DataFrame(part).add_prefix("bar") for part in (X[:300], X[300:])]
    apart = HelmholtzImputer(patient).fit(frames[0], validation=frames[1]).estimator_
    by_hand = clone(patient).set_params(missing="marginalise").fit(X[:300], validation=X[300:])
    assert apart.history_[-1]["log_likelihood"] == by_hand.history_[-1]["log_likelihood"]
    with pytest.raises(ValueError, match=r"^validation: want columns of numbers"):
        HelmholtzImputer(patient).fit(frames[0], validation=frames[1].astype(str))
    with pytest.raises(ValueError, match=r"^validation: want a share of the rows between 0 and 1"):
        HelmholtzImputer(patient).fit(X, validation=2)


def test_how_it_fills_in_is_passed_on():
    imputer = HelmholtzImputer(machine(), random_state=0, method="importance", n_particles=2).fit(X)
    expected = imputer.estimator_.impute(X, method="importance", n_particles=2)
    np.testing.assert_array_equal(imputer.transform(X), expected)
    assert (imputer.set_params(method="exact").transform(X) != expected).any()


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_frames_come_out_with_the_names_that_went_in(container):
    library = pytest.importorskip(container)
    names = [f"bar {n}" for n in range(16)]
    frame = library.DataFrame({name: X[:, n] for n, name in enumerate(names)})
    imputer = HelmholtzImputer(machine(), random_state=0).set_output(transform=container).fit(frame)
    filled = imputer.transform(frame)
    assert isinstance(filled, library.DataFrame)
    assert list(filled.columns) == imputer.get_feature_names_out().tolist() == names
    np.testing.assert_array_equal(filled.to_numpy(), imputer.set_output(transform="default").transform(X))
    with pytest.raises(ValueError, match="feature names should match"):
        imputer.transform(frame[names[::-1]])


@pytest.mark.parametrize("kind", [wakesleep.HelmholtzMachine, HelmholtzMachine], ids=["core", "derived"])
def test_its_machine_is_the_one_that_learns_from_the_frame_itself(kind):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"bar {n}" for n in range(16)])
    imputer = HelmholtzImputer(machine(kind), random_state=0).fit(frame)
    by_hand = machine(kind, missing="marginalise", random_state=0).fit(frame)
    assert imputer.estimator_.feature_names_in_.tolist() == list(frame.columns)
    assert imputer.estimator_.score(frame) == by_hand.score(frame)
    np.testing.assert_array_equal(imputer.transform(frame)[GAPS], by_hand.impute(frame)[GAPS])
    with pytest.warns(UserWarning, match=r"X does not have valid feature names, but HelmholtzImputer") as caught:
        imputer.transform(X)
    assert len(caught) == 1, "its machine warns as well"
    assert not hasattr(imputer.fit(X).estimator_, "feature_names_in_")


def test_values_beyond_0_and_1_are_told_by_the_names_of_their_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"bar {n}" for n in range(16)]).replace({"bar 3": {1.0: 5.0}})
    with pytest.warns(UserWarning, match=r"^X: has values from 0 to 5 in column 'bar 3'; binarize=0.5"):
        HelmholtzImputer(machine(), random_state=0).fit(frame)


def test_cells_that_are_missing_in_other_ways_are_filled_in_alike():
    pandas = pytest.importorskip("pandas")
    imputer = HelmholtzImputer(machine(), random_state=0).fit(X)
    expected = imputer.transform(X)
    others = np.where(GAPS, None, BARS), pandas.DataFrame(X).astype("boolean").to_numpy(object, na_value=None)
    for other in (*others, Bits.from_dense(X, missing="marginalise")):
        np.testing.assert_allclose(imputer.transform(other), expected, rtol=0, atol=1e-7)
    for dtype, found in ((np.float16, np.float64), (np.float32, np.float32), (np.float64, np.float64)):
        assert imputer.transform(X.astype(dtype)).dtype == found


@pytest.mark.parametrize("form", ["frame", "nullable frame", "array", "list"])
def test_cells_of_pandas_that_are_not_available_are_missing(form):
    pandas = pytest.importorskip("pandas")
    cells = np.where(GAPS, pandas.NA, BARS.astype(object))
    frame = pandas.DataFrame(cells, columns=[f"bar {n}" for n in range(16)])
    given = {"frame": frame, "nullable frame": frame.astype("Int64"), "array": cells, "list": cells.tolist()}[form]
    imputer = HelmholtzImputer(machine(), random_state=0)
    expected = imputer.fit_transform(X)
    filled = imputer.fit_transform(given)
    np.testing.assert_array_equal(filled, expected)
    assert filled.dtype == np.float64


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array"])
def test_a_sparse_matrix_is_refused_with_what_to_do(kind):
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"^X: want a dense array or a data frame, got a sparse matrix; its toarray"):
        HelmholtzImputer(machine()).fit(getattr(sparse, kind)(BARS))


def test_it_feeds_a_classifier_in_a_search():
    y = BARS[:, 0]
    pipeline = make_pipeline(HelmholtzImputer(machine(), random_state=0), GaussianNB())
    search = GridSearchCV(pipeline, {"helmholtzimputer__estimator__n_iter": [0, 30]}, cv=KFold(2)).fit(X, y)
    halves = [(slice(200, 400), slice(0, 200)), (slice(0, 200), slice(200, 400))]
    for n_iter, score in zip([0, 30], search.cv_results_["mean_test_score"], strict=True):
        imputers = [HelmholtzImputer(machine(n_iter=n_iter), random_state=0).fit(X[train]) for train, _ in halves]
        by_hand = [
            GaussianNB().fit(imputer.transform(X[train]), y[train]).score(imputer.transform(X[test]), y[test])
            for imputer, (train, test) in zip(imputers, halves, strict=True)
        ]
        assert score == np.mean(by_hand)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))
    copy = clone(search.best_estimator_)[0]
    assert copy.estimator.n_iter == search.best_estimator_[0].estimator.n_iter
    with pytest.raises(NotFittedError):
        copy.transform(X)


@pytest.mark.parametrize(("arguments", "kind", "fault"), [
    ({"estimator": GaussianNB()}, TypeError, r"^estimator: want a HelmholtzMachine or None, got GaussianNB\(\)"),
    ({"estimator": machine(binarize="sample")}, ValueError, '^missing: want None with binarize="sample"'),
    ({"n_particles": 0}, ValueError, "^n_particles: want a whole number from 1"),
    ({"n_particles": 2.5}, TypeError, "^n_particles: want a whole number, got 2.5"),
    ({"method": "ais"}, ValueError, "^method: want "),
    ({"method": np.arange(3)}, ValueError, "^method: want "),
    ({"method": "exact", "estimator": wakesleep.HelmholtzMachine((17,))}, ValueError, '^method: "exact" wants at most'),
    ({"draws": 2}, TypeError, "^draws: want True or False, got 2"),
    ({"draws": "yes"}, TypeError, "^draws: want True or False, got 'yes'"),
])  # fmt: skip
def test_other_arguments_are_refused_before_training(arguments, kind, fault):
    imputer = HelmholtzImputer(**{"estimator": machine(), **arguments})
    with pytest.raises(kind, match=fault):
        imputer.fit(X)
    assert not hasattr(imputer, "estimator_")
    if "estimator" not in arguments:
        with pytest.raises(kind, match=fault):
            HelmholtzImputer(machine()).fit(X).set_params(**arguments).transform(X)
