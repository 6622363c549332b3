"""Copies of this checkout, without what was built, for those who break it, or build it in another way."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BUILD = sys.executable, "setup.py", "-q", "build_ext", "--inplace"
OURS = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "WAKESLEEP_CPU")}


def copy_to(folder: Path) -> Path:
    """Copy all that is not built."""
    generated = [path.name for path in REPOSITORY.glob("wakesleep/*.c")]
    leave = shutil.ignore_patterns(".*", "build", "dist", "*.so", "*.egg-info", *generated)
    return Path(shutil.copytree(REPOSITORY, folder, ignore=leave))


def replace(file: Path, text: str, replacement: str) -> str:
    """Replace a text that must be there, and return what the whole file was before."""
    before = file.read_text(encoding="utf-8")
    assert text in before, f"{file.name} no longer contains {text!r}"
    file.write_text(before.replace(text, replacement), encoding="utf-8")
    return before
