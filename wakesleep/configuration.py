"""What runs here: versions, instruction set and threads, for a bug report or beside a measurement."""

from __future__ import annotations

import os
import platform
from typing import Any, Literal, overload

import numpy as np

from wakesleep import _panels, hyperparameters
from wakesleep.version import package_version

MODES = ("stdout", "dicts")


@overload
def show_config(mode: Literal["stdout"] = ...) -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show what computes here: speed depends on it, results do not.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default="stdout"
        Print it, or return it, as `numpy.show_config` does. "forced" is what a variable of the
        environment has decided: ``WAKESLEEP_CPU``, ``WAKESLEEP_NUM_THREADS``.

    Returns
    -------
    dict or None

    Raises
    ------
    ValueError
        If `mode` is unknown, or ``WAKESLEEP_NUM_THREADS`` is not a number of threads.

    Examples
    --------
    >>> import wakesleep
    >>> wakesleep.show_config()  # doctest: +ELLIPSIS
    wakesleep        ...
    python           3...
    numpy            ...
    platform         ...
    instruction set  ... (of baseline...)
    threads          ... (...)
    bf16x2           ...
    >>> sorted(wakesleep.show_config(mode="dicts")["threads"])
    ['default', 'forced']
    """
    hyperparameters.choice("mode", mode, MODES)
    level, levels = _panels.cpu_level(), _panels.cpu_levels()
    level_forced = os.environ.get("WAKESLEEP_CPU") == level
    n_threads, n_threads_forced = hyperparameters.threads(None), bool(os.environ.get("WAKESLEEP_NUM_THREADS"))
    found: dict[str, Any] = {
        "wakesleep": package_version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "instruction_set": {"in_use": level, "available": levels, "forced": level_forced},
        "threads": {"default": n_threads, "forced": n_threads_forced},
        "bf16x2": _panels.has_amx(),
    }
    if mode == "dicts":
        return found
    forced = "; forced by WAKESLEEP_CPU" if level_forced else ""
    why = "forced by WAKESLEEP_NUM_THREADS" if n_threads_forced else "the processors that this process may use"
    lines = found | {
        "instruction_set": f"{level} (of {', '.join(levels)}{forced})",
        "threads": f"{n_threads} ({why})",
        "bf16x2": "available" if found["bf16x2"] else "not here: it needs Linux on x86 with AMX",
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name.replace('_', ' ').ljust(width)}  {value}")
    return None
