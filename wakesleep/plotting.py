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

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import figures, hyperparameters
from wakesleep._packing import shown
from wakesleep.figures import axes_for, images, save, whole_ticks
from wakesleep.machine import HelmholtzMachine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["activity", "fantasies", "fields", "images", "learning_curves", "overview", "reconstructions", "save"]

DIVERGING, DENSITY = "RdBu_r", "viridis"  # colour maps: of fields and activity
FIRST, SECOND = "#1f5fa8", "#b0541d"  # colours of curves
KINDS_OF_FILES = (".png", ".svg")
N_IMAGES, N_PAIRS = 100, 18  # fantasies; rows with reconstructions
PANEL = 4.4, 4.0  # inches of each picture in an overview
SHARE_IN_SCALE = 99.5  # percent of the weights that the colour scale tells apart


def learning_curves(history: HelmholtzMachine | Sequence[dict[str, Any]], *, ax: Axes | None = None) -> Axes:
    """What was measured after each epoch: held-out log p(x) with its standard error, and the reconstruction.

    Both are log-probabilities in nats per row, the more the better: log p(x), and as "reconstruction" minus the
    reconstruction cross-entropy.

    Parameters
    ----------
    history : HelmholtzMachine, or list of dict
        A machine that was trained, or its `history_`, or the lines of a log; null, None, is no point of a curve.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        If nothing was measured: that takes held-out rows (``fit(X, validation=0.2)``) or ``verbose=1``; or for an
        argument that is not as described; so in all functions here.
    ImportError
        Without matplotlib; so in all functions here.
    """
    if isinstance(history, HelmholtzMachine):
        history._check_fitted()
    records = history.history_ if isinstance(history, HelmholtzMachine) else history
    if not isinstance(records, Sequence) or not all(isinstance(record, dict) for record in records):
        raise TypeError(f"history: want a HelmholtzMachine or its history_, got {shown(history)}")
    held_out, seen = (_points(records, name) for name in ("log_likelihood", "reconstruction_cross_entropy"))
    if not (len(held_out) or len(seen)):
        raise ValueError("history: want epochs that were measured, as fit(X, validation=0.2) does, got none")
    ax = axes_for(ax, (6, 3.8))
    if len(held_out):
        x, y, error = held_out.T
        ax.plot(x, y, color=FIRST, marker="o" if len(x) == 1 else "", label="log p(x) ± s.e.")
        ax.fill_between(x, y - error, y + error, color=FIRST, alpha=0.25, linewidth=0)
    if len(seen):
        ax.plot(seen[:, 0], -seen[:, 1], color=SECOND, marker="o" if len(seen) == 1 else "", label="reconstruction")
    if isinstance(history, HelmholtzMachine) and history.patience is not None:
        ax.axvline(history.best_epoch_, color="0.6", linewidth=1, linestyle=":", label=f"epoch {history.best_epoch_}")
    ax.set(xlabel="epoch", ylabel="nats per row")
    whole_ticks(ax.xaxis)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)
    of_held_out = any("log_likelihood" in record for record in records)
    figures.legend_above(ax, "held-out rows" if of_held_out else "rows learned from")
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
    _check(machine)
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
    names = machine._feature_names
    ax = images(rows, shape=shape, feature_names=names, ax=ax, cmap=DIVERGING, vmin=-most, vmax=most)
    ax.set_title(f"generative fields of level {level}")
    if ax.get_ylabel():
        ax.set_ylabel("hidden unit")
    elif new:
        figure: Any = ax.figure
        figure.set_figwidth(figure.get_figwidth() + 0.9)  # inches for the colour bar
    figures.colour_bar(ax, unit, "both" if largest > most else "neither")
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
    _check(machine)
    n_samples = hyperparameters.count("n_samples", n_samples)
    rows = machine.sample(n_samples, random_state=random_state)
    ax = images(rows, shape=shape, feature_names=machine._feature_names, ax=ax)
    ax.set_title("fantasies, x ~ p(x)")
    return ax


def reconstructions(
    machine: HelmholtzMachine, X: Any, n_rows: int = N_PAIRS, layer: int = -1, *,
    shape: Sequence[int] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Rows, each above its reconstruction: the probabilities of the visible units after a pass up and down.

    Missing cells are orange. All images together are about a square. The rows of a matrix have their numbers in X.

    Parameters
    ----------
    machine : HelmholtzMachine
    X : as for ``machine.reconstruct``, of shape (n, D)
    n_rows : int, default=18
        At most so many, from the first to the last at equal distances.
    layer : int, default=-1
        Hidden level to which the pass goes, 0 at the bottom; ``machine.reconstruct`` says when that is better.
    shape : (height, width), optional
        Of an image; a square if that is left out and D is a square number.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    _check(machine)
    X = machine._bits(X)
    n_rows = min(hyperparameters.count("n_rows", n_rows), len(X))
    numbers = np.linspace(0, len(X) - 1, n_rows).astype(np.int64)
    some, names, D = X[numbers], machine._feature_names, X.n_features
    cells = some.to_dense(np.float64)
    pairs = np.stack([cells, machine.reconstruct(some, layer)], axis=1)
    found = figures.shape_of_images(D, shape, names)
    if found is None:
        edges = -0.5, D - 0.5, n_rows - 0.5, -0.5
        ax = images(pairs.reshape(-1, D), feature_names=names, ax=ax, extent=edges)
        labelled = range(0, n_rows, -(-n_rows // N_PAIRS))
        ax.set_yticks(labelled, [str(numbers[i]) for i in labelled], fontsize="small")
        ax.set_ylabel("row of X")
        ax.hlines(np.arange(1, n_rows) - 0.5, *edges[:2], color=FIRST, linewidth=0.8)
    else:
        n_columns = figures.columns_for(n_rows, 2 * found[0], found[1])
        blank = np.full((-n_rows % n_columns, 2, D), np.inf)
        mosaic = np.concatenate([pairs, blank]).reshape(-1, n_columns, 2, D).swapaxes(1, 2)
        ax = images(mosaic.reshape(-1, D), shape=found, n_columns=n_columns, ax=ax)
    key = f"\n({figures.MISSING}: missing cells)" if np.isnan(cells).any() else ""
    ax.set_title(f"rows, and below each its reconstruction{key}")
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
    _check(machine)
    level = machine._level(layer)
    values = np.asarray(machine.transform(X, layer), np.float64)
    means = values.mean(axis=0)
    values = values[:, np.argsort(-means, kind="stable")]
    values = values[np.lexsort((values > 0.5)[:, np.argsort(values.var(axis=0), kind="stable")].T)[::-1]]
    ax = axes_for(ax, (6, 4.5))
    edges = 0.5, values.shape[1] + 0.5, values.shape[0] + 0.5, 0.5  # ranks begin with 1
    ax.imshow(values, aspect="auto", cmap=DENSITY, vmin=0, vmax=1, interpolation="nearest", extent=edges)
    ax.set(xlabel="rank of the unit, by mean", ylabel="rank of the row, by code")
    whole_ticks(ax.xaxis)
    whole_ticks(ax.yaxis)
    above = ax.inset_axes((0, 1.03, 1, 0.18), sharex=ax)
    above.bar(range(1, len(means) + 1), np.sort(means)[::-1], width=0.8, color=FIRST)
    above.set(ylim=(0, 1), yticks=[1], ylabel="mean", title=f"posterior activity of level {level}")
    above.tick_params(labelbottom=False, bottom=False)
    above.spines[["top", "right"]].set_visible(False)
    figures.colour_bar(ax, "q(h = 1 | x)")
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
    _check(machine)
    panels: list[Any] = []
    if any("reconstruction_cross_entropy" in record for record in machine.history_):
        panels.append(lambda ax: learning_curves(machine, ax=ax))
    panels.append(lambda ax: fields(machine, shape=shape, ax=ax))
    if len(machine.generative_) > 1:
        panels.append(lambda ax: fields(machine, -1, shape=shape, ax=ax))
    panels.append(lambda ax: fantasies(machine, shape=shape, ax=ax))
    if X is not None:
        panels.append(lambda ax: reconstructions(machine, X, shape=shape, ax=ax))
        panels.append(lambda ax: activity(machine, X, ax=ax))
    n_columns = 2 if len(panels) == 4 else min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = figures.new_figure((PANEL[0] * n_columns, PANEL[1] * n_rows))
    cells, axes = figure.add_gridspec(n_rows, n_columns), []
    for i, panel in enumerate(panels):
        row, column = divmod(i, n_columns)
        cell = cells[row, column:] if i == len(panels) - 1 else cells[row, column]
        axes.append(panel(figure.add_subplot(cell.subgridspec(1, 1)[0])))  # a grid of its own: no common margins
        axes[-1].set_anchor("N")
    return np.asarray(axes)


def _points(records: Sequence[dict[str, Any]], name: str) -> NDArray[np.float64]:
    """Epoch, value and standard error, (n, 3), of the epochs that have this value."""
    known = [record for record in records if None not in (record.get("epoch"), record.get(name))]
    points = [(record["epoch"], record[name], record.get("standard_error") or 0) for record in known]
    return np.array(points, np.float64).reshape(-1, 3)


def _check(machine: Any) -> None:
    """Refuse what is no machine that has learned."""
    if not isinstance(machine, HelmholtzMachine):
        raise TypeError(f"machine: want a HelmholtzMachine, got {shown(machine)}")
    machine._check_fitted()


def _mean_state(machine: HelmholtzMachine, level: int) -> NDArray[np.float64]:
    """Mean-field probabilities of the units of a hidden level in dreams."""
    logits = np.asarray(machine.prior_logits_, np.float64)
    for layer in machine.generative_[:level:-1]:
        logits = np.asarray(layer.biases + _probabilities(logits) @ layer.weights, np.float64)
    return _probabilities(logits)


def _probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))
