"""Wake-sleep in minibatches, as fast as PyTorch will go: float32, no autograd, few and large operations, in place.

Layers are those of `numpy_minibatch`: one matrix (M + 1, N) whose last row holds the biases. Which way of
taking products is the fastest depends on the shape and on the processor, so there are three machines:

- ``MKL``: `torch.mm` and `addmm_`, as one writes it. Best where everything is small. On processors that are
  not Intel's, MKL leaves AVX-512 unused.
- ``OneDNN``: the same products by the library that PyTorch has for its convolutions, with the sigmoid taken
  on the way; under the name by which `torch.compile` calls it.
- ``Bags``: oneDNN, but on the visible level `embedding_bag` adds the rows of the units that are on, and the
  gradient is a sparse product. Best where few of very many units are on.

What lost: biases apart (one operation more for each layer); `torch.rand` (half as slow again as raw words);
`bernoulli_` (five times as slow); `index_add_` for gradients (five times as slow as a dense product);
`torch.compile` of a step. Raw words from a xorshift made of tensor operations would save another 6 %, but
that generator would be ours, not PyTorch's.
"""

import warnings
from itertools import pairwise

import torch
from torch.nn.functional import embedding_bag

linear = torch.ops.mkldnn._linear_pointwise  # x·Wᵀ + b, and σ of it
AT_ONCE = 100_000  # random numbers to make in one go, so that small batches do not pay for every call

with warnings.catch_warnings():  # it says once, when the first is made, that sparse matrices are new
    warnings.simplefilter("ignore")
    torch.eye(1).to_sparse_csr()


class MKL:
    """p[i] goes from level i + 1 down to level i, the prior last; q[i] goes from level i up to level i + 1."""

    def __init__(self, sizes, seed):
        self.sizes = tuple(sizes)
        self.random = torch.Generator().manual_seed(seed)
        self.p = [self._layer(high, low) for low, high in pairwise([*sizes, 0])]
        self.q = [self._layer(low, high) for low, high in pairwise(sizes)]
        self.batches = {}

    def _layer(self, n_source, n_target):
        limit = 0.1 * (6 / (n_source + n_target)) ** 0.5
        layer = torch.empty(n_source + 1, n_target).uniform_(-limit, limit, generator=self.random)
        layer[-1] = 0
        return layer

    def batch(self, n):
        """The tensors to work in for n rows, made once."""
        if n not in self.batches:
            self.batches[n] = Batch(self, n)
        return self.batches[n]

    def data(self, rows):
        """What `take` takes rows from.  rows : (n, D), uint8."""
        return (torch.from_numpy(rows),)

    def take(self, batch, chosen, rows):
        """Set the visible level to these rows."""
        torch.index_select(rows, 0, chosen, out=batch.rows)
        batch.states[0].copy_(batch.rows)

    def probabilities(self, source, layer, out):
        """σ(source·layer), perhaps in `out`.  source : (B, M + 1).  out : (B, N)."""
        return torch.mm(source, layer, out=out).sigmoid_()

    def logits(self, source, layer, out):
        """source·layer, perhaps in `out`."""
        return torch.mm(source, layer, out=out)

    def add(self, layer, source, error, scale):
        """layer += scale · sourceᵀ error"""
        layer.addmm_(source.T, error, alpha=scale)

    def recognise(self, batch, i):
        """The probabilities of level i + 1 given level i."""
        return self.probabilities(batch.levels[i], self.q[i], batch.z[i + 1])

    def add_recognition(self, batch, i, error, scale):
        self.add(self.q[i], batch.levels[i], error, scale)

    def dreamt(self, batch):
        """The visible level has been drawn."""


class OneDNN(MKL):
    """Dense products by oneDNN."""

    def probabilities(self, source, layer, out):
        return linear(source, layer.T, None, "sigmoid", [], "")

    def logits(self, source, layer, out):
        return linear(source, layer.T, None, "none", [], "")

    def add(self, layer, source, error, scale):
        layer.add_(linear(source.T, error.T, None, "none", [], ""), alpha=scale)


class Bags(OneDNN):
    """The visible level is read as bags of units that are on, the unit that is always on among them.

    Bags of data are filled up to one length with a unit of zero weights, one after the others.
    """

    def __init__(self, sizes, seed):
        super().__init__(sizes, seed)
        self.padded = torch.cat([self.q[0], torch.zeros(1, sizes[1])])
        self.q[0] = self.padded[:-1]

    def data(self, rows):
        dense = torch.from_numpy(rows)
        n, n_units = dense.shape
        counts = dense.sum(1)
        row, unit = dense.nonzero().T
        bags = torch.full((n, int(counts.max()) + 1), n_units + 1, dtype=torch.int32)
        bags[row, torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]] = unit.int()
        bags[:, -1] = n_units
        return dense, bags

    def take(self, batch, chosen, rows, bags):
        super().take(batch, chosen, rows)
        batch.bags = (bags[chosen],)

    def dreamt(self, batch):
        row, unit = batch.on.nonzero().T.contiguous()
        batch.bags = unit, torch.searchsorted(row, torch.arange(batch.n))

    def recognise(self, batch, i):
        if i:
            return super().recognise(batch, i)
        indices, *offsets = batch.bags
        return embedding_bag(indices, self.padded, *offsets, mode="sum").sigmoid_()

    def add_recognition(self, batch, i, error, scale):
        if i:
            super().add_recognition(batch, i, error, scale)
            return
        unit, row = batch.on.T.contiguous().nonzero().T.contiguous()
        starts = torch.searchsorted(unit, torch.arange(len(self.q[0]) + 1))
        ones = torch.ones(len(unit))
        source = torch.sparse_csr_tensor(starts, row, ones, (len(self.q[0]), batch.n), check_invariants=False)
        torch.addmm(self.q[0], source, error, alpha=scale, out=self.q[0])


class Batch:
    """Everything a step writes to, for n rows."""

    def __init__(self, machine, n):
        self.n = n
        self.rows = torch.empty(n, machine.sizes[0], dtype=torch.uint8)
        self.levels = [torch.ones(n, size + 1) for size in (*machine.sizes, 0)]
        self.states = [level[:, :-1] for level in self.levels]  # without the unit that is always on
        self.z = [torch.empty(n, size) for size in machine.sizes]
        self.on = torch.ones(n, machine.sizes[0] + 1, dtype=torch.bool)  # what Bags dreams
        self.dream = [self.on[:, :-1] if isinstance(machine, Bags) else self.states[0], *self.states[1:]]
        # a uniform number for every unit that q draws, then for every one that p draws
        self.uniforms = Uniforms(n, [*machine.sizes[1:], *reversed(machine.sizes)], machine.random)


class Uniforms:
    """Uniform numbers for n states of levels of these sizes, made for several steps at once."""

    def __init__(self, n, sizes, random):
        self.random = random
        n_steps = max(AT_ONCE // (n * sum(sizes)), 1)
        n_numbers = n * sum(sizes) * n_steps
        self.words = torch.empty((n_numbers + 1) // 2, dtype=torch.int64)
        parts = self.words.view(torch.float32)[:n_numbers].split([n * size for size in sizes] * n_steps)
        shaped = [part.view(n, -1) for part in parts]
        self.steps = [shaped[first : first + len(sizes)] for first in range(0, len(shaped), len(sizes))]
        self.unused = []

    def step(self):
        """Numbers in [0, 1) of 23 random bits each, one tensor per level: the mantissas of floats in [1, 2), less 1.

        Two numbers per raw word, faster than `torch.rand`.
        """
        if not self.unused:
            self.words.random_(-(2**63), None, generator=self.random)
            self.words.view(torch.int32).bitwise_and_(0x7FFFFF).bitwise_or_(0x3F800000)
            self.words.view(torch.float32).sub_(1)
            self.unused = list(self.steps)
        return iter(self.unused.pop())


def wake(machine, batch, u, scale):
    """q explains the rows, and p learns to make them."""
    for i in range(len(machine.q)):
        torch.lt(next(u), machine.recognise(batch, i), out=batch.states[i + 1])
    for i, layer in enumerate(machine.p):
        guess = machine.probabilities(batch.levels[i + 1], layer, batch.z[i])
        machine.add(layer, batch.levels[i + 1], torch.sub(batch.states[i], guess, out=guess), scale)


def sleep(machine, batch, u, scale):
    """p dreams, and q learns to explain the dreams."""
    for i in reversed(range(len(machine.p))):
        probabilities = machine.probabilities(batch.levels[i + 1], machine.p[i], batch.z[i])
        torch.lt(next(u), probabilities, out=batch.dream[i])
    machine.dreamt(batch)
    for i in range(len(machine.q)):
        guess = machine.recognise(batch, i)
        machine.add_recognition(batch, i, torch.sub(batch.states[i + 1], guess, out=guess), scale)


@torch.inference_mode()
def epoch(machine, data, batch_size, rate):
    """One pass over the rows, in random order.  data : what `machine.data` made of them."""
    order = torch.randperm(len(data[0]), generator=machine.random)
    for chosen in order.split(batch_size):
        batch = machine.batch(len(chosen))
        machine.take(batch, chosen, *data)
        u = batch.uniforms.step()
        wake(machine, batch, u, rate / batch.n)
        sleep(machine, batch, u, rate / batch.n)
