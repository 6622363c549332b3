"""`partial_fit` reads blocks of rows from an iterator: every block is a call of its own."""

import re

import numpy as np
import pytest
from machines import DIGITS, ROWS, everything, learned, measured, small

from wakesleep import NotFittedError


def in_blocks(X, n_rows=50):
    return (X[start : start + n_rows] for start in range(0, len(X), n_rows))


def test_every_block_is_a_call_of_its_own():
    machine, by_hand = small(), small()
    assert machine.partial_fit(in_blocks(ROWS)) is machine
    for block in in_blocks(ROWS):
        by_hand.partial_fit(block)
    assert learned(machine) == learned(by_hand)
    assert measured(machine) == measured(by_hand)
    assert machine.n_iter_ == 3
    assert machine.partial_fit(ROWS.to_dense()[half::2] for half in (0, 1)).n_iter_ == 5


def test_one_block_is_read_at_a_time():
    seen = []

    def blocks():
        for block in in_blocks(DIGITS[:200]):
            seen.append(machine.n_iter_ if hasattr(machine, "n_iter_") else 0)
            yield block

    machine = small()
    machine.partial_fit(blocks())
    assert seen == [0, 1, 2, 3]


def test_blocks_before_a_refused_one_have_been_learned():
    machine = small()
    with pytest.raises(ValueError, match="X has 3 features, but HelmholtzMachine is expecting 64 features"):
        machine.partial_fit(iter([ROWS, np.zeros((2, 3)), ROWS]))
    assert learned(machine) == learned(small().partial_fit(ROWS))


def test_an_iterator_that_yields_nothing_is_refused():
    machine = small()
    with pytest.raises(ValueError, match="X: want blocks of rows, got an iterator that yields nothing"):
        machine.partial_fit(iter([]))
    assert not hasattr(machine, "n_iter_")
    fitted = small().fit(ROWS)
    before = everything(fitted)
    with pytest.raises(ValueError, match="yields nothing"):
        fitted.partial_fit(iter([]))
    assert everything(fitted) == before


def test_only_partial_fit_takes_an_iterator():
    fault = re.escape("X: want an array, got an iterator, <generator object")
    with pytest.raises(ValueError, match=fault):
        small().fit(in_blocks(ROWS))
    fitted = small().fit(ROWS)
    for method in (fitted.transform, fitted.score_samples, fitted.reconstruct):
        with pytest.raises(ValueError, match=f"{fault}.*; partial_fit reads blocks from one"):
            method(in_blocks(ROWS))
    with pytest.raises(NotFittedError):
        small().transform(in_blocks(ROWS))
