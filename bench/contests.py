"""Contests: everybody is checked to learn the same, then timed by turns."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from bench.contenders import Worker

N_TRIALS = 3  # epochs, to find out which way of doing it is the fastest; the first one compiles, and fills caches
REST = 0.2  # seconds before each turn, until the threads of the one before no longer spin


class LearningError(AssertionError):
    """A contender does not learn what the core learns."""


@dataclass
class Measured:
    """By turns: the seconds that epochs took, and the nats that each gained before, if that was to be checked."""

    seconds: dict
    nats: dict

    def median(self, key):
        return median(self.seconds[key])


def fastest(ways, work):
    """The contender that takes the least time, each tried by itself."""
    best = {}
    for way in ways:
        with Worker(way, work) as worker:
            best[way] = min(worker.epoch() for _ in range(N_TRIALS))
    return min(best, key=best.get)


def check(workers, few_rows):
    """Nats gained by each, after making sure that each gains as many as the first, which is the core.

    Without the data for it, which not everybody has, nothing.
    """
    nats = {}
    for key, worker in workers.items():
        answer = worker.gain(few_rows)
        if answer is None:
            return {}
        nats[key], tolerance = answer
        wanted = next(iter(nats.values()))
        if not abs(nats[key] - wanted) <= tolerance:
            raise LearningError(f"{key} gains {nats[key]:.2f} nats, the core {wanted:.2f} +- {tolerance:g}")
    return nats


def alternate(entries, n_rounds, few_rows=False):
    """Time them by turns.  entries : key → (contender, work), the core first."""
    with ExitStack() as stack:
        workers = {key: stack.enter_context(Worker(*entry)) for key, entry in entries.items()}
        nats = check(workers, few_rows) if all(work.case for _, work in entries.values()) else {}
        seconds = {key: [] for key in entries}
        for worker in workers.values():
            worker.epoch()  # compiles, and fills caches
        for _ in range(n_rounds):
            for key, worker in workers.items():
                time.sleep(REST)
                seconds[key].append(worker.epoch())
    return Measured(seconds, nats)


def contest(work, cores, groups, n_rounds):
    """Time the cores, and of each group of ways to do the same the fastest."""
    chosen = [*cores, *(ways[0] if len(ways) == 1 else fastest(ways, work) for ways in groups)]
    return alternate({contender: (contender, work) for contender in chosen}, n_rounds)
