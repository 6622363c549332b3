"""The ``.bits`` file: a header of 64 bytes, then one or two planes of words of `Bits`; everything little-endian."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wakesleep._packing import WORD, words_of
from wakesleep.atomic import replace_file

HEADER = struct.Struct("<8sIIQQ32s")  # magic, version, planes, N, D, zeros
MAGIC, VERSION = b"\x93WSBITS\n", 1
MOST_ROWS, MOST_FEATURES = 1 << 40, 1 << 31  # what a header may claim


def write(path: Path, planes: list[NDArray[np.uint64]], n_features: int) -> None:
    """Write the file beside its place, then move it there: it appears complete or not at all."""
    header = HEADER.pack(MAGIC, VERSION, len(planes), len(planes[0]), n_features, bytes(32))
    replace_file(path, [header, *(words.data for words in planes)])


def map_planes(path: Path) -> tuple[list[NDArray[np.uint64]], int]:
    """The planes of a file, mapped read-only, and its D. Nothing is mapped before the file's size is right."""
    with open(path, "rb") as file:
        header = file.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise ValueError(f"{path}: want a .bits file, got something else")
        _, version, n_planes, n_rows, n_features, zeros = HEADER.unpack(header)
        if version != VERSION:
            raise ValueError(f"{path}: want version {VERSION} of the .bits format, got version {version}")
        if n_planes not in (1, 2):
            raise ValueError(f"{path}: want 1 or 2 planes of bits, got {n_planes}")
        if n_rows > MOST_ROWS or n_features > MOST_FEATURES or any(zeros):
            raise ValueError(f"{path}: the header is damaged (it claims {n_rows} x {n_features} cells)")
        shape = n_rows, words_of(n_features)
        of_plane = math.prod(shape) * WORD.itemsize
        n_bytes = HEADER.size + n_planes * of_plane
        if (size := os.fstat(file.fileno()).st_size) != n_bytes:
            raise ValueError(f"{path}: want {n_bytes} bytes for {n_rows} x {n_features} cells, got {size}")
        starts = (HEADER.size + i * of_plane for i in range(n_planes))
        return [np.memmap(file, WORD, "r", start, shape) for start in starts], n_features
