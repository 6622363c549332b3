"""``python -m bench.imports``: what ``import wakesleep`` costs beside ``import numpy``, by turns in fresh processes."""

import os
import resource
import subprocess
import sys
from statistics import median

TURNS = 31


def seconds(program: str) -> float:
    """Processor time of a Python that runs the program, with its bytecode cached."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-P", "-c", program], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print the medians, in milliseconds, and their ratio."""
    programs = ["import numpy", "import wakesleep"]
    for program in programs:
        seconds(program)  # which writes the bytecode
    turns = [[seconds(program) for program in programs] for _ in range(TURNS)]
    numpy, wakesleep = (median(column) for column in zip(*turns, strict=True))
    print(f"import numpy {1000 * numpy:.0f} ms, wakesleep {1000 * wakesleep:.0f} ms: {wakesleep / numpy:.2f} times")


if __name__ == "__main__":
    main()
