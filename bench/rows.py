"""The rows of the table that `python -m bench.peers` prints: what is compared, and what is wanted."""

from dataclasses import dataclass

import numpy as np

from bench.cases import Work
from bench.contenders import Contender
from bench.contests import alternate
from bench.implementations import IMPLEMENTATIONS

PUBLISHED = 222.0  # seconds for two million online steps of 16-8-1, by a public program in NumPy
FRAMEWORKS = ("NumPy", "PyTorch", "JAX")
DECADE = (1, 1.8, 3.2, 5.6, 10)

EPOCH = Work((784, 200), 60_000, case="part_of_mnist")
TINY = Work((16, 4), 200_000, batch_size=64, density=None, case="tiny")
WIDE = Work((10_000, 500), 2000, density=0.02, case="wide")
DEEP = Work((784, 200, 200, 200), 20_000, case="deep")
REWEIGHTED = Work((784, 200, 200, 200), 10_000, case="reweighted", rule="reweighted", n_particles=10)
IMPORTANCE = Work((784, 200, 200, 200), 100, case="importance", n_particles=1000)
ADAM = Work((784, 200), 60_000, optimizer="adam")
ONLINE = Work((16, 8, 1), 2_000_000, batch_size=1, density=None)
FEW_ROWS = Work((784, 200), 100, case="part_of_mnist")

CORE, ONE_THREAD, AVX2 = Contender("core"), Contender("core", 1, 1), Contender("core", avx2=True)
BF16X2 = Contender("core (bf16x2)")


@dataclass
class Row:
    """A line of the table. Where nothing is measured, `verdict` says why."""

    work: str
    core: str = "-"
    peer: str = "-"
    ratio: str = "-"
    must: str = "-"
    goal: str = "-"
    verdict: str = "-"


def seconds(value):
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def verdict(reached, must, goal):
    """In plain words. More is better; a goal of None is none."""
    if reached < must:
        return "below must"
    return "goal met" if goal is not None and reached >= goal else "must met"


def lacking():
    """The frameworks that are not here."""
    return [name for name in FRAMEWORKS if IMPLEMENTATIONS[name].missing()]


def comparison(work, measured, core, must, goal=None):
    """The core against the fastest of the peers that were measured with it; without all of them, no verdict."""
    absent = lacking()
    rivals = [contender for contender in measured.seconds if not contender.name.startswith("core")]
    rival = min(rivals, key=measured.median)
    ratio = measured.median(rival) / measured.median(core)
    return Row(
        work, seconds(measured.median(core)), f"{rival}: {seconds(measured.median(rival))}", f"{ratio:.2f}x",
        f">= {must:g}x", f"{goal:g}x" if goal else "-",
        f"no verdict: {', '.join(absent)} not installed" if absent else verdict(ratio, must, goal),
    )  # fmt: skip


def peers(n_cpus, avx2=False):
    """All ways of running the frameworks that are here on so many processors."""
    ways = [way for way in IMPLEMENTATIONS if way.split(" (")[0] in FRAMEWORKS and not IMPLEMENTATIONS[way].missing()]
    return [Contender(way, n, n_cpus, avx2) for way in ways for n in range(1, n_cpus + 1)]


def contest(work, contenders, n_rounds):
    return alternate({contender: (contender, work) for contender in contenders}, n_rounds)


# ---- sections: lines that are measured together, and what was measured ----


def epoch(n_rounds):
    lacks = IMPLEMENTATIONS[BF16X2.name].missing()
    cores = [CORE, AVX2, ONE_THREAD, *([] if lacks else [BF16X2])]
    measured = contest(EPOCH, [*cores, *peers(2)], n_rounds)
    scaling = measured.median(ONE_THREAD) / measured.median(CORE)
    work = "wake-sleep epoch, 60,000 x 784, H 200, batch 100, 13 % ones, 2 threads"
    return [
        comparison(work, measured, CORE, 4, 5.5),
        Row("the same with bf16x2", must=">= 5x", goal="8x", verdict=f"not available here: no {lacks}")
        if lacks
        else comparison("the same with bf16x2", measured, BF16X2, 5, 8),
        comparison("the same, the core held to AVX2 and the peers free", measured, AVX2, 2.8, 4),
        Row(
            "2 threads against 1, 784-200", seconds(measured.median(CORE)),
            f"{ONE_THREAD}: {seconds(measured.median(ONE_THREAD))}", f"{scaling:.2f}x",
            ">= 1.7x", "1.9x", verdict(scaling, 1.7, 1.9),
        ),
    ], {"epoch 784-200": measured}  # fmt: skip


def one_thread(n_rounds):
    measured = contest(EPOCH, [ONE_THREAD, *peers(1)], n_rounds)
    work = "the same, one thread against one thread"
    return [comparison(work, measured, ONE_THREAD, 3.3, 4.5)], {"epoch 784-200, 1 thread": measured}


def avx2(n_rounds):
    measured = contest(EPOCH, [AVX2, *peers(2, avx2=True)], n_rounds)
    work = "the same, everybody held to AVX2, 2 threads"
    return [comparison(work, measured, AVX2, 2.8, 4)], {"epoch 784-200, AVX2": measured}


def tiny(n_rounds):
    plain = [] if IMPLEMENTATIONS["C++"].missing() else [Contender("C++", 1)]
    measured = contest(TINY, [CORE, *peers(2), *plain], n_rounds)
    return [comparison("tiny 16-4, batch 64, 200,000 rows", measured, CORE, 5, 7)], {"tiny 16-4": measured}


def wide(n_rounds):
    measured = contest(WIDE, [CORE, *peers(2)], n_rounds)
    work = "wide 10,000 visible, H 500, 2 % ones, batch 100, 2,000 rows"
    return [comparison(work, measured, CORE, 3, 5)], {"wide 10,000-500": measured}


def deep(n_rounds):
    measured = contest(DEEP, [CORE, *peers(2)], n_rounds)
    work = "deep 784-200-200-200, batch 100, 20,000 rows"
    return [comparison(work, measured, CORE, 3.5, 5)], {"deep 784-200-200-200": measured}


def reweighted(n_rounds):
    lacks = IMPLEMENTATIONS["PyTorch, reweighted"].missing()
    work = "reweighted wake-sleep 784-200-200-200, K=10, batch 100, 10,000 rows"
    if lacks:
        return [Row(work, must=">= 3.3x", goal="5x", verdict=f"not available here: no {lacks}")], {}
    ways = [Contender(way, n) for way, each in IMPLEMENTATIONS.items() if each.rule == "reweighted" for n in (1, 2)]
    measured = contest(REWEIGHTED, [CORE, *ways], n_rounds)
    return [comparison(work, measured, CORE, 3.3, 5)], {"reweighted 784-200-200-200": measured}


def importance(n_rounds):
    lacks = IMPLEMENTATIONS["PyTorch, importance"].missing()
    work = "importance-sampled log p(x), 784-200-200-200, K=1,000, 100 rows"
    if lacks:
        return [Row(work, must=">= 4x", verdict=f"not available here: no {lacks}")], {}
    core, ways = Contender("core, importance"), ("PyTorch, importance", "PyTorch, importance (MKL)")
    measured = contest(IMPORTANCE, [core, *(Contender(way, n) for way in ways for n in (1, 2))], n_rounds)
    return [comparison(work, measured, core, 4)], {"importance 784-200-200-200": measured}


def adam(n_rounds):
    rows, details = [], {}
    for n_threads in (2, 1):
        core = Contender("core", n_threads, n_threads)
        measured = alternate({"adam": (core, ADAM), "sgd": (core, EPOCH)}, n_rounds)
        took, plain = measured.median("adam"), measured.median("sgd")
        rows.append(
            Row(
                f"Adam against SGD, 784-200, batch 100, {n_threads} thread(s)", seconds(took), f"SGD: {seconds(plain)}",
                f"+{took / plain - 1:.0%}", "<= +50 %", verdict=verdict(-took / plain, -1.5, None),
            )
        )  # fmt: skip
        details[f"optimizers, {n_threads} thread(s)"] = measured
    return rows, details


def online(n_rounds):
    measured = alternate({CORE: (CORE, ONLINE)}, n_rounds)
    took = measured.median(CORE)
    row = Row(
        "online (batch 1) 16-8-1, 2,000,000 wake and sleep steps", seconds(took), f"published NumPy: {PUBLISHED:g} s",
        f"{PUBLISHED / took:,.0f}x", "<= 1 s", "<= 0.6 s", verdict(-took, -1.0, -0.6),
    )  # fmt: skip
    return [row], {"online 16-8-1": measured}


def pure_python(n_rounds):
    python = Contender("pure Python", 1)
    entries = {CORE: (CORE, EPOCH), ONE_THREAD: (ONE_THREAD, EPOCH), python: (python, FEW_ROWS)}
    measured = alternate(entries, min(n_rounds, 3), few_rows=True)
    per_row = measured.median(python) / FEW_ROWS.n_rows
    rows = []
    for core, must in ((CORE, 10_000), (ONE_THREAD, None)):
        ratio = per_row / (measured.median(core) / EPOCH.n_rows)
        rows.append(
            Row(
                f"against the pure-Python reference, 784-200, {core.n_threads} thread(s), per row",
                seconds(measured.median(core) / EPOCH.n_rows), f"{python}: {seconds(per_row)}", f"{ratio:,.0f}x",
                f">= {must:,}x" if must else "-", "-", verdict(ratio, must, None) if must else "-",
            )
        )  # fmt: skip
    return rows, {"pure Python (100 rows; the core 60,000)": measured}


def growth(n_rounds):
    rows, details = [], {}
    for name, first, work_of in (
        ("rows of 784-200", 24_000, lambda n: Work((784, 200), n)),
        ("visible units of D-200, 20,000 rows", 400, lambda n: Work((n, 200), 20_000)),
        ("hidden units of 784-H, 60,000 rows", 40, lambda n: Work((784, n), 60_000)),
    ):
        sizes = [round(first * factor) for factor in DECADE]
        measured = alternate({f"{n:,}": (CORE, work_of(n)) for n in sizes}, n_rounds)
        took = [measured.median(key) for key in measured.seconds]
        residual, slope = straight_line(sizes, took)
        rows.append(
            Row(
                f"growth: {sizes[0]:,} to {sizes[-1]:,} {name}", f"{seconds(took[0])} to {seconds(took[-1])}",
                ratio=f"within {100 * residual:.1f} % of a line, slope {slope:.2f}",
                must="a + b·x within 10 %, log-log slope <= 1.1",
                verdict="must met" if residual <= 0.10 and slope <= 1.1 else "below must",
            )
        )  # fmt: skip
        details[name] = measured
    return rows, details


def straight_line(x, y):
    """The largest relative residual of y about a + b·x, fitted to be small, and the slope of log y over log x."""
    x, y = np.array(x), np.array(y)
    terms = np.stack([1 / y, x / y], axis=1)  # of the relative residuals
    line, *_ = np.linalg.lstsq(terms, np.ones_like(y), rcond=None)
    return np.abs(terms @ line - 1).max(), np.polyfit(np.log(x), np.log(y), 1)[0]


SECTIONS = {
    "epoch": epoch,
    "one-thread": one_thread,
    "avx2": avx2,
    "tiny": tiny,
    "online": online,
    "wide": wide,
    "deep": deep,
    "reweighted": reweighted,
    "importance": importance,
    "adam": adam,
    "pure-python": pure_python,
    "growth": growth,
}
