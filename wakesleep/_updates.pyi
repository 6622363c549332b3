from typing import Any

# What Cython puts into a module that has functions for other compiled modules.
__pyx_capi__: dict[str, Any]
__test__: dict[str, str]

OPTIMIZERS: dict[str, int]
