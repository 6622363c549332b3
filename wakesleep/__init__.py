"""Deep Helmholtz machines on a CPU: fast, exact, and reproducible to the bit."""

import sys as _sys
from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _find_spec("wakesleep._core") is None:
    raise ImportError(
        f"no compiled modules in {__path__[0]}, which is the source and not what was installed: "
        "run Python from another folder, or install with pip install -e ."
    )

try:
    from wakesleep import _panels as _panels  # chooses the instruction set, and refuses a wrong WAKESLEEP_CPU
except ValueError as _error:
    # The command line imports this package before any code of its own can run: its error is told here.
    if _sys.argv[0] != "-m" and _sys.argv[0].rpartition("/")[2] != "wakesleep":
        raise
    print("wakesleep: error:", _error, file=_sys.stderr)
    raise SystemExit(2) from None

from wakesleep.bits import Bits
from wakesleep.checkpoint import CheckpointError
from wakesleep.configuration import show_config
from wakesleep.estimator import NotFittedError
from wakesleep.machine import HelmholtzMachine
from wakesleep.monitor import PoorFitWarning, SampleSizeWarning
from wakesleep.probabilities import Probabilities
from wakesleep.training import DivergenceError
from wakesleep.version import InconsistentVersionWarning
from wakesleep.version import package_version as _package_version

if _TYPE_CHECKING:
    from wakesleep import datasets

    __version__: str
else:

    def __getattr__(name: str) -> object:
        """What takes time to import, when it is asked for."""
        if name == "__version__":
            return _package_version()
        if name == "datasets":
            return _import_module("wakesleep.datasets")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*globals(), "__version__", "datasets"]


__all__ = [
    "Bits", "CheckpointError", "DivergenceError", "HelmholtzMachine", "InconsistentVersionWarning", "NotFittedError",
    "PoorFitWarning", "Probabilities", "SampleSizeWarning", "datasets", "show_config",
]  # fmt: skip
