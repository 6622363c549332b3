"""Imports go down, never up or round: a module knows its own room and the floors below it."""

import ast
import re
from pathlib import Path

import pytest

import wakesleep

# Lowest floor first; rooms of a floor know nothing of each other; a folder is one room, and so are modules joined by +.
FLOORS = [
    "elementary notices atomic",
    "parameters rules optimizers schedules processors checkpoint drawing progress tables html version",
    "_panels+_order+_layers+_border+_verbs+_credits+_updates+_phases+_learning+_core",
    "_reference+_reference_learning+_reference_measures+_reference_annealing"
    " _likelihood+_enumeration+_imputation+_annealing+_chains+_interrupts",
    "bits+_packing+_bits_file+probabilities+rows",
    "state hyperparameters",
    "datasets likelihood training figures",
    "estimator monitor configuration",
    "learner",
    "imputer+measures",
    "machine",
    "plotting",
    "__init__",
    "cli+__main__ sklearn",
]
PLACE = {
    module: (number, room)
    for number, floor in enumerate(FLOORS)
    for room in floor.split()
    for module in room.split("+")
}
CYTHON_IMPORT = re.compile(
    r"^\s*(?:from\s+(wakesleep[\w.]*)\s+c?import\s+\(?([\w, ]*)|c?import\s+(wakesleep[\w.]*))", re.M
)


def imports(path):
    """(dotted module, name imported from it) of every import, those within functions too."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        for source, names, module in CYTHON_IMPORT.findall(text):
            listed = [name.split()[0] for name in names.split(",") if name.strip()]
            yield from ((source or module, name) for name in listed or [""])
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def trespasses(folder):
    """Every import that does not go down, and every module that is on no floor."""
    for path in sorted(path for pattern in ("*.py", "*.pyx", "*.pxd") for path in folder.rglob(pattern)):
        module = path.relative_to(folder).with_suffix("").parts[0]
        if module not in PLACE:
            yield f"{module} has no place in FLOORS"
            continue
        floor, room = PLACE[module]
        for source, name in imports(path):
            package, *inner = source.split(".")
            if package in ("", "wakesleep"):
                target = inner[0] if inner else name if name in PLACE else "__init__"
                below, other = PLACE.get(target, (len(FLOORS), ""))
                if package == "" or not (below < floor or other == room):
                    yield f"{module} imports {source} {name}".strip()


def test_imports_go_down():
    assert list(trespasses(Path(wakesleep.__file__).parent)) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("rules.py", "from wakesleep.optimizers import sgd"),  # round, on the ground
        ("datasets/toys.py", "def f():\n    from wakesleep import likelihood"),  # round, late, from a folder
        ("bits.py", "import wakesleep.machine as m"),  # up
        ("machine.py", "import wakesleep"),
        ("_core.pyx", "from wakesleep._likelihood cimport (\n    f,\n)"),
        ("_panels.pxd", "from wakesleep cimport bits"),
        ("_likelihood.pyx", "cimport wakesleep.bits"),
        ("bits.py", "from . import parameters"),  # not readable as a floor
        ("novelty.py", ""),
    ],
)
def test_other_imports_are_seen(tmp_path, file, text):
    (tmp_path / "datasets").mkdir()
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert len(list(trespasses(tmp_path))) >= 1


def test_the_machine_may_import_all_below(tmp_path):
    modules = [module for module, (floor, _) in PLACE.items() if floor < PLACE["machine"][0]]
    (tmp_path / "machine.py").write_text(f"from wakesleep import {', '.join(modules)}", encoding="utf-8")
    assert list(trespasses(tmp_path)) == []
