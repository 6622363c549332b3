"""Learning rules: how the K log weights of an example become credits for p and for q.

A rule is a function of log_w, (B, K), that returns v, the credits of p (θ), and u, those of the wake
part of q (φ), both (B, K). The rest of q's gradient is the sleep phase, with weight `sleep_weight`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


class Rule(NamedTuple):
    """A learning rule and what it takes."""

    credits: Callable[[Floats], tuple[Floats, Floats]]
    n_particles: int  # by default
    fewest_particles: int
    sleep_weight: float


def wake_sleep(log_w: Floats) -> tuple[Floats, Floats]:
    """v_k = 1/K for p;  u_k = 0: q learns asleep only (Hinton, Dayan, Frey & Neal 1995)."""
    return np.full_like(log_w, 1 / log_w.shape[1]), np.zeros_like(log_w)


RULES = {"wake-sleep": Rule(wake_sleep, n_particles=1, fewest_particles=1, sleep_weight=1.0)}
