"""The bar under what a training prints: how far the run is, and how long it still takes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FORMAT = "{desc} |{bar}| {percentage:3.0f} % [{elapsed}<{remaining}, {rate_fmt}]"


class Progress:
    """A bar by tqdm, on a terminal, with ``verbose=2``; nothing where one of the three is missing.

    Parameters
    ----------
    verbose : int, default=0
        2 or more for a bar.
    """

    def __init__(self, verbose: int = 0) -> None:
        self._wanted = verbose > 1
        self._bar: Any = None
        self._seen = 0

    @contextmanager
    def shown(self, epoch: int, n_epochs: int, n_rows: int, seen: int) -> Iterator[None]:
        """Show the bar of a run over `n_rows` rows, after `seen` rows of earlier ones; wipe it off at the end."""
        self._seen = seen
        self._bar = _bar(n_rows, _place(epoch, n_epochs)) if self._wanted and n_rows > 0 else None
        try:
            yield
        finally:
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def follow(self, epoch: int, n_epochs: int, seen: int) -> None:
        """Move the bar to where `seen` rows are done, those of earlier runs included."""
        if self._bar is not None:
            self._bar.set_description_str(_place(epoch, n_epochs), refresh=False)
            self._bar.update(seen - self._seen)
            self._seen = seen

    @contextmanager
    def above(self) -> Iterator[None]:
        """Whatever is printed meanwhile, by anyone, stands above the bar."""
        if self._bar is not None:
            self._bar.clear()
            sys.stdout.flush()
        yield
        if self._bar is not None:
            self._bar.refresh()


def _place(epoch: int, n_epochs: int) -> str:
    return f"epoch {epoch} of {n_epochs}"


def _bar(n_rows: int, place: str) -> Any:
    """A bar on standard output, or None where that is no terminal, or where there is no tqdm."""
    if not getattr(sys.stdout, "isatty", bool)():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    kind: Any = type("Bar", (tqdm,), {"monitor_interval": 0})  # without a thread that watches it,
    kind.set_lock(threading.RLock())  # nor a lock that other processes share
    return kind(
        desc=place, total=n_rows, file=sys.stdout, leave=False, dynamic_ncols=True, smoothing=0, miniters=1,
        unit=" rows", unit_scale=True, bar_format=FORMAT,
    )  # fmt: skip
