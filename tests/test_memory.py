"""Training from a mapped file takes the same little memory, however many rows the file has."""

import subprocess
import sys

import numpy as np
import pytest

from wakesleep import _bits_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")

SHARE = 8.0  # megabytes for a tenth of the rows, and for the numbers of the others
N_FEATURES, N_WORDS, BLOCK = 784, 13, 10_000
MEASURE = """
import re, sys
import numpy as np
from wakesleep import Bits, HelmholtzMachine

def megabytes():  # anonymous ones, which leave out the mapped file, and the most there have been of all
    with open("/proc/self/status") as status:
        text = status.read()
    return np.array([int(re.search(rf"{name}:\\s+(\\d+) kB", text).group(1)) for name in ("RssAnon", "VmHWM")]) / 1024

data = Bits.open(sys.argv[1])
machine = HelmholtzMachine((200,), n_iter=1, random_state=0, n_threads=1).fit(data[:1000])
data.density  # every page of the file is in memory
before = megabytes()
share = 0.1 if sys.argv[2] == "a share" else None
if sys.argv[2] == "a copy":
    data = Bits(np.array(data.words), data.n_features)
machine.fit(data, validation=share)
assert machine.step_ == -(-round(len(data) * (1 - (share or 0))) // 100)
print(*(megabytes() - before))
"""


def write_rows(path, n_rows):
    """One cell in eight is on. No more than a block of the rows is in memory."""
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        header = _bits_file.MAGIC, _bits_file.VERSION, 1, n_rows, N_FEATURES, bytes(32)
        file.write(_bits_file.HEADER.pack(*header))
        for _ in range(n_rows // BLOCK):
            words = np.bitwise_and.reduce(rng.integers(0, 2**64, (3, BLOCK, N_WORDS), np.uint64))
            words[:, -1] &= np.uint64(2 ** (N_FEATURES % 64) - 1)
            file.write(words.data)


@pytest.mark.parametrize(
    ("n_rows", "most"), [(300_000, 16.0), pytest.param(1_000_000, 64.0, marks=pytest.mark.slow)], ids=str
)
def test_training_from_a_mapped_file_makes_no_copy(tmp_path, n_rows, most):
    write_rows(tmp_path / "rows.bits", n_rows)

    def grown(what):
        command = [sys.executable, "-c", MEASURE, tmp_path / "rows.bits", what]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
        return np.array(result.stdout.split(), float)

    assert (grown("the mapping") < most).all()
    assert (grown("a share") < most + SHARE).all()
    assert (grown("a copy") > most + SHARE).all(), "this test has no power"
