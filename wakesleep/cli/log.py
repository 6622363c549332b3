"""The log of a training: a line of JSON per epoch, over all the runs that it took."""

from __future__ import annotations

import json
import os
from io import RawIOBase
from pathlib import Path
from typing import Any


def open_log(path: str, history: list[dict[str, Any]] | None) -> RawIOBase:
    """A file of JSON lines, to append to; with a history, so that the last lines of this training are its entries.

    Nothing that stands in it is lost, save half a line at the end and, when training goes on, the lines that come after
    the last one of this history: of epochs that were done, but not saved.

    Raises
    ------
    ValueError
        As `read_log`.
    """
    lines, entries = read_log(path)
    logged = 0
    if history:
        known = {_identity(json.loads(line(entry))): entry["epoch"] for entry in history}
        mine = [i for i, entry in enumerate(entries) if _identity(entry) in known]
        if mine:
            logged, beyond = known[_identity(entries[mine[-1]])], entries[mine[-1] + 1 :]
            if all(isinstance(e.get("epoch"), int) and e["epoch"] > history[-1]["epoch"] for e in beyond):
                del lines[mine[-1] + 1 :]
    missing = [line(e) for e in history or () if e["epoch"] > logged and "log_likelihood" in e]
    log = open(path, "ab", buffering=0)  # noqa: SIM115 (the caller closes it; every line is written at once)
    kept = sum(map(len, lines))
    log.truncate(min(kept, os.path.getsize(path)))
    log.write(b"\n" * (kept - os.path.getsize(path)) + b"".join(missing))
    return log


def read_log(path: str) -> tuple[list[bytes], list[Any]]:
    """The lines of a log, without half a line at its end, and the records that they hold.

    Raises
    ------
    ValueError
        If the file holds anything but lines of JSON objects.
    """
    lines = Path(path).read_bytes().splitlines(keepends=True) if os.path.exists(path) else []
    if lines and not lines[-1].endswith(b"\n") and lines[-1].startswith(b"{"):
        torn = lines.pop()
        lines += [] if _entry(torn) is None else [torn + b"\n"]
    entries = [_entry(line) for line in lines]
    if None in entries:
        raise ValueError(f"--log: want a new file, or one of JSON lines to append to, got {path}")
    return lines, entries


def line(entry: dict[str, Any]) -> bytes:
    """A record as a line of JSON, which has null for what is not finite."""
    return json.dumps(json.loads(json.dumps(entry), parse_constant=lambda _: None)).encode() + b"\n"


def _entry(line: bytes) -> Any:
    """The record that a line holds, or None if it holds none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _identity(entry: dict[str, Any]) -> tuple[Any, ...]:
    """What no two trainings have in common: how long it took, to the last digit."""
    return tuple(entry.get(name) for name in ("epoch", "step", "seconds"))
