"""Wake-sleep in minibatches, as fast as NumPy will go: float32, BLAS, no temporary in the inner loop.

A layer is one matrix (M + 1, N) whose last row holds the biases, because every level ends in a unit
that is always on; one product then gives the logits, and another the gradient of weights and biases.
Above the top level stands one with that unit alone, so that the prior is a layer like any other.
B rows, M source units, N target units.
"""

from itertools import pairwise

import numpy as np

ONE = np.float32(1)


class Machine:
    """p[i] goes from level i + 1 down to level i, the prior last; q[i] goes from level i up to level i + 1."""

    def __init__(self, sizes, seed):
        self.sizes = tuple(sizes)
        self.bits = np.random.SFC64(seed)
        self.random = np.random.Generator(self.bits)
        self.p = [self._layer(high, low) for low, high in pairwise([*sizes, 0])]
        self.q = [self._layer(low, high) for low, high in pairwise(sizes)]
        self.batches = {}

    def _layer(self, n_source, n_target):
        limit = 0.1 * np.sqrt(6 / (n_source + n_target))
        layer = self.random.uniform(-limit, limit, (n_source + 1, n_target)).astype(np.float32)
        layer[-1] = 0
        return layer

    def batch(self, n):
        """The arrays to work in for n rows, made once."""
        if n not in self.batches:
            self.batches[n] = Batch(self, n)
        return self.batches[n]


class Batch:
    """Everything a step writes to, for n rows."""

    def __init__(self, machine, n):
        self.n = n
        self.rows = np.empty((n, machine.sizes[0]), np.uint8)
        self.levels = [np.ones((n, size + 1), np.float32) for size in (*machine.sizes, 0)]
        self.states = [level[:, :-1] for level in self.levels]  # without the unit that is always on
        self.z = [np.empty((n, size), np.float32) for size in machine.sizes]
        self.gradient_p, self.gradient_q = ([np.empty_like(layer) for layer in m] for m in (machine.p, machine.q))
        # a uniform number for every unit that q draws, then for every one that p draws
        sizes = [*machine.sizes[1:], *reversed(machine.sizes)]
        stops = np.cumsum([0, *sizes]) * n
        self.parts = [(slice(*ends), (n, size)) for ends, size in zip(pairwise(stops.tolist()), sizes, strict=True)]
        self.n_words = (n * sum(sizes) + 1) // 2

    def uniforms(self, bits):
        """Numbers in [0, 1) of 23 random bits each, one array per layer: the mantissas of floats in [1, 2), less 1.

        Two numbers per raw word, twice as fast as ``Generator.random(dtype=float32)``.
        """
        words = bits.random_raw(self.n_words).view(np.uint32)
        words >>= np.uint32(9)
        words |= np.uint32(0x3F800000)
        u = words.view(np.float32)
        u -= ONE
        return [u[part].reshape(shape) for part, shape in self.parts]


def draw(source, layer, z, u, out):
    """out = [u < σ(source·layer)], taken as u · (1 + e^−z) < 1.  u : (B, N)."""
    np.dot(source, layer, out=z)
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += ONE
    z *= u
    np.less(z, ONE, out=out)


def learn(source, layer, target, z, gradient, scale):
    """layer += scale · sourceᵀ (target − σ(source·layer)).  source : (B, M + 1).  target, z : (B, N)."""
    np.dot(source, layer, out=z)
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += ONE
    np.reciprocal(z, out=z)
    np.subtract(target, z, out=z)
    z *= scale
    np.dot(source.T, z, out=gradient)
    layer += gradient


def wake(machine, batch, u, scale):
    """q explains the rows, and p learns to make them."""
    levels, states, z = batch.levels, batch.states, batch.z
    for i, layer in enumerate(machine.q):
        draw(levels[i], layer, z[i + 1], next(u), states[i + 1])
    for i, layer in enumerate(machine.p):
        learn(levels[i + 1], layer, states[i], z[i], batch.gradient_p[i], scale)


def sleep(machine, batch, u, scale):
    """p dreams, and q learns to explain the dreams."""
    levels, states, z = batch.levels, batch.states, batch.z
    for i in reversed(range(len(machine.p))):
        draw(levels[i + 1], machine.p[i], z[i], next(u), states[i])
    for i, layer in enumerate(machine.q):
        learn(levels[i], layer, states[i + 1], z[i + 1], batch.gradient_q[i], scale)


def epoch(machine, rows, batch_size, rate):
    """One pass over the rows, in random order.  rows : (n, D), uint8."""
    order = machine.random.permutation(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):  # e^−z may be infinite, and then the unit is off
        for first in range(0, len(rows), batch_size):
            chosen = order[first : first + batch_size]
            batch = machine.batch(len(chosen))
            np.take(rows, chosen, axis=0, out=batch.rows, mode="clip")
            batch.states[0][:] = batch.rows
            u = iter(batch.uniforms(machine.bits))
            scale = np.float32(rate / batch.n)
            wake(machine, batch, u, scale)
            sleep(machine, batch, u, scale)
