"""What several test files share: deterministic examples, the data folder, every CPU level, the golden toy."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from wakesleep import _panels

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode does not, and the tests import `checks`
import checks

# Shells make what they start in the background, and all that it starts, deaf to Ctrl-C, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The CPU level is the only fixture that examples share, and it is the same for all of them.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the data sets that are too large for the wheel."""
    folder = Path(os.environ.get("WAKESLEEP_DATA", Path(__file__).parents[1] / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("no data sets here: WAKESLEEP_DATA names their folder, bench/README.md their sources")
    return folder


@pytest.fixture(params=_panels.cpu_levels())
def cpu_level(request: Any) -> Iterator[str]:
    """Every instruction set of this processor in turn."""
    before = _panels.cpu_level()
    _panels.set_cpu_level(request.param)
    yield request.param
    _panels.set_cpu_level(before)


@pytest.fixture(scope="session")
def toy() -> checks.Toy:
    """The golden toy: a 3-2 machine and one row, with everything about it known by enumeration."""
    return checks.TOY


@pytest.fixture(scope="session")
def emulated_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of all kernels, with tiles in plain C; where it is loaded first, the package takes these."""
    here, cc = Path(__file__).parent, shutil.which("cc")
    source, library = here.parent / "wakesleep/_kernels/dispatch.c", tmp_path_factory.mktemp("tiles") / "kernels.so"
    if cc is None or not source.is_file():
        pytest.skip("no C compiler or no sources here")
    flags = ["-shared", "-fPIC", "-std=gnu11", "-O1", "-ffp-contract=off", "-fno-trapping-math", "-Wno-psabi"]
    subprocess.run([cc, *flags, "-DEMULATED_TILES", "-I", here, source, "-o", library], check=True)
    in_tiles = ctypes.CDLL(str(library)).kernels_in_tiles
    in_tiles.restype = ctypes.c_void_p
    if not in_tiles():
        pytest.skip("no bfloat16 in vectors here to emulate tiles with, or a compiler that has no tiles")
    return library
