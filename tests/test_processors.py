"""The kernels compute the same bits whatever compiles them, and whatever runs them; and teams meet there (`slow`).

What is not here is skipped: musl needs musl-gcc; arm64 a cross compiler (of gcc, or the package ziglang) and
qemu-aarch64; Windows needs clang, the gcc of MinGW with its headers, and wine.
"""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DIGEST = "f4dde02f823fa181-940acbc12af073e6"  # of all kernels, and of those that know of missing cells, at every level:
# another one means that a sum or a stream has changed
FLAGS = "-O3", "-std=gnu11", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-w"
SOURCE = Path(__file__).with_name("kernels_digest.c")
TEAM = SOURCE.with_name("team_rounds.c")
ARM64 = [("aarch64-linux-gnu-gcc", "-static"), (sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl")]
MINGW, WINE = "x86_64-w64-mingw32-gcc", shutil.which("wine64") or shutil.which("wine64", path="/usr/lib/wine")
QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
KERNELS = SOURCE.parents[1] / "wakesleep" / "_kernels" / "dispatch.c"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not KERNELS.exists(), reason="needs the sources of the kernels"),
]


def build(tmp_path, source, *compiler, flags=FLAGS):
    """The program that a compiler makes of a source."""
    program = tmp_path / f"{source.stem}.exe"
    subprocess.run([*compiler, *flags, source, "-pthread", "-o", program], check=True)
    return program


def build_for_windows(tmp_path, source):
    """The same, by Clang; linked by MinGW, which aligns no vectors on the stack, and so compiles nothing here."""
    compiled = tmp_path / "compiled.o"
    subprocess.run(["clang", "--target=x86_64-w64-windows-gnu", *FLAGS, "-c", source, "-o", compiled], check=True)
    return build(tmp_path, compiled, MINGW, "-static", flags=())


def printed(*command, **environment):
    """What a program prints; it has to end well."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize("compiler", ["gcc", "clang", "musl-gcc"])
def test_every_compiler_and_level(tmp_path, compiler):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    found = printed(build(tmp_path, SOURCE, compiler))
    assert "baseline" in found
    assert set(found.values()) == {DIGEST}
    assert printed(build(tmp_path, TEAM, compiler)) == {"failures": "0"}


@pytest.mark.parametrize("compiler", ARM64, ids=["gcc", "zig"])
def test_arm64(tmp_path, compiler):
    here = importlib.util.find_spec("ziglang") if "ziglang" in compiler else shutil.which(compiler[0])
    if not here or not QEMU:
        pytest.skip("needs a compiler for arm64, and qemu-aarch64")
    assert printed(QEMU, build(tmp_path, SOURCE, *compiler)) == {"baseline": DIGEST}
    assert printed(QEMU, build(tmp_path, TEAM, *compiler)) == {"failures": "0"}


@pytest.mark.skipif(not (WINE and shutil.which(MINGW) and shutil.which("clang")), reason="needs clang, MinGW and wine")
def test_windows(tmp_path):
    wine = {"WINEPREFIX": str(tmp_path / "wine"), "WINEDEBUG": "-all"}
    found = printed(WINE, build_for_windows(tmp_path, SOURCE), **wine)
    assert "baseline" in found
    assert set(found.values()) == {DIGEST}
    assert printed(WINE, build_for_windows(tmp_path, TEAM), **wine) == {"failures": "0"}


@pytest.mark.skipif(not shutil.which("gcc") or platform.machine() != "x86_64", reason="needs gcc for x86-64")
def test_fused_multiply_add_would_be_seen(tmp_path):
    fused = "-O3", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-mfma", "-w"
    assert printed(build(tmp_path, SOURCE, "gcc", flags=fused))["avx2"] != DIGEST
