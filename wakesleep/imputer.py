"""`Imputer`: what a machine that has learned says of missing cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import hyperparameters, likelihood, monitor
from wakesleep.bits import Bits
from wakesleep.learner import Learner
from wakesleep.likelihood.imputation import is_exact
from wakesleep.notices import warn
from wakesleep.rows import drawn_by_content

N_PARTICLES = 1000
UNTAUGHT = (
    "what is filled in may be far off, because q has not learned to recognise rows with gaps; "
    'missing="marginalise" teaches it, where learning meets such rows'
)
FAR_OFF = 'cells may be far off; more particles help, and learning from rows with such gaps (missing="marginalise")'


class Imputer(Learner):
    """`impute`."""

    def impute(
        self, X: Any, *, method: str = "auto", n_particles: int = N_PARTICLES, draws: bool = False,
        random_state: Any = None,
    ) -> NDArray[Any]:  # fmt: skip
        """Fill missing cells in, by what the observed cells of their row say under p.

        Parameters
        ----------
        X : array-like, SciPy sparse matrix or Bits of shape (n, D)
            NaN, and None among objects, are the missing cells, whatever the machine was trained on.
        method : {"auto", "exact", "importance"}, default="auto"
            "exact" adds up all states of the lowest hidden level, of at most 16 units and 2**23 / D states.
            "importance" lets `n_particles` samples from q stand for the posterior by their weights, or as many
            fantasies (4,096 at most) where these explain the few observed cells of a row well enough. "auto" is
            exact where that takes no more states than particles, or than 2**18 / D (64 visible and 12 hidden units),
            else importance.
        n_particles : int, default=1000
            Per row. Of machines of 40-16-4 and 64-32-16 units with 15 to 50 % of the cells missing, 1,000 of them left
            probabilities off by 0.004 to 0.016 on average, single ones by 0.2, where learning had met gaps
            (``missing="marginalise"``), and by 0.006 to 0.04, and 0.6, where it had not; 10,000 half of the former, or
            less. With 95 % or all of the cells missing, 1,000 left them off by less than 0.01, and 0.1.
        draws : bool, default=False
            False: the probabilities that missing cells are 1. True: zeros and ones, the cells of a row drawn together.
        random_state : int, NumPy generator or None
            None repeats the same particles and draws. What is filled in depends on the seed and the row's content only.

        Returns
        -------
        ndarray of shape (n, D)
            float32 for Bits and float32 input, else float64; with `draws` uint8. Observed cells are 0 or 1, as X says.

        Raises
        ------
        NotFittedError, ValueError, TypeError

        Warns
        -----
        UserWarning
            If the machine has not learned from rows with missing cells, save where nothing is missing or what is filled
            in is exact.
        SampleSizeWarning
            If what is filled in rests on a single one of 100 samples or more in many rows.

        Examples
        --------
        >>> from wakesleep import HelmholtzMachine
        >>> machine = HelmholtzMachine.from_parameters(
        ...     [0.0], [([[6.0, 6.0]], [-3.0, -3.0])], [([[3.0], [3.0]], [-1.5])]
        ... )
        >>> machine.impute([[1, np.nan], [np.nan, 0]]).round(1)
        array([[1. , 0.9],
               [0.1, 0. ]])
        """
        self._check_fitted()
        is_exact(method, self._state.parameters.sizes, n_particles, draws)  # an error of these comes before one of X
        if isinstance(self.binarize, str):
            raise ValueError('binarize: want a threshold or None to impute, got "sample"')
        data = drawn_by_content(self._rows(X, fitted=True, missing="marginalise"), self._state.seed)
        filled, sizes = likelihood.impute(
            self._state.parameters, self._state.methods, data, method=method, n_particles=n_particles, draws=draws,
            seed=self._seed(random_state), n_threads=hyperparameters.threads(self.n_threads),
        )  # fmt: skip
        if sizes is not None and not self._gaps:
            warn(UNTAUGHT, UserWarning)
        if sizes is not None:
            monitor.warn_of_single(sizes, n_particles, "what is filled in", FAR_OFF)
        return filled if draws else filled.astype(float_of(X), copy=False)


def float_of(X: Any) -> type[np.float32] | type[np.float64]:
    """The type of what comes out, for what goes in."""
    return np.float32 if isinstance(X, Bits) or getattr(X, "dtype", None) == np.float32 else np.float64
