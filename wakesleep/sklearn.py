"""The machine as an estimator of scikit-learn's own, and as an imputer; both have `set_output`, for data frames."""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

try:
    from sklearn import get_config
    from sklearn.base import BaseEstimator, DensityMixin, OneToOneFeatureMixin, TransformerMixin, clone
    from sklearn.exceptions import NotFittedError as SklearnNotFittedError
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("wakesleep.sklearn needs scikit-learn: pip install 'wakesleep[sklearn]'") from error

from wakesleep import estimator, imputer, machine
from wakesleep._packing import as_matrix, dense, without_missing
from wakesleep.bits import Bits
from wakesleep.likelihood.imputation import is_exact
from wakesleep.rows import as_bits

__all__ = ["HelmholtzImputer", "HelmholtzMachine", "NotFittedError"]


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
        if container != "default" and (bits or self._level(layer) != self._level(-1)):
            wrong = f"bits: want False, got {bits!r}" if bits else f"layer: want the top level, -1, got {layer!r}"
            raise ValueError(
                f"{wrong}, because the output is set to frames of {container}, whose columns are the probabilities of "
                'the top units; set_output(transform="default") sets it to arrays, of any level, and to Bits'
            )
        return machine.HelmholtzMachine.transform(self, X, layer, bits=bits)

    def fit_transform(self, X: Any, y: None = None, layer: int = -1) -> Any:
        """`fit`, then `transform` of the same rows."""
        return machine.HelmholtzMachine.fit_transform(self, X, y, layer)

    def score(self, X: Any, y: None = None, **how: Any) -> float:
        """Mean log p(x), nats; keywords as in `score_samples`."""
        return machine.HelmholtzMachine.score(self, X, y, **how)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


class HelmholtzImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fill missing cells in, as a step of a pipeline: `fit` trains a machine on rows with gaps, `transform` imputes.

    Observed cells stay what they are: data that are coded otherwise than by 0 and 1 get probabilities beside them.

    Parameters
    ----------
    estimator : HelmholtzMachine, optional
        What learns: a clone of it is trained, with ``missing="marginalise"``. None: a machine with its defaults.
    method : {"auto", "exact", "importance"}, default="auto"
    n_particles : int, default=1000
    draws : bool, default=False
        These three are those of `HelmholtzMachine.impute`: with `draws`, zeros and ones in place of probabilities.
    random_state : int, NumPy generator or None
        The seed of training and of what is filled in; None: the machine's own. Another one after `fit`, by
        `set_params`, gives other draws of the same machine.

    Attributes
    ----------
    estimator_ : HelmholtzMachine
        The one that was trained, with the names of the columns, if there were any.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,), object
        Only after `fit` to a data frame whose columns all have names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.naive_bayes import BernoulliNB
    >>> from sklearn.pipeline import make_pipeline
    >>> from wakesleep import datasets
    >>> from wakesleep.sklearn import HelmholtzImputer, HelmholtzMachine
    >>> bars = datasets.make_bars(500).to_dense()
    >>> X = np.where(np.random.default_rng(0).random(bars.shape) < 0.1, np.nan, bars)
    >>> machine = HelmholtzMachine((8, 1), batch_size=20, learning_rate=0.3, random_state=0)
    >>> pipeline = make_pipeline(HelmholtzImputer(machine), BernoulliNB(binarize=0.5)).fit(X, bars[:, 0])
    >>> pipeline[0].transform(X).shape, bool(pipeline.score(X, bars[:, 0]) > 0.9)
    ((500, 16), True)
    """

    def __init__(
        self, estimator: machine.HelmholtzMachine | None = None, *, method: str = "auto",
        n_particles: int = imputer.N_PARTICLES, draws: bool = False, random_state: Any = None,
    ) -> None:  # fmt: skip
        self.estimator = estimator
        self.method = method
        self.n_particles = n_particles
        self.draws = draws
        self.random_state = random_state

    def fit(self, X: Any, y: None = None, *, validation: Any = None) -> Self:
        """Train a machine on X.

        Parameters
        ----------
        X : array-like or data frame of shape (n, D)
            NaN, None and ``pandas.NA`` are the missing cells. What is 1 is for the machine's `binarize` to say.
        y : ignored
        validation : float, or array-like or data frame of shape (m, D), optional
            A share of X that is held out, or rows; an `estimator` with `patience` needs it.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As `HelmholtzMachine.fit` and `impute` do, or for an `estimator` that is no machine.
        """
        if not isinstance(self.estimator, machine.HelmholtzMachine | None):
            raise TypeError(f"estimator: want a HelmholtzMachine or None, got {self.estimator!r:.80}")
        learner = HelmholtzMachine() if self.estimator is None else clone(self.estimator)
        learner.set_params(missing="marginalise")
        if self.random_state is not None:
            learner.set_params(random_state=self.random_state)
        sizes = learner._settings().hidden_layer_sizes  # an error of its arguments comes before one of X
        rows = self._named(self._cells(X, reset=True), learner)
        is_exact(self.method, (rows.n_features, *sizes), self.n_particles, self.draws)  # or an error before training
        if not isinstance(validation, Real | None):
            validation = self._named(self._cells(validation, reset=False, name="validation"), learner)
        self.estimator_ = learner.fit(rows, validation=validation)
        return self

    def transform(self, X: Any) -> Any:
        """X with its missing cells filled in; the observed ones are what they were.

        Parameters
        ----------
        X : array-like or data frame of shape (n, D)

        Returns
        -------
        ndarray of shape (n, D), or a frame where `set_output` wants one
            float32 for float32 input, else float64: probabilities that a missing cell is above `binarize`, or `draws`.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        check_is_fitted(self)
        cells = self._cells(X, reset=False)
        filled = self.estimator_.impute(
            self._named(cells, self.estimator_), method=self.method, n_particles=self.n_particles, draws=self.draws,
            random_state=self.random_state,
        )  # fmt: skip
        return np.where(np.isnan(cells), filled, cells).astype(imputer.float_of(cells), copy=False)

    def _cells(self, X: Any, reset: bool, name: str = "X") -> NDArray[Any]:
        """X as an array of numbers, NaN where they are missing, once its columns are those that `fit` saw."""
        if hasattr(X, "tocsr"):
            raise TypeError(f"{name}: want a dense array or a data frame, got a sparse matrix; its toarray() makes one")
        matrix = as_matrix(X, name)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return without_missing(dense(matrix, slice(0, matrix.shape[0])), name, "marginalise")[0]

    def _named(self, cells: NDArray[Any], learner: machine.HelmholtzMachine) -> Bits:
        """Cells as the learner reads them, with the names of the columns, if there are any, so that it has them too."""
        rows = as_bits(cells, binarize=learner.binarize, missing="marginalise")
        names = getattr(self, "feature_names_in_", None)
        rows.feature_names = None if names is None else tuple(map(str, names))
        return rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
