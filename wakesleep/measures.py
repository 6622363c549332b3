"""`Measures`: what a machine that has learned is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import hyperparameters, likelihood, monitor
from wakesleep.bits import Bits
from wakesleep.learner import Learner
from wakesleep.rows import drawn_by_content


class Measures(Learner):
    """`score_samples`, `score`, `reconstruction_cross_entropy`, `diagnostics` and `simulated_bounds`."""

    def score_samples(
        self, X: Any, y: None = None, *, method: str = "auto", n_particles: int = 1000, random_state: Any = None,
        n_steps: int = likelihood.N_STEPS,
    ) -> NDArray[np.float64]:
        """log p(x) of every row, or its bound, nats.

        Where cells are missing, that is log p of the observed ones: the fewer these are, the higher. To compare such
        rows, subtract ``likelihood.independent_log_likelihood(train, X)``, which counts the same cells.

        Parameters
        ----------
        X : array-like, data frame, SciPy sparse matrix, Bits or Probabilities of shape (n, D)
        y : ignored
        method : {"auto", "exact", "importance", "elbo", "ais"}, default="auto"
            "exact" adds up all hidden states, of at most 24 units, and if cells are missing, anew for each pattern of
            missing cells among the rows: where all patterns differ, for each row; "importance" estimates with
            `n_particles` samples from q, on average too low: its expectation is the bound IWAE_K with
            K = `n_particles`, which therefore is no method of its own. "elbo" is the mean of log w over
            the same samples: an unbiased estimate of the ELBO. "ais" anneals `n_particles` chains from q
            to the posterior in `n_steps` steps (Neal 2001), on average too low as well, less so with more
            steps. "auto" is exact where that takes no more states than particles, else importance. Where q misses
            much of the posterior, importance sampling is far too low, and its effective sample size may be high all
            the same: see the `reconstruction` and the divergences of `diagnostics`, or compare with "ais".
        n_particles : int, default=1000
        random_state : int, NumPy generator or None
            None repeats the same estimates. An estimate depends on the seed and the row's content
            only, so equal rows share their noise; use several seeds to see it.
        n_steps : int, default=100
            Of "ais", where 1 step is "importance" with the same particles.

        Returns
        -------
        ndarray of shape (n,), float64

        Raises
        ------
        NotFittedError, ValueError, TypeError

        Warns
        -----
        SampleSizeWarning
            If by importance sampling the values of many rows rest on a single one of 100 samples or more.
        UserWarning
            If nothing is observed in some rows: their log p(x) is 0.
        """
        values, _, _ = self._estimates(X, method, n_particles, random_state, n_steps)
        return values

    def _estimates(
        self, X: Any, method: str, n_particles: int, random_state: Any, n_steps: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, Bits]:
        """log p(x) of every row, or its bound, nats, effective sample sizes of estimates, and the rows."""
        n_particles = hyperparameters.count("n_particles", n_particles)
        rows = self._rows(X, fitted=True)
        seed = self._seed(random_state)
        data = drawn_by_content(rows, seed)
        monitor.warn_of_empty(data, "have probability 1")
        values, sizes = likelihood.log_likelihood(
            self._state.parameters, self._state.methods, data, method=method, n_particles=n_particles,
            seed=seed, n_threads=hyperparameters.threads(self.n_threads), n_steps=n_steps,
        )  # fmt: skip
        if sizes is not None and method not in ("elbo", "ais"):
            monitor.warn_of_single(sizes, n_particles)
        return values, sizes, data

    def score(self, X: Any, y: None = None, **how: Any) -> float:
        """Mean log p(x), nats; keywords as in `score_samples`."""
        return float(self.score_samples(X, **how).mean())

    def reconstruction_cross_entropy(self, X: Any) -> float:
        """Mean cross-entropy of the rows and their `reconstruct`, nats (probabilities clipped by 1e-7).

        That is a mean-field pass; the `reconstruction` of `diagnostics` is E log p(x | h) with h drawn from q.
        """
        data = self._bits(X)
        return likelihood.reconstruction_cross_entropy(self._state.parameters, data)

    def diagnostics(
        self, X: Any, *, n_particles: int = likelihood.N_PARTICLES, random_state: Any = None
    ) -> likelihood.Diagnostics:
        """At which level likelihood is lost, and which units do nothing: ``print(machine.diagnostics(X))``.

        Parameters
        ----------
        X : array-like, data frame, SciPy sparse matrix, Bits or Probabilities of shape (n, D)
        n_particles : int, default=100
            Samples from q per row.
        random_state : int, NumPy generator or None
            None repeats the same samples.

        Returns
        -------
        likelihood.Diagnostics
            For every level how far q is from p, entropies, and inactive, dead and saturated units; log p(x), the ELBO
            and what it is made of, effective sample sizes, and the norms of the wake and the sleep gradient.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        n_particles = hyperparameters.count("n_particles", n_particles)
        rows = self._rows(X, fitted=True)
        seed = self._seed(random_state)
        return likelihood.diagnostics(
            self._state.parameters, self._state.methods, drawn_by_content(rows, seed),
            n_particles=n_particles, seed=seed, n_threads=hyperparameters.threads(self.n_threads),
        )  # fmt: skip

    def simulated_bounds(
        self, n_rows: int, *, n_particles: int = likelihood.N_PARTICLES, n_steps: int = likelihood.N_STEPS,
        random_state: Any = None,
    ) -> tuple[Bits, NDArray[np.float64], NDArray[np.float64]]:
        """Rows x ~ p(x), and a lower and an upper bound on log p(x) of each, nats      (eqs. 15, 16)

        Their mean gap tells how far off ``score_samples(X, method="ais")`` may be, with so many steps and particles, on
        rows that are typical of the model; of other rows it says nothing. `likelihood.simulated_bounds` says more. It
        takes as long as ``score_samples(X, method="ais")`` of twice as many rows: seconds for 100.

        Parameters
        ----------
        n_rows : int
        n_particles : int, default=100
            Chains for each row and each bound.
        n_steps : int, default=100
            Of each chain. The gap closes with more of them.
        random_state : int, NumPy generator or None
            None repeats the same rows and bounds. Over seeds, exp(lower) and exp(-upper) are unbiased, of p(x) and
            1/p(x): the bounds hold on average and not for every row. Within one call, equal rows share the noise of
            the lower bound, which depends on the seed and the row's content only.

        Returns
        -------
        rows : Bits of shape (n_rows, D)
            Those that `sample` gives with the same `random_state`.
        lower, upper : ndarray of shape (n_rows,), float64

        Raises
        ------
        NotFittedError, ValueError, TypeError
            Also if a parameter is beyond ±600.

        Examples
        --------
        >>> from wakesleep import HelmholtzMachine
        >>> machine = HelmholtzMachine.from_parameters([0.0], [([[2.0, -2.0]], [0.0, 0.0])], [([[3.0], [-3.0]], [0.0])])
        >>> rows, lower, upper = machine.simulated_bounds(200, random_state=0)
        >>> bool(abs((upper - lower).mean()) < 0.01)
        True
        """
        self._check_fitted()
        return likelihood.simulated_bounds(
            self._state.parameters, self._state.methods, hyperparameters.count("n_rows", n_rows, least=0),
            n_particles=hyperparameters.count("n_particles", n_particles),
            n_steps=hyperparameters.count("n_steps", n_steps), seed=self._seed(random_state),
            n_threads=hyperparameters.threads(self.n_threads),
        )  # fmt: skip

    def _bits(self, X: Any) -> Bits:
        return drawn_by_content(self._rows(X, fitted=True), self._state.seed)
