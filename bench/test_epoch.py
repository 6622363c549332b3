"""Seconds per epoch, of every implementation, at every size; each is checked before it is timed."""

from functools import cache

import numpy as np
import pytest

from bench.cases import SIZES, rows_for, tiny, train
from bench.implementations import IMPLEMENTATIONS, Core

trained_core = cache(lambda case, n_rows: train(Core, case, n_rows))


def assert_learns(implementation, case):
    """A little training makes held-out rows likelier, and as much so as in the core.  Returns the machine."""
    n_rows = rows_for(implementation, case)
    machine, gain = train(implementation, case, n_rows)
    core, core_gain = trained_core(case, n_rows)
    assert gain > case.margin, f"gained {gain:.2f} nats, want {case.margin}"
    assert abs(gain - core_gain) < case.tolerance, f"gained {gain:.2f} nats, the core {core_gain:.2f}"
    if implementation.equals_core:
        bits, core_bits = (one.state.parameters.flat.view(np.uint32) for one in (machine, core))
        np.testing.assert_array_equal(bits, core_bits)
    return machine


def implementation_named(name):
    if lacks := IMPLEMENTATIONS[name].missing():
        pytest.skip(f"no {lacks} here")
    return IMPLEMENTATIONS[name]


@pytest.mark.parametrize("name", [name for name, each in IMPLEMENTATIONS.items() if each.rule == "wake-sleep"])
@pytest.mark.parametrize("size", SIZES)
def test_epoch(benchmark, results, name, size):
    implementation = implementation_named(name)
    try:
        case = SIZES[size]()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    machine = assert_learns(implementation, case)
    # The more units are on, the longer an epoch takes for some: all are timed from the same parameters.
    core, _ = trained_core(case, len(case.train))
    machine.load(core.state.parameters)
    benchmark.group = f"epoch[{size}]"
    benchmark(machine.epoch)
    if benchmark.enabled:
        n_rows, seconds = rows_for(machine, case), benchmark.stats["median"]
        benchmark.extra_info["rows_per_second"] = round(n_rows / seconds)
        results[str(case), name] = n_rows, seconds


@pytest.mark.parametrize("name", ["NumPy", "PyTorch", "PyTorch (MKL)", "PyTorch (bags)", "JAX", "pure Python"])
def test_learning_needs_sleep(monkeypatch, name):
    """The negative control of `assert_learns`."""
    implementation = implementation_named(name)
    unchanged = {"JAX": lambda p, q, *_: q}.get(name, lambda *_: None)
    monkeypatch.setattr(implementation.module(), "sleep", unchanged)
    with pytest.raises(AssertionError, match="want"):
        assert_learns(implementation, tiny())
