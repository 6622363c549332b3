"""Deep Helmholtz machines on a CPU: fast, exact, and reproducible to the bit."""

from importlib.metadata import version as _version
from importlib.util import find_spec as _find_spec

if _find_spec("wakesleep._core") is None:
    raise ImportError(
        f"no compiled modules in {__path__[0]}, which is the source and not what was installed: "
        "run Python from another folder, or install with pip install -e ."
    )

from wakesleep import datasets
from wakesleep.bits import Bits
from wakesleep.checkpoint import CheckpointError
from wakesleep.estimator import NotFittedError
from wakesleep.machine import HelmholtzMachine
from wakesleep.training import DivergenceError

__version__ = _version("wakesleep")
__all__ = ["Bits", "CheckpointError", "DivergenceError", "HelmholtzMachine", "NotFittedError", "datasets"]
