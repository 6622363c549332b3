"""Build a copy of the package with a sanitizer, run the tests under it, and see that it catches planted bugs.

python tests/sanitize.py asan              all tests but those of memory, for AddressSanitizer and UBSan
python tests/sanitize.py tsan              the tests of threads under ThreadSanitizer
python tests/sanitize.py asan|tsan quick   tests nearest to the memory, or the threads; a bug for each kind of report

Needs gcc with its sanitizers, and the package's development environment; the commands are run with this Python. The
exit status is 1 where a test fails, a sanitizer reports anything, or a planted bug is not reported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

from checkout import BUILD, OURS, copy_to, replace

CC = os.environ.get("CC", "gcc")
SETUP = [  # built sooner, with names and line numbers in the reports
    ('"-O3"', '"-O1"'),
    ('"-g0"', '"-g"'),
    ('"-Wl,--strip-all"', '"-g"'),
]
EXACT = [  # memory that ends where its last array ends, so that not even one number beyond it goes unnoticed
    ("from libc.stdlib cimport calloc,", "from posix.stdlib cimport posix_memalign\nfrom libc.stdlib cimport"),
    ("*block = calloc(n_bytes + 64, 1)\n        if block == NULL:",
     "*block = NULL\n        if posix_memalign(&block, 64, n_bytes):"),
    ("return <void *>((<size_t>block + 63) // 64 * 64)", "return memset(block, 0, n_bytes)"),
]  # fmt: skip
TEXT = {"check": True, "capture_output": True, "text": True}
DRIVER = "#include <Python.h>\nint main(int argc, char **argv) { return Py_BytesMain(argc, argv); }\n"


class Sanitizer(NamedTuple):
    """What to build, to run, and to plant: (what is wrong, file, text, its replacement, what the report has to say)."""

    flags: str
    tests: list[str]
    quick: list[str]
    planted: list[tuple[str, str, str, str, str]]


PANELS, TEAM = "_panels.pyx", "_kernels/team.h"
SANITIZERS = {
    "asan": Sanitizer(
        "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer",
        ["tests", *(f"--ignore=tests/test_{name}.py" for name in ("memory", "sparse_memory"))],  # nothing is given back
        [f"tests/test_{name}.py" for name in ("core", "steps", "border", "threads", "likelihood")],
        [
            ("panels one number short", PANELS, "cdef void *block = NULL\n",
             "n_bytes -= 4 * (n_bytes > 4)\n        cdef void *block = NULL\n", "AddressSanitizer"),
            ("panels that begin one number too late", PANELS, "return memset(block, 0, n_bytes)",
             "return <char *>memset(block, 0, n_bytes) + 4", "misaligned address"),
        ],
    ),
    "tsan": Sanitizer(
        "-fsanitize=thread",
        ["tests/test_threads.py", "tests/test_determinism.py"],
        ["tests/test_threads.py"],
        [
            ("no thread waits for another", TEAM, "if (n_threads == 1) return;", "return;", "data race"),
            ("what was written before a barrier is not published", TEAM, "round + 1, memory_order_release",
             "round + 1, memory_order_relaxed", "data race"),
        ],
    ),
}  # fmt: skip
TRAIN = "from trainings import *; [learned(case, 3) for case in CASES.values()]"  # what a planted bug has to show in


def build(folder: Path, flags: str) -> None:
    environment = {**OURS, "CFLAGS": flags, "LDFLAGS": flags}
    done = subprocess.run(BUILD, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\nthe copy does not build")


def runner(folder: Path, name: str) -> tuple[str, dict[str, str]]:
    """A Python under the sanitizer, and what that takes in the environment.

    AddressSanitizer can be loaded before any program; ThreadSanitizer has to be linked to it, so Python gets another
    `main`.
    """
    if name == "asan":
        find = [subprocess.run([CC, f"-print-file-name=lib{kind}.so"], **TEXT).stdout for kind in ("asan", "ubsan")]
        return sys.executable, {"LD_PRELOAD": " ".join(path.strip() for path in find)}
    source, driver, library = folder / "driver.c", folder / "driver", sysconfig.get_config_var("LIBDIR")
    source.write_text(DRIVER)
    link = f"-L{library}", f"-Wl,-rpath,{library}", f"-lpython{sysconfig.get_config_var('LDVERSION')}"
    subprocess.run([CC, "-fsanitize=thread", source, f"-I{sysconfig.get_path('include')}", *link, "-o", driver], **TEXT)
    return str(driver), {}


def run(folder: Path, python: str, more: dict[str, str], *arguments: str, quiet: bool = False) -> tuple[int, str]:
    """The exit status of a Python, and what was reported in it or in any of its children."""
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    options = f"log_path={reports}/report:halt_on_error=1:print_stacktrace=1"
    environment = {
        **OURS, **more, "PYTHONMALLOC": "malloc", "ASAN_OPTIONS": f"{options}:detect_leaks=0", "UBSAN_OPTIONS": options,
        "TSAN_OPTIONS": options, "PYTHONPATH": f"{folder}:{folder}/tests:{sysconfig.get_path('purelib')}",
    }  # fmt: skip
    done = subprocess.run([python, *arguments], cwd=folder, env=environment, capture_output=quiet)
    said = (done.stderr or b"").decode(errors="replace")  # UndefinedBehaviorSanitizer does not write to log_path
    return done.returncode, "\n".join([*(path.read_text(errors="replace") for path in reports.iterdir()), said]).strip()


def main() -> int:
    name, *quick = sys.argv[1:] or [""]
    if name not in SANITIZERS or quick not in ([], ["quick"]):
        print(__doc__, file=sys.stderr)
        return 2
    sanitizer, failures = SANITIZERS[name], 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_to(Path(temporary, "copy"))
        for file, changes in (("setup.py", SETUP), ("wakesleep/_panels.pyx", EXACT)):
            for change in changes:
                replace(folder / file, *change)
        build(folder, sanitizer.flags)
        tests = sanitizer.quick if quick else sanitizer.tests
        planted = {bug[-1]: bug for bug in sanitizer.planted}.values() if quick else sanitizer.planted
        python, more = runner(folder, name)
        status, report = run(folder, python, more, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *tests)
        failures += bool(status or report)
        print(report or f"{name}: nothing reported", flush=True)
        for wrong, file, text, replacement, expected in planted:
            before = replace(folder / "wakesleep" / file, text, replacement)
            build(folder, sanitizer.flags)
            status, report = run(folder, python, more, "-c", TRAIN, quiet=True)
            caught = bool(status) and expected in report
            failures += not caught
            print(f"{'caught' if caught else 'NOT CAUGHT'}: {wrong} ({expected})", flush=True)
            (folder / "wakesleep" / file).write_text(before, encoding="utf-8")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
