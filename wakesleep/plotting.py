"""Pictures of a machine, by matplotlib (``pip install 'wakesleep[plot]'``).

Every function draws on the axes that it is given, those of a subfigure too, or on a new figure, and returns them.
Nothing here touches pyplot: a new figure is ``axes.figure``, which a notebook shows and `save` writes. ::

    from wakesleep import HelmholtzMachine, datasets, plotting

    X = datasets.load_digits()
    machine = HelmholtzMachine((32, 16), learning_rate=0.3, batch_size=20, random_state=0).fit(X, validation=0.2)
    plotting.save(plotting.fields(machine), "fields.png")
    plotting.save(plotting.overview(machine, X), "machine.svg")
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wakesleep import hyperparameters
from wakesleep.drawing import image_shape
from wakesleep.machine import HelmholtzMachine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, DIVERGING, DENSITY = "Greys", "RdBu_r", "viridis"  # colour maps: of bits and their probabilities, fields, activity
GREY = "0.85"  # behind images, and where a cell is missing
FIRST, SECOND = "#1f5fa8", "#b0541d"  # colours of curves
KINDS_OF_FILES = (".png", ".svg")
N_IMAGES, N_PAIRS = 100, 18  # fantasies; rows with reconstructions
PANEL = 4.4, 4.0  # inches of each picture in an overview
FEWEST_PIXELS = 32  # of an image, as drawn
SHARE_IN_SCALE = 99.5  # percent of the weights that the colour scale tells apart


def learning_curves(history: HelmholtzMachine | Sequence[dict[str, Any]], *, ax: Axes | None = None) -> Axes:
    """What was measured after each epoch: held-out log p(x) with its standard error, and the reconstruction.

    Both are log-probabilities in nats per row, the more the better: log p(x), and minus the reconstruction
    cross-entropy.

    Parameters
    ----------
    history : HelmholtzMachine, or list of dict
        A machine that was trained, or its `history_`.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If nothing was measured: that takes held-out rows (``fit(X, validation=0.2)``) or ``verbose=1``.
    ImportError
        Without matplotlib; so in all functions here.
    """
    if isinstance(history, HelmholtzMachine):
        history._check_fitted()
    records = history.history_ if isinstance(history, HelmholtzMachine) else history
    known = [record for record in records if {"epoch", "reconstruction_cross_entropy"} <= record.keys()]
    if not known:
        raise ValueError("history: want epochs that were measured, as fit(X, validation=0.2) does, got none")
    ax = _axes((6, 3.8)) if ax is None else ax
    held_out = [record for record in known if "log_likelihood" in record]
    marker = "o" if len(known) == 1 else None
    reconstruction = [-record["reconstruction_cross_entropy"] for record in known]
    all_values = np.array([*reconstruction, *(record["log_likelihood"] for record in held_out)])
    all_values = all_values[np.isfinite(all_values)] if np.isfinite(all_values).any() else np.zeros(1)
    if held_out:
        x = [record["epoch"] for record in held_out]
        y = np.array([record["log_likelihood"] for record in held_out])
        error = np.array([record.get("standard_error") or 0 for record in held_out])
        ax.plot(x, y, color=FIRST, marker=marker, label="log p(x), ± standard error")
        ax.fill_between(x, y - error, y + error, color=FIRST, alpha=0.25, linewidth=0)
    ax.plot(
        [record["epoch"] for record in known], reconstruction,
        color=SECOND, marker=marker, label="− reconstruction cross-entropy",
    )  # fmt: skip
    if isinstance(history, HelmholtzMachine) and history.patience is not None:
        ax.axvline(history.best_epoch_, color="0.6", linewidth=1, linestyle=":", label=f"epoch {history.best_epoch_}")
    ax.set(xlabel="epoch", ylabel="nats per row", title="held-out rows" if held_out else "rows learned from")
    _whole(ax.xaxis)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)
    ax.legend(edgecolor="none", framealpha=1, loc="lower right", fontsize="small")
    ax.update_datalim([(known[0]["epoch"], all_values.min() - 0.3 * np.ptp(all_values))])  # where the legend stands
    ax.autoscale_view()
    return ax


def images(
    rows: ArrayLike, *, shape: Sequence[int] | None = None, n_columns: int | None = None, ax: Axes | None = None,
    **how: Any,
) -> Axes:  # fmt: skip
    """Rows as images side by side, on grey; what are no images is drawn as a matrix.

    Parameters
    ----------
    rows : array-like of shape (n, D)
        Bits, or probabilities: 0 is white, 1 is black.
    shape : (height, width), optional
        Of an image; a square if that is left out and D is a square number.
    n_columns : int, optional
        Images side by side; if left out, so many that all of them together are about a square.
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
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"rows: want an array of shape (n, D), n and D 1 or more, got {rows.shape}")
    found = image_shape(rows.shape[1], shape)
    how = dict[str, Any]({"cmap": INK, "vmin": 0, "vmax": 1}) | how
    if found is None:
        ax = _axes((6, 4)) if ax is None else ax
        ax.set_facecolor(GREY)
        ax.imshow(rows, **({"aspect": "auto", "interpolation": "nearest"} | how))
        ax.set(xlabel="visible unit", ylabel="row")
        _whole(ax.xaxis)
        _whole(ax.yaxis)
        return ax
    mosaic = _mosaic(rows.reshape(-1, *found), n_columns)
    ax = _axes(_size_of(mosaic)) if ax is None else ax
    ax.set_facecolor(GREY)
    ax.imshow(mosaic, **how)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def fields(
    machine: HelmholtzMachine, layer: int = 0, *, shape: Sequence[int] | None = None, ax: Axes | None = None
) -> Axes:
    """What each unit of a hidden level stands for, by one image per unit.

    Of the lowest level, these are the rows of the generative weights, in nats of log-odds: what the unit adds to the
    visible units. Of a deeper level, they are the change in the visible probabilities, by mean field, when the unit is
    switched on and all others of its level stay at their means.

    Parameters
    ----------
    machine : HelmholtzMachine
    layer : int, default=0
        Hidden level, 0 at the bottom; negative numbers count from the top.
    shape : (height, width), optional
        Of an image; a square if that is left out and D is a square number.
    ax : Axes, optional

    Returns
    -------
    Axes
        With one colour bar, symmetric about 0. Where a few weights are far larger than all others, it ends before them.
    """
    machine._check_fitted()
    level = machine._level(layer)
    if level == 0:
        rows, unit = np.asarray(machine.generative_[0].weights, np.float64), "weight, nats"
    else:
        mean = _mean_state(machine, level)
        own = np.eye(len(mean), dtype=bool)
        on, off = (machine.inverse_transform(np.where(own, value, mean), layer) for value in (1, 0))
        rows, unit = np.asarray(on - off, np.float64), "change of probability"
    largest = np.abs(rows).max()
    most = float(np.percentile(np.abs(rows), SHARE_IN_SCALE)) or largest or 1.0
    new = ax is None
    ax = images(rows, shape=shape, ax=ax, cmap=DIVERGING, vmin=-most, vmax=most)
    ax.set_title(f"generative fields of level {level}")
    if ax.get_ylabel():
        ax.set_ylabel("hidden unit")
    elif new:
        figure: Any = ax.figure
        figure.set_figwidth(figure.get_figwidth() + 0.9)  # inches for the colour bar
    _colour_bar(ax, unit, "both" if largest > most else "neither")
    return ax


def fantasies(
    machine: HelmholtzMachine, n_samples: int = N_IMAGES, *, shape: Sequence[int] | None = None,
    random_state: Any = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """What the machine dreams of: rows drawn from p(x).

    Parameters
    ----------
    machine : HelmholtzMachine
    n_samples : int, default=100
    shape : (height, width), optional
        Of an image; a square if that is left out and D is a square number.
    random_state : int, NumPy generator or None
        None repeats the same fantasies.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    n_samples = hyperparameters.count("n_samples", n_samples)
    ax = images(machine.sample(n_samples, random_state=random_state), shape=shape, ax=ax)
    ax.set_title("fantasies, x ~ p(x)")
    return ax


def reconstructions(
    machine: HelmholtzMachine, X: Any, *, shape: Sequence[int] | None = None, ax: Axes | None = None
) -> Axes:
    """Rows, each above its reconstruction: the probabilities of the visible units after a pass up and down.

    Missing cells are grey. All images together are about a square.

    Parameters
    ----------
    machine : HelmholtzMachine
    X : as for ``machine.reconstruct``, of shape (n, D)
    shape : (height, width), optional
        Of an image; a square if that is left out and D is a square number.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    data = machine._bits(X).to_dense(np.float64)
    pairs = np.stack([data, machine.reconstruct(X)])
    found = image_shape(data.shape[1], shape)
    n_columns = 1 if found is None else _across(len(data), 2 * found[0], found[1])
    blank = np.full((2, -len(data) % n_columns, data.shape[1]), np.nan)
    pairs = np.concatenate([pairs, blank], axis=1).reshape(2, -1, n_columns, data.shape[1])
    ax = images(pairs.swapaxes(0, 1).reshape(-1, data.shape[1]), shape=shape, n_columns=n_columns, ax=ax)
    ax.set_title("rows, and below each its reconstruction")
    return ax


def activity(machine: HelmholtzMachine, X: Any, layer: int = -1, *, ax: Axes | None = None) -> Axes:
    """Which units of a hidden level are on for which rows: the probabilities that q gives them, and their means.

    Units are in the order of their means. Rows are in the order of their codes, the unit whose activity varies most
    deciding first, so that rows with like codes lie together; a column without contrast is a unit that tells nothing.

    Parameters
    ----------
    machine : HelmholtzMachine
    X : as for ``machine.transform``, of shape (n, D)
    layer : int, default=-1
        Hidden level, 0 at the bottom; negative numbers count from the top.
    ax : Axes, optional
        For the heat map; the means stand above it, in ``ax.child_axes[0]``.

    Returns
    -------
    Axes
    """
    machine._check_fitted()
    level = machine._level(layer)
    values = np.asarray(machine.transform(X, layer), np.float64)
    means = values.mean(axis=0)
    values = values[:, np.argsort(-means, kind="stable")]
    values = values[np.lexsort((values > 0.5)[:, np.argsort(values.var(axis=0), kind="stable")].T)[::-1]]
    ax = _axes((6, 4.5)) if ax is None else ax
    edges = 0.5, values.shape[1] + 0.5, values.shape[0] + 0.5, 0.5  # ranks begin with 1
    ax.imshow(values, aspect="auto", cmap=DENSITY, vmin=0, vmax=1, interpolation="nearest", extent=edges)
    ax.set(xlabel="rank of the unit, by mean", ylabel="rank of the row, by code")
    _whole(ax.xaxis)
    _whole(ax.yaxis)
    above = ax.inset_axes((0, 1.03, 1, 0.18), sharex=ax)
    above.bar(range(1, len(means) + 1), np.sort(means)[::-1], width=0.8, color=FIRST)
    above.set(ylim=(0, 1), yticks=[1], ylabel="mean", title=f"posterior activity of level {level}")
    above.tick_params(labelbottom=False, bottom=False)
    above.spines[["top", "right"]].set_visible(False)
    _colour_bar(ax, "q(h = 1 | x)")
    return ax


def overview(machine: HelmholtzMachine, X: Any = None, *, shape: Sequence[int] | None = None) -> NDArray[Any]:
    """All of this in one figure: curves, fields of the lowest and the top level, fantasies, and with rows X the rest.

    Parameters
    ----------
    machine : HelmholtzMachine
    X : as for ``machine.transform``, of shape (n, D), optional
        Eighteen of them are drawn with their reconstructions, all of them by their activity.
    shape : (height, width), optional
        Of an image; a square if that is left out and D is a square number.

    Returns
    -------
    ndarray of Axes
    """
    machine._check_fitted()
    panels: list[Any] = []
    if any("reconstruction_cross_entropy" in record for record in machine.history_):
        panels.append(lambda ax: learning_curves(machine, ax=ax))
    panels.append(lambda ax: fields(machine, shape=shape, ax=ax))
    if len(machine.generative_) > 1:
        panels.append(lambda ax: fields(machine, -1, shape=shape, ax=ax))
    panels.append(lambda ax: fantasies(machine, shape=shape, ax=ax))
    if X is not None:
        data = machine._bits(X)
        some = data[:: max(1, len(data) // N_PAIRS)][:N_PAIRS]
        panels.append(lambda ax: reconstructions(machine, some, shape=shape, ax=ax))
        panels.append(lambda ax: activity(machine, X, ax=ax))
    n_columns = 2 if len(panels) == 4 else min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = _new_figure((PANEL[0] * n_columns, PANEL[1] * n_rows))
    cells, axes = figure.add_gridspec(n_rows, n_columns), []
    for i, panel in enumerate(panels):
        row, column = divmod(i, n_columns)
        cell = cells[row, column:] if i == len(panels) - 1 else cells[row, column]
        axes.append(panel(figure.add_subplot(cell.subgridspec(1, 1)[0])))  # a grid of its own: no common margins
        axes[-1].set_anchor("N")
    return np.asarray(axes)


def _mean_state(machine: HelmholtzMachine, level: int) -> NDArray[np.float64]:
    """Mean-field probabilities of the units of a hidden level in dreams."""
    logits = np.asarray(machine.prior_logits_, np.float64)
    for layer in machine.generative_[:level:-1]:
        logits = np.asarray(layer.biases + _probabilities(logits) @ layer.weights, np.float64)
    return _probabilities(logits)


def _probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def save(axes: Axes | NDArray[Any], path: str | os.PathLike[str]) -> None:
    """Write the figure of some axes to a .png or .svg file; the same figure gives the same bytes.

    Parameters
    ----------
    axes : Axes, or ndarray of Axes
    path : str or path-like
    """
    import matplotlib

    figure: Any = (axes.flat[0] if isinstance(axes, np.ndarray) else axes).figure.figure  # of subfigures, the whole
    with matplotlib.rc_context({"svg.hashsalt": "wakesleep"}):
        figure.savefig(path, metadata={"Date": None} if os.fspath(path).lower().endswith(".svg") else None)


def _across(n: int, height: int, width: int) -> int:
    """How many of n images to put side by side for something like a square with few gaps."""

    def loss(columns: int) -> tuple[float, int]:
        rows = -(-n // columns)
        return round(abs(math.log(columns * width / (rows * height))) + (rows * columns - n) / n, 9), -columns

    return min(range(1, n + 1), key=loss)


def _mosaic(pictures: NDArray[np.float64], n_columns: int | None) -> NDArray[np.float64]:
    """Images (n, height, width) in one, with NaN round each of them, a tenth of it, and where the last row has none."""
    pictures = pictures.repeat(larger := -(-FEWEST_PIXELS // max(pictures.shape[1:])), axis=1).repeat(larger, axis=2)
    n, height, width = pictures.shape
    across = _across(*pictures.shape) if n_columns is None else hyperparameters.count("n_columns", n_columns)
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


def _new_figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'wakesleep[plot]'") from error
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def _axes(size: tuple[float, float]) -> Axes:
    return _new_figure(size).subplots()


def _whole(axis: Any) -> None:
    """Ticks at whole numbers, whatever was there."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def _colour_bar(ax: Axes, label: str, extend: str = "neither") -> None:
    """Tell, beside it, what the colours of an image stand for."""
    beside = ax.inset_axes((1.03, 0, 0.04, 1))
    ax.figure.colorbar(ax.images[-1], cax=beside, label=label, extend=extend).outline.set_visible(False)
