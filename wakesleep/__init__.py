"""Deep Helmholtz machines on a CPU: fast, exact, and reproducible to the bit."""

from importlib.metadata import version as _version

from wakesleep import datasets
from wakesleep.bits import Bits
from wakesleep.checkpoint import CheckpointError
from wakesleep.estimator import NotFittedError
from wakesleep.machine import HelmholtzMachine
from wakesleep.training import DivergenceError

__version__ = _version("wakesleep")
__all__ = ["Bits", "CheckpointError", "DivergenceError", "HelmholtzMachine", "NotFittedError", "datasets"]
