"""The ``.bits`` file: a header of 64 bytes, then the words of `Bits`; everything little-endian."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wakesleep._packing import WORD, words_of

HEADER = struct.Struct("<8sIIQQ32s")  # magic, version, planes, N, D, zeros
MAGIC, VERSION, PLANES = b"\x93WSBITS\n", 1, 1
MOST_ROWS, MOST_FEATURES = 1 << 40, 1 << 31  # what a header may claim


def write(path: Path, words: NDArray[np.uint64], n_features: int) -> None:
    """Write the file beside its place, then move it there: it appears complete or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(HEADER.pack(MAGIC, VERSION, PLANES, len(words), n_features, bytes(32)))
            file.write(words.data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def map_words(path: Path) -> tuple[NDArray[np.uint64], int]:
    """The words of a file, mapped read-only, and its D. Nothing is mapped before the file's size is right."""
    with open(path, "rb") as file:
        header = file.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise ValueError(f"{path}: want a .bits file, got something else")
        _, version, planes, n_rows, n_features, zeros = HEADER.unpack(header)
        if version != VERSION:
            raise ValueError(f"{path}: want version {VERSION} of the .bits format, got version {version}")
        if planes != PLANES:
            raise ValueError(f"{path}: want {PLANES} plane of bits, got {planes}")
        if n_rows > MOST_ROWS or n_features > MOST_FEATURES or any(zeros):
            raise ValueError(f"{path}: the header is damaged (it claims {n_rows} x {n_features} cells)")
        n_bytes = HEADER.size + n_rows * words_of(n_features) * WORD.itemsize
        if (size := os.fstat(file.fileno()).st_size) != n_bytes:
            raise ValueError(f"{path}: want {n_bytes} bytes for {n_rows} x {n_features} cells, got {size}")
        return np.memmap(file, WORD, "r", HEADER.size, (n_rows, words_of(n_features))), n_features
