"""Contests: everybody is checked to learn the same, then timed by turns."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from bench.contenders import Worker

REST = 0.2  # seconds before each turn, until the threads of the one before no longer spin


class LearningError(AssertionError):
    """A contender does not learn what the core learns."""


@dataclass
class Measured:
    """The seconds that epochs took, by turns, and the nats that each gained before (or measured), if checked."""

    seconds: dict
    nats: dict

    def median(self, key):
        return median(self.seconds[key])


def check(workers, few_rows):
    """Nats gained by each implementation, after making sure that each gains as many as the first, which is the core.

    Without the data for it, which not everybody has, nothing.
    """
    nats = {}
    for worker in workers:
        name = worker.contender.name
        if name in nats:
            continue
        answer = worker.gain(few_rows)
        if answer is None:
            return {}
        nats[name], tolerance = answer
        wanted = nats[workers[0].contender.name]
        if not abs(nats[name] - wanted) <= tolerance:
            raise LearningError(f"{name} gains {nats[name]:.2f} nats, the core {wanted:.2f} +- {tolerance:g}")
    return nats


def alternate(entries, n_rounds, few_rows=False):
    """Time them by turns.  entries : key → (contender, work), the core first."""
    with ExitStack() as stack:
        workers = {key: stack.enter_context(Worker(*entry)) for key, entry in entries.items()}
        nats = check(list(workers.values()), few_rows) if all(work.case for _, work in entries.values()) else {}
        seconds = {key: [] for key in entries}
        for worker in workers.values():
            worker.epoch()  # compiles, and fills caches
        for _ in range(n_rounds):
            for key, worker in workers.items():
                time.sleep(REST)
                seconds[key].append(worker.epoch())
    return Measured(seconds, nats)
