"""The machine as an estimator of scikit-learn's own, which adds data frames as output: ``set_output``."""

from __future__ import annotations

from typing import Any

try:
    from sklearn import get_config
    from sklearn.base import BaseEstimator, DensityMixin, TransformerMixin
    from sklearn.exceptions import NotFittedError as SklearnNotFittedError
except ImportError as error:
    raise ImportError("wakesleep.sklearn needs scikit-learn: pip install 'wakesleep[sklearn]'") from error

from wakesleep import estimator, machine

__all__ = ["HelmholtzMachine", "NotFittedError"]


class NotFittedError(estimator.NotFittedError, SklearnNotFittedError):  # type: ignore[misc]
    """The machine has no parameters yet: call `fit` first."""


class HelmholtzMachine(TransformerMixin, DensityMixin, machine.HelmholtzMachine, BaseEstimator):  # type: ignore[misc]
    """`wakesleep.HelmholtzMachine`, derived from scikit-learn's `BaseEstimator`.

    Arguments, attributes, methods and every bit of what is learned are the same. That one works in pipelines and
    searches too; this one also has ``set_output`` and obeys ``sklearn.set_config(transform_output=...)``, with columns
    as `get_feature_names_out` names them, and its `NotFittedError` is scikit-learn's too. Frames come from `transform`
    and `fit_transform` alone, as with scikit-learn's own; `inverse_transform`, `reconstruct` and `impute` give arrays.

    Attributes
    ----------
    feature_names_in_ : ndarray of shape (n_features,), object
        Only after `fit` to a data frame whose columns all have names, or to a ``.csv`` file that has them.
    n_features_in_, n_iter_ : int
        Visible units, and epochs done. The others are those of `wakesleep.HelmholtzMachine`.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from wakesleep import datasets
    >>> from wakesleep.sklearn import HelmholtzMachine
    >>> X = datasets.make_bars(500).to_dense()
    >>> machine = HelmholtzMachine((8, 1), batch_size=20, learning_rate=0.3, random_state=0)
    >>> search = GridSearchCV(machine, {"n_iter": [1, 30]}, cv=3).fit(X)  # by log p(x)
    >>> search.best_params_
    {'n_iter': 30}

    A pipeline takes the top level. It takes another one, in searches too, where it is asked by metadata routing:

    >>> import sklearn
    >>> from sklearn.naive_bayes import BernoulliNB
    >>> from sklearn.pipeline import make_pipeline
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     pipeline = make_pipeline(machine.set_transform_request(layer=True), BernoulliNB())
    ...     shape = pipeline.fit(X, X[:, 0], layer=0).predict_proba(X, layer=0).shape
    >>> shape, pipeline[-1].n_features_in_
    ((500, 2), 8)
    """

    _not_fitted = NotFittedError

    # The mixins come first, and `set_output` wraps only what is in this class's own body.

    def __sklearn_tags__(self) -> Any:
        return machine.HelmholtzMachine.__sklearn_tags__(self)

    def transform(self, X: Any, layer: int = -1, *, bits: bool = False) -> Any:
        """Probabilities of the hidden units: an array, or a frame where `set_output` wants one, of the top level."""
        container = getattr(self, "_sklearn_output_config", {}).get("transform", get_config()["transform_output"])
        self._check_fitted()
        if container != "default" and self._level(layer) != self._level(-1):
            raise ValueError(f"layer: want the top level for a frame of {container}, got {layer!r}")
        if container != "default" and bits:
            raise ValueError(f"bits: want False for a frame of {container}, got {bits!r}")
        return machine.HelmholtzMachine.transform(self, X, layer, bits=bits)

    def fit_transform(self, X: Any, y: None = None, layer: int = -1) -> Any:
        """`fit`, then `transform` of the same rows."""
        return machine.HelmholtzMachine.fit_transform(self, X, y, layer)

    def score(self, X: Any, y: None = None, **how: Any) -> float:
        """Mean log p(x), nats; keywords as in `score_samples`."""
        return machine.HelmholtzMachine.score(self, X, y, **how)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
