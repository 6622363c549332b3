"""Importance-sampled log p(x), as fast as PyTorch will go; layers and machines of `torch_minibatch`.

No autograd. The first recognition layer's product is taken once for all particles of a row. Log P of the bits of a
level is Σ s·z - softplus(z), of which Σ s·z is a product where s, or z, is the same for all particles.
"""

import math

import torch
from torch.nn.functional import softplus

from bench.torch_minibatch import MKL as MKL
from bench.torch_minibatch import OneDNN as OneDNN

AT_ONCE = 1000  # states, of one row or of several


class Batch:
    """Everything that is written to, for B rows of K particles each."""

    def __init__(self, machine, n_rows, n_particles):
        sizes, n = machine.sizes, n_rows * n_particles
        self.shape = n_rows, n_particles
        self.levels = [None, *(torch.ones(n, size + 1) for size in (*sizes[1:], 0))]
        self.z = [torch.empty(n, size) for size in sizes]
        self.logs = [torch.empty(n, size) for size in sizes]
        self.log_w = torch.empty(n)

    def weigh(self, i, z, sign):
        """log_w += sign · log P of level i, hidden, with these logits."""
        logs, states = self.logs[i], self.levels[i][:, :-1]
        self.log_w.add_(torch.sub(torch.mul(states, z, out=logs), softplus(z), out=logs).sum(1), alpha=sign)

    def draw(self, i, z, random):
        """Level i with these logits, of all states or of each row."""
        uniforms = self.logs[i].uniform_(generator=random)
        states = self.levels[i][:, :-1]
        if len(z) == len(states):
            torch.lt(uniforms, torch.sigmoid(z), out=states)
            return
        shape = (*self.shape, -1)
        torch.lt(uniforms.view(shape), torch.sigmoid(z)[:, None], out=states.view(shape))


def log_p(machine, batch, rows):
    """log p(x) of a few rows.  rows : (B, D + 1), the last column ones."""
    n_rows, n_particles = batch.shape
    batch.log_w.zero_()
    x = rows[:, :-1]
    for i, layer in enumerate(machine.q, 1):
        if i == 1:
            z = torch.mm(rows, layer)
            batch.draw(i, z, machine.random)
            states = batch.levels[1][:, :-1].unflatten(0, batch.shape)
            of_q = torch.bmm(states, z[:, :, None])[:, :, 0] - softplus(z).sum(1, keepdim=True)
            batch.log_w.sub_(of_q.flatten())
        else:
            z = machine.logits(batch.levels[i - 1], layer, batch.z[i])
            batch.draw(i, z, machine.random)
            batch.weigh(i, z, -1)
    for i, layer in enumerate(machine.p):
        z = machine.logits(batch.levels[i + 1], layer, batch.z[i])
        if i:
            batch.weigh(i, z, 1)
        else:
            of_x = torch.bmm(z.unflatten(0, batch.shape), x[:, :, None])
            batch.log_w.add_(of_x.flatten()).sub_(softplus(z).sum(1))
    return torch.logsumexp(batch.log_w.view(n_rows, n_particles), 1) - math.log(n_particles)


@torch.inference_mode()
def score(machine, data, n_particles):
    """Mean log p(x), nats.  data : (N, D) rows of 0 and 1."""
    rows = torch.ones(len(data), data.shape[1] + 1)
    rows[:, :-1].copy_(data)
    found = []
    for few in rows.split(max(AT_ONCE // n_particles, 1)):
        key = len(few), n_particles
        if key not in machine.batches:
            machine.batches[key] = Batch(machine, *key)
        found.append(log_p(machine, machine.batches[key], few))
    return torch.cat(found).double().mean().item()
