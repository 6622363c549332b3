"""The sampler: bits have their probability and nothing else, and how small a fault of either kind would be seen.

The compiled kernels draw the bits. A right sampler would fail a comparison for one of 1/ALPHA seeds; one with a bias
that is stated here would pass it for one of 1/MISSED seeds, by the binomial distribution. The biases are planted too.

| p                             | 10⁻⁵    | 10⁻³, 1 − 10⁻³ | 0.1, 0.9 | 0.5     |
|-------------------------------|---------|----------------|----------|---------|
| bias seen in 1.0·10⁷ draws    | 9.4e-6  | 8.1e-5         | 7.5e-4   | 1.25e-3 |
| bias seen in 1.1·10⁹ (`slow`) | 7.9e-7  | 7.8e-6         | 7.4e-5   | 1.22e-4 |

A correlation of 2.83e-3 is seen in 1.0·10⁷ pairs of bits, and a bias of 0.032 in one of 512 cells of units and samples.
"""

import functools

import checks
import numpy as np
import pytest
from checks import TABLES, WALK, random_parameters, random_states, same_bits

from wakesleep import _core, _reference
from wakesleep.parameters import Parameters

ALPHA, MISSED = 1e-6, 1e-3  # probabilities
Z = 6.0  # standard errors that a correlation, or the mean of a cell, may be off: one of 10⁷ goes beyond by chance
UNITS, ROWS = 4096, 2500  # drawn at a time

SMALLEST = {  # p: the smallest bias seen in the normal run, and in the slow one
    1e-5: (9.4e-6, 7.9e-7),
    1e-3: (8.1e-5, 7.8e-6),
    0.1: (7.5e-4, 7.4e-5),
    0.5: (1.25e-3, 1.22e-4),
    0.9: (7.5e-4, 7.4e-5),
    1 - 1e-3: (8.1e-5, 7.8e-6),
}
TIMES = {"normal": 1, "slow": 105}
every_run = pytest.mark.parametrize("run", ["normal", pytest.param("slow", marks=pytest.mark.slow)])
every_p = pytest.mark.parametrize("p", SMALLEST)


def logit(p):
    return np.log(p / (1 - p))


# ---- the binomial distribution ----


def binomial(n, p):
    """Counts, as far as twelve standard deviations from the mean, and their probabilities."""
    mean, far = n * p, 12 * np.sqrt(n * p * (1 - p)) + 40
    counts = np.arange(max(mean - far, 0) // 1, min(mean + far, n) + 1)
    log_ratios = np.log((n - counts[:-1]) / counts[1:]) + logit(p)  # of each to the one before it
    log_p = np.concatenate([[0], np.cumsum(log_ratios)])
    weights = np.exp(log_p - log_p.max())
    return counts, weights / weights.sum()


def limits(n, p):
    """The smallest and the largest count that pass: below and above are ALPHA / 2 each, at most."""
    counts, weights = binomial(n, p)
    passing = (np.cumsum(weights) > ALPHA / 2) & (np.cumsum(weights[::-1])[::-1] > ALPHA / 2)
    return counts[passing].min(), counts[passing].max()


def missed(n, p, biased):
    """The probability that bits with another probability pass for bits with probability p."""
    (low, high), (counts, weights) = limits(n, p), binomial(n, biased)
    return weights[(low <= counts) & (counts <= high)].sum()


def smallest_bias(n, p):
    """The smallest bias, upwards and downwards, that is missed with probability MISSED at most; by bisection."""

    def seen(bias):
        return all(missed(n, p, biased) <= MISSED for biased in (p - bias, p + bias))

    low, high = 0.0, min(p, 1 - p)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


# ---- probabilities ----


@functools.cache
def uniform_numbers():
    return _reference.uniform(np.arange(1 << 23, dtype=np.uint32))


def probability(z):
    """Of a bit with logit z to be on by (eq. 9), exactly: how many of the 2²³ uniform numbers turn it on."""
    above = np.float32(1) + _reference.exp_minus(np.array([z], np.float32))
    return np.count_nonzero(uniform_numbers() * above < 1) / 2**23


def count_ones(p, times, seed):
    """How many of times · UNITS · ROWS dreamt bits with P(1) = p are on."""
    sizes, methods = (0, UNITS), np.full(2, TABLES, np.uint8)
    parameters, states, total = Parameters(sizes), np.zeros((ROWS, UNITS // 64), np.uint64), 0
    parameters.prior_logits[:] = logit(p)
    for part in range(times):
        _core.dream(parameters.flat, sizes, methods, states, seed, first_sample=part * ROWS)
        total += int(np.bitwise_count(states).sum())
    return total


@every_p
def test_rounding_moves_a_probability_by_less_than_a_uniform_number(p):
    assert abs(probability(logit(p)) - p) < 2.0**-24 + 2e-7 * p


@every_run
@every_p
def test_bits_have_their_probability(cpu_level, p, run):
    n = TIMES[run] * UNITS * ROWS
    count = count_ones(p, TIMES[run], seed=1)
    for expected in (probability(logit(p)), p):
        low, high = limits(n, expected)
        z = (count - n * expected) / np.sqrt(n * expected * (1 - expected))
        assert low <= count <= high, f"{z:.1f} standard deviations from {expected}"


@every_run
@every_p
def test_the_stated_bias_is_seen(p, run):
    n, stated = TIMES[run] * UNITS * ROWS, SMALLEST[p][run == "slow"]
    low, high = limits(n, probability(logit(p)))
    assert count_ones(p - stated, TIMES[run], seed=2) < low
    assert count_ones(p + stated, TIMES[run], seed=3) > high
    assert 1 <= stated / smallest_bias(n, p) < 1.02


# ---- independence ----

LEVEL, STATES = 192, 54_000  # units of a level, of which there are three
CELLS = 64, 8  # units within a word, samples within a block of Philox


@functools.cache
def words(p, verb="dream", stream=_core.SLEEP, seed=5):
    """Packed bits of three levels with P(1) = p, each (STATES, LEVEL / 64); awake, the lowest one is not drawn."""
    sizes, methods = (LEVEL,) * 3, np.full(3, TABLES, np.uint8)
    parameters = Parameters(sizes)
    for layer in (*parameters.generative, parameters.prior, *parameters.recognition):
        layer.biases[:] = logit(p)
    states = np.zeros((STATES, 3 * LEVEL // 64), np.uint64)
    getattr(_core, verb)(parameters.flat, sizes, methods, states, seed, stream)
    return np.split(states, 3, axis=1)


def neighbours(level, distance):
    """Each unit, and the one so many places on, in a ring."""
    shift = np.uint64(distance % 64)
    after = np.roll(level, -(distance // 64), axis=1)
    last = np.roll(after, -1, axis=1) << (np.uint64(64) - shift) if shift else np.uint64(0)
    return level, after >> shift | last


PAIRS = {
    **{f"units {i} apart": lambda p, i=i: neighbours(words(p)[0], i) for i in (1, 2, 3, 4, 8, 16, 32, 64)},
    **{f"samples {i} apart": lambda p, i=i: (words(p)[0][i:], words(p)[0][:-i]) for i in (1, 2, 3, 4, 8, 16)},
    "a unit and a sample apart": lambda p: (words(p)[0][1:], neighbours(words(p)[0], 1)[1][:-1]),
    "levels 0 and 1": lambda p: words(p)[:2],
    "levels 1 and 2": lambda p: words(p)[1:],
    "levels 0 and 2": lambda p: words(p)[::2],
    "levels 1 and 2, awake": lambda p: words(p, "recognise", _core.WAKE)[1:],
    "wake and sleep": lambda p: (words(p)[1], words(p, "recognise", _core.WAKE)[1]),
    "sleep and fantasies": lambda p: (words(p)[0], words(p, stream=_core.FANTASY)[0]),
    "seeds 1 apart": lambda p: (words(p)[0], words(p, seed=6)[0]),
    "seeds 2³² apart": lambda p: (words(p)[0], words(p, seed=5 + 2**32)[0]),
}


def correlation(a, b):
    """Of pairs of bits, in units of its standard error, and the number of pairs."""
    n = 64 * a.size
    both, of_a, of_b = (int(np.bitwise_count(bits).sum()) / n for bits in (a & b, a, b))
    return (both - of_a * of_b) / np.sqrt(of_a * (1 - of_a) * of_b * (1 - of_b) / n), n


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("pair", PAIRS)
def test_bits_are_independent(pair, p):
    a, b = PAIRS[pair](p)
    z, n = correlation(a, b)
    assert abs(z) < Z
    stated = (Z + 3.1) / np.sqrt(n)  # goes beyond Z in 999 of 1,000 choices of seeds
    assert stated == pytest.approx(2.83e-3, rel=0.01)
    copied = words(stated, seed=7)[0][: len(a)]
    z, _ = correlation(a, (b & ~copied) | (a & copied))
    assert z > Z, "this test has no power"


def cells(level):
    """Means of the cells of units and samples, less 1/2, in units of their standard error."""
    bits = _reference.unpack(level, LEVEL).reshape(-1, CELLS[1], LEVEL // CELLS[0], CELLS[0])
    return (bits.mean(axis=(0, 2)) - 0.5) / (0.5 / np.sqrt(bits.size / (CELLS[0] * CELLS[1])))


def test_all_units_and_samples_have_the_same_probability():
    level = words(0.5)[0]
    assert np.abs(cells(level)).max() < Z
    stated = (Z + 3.1) * 0.5 / np.sqrt(64 * level.size / (CELLS[0] * CELLS[1]))
    assert stated == pytest.approx(0.032, rel=0.03)
    for unit, sample in ((0, 0), (17, 2), (63, 7)):
        biased = level.copy()
        biased[sample :: CELLS[1]] |= words(2 * stated, seed=8)[0][sample :: CELLS[1]] & np.uint64(1 << unit)
        z = cells(biased)
        assert z[sample, unit] > Z, "this test has no power"
        z[sample, unit] = 0
        assert np.abs(z).max() < Z


# ---- saturated logits ----


def saturated(value, through):
    """A machine whose logits are all ±value, by its biases or by its weights, and the bits of that sign, by level."""
    sizes, rng = (70, 33, 17), np.random.default_rng(0)
    on = [rng.random(size) < 0.5 for size in sizes]
    p = Parameters(sizes)
    downwards = zip(p.generative, on[1:], on[:-1], strict=True)
    upwards = zip(p.recognition, on[:-1], on[1:], strict=True)
    p.prior_logits[:] = np.where(on[-1], value, -value)
    for layer, source, target in (*downwards, *upwards):
        wanted = np.where(target, value, -value)
        if through == "biases":
            layer.biases[:] = wanted
        else:
            layer.weights[~source] = -wanted  # rows of units that are off are not added, not even times 0
            layer.weights[source.argmax()] = wanted
    return p.flat, sizes, on


@pytest.mark.parametrize("value", [17, 30, 100, np.inf])
@pytest.mark.parametrize("through", ["biases", "weights"])
@pytest.mark.parametrize("method", [WALK, TABLES])
@pytest.mark.parametrize("n_states", [5, 300])  # few are summed in another way than many
def test_saturated_logits_decide(cpu_level, value, through, method, n_states):
    assert [probability(value), probability(-value)] == [1, 0]
    parameters, sizes, on = saturated(value, through)
    machine = parameters, sizes, np.full(3, method, np.uint8)
    certain = checks.pack([np.tile(level, (n_states, 1)) for level in on])
    awake, asleep = checks.states_of(certain[:, :2], sizes), np.zeros_like(certain)
    _core.recognise(*machine, awake, 1)
    _core.dream(*machine, asleep, 1)
    np.testing.assert_array_equal(awake, certain)
    np.testing.assert_array_equal(asleep, certain)
    gradient, credit = np.zeros_like(parameters), np.ones(n_states, np.float32)
    _core.teach(*machine, certain, credit, credit, gradient)
    tail = np.exp(-min(value, 87))  # e^−z is at least 2^−126
    for almost_zero in (*_core.log_probabilities(*machine, certain), gradient):
        np.testing.assert_allclose(almost_zero, 0, rtol=0, atol=n_states * sum(sizes) * tail)


def test_logits_below_saturation_do_not_decide(cpu_level):
    assert 0 < probability(-16) < 2e-7
    assert 0 < 1 - probability(16) < 2e-7


@pytest.mark.parametrize("method", [WALK, TABLES])
@pytest.mark.parametrize("values", [(30, 100), (100, np.inf), (np.inf, np.nan)], ids=str)
def test_bits_of_extreme_logits_are_those_of_the_twin(cpu_level, values, method):
    sizes, rng = (70, 33, 17), np.random.default_rng(1)
    parameters = random_parameters(sizes)
    for value in values:
        for sign in (-1, 1):
            parameters[rng.random(parameters.size) < 0.1] = sign * value
    for verb in ("recognise", "dream"):
        states = [random_states(sizes, 40) for _ in range(2)]
        for module, mine in zip((_core, _reference), states, strict=True):
            with np.errstate(invalid="ignore"):  # ∞ − ∞
                getattr(module, verb)(parameters, sizes, np.full(3, method, np.uint8), mine, 1)
        assert same_bits(*states)
