"""Wake-sleep in plain lists and loops: the whole algorithm on a page, and the slow end of the benchmarks.

A state is a list of levels, visible first; a level is a list of booleans. Above the top level stands an
empty one, so that the prior is a layer like any other, with no sources.
"""

from itertools import pairwise
from math import exp, sqrt
from random import Random


class Layer:
    """P(target[j] = 1 | source) = σ(biases[j] + Σ_i source[i] · weights[i][j])"""

    def __init__(self, n_source, n_target, random):
        limit = 0.1 * sqrt(6 / (n_source + n_target))
        self.weights = [[random.uniform(-limit, limit) for _ in range(n_target)] for _ in range(n_source)]
        self.biases = [0.0] * n_target

    def probabilities(self, source):
        z = self.biases
        for s, row in zip(source, self.weights, strict=True):
            z = [a + s * w for a, w in zip(z, row, strict=True)]
        return [1 / (1 + exp(-a)) for a in z]

    def draw(self, source, random):
        return [random.random() < p for p in self.probabilities(source)]

    def learn(self, sources, targets, rate):
        """weights[i][j] += rate · mean of source[i] · (target[j] − p[j]): the delta rule."""
        guesses = [self.probabilities(source) for source in sources]
        step = rate / len(sources)
        for source, target, guess in zip(sources, targets, guesses, strict=True):
            change = [step * (t - p) for t, p in zip(target, guess, strict=True)]
            self.biases = [b + c for b, c in zip(self.biases, change, strict=True)]
            for i, s in enumerate(source):
                self.weights[i] = [w + s * c for w, c in zip(self.weights[i], change, strict=True)]


class Machine:
    """Two networks: p makes data from the top level down, q explains data from the visible level up."""

    def __init__(self, sizes, seed):
        self.random = Random(seed)
        self.p = [Layer(high, low, self.random) for low, high in pairwise([*sizes, 0])]
        self.q = [Layer(low, high, self.random) for low, high in pairwise(sizes)]


def recognise(machine, visible):
    """h ~ q(h | x)"""
    state = [visible]
    for layer in machine.q:
        state.append(layer.draw(state[-1], machine.random))
    return [*state, []]


def dream(machine):
    """x, h ~ p(x, h)"""
    state = [[]]
    for layer in reversed(machine.p):
        state.insert(0, layer.draw(state[0], machine.random))
    return state


def wake(machine, rows, rate):
    """q explains the rows, and p learns to make them."""
    levels = list(zip(*[recognise(machine, row) for row in rows], strict=True))
    for layer, targets, sources in zip(machine.p, levels, levels[1:], strict=False):
        layer.learn(sources, targets, rate)


def sleep(machine, n_dreams, rate):
    """p dreams, and q learns to explain the dreams."""
    levels = list(zip(*[dream(machine) for _ in range(n_dreams)], strict=True))
    for layer, sources, targets in zip(machine.q, levels, levels[1:], strict=False):
        layer.learn(sources, targets, rate)


def epoch(machine, rows, batch_size, rate):
    """One pass over the rows, in random order, in minibatches."""
    order = machine.random.sample(rows, len(rows))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        wake(machine, batch, rate)
        sleep(machine, len(batch), rate)
