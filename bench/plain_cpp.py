"""`plain.cpp`, compiled into a temporary folder when the first machine is made."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.ctypeslib import ndpointer

from wakesleep.parameters import Parameters

COMPILER = "c++"
FLAGS = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC")


class Machine:
    """p[i] goes from level i + 1 down to level i, the prior last; q[i] goes from level i up to level i + 1."""

    def __init__(self, sizes, seed):
        self.parameters = Parameters(sizes, np.zeros(Parameters(sizes).flat.size))
        self.p = [*self.parameters.generative, self.parameters.prior]
        self.q = self.parameters.recognition
        self.random = np.random.default_rng(seed)
        self.pass_over = compiled()


@cache
def compiled():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.so"
        subprocess.run([shutil.which(COMPILER), *FLAGS, Path(__file__).with_name("plain.cpp"), "-o", path], check=True)
        function = ctypes.CDLL(path).epoch
    doubles, ints, bytes_, longs = (ndpointer(dtype, flags="C") for dtype in (float, np.intc, np.uint8, np.int64))
    size = ctypes.c_int64
    function.argtypes = [doubles, ints, ctypes.c_int, bytes_, longs, size, size, ctypes.c_double, ctypes.c_uint64]
    function.restype = None
    return function


def epoch(machine, rows, batch_size, rate):
    """One pass over the rows, in random order.  rows : (n, D), uint8."""
    order, seed = machine.random.permutation(len(rows)), machine.random.integers(2**63)
    sizes = np.array(machine.parameters.sizes, np.intc)
    machine.pass_over(
        machine.parameters.flat, sizes, len(sizes), rows, order, len(rows), batch_size, rate, int(seed)
    )  # fmt: skip
