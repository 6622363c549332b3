"""Run tests/trainings.py with every Python and NumPy below, and see that all parameters have one SHA-256.

python tests/determinism.py            (minutes; needs pip's packages, a C compiler, and Pythons on PATH or from pyenv)

Each Python builds a wheel from this checkout, and installs it beside each NumPy. Pythons that are not here are skipped,
and named. The exit status is 1 where two hashes differ, or where fewer than two environments could be compared.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from checkout import OURS, copy_to

PYTHONS = "3.11", "3.12", "3.13"
NUMPYS = "2.1.*", "2.4.*"  # the first and the last minor version that has wheels for all of these


def run(*command: str | Path) -> str:
    """The output of a command; one that fails ends the program, after what it had to say."""
    done = subprocess.run(command, env=OURS, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout, f"{' '.join(map(str, command))}: exit status {done.returncode}", sep="\n", file=sys.stderr)
        raise SystemExit(1)
    return done.stdout.strip()


def interpreter(version: str) -> Path | None:
    """A Python of this version that runs: of pyenv, whose shims may not, or on PATH."""
    installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    on_path = shutil.which(f"python{version}")
    for candidate in [*installed[::-1], *([Path(on_path)] if on_path else [])]:
        if not subprocess.run([candidate, "-c", ""], capture_output=True).returncode:
            return candidate
    return None


def environment(base: Path, folder: Path) -> Path:
    """The Python of a fresh environment."""
    run(base, "-m", "venv", folder)
    return folder / "bin" / "python"


def main() -> int:
    hashes = []
    with tempfile.TemporaryDirectory() as temporary:
        for version in PYTHONS:
            base, folder = interpreter(version), Path(temporary, version)
            if base is None:
                print(f"Python {version}: not here, skipped", flush=True)
                continue
            source = copy_to(folder / "source")
            for numpy in NUMPYS:
                python = environment(base, folder / numpy)
                if numpy is NUMPYS[0]:
                    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source)
                run(python, "-m", "pip", "install", "-q", f"numpy=={numpy}", *folder.glob("*.whl"))
                what = "import platform, numpy; print(f'Python {platform.python_version()}  NumPy {numpy.__version__}')"
                found = run(python, "-P", source / "tests" / "trainings.py")
                print(run(python, "-c", what), "", found, flush=True)
                hashes.append(found.split()[-1])
    print(*sorted(set(hashes)))
    return int(len(hashes) < 2 or len(set(hashes)) != 1)


if __name__ == "__main__":
    sys.exit(main())
