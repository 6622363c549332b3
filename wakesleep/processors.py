"""How many processors there are to use: those of the affinity mask, or fewer by a container's quota, or by joblib."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def count() -> int:
    """Processors that this process may run on; with a quota of their time, as many as it comes to, rounded up.

    In a worker of joblib's: as many as are its share.
    """
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([n, *_share(), *(max(1, -(-quota // period)) for quota, period in _quotas())])


def _share() -> Iterator[int]:
    """The processors that joblib has left to this process, if that is one of its workers."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and type(multiprocessing.current_process()).__name__ == "LokyProcess":
        share = os.environ.get("OMP_NUM_THREADS", "")  # where it says so to all that have threads
        if share.isdecimal() and int(share) > 0:
            yield int(share)


def _quotas() -> Iterator[tuple[int, int]]:
    """(quota, period), microseconds, of every control group that this process is in, from the innermost out."""
    for line in _text(OWN_CGROUPS).splitlines():
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "none", "")
        if controllers == "":  # version 2
            root, names = CGROUPS, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            root, names = CGROUPS / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        group = root / path.lstrip("/")
        while group.is_relative_to(root):
            words = " ".join(_text(group / name) for name in names).split()
            if len(words) == 2 and all(word.isdecimal() and int(word) > 0 for word in words):  # not "max", not −1
                yield int(words[0]), int(words[1])
            group = group.parent


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):  # there are no control groups here, or they are not ours to read
        return ""
