"""The version of the package that is installed, and of one that has pickled something."""

from __future__ import annotations

from functools import cache

from wakesleep.notices import warn


class InconsistentVersionWarning(UserWarning):
    """A machine was pickled by another version of the package; what it does may differ. `save` is for keeping it."""


@cache
def package_version() -> str:
    """The version of what is installed."""
    from importlib.metadata import version  # here, because it takes a tenth of the time that NumPy takes to import

    return version("wakesleep")


def warn_of_other(pickled_by: str, what: str) -> None:
    """Warn if this is another version than the one that has pickled something."""
    if pickled_by != package_version():
        warn(
            f"{what}: want what version {package_version()} has pickled, got that of {pickled_by}; it may behave "
            "differently, or not at all. For keeping a machine there are save and load",
            InconsistentVersionWarning,
        )
