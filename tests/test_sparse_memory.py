"""Packing a sparse matrix takes the memory of its bits and little more, however large the dense matrix would be."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")

N_FEATURES, ONES_PER_ROW = 20_000, 20
MOST = 64  # MiB beyond the bits
MEASURE = """
import re, sys
import numpy as np
import scipy.sparse
from wakesleep import Bits

def most():  # MiB, since the last time that it was asked
    with open("/proc/self/status") as status:
        found = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read()).group(1)) / 1024
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")
    return found

n_rows, n_features, per_row = map(int, sys.argv[1:4])
columns = np.arange(per_row) * (n_features // per_row)
columns = (columns + np.random.default_rng(0).integers(0, n_features // per_row, (n_rows, 1))).ravel().astype(np.int32)
starts = np.arange(0, len(columns) + 1, per_row, dtype=np.int32)
X = scipy.sparse.csr_array((np.full(len(columns), float(sys.argv[5])), columns, starts), (n_rows, n_features))
dense = sys.argv[4] == "dense"
X = X if dense else X.asformat(sys.argv[4])
most()
before = most()
bits = Bits.from_dense(X.astype(np.uint8).toarray() if dense else X)
assert bits.density == (per_row / n_features if float(sys.argv[5]) > 0.5 else 0)
print(most() - before - bits.nbytes / 2**20)
"""


def beyond_the_bits(n_rows, form, value):
    """MiB that packing takes beyond the packed rows."""
    arguments = [n_rows, N_FEATURES, ONES_PER_ROW, form, value]
    command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    return float(subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout)


@pytest.mark.parametrize("n_rows", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("form", "value"), [("csr", 1), ("csr", 0.7), ("csc", 1), ("coo", 1)])
def test_packing_takes_the_bits_and_little_more(n_rows, form, value):
    pytest.importorskip("scipy.sparse")
    assert beyond_the_bits(n_rows, form, value) < MOST


def test_a_dense_copy_would_be_seen():
    pytest.importorskip("scipy.sparse")
    assert beyond_the_bits(20_000, "dense", 1) > 4 * MOST
