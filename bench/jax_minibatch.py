"""Wake-sleep in minibatches, as fast as JAX will go: float32, an epoch in one call, compiled, its buffers donated.

Above the top level stands one without units, so that the prior is a layer like any other.

What lost: the generators rbg and unsafe_rbg (an epoch took twice as long); a call for the random numbers of each
layer (slower where everything is small); u · (1 + e^−z) < 1 in place of u < σ(z) (slower); threads within an operation
(slower, at batches of 100); XLA's options for XNNPACK, oneDNN, fast mathematics and longer vectors (no
difference). A hash of a counter in place of threefry would save a sixth, but that generator would be ours, not
JAX's.
"""

from functools import partial
from itertools import accumulate, pairwise

import jax
import jax.numpy as jnp


class Machine:
    """p[i] goes from level i + 1 down to level i, the prior last; q[i] goes from level i up to level i + 1."""

    def __init__(self, sizes, seed):
        self.sizes = tuple(sizes)
        self.key = jax.random.key(seed, impl="threefry2x32")
        self.p = [self._layer(high, low) for low, high in pairwise([*sizes, 0])]
        self.q = [self._layer(low, high) for low, high in pairwise(sizes)]
        own = partial(pass_over)  # compiled for each machine: what is compiled does not see a function replaced
        self.pass_over = jax.jit(own, static_argnames="batch_size", donate_argnames=("p", "q"))

    def next_key(self):
        self.key, key = jax.random.split(self.key)
        return key

    def _layer(self, n_source, n_target):
        limit = 0.1 * (6 / (n_source + n_target)) ** 0.5
        weights = jax.random.uniform(self.next_key(), (n_source, n_target), minval=-limit, maxval=limit)
        return weights, jnp.zeros(n_target)


def probabilities(layer, source):
    """σ(source·W + b).  source : (B, M)."""
    weights, biases = layer
    return jax.nn.sigmoid(source @ weights + biases)


def uniforms(key, n, layers):
    """Numbers in [0, 1), (n, N) for every layer, made in one call."""
    shapes = [(n, len(biases)) for _, biases in layers]
    stops = list(accumulate(n * n_target for n, n_target in shapes))
    parts = jnp.split(jax.random.uniform(key, (stops[-1],)), stops[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def draw(layer, source, u):
    return (u < probabilities(layer, source)).astype(jnp.float32)


def learn(layer, source, target, scale):
    """W + scale · sourceᵀ (target − σ(source·W + b)), and so for b"""
    weights, biases = layer
    error = scale * (target - probabilities(layer, source))
    return weights + source.T @ error, biases + error.sum(0)


def wake(p, q, rows, key, scale):
    """q explains the rows, and p learns to make them."""
    levels = [rows]
    for layer, u in zip(q, uniforms(key, len(rows), q), strict=True):
        levels.append(draw(layer, levels[-1], u))
    levels.append(jnp.zeros((len(rows), 0)))
    return [learn(layer, high, low, scale) for layer, (low, high) in zip(p, pairwise(levels), strict=True)]


def sleep(p, q, n_dreams, key, scale):
    """p dreams, and q learns to explain the dreams."""
    levels = [jnp.zeros((n_dreams, 0))]
    for layer, u in zip(p[::-1], uniforms(key, n_dreams, p[::-1]), strict=True):
        levels.insert(0, draw(layer, levels[0], u))
    return [learn(layer, low, high, scale) for layer, (low, high) in zip(q, pairwise(levels[:-1]), strict=True)]


def pass_over(p, q, rows, key, rate, batch_size):
    """One pass over the rows, in random order: the new p and q.  rows : (n, D), uint8."""

    def step(layers, batch):
        p, q = layers
        chosen, keys = batch
        scale = rate / len(chosen)
        p = wake(p, q, rows[chosen].astype(jnp.float32), keys[0], scale)
        return (p, sleep(p, q, len(chosen), keys[1], scale)), None

    n_full, n_left = divmod(len(rows), batch_size)
    order_key, key, last_key = jax.random.split(key, 3)
    order = jax.random.permutation(order_key, len(rows))
    batches = order[: n_full * batch_size].reshape(n_full, batch_size)
    layers, _ = jax.lax.scan(step, (p, q), (batches, jax.random.split(key, (n_full, 2))))
    if n_left:
        layers, _ = step(layers, (order[-n_left:], jax.random.split(last_key, 2)))
    return layers


def epoch(machine, rows, batch_size, rate):
    """One pass over the rows, in random order.  rows : (n, D), uint8."""
    layers = machine.pass_over(machine.p, machine.q, rows, machine.next_key(), rate, batch_size)
    machine.p, machine.q = jax.block_until_ready(layers)
