"""`Imputer`: what a machine that has learned says of missing cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import hyperparameters, likelihood
from wakesleep.bits import Bits
from wakesleep.learner import Learner
from wakesleep.rows import drawn_by_content

N_PARTICLES = 100


class Imputer(Learner):
    """`impute`."""

    def impute(
        self, X: Any, *, n_particles: int = N_PARTICLES, draws: bool = False, random_state: Any = None
    ) -> NDArray[Any]:
        """Fill missing cells in, by what the observed cells of their row say under p.

        Parameters
        ----------
        X : array-like, SciPy sparse matrix or Bits of shape (n, D)
            NaN, and None among objects, are the missing cells, whatever the machine was trained on.
        n_particles : int, default=100
            Samples from q per row, which stand for the posterior by their weights. Where q is far from the posterior,
            more of them help.
        draws : bool, default=False
            False: the probabilities that missing cells are 1. True: zeros and ones, the cells of a row drawn together.
        random_state : int, NumPy generator or None
            None repeats the same particles. What is filled in depends on the seed and the row's content only.

        Returns
        -------
        ndarray of shape (n, D)
            float32 for Bits and float32 input, else float64; with `draws` uint8. Observed cells are 0 or 1, as X says.

        Raises
        ------
        NotFittedError, ValueError, TypeError

        Examples
        --------
        >>> from wakesleep import HelmholtzMachine
        >>> machine = HelmholtzMachine.from_parameters(
        ...     [0.0], [([[6.0, 6.0]], [-3.0, -3.0])], [([[3.0], [3.0]], [-1.5])]
        ... )
        >>> machine.impute([[1, np.nan], [np.nan, 0]], n_particles=1000).round(1)
        array([[1. , 0.9],
               [0.1, 0. ]])
        """
        self._check_fitted()
        n_particles, draws = hyperparameters.count("n_particles", n_particles), hyperparameters.flag("draws", draws)
        if isinstance(self.binarize, str):
            raise ValueError('binarize: want a threshold or None to impute, got "sample"')
        data = drawn_by_content(self._rows(X, fitted=True, missing="marginalise"), self._state.seed)
        filled = likelihood.impute(
            self._state.parameters, self._state.methods, data, n_particles=n_particles, draws=draws,
            seed=self._seed(random_state), n_threads=hyperparameters.threads(self.n_threads),
        )  # fmt: skip
        return filled if draws else filled.astype(float_of(X), copy=False)


def float_of(X: Any) -> type[np.float32] | type[np.float64]:
    """The type of what comes out, for what goes in."""
    return np.float32 if isinstance(X, Bits) or getattr(X, "dtype", None) == np.float32 else np.float64
