"""Learning in plain NumPy: the twin of `_learning`, with its functions, names and arguments.

With float32 parameters every operation is the compiled one, in the compiled order; with float64
parameters it is the mathematician's version. Equation numbers are those of docs/MATH.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep._reference import (
    SLEEP,
    WAKE,
    Example,
    Floats,
    Words,
    _add_gradient,
    _error,
    _kept,
    _logits,
    _q_and_p,
    dream,
    epoch_order,
    exp_minus,
    levels,
    recognise,
    softplus,
    words_of,
)  # fmt: skip
from wakesleep.optimizers import Optimizer, update
from wakesleep.parameters import Layer, Parameters, names_of_layers
from wakesleep.rules import Rule

BLOCK = 16  # units whose log-probabilities, or squares, are added first
Doubles = NDArray[np.float64]


def train(
    parameters: Floats, moments: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], data: Words,
    position: NDArray[np.int64], n_updates: NDArray[np.int64], seed: int, batch_size: int, rates: Doubles, rule: Rule,
    optimizer: Optimizer, n_threads: int = 1, chosen: NDArray[np.int64] | None = None, observed: Words | None = None,
) -> None:  # fmt: skip
    """Learn from the next minibatches, in place: one for each row of `rates`, which holds the rates of p and of q.

    position : (3,) epochs done, rows done of the present one, rows seen since training began; moved along.
    moments : (0, 1 or 2, ...), what the optimizer keeps, in the layout of the parameters; moved along.
    n_updates : (2,) those of p and of q that the moments have seen, which began with zero; moved along.
    The rates are per mean gradient of `batch_size` rows; that of a last one of fewer rows is as much smaller.
    chosen : (n,) int64, the rows of data that are trained on, where these are not all.
    observed : like data, which of its cells are, where these are not all; the others must be 0. They are left out of
    p(x | h), and a dream lacks those that the row of its number in the minibatch lacks      (eq. 18)
    """
    if chosen is not None:
        data, observed = data[chosen], None if observed is None else observed[chosen]
    if len(rates):
        parameters += 0  # no −0: so a row that nothing is added to may be left alone
    p, batch_size = Parameters(sizes, parameters), min(batch_size, len(data))
    for rate_p, rate_q in rates.tolist():
        epoch, first, seen = (int(i) for i in position)
        count = min(batch_size, len(data) - first)
        rows = epoch_order(seed, epoch, len(data), first, count)
        n = count * rule.n_particles

        states, visible = np.zeros((n, sum(words_of(size) for size in sizes)), np.uint64), words_of(sizes[0])
        states[:, :visible] = np.repeat(data[rows], rule.n_particles, axis=0)
        pattern = None if observed is None else observed[rows]
        recognise(parameters, sizes, methods, states, seed, WAKE, seen * rule.n_particles)
        of_all = None if pattern is None else np.repeat(pattern, rule.n_particles, axis=0)
        of_p, of_q = _q_and_p(p, methods, levels(states, sizes), of_all)
        updates = Updates(p, moments, optimizer)
        if rule.name == "wake-sleep":
            errors_p, v, u = [_error(*example) for example in of_p], None, None
            updates.add(of_p, errors_p, None, updates.scale(rate_p, 1.0, batch_size * rule.n_particles))
        else:
            errors_p, errors_q, log_w = weigh(of_p, of_q)
            v, u = rule.credits(log_w.reshape(count, rule.n_particles))
            updates.add(of_p, errors_p, v, updates.scale(rate_p, 1.0, batch_size))
        n_updates[0] += 1
        updates.apply([*p.generative, p.prior], rate_p, int(n_updates[0]))

        for again in range(rule.sleep_steps if rule.sleep_weight > 0 else 1):
            if rule.sleep_weight > 0:
                dreams = states[:count]
                dream(parameters, sizes, methods, dreams, seed, SLEEP, seen * rule.sleep_steps + again * count)
                if pattern is not None:
                    dreams[:, :visible] &= pattern
                _, dreamt = _q_and_p(p, methods, levels(dreams, sizes))
                errors = [_error(*example) for example in dreamt]
                updates.add(dreamt, errors, None, updates.scale(rate_q, rule.sleep_weight, batch_size))
            if rule.sleep_weight < 1 and u is not None and not again:
                updates.add(of_q, errors_q, u, updates.scale(rate_q, 1 - rule.sleep_weight, batch_size))
            n_updates[1] += 1
            updates.apply(p.recognition, rate_q, int(n_updates[1]))

        last = first + count == len(data)
        position[:] = (epoch + 1, 0, seen + count) if last else (epoch, first + count, seen + count)


# ---- awake: errors, and log weights ----


def weigh(of_p: list[Example], of_q: list[Example]) -> tuple[list[Floats], list[Floats], Doubles]:
    """The errors of every layer of p, and of q, and log w = log p(x, h) − log q(h | x) of every state      (eq. 5)

    Log-probabilities are added by sixteen units in float32, and by the layers in the order of the flat vector,
    in float64. In p, the errors of a layer without sources are those of `_error`.
    """
    errors_p, terms_p = map(list, zip(*(error_and_terms(*example) for example in of_p), strict=True))
    errors_q, terms_q = map(list, zip(*(error_and_terms(*example) for example in of_q), strict=True))
    for i, example in enumerate(of_p):
        if not example[1].shape[1]:
            errors_p[i] = _error(*example)
    log_w = np.zeros(len(errors_p[0]))
    ordered_p = [*terms_p[:0:-1], terms_p[0]]  # from the bottom up, the prior last
    for sign, terms in ((-1, ordered_p), (1, terms_q)):
        for block in np.concatenate(terms, axis=1).T:
            log_w += sign * block.astype(np.float64)
    return errors_p, errors_q, log_w


def error_and_terms(
    layer: Layer, source: NDArray[np.bool_], target: NDArray[np.bool_], method: int, seen: NDArray[np.bool_] | None
) -> tuple[Floats, Floats]:
    """target − σ(z), and −log P(target | source) by blocks of sixteen units, of those observed      (eqs. 5, 7)"""
    z = _logits(layer, source, method)
    against = np.where(target, -z, z)
    e, one = exp_minus(np.abs(against)), z.dtype.type(1)
    wrong = np.where(against > 0, one, e) / (one + e)
    return _kept(np.where(target, wrong, -wrong), seen), in_blocks(_kept(softplus(against), seen))


def in_blocks(x: Any) -> Any:
    """Sums of sixteen columns: eight and eight are added, then four and four, and so on.  x : (n, N)."""
    padded = np.zeros((len(x), -(-x.shape[1] // BLOCK) * BLOCK), x.dtype)
    padded[:, : x.shape[1]] = x
    halves = padded.reshape(len(x), -1, BLOCK)
    while halves.shape[2] > 1:
        half = halves.shape[2] // 2
        halves = halves[:, :, :half] + halves[:, :, half:]
    return halves[:, :, 0]


# ---- from errors to parameters ----


class Updates:
    """Adds errors to what is learned: at once where the optimizer is plain, else by way of a gradient."""

    def __init__(self, p: Parameters, moments: Floats, optimizer: Optimizer) -> None:
        self.p, self.optimizer = p, optimizer
        self.gradient = p if optimizer.plain else Parameters(p.sizes, np.zeros_like(p.flat))
        self.moments = [Parameters(p.sizes, moment) for moment in moments]

    def scale(self, rate: float, weight: float, n: int) -> Any:
        """What errors are multiplied with, those of a minibatch of n or fewer, for a part of this weight."""
        return self.p.flat.dtype.type((rate * weight if self.optimizer.plain else weight) / n)

    def like(self, layer: Layer, parameters: Parameters) -> Layer:
        """The layer of other numbers in the same layout."""
        mine, theirs = ([*m.generative, m.prior, *m.recognition] for m in (self.p, parameters))
        return next(other for own, other in zip(mine, theirs, strict=True) if own is layer)

    def frozen(self, layer: Layer) -> tuple[bool, bool]:
        """Whether its weights, and whether its biases, stay as they are."""
        layers = [*self.p.generative, self.p.prior, *self.p.recognition]
        names = names_of_layers(len(self.p.generative))
        weights, biases = next(pair for own, pair in zip(layers, names, strict=True) if own is layer)
        return weights in self.optimizer.frozen, biases in self.optimizer.frozen

    def goal(self, layer: Layer) -> Layer:
        """What its errors are added to; those of frozen parts get lost."""
        parts = zip(self.like(layer, self.gradient), self.frozen(layer), strict=True)
        return Layer(*(np.zeros_like(part) if frozen else part for part, frozen in parts))

    def add(self, examples: list[Example], errors: list[Floats], given: Doubles | None, scale: Any) -> None:
        """gradient += scale · Σ credit ∇log P(target | source)      (eq. 7)

        For q, the first layer's rows are the same for all particles of an example: their errors are added first.
        """
        for (layer, source, _, method, _), error in zip(examples, errors, strict=True):
            if given is not None:
                error = error * given.reshape(-1, 1).astype(error.dtype)
                if layer is self.p.recognition[0]:
                    n_particles = given.shape[1]
                    error = np.add.accumulate(error.reshape(len(given), n_particles, error.shape[1]), axis=1)[:, -1]
                    error, source = error + error.dtype.type(0), source[::n_particles]
            _add_gradient(self.goal(layer), source, error, method, scale)

    def apply(self, layers: list[Layer], rate: float, step: int) -> None:
        """Let the optimizer do what the gradient of these layers says, and begin another      (eq. 14)"""
        if self.optimizer.plain:
            return
        factor = self.factor(layers)
        for layer in layers:
            gradient = self.like(layer, self.gradient)
            moments = [self.like(layer, moment) for moment in self.moments]
            for i, frozen in enumerate(self.frozen(layer)):
                if frozen:
                    continue
                update(
                    self.optimizer, layer[i], gradient[i], [moment[i] for moment in moments], rate, step,
                    decayed=i == 0, factor=factor,
                )  # fmt: skip
                gradient[i][...] = 0

    def factor(self, layers: list[Layer]) -> float:
        """What makes the norm of a model's gradient at most `clip_norm`."""
        clip_norm, squares = self.optimizer.clip_norm, 0.0
        if clip_norm is None:
            return 1.0
        for layer in layers:
            gradient = self.like(layer, self.gradient)
            rows = np.concatenate([gradient.weights, gradient.biases[None]]).astype(np.float64)
            lanes = np.add.accumulate(rows * rows, axis=0)[-1:]
            for block in in_blocks(lanes)[0]:
                squares += block
        norm = np.sqrt(squares)
        return float(clip_norm / norm) if norm > clip_norm else 1.0
