"""Binary data to learn from: the digits in the package, toys with a known entropy, and files."""

from wakesleep.datasets.readers import load_digits, read
from wakesleep.datasets.synthetic import make_synthetic
from wakesleep.datasets.toys import make_bars, make_shifter

__all__ = ["load_digits", "make_bars", "make_shifter", "make_synthetic", "read"]
