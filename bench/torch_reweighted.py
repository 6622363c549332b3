"""Reweighted wake-sleep in minibatches, as fast as PyTorch will go; layers and machines of `torch_minibatch`.

No autograd. The first recognition layer's product is taken once for all particles of a row, and so is its gradient;
errors are kept from where log-probabilities are taken; log P of a bit is log(1 − |error|).
"""

import torch

from bench.torch_minibatch import MKL as MKL
from bench.torch_minibatch import OneDNN as OneDNN
from bench.torch_minibatch import Uniforms

SLEEP_WEIGHT = 0.5


class Batch:
    """Everything a step writes to, for B rows of K particles each."""

    def __init__(self, machine, n_rows, n_particles):
        sizes, self.n, self.n_particles = machine.sizes, n_rows, n_particles
        n = n_rows * n_particles
        self.rows = torch.empty(n_rows, sizes[0], dtype=torch.uint8)
        self.levels = [torch.ones(n_rows, sizes[0] + 1), *(torch.ones(n, size + 1) for size in (*sizes[1:], 0))]
        self.states = [level[:, :-1] for level in self.levels]
        self.of_p = [torch.empty(n, size) for size in sizes]
        self.of_q = [torch.empty(n, size) for size in sizes[1:]]
        self.shared = torch.empty(n_rows, sizes[1])
        self.logs = torch.empty(n * max(sizes))
        self.log_w = torch.empty(n)
        self.wake = Uniforms(n, sizes[1:], machine.random)
        self.dreams = [torch.ones(n_rows, size + 1) for size in (*sizes, 0)]
        self.dreamt = [level[:, :-1] for level in self.dreams]
        self.guesses = [torch.empty(n_rows, size) for size in sizes]
        self.sleep = Uniforms(n_rows, sizes[::-1], machine.random)

    def weigh(self, error, sign):
        """log_w += sign · Σ log P"""
        logs = torch.abs(error, out=self.logs[: error.numel()].view(error.shape)).neg_().log1p_()
        self.log_w.add_(logs.sum(1), alpha=sign)

    def of_particles(self, rows):
        """(B K, N) as (B, K, N)."""
        return rows.view(self.n, self.n_particles, -1)


def wake(machine, batch, rate):
    """Particles and their weights; p learns. Returns the credits of q, and the errors that they belong to."""
    batch.log_w.zero_()
    u, errors = batch.wake.step(), []
    for i, layer in enumerate(machine.q):
        guess = machine.probabilities(batch.levels[i], layer, batch.of_q[i] if i else batch.shared)
        if i:
            torch.lt(next(u), guess, out=batch.states[i + 1])
            error = torch.sub(batch.states[i + 1], guess, out=batch.of_q[i])
        else:
            guess, state = guess[:, None], batch.of_particles(batch.states[1])
            torch.lt(batch.of_particles(next(u)), guess, out=state)
            error = torch.sub(state, guess, out=batch.of_particles(batch.of_q[0])).view(batch.of_q[0].shape)
        batch.weigh(error, -1)
        errors.append(error)
    errors_p = []
    for i, layer in enumerate(machine.p):
        guess = machine.probabilities(batch.levels[i + 1], layer, batch.of_p[i])
        if i:
            error = torch.sub(batch.states[i], guess, out=guess)
        else:
            shaped = batch.of_particles(guess)
            error = torch.sub(batch.states[0][:, None], shaped, out=shaped).view(guess.shape)
        batch.weigh(error, 1)
        errors_p.append(error)
    v = batch.log_w.view(batch.n, -1).softmax(1)
    for i, layer in enumerate(machine.p):
        machine.add(layer, batch.levels[i + 1], errors_p[i].mul_(v.view(-1, 1)), rate / batch.n)
    return (v - 1 / batch.n_particles).view(-1, 1), errors


def sleep(machine, batch, u, errors, rate):
    """p dreams, and q learns to explain the dreams, and from its particles."""
    random = batch.sleep.step()
    for i in reversed(range(len(machine.p))):
        guess = machine.probabilities(batch.dreams[i + 1], machine.p[i], batch.guesses[i])
        torch.lt(next(random), guess, out=batch.dreamt[i])
    for i, layer in enumerate(machine.q):
        guess = machine.probabilities(batch.dreams[i], layer, batch.guesses[i + 1])
        error = torch.sub(batch.dreamt[i + 1], guess, out=guess)
        machine.add(layer, batch.dreams[i], error, rate * SLEEP_WEIGHT / batch.n)
        credited = errors[i].mul_(u)
        if not i:
            credited = batch.of_particles(credited).sum(1)
        machine.add(layer, batch.levels[i], credited, rate * (1 - SLEEP_WEIGHT) / batch.n)


@torch.inference_mode()
def epoch(machine, data, batch_size, rate, n_particles):
    """One pass over the rows, in random order.  data : what `machine.data` made of them."""
    order = torch.randperm(len(data[0]), generator=machine.random)
    for chosen in order.split(batch_size):
        key = len(chosen), n_particles
        if key not in machine.batches:
            machine.batches[key] = Batch(machine, *key)
        batch = machine.batches[key]
        machine.take(batch, chosen, *data)
        sleep(machine, batch, *wake(machine, batch, rate), rate)
