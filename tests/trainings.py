"""Trainings whose parameters are the same bits everywhere, and their hashes.

python -P tests/trainings.py           one SHA-256 of all of them, in this Python, with the package that it imports
python -P tests/trainings.py golden    write the hashes that tests/test_determinism.py compares with

The golden hashes belong to a version of the format, because a checkpoint has to go on with the random numbers and the
orders of sums that it began with. Write them anew for a case that is new, or together with a higher
`checkpoint.FORMAT_VERSION`, at which older versions of the package refuse to go on; never for another reason.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from wakesleep import Bits, HelmholtzMachine, _core, _panels, checkpoint, datasets, likelihood, state, training
from wakesleep.optimizers import MOMENTS, Optimizer
from wakesleep.rules import Rule

GOLDEN = Path(__file__).with_name("golden_hashes.json")
THREADS = 1, 2, 3, 4, 8
CHUNKS = 1, 4, 1000  # minibatches per compiled call; some cross the end of an epoch
RATES, EPOCHS = (0.5, 0.3), 2


class Case(NamedTuple):
    """A machine, its rows, and how it learns them: odd sizes, and a last batch that is short."""

    sizes: tuple[int, ...]  # visible level first
    density: float  # of the rows: below 0.25, sums over more than 64 visible units are walks, else tables
    n_rows: int
    batch_size: int
    rule: Rule = Rule()
    optimizer: Optimizer = Optimizer()
    seed: int = 0xC0FFEE5EED
    missing: float = 0.0  # share of the cells

    @property
    def rows(self) -> Bits:
        """The rows, from our own random numbers: those of NumPy may change."""
        words, others = (_core.random_words(i, _core.DATASETS, self.n_rows, self.sizes[0]) for i in (1, 2))
        bits, observed = (words < self.density * 2**32), (others >= self.missing * 2**32)
        return Bits(Bits.from_dense(bits & observed).words, self.sizes[0], Bits.from_dense(observed).words)

    @property
    def batches(self) -> int:
        """Minibatches in an epoch."""
        return -(-self.n_rows // self.batch_size)

    def machine(self, n_threads: int = 1) -> HelmholtzMachine:
        rule, (optimizer, weight_decay, clip_norm, frozen) = self.rule, self.optimizer
        return HelmholtzMachine(
            self.sizes[1:], rule.name, learning_rate=RATES, batch_size=self.batch_size, n_particles=rule.n_particles,
            sleep_weight=rule.sleep_weight, sleep_steps=rule.sleep_steps, gamma=rule.gamma, baseline=rule.baseline,
            optimizer=optimizer, weight_decay=weight_decay, clip_norm=clip_norm, frozen=tuple(frozen),
            n_iter=EPOCHS, n_threads=n_threads, random_state=self.seed, missing="marginalise" if self.missing else None,
        )  # fmt: skip


SIZES = 205, 77, 33, 13
CASES = {  # a step of the first four has work for more than thirty threads, one of the next three for ten
    "walk": Case(SIZES, 0.15, 650, 250),
    "walk, two particles": Case(SIZES, 0.15, 330, 130, Rule(n_particles=2)),
    "tables": Case(SIZES, 0.5, 650, 250),
    "tables, two particles": Case(SIZES, 0.5, 330, 130, Rule(n_particles=2)),
    "few rows": Case(SIZES, 0.5, 31, 7),
    "online": Case(SIZES, 0.15, 31, 1),
    "online, many units": Case((2051, 645), 0.15, 5, 1),
    "reweighted": Case(SIZES, 0.15, 170, 70, Rule("reweighted", 5, 0.5)),
    "vimco, momentum": Case(SIZES, 0.15, 170, 70, Rule("vimco", 3, 0.0), Optimizer("momentum", 0.01)),
    "vimco, arithmetic, rmsprop": Case(
        SIZES, 0.5, 170, 70, Rule("vimco", 3, 0.0, baseline="arithmetic"), Optimizer("rmsprop", 0.0, 0.5)),
    "ovis, adam": Case(SIZES, 0.5, 170, 70, Rule("ovis", 3, 0.0, gamma=0.5), Optimizer("adam", 0.01)),
    "leave-one-out, adam": Case(SIZES, 0.15, 170, 70, Rule("leave-one-out", 2, 0.3, 2), Optimizer("adam", 0.01, 0.5)),
    "bihm, sgd": Case(SIZES, 0.5, 170, 70, Rule("bihm", 2, 0.2), Optimizer("sgd", 0.01, 0.5)),
    "wake-sleep, adam": Case(SIZES, 0.15, 170, 70, Rule(sleep_steps=2), Optimizer("adam")),
    "reweighted, adam, online": Case(SIZES, 0.15, 9, 1, Rule("reweighted", 5, 0.5), Optimizer("adam")),
    "missing cells": Case(SIZES, 0.15, 330, 130, Rule(sleep_steps=2), missing=0.3),
    "missing cells, reweighted, adam": Case(
        SIZES, 0.5, 170, 70, Rule("reweighted", 3, 0.5), Optimizer("adam", 0.01, 0.5), missing=0.3),
}  # fmt: skip


def learned(case: Case, n_threads: int = 1, chunk: int = 1000, module: Any = _core) -> bytes:
    """The parameters after all epochs, with so many minibatches per call of the core, or of its twin."""
    rows = case.rows
    began = state.start(rows, case.sizes[1:], case.seed)
    flat, left, updates = began.parameters.flat, EPOCHS * case.batches, np.zeros(2, np.int64)
    moments = np.zeros((MOMENTS[case.optimizer.name], flat.size), np.float32)
    while left:
        now = min(chunk, left)
        module.train(
            flat, moments, np.array(case.sizes), began.methods, rows.words, began.position, updates, case.seed,
            case.batch_size, np.tile(RATES, (now, 1)), case.rule, case.optimizer, n_threads,
            observed=rows.observed,
        )  # fmt: skip
        left -= now
    return flat.astype("<f4").tobytes()


def resumed(case: Case, n_threads: int = 1) -> bytes:
    """The parameters after all epochs, after Ctrl-C in the middle of the second one and a stay in a file."""
    machine, train, calls = case.machine(n_threads), _core.train, iter(range(case.batches + 1))

    def stop(*arguments: Any, **keywords: Any) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        train(*arguments, **keywords)

    one_batch_per_call = mock.patch.object(training, "SECONDS_PER_CALL", 0)
    with one_batch_per_call, mock.patch.object(_core, "train", stop), suppress(KeyboardInterrupt):
        machine.fit(case.rows)
    assert machine.step_ == case.batches + 1, "not stopped where it should be"
    with tempfile.TemporaryDirectory() as folder:
        machine.save(f"{folder}/machine.npz")
        machine = HelmholtzMachine.load(f"{folder}/machine.npz")
    return machine.fit(case.rows, resume=True)._state.parameters.flat.astype("<f4").tobytes()


def drawn() -> bytes:
    """What follows from a seed alone: fantasies and data sets."""
    fantasies = CASES["walk"].machine().fit(CASES["walk"].rows).sample(99, bits=True)
    rows, true = datasets.make_synthetic(99, n_features=70, hidden_layer_sizes=(9, 5), random_state=3)
    bits = fantasies, rows, datasets.make_bars(99, random_state=3), datasets.make_shifter(99, random_state=3)
    return b"".join(each.words.astype("<u8").tobytes() for each in bits) + true.flat.astype("<f4").tobytes()


def imputed(n_threads: int = 1) -> bytes:
    """Missing cells of a small machine, by all states, by particles of q, and by fantasies: their means, and draws."""
    rows, true = datasets.make_synthetic(60, n_features=70, hidden_layer_sizes=(9, 5), random_state=3)
    rates = np.linspace(0, 1, len(rows))[:, None]  # of missing cells
    seen = Bits.from_dense(_core.random_words(3, _core.DATASETS, *rows.shape) >= rates * 2.0**32).words
    gappy, methods = Bits(rows.words & seen, rows.n_features, seen), state.methods_for(true.sizes, 0.5)
    found = [
        likelihood.impute(
            true, methods, gappy, method=method, n_particles=300, draws=draws, seed=7, n_threads=n_threads
        )[0]
        for method in ("exact", "importance") for draws in (False, True)
    ]  # fmt: skip
    return b"".join(filled.astype(filled.dtype.newbyteorder("<")).tobytes() for filled in found)


def everything() -> Iterator[bytes]:
    """The parameters of all cases, at every CPU level, in every way that must not matter."""
    for level in _panels.cpu_levels():
        _panels.set_cpu_level(level)
        for n_threads in THREADS:
            others = drawn() + imputed(n_threads)
            for chunk in CHUNKS:
                yield b"".join(learned(case, n_threads, chunk) for case in CASES.values()) + others
            yield b"".join(resumed(case, n_threads) for case in CASES.values()) + others


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hashes() -> dict[str, str]:
    """A SHA-256 for each case, and one for what else is drawn."""
    contents = {name: learned(case) for name, case in CASES.items()}
    contents |= {"fantasies and data sets": drawn(), "imputed cells": imputed()}
    return {name: sha256(content) for name, content in contents.items()}


def golden() -> dict[str, str]:
    """The hashes of the present version of the format."""
    found: dict[str, str] = json.loads(GOLDEN.read_text())[str(checkpoint.FORMAT_VERSION)]
    return found


def write_golden() -> None:
    """Set the hashes of the present version of the format; those of other versions stay."""
    versions = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    versions[str(checkpoint.FORMAT_VERSION)] = hashes()
    GOLDEN.write_text(json.dumps(versions, indent=2) + "\n")


def main() -> int:
    if sys.argv[1:] == ["golden"]:
        write_golden()
        return 0
    found = list(map(sha256, everything()))
    print(f"{len(found)} ways, at {', '.join(_panels.cpu_levels())}:", *sorted(set(found)))
    return int(len(set(found)) != 1)


if __name__ == "__main__":
    sys.exit(main())
