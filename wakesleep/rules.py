"""Learning rules: how the K log weights of an example become credits for p and for q.

A rule is a function of log_w, (B, K), that returns v, the credits of p (θ), and u, those of the wake
part of q (φ), both (B, K); or None for u, where q learns asleep only. The rest of q's gradient is the
sleep phase, with weight `sleep_weight`. The compiled core does the same operations in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wakesleep.elementary import exp, log

Doubles = NDArray[np.float64]
Credits = tuple[Doubles, Doubles | None]
Function = Callable[[Doubles], tuple[Any, Any]]

BASELINES = ("geometric", "arithmetic")


class Rule(NamedTuple):
    """A learning rule with all that a step takes from it."""

    name: str | Function = "wake-sleep"
    n_particles: int = 1
    sleep_weight: float = 1.0
    sleep_steps: int = 1  # dreams, and updates of q, for each minibatch
    gamma: float = 1.0  # of "ovis"
    baseline: str = "geometric"  # of "vimco"

    def credits(self, log_w: Doubles) -> Credits:
        """v and u of log weights.  log_w : (B, K).  Returns (B, K), and (B, K) or None."""
        if callable(self.name):
            return checked(self.name(log_w), log_w.shape, self.sleep_weight)
        if self.name == "ovis":
            return ovis(log_w, self.gamma)
        if self.name == "vimco":
            return vimco(log_w, self.baseline)
        return RULES[self.name].credits(log_w)

WAKE_SLEEP = Rule()


class Kind(NamedTuple):
    """A rule of the table, and what it takes by default."""

    credits: Callable[..., Credits]
    sleep_weight: float
    n_particles: int = 5
    fewest_particles: int = 2


# ---- sums in order ----


def total(x: Doubles) -> Doubles:
    """Σ_k x_k, from the left.  x : (B, K).  Returns (B, 1)."""
    return np.add.accumulate(x, axis=1)[:, -1:]


def softmax(x: Doubles) -> Doubles:
    """e^x_k / Σ_j e^x_j.  x : (B, K)."""
    e = exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / total(e))


def log_sums(log_w: Doubles) -> tuple[Doubles, Doubles]:
    """log Σ_j w_j, (B, 1), and for every k, log Σ_{j≠k} w_j, (B, K).

    The latter is never had by subtraction: it is the sum of those before k and of those after it, and for
    the largest of all relative to the second largest, since next to it the others may vanish.
    """
    n_particles, top = log_w.shape[1], log_w.argmax(axis=1)[:, None]
    largest = log_w.max(axis=1, keepdims=True)
    e = exp(log_w - largest)
    before, after = np.zeros_like(e), np.zeros_like(e)
    for k in range(1, n_particles):
        before[:, k] = before[:, k - 1] + e[:, k - 1]
        after[:, -1 - k] = after[:, -k] + e[:, -k]
    others = np.arange(n_particles) != top
    second = np.where(others, log_w, -np.inf).max(axis=1, keepdims=True)
    without_top = second + log(total(np.where(others, exp(log_w - second), 0.0)))
    rest = largest + log(np.where(others, before + after, 1.0))
    return largest + log(total(e)), np.where(others, rest, without_top)


def means_of_others(log_w: Doubles) -> Doubles:
    """mean_{j≠k} log w_j.  log_w : (B, K)."""
    return np.asarray((total(log_w) - log_w) / (log_w.shape[1] - 1))


# ---- the rules ----


def wake_sleep(log_w: Doubles) -> Credits:
    """v_k = 1/K, and q learns asleep only (Hinton, Dayan, Frey & Neal 1995)."""
    return np.full_like(log_w, 1 / log_w.shape[1]), None


def reweighted(log_w: Doubles) -> Credits:
    """v_k = softmax(log w)_k, u_k = v_k − 1/K, where the 1/K has mean zero (Bornschein & Bengio 2015)."""
    v = softmax(log_w)
    return v, v - 1 / log_w.shape[1]


def vimco(log_w: Doubles, baseline: str = "geometric") -> Credits:
    """v_k = softmax(log w)_k, u_k = (L − L₋ₖ) − v_k with L = log mean w (Mnih & Rezende 2016).

    In L₋ₖ, the geometric or the arithmetic mean of the others stands for w_k.
    """
    n_particles, (whole, rest) = float(log_w.shape[1]), log_sums(log_w)
    if baseline == "geometric":
        mean = means_of_others(log_w)
        low, high = np.minimum(rest, mean), np.maximum(rest, mean)
        without = (high + log(1 + exp(low - high))) - log(n_particles)
    else:
        without = rest - log(n_particles - 1)
    v = softmax(log_w)
    return v, ((whole - log(n_particles)) - without) - v


def ovis(log_w: Doubles, gamma: float = 1.0) -> Credits:
    """v_k = softmax(log w)_k, u_k = log((1 − 1/K)/(1 − v_k)) − (1 − γ)(v_k + log(1 − 1/K)) (Liévin et al. 2020)."""
    (whole, rest), v = log_sums(log_w), softmax(log_w)
    uniform = log(1 - 1 / log_w.shape[1])
    return v, (uniform - (rest - whole)) - (1 - gamma) * (v + uniform)


def leave_one_out(log_w: Doubles) -> Credits:
    """v_k = 1/K, u_k = (log w_k − mean_{j≠k} log w_j)/K: REINFORCE on the ELBO."""
    n_particles = log_w.shape[1]
    return np.full_like(log_w, 1 / n_particles), (log_w - means_of_others(log_w)) / n_particles


def bihm(log_w: Doubles) -> Credits:
    """v_k = softmax(½ log w)_k, u_k = v_k − 1/K (Bornschein, Shabanian, Fischer & Bengio 2016)."""
    return reweighted(0.5 * log_w)


RULES = {
    "wake-sleep": Kind(wake_sleep, sleep_weight=1.0, n_particles=1, fewest_particles=1),
    "reweighted": Kind(reweighted, sleep_weight=0.5),
    "vimco": Kind(vimco, sleep_weight=0.0),
    "ovis": Kind(ovis, sleep_weight=0.0),
    "leave-one-out": Kind(leave_one_out, sleep_weight=0.0),
    "bihm": Kind(bihm, sleep_weight=0.0),
}


def kind_of(name: str | Function) -> Kind:
    """What a rule takes by default: one of the table, or a function of the user's."""
    return Kind(name, sleep_weight=0.0, fewest_particles=1) if callable(name) else RULES[name]


def checked(returned: Any, shape: tuple[int, ...], sleep_weight: float) -> Credits:
    """What a rule of the user's own returned: v, and u or None.

    Raises
    ------
    ValueError
        If it is not a pair of finite real arrays of this shape, or if u is None and q does not learn asleep either.
    """
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        got = f"{len(returned)} parts" if isinstance(returned, tuple | list) else f"{returned!r:.80}"
        if isinstance(returned, np.ndarray):
            got = f"one array of shape {returned.shape}"
        raise ValueError(f"rule: want a pair (v, u) of arrays of shape {shape}, got {got}")
    v, u = returned
    if u is None and not sleep_weight:
        raise ValueError("rule: want u, or a sleep_weight above 0, for q to learn by, got None for u and 0")
    return _credit("v", v, shape), None if u is None else _credit("u", u, shape)


def _credit(name: str, credit: Any, shape: tuple[int, ...]) -> Doubles:
    if np.ma.is_masked(credit):
        raise ValueError(f"rule: want {name} without masked elements, got {np.ma.getmaskarray(credit).sum()} of them")
    array = np.asarray(credit)
    if array.dtype.kind not in "fiu" or array.shape != shape:
        raise ValueError(f"rule: want {name} of real numbers and shape {shape}, got {array.dtype} of {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"rule: want finite numbers, got NaN or infinity in {name}")
    with np.errstate(over="ignore"):
        beyond = np.isinf(array.astype(np.float32))
    if beyond.any():
        raise ValueError(f"rule: want numbers of float32, at most 3.4e38, got {array[beyond][0]:.3g} in {name}")
    return array.astype(np.float64)
