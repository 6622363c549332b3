"""Binary images as text, for terminals; the shape of images; and text that can be shown."""

import codecs
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_BLOCKS, _ASCII = " ▀▄█", " '.#"  # neither, the upper, the lower, both of two pixels


def draw(
    rows_of_images: Sequence[ArrayLike],
    *,
    height: int,
    width: int,
    labels: Sequence[str] | None = None,
    unicode: bool = True,
    max_columns: int = 80,
    gap: int = 2,
) -> str:
    """Rows of images side by side; one character shows two pixels, one above the other.

    Parameters
    ----------
    rows_of_images : sequence of array-like, each (n_images, height, width) or (n_images, height · width)
        Every value other than 0 is ink.
    labels : sequence of str, optional
        One per row, written at its left.
    unicode : bool
        Half blocks, else plain ASCII.
    max_columns : int
        No line is longer: images that do not fit are left out, and a single one too wide is cut off at the right.
    gap : int
        Empty columns between two images.

    Returns
    -------
    str
        Lines without trailing spaces; an empty one between two rows of images.

    Raises
    ------
    ValueError
        Images of another size, or not one label per row.

    Examples
    --------
    >>> print(draw([[[1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 0, 1]]], height=2, width=3, labels=["two"], unicode=False))
    two  '.'  #'#
    """
    labels = [""] * len(rows_of_images) if labels is None else labels
    if len(labels) != len(rows_of_images):
        raise ValueError(f"labels: want {len(rows_of_images)}, one per row of images, got {len(labels)}")
    margin = max((len(label) + gap for label in labels if label), default=0)
    n_fitting = max(1, (max_columns - margin + gap) // (width + gap))
    glyphs = np.array(list(_BLOCKS if unicode else _ASCII))
    lines: list[str] = []
    for label, row in zip(labels, rows_of_images, strict=True):
        lines += [""] if lines else []
        images = np.asarray(row)
        if images.shape[1:] not in ((height, width), (height * width,)):
            raise ValueError(f"rows_of_images: want images of {height} × {width}, got an array of shape {images.shape}")
        ink = images[:n_fitting].reshape(-1, height, width) != 0
        ink = np.pad(ink, ((0, 0), (0, height % 2), (0, gap)))
        text = glyphs[ink[:, ::2] + 2 * ink[:, 1::2]]
        for i, line in enumerate(text.swapaxes(0, 1)):
            start = ("" if i else label).ljust(margin)
            lines.append((start + "".join(line.flat))[:max_columns].rstrip())
    return "\n".join(lines)


def printable(text: object) -> str:
    """A text with escapes in place of characters that a terminal would obey, or that a picture cannot hold."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def supports_unicode(stream: Any) -> bool:
    """Whether the half blocks can be written to a text stream: only if its encoding is UTF-8."""
    try:
        return codecs.lookup(stream.encoding).name == "utf-8"
    except (AttributeError, LookupError, TypeError):
        return False


def image_shape(n_features: int, shape: Sequence[int] | None = None) -> tuple[int, int] | None:
    """The (height, width) of images with `n_features` pixels: `shape` if given, a square if possible, else None.

    Raises
    ------
    ValueError, TypeError
        `shape` is not two positive whole numbers whose product is `n_features`.

    Examples
    --------
    >>> image_shape(784), image_shape(12), image_shape(12, (3, 4))
    ((28, 28), None, (3, 4))
    """
    if shape is None:
        side = math.isqrt(n_features)
        return (side, side) if side > 0 and side * side == n_features else None
    try:
        sides = tuple(operator.index(side) for side in shape)
    except TypeError:
        raise TypeError(f"shape: want (height, width), two whole numbers, got {shape!r}") from None
    if len(sides) != 2 or min(sides) < 1 or math.prod(sides) != n_features:
        raise ValueError(f"shape: want (height, width) with height × width = {n_features}, got {sides}")
    return sides[0], sides[1]
