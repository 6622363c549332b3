"""The twin as one module, and mutants of it: copies of its source in which a text is replaced."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

from wakesleep import _reference, _reference_annealing, _reference_learning, _reference_measures

PARTS = _reference, _reference_learning, _reference_measures, _reference_annealing  # each imports from those before it
SOURCES = {part.__name__: Path(str(part.__file__)).read_text(encoding="utf-8") for part in PARTS}


def joined(parts: list[ModuleType]) -> ModuleType:
    """One module that has what all the parts have."""
    module = ModuleType("twin")
    for part in parts:
        vars(module).update(vars(part))
    return module


def mutant(text: str, replacement: str) -> ModuleType:
    """The twin with every occurrence of a text replaced."""
    assert any(text in source for source in SOURCES.values()), f"the twin no longer contains {text!r}"
    parts = []
    with mock.patch.dict(sys.modules):
        for name, source in SOURCES.items():
            part = sys.modules[name] = ModuleType(name)
            parts.append(part)
            exec(compile(source.replace(text, replacement), name, "exec"), vars(part))
    return joined(parts)


twin = joined(list(PARTS))
