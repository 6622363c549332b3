"""Diagnostics: at which level likelihood is lost, and which units do nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import _core, _likelihood, html
from wakesleep._packing import words_of
from wakesleep.bits import Bits
from wakesleep.likelihood.arguments import check
from wakesleep.parameters import Layer, Parameters

N_PARTICLES = 100
RARE = 0.01  # the probability of a value of a unit that is next to constant
SURE = float(np.log(1 / RARE - 1))  # |z| where σ(z) is so near to 0 or 1
ACTIVE = 0.01  # least variance over rows of the mean of a unit that tells something
FEW = 1.1  # an effective sample size below this is next to one
_COLUMNS = {  # of the table of levels, and how wide they are
    "level": 5, "units": 7, "log q - log p": 15, "H[q]": 8, "H[p]": 8, "inactive": 10, "dead": 8, "saturated": 11,
}  # fmt: skip
_STATES = 4096  # unpacked at a time

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LevelDiagnostics:
    """Of hidden level l, over rows and particles h ~ q(h | x), nats.

    Attributes
    ----------
    n_units : int
    divergence : float
        E log q(hˡ | hˡ⁻¹) − log p(hˡ | hˡ⁺¹), of the top level with the prior. At the top, that is KL(q ‖ prior),
        averaged over the level below. Under the top it may be negative, because p is given what q has drawn above.
    entropy_q : float
        E H[q(hˡ | hˡ⁻¹)].
    entropy_p : float
        E H[p(hˡ | hˡ⁺¹)], over dreams; of the top level, the entropy of the prior.
    inactive : float
        Share of units that tell nothing about a row: the variance over rows of their mean, given the row, is below
        0.01 (Burda et al. 2016). With few particles, noise from the levels below makes units look active.
    dead : float
        Share of units whose mean over all rows is below 0.01 or above 0.99.
    saturated : float
        Share of all cases (row, particle, unit) where σ(z) under q is below 0.01 or above 0.99, abs(z) > log 99: the
        gradient of z is then less than a hundredth for the usual value of the unit.
    """

    n_units: int
    divergence: float
    entropy_q: float
    entropy_p: float
    inactive: float
    dead: float
    saturated: float


@dataclass(frozen=True)
class Diagnostics:
    """How q follows p on some rows; printed, it is a table. Means over rows and their K particles, nats.

    Attributes
    ----------
    n_rows, n_particles : int
    log_likelihood : float
        log (1/K) Σ w, on average the bound IWAE_K      (eq. 11)
    elbo : float
        E log p(x, h) − log q(h | x): `reconstruction` less the `divergence` of every level      (eq. 17)
    reconstruction : float
        E log p(x | h¹), of the observed cells of x. (Less the `reconstruction_cross_entropy` of a machine, which is
        that of a mean-field pass.)
    entropy_p : float
        E H[p(x | h¹)], over dreams.
    effective_sample_size, median_effective_sample_size : float
        (Σ w)² / Σ w² of the particles, from 1 to K, over rows.
    few_effective : float
        Share of rows where that is below 1.1: there, the estimate of log p(x) rests on one particle. But a large size
        does not vouch for the estimate: if q never finds the causes of a row, its particles are alike, and alike bad.
        Then `reconstruction` is low, or a `divergence` high.
    wake_gradient_norm, sleep_gradient_norm : float
        Of the mean of ∇log p(x, h) over rows and particles, by which wake-sleep teaches p, and of the mean of
        ∇log q(h | x) over as many dreams as rows, which lack the cells that these lack, by which it teaches q. Both
        contain the noise of these means, and so are not 0 where learning has ended; they fall with more rows.
    levels : tuple of LevelDiagnostics
        Bottom level first.
    """

    n_rows: int
    n_particles: int
    log_likelihood: float
    elbo: float
    reconstruction: float
    entropy_p: float
    effective_sample_size: float
    median_effective_sample_size: float
    few_effective: float
    wake_gradient_norm: float
    sleep_gradient_norm: float
    levels: tuple[LevelDiagnostics, ...]

    def __str__(self) -> str:
        lines = [f"{name:28} {value:>9}" for name, value in self._measures().items()]
        lines += ["", *("".join(map(str.rjust, row, _COLUMNS.values())).rstrip() for row in self._levels())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        head, *levels = self._levels()
        rows = {number: tuple(cells) for number, *cells in levels}
        return html.table("Diagnostics", self._measures()) + html.table("Levels, nats", rows, head)

    def _measures(self) -> dict[str, str]:
        """What is known of all levels together."""
        return {
            "rows": f"{self.n_rows:,}",
            "particles for each": f"{self.n_particles:,}",
            "log p(x), nats": f"{self.log_likelihood:.3f}",
            "ELBO, nats": f"{self.elbo:.3f}",
            "reconstruction log p(x | h)": f"{self.reconstruction:.3f}",
            "effective sample size": f"{self.effective_sample_size:.3f}",
            "its median": f"{self.median_effective_sample_size:.3f}",
            f"rows where it is below {FEW:g}": f"{100 * self.few_effective:.1f} %",
            "norm of the wake gradient": f"{self.wake_gradient_norm:.3g}",
            "norm of the sleep gradient": f"{self.sleep_gradient_norm:.3g}",
        }

    def _levels(self) -> list[tuple[str, ...]]:
        """Cells of the table of levels, under their names: the top one first, the visible units last."""
        found = [
            (str(number), f"{of.n_units:,}", *(f"{x:.3f}" for x in (of.divergence, of.entropy_q, of.entropy_p)),
             *(f"{100 * x:.1f} %" for x in (of.inactive, of.dead, of.saturated)))
            for number, of in reversed(list(enumerate(self.levels)))
        ]  # fmt: skip
        return [tuple(_COLUMNS), *found, ("x", "", "", "", f"{self.entropy_p:.3f}", "", "", "")]


def diagnostics(
    parameters: Parameters,
    methods: NDArray[np.uint8],
    data: Bits,
    *,
    n_particles: int = N_PARTICLES,
    seed: int = 0,
    n_threads: int = 1,
) -> Diagnostics:
    """Where likelihood is lost: level by level, how far q is from p, and what the units do.

    The particles are those of importance sampling with this seed, h ~ q(h | x); of dreams, (x, h) ~ p, there are as
    many as rows. Takes memory for the particles of one row, unpacked.

    Raises
    ------
    ValueError, TypeError
        If there are no rows, or not rows of this machine, or no particles.

    References
    ----------
    Burda, Y., Grosse, R. & Salakhutdinov, R. (2016). Importance weighted autoencoders. ICLR.
    """
    check(parameters, data, seed=seed, n_particles=n_particles, n_threads=n_threads)
    if not len(data):
        raise ValueError("data: want one row or more, got 0")
    machine, n_rows, sizes = (parameters.flat, parameters.sizes, methods), len(data), parameters.sizes
    gradient, sums = Parameters(sizes), [_Sums(n_units) for n_units in sizes[1:]]
    log_w, at_once = np.empty((n_rows, n_particles)), max(1, _STATES // max(1, n_particles))
    for first in range(0, n_rows, at_once):
        rows = slice(first, first + at_once)
        part = data[rows]
        states = _likelihood.particles(*machine, part.words, seed, n_particles, n_threads, part.observed)
        seen = None if part.observed is None else np.repeat(part.observed, n_particles, axis=0)
        _core.teach(*machine, states, _equal(len(states), n_rows * n_particles), None, gradient.flat, seen)
        log_w[rows] = _weigh(parameters, _unpacked(states, sizes), sums, n_particles, seen)
    entropies = np.zeros(len(sizes))
    for first in range(0, n_rows, _STATES):
        states = np.zeros((min(_STATES, n_rows - first), sum(map(words_of, sizes))), np.uint64)
        _core.dream(*machine, states, seed, _core.FANTASY, first)
        if data.observed is not None:
            states[:, : words_of(sizes[0])] &= data.observed[first : first + len(states)]
        _core.teach(*machine, states, None, _equal(len(states), n_rows), gradient.flat)
        levels = _unpacked(states, sizes)
        for level, layer in enumerate([*parameters.generative, parameters.prior]):
            entropies[level] += _entropy(_logits(layer, levels[level + 1])).sum() / n_rows
    top = log_w.max(axis=1)
    w = np.exp(log_w - top[:, None])
    effective = w.sum(axis=1) ** 2 / (w * w).sum(axis=1)
    found = tuple(
        level.found(n_rows, n_particles, float(entropy)) for level, entropy in zip(sums, entropies[1:], strict=True)
    )
    elbo = float(log_w.mean())
    return Diagnostics(
        n_rows=n_rows,
        n_particles=n_particles,
        log_likelihood=float((top + np.log(w.mean(axis=1))).mean()),
        elbo=elbo,
        reconstruction=elbo + sum(level.divergence for level in found),
        entropy_p=float(entropies[0]),
        effective_sample_size=float(effective.mean()),
        median_effective_sample_size=float(np.median(effective)),
        few_effective=float((effective < FEW).mean()),
        wake_gradient_norm=_norm([*gradient.generative, gradient.prior]),
        sleep_gradient_norm=_norm(gradient.recognition),
        levels=found,
    )


@dataclass
class _Sums:
    """What is added up of one hidden level."""

    n_units: int
    divergence: float = 0.0
    entropy_q: float = 0.0
    saturated: int = 0
    means: Floats = field(init=False)  # of every unit given a row, summed over the rows, and their squares
    squares: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.means, self.squares = np.zeros(self.n_units), np.zeros(self.n_units)

    def add(self, z: Floats, n_particles: int) -> None:
        """Logits under q of the particles of some rows.  z : (rows · K, n_units)."""
        self.entropy_q += float(_entropy(z).sum())
        self.saturated += int((np.abs(z) > SURE).sum())
        means = (0.5 + 0.5 * np.tanh(0.5 * z)).reshape(-1, n_particles, self.n_units).mean(axis=1, dtype=np.float64)
        self.means += means.sum(axis=0)
        self.squares += (means * means).sum(axis=0)

    def found(self, n_rows: int, n_particles: int, entropy_p: float) -> LevelDiagnostics:
        """Their means over rows and particles."""
        n_states, means = n_rows * n_particles, self.means / n_rows
        return LevelDiagnostics(
            n_units=self.n_units,
            divergence=self.divergence / n_states,
            entropy_q=self.entropy_q / n_states,
            entropy_p=entropy_p,
            inactive=float((self.squares / n_rows - means**2 < ACTIVE).mean()),
            dead=float((np.minimum(means, 1 - means) < RARE).mean()),
            saturated=self.saturated / (n_states * self.n_units),
        )


def _weigh(
    parameters: Parameters, levels: list[Floats], sums: list[_Sums], n_particles: int, seen: NDArray[np.uint64] | None
) -> Floats:
    """log w of the particles of some rows, (rows, K); what it is made of is added to the sums of the levels."""
    log_w = _log_probability(_logits(parameters.generative[0], levels[1]), levels[0], seen)
    upper = [*parameters.generative[1:], parameters.prior]
    for number, (level, p, q) in enumerate(zip(sums, upper, parameters.recognition, strict=True), 1):
        z = _logits(q, levels[number - 1])
        log_ratio = _log_probability(_logits(p, levels[number + 1]), levels[number])
        log_ratio -= _log_probability(z, levels[number])
        level.divergence -= float(log_ratio.sum())
        level.add(z, n_particles)
        log_w += log_ratio
    return log_w.reshape(-1, n_particles)


def _unpacked(states: NDArray[np.uint64], sizes: tuple[int, ...]) -> list[Floats]:
    """The bits of every level, and last a level without units, the source of the prior."""
    stops = np.cumsum([0, *map(words_of, sizes)])
    words = [np.ascontiguousarray(states[:, first:stop]) for first, stop in pairwise(stops)]
    levels = [Bits(level, size).to_dense(np.float32) for level, size in zip(words, sizes, strict=True)]
    return [*levels, np.empty((len(states), 0), np.float32)]


def _logits(layer: Layer, source: Floats) -> Floats:
    """z = b + source·W      (eq. 4)"""
    return np.asarray(source @ layer.weights + layer.biases)


def _log_probability(z: Floats, target: Floats, seen: NDArray[np.uint64] | None = None) -> Floats:
    """log P(target | source) of logits, of the targets seen, (B,), summed in float64      (eq. 5)"""
    terms = target * z - np.maximum(z, 0) - np.log1p(np.exp(-np.abs(z)))
    if seen is not None:
        terms *= Bits(seen, z.shape[1]).to_dense(np.bool_)
    return np.asarray(terms.sum(axis=1, dtype=np.float64))


def _entropy(z: Floats) -> Floats:
    """H of independent units with logits z, (B,), nats, summed in float64: softplus(z) − z σ(z)"""
    size = np.abs(z)
    e = np.exp(-size)
    return np.asarray((np.log1p(e) + size * e / (1 + e)).sum(axis=1, dtype=np.float64))


def _equal(n: int, total: int) -> NDArray[np.float32]:
    """Credits of n states among so many."""
    return np.full(n, 1 / total, np.float32)


def _norm(layers: list[Layer]) -> float:
    return float(np.sqrt(sum(np.square(part, dtype=np.float64).sum() for layer in layers for part in layer)))
