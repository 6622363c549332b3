"""Rows as images in a new figure or on given axes, and how it is written; all that pictures need of matplotlib."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import hyperparameters
from wakesleep._packing import as_matrix, check_shape, checked_names, dense, shown, without_missing
from wakesleep.atomic import replace_file
from wakesleep.bits import Bits
from wakesleep.drawing import image_shape, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "Greys"  # colour map of bits and their probabilities
GREY = "0.85"  # behind images
MISSING, IS_MISSING = "orange", -1.0  # the colour of missing cells, and what stands for them: it is below the scale
FEWEST_PIXELS = 32  # of an image, as drawn
LAID_OUT = 1.2  # how many times as wide a layout makes axes, about
MOST_NAMES = 60  # of columns that can be read side by side
CLOSEST_NAMES = 0.9  # how many times their size they have to be apart
WIDE = 4.0  # inches of axes with room for these characters of a name and sizes of type; and in smaller ones
LONGEST_NAME, SIZES = 19, ("small", "x-small", "xx-small")
LONGEST_IN_SMALL, SIZES_IN_SMALL = 13, ("x-small", "xx-small")


def images(
    rows: Any, *, shape: Sequence[int] | None = None, n_columns: int | None = None,
    feature_names: Sequence[str] | None = None, ax: Axes | None = None, **how: Any,
) -> Axes:  # fmt: skip
    """Rows as images side by side, on grey; what are no images is drawn as a matrix.

    Parameters
    ----------
    rows : array-like, data frame, SciPy sparse matrix or Bits of shape (n, D)
        Bits, or probabilities: 0 is white, 1 is black, and NaN, a missing cell, is orange. Infinity leaves a gap.
    shape : (height, width), optional
        Of an image; a square if that is left out and D is a square number.
    n_columns : int, optional
        Images side by side; if left out, so many that all of them together are about a square.
    feature_names : sequence of str, optional
        Of the columns, written below a matrix: all, in small type if need be, or every so manyth, as the axis then
        tells. Up to 60 of them make a matrix of what could be squares.
    ax : Axes, optional
    **how
        For `Axes.imshow`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For an argument that is not as described; so in all functions here.
    """
    matrix = as_matrix(np.asarray(rows) if isinstance(rows, Bits) else rows, "rows")
    check_shape(matrix.shape, None, "rows")
    rows = without_missing(dense(matrix, slice(0, matrix.shape[0])), "rows", "marginalise")[0].astype(np.float64)
    feature_names = checked_names(feature_names, rows.shape[1])
    found = shape_of_images(rows.shape[1], shape, feature_names)
    if not {"cmap", "vmin"} & how.keys() and np.isnan(rows).any():
        rows, how = np.where(np.isnan(rows), IS_MISSING, np.maximum(rows, 0)), _marking_missing() | how
    how = dict[str, Any]({"cmap": INK, "vmin": 0, "vmax": 1}) | how
    if found is None:
        ax = axes_for(ax, (6, 4))
        ax.set_facecolor(GREY)
        ax.imshow(rows, **({"aspect": "auto"} | how))  # where cells are smaller than pixels, these are their averages
        ax.set(xlabel="visible unit", ylabel="row")
        whole_ticks(ax.xaxis)
        whole_ticks(ax.yaxis)
        if feature_names is not None:
            _name_columns(ax, feature_names)
        return ax
    mosaic = _mosaic(rows.reshape(-1, *found), n_columns)
    ax = axes_for(ax, _size_of(mosaic))
    ax.set_facecolor(GREY)
    ax.imshow(mosaic, **how)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def save(axes: Axes | NDArray[Any], path: str | os.PathLike[str]) -> None:
    """Write the figure of some axes to a file; as .png or .svg, a new figure of the same gives the same bytes.

    The file appears complete or not at all: an existing one is replaced at the very end.

    Parameters
    ----------
    axes : Axes, or ndarray of Axes
    path : str or path-like
        Its ending tells the kind: .png, .svg, .pdf, or another that matplotlib writes.

    Raises
    ------
    ValueError, TypeError
        For an ending that matplotlib does not know, or what are no axes.
    OSError
        If the file cannot be written.
    """
    import matplotlib

    content, ending = io.BytesIO(), os.path.splitext(os.fspath(path))[1].lower()
    first = _checked_axes("axes", next(np.asarray(axes, object).flat, None))
    figure: Any = first.figure.figure  # of subfigures, the whole
    with matplotlib.rc_context({"svg.hashsalt": "wakesleep"}):
        figure.savefig(content, format=ending[1:] or None, metadata={"Date": None} if ending == ".svg" else None)
    replace_file(path, [content.getbuffer()])


def _name_columns(ax: Axes, names: Sequence[str]) -> None:
    """Names below the columns of a matrix, or as many as there is room for."""
    from matplotlib.font_manager import FontProperties

    inches = ax.get_window_extent().width / ax.figure.dpi
    longest, sizes = (LONGEST_NAME, SIZES) if inches >= WIDE else (LONGEST_IN_SMALL, SIZES_IN_SMALL)
    for size in sizes:
        columns = math.ceil(CLOSEST_NAMES * FontProperties(size=size).get_size_in_points() * len(names) / (72 * inches))
        if columns == 1:
            break
    ax.set_xlabel("" if columns == 1 else f"visible unit; 1 in {columns} is named")
    places, labels = range(0, len(names), columns), _shortened(names[::columns], longest)
    ax.set_xticks(places, labels, rotation="vertical", fontsize=size, parse_math=False)


def _shortened(names: Sequence[str], longest: int) -> list[str]:
    """Each in one line, cut in the middle, or at the end or the beginning, if that leaves more of them apart."""
    lines = [printable(" ".join(str(name).split())) for name in names]

    def cut(head: int) -> list[str]:
        tails = (len(line) - (longest - 1 - head) for line in lines)
        return [
            line if len(line) <= longest else f"{line[:head]}…{line[tail:]}"
            for line, tail in zip(lines, tails, strict=True)
        ]

    return max(map(cut, (longest // 2, longest - 1, 0)), key=lambda labels: len(set(labels)))


def _marking_missing() -> dict[str, Any]:
    """How to draw rows in which `IS_MISSING` stands for missing cells."""
    import matplotlib

    return {"cmap": matplotlib.colormaps[INK].with_extremes(under=MISSING), "interpolation_stage": "rgba"}


def shape_of_images(
    n_features: int, shape: Sequence[int] | None, feature_names: Sequence[str] | None
) -> tuple[int, int] | None:
    """The (height, width) of rows as images, or None for a matrix, which has an axis for names."""
    named = feature_names is not None and len(feature_names) <= MOST_NAMES
    return None if shape is None and named else image_shape(n_features, shape)


def columns_for(n: int, height: int, width: int) -> int:
    """How many of n images to put side by side for something like a square with few gaps."""

    def loss(columns: int) -> tuple[float, int]:
        rows = -(-n // columns)
        return round(abs(math.log(columns * width / (rows * height))) + (rows * columns - n) / n, 9), -columns

    return min(range(1, n + 1), key=loss)


def _mosaic(pictures: NDArray[np.float64], n_columns: int | None) -> NDArray[np.float64]:
    """Images (n, height, width) in one, with NaN round each of them, a tenth of it, and where the last row has none."""
    pictures = pictures.repeat(larger := -(-FEWEST_PIXELS // max(pictures.shape[1:])), axis=1).repeat(larger, axis=2)
    n, height, width = pictures.shape
    across = columns_for(*pictures.shape) if n_columns is None else hyperparameters.count("n_columns", n_columns)
    across = min(across, n)
    gap = max(1, min(height, width) // 10)
    mosaic = np.full((-(-n // across), height + gap, across, width + gap), np.nan)
    for i, picture in enumerate(pictures):
        mosaic[i // across, gap:, i % across, gap:] = picture
    return np.pad(mosaic.reshape(len(mosaic) * (height + gap), -1), ((0, gap), (0, gap)), constant_values=np.nan)


def _size_of(mosaic: NDArray[np.float64]) -> tuple[float, float]:
    """Inches for a mosaic, its sides in proportion, the more the larger it is, and room for a title."""
    height, width = mosaic.shape
    scale = min(10, max(4, max(height, width) / 70)) / max(height, width)
    return max(3, width * scale), max(1, height * scale) + 0.4


def new_figure(size: tuple[float, float]) -> Figure:
    """A figure of so many inches, which pyplot knows nothing of."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'wakesleep[plot]'") from error
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def axes_for(ax: Any, size: tuple[float, float]) -> Axes:
    """The axes that were given, or new ones that fill a figure of so many inches."""
    return new_figure(size).subplots() if ax is None else _checked_axes("ax", ax)


def _checked_axes(name: str, given: Any) -> Axes:
    from matplotlib.axes import Axes

    if not isinstance(given, Axes):
        raise TypeError(f"{name}: want Axes of matplotlib, got {shown(given)}")
    return given


def whole_ticks(axis: Any) -> None:
    """Ticks at whole numbers, as many as there is room for, whatever was there."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def colour_bar(ax: Axes, label: str, extend: str = "neither") -> None:
    """Tell, beside it, what the colours of an image stand for."""
    beside = ax.inset_axes((1.03, 0, 0.04, 1))
    ax.figure.colorbar(ax.images[-1], cax=beside, label=label, extend=extend).outline.set_visible(False)


def legend_above(ax: Axes, title: str) -> None:
    """A title, and between it and the axes the legend, in as few lines as their width allows, once it is laid out."""
    how: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "frameon": False, "fontsize": "small"}
    tight = {"borderaxespad": 0.2, "borderpad": 0.2, "handlelength": 1.2, "handletextpad": 0.5, "columnspacing": 1}
    for n_columns in range(len(ax.get_legend_handles_labels()[1]), 0, -1):
        legend = ax.legend(ncols=n_columns, **(how | tight))
        box = legend.get_window_extent()
        if box.width <= LAID_OUT * ax.get_window_extent().width:
            break
    ax.set_title(title, pad=box.height * 72 / ax.figure.dpi + 6)  # points
