"""Steps of training, taken by the module under test and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from checks import SLEEP, TABLES, TOY, WAKE, WALK, assert_expected, random_parameters, random_states, states_of
from numpy.typing import NDArray

from wakesleep.optimizers import MOMENTS, SGD, Optimizer, update
from wakesleep.parameters import Parameters
from wakesleep.rules import WAKE_SLEEP, Rule

BY_HAND = {np.float32: 1e-5, np.float64: 1e-9}  # absolute, of four steps; optimizers divide by small numbers
TWO_PARTICLES = Rule(n_particles=2)  # of wake-sleep


def check_sampled_train(module: Any, dtype: Any, repeats: int = 150, n: int = 400) -> None:
    """One minibatch of `train` moves the toy, on average, by its rates times the golden updates."""
    data = np.repeat(TOY.data, n, axis=0)

    def moved(seed: int, rates: tuple[float, float]) -> Any:
        parameters = TOY.parameters(dtype)
        position = np.zeros(3, np.int64)
        train(module, parameters, TOY.sizes, TOY.methods, data, position, seed, n, 1, rates, TWO_PARTICLES)
        return parameters - TOY.parameters(dtype)

    p_only, q_only = (0.25, 0.0), (0.0, 0.5)
    assert_expected(lambda seed: moved(seed, p_only), 0.25 * WAKE, repeats)
    assert_expected(lambda seed: moved(seed, q_only), 0.5 * SLEEP, repeats)


def train(
    module: Any, parameters: NDArray[Any], sizes: Any, methods: NDArray[np.uint8], data: NDArray[np.uint64],
    position: NDArray[np.int64], seed: int, batch_size: int, n_batches: int, rates: Sequence[float],
    rule: Rule = WAKE_SLEEP, optimizer: Optimizer = SGD, moments: NDArray[Any] | None = None,
    n_updates: NDArray[np.int64] | None = None, **how: Any,
) -> None:  # fmt: skip
    """`module.train` with the same rates in all minibatches, and if need be moments that begin with zero."""
    if moments is None:
        moments = np.zeros((MOMENTS[optimizer.name], parameters.size), parameters.dtype)
    all_rates = np.tile(np.array(rates, np.float64), (n_batches, 1))
    n_updates = np.zeros(2, np.int64) if n_updates is None else n_updates
    module.train(parameters, moments, sizes, methods, data, position, n_updates, seed, batch_size, all_rates, rule,
                 optimizer, **how)  # fmt: skip


def check_train_by_hand(
    module: Any, dtype: Any, rule: Rule = TWO_PARTICLES, optimizer: Optimizer = SGD
) -> None:
    """Four minibatches, a short one among them, are what the rule and the optimizer say: p awake, then q."""
    sizes, seed, batch_size, rates = (5, 4, 3), 9, 3, (0.3, 0.2)
    methods = np.array([WALK, TABLES, TABLES], np.uint8)
    by_hand = random_parameters(sizes, dtype, seed=5)
    data = random_states(sizes[:1], 7, seed=6)
    actual, position = by_hand.copy(), np.zeros(3, np.int64)
    train(module, actual, sizes, methods, data, position, seed, batch_size, 4, rates, rule, optimizer)

    moments = np.zeros((MOMENTS[optimizer.name], by_hand.size), dtype)
    of_p = slice(0, (4 + 1) * 5 + (3 + 1) * 4 + 3)
    of_q, s = slice(of_p.stop, None), rule.sleep_weight

    def follow(which: slice, gradient: NDArray[Any], rate: float, step: int) -> None:
        """One update of p or of q by the mean gradient."""
        norm = np.sqrt((gradient[which].astype(float) ** 2).sum())
        clipped = optimizer.clip_norm is not None and norm > optimizer.clip_norm
        biases = np.zeros(by_hand.size, bool)
        views = Parameters(sizes, biases)
        for layer in (*views.generative, views.prior, *views.recognition):
            layer.biases[:] = True
        for decayed in (True, False):
            chosen = np.flatnonzero(biases != decayed)
            chosen = chosen[(chosen >= which.start) & (chosen < (which.stop or by_hand.size))]
            weights, old = by_hand[chosen], [moment[chosen] for moment in moments]
            update(optimizer, weights, gradient[chosen], old, rate, step, decayed,
                   optimizer.clip_norm / norm if clipped else 1.0)  # fmt: skip
            by_hand[chosen] = weights
            for moment, new in zip(moments, old, strict=True):
                moment[chosen] = new

    seen = updates_of_q = 0
    for step, (epoch, first) in enumerate(((0, 0), (0, 3), (0, 6), (1, 0))):
        rows = module.epoch_order(seed, epoch, 7)[first : first + batch_size]
        n = len(rows)
        awake = states_of(np.repeat(data[rows], rule.n_particles, axis=0), sizes)
        module.recognise(by_hand, sizes, methods, awake, seed, module.WAKE, seen * rule.n_particles)
        log_p, log_q = module.log_probabilities(by_hand, sizes, methods, awake)
        v, u = rule.credits((log_p - log_q).reshape(-1, rule.n_particles))
        gradient_p, gradient_q = np.zeros_like(by_hand), np.zeros_like(by_hand)
        module.teach(by_hand, sizes, methods, awake, v.ravel().astype(dtype), None, gradient_p)
        if u is not None:
            module.teach(by_hand, sizes, methods, awake, None, u.ravel().astype(dtype), gradient_q)
        follow(of_p, gradient_p / dtype(batch_size), rates[0], step + 1)
        gradient_q *= dtype((1 - s) / batch_size)
        for again in range(rule.sleep_steps if s else 1):
            if s:
                asleep = states_of(np.zeros((n, 1), np.uint64), sizes)
                first_dream = seen * rule.sleep_steps + again * n
                module.dream(by_hand, sizes, methods, asleep, seed, module.SLEEP, first_dream)
                module.teach(by_hand, sizes, methods, asleep, None, np.full(n, s / batch_size, dtype), gradient_q)
            updates_of_q += 1
            follow(of_q, gradient_q, rates[1], updates_of_q)
            gradient_q[:] = 0
        seen += n

    assert position.tolist() == [1, 3, 10]
    tolerance = BY_HAND[dtype]
    np.testing.assert_allclose(actual, by_hand, rtol=0, atol=tolerance)
    assert np.abs(actual - random_parameters(sizes, dtype, seed=5)).max() > 1000 * tolerance, "this test has no power"
