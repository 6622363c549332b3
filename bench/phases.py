"""`python -m bench.phases`: where an epoch's time goes, and what share of the processor's own limit the sums reach."""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.cases import SEED, Work
from bench.report import machine, table, write_section
from wakesleep import _core, _panels
from wakesleep.optimizers import SGD
from wakesleep.rules import RULES, Rule
from wakesleep.state import start

WORKS = {
    "784-200": Work((784, 200), 60_000),
    "784-200-200-200": Work((784, 200, 200, 200), 20_000),
    "10,000-500, 2 % ones": Work((10_000, 500), 2000, density=0.02),
    "784-200-200-200, reweighted, K = 10": Work((784, 200, 200, 200), 10_000, rule="reweighted", n_particles=10),
}
LANES = {"baseline": 4, "avx2": 8, "avx512": 16}
SUMS = ("logits to draw", "logits to learn", "gradient")  # the stages that add rows
BLOCK, GROUP = 16, 4  # columns that are computed together; rows to a table
BUILDING = 11  # additions that make the sixteen sums of a table


def limits():
    """(what, lanes) → billions a second by one thread; nothing where there is no C compiler."""
    cc = shutil.which("cc")
    if cc is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program, source = Path(folder, "limits"), Path(__file__).with_name("limits.c")
        subprocess.run([cc, "-O3", "-march=native", source, "-o", program], check=True)
        lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    return {(what, int(lanes)): float(figure) for what, lanes, figure in map(str.split, lines)}


def measure(work, n_threads, n_rounds):
    """Of the median epoch: seconds, and those of each stage of each layer, summed over the threads."""
    rows = work.rows()
    state = start(rows, work.sizes[1:], SEED)
    n_batches = -(-work.n_rows // work.batch_size)
    rule = Rule(work.rule, work.n_particles, RULES[work.rule].sleep_weight)
    epochs = []
    for _ in range(n_rounds + 1):
        clock = np.zeros((n_threads, 2 * len(work.sizes), len(_core.STAGES)))
        began = time.perf_counter()
        _core.train(
            state.parameters.flat, state.moments, work.sizes, state.methods, rows.words, state.position,
            state.n_updates, SEED, work.batch_size, np.full((n_batches, 2), 0.01), rule, SGD, n_threads, clock,
        )  # fmt: skip
        epochs.append((time.perf_counter() - began, clock.sum(0)))
    return *sorted(epochs[1:], key=lambda epoch: epoch[0])[n_rounds // 2], state.methods, rows.density


def layers(sizes):
    """(name, source level, target level) in the order of the clock; the prior has no source."""
    top = len(sizes) - 1
    yield from ((f"p: {level + 1} to {level}", level + 1, level) for level in range(top))
    yield "prior", None, top
    yield from ((f"q: {level} to {level + 1}", level, level + 1) for level in range(top))


def additions(work, source, target, method, density, stage):
    """Additions of vectors that an epoch's sums of one layer take, counted by the lane.

    A walk adds the rows that are on. Tables add a row for every four, and the sums in them have to be made.
    """
    n_source, columns, total = work.sizes[source], -(-work.sizes[target] // BLOCK) * BLOCK, 0
    for states in batches(work, source, target, stage):
        n_out, n_rows = (n_source, states) if stage == "gradient" else (states, n_source)
        groups = -(-n_rows // GROUP)
        total += density * n_out * n_rows if method == _core.WALK else n_out * groups + BUILDING * groups
    return work.n_rows / work.batch_size * total * columns


def batches(work, source, target, stage):
    """How many states a minibatch of dreams has, and one of particles, where a stage of a layer sums over them.

    The particles of an example have one visible level, so that there the examples are enough.
    """
    dreams, particles = work.batch_size, work.batch_size * work.n_particles
    if source > target:
        return [dreams] if stage == "logits to draw" else [particles]
    awake = particles if source else work.batch_size
    if stage == "logits to draw":
        return [awake]
    return [dreams, awake] if stage == "gradient" and work.rule != "wake-sleep" else [dreams]


def lines_of(work, n_threads, n_rounds, limit):
    """A line for each layer, and one for what belongs to none; and the title over them."""
    seconds, clock, methods, density = measure(work, n_threads, n_rounds)
    lines = []
    for number, (name, source, target) in enumerate(layers(work.sizes)):
        cells = []
        for stage, taken in zip(_core.STAGES, clock[number], strict=True):
            share = f"{100 * taken / clock.sum():.1f} %"
            if stage in SUMS and source is not None and limit:
                done = additions(work, source, target, methods[source], density, stage) / taken / limit / 1e9
                share += f" ({100 * done:.0f} %)"
            cells.append(share if taken > 5e-4 * clock.sum() else "-")
        lines.append([name, *cells])
    gather, wait = 100 * clock[-1, :2] / clock.sum()
    title = f"one epoch {1000 * seconds:.0f} ms, {n_threads} thread{'s' if n_threads > 1 else ''}"
    return f"{title}; gathering rows {gather:.1f} %, waiting for each other {wait:.1f} %:", lines


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.phases", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="epochs, of which the median is shown (7)")
    options = parser.parse_args()
    found, lanes = limits(), LANES[_panels.cpu_level()]
    limit = found.get(("adds", lanes), 0) * lanes
    figures = [f"{what} of {n} lanes, {figure:.2f} billion a second" for (what, n), figure in found.items()]
    text = [
        machine(),
        "The limit of one thread, measured in this run: " + "; ".join(figures or ["not known, without a C compiler"])
        + ". (Additions take one operand from the nearest cache.)",
        "Share of all threads' time, the reading of the clock included; in brackets, the additions of vectors that "
        "the sums take, as a share of the limit.",
    ]  # fmt: skip
    for name, work in WORKS.items():
        for n_threads in (1, 2):
            title, lines = lines_of(work, n_threads, options.rounds, limit)
            text += [f"**{name}**, batch {work.batch_size}, {title}", table(["layer", *_core.STAGES], lines)]
    print("\n\n".join(text))
    write_section("bench.phases", "\n\n".join(text))


if __name__ == "__main__":
    main()
