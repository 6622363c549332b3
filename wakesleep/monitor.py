"""What is measured after every epoch, the line that tells it, and the warnings that it gives rise to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wakesleep import _core, likelihood, tables
from wakesleep.bits import Bits
from wakesleep.notices import warn
from wakesleep.rows import Rows, Selection, drawn_by_content, select
from wakesleep.state import State

MOST_ROWS, PARTICLES = 1000, 100
SPLIT = 2**32  # an epoch that no training comes to: its order chooses rows
FEWEST_EFFECTIVE = likelihood.FEW  # samples that an estimate rests on
# The share of rows that have fewer, by the least number of samples. Of 1000 (100) samples, machines of 784-200 to
# 784-200-200-200 that have learned MNIST by the recipes of `bench.tasks` had up to 6 % (15 %), 784-300-100-50 after
# six epochs with 5,000 rows 17 % (36 %); a machine of the digits had 30 % (43 %) with all parameters of q at 0, and
# 46 % (52 %) with their signs changed.
MOST_ALONE = {1000: 0.22, 100: 0.38}
TOO_LOW = 'the estimate too low; method "ais" is less so'
FEWEST_CELLS = 10  # observed in a column, or a tenth of its rows if these are fewer than a hundred
EPOCHS_BEFORE = 5  # of what is wrong, before it is told
FEW_STEPS, SMALL_GAIN = 1000, 0.02  # after fewer steps, a gain below this share of the nats may be for want of them
UNMEASURED_ROWS, UNMEASURED_PARTICLES = 500, 100  # for a look at the end, where no log p(x) is measured on the way
HEADER = "epoch  seconds      rows/s  cross-entropy"
HELD_OUT_HEADER = HEADER + "  held-out log p(x)  std.error      K"


class SampleSizeWarning(UserWarning):
    """The estimates of log p(x) rest on a single sample: q is far from the posterior."""


class PoorFitWarning(UserWarning):
    """The machine explains rows no better than independent units do, or far worse; the message tells what may help."""


def warn_of_values(rows: Rows, names: tuple[str, ...] | None) -> None:
    """Warn where values beyond 0 to 1 were cut at a threshold between these, and in which columns."""
    matrix = rows.rows if isinstance(rows, Selection) else rows
    if not isinstance(matrix, Bits) or matrix._cut is None or not 0 < matrix._cut.threshold < 1:
        return
    threshold, least, greatest = matrix._cut
    columns = np.flatnonzero((least < 0) | (greatest > 1))
    if len(columns) == 0:
        return
    low, high, where = least[columns].min(), greatest[columns].max(), tables.columns_of(columns, names, len(least))
    ones = "those above it, another threshold or fewer columns may suit"
    ones = ones if matrix.density < 1 else "all, want another threshold"
    warn(f"X: has values from {low:g} to {high:g} in {where}; binarize={threshold:g} makes ones of {ones}", UserWarning)


def warn_of_unobserved(rows: Rows, names: tuple[str, ...] | None) -> None:
    """Warn of columns in which no cell is observed, or hardly any, and of rows."""
    matrix = rows.rows if isinstance(rows, Selection) else rows
    if not isinstance(matrix, Bits) or matrix.observed is None:
        return
    least = max(1, min(FEWEST_CELLS, len(matrix) // FEWEST_CELLS))
    columns = np.flatnonzero(matrix.observed_counts() < least)
    if len(columns):
        seen = "nothing is observed" if least == 1 else f"fewer than {least} of {len(matrix):,} cells are observed"
        where = tables.columns_of(columns, names, matrix.n_features)
        warn(f"X: {seen} in {where}; what a machine says of such cells is a guess", UserWarning)
    warn_of_empty(matrix, "teach nothing")


def warn_of_empty(rows: Bits, what: str) -> None:
    """Warn of rows in which no cell is observed."""
    n_empty = 0 if rows.observed is None else int((~rows.observed.any(axis=1)).sum())
    if n_empty:
        warn(f"X: nothing is observed in {n_empty:,} of {len(rows):,} rows, which {what}", UserWarning)


def n_held_out(name: str, share: Any, n_rows: int) -> int:
    """How many rows a share of them comes to; at least one is held out, and one is not.

    Raises
    ------
    ValueError
        If it comes to none or to all, or is no share; the message names the argument.
    """
    if not 0 < share < 1:  # a number, of any kind and size
        raise ValueError(f"{name}: want a share of the rows between 0 and 1, got {share!s:.80}")
    if n_rows < 2:
        raise ValueError(f"{name}: want 2 rows or more to hold some of them out, got {n_rows}")
    share = float(share)
    wanted: int = round(n_rows * share)
    if not 0 < wanted < n_rows:
        raise ValueError(
            f"{name}: want a share of the {n_rows} rows that holds out one or more and leaves one, such as 0.5, "
            f"got {share:g}, which holds out {wanted}"
        )
    return wanted


def split(data: Rows, n_held_out: int, seed: int) -> tuple[Rows, Bits]:
    """Rows to learn from, in their order, and rows held out: a keyed choice, so that sorted data are no trap.

    Only those held out are copied; of probabilities they are drawn, once.
    """
    order = _core.epoch_order(seed, SPLIT, len(data))
    return select(data, np.sort(order[n_held_out:])), drawn_by_content(data[order[:n_held_out]], seed)


def measure(state: State, train: Bits | Selection[Bits], held_out: Bits | None, n_threads: int = 1) -> dict[str, Any]:
    """Reconstruction cross-entropy and log p(x) of held-out rows, nats; without any, the former of training rows.

    Beside an estimate of log p(x) stands its mean effective sample size (eq. 11), and the share of rows where that is
    below 1.1.
    """
    rows = _some(train if held_out is None else held_out, state.seed)
    measured: dict[str, Any] = {
        "reconstruction_cross_entropy": likelihood.reconstruction_cross_entropy(state.parameters, rows)
    }
    if held_out is not None:
        values, size = likelihood.log_likelihood(
            state.parameters, state.methods, rows,
            method="auto", n_particles=PARTICLES, seed=state.seed, n_threads=n_threads,
        )  # fmt: skip
        with np.errstate(invalid="ignore"):  # of a machine that is about to diverge, log p(x) may be infinite
            measured["log_likelihood"] = float(values.mean())
            shared = likelihood.shared_variance(rows, size, PARTICLES)
            measured["standard_error"] = likelihood.standard_error(values, shared) if len(rows) > 1 else None
        measured["n_particles"] = None if size is None else PARTICLES
        measured["effective_sample_size"] = None if size is None else float(size.mean())
        measured["few_effective"] = None if size is None else float((size < FEWEST_EFFECTIVE).mean())
    return measured


def _some(rows: Bits | Selection[Bits], seed: int, most: int = MOST_ROWS) -> Bits:
    """At most so many of the rows: a keyed choice, so that sorted rows are no trap."""
    if isinstance(rows, Bits) and len(rows) <= most:
        return rows
    return rows[np.sort(_core.epoch_order(seed, SPLIT, len(rows), 0, min(len(rows), most)))]


def independent(train: Bits | Selection[Bits], held_out: Bits | None, seed: int) -> float:
    """Mean log p(x) of the rows that `measure` takes, under independent units with the means of `train`, nats."""
    rows = _some(train if held_out is None else held_out, seed)
    return float(likelihood.independent_log_likelihood(train, rows).mean())


def warn_of_few(history: list[dict[str, Any]]) -> None:
    """Warn, once, when for several epochs the effective sample size of all, or of many rows, has been next to one."""
    recent = history[-EPOCHS_BEFORE - 1 :]
    if _newly([_rests_on_one(entry) for entry in recent]):
        share = recent[-1]["few_effective"]
        what = f"for {EPOCHS_BEFORE} epochs held-out log p(x) of many rows, now {100 * share:.0f} %, rests"
        _warn_of_q(what, PARTICLES)


def _rests_on_one(entry: dict[str, Any]) -> bool:
    """Whether the estimate of an epoch does: on the mean over rows, or for too many of them."""
    size, share = entry.get("effective_sample_size"), entry.get("few_effective")
    return size is not None and share is not None and (size < FEWEST_EFFECTIVE or share >= MOST_ALONE[PARTICLES])


def warn_of_single(
    sizes: NDArray[np.float64], n_particles: int, what: str = "log p(x)", fault: str = TOO_LOW
) -> None:
    """Warn of importance sampling where it rests on a single one of many samples, for many rows."""
    share = float((sizes < FEWEST_EFFECTIVE).mean())
    limit = next((most for least, most in MOST_ALONE.items() if n_particles >= least), None)
    if limit is not None and share >= limit:
        _warn_of_q(f"{what} of {100 * share:.0f} % of the rows rests", n_particles, fault)


def _warn_of_q(what: str, n_particles: int, fault: str = TOO_LOW) -> None:
    few = f"one of {n_particles:,} samples (effective sample size below {FEWEST_EFFECTIVE:g})"
    warn(f"{what} on {few}: q is far from the posterior, and {fault}", SampleSizeWarning)


def warn_of_poor_fit(history: list[dict[str, Any]], baseline: Callable[[], float], n_features: int) -> None:
    """Warn, once, when for several epochs held-out rows have had far fewer nats than under independent units.

    Far fewer: less than twice their log p(x), and less than fair coins give.
    """
    recent = history[-EPOCHS_BEFORE - 1 :]
    if len(recent) < EPOCHS_BEFORE or "log_likelihood" not in recent[-1]:
        return
    least = _least(baseline(), n_features)
    if _newly([not entry.get("log_likelihood", 0.0) >= least for entry in recent]):
        what = f"for {EPOCHS_BEFORE} epochs held-out log p(x) has been"
        _tell_of_poor_fit(what, recent[-1]["log_likelihood"], baseline())


def warn_of_poor_fit_in_the_end(
    state: State, train: Bits | Selection[Bits], held_out: Bits | None, history: list[dict[str, Any]], n_threads: int,
    by_patience: bool = False,
) -> None:  # fmt: skip
    """Warn where held-out rows, or without any some that were learned, are not clearly better than independent units.

    After few steps, a gain that is clear but small is told, too; that rows which are all equal have none is not.
    `by_patience`: the training has been ended by it. (Not by reconstructions: through few units at the top, those of a
    machine that fits may be bad.)
    """
    if held_out is None:
        rows_are, n_particles = "rows that have been learned", UNMEASURED_PARTICLES
        rows = _some(train, state.seed, UNMEASURED_ROWS)
    else:
        rows_are, n_particles = "held-out rows", PARTICLES
        rows = _some(held_out, state.seed, MOST_ROWS)
    values, sizes = likelihood.log_likelihood(
        state.parameters, state.methods, rows, method="auto", n_particles=n_particles, seed=state.seed,
        n_threads=n_threads,
    )  # fmt: skip
    independent = likelihood.independent_log_likelihood(train, rows)
    with np.errstate(invalid="ignore"):
        value, baseline, better = float(values.mean()), float(independent.mean()), values - independent
        error = likelihood.standard_error(better, likelihood.shared_variance(rows, sizes, n_particles))
    n_steps = history[-1]["step"]
    least_gain = max(error, SMALL_GAIN * abs(baseline)) if n_steps < FEW_STEPS else error
    if not value >= _least(baseline, rows.n_features):
        if held_out is None:
            _tell_of_poor_fit(f"log p(x) of {rows_are} is", value, baseline)
    elif better.mean() <= least_gain and not (rows.words == rows.words[:1]).all():
        best = max(history, key=lambda entry: entry.get("log_likelihood", -np.inf))
        advice = "more of them, by a smaller batch_size or a larger n_iter, or another learning_rate may help"
        advice = f"after {n_steps:,} steps, {'a larger patience may help' if by_patience else advice}"
        how = "not clearly above" if better.mean() <= error else "hardly above"
        if better.mean() < -error and best.get("log_likelihood", -np.inf) > baseline + error:
            advice = f"it was, best after epoch {best['epoch']}, so that patience or a smaller n_iter may help"
        elif held_out is not None and better.mean() < -max(2 * error, SMALL_GAIN / 4 * abs(baseline)):
            how = "below"
            advice = "fewer epochs, weight_decay or more rows may help, unless the columns are independent"
        what = f"log p(x) of {rows_are} is {how} that of independent units"
        warn(f"{what}, {value:.5g} and {baseline:.5g} nats: {advice}", PoorFitWarning)


def _least(baseline: float, n_features: int) -> float:
    return min(2 * baseline, -1.1 * float(np.log(2)) * n_features)


def _tell_of_poor_fit(what: str, value: float, baseline: float) -> None:
    warn(
        f"{what} far below that of independent units, now {value:.5g} and {baseline:.5g} nats: learning_rate may be "
        "far too large, or batch_size too small",
        PoorFitWarning,
    )


def _newly(wrong: list[bool]) -> bool:
    """Whether something has been wrong for so many epochs, and not yet for one more."""
    return len(wrong) >= EPOCHS_BEFORE and all(wrong[-EPOCHS_BEFORE:]) and wrong != [True] * (EPOCHS_BEFORE + 1)


def heading(sizes: Sequence[int], n_rows: int, held_out: Bits | None) -> str:
    """What a training begins with: its sizes, and the header of the table."""
    of = n_rows if held_out is None else len(held_out)
    measured = f"{min(of, MOST_ROWS):,} of {of:,} held-out rows" if held_out is not None else f"{min(of, MOST_ROWS):,}"
    levels = "-".join(map(str, sizes))
    about = f"{n_rows:,} rows to learn from; {measured} measured after each epoch; levels {levels}"
    return f"{about}\n{HEADER if held_out is None else HELD_OUT_HEADER}"


def line(entry: dict[str, Any]) -> str:
    """One epoch of a history, under one of the headers."""
    text = f"{entry['epoch']:5d} {_three_digits(entry['seconds']):>8} {entry['rows_per_second']:11,.0f}"
    text += f" {entry['reconstruction_cross_entropy']:14.3f}"
    if "log_likelihood" in entry:
        k = "exact" if entry["n_particles"] is None else f"{entry['n_particles']:,}"
        error = "-" if entry["standard_error"] is None else f"{entry['standard_error']:.3f}"
        text += f" {entry['log_likelihood']:18.3f} {error:>10} {k:>6}"
    return text


def _three_digits(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 999.5 else f"{seconds:#.3g}".rstrip(".")
