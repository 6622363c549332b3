"""In scikit-learn: pipelines, searches, cross-validation, processes, frames as output."""

import numpy as np
import pytest
from machines import learned

from wakesleep import Bits, datasets

pytest.importorskip("sklearn")
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError as SklearnNotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

import wakesleep
from wakesleep.sklearn import HelmholtzMachine as Derived

BARS = datasets.make_bars(400)
CLASSES = pytest.mark.parametrize("kind", [wakesleep.HelmholtzMachine, Derived], ids=["core", "derived"])


def machine(kind, **params):
    return kind(**{"hidden_layer_sizes": (8, 1), "batch_size": 20, "n_iter": 4, "random_state": 0, **params})


@CLASSES
@pytest.mark.filterwarnings("ignore::wakesleep.PoorFitWarning")  # the worse one earns it
def test_a_search_finds_the_better_of_two(kind):
    grid = {"hidden_layer_sizes": [(1,), (8, 1)], "rule": ["wake-sleep", "reweighted"]}
    search = GridSearchCV(machine(kind, learning_rate=0.3, n_iter=30), grid, cv=KFold(2)).fit(BARS.to_dense())
    scores = dict(zip(map(str, search.cv_results_["params"]), search.cv_results_["mean_test_score"], strict=True))
    for rule in grid["rule"]:
        of_sizes = [scores[str({"hidden_layer_sizes": sizes, "rule": rule})] for sizes in grid["hidden_layer_sizes"]]
        assert of_sizes[1] > of_sizes[0] + 0.5
    assert search.best_params_ == {"hidden_layer_sizes": (8, 1), "rule": "reweighted"}
    assert type(search.best_estimator_) is kind


@CLASSES
@pytest.mark.parametrize("as_data", [Bits.to_dense, lambda bits: bits], ids=["dense", "bits"])
def test_cross_validation_gives_the_log_likelihood_of_rows_left_out(kind, as_data):
    halves = [BARS[:200], BARS[200:]]
    by_hand = [machine(kind).fit(halves[1]).score(halves[0]), machine(kind).fit(halves[0]).score(halves[1])]
    assert cross_val_score(machine(kind), as_data(BARS), cv=KFold(2)).tolist() == by_hand


@CLASSES
def test_cross_validation_in_two_processes_gives_the_same_bits(kind):
    X = BARS.to_dense()
    alone = cross_val_score(machine(kind), X, cv=3)
    np.testing.assert_array_equal(cross_val_score(machine(kind), X, cv=3, n_jobs=2), alone)


@CLASSES
def test_tags_tell_whether_cells_may_be_missing(kind):
    for missing in (None, "marginalise"):
        assert get_tags(machine(kind, missing=missing)).input_tags.allow_nan == (missing is not None)


@CLASSES
def test_codes_feed_a_classifier_in_a_pipeline(kind):
    X = BARS.to_dense()
    y = X[:, :4].sum(axis=1) > 1
    pipeline = make_pipeline(machine(kind), GaussianNB()).fit(X, y)
    codes = machine(kind).fit(X).transform(X)
    np.testing.assert_array_equal(pipeline.predict(X), GaussianNB().fit(codes, y).predict(codes))
    assert pipeline[:-1].get_feature_names_out().tolist() == ["helmholtzmachine0"]
    assert pipeline.set_params(helmholtzmachine__n_iter=1)[0].n_iter == 1


def test_routing_asks_a_pipeline_for_another_level():
    X = BARS.to_dense()
    y = X[:, :4].sum(axis=1) > 1
    codes = machine(Derived).fit(X).transform(X, layer=0)
    alone = GaussianNB().fit(codes, y)
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(machine(Derived).set_transform_request(layer=True), GaussianNB()).fit(X, y, layer=0)
        np.testing.assert_array_equal(pipeline.predict_proba(X, layer=0), alone.predict_proba(codes))
        search = GridSearchCV(pipeline, {"helmholtzmachine__n_iter": [1, 4]}, cv=KFold(2)).fit(X, y, layer=0)
        assert search.best_estimator_[-1].n_features_in_ == 8


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_other_methods_than_transform_give_arrays_as_those_of_scikit_learn_do(container):
    pytest.importorskip(container)
    X = BARS.to_dense()
    for estimator in (machine(Derived), PCA(1)):
        fitted = estimator.set_output(transform=container).fit(X)
        codes = fitted.transform(X)
        assert type(codes).__module__.startswith(container)
        assert type(fitted.inverse_transform(np.abs(codes.to_numpy()) / 10)) is np.ndarray
    machine_of_frames = machine(Derived).set_output(transform=container).fit(X)
    assert type(machine_of_frames.reconstruct(X)) is type(machine_of_frames.impute(X)) is np.ndarray


@CLASSES
def test_a_clone_has_the_arguments_and_nothing_else(kind):
    fitted = machine(kind, frozen=["prior_logits"]).fit(BARS)
    copy = clone(fitted)
    assert type(copy) is kind
    assert copy.get_params() == fitted.get_params()
    assert vars(copy).keys() == fitted.get_params().keys()


def test_both_classes_learn_the_same_bits():
    assert learned(machine(Derived).fit(BARS)) == learned(machine(wakesleep.HelmholtzMachine).fit(BARS))


def test_frames_are_of_the_top_level():
    pandas = pytest.importorskip("pandas")
    fitted = machine(Derived).set_output(transform="pandas").fit(BARS)
    frame = fitted.transform(BARS)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == ["helmholtzmachine0"]
    pandas.testing.assert_frame_equal(fitted.transform(BARS, layer=1), frame)
    advice = r'because the output is set to frames of pandas, .*; set_output\(transform="default"\) sets it to arrays'
    with pytest.raises(ValueError, match=f"^layer: want the top level, -1, got 0, {advice}"):
        fitted.transform(BARS, layer=0)
    with pytest.raises(ValueError, match=f"^bits: want False, got True, {advice}"):
        fitted.transform(BARS, bits=True)
    reconstructed = fitted.reconstruct(BARS)
    np.testing.assert_array_equal(reconstructed, fitted.set_output(transform="default").reconstruct(BARS))
    assert fitted.set_output(transform="default").transform(BARS, layer=0).shape == (400, 8)


def test_a_machine_that_is_not_fitted_says_so_in_both_ways():
    for kind in (SklearnNotFittedError, wakesleep.NotFittedError):
        with pytest.raises(kind, match="This HelmholtzMachine has no parameters yet: call fit"):
            machine(Derived).transform(BARS)
    with pytest.raises(wakesleep.NotFittedError):
        machine(wakesleep.HelmholtzMachine).get_feature_names_out()


@CLASSES
def test_weights_of_rows_are_refused_in_plain_words(kind):
    weights = np.ones(len(BARS))
    fault = "^sample_weight: not supported by fit, which takes X, y, validation, callbacks, resume$"
    with pytest.raises(TypeError, match=fault):
        machine(kind).fit(BARS, sample_weight=weights)
    with pytest.raises(TypeError, match=fault):
        make_pipeline("passthrough", machine(kind)).fit(BARS, helmholtzmachine__sample_weight=weights)
    with pytest.raises(TypeError, match=r"^sample_weight: not supported by partial_fit, which takes X, y$"):
        machine(kind).partial_fit(BARS, sample_weight=weights)
    assert not has_fit_parameter(machine(kind), "sample_weight")


def test_notebooks_get_the_small_table():
    bundle = machine(Derived)._repr_mimebundle_()
    assert bundle["text/html"] == machine(wakesleep.HelmholtzMachine)._repr_html_()
    assert bundle["text/plain"] == repr(machine(Derived))
