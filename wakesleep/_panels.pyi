import numpy as np
from numpy.typing import NDArray

class Machine:
    def __init__(
        self,
        parameters: NDArray[np.float32],
        sizes: NDArray[np.int64],
        methods: NDArray[np.uint8],
        capacity: int,
        gradient: NDArray[np.float32] | None = None,
    ) -> None: ...

def cpu_levels() -> list[str]: ...
def cpu_level() -> str: ...
def set_cpu_level(level: str | None = None) -> None: ...
