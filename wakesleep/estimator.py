"""The estimator protocol, as scikit-learn has it, and views of what was fitted; NumPy is all it needs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakesleep import checkpoint, html, hyperparameters, tables
from wakesleep.parameters import Layer, Parameters
from wakesleep.rows import Given, given_before
from wakesleep.state import State, restored
from wakesleep.version import package_version, warn_of_other

MANIFEST = {"package_version", "params", "state", "aside", "history"}
NEWER = {"data", "feature_names", "gaps"}  # which not every file has
VERSION = "_package_version"  # where a pickle has it
WITHOUT_WORDS = {"log_likelihood": -np.inf, "reconstruction_cross_entropy": np.nan}  # what null stands for in a record
MEASURED = (
    *WITHOUT_WORDS, "seconds", "rows_per_second", "standard_error", "n_particles", "effective_sample_size",
    "few_effective",
)  # fmt: skip  # numbers of a record that an epoch need not have
LARGEST = 1e100  # of them: far beyond what sums of float32 come to, and small enough for a picture
ASIDE = "aside."  # what begins the names of the second state's arrays in a file


class NotFittedError(ValueError, AttributeError):
    """The machine has no parameters yet: call `fit` first."""


class Estimator:
    """Constructor arguments by name, and fitted attributes that look into the training's `State`."""

    _state: State  # whose parameters are in use
    _aside: State | None = None  # with patience: the best one while training goes on, the last one afterwards
    _given: Given | None = None  # what `fit` began with; None after `partial_fit`, which takes any rows
    _feature_names: tuple[str, ...] | None = None  # of the frame that training began with
    _gaps: bool = False  # whether rows that were learned have missing cells, or are said to
    _not_fitted: type[NotFittedError] = NotFittedError
    missing: Any
    rule: Any
    history_: list[dict[str, Any]]

    @classmethod
    def _signature(cls) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(cls).parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {name: getattr(self, name) for name in self._signature()}

    def set_params(self, **params: Any) -> Self:
        """Change constructor arguments; all names are checked before any is set."""
        valid = self.get_params()
        for name in params:
            if name not in valid:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {type(self).__name__}. "
                    f"Valid parameters are: {list(valid)!r}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def _changed(self) -> dict[str, Any]:
        """The arguments that are not the defaults."""
        defaults = self._signature()
        return {k: v for k, v in self.get_params().items() if not np.array_equal(v, defaults[k].default)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._changed().items())})"

    def _repr_html_(self) -> str:
        """What notebooks show: levels, rule, how far training has come, and the arguments that are not the defaults."""
        name, rows = type(self).__name__, {"rule": self.rule} | self._changed()
        rows = {k: v if isinstance(v, str) else repr(v) for k, v in rows.items()}
        if not self._fitted:
            return html.table(f"{name}, not fitted", rows)
        levels = "-".join(map(str, self._state.parameters.sizes))
        told = {"levels": levels, "rule": rows["rule"], "epochs": self.n_iter_}
        held_out = [v for v in (entry.get("log_likelihood") for entry in self.history_) if isinstance(v, float)]
        told |= {"held-out log p(x), nats": f"{held_out[-1]:.3f}"} if held_out else {}
        return html.table(name, told | {k: v for k, v in rows.items() if k not in ("rule", "hidden_layer_sizes")})

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags  # only scikit-learn asks

        return Tags(
            estimator_type="density_estimator", target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float64", "float32"]),
            input_tags=InputTags(sparse=True, allow_nan=self.missing is not None),
        )  # fmt: skip

    # ---- what is fitted ----

    @property
    def _fitted(self) -> bool:
        return "_state" in vars(self)

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted

    def _check_fitted(self) -> None:
        if not self._fitted:
            raise self._not_fitted(f"This {type(self).__name__} has no parameters yet: call fit before this method.")

    def _fitted_state(self) -> State:
        self._check_fitted()
        return self._state

    @property
    def parameters_(self) -> Parameters:
        """All parameters, in one vector with named views: what the functions of `wakesleep.likelihood` take."""
        return self._fitted_state().parameters

    @property
    def generative_(self) -> list[Layer]:
        """Layers of p, bottom level first: ``generative_[l]`` goes from hidden level l down."""
        return self._fitted_state().parameters.generative

    @property
    def recognition_(self) -> list[Layer]:
        """Layers of q, bottom level first: ``recognition_[l]`` goes up to hidden level l."""
        return self._fitted_state().parameters.recognition

    @property
    def prior_logits_(self) -> NDArray[Any]:
        """Logits of the top units."""
        return self._fitted_state().parameters.prior_logits

    @property
    def n_features_in_(self) -> int:
        """Visible units."""
        return self._fitted_state().parameters.sizes[0]

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """Names of the visible units, where the machine was fitted to a frame or a ``.csv`` file that has names."""
        if self._feature_names is None:
            raise AttributeError("feature_names_in_: want a machine that was fitted to data with names of columns")
        return np.array(self._feature_names, object)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Names of the top units, the columns of `transform`: "helmholtzmachine0" and so on.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the visible units, which play no part but must be right.

        Returns
        -------
        ndarray of shape (n_top_units,), object

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If there are not `n_features_in_` of them, or `feature_names_in_` are others.
        """
        n_features = self.n_features_in_
        if input_features is not None:
            names = np.asarray(input_features, object)
            if self._feature_names is not None and names.tolist() != list(self._feature_names):
                raise ValueError("input_features is not equal to feature_names_in_")
            if names.shape != (n_features,):
                raise ValueError(
                    f"input_features should have length equal to number of features ({n_features}), "
                    f"got shape {names.shape}"
                )
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{unit}" for unit in range(self._state.parameters.sizes[-1])], object)

    @property
    def n_iter_(self) -> int:
        """Epochs done."""
        self._check_fitted()
        return self._frontier.epoch

    @property
    def step_(self) -> int:
        """Minibatches done."""
        self._check_fitted()
        return self._frontier.step

    @property
    def best_epoch_(self) -> int:
        """The epoch whose parameters these are."""
        return self._fitted_state().epoch

    @property
    def _frontier(self) -> State:
        """Where training stands."""
        return self._state if self._aside is None or self._aside.step < self._state.step else self._aside

    @property
    def _best(self) -> State | None:
        """The state of the best epoch so far, if it was kept."""
        return self._state if self._aside is not None and self._frontier is self._aside else self._aside

    # ---- keeping it ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one ``.npz`` file: what `load` and ``fit(resume=True)`` need to go on.

        A pickle has everything too, also a rule that is a function, but warns where another version reads it.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If `set_params` has made the arguments such that `load` would refuse them.
        OSError
            If the file cannot be written; an old one stays as it was.
        """
        self._check_fitted()
        self._check_sizes(self._settings())
        if callable(self.rule):
            raise TypeError("rule: a function cannot be saved; set_params(rule=...) to the name of a rule before")
        params = self.get_params() | {"hidden_layer_sizes": self._state.parameters.sizes[1:]}
        if params["random_state"] is not None and not isinstance(params["random_state"], int | np.integer):
            params["random_state"] = self._state.seed
        manifest: dict[str, Any] = {
            "package_version": package_version(), "params": params,
            "state": self._state.manifest(), "history": self.history_, "aside": None, "data": self._given,
            "gaps": self._gaps,
        }  # fmt: skip
        if self._feature_names is not None:
            manifest["feature_names"] = self._feature_names
        arrays = self._state.arrays()
        if self._aside is not None:
            manifest["aside"] = self._aside.manifest()
            arrays |= {f"{ASIDE}{name}": array for name, array in self._aside.arrays().items()}
        checkpoint.save(path, arrays, manifest)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a machine that `save` wrote; arguments that are newer than the file take their defaults.

        Raises
        ------
        CheckpointError
            If the file is damaged, or of another kind or version; it says which.
        OSError
            If it cannot be read.
        """
        arrays, manifest = checkpoint.load(path)
        try:
            if set(manifest) | NEWER != MANIFEST | NEWER:
                raise ValueError(f"want {', '.join(sorted(MANIFEST | NEWER))}, got {sorted(manifest)!r:.200}")
            if unknown := set(manifest["params"]) - set(cls().get_params()):
                raise ValueError(f"params: want those of this version, got also {sorted(unknown)!r:.200}")
            params = {k: tuple(v) if isinstance(v, list) else v for k, v in manifest["params"].items()}
            machine = cls().set_params(**params)
            aside = {name.removeprefix(ASIDE): arrays.pop(name) for name in list(arrays) if name.startswith(ASIDE)}
            settings = machine._settings()
            asleep = settings.rule.sleep_weight or settings.final_sleep_weight
            older = settings.optimizer.name, settings.rule.sleep_steps if asleep else 1
            machine._state = restored(arrays, manifest["state"], *older)
            machine._check_sizes(settings)
            if manifest["aside"] is not None:
                machine._aside = restored(aside, manifest["aside"], *older)
                if machine._aside.parameters.sizes != machine._state.parameters.sizes:
                    raise ValueError(f"aside: want the sizes of state, got {machine._aside.parameters.sizes!r:.80}")
            elif aside:
                raise ValueError(f"aside: want no arrays, got {sorted(aside)!r:.200}")
            machine._given = given_before(manifest.get("data"))
            machine._feature_names = _names(manifest.get("feature_names"), machine.n_features_in_)
            machine._gaps = hyperparameters.flag("gaps", manifest.get("gaps", machine.missing is not None))
            machine.history_ = manifest["history"]
            if type(machine.history_) is not list or not all(map(_is_record, machine.history_)):
                raise ValueError(f"history: want records of numbers with epoch and step, got {machine.history_!r:.80}")
            for entry in machine.history_:  # JSON has no words for these
                entry |= {name: value for name, value in WITHOUT_WORDS.items() if entry.get(name, 0) is None}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise checkpoint.CheckpointError(f"{os.fspath(path)}: not a machine: {error}") from error
        return machine

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {VERSION: package_version()}

    def __setstate__(self, pickled: Mapping[str, Any]) -> None:
        attributes = dict(pickled)
        warn_of_other(attributes.pop(VERSION, "an unknown one"), type(self).__name__)
        newer = {name: argument.default for name, argument in self._signature().items()}
        vars(self).update(newer | attributes)

    def _settings(self) -> hyperparameters.Settings:
        return hyperparameters.settings(self.get_params())

    def _check_sizes(self, settings: hyperparameters.Settings) -> None:
        sizes = self._state.parameters.sizes[1:]
        if settings.hidden_layer_sizes != sizes:
            raise ValueError(f"hidden_layer_sizes: want {sizes} as fitted, got {settings.hidden_layer_sizes}")


def _is_record(entry: Any) -> bool:
    """Whether it is one of an epoch, with numbers that a picture can show."""
    if type(entry) is not dict or not all(type(n := entry.get(k)) is int and 0 <= n < 2**64 for k in ("epoch", "step")):
        return False
    values = [value for value in map(entry.get, MEASURED) if value is not None]
    return all(type(value) in (int, float) and abs(value) <= LARGEST for value in values)


def _names(stored: Any, n_features: int) -> tuple[str, ...] | None:
    """Names of features, where a file has them."""
    if stored is None:
        return None
    if not isinstance(stored, list) or len(stored) != n_features or not all(isinstance(name, str) for name in stored):
        raise ValueError(f"feature_names: want {n_features} strings, got {stored!r:.80}")
    return tables.distinct_names(stored, "feature_names")
