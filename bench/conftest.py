"""One thread against one thread, and the table at the end."""

import os
import sys

import pytest

from bench.contenders import ONE_THREAD_OF_XLA, THREADS

# Libraries read these when they are loaded. One thread, as for the core; and the kernels and block
# sizes that BLAS chooses for this processor, not any that the environment forces on it.
ONE_THREAD = "numpy" not in sys.modules
os.environ |= dict.fromkeys(THREADS, "1") | {"XLA_FLAGS": ONE_THREAD_OF_XLA}
for choice in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(choice, None)

RESULTS = pytest.StashKey[dict[tuple[str, str], tuple[int, float]]]()


def pytest_configure(config):
    config.stash[RESULTS] = {}


@pytest.fixture
def results(pytestconfig):
    """(size, implementation) → (rows in the timed epoch, median seconds)."""
    return pytestconfig.stash[RESULTS]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    results = config.stash[RESULTS]
    if not results:
        return
    terminalreporter.section("one epoch of wake-sleep, one thread")
    line = "{:26} {:16} {:>8} {:>12} {:>14} {:>11}".format
    terminalreporter.line(line("size", "implementation", "rows", "rows/s", "s/60,000 rows", "time/core"))
    for (size, implementation), (n_rows, seconds) in results.items():
        per_row = seconds / n_rows
        core_rows, core_seconds = results.get((size, "core"), (0, 0.0))
        ratio = f"{per_row * core_rows / core_seconds:,.2f}" if core_rows else "-"
        numbers = f"{n_rows:,}", f"{1 / per_row:,.0f}", f"{60_000 * per_row:,.3f}", ratio
        terminalreporter.line(line(size, implementation, *numbers))
    if not ONE_THREAD:
        terminalreporter.line("NumPy was loaded before its threads could be limited: run the benchmarks by themselves.")
