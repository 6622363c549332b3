"""`HelmholtzMachine`, the one class that users meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakesleep import _core, hyperparameters, likelihood, state
from wakesleep._packing import refuse_cell, words_of
from wakesleep.bits import Bits
from wakesleep.imputer import Imputer, float_of
from wakesleep.likelihood.arguments import level_of
from wakesleep.measures import Measures
from wakesleep.parameters import finite_floats
from wakesleep.probabilities import FAULT
from wakesleep.rules import Function

Floats = NDArray[np.floating[Any]]
Dense = NDArray[np.uint8]

AT_ONCE = 1 << 28  # parameters times fantasies of a compiled call, which takes some tenths of a second


class HelmholtzMachine(Measures, Imputer):
    """A deep Helmholtz machine: a sigmoid belief network p with a recognition network q.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(32, 16)
        Hidden units per level, bottom level first.
    rule : {"wake-sleep", "reweighted", "vimco", "ovis", "leave-one-out", "bihm"} or callable, default="wake-sleep"
        How p and q learn: what credits the log weights of the particles give, as docs/MATH.md says (eqs. 6, 13).
        A function takes log_w = log p(x, h) - log q(h | x) of K particles h ~ q(h | x) of B rows, (B, K), nats, and
        returns the credits (v, u), (B, K) each, all of them float64: the gradient of p that is climbed is the mean over
        rows of sum_k v_k * grad log p(x, h_k), that of q likewise with u and log q(h_k | x). So v = 1/K, not 1, is the
        mean over particles, and positive credits make a particle more probable. The `sleep_weight` of a function is 0
        if not given: its q learns by u alone. With None for u, q learns asleep only, and wants a `sleep_weight`.
    n_particles : int, optional
        Samples of the hidden units per row in the wake phase; None: 1 for "wake-sleep", else 5. Rules that
        weigh particles want 2 or more.
    sleep_weight : float or (float, float), optional
        Share of the sleep phase in what q learns, from 0 to 1; the rest is the rule's. A pair is that of the first
        and of the last of `n_iter` epochs, with a straight line between them, epoch by epoch. None: 1 for
        "wake-sleep", 1/2 for "reweighted", else 0.
    sleep_steps : int, default=1
        Dreams, and updates of q by them, for each minibatch; all but the first without the rule's part.
    gamma : float, default=1.0
        Of "ovis", from 0 to 1; no other rule takes it. Only with 0 is the gradient of q unbiased.
    baseline : {"geometric", "arithmetic"}, default="geometric"
        Of "vimco", and no other rule: the mean of the other particles that stands for one of them.
    optimizer : {"sgd", "momentum", "rmsprop", "adam"}, default="sgd"
        What follows the gradient; averages of gradients are saved with the machine. After a change by `set_params`,
        those of the new one begin with zero.
    weight_decay : float, default=0.0
        In each step, weights (not biases) shrink by this share of the learning rate.
    clip_norm : float, optional
        Largest norm of the mean gradient of p, and of that of q.
    frozen : sequence of str, default=()
        Parts that do not learn: "prior_logits", or weights or biases of a layer, from 0 at the bottom, such as
        "generative.0.biases" or "recognition.1.weights". After ``set_params(frozen=())``, ``fit(X, resume=True)`` goes
        on with all parts. Units that are held at a low prior share out the causes of the data among them.
    learning_rate : float or (float, float), optional
        Per mean gradient, for both models or for (p, q). None: 0.1, or 0.003 with "rmsprop" and "adam".
    schedule : str, default="constant"
        By what the rates are multiplied as training goes on: "constant", "linear", "cosine" (both fall to
        `final`, 0 by default, when `n_iter` epochs are done), or "decay" (by `factor`, after every epoch).
        Options follow a colon; `warm_up` is the number of epochs over which the rates first rise from 0. Thus
        "decay:factor=0.99", "cosine:warm_up=5,final=0.1".
    batch_size : int, default=100
        Rows per step. The last step of an epoch has the rows that are left, and a gradient that is as much smaller.
        Gradients of biases are sums of float32 over its rows times `n_particles`, one after the other:
        with 10,000 of them, the mean gradient is off by about 1e-4 of itself, with a million by 1 %.
    n_iter : int, default=20
        Epochs. With few rows, 20 of them in batches of 100 are too few steps: 500 rows make 100, after which a machine
        is hardly better than independent units. There ``batch_size=20, n_iter=200, learning_rate=0.3`` suits; the
        command line, for a few thousand rows, has batches of 20, 40 epochs and a `learning_rate` of 0.3.
    patience : int, optional
        Stop when the held-out log p(x) has not risen for so many epochs; `fit` then needs `validation`. At its end
        `fit` brings back the parameters of the best epoch, also if it comes to `n_iter`. With few rows nothing rises
        for many epochs at first: there, 50 are not too many.
    initial_biases : {"data", "zero"}, default="data"
        Where the visible units of p begin: at the logits of the data's mean, or at 0.
    binarize : float, None or "sample", default=0.5
        A cell is 1 where its value is greater than this; None: X must be binary already. "sample": values are
        probabilities from 0 to 1, of which bits are drawn anew for every epoch, a function of (seed, epoch, row,
        unit); where rows are measured or transformed, they are drawn once, a function of the seed and the row.
    missing : {None, "marginalise"}, default=None
        What NaN is: an error, or a missing cell, which is summed out: p learns from the observed cells, of which
        log p(x) is, and q, which sees a 0, learns from dreams that lack the cells that rows of the data lack. None
        among objects and ``pandas.NA`` count as NaN. Not with ``binarize="sample"``.
    precision : {"float32", "bf16x2"}, default="float32"
        Of the sums in training. "bf16x2", faster, needs Linux on x86 with AMX, and is an error elsewhere. A logit loses
        up to 2**-15 of the sum of its weights' absolute values, and results are not the same on all processors.
    n_threads : int, optional
        None: ``WAKESLEEP_NUM_THREADS``, or the processors there are, within a container's quota and the share of a
        joblib worker. Results do not depend on it.
    verbose : int, default=0
        1 prints a line per epoch; 2 shows a bar under them as well, on a terminal, if tqdm is installed.
    random_state : int, NumPy generator or None
        The seed, below 2**64. The same seed, data and version give the same bits everywhere.

    Attributes
    ----------
    generative_, recognition_ : list of Layer
        Bottom level first, with ``.weights`` (n_source, n_target) and ``.biases`` (n_target,): float32.
    prior_logits_ : ndarray of shape (n_top_units,)
    feature_names_in_ : ndarray of shape (n_features,), object
        Only after `fit` to a data frame whose columns all have names, or to a ``.csv`` file with such a line (by
        `datasets.read` or on the command line); other frames and files must have the same afterwards. Two columns may
        not have the same name. Numbers, as frames without names have, are no names, as in scikit-learn.
    n_features_in_, n_iter_, step_ : int
        Visible units; epochs and minibatches done, with `patience` also those after the best epoch.
    best_epoch_ : int
        The epoch whose parameters these are: the last one that was done, or with `patience` the best.
    history_ : list of dict
        A record per epoch: epoch, step, seconds, rows_per_second, and what was measured; all that is printed.

    References
    ----------
    Hinton, Dayan, Frey & Neal (1995), "The wake-sleep algorithm for unsupervised neural networks",
    Science 268. Dayan, Hinton, Neal & Zemel (1995), "The Helmholtz machine", Neural Computation 7.

    Examples
    --------
    >>> from wakesleep import HelmholtzMachine, datasets
    >>> X = datasets.load_digits()
    >>> machine = HelmholtzMachine((32, 16), n_iter=5, batch_size=20, random_state=0).fit(X)
    >>> machine.transform(X).shape, machine.sample(3).shape
    ((1797, 16), (3, 64))

    A rule of one's own, self-normalised weights, which with this weight of the sleep phase is "reweighted":

    >>> import numpy as np
    >>> def weighted(log_w):
    ...     v = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    ...     v /= v.sum(axis=1, keepdims=True)
    ...     return v, v - 1 / log_w.shape[1]
    >>> how = {"sleep_weight": 0.5, "n_iter": 1, "random_state": 0}
    >>> own, named = (HelmholtzMachine(rule=rule, **how).fit(X) for rule in (weighted, "reweighted"))
    >>> np.allclose(own.generative_[0].weights, named.generative_[0].weights)
    True
    """

    def __init__(
        self, hidden_layer_sizes: Sequence[int] = (32, 16), rule: str | Function = "wake-sleep",
        n_particles: int | None = None, sleep_weight: float | tuple[float, float] | None = None, sleep_steps: int = 1,
        gamma: float = 1.0, baseline: str = "geometric", optimizer: str = "sgd",
        learning_rate: float | tuple[float, float] | None = None, schedule: str = "constant", weight_decay: float = 0.0,
        clip_norm: float | None = None, frozen: Sequence[str] = (), batch_size: int = 100, n_iter: int = 20,
        patience: int | None = None, initial_biases: str = "data", binarize: float | str | None = 0.5,
        missing: str | None = None, precision: str = "float32", n_threads: int | None = None, verbose: int = 0,
        random_state: Any = None,
    ) -> None:  # fmt: skip
        self.hidden_layer_sizes = hidden_layer_sizes
        self.rule = rule
        self.n_particles = n_particles
        self.sleep_weight = sleep_weight
        self.sleep_steps = sleep_steps
        self.gamma = gamma
        self.baseline = baseline
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.frozen = frozen
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.patience = patience
        self.initial_biases = initial_biases
        self.binarize = binarize
        self.missing = missing
        self.precision = precision
        self.n_threads = n_threads
        self.verbose = verbose
        self.random_state = random_state

    # ---- using what was learned ----

    @overload
    def transform(self, X: Any, layer: int = ..., *, bits: Literal[False] = ...) -> Floats: ...
    @overload
    def transform(self, X: Any, layer: int = ..., *, bits: Literal[True]) -> Bits: ...
    @overload
    def transform(self, X: Any, layer: int = ..., *, bits: bool) -> Floats | Bits: ...
    def transform(self, X: Any, layer: int = -1, *, bits: bool = False) -> Floats | Bits:
        """Probabilities of the hidden units, each level fed those of the level below (mean field).

        Parameters
        ----------
        X : array-like, data frame, SciPy sparse matrix, Bits or Probabilities of shape (n, D)
        layer : int, default=-1
            Hidden level, 0 at the bottom; negative numbers count from the top.
        bits : bool, default=False
            Return a binary code, packed: 1 where the probability is greater than 1/2. Its ``words`` are what
            `numpy.bitwise_count` wants for Hamming distances.

        Returns
        -------
        ndarray of shape (n, H), or Bits
            float32 for Bits and float32 input, else float64.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        bits = hyperparameters.flag("bits", bits)
        data = self._bits(X)
        values = likelihood.encode(self._state.parameters, data, layer)
        return Bits.from_dense(values) if bits else values.astype(float_of(X), copy=False)

    def fit_transform(self, X: Any, y: None = None, layer: int = -1) -> Floats:
        """`fit`, then `transform` of the same rows."""
        return self.fit(X).transform(X, layer)

    def inverse_transform(self, H: ArrayLike, layer: int = -1) -> Floats:
        """Probabilities of the visible units, given values in [0, 1] of hidden level `layer` (mean field).

        Parameters
        ----------
        H : array-like of shape (n, number of units of that level)
        layer : int, default=-1

        Returns
        -------
        ndarray of shape (n, D)
            float32 for float32 input, else float64.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted()
        level = self._level(layer)
        n_units = self._state.parameters.sizes[level + 1]
        values = finite_floats("H", H, f"(n, {n_units})")
        if values.ndim != 2 or values.shape[1] != n_units:
            raise ValueError(f"H: want shape (n, {n_units}) for layer {layer}, got {values.shape}")
        wrong = (values < 0) | (values > 1)
        if wrong.any():
            refuse_cell(values, wrong, FAULT.format("{}", 1), "H", 0)
        return likelihood.decode(self._state.parameters, values, level).astype(float_of(H), copy=False)

    def reconstruct(self, X: Any, layer: int = -1) -> Floats:
        """Probabilities of the visible units after a mean-field pass up to hidden level `layer` and down.

        Averages lose what units draw together: through a narrow top level, the reconstructions of a machine that fits
        well may be bad (so of one-hot columns). Those through level 0, or the `reconstruction` of `diagnostics`, which
        draws the units, then tell more.

        Parameters
        ----------
        X : as for `transform`, of shape (n, D)
        layer : int, default=-1
            Hidden level, 0 at the bottom; negative numbers count from the top.

        Returns
        -------
        ndarray of shape (n, D)

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        return self.inverse_transform(self.transform(X, layer), layer)

    @overload
    def sample(self, n_samples: int = ..., *, random_state: Any = ..., bits: Literal[False] = ...) -> Dense: ...
    @overload
    def sample(self, n_samples: int = ..., *, random_state: Any = ..., bits: Literal[True]) -> Bits: ...
    def sample(self, n_samples: int = 1, *, random_state: Any = None, bits: bool = False) -> Dense | Bits:
        """Fantasies: x ~ p(x).

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, NumPy generator or None
            None repeats the same fantasies.
        bits : bool, default=False
            Return `Bits`.

        Returns
        -------
        ndarray of shape (n_samples, D), uint8, or Bits

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted()
        n_samples = hyperparameters.count("n_samples", n_samples, least=0)
        bits = hyperparameters.flag("bits", bits)
        flat, sizes, seed = self._state.parameters.flat, self._state.parameters.sizes, self._seed(random_state)
        states, at_once = np.zeros((n_samples, sum(map(words_of, sizes))), np.uint64), max(1, AT_ONCE // flat.size)
        for first in range(0, n_samples, at_once):  # Ctrl-C is heard between calls
            part = states[first : first + at_once]
            _core.dream(flat, sizes, self._state.methods, part, seed, _core.FANTASY, first)
        fantasies = Bits(np.ascontiguousarray(states[:, : words_of(sizes[0])]), sizes[0])
        return fantasies if bits else fantasies.to_dense()

    # ---- weights from elsewhere ----

    @classmethod
    def from_parameters(
        cls, prior_logits: ArrayLike, generative: Sequence[tuple[ArrayLike, ArrayLike]],
        recognition: Sequence[tuple[ArrayLike, ArrayLike]], **params: Any,
    ) -> Self:  # fmt: skip
        """A machine with weights that come from elsewhere.

        Parameters
        ----------
        prior_logits : array-like of shape (n_top_units,)
        generative, recognition : list of (weights, biases)
            Bottom level first; weights are (n_source, n_target): a generative layer's sources are
            the units above, a recognition layer's those below.
        **params
            Constructor arguments, save `hidden_layer_sizes`, which the weights tell.

        Returns
        -------
        HelmholtzMachine

        Raises
        ------
        ValueError, TypeError
            For the part that is not finite numbers of the shape it should have.

        Examples
        --------
        >>> machine = HelmholtzMachine.from_parameters([0.0], [([[2.0, -2.0]], [0.0, 0.0])], [([[3.0], [-3.0]], [0.0])])
        >>> machine.score_samples([[1, 0], [1, 1]], method="exact").round(3)
        array([-0.668, -1.729])
        """
        if "hidden_layer_sizes" in params:
            raise ValueError("hidden_layer_sizes: want it left out, because the weights tell it")
        began = state.given(prior_logits, generative, recognition)
        machine = cls().set_params(**params, hidden_layer_sizes=began.parameters.sizes[1:])
        machine._settings()  # to which the sizes belong: they tell which parts there are to be frozen
        machine._state = replace(began, seed=hyperparameters.seed(machine.random_state))
        machine.history_, machine._gaps = [], machine.missing is not None
        return machine

    # ---- arguments ----

    def _level(self, layer: int) -> int:
        return level_of(self._state.parameters, layer)
