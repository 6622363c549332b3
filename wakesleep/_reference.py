"""The whole algorithm in plain NumPy: the twin of `_core`.

`_reference_learning` is the twin of `_core.train`, `_reference_measures` that of `_likelihood`,
and `_reference_annealing` that of `_annealing`.

The functions, their names and their arguments are those of the compiled module. With float32 parameters every
operation is the compiled one, in the compiled order, and the results agree in every bit; with float64 parameters it is
the mathematician's version, for golden values and finite differences. Equation numbers are those of docs/MATH.md.

Everywhere: B rows, M source units, N target units, L hidden levels. `sizes` lists the units per
level, visible first. A *state* is one row of packed bits with a run of whole words per level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep.parameters import Layer, Parameters

Floats = NDArray[np.floating[Any]]
Words = NDArray[np.uint64]
Example = tuple[Layer, NDArray[np.bool_], NDArray[np.bool_], int, NDArray[np.bool_] | None]
"""A layer, its source bits and its target bits, the method of its sums, and which targets are observed if not all."""

WALK, TABLES = 0, 1
CHUNK = 256  # rows of a walk that are added to the sum together
INIT, ORDER, WAKE, SLEEP, IMPORTANCE, FANTASY, DATASETS, BINARIZE, ANNEALING = (phase << 24 for phase in range(9))
REST = 1 << 23  # added to a stream: that of the bits which seldom decide


# ---- randomness: a pure function of (seed, stream, sample, unit) ----


def philox(counter: NDArray[np.uint32], key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Philox4x32-10 (Salmon et al., SC 2011).  counter : (..., 4).  key : (2,).  Returns (..., 4)."""
    low = np.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = (int(k) for k in key)
    for _ in range(10):
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (b >> np.uint64(32)) ^ c1 ^ np.uint64(k0), b & low
        c2, c3 = (a >> np.uint64(32)) ^ c3 ^ np.uint64(k1), a & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], -1).astype(np.uint32)


def random_words(seed: int, stream: int, n_samples: int, n_units: int, first_sample: int = 0) -> NDArray[np.uint32]:
    """words[t, u] = Philox(counter (u, t // 4, stream), key seed)[t % 4]      (eq. 8)

    Returns (n_samples, n_units) words of 32 random bits; row 0 is sample `first_sample`.
    """
    return _random(seed, stream, n_samples, n_units, first_sample, np.uint32)


def _random(seed: int, stream: int, n_samples: int, n_units: int, first_sample: int, dtype: Any) -> NDArray[Any]:
    """The 128 bits of a counter are those of four samples in words of 32 bits, or of eight in words of 16."""
    together = 16 // np.dtype(dtype).itemsize
    sample = np.uint64(first_sample) + np.arange(n_samples, dtype=np.uint64)[:, None]
    block = sample // np.uint64(together)
    counter = np.empty((n_samples, n_units, 4), np.uint32)
    counter[..., 0] = np.arange(n_units, dtype=np.uint32)
    counter[..., 1] = (block & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    counter[..., 2] = (block >> np.uint64(32)).astype(np.uint32)
    counter[..., 3] = stream
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)
    words = philox(counter, key).view(dtype)
    place = (sample % np.uint64(together)).astype(np.intp)[..., None]
    return np.take_along_axis(words, np.broadcast_to(place, (n_samples, n_units, 1)), -1)[..., 0]


def random_bits(seed: int, stream: int, n_samples: int, n_units: int, first_sample: int = 0) -> NDArray[np.uint32]:
    """2⁷ · half + ⌊rest / 2⁹⌋: 23 random bits, of which sixteen nearly always decide      (eq. 9)

    So the rest has a stream of its own, and may be left undrawn.
    """
    half, rest = (_random(seed, s, n_samples, n_units, first_sample, np.uint16) for s in (stream, stream + REST))
    return np.asarray((half.astype(np.uint32) << np.uint32(7)) | (rest >> np.uint16(9)))


def uniform(bits: NDArray[np.uint32], dtype: Any = np.float32) -> Floats:
    """u = (bits + ½) · 2⁻²³, exact in float32 and never 0 or 1      (eq. 9)"""
    return np.asarray(bits.astype(dtype) * dtype(2.0**-23) + dtype(2.0**-24))


def binarize(
    values: NDArray[Any], one: int, words: Words, seed: int, first_sample: int = 0, keys: Words | None = None
) -> None:
    """words[r, u] = [word · one < values[r, u] · 2³²]: bits that are 1 with probability values / one      (eq. 9b)"""
    n_rows, n_units = values.shape
    if keys is None:
        drawn = random_words(seed, BINARIZE, n_rows, n_units, first_sample)
    else:
        rows = [random_words(int(key), BINARIZE, 1, n_units, first_sample) for key in keys]
        drawn = np.concatenate([np.empty((0, n_units), np.uint32), *rows])
    if values.dtype == np.uint8:
        words[:] = pack(drawn * np.uint64(one) < values.astype(np.uint64) << np.uint64(32))
    else:
        words[:] = pack(drawn < values * 2.0**32)


def epoch_order(seed: int, epoch: int, n_rows: int, first: int = 0, count: int | None = None) -> NDArray[np.int64]:
    """Rows number first … first + count − 1 of the keyed permutation that is the order of an epoch      (eq. 10)

    Eight Feistel rounds on the smallest power of two, 64 or more, that holds n_rows; an index that falls
    outside is encrypted again until it falls inside.
    """
    count = n_rows - first if count is None else count
    width = max(6, (n_rows - 1).bit_length())
    right = width // 2
    masks = np.uint64((1 << (width - right)) - 1), np.uint64((1 << right) - 1)
    keys = random_words(seed, ORDER, 8, 2, 8 * epoch).astype(np.uint64)
    index, outside = np.arange(first, first + count, dtype=np.uint64), np.ones(count, bool)
    while outside.any():
        a, b = index >> np.uint64(right), index & masks[1]
        for i in range(0, 8, 2):
            a ^= _mix(b, keys[i]) & masks[0]
            b ^= _mix(a, keys[i + 1]) & masks[1]
        index = np.where(outside, (a << np.uint64(right)) | b, index)
        outside = index >= n_rows
    return index.astype(np.int64)


def _mix(x: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ key[0]) * np.uint64(0x9E3779B97F4A7C15) + (key[1] << np.uint64(32))
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return x >> np.uint64(40)


# ---- elementary functions ----


def exp_minus(z: Floats) -> Floats:
    """e^−z, in float32 by our own polynomial, clamped to 2^±126."""
    if z.dtype != np.float32:
        return np.exp(-np.clip(z, -700, 700))
    f32 = np.float32
    x = z * f32(-1.44269504)
    x = np.where(x < f32(126), x, f32(126))
    x = np.where(x > f32(-126), x, f32(-126))
    shifted = x + f32(12582912)
    f = x - (shifted - f32(12582912))
    p: Any = f32(0.0013264727)
    for coefficient in (0.009671513, 0.055507336, 0.24022242, 0.693147, 1):
        p = p * f + f32(coefficient)
    return np.asarray((p.view(np.uint32) + (shifted.view(np.uint32) << np.uint32(23))).view(np.float32))


def sigmoid(z: Floats) -> Floats:
    """σ(z) = 1 / (1 + e^−z)"""
    one = z.dtype.type(1)
    return one / (one + exp_minus(z))


def softplus(z: Floats) -> Floats:
    """log(1 + e^z) = max(z, 0) + log1p(e^−|z|)"""
    if z.dtype != np.float32:
        return np.logaddexp(0, z)
    f32 = np.float32
    e = exp_minus(np.abs(z))
    s = e / (f32(2) + e)
    t = s * s
    p: Any = f32(0.28178334)
    for coefficient in (0.279606, 0.4002491, 0.66666317, 2):
        p = p * t + f32(coefficient)
    return np.asarray(np.where(z > f32(0), z, f32(0)) + s * p)


# ---- packed states ----


def words_of(n_units: int) -> int:
    """Whole 64-bit words that hold n_units bits."""
    return (n_units + 63) // 64


def unpack(words: Words, n_units: int) -> NDArray[np.bool_]:
    """(B, words) packed bits → (B, n_units) booleans."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :n_units].astype(bool)


def pack(bits: NDArray[np.bool_]) -> Words:
    """(B, n_units) booleans → (B, words) packed bits, the padding zero."""
    octets = np.zeros((len(bits), 8 * words_of(bits.shape[1])), np.uint8)
    packed = np.packbits(bits, axis=1, bitorder="little")
    octets[:, : packed.shape[1]] = packed
    return octets.view(np.uint64)


def levels(states: Words, sizes: Sequence[int]) -> list[NDArray[np.bool_]]:
    """The levels of packed states, visible first, as booleans."""
    stops = np.cumsum([words_of(size) for size in sizes]).tolist()
    return [unpack(states[:, stop - words_of(n) : stop], n) for stop, n in zip(stops, sizes, strict=True)]


def _store(states: Words, bits: Sequence[NDArray[np.bool_]]) -> None:
    states[:] = np.concatenate([pack(level) for level in bits], axis=1)


# ---- the one primitive ----


def add_rows(selected: NDArray[np.bool_], rows: Floats, method: int, start: Floats | None = None) -> Floats:
    """out[m] = start + Σ_i selected[m, i] · rows[i], in the order of the method      (eq. 4)

    One sum begins with `start`, and to it are added: with WALK, of every 256 rows the selected ones, in
    index order alternately onto two sums, which are added; with TABLES, groups of four rows, each summed
    from the left, of which sixteen rows are (g₀ + g₁) + (g₂ + g₃).
    selected : (n_out, n_rows).  rows : (n_rows, N).  start : (N,), zeros if None.
    """
    n_out, n_rows = selected.shape
    out = np.zeros((n_out, rows.shape[1]), rows.dtype)
    if start is not None:
        out += start
    if rows.dtype != np.float32:
        return np.asarray(out + selected.astype(rows.dtype) @ rows)
    if method == WALK:
        for chunk in range(0, n_rows, CHUNK):
            sums, turn = np.zeros((2, *out.shape), np.float32), np.zeros(n_out, np.intp)
            for i in range(chunk, min(chunk + CHUNK, n_rows)):
                (chosen,) = np.nonzero(selected[:, i])
                sums[turn[chosen], chosen] += rows[i]
                turn[chosen] ^= 1
            out += sums[0] + sums[1]
        return out
    for block in range(0, n_rows, 16):
        g = np.zeros((4, *out.shape), np.float32)
        for i in range(block, min(block + 16, n_rows)):
            g[(i - block) // 4] += np.where(selected[:, i : i + 1], rows[i], np.float32(0))
        out += (g[0] + g[1]) + (g[2] + g[3])
    return out


def _logits(layer: Layer, source: NDArray[np.bool_], method: int) -> Floats:
    return add_rows(source, layer.weights, method, layer.biases)


# ---- the verbs: wake and sleep are the same three with p and q exchanged ----


def _p_layers(p: Parameters, methods: NDArray[np.uint8]) -> Iterator[tuple[int, Layer, int]]:
    """(target level, layer, method of its source) from the top down: the prior first."""
    yield len(p.sizes) - 1, p.prior, TABLES
    for level in range(len(p.sizes) - 2, -1, -1):
        yield level, p.generative[level], int(methods[level + 1])


def _source(bits: list[NDArray[np.bool_]], level: int) -> NDArray[np.bool_]:
    """The level above; of the prior, no units at all."""
    return bits[level + 1] if level + 1 < len(bits) else np.zeros((len(bits[0]), 0), bool)


def _draw(z: Floats, seed: int, stream: int, first_sample: int) -> NDArray[np.bool_]:
    """bit = [u · (1 + e^−z) < 1]      (eq. 9)"""
    u = uniform(random_bits(seed, stream, z.shape[0], z.shape[1], first_sample), z.dtype.type)
    return np.asarray(u * (z.dtype.type(1) + exp_minus(z)) < 1)


def recognise(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], states: Words,
    seed: int, stream: int = WAKE, first_sample: int = 0,
) -> None:  # fmt: skip
    """hˡ ~ q(hˡ | hˡ⁻¹) from the visible level up, in place.  states : (B, words), level 0 given      (eq. 3)"""
    p = Parameters(sizes, parameters)
    bits = levels(states, sizes)
    for level, layer in enumerate(p.recognition, 1):
        bits[level] = _draw(_logits(layer, bits[level - 1], methods[level - 1]), seed, stream + level, first_sample)
    _store(states, bits)


def dream(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], states: Words,
    seed: int, stream: int = SLEEP, first_sample: int = 0,
) -> None:  # fmt: skip
    """(x, h) ~ p(x, h) from the prior down, in place.  states : (B, words), all levels written      (eq. 2)"""
    p = Parameters(sizes, parameters)
    bits = levels(states, sizes)
    for level, layer, method in _p_layers(p, methods):
        bits[level] = _draw(_logits(layer, _source(bits, level), method), seed, stream + level, first_sample)
    _store(states, bits)


def _q_and_p(
    p: Parameters, methods: NDArray[np.uint8], bits: list[NDArray[np.bool_]], observed: Words | None = None
) -> tuple[list[Example], list[Example]]:
    """Every layer of p, and every layer of q.  observed : (B, words of level 0), or None where all units are."""
    seen = None if observed is None else unpack(observed, p.sizes[0])
    of_p = [
        (layer, _source(bits, level), bits[level], method, seen if level == 0 else None)
        for level, layer, method in _p_layers(p, methods)
    ]
    of_q = [(layer, bits[i], bits[i + 1], int(methods[i])) for i, layer in enumerate(p.recognition)]
    return of_p, [(*example, None) for example in of_q]


def log_probabilities(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], states: Words, observed: Words | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log p(x, h) and log q(h | x) of whole states, nats      (eq. 5)

    observed : (B, words of level 0), which visible units are, where not all; the others are left out      (eq. 18)

    Each layer is −Σ softplus(∓z), in sixteen lanes of float32 (unit u in lane u mod 16) that are
    added in order at the end, in float64.  states : (B, words).  Returns (B,), (B,).
    """
    sums = []
    for layers in _q_and_p(Parameters(sizes, parameters), methods, levels(states, sizes), observed):
        total = np.zeros(len(states))
        for layer, source, target, method, seen in layers:
            z = _logits(layer, source, method)
            terms = _kept(softplus(np.where(target, -z, z)), seen)
            lanes = np.zeros((len(z), 16), z.dtype)
            for unit in range(0, z.shape[1], 16):
                block = terms[:, unit : unit + 16]
                lanes[:, : block.shape[1]] += block
            for lane in range(16):
                total -= lanes[:, lane]
        sums.append(total)
    return sums[0], sums[1]


def teach(
    parameters: Floats, sizes: Sequence[int], methods: NDArray[np.uint8], states: Words,
    credits_p: Floats | None, credits_q: Floats | None, gradient: Floats, observed: Words | None = None,
) -> None:  # fmt: skip
    """gradient += Σ_n credits_p[n] ∇log p(xₙ, hₙ) + credits_q[n] ∇log q(hₙ | xₙ)      (eq. 6)

    states : (B, words).  credits : (B,), or None to leave that model out.  gradient : like parameters.
    observed : as `log_probabilities` has it.
    """
    gradient += 0
    g = Parameters(sizes, gradient)
    of_p, of_q = _q_and_p(Parameters(sizes, parameters), methods, levels(states, sizes), observed)
    into_p = [g.prior, *g.generative[::-1]]
    for layers, into, credit in ((of_p, into_p, credits_p), (of_q, g.recognition, credits_q)):
        if credit is not None:
            for example, goal in zip(layers, into, strict=True):
                _, source, _, method, _ = example
                error = _error(*example) * credit[:, None]
                _add_gradient(goal, source, error, method, gradient.dtype.type(1))


def _error(
    layer: Layer, source: NDArray[np.bool_], target: NDArray[np.bool_], method: int, seen: NDArray[np.bool_] | None
) -> Floats:
    """target − σ(z), and 0 where the target is not observed"""
    z = _logits(layer, source, method)
    return _kept(np.asarray(target.astype(z.dtype) - sigmoid(z)), seen)


def _kept(values: Floats, seen: NDArray[np.bool_] | None) -> Floats:
    """The values of observed units, and 0 for the others."""
    return values if seen is None else np.where(seen, values, values.dtype.type(0))


def _add_gradient(goal: Layer, source: NDArray[np.bool_], error: Floats, method: int, scale: Any) -> None:
    """goal.biases += scale · Σ error,  goal.weights += scale · sourceᵀ error      (eq. 7)"""
    if len(error):
        goal.biases[:] += scale * (np.add.accumulate(error, axis=0)[-1] + error.dtype.type(0))  # from 0, never −0
        goal.weights[:] += scale * add_rows(source.T, error, method)


# ---- mean-field pass, and all states ----


def propagate(values: Floats, weights: Floats, biases: Floats) -> Floats:
    """σ(values·weights + biases), summed over the sources in index order.  values : (B, M).  Returns (B, N)."""
    z = np.zeros((len(values), len(biases)), values.dtype) + biases
    for i in range(len(weights)):
        z += values[:, i : i + 1] * weights[i]
    return sigmoid(z)


def all_states(n_units: int) -> NDArray[np.bool_]:
    """All 2^n states of n units, (2^n, n); state s has unit i on where bit i of s is 1."""
    return (np.arange(1 << n_units)[:, None] >> np.arange(n_units) & 1).astype(bool)
