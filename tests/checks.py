"""The golden toy, and checks that take the module under test: the core, its twin, or a mutant of the twin."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from wakesleep import _reference
from wakesleep.parameters import Parameters

WALK, TABLES = _reference.WALK, _reference.TABLES

TABLE = 1e-9  # absolute: the golden table has ten digits
FLOAT32 = 1e-6  # absolute: some ten roundings of 6e-8, and an exp that is good to 1e-7
DIFFERENCE = 1e-8  # absolute, of a central difference with STEP: truncation ~STEP², rounding ~1e-15/STEP
STEP = 1e-5
Z_MAX = 4.0  # standard errors; one of the few hundred comparisons would go beyond in 1 % of all choices of seeds


class Toy(NamedTuple):
    """The golden toy as arrays."""

    sizes: tuple[int, ...]
    methods: NDArray[np.uint8]
    float64: NDArray[np.float64]
    float32: NDArray[np.float32]
    data: NDArray[np.uint64]  # one row, x = 101

    def parameters(self, dtype: Any) -> NDArray[Any]:
        return self.float64.astype(dtype)


def _toy() -> Toy:
    p = Parameters((3, 2), np.zeros(19))
    p.generative[0].weights[:] = np.transpose([[1, -0.5], [-0.8, 0.7], [0.3, 1.2]])
    p.generative[0].biases[:] = [0.1, -0.2, 0.4]
    p.prior_logits[:] = [0.5, -0.3]
    p.recognition[0].weights[:] = np.transpose([[0.6, -0.4, 0.2], [-0.1, 0.9, -0.7]])
    p.recognition[0].biases[:] = [-0.2, 0.3]
    data = _reference.pack(np.array([[True, False, True]]))
    return Toy((3, 2), np.array([WALK, TABLES], np.uint8), p.flat, p.flat.astype(np.float32), data)


TOY = _toy()
TOY_ORDER = [0, 2, 1, 3]  # states 00, 01, 10, 11 of the table among `all_states`, which counts from the left

LOG_P = -1.2937481974557414
POSTERIOR = [0.1366633313, 0.0738531211, 0.4778458478, 0.3116376998]
Q = [0.2205645386, 0.1337791551, 0.4018947926, 0.2437615137]
ELBO, KL_Q_P, KL_P_Q = -1.349358240908178, 0.055610043452436475, 0.04997453100428838
IWAE = {2: -1.3196635336184055, 3: -1.3104092912330918, 5: -1.3034278034312785}
ESS = 0.9157400917036255  # of K, as K grows


def layout(db: Any, da: Any, dW: Any, dc: Any, dR: Any) -> NDArray[np.float64]:
    """The toy's flat vector of these parts; matrices are target × source, as in the table."""
    return np.concatenate([np.ravel(part) for part in (np.transpose(dW), db, da, np.transpose(dR), dc)])


NONE = np.full((3, 2), np.nan)  # what the table does not hold is not compared
LOG_P_GRADIENT = layout(
    [0.3388969042, -0.3686240466, 0.2663524488],
    [0.1670242164, -0.0400666623],
    [[0.2297640252, 0.1546418059], [-0.2611322967, -0.1785903195], [0.199101801, 0.0529526722]],
    [0, 0],
    np.zeros((2, 3)),
)
WAKE = layout([0.3716091939, -0.3943834331, 0.2760567547], [0.023196975, -0.0480168144], NONE, [0, 0], np.zeros((2, 3)))
SLEEP = layout(
    [0, 0, 0],
    [0, 0],
    np.zeros((3, 2)),
    [0.0848255932, -0.0946934581],
    [[0.0712206448, 0.0156386906, 0.066889473], [-0.0775861677, -0.0500097133, 0.0134660449]],
)


# ---- machines and states ----


def random_parameters(sizes: Sequence[int], dtype: Any = np.float32, scale: float = 1.0, seed: int = 0) -> NDArray[Any]:
    """Normal parameters for these levels."""
    size = Parameters(sizes).flat.size
    return (scale * np.random.default_rng(seed).normal(size=size)).astype(dtype)


def random_states(sizes: Sequence[int], n_rows: int, density: float = 0.4, seed: int = 0) -> NDArray[np.uint64]:
    """Packed states with every level filled."""
    rng = np.random.default_rng(seed)
    return pack([rng.random((n_rows, size)) < density for size in sizes])


def pack(levels: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(np.concatenate([_reference.pack(level) for level in levels], axis=1))


def every_state(sizes: Sequence[int]) -> NDArray[np.uint64]:
    """All states of all levels; level 0 runs fastest."""
    bits = _reference.all_states(sum(sizes))
    return pack(np.split(bits, np.cumsum(sizes)[:-1], axis=1))


def states_of(data: NDArray[np.uint64], sizes: Sequence[int]) -> NDArray[np.uint64]:
    """States with these visible rows, all hidden units off."""
    states = np.zeros((len(data), sum(_reference.words_of(size) for size in sizes)), np.uint64)
    states[:, : data.shape[1]] = data
    return states


def toy_states() -> NDArray[np.uint64]:
    """The row of the toy with each hidden state, in the order of the table."""
    return every_state(TOY.sizes)[5::8][TOY_ORDER]


def same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Equal to the last bit, the sign of zero included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def taught(module: Any, parameters: NDArray[Any], states: NDArray[np.uint64], credits_p: Any, credits_q: Any,
           sizes: Sequence[int] = TOY.sizes, methods: NDArray[np.uint8] = TOY.methods) -> NDArray[Any]:  # fmt: skip
    """What `teach` adds to a gradient that is one everywhere before."""
    gradient = np.ones_like(parameters)
    both = [None if c is None else np.asarray(c).astype(parameters.dtype) for c in (credits_p, credits_q)]
    module.teach(parameters, sizes, methods, states, *both, gradient)
    return gradient - 1


posix = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has other signals, and another shell")


class StopError(Exception):
    """What a handler of signals raises."""


def assert_a_signal_stops(work: Callable[[], object], after: float = 0.2) -> None:
    """A compiled call that takes long ends soon after a signal whose handler raises."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("needs a timer that sends a signal")

    def stop(*_: object) -> None:
        raise StopError

    before = signal.signal(signal.SIGALRM, stop)
    gc.disable()  # what a handler raises inside one of Hypothesis's callbacks of the collector is lost
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        with pytest.raises(StopError):
            work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Equal within an absolute tolerance where something is expected."""
    known = ~np.isnan(expected)
    np.testing.assert_allclose(np.asarray(actual)[known], np.asarray(expected)[known], rtol=0, atol=tolerance)


# ---- expectations by sampling ----


def estimate(draw: Callable[[int], Any], repeats: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard error of draw(0), draw(1), …"""
    draws = np.array([draw(repeat) for repeat in range(repeats)], np.float64)
    return draws.mean(0), draws.std(0, ddof=1) / np.sqrt(repeats)


def assert_expected(draw: Callable[[int], Any], expected: Any, repeats: int) -> None:
    """The mean of draws is the expected one within Z_MAX standard errors, and 1.1 times that would not be."""
    mean, error = estimate(draw, repeats)
    known = ~np.isnan(expected) & (np.asarray(expected) != 0)
    mean, error, expected = mean[known], error[known], np.asarray(expected)[known]
    assert (np.abs(mean - expected) < Z_MAX * error).all()
    assert (np.abs(mean - 1.1 * expected) > Z_MAX * error).any(), "this test has no power"


# ---- the checks ----


def check_golden_probabilities(module: Any, dtype: Any, tolerance: float) -> None:
    """log p(x), both posteriors, the ELBO and both divergences of the toy."""
    log_p, log_q = module.log_probabilities(TOY.parameters(dtype), TOY.sizes, TOY.methods, toy_states())
    q, log_px = np.exp(log_q), np.logaddexp.reduce(log_p)
    posterior = np.exp(log_p - log_px)
    assert_close(log_px, LOG_P, tolerance)
    assert_close(posterior, POSTERIOR, tolerance)
    assert_close(q, Q, tolerance)
    assert_close(q @ (log_p - log_q), ELBO, tolerance)
    assert_close(q @ (log_q - log_p + log_px), KL_Q_P, tolerance)
    assert_close(posterior @ (log_p - log_px - log_q), KL_P_Q, tolerance)


def check_golden_gradients(module: Any, dtype: Any, tolerance: float) -> None:
    """∂log p(x), and the expected wake and sleep updates of the toy, by adding up all states."""
    parameters = TOY.parameters(dtype)
    assert_close(taught(module, parameters, toy_states(), POSTERIOR, None), LOG_P_GRADIENT, tolerance)
    assert_close(taught(module, parameters, toy_states(), Q, None), WAKE, tolerance)
    states = every_state(TOY.sizes)
    log_p, _ = _reference.log_probabilities(TOY.float64, TOY.sizes, TOY.methods, states)
    assert_close(taught(module, parameters, states, None, np.exp(log_p)), SLEEP, tolerance)


def check_normalised(module: Any, dtype: Any, tolerance: float) -> None:
    """Σ p(x, h) = 1, and Σₕ q(h | x) = 1 for every x, of a machine whose levels are all as wide."""
    sizes = (3, 3, 3)
    methods = np.array([WALK, TABLES, WALK], np.uint8)
    parameters = random_parameters(sizes, dtype, seed=1)
    log_p, log_q = module.log_probabilities(parameters, sizes, methods, every_state(sizes))
    assert_close(np.exp(log_p).sum(), 1, tolerance)
    assert_close(np.exp(log_q).reshape(-1, 8).sum(0), np.ones(8), tolerance)


def check_finite_differences(module: Any, dtype: Any = np.float64, tolerance: float = DIFFERENCE) -> None:
    """`teach` is the gradient of Σ credit · `log_probabilities`, of a machine whose levels are all as wide."""
    sizes, n_rows = (3, 3, 3), 6
    methods = np.array([TABLES, TABLES, WALK], np.uint8)
    parameters = random_parameters(sizes, dtype, seed=2)
    states = random_states(sizes, n_rows, seed=3)
    credit = np.random.default_rng(4).normal(size=(2, n_rows))

    def value(flat: NDArray[np.float64]) -> float:
        log_p, log_q = module.log_probabilities(flat, sizes, methods, states)
        return float(credit[0] @ log_p + credit[1] @ log_q)

    gradient = taught(module, parameters, states, *credit, sizes, methods)
    assert_close(gradient, finite_differences(value, parameters), tolerance)


def finite_differences(value: Callable[[NDArray[np.float64]], float], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Central differences of a function of a vector."""
    steps = STEP * np.eye(at.size)
    return np.array([(value(at + step) - value(at - step)) / (2 * STEP) for step in steps])


def check_sampled_verbs(module: Any, dtype: Any, repeats: int = 300, n: int = 400) -> None:
    """Sampled with `recognise` and `dream`, the updates of the toy have the golden expectations."""
    parameters, credit = TOY.parameters(dtype), np.full(n, 1 / n)

    def wake(repeat: int) -> Any:
        states = states_of(np.repeat(TOY.data, n, axis=0), TOY.sizes)
        module.recognise(parameters, TOY.sizes, TOY.methods, states, repeat // 3, module.WAKE, repeat % 3 * n)
        return taught(module, parameters, states, credit, None)

    def sleep(repeat: int) -> Any:
        states = states_of(np.zeros((n, 1), np.uint64), TOY.sizes)
        module.dream(parameters, TOY.sizes, TOY.methods, states, repeat // 3, module.SLEEP, repeat % 3 * n)
        return taught(module, parameters, states, None, credit)

    assert_expected(wake, WAKE, repeats)
    assert_expected(sleep, SLEEP, repeats)


def check_golden_likelihood(module: Any, dtype: Any, tolerance: float, repeats: int = 6000) -> None:
    """log p(x) of the toy, and the expected log (1/K) Σ w of its importance samples, told apart from K = 1 and ∞."""
    parameters = TOY.parameters(dtype)
    assert_close(module.exact(parameters, TOY.sizes, TOY.data), [LOG_P], tolerance)
    for n_particles, expected in IWAE.items():

        def draw(seed: int, k: int = n_particles) -> float:
            return float(module.importance(parameters, TOY.sizes, TOY.methods, TOY.data, seed, k)[0][0])

        mean, error = estimate(draw, repeats)
        assert abs(mean - expected) < Z_MAX * error, f"K = {n_particles}"
        assert min(abs(mean - ELBO), abs(mean - LOG_P)) > Z_MAX * error, "this test has no power"


def check_streams(module: Any, dtype: Any) -> None:
    """Levels, phases, seeds, samples and units have random numbers of their own, whatever else a call computes."""
    sizes, n = (64, 64, 64), 64
    parameters, methods = np.zeros(Parameters(sizes).flat.size, dtype), np.zeros(3, np.uint8)

    def draw(verb: Any, seed: int, first: int = 0, count: int = n) -> NDArray[np.uint64]:
        states = np.zeros((count, 3), np.uint64)
        verb(parameters, sizes, methods, states, seed, first_sample=first)
        return states

    awake, asleep = draw(module.recognise, 1), draw(module.dream, 1)
    others = [draw(module.dream, 1, n), draw(module.dream, 0), draw(module.dream, 1 << 32)]
    column = asleep[:, :1]
    shifted = [np.roll(column, i, axis=0) for i in (1, 2, 3, 4)]
    rotated = [column << np.uint64(i) | column >> np.uint64(64 - i) for i in (1, 2, 4, 8, 16)]
    columns = np.concatenate([awake[:, 1:], asleep, *others, *shifted, *rotated], axis=1)
    n_bits = 64 * n
    for i in range(columns.shape[1]):
        for j in range(i):
            differing = int(np.bitwise_count(columns[:, i] ^ columns[:, j]).sum()) / n_bits
            assert abs(differing - 0.5) < Z_MAX * 0.5 / np.sqrt(n_bits), f"columns {i} and {j}"
    for verb in (module.recognise, module.dream):
        np.testing.assert_array_equal(draw(verb, 1)[5:], draw(verb, 1, 5, n - 5))


PROBABILITIES = (1e-3, 0.1, 0.5, 0.9, 1 - 1e-3)


def smallest_visible_bias(p: float, n_draws: int) -> float:
    """A bias that goes beyond Z_MAX standard errors in 999 of 1,000 choices of seeds."""
    return (Z_MAX + 3.1) * float(np.sqrt(p * (1 - p) / n_draws))


def count_ones(module: Any, dtype: Any, p: float, n_draws: int, seed: int = 0) -> int:
    """How many of n_draws dreamt bits with P(1) = p are on."""
    sizes, methods = (1024, 1), np.zeros(2, np.uint8)
    parameters = Parameters(sizes, np.zeros(Parameters(sizes).flat.size, dtype))
    parameters.generative[0].biases[:] = np.log(p / (1 - p))
    states = np.zeros((n_draws // 1024, 17), np.uint64)
    module.dream(parameters.flat, sizes, methods, states, seed)
    return int(np.bitwise_count(states[:, :16]).sum())


def check_bernoulli(module: Any, dtype: Any, n_draws: int = 1 << 21) -> None:
    """Bits are on with the probability σ(z); a bias of 2.5e-3 at ½, or 1.6e-4 at 1e-3, would be seen in 2²¹ draws."""
    for p in PROBABILITIES:
        error = np.sqrt(p * (1 - p) / n_draws)
        bias = smallest_visible_bias(p, n_draws) * (1 if p <= 0.5 else -1)
        assert abs(count_ones(module, dtype, p, n_draws) / n_draws - p) < Z_MAX * error, f"p = {p}"
        biased = count_ones(module, dtype, p + bias, n_draws) / n_draws
        assert abs(biased - p) > Z_MAX * error, f"p = {p}: this test has no power"


def check_decisions(module: Any, dtype: Any) -> None:
    """A bit is on from the very number u on: a quarter of 2⁻²³ decides, and so all its 23 bits do."""
    sizes, methods, seed, quarter = (1 << 13, 0), np.zeros(2, np.uint8), 6, 2.0**-25
    u = (_reference.random_bits(seed, module.SLEEP, 1, sizes[0])[0] + 0.5) * 2.0**-23
    sharp = (u > 2 * quarter) & (u < 0.02)  # a quarter is 1.5e-6 of 0.02, and rounding z and 1 + e^−z moves u by 5e-7
    assert sharp.sum() > 100
    for p, on in ((u + quarter, True), (u - quarter, False)):
        parameters = Parameters(sizes, np.zeros(Parameters(sizes).flat.size, dtype))
        parameters.generative[0].biases[:] = np.log(np.where(sharp, p, 0.5) / (1 - np.where(sharp, p, 0.5)))
        states = np.zeros((1, sizes[0] // 64), np.uint64)
        module.dream(parameters.flat, sizes, methods, states, seed)
        assert (_reference.unpack(states, sizes[0])[0][sharp] == on).all()


def check_certain(module: Any, dtype: Any) -> None:
    """A unit with a logit of ±∞ is on always, or never."""
    sizes, methods = (64, 64), np.zeros(2, np.uint8)
    for logit, word in ((np.inf, np.uint64(0xFFFFFFFFFFFFFFFF)), (-np.inf, np.uint64(0))):
        parameters = Parameters(sizes, np.zeros(Parameters(sizes).flat.size, dtype))
        parameters.generative[0].biases[:] = parameters.prior_logits[:] = logit
        states = np.full((1 << 12, 2), 0x5555, np.uint64)
        module.dream(parameters.flat, sizes, methods, states, 0)
        assert (states == word).all()


def check_epoch_order(module: Any, sizes: Sequence[int] = range(1, 131)) -> None:
    """Every epoch is a permutation, another one for every epoch and seed, and every row comes at every place."""
    for n in sizes:
        order = module.epoch_order(3, 7, n)
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
        parts = [module.epoch_order(3, 7, n, first, min(5, n - first)) for first in range(0, n, 5)]
        np.testing.assert_array_equal(np.concatenate(parts), order)
        if n > 20:  # by chance alike once in 20!
            for other in (module.epoch_order(3, 8, n), module.epoch_order(4, 7, n), module.epoch_order(3 << 32, 7, n)):
                assert (order != other).any()
                assert (order != np.arange(n)).any()
    n, repeats = 13, 1300
    counts = np.zeros((n, n))
    for epoch in range(repeats):
        counts[np.arange(n), module.epoch_order(5, epoch, n)] += 1
    chi_square = ((counts - repeats / n) ** 2 / (repeats / n)).sum()
    freedom = (n - 1) ** 2
    assert abs(chi_square - freedom) < Z_MAX * np.sqrt(2 * freedom)
