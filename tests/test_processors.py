"""The kernels compute the same bits whatever compiles them, and whatever runs them (`slow`).

What is not here is skipped: the arm64 kernels need a cross compiler (the package ziglang), and qemu-aarch64 to run.
"""

import importlib.util
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
ZIG = sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl"
QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
KERNELS = SOURCE.parents[1] / "wakesleep" / "_kernels" / "dispatch.c"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not KERNELS.exists(), reason="needs the sources of the kernels"),
]


def digests(tmp_path, compiler, *emulator, flags=FLAGS):
    """The digest of every level, as the program prints it."""
    program = tmp_path / "digest"
    subprocess.run([*compiler, *flags, SOURCE, "-o", program], check=True)
    printed = subprocess.run([*emulator, program], check=True, capture_output=True, text=True).stdout
    return dict(line.split() for line in printed.splitlines())


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_compiler_and_level(tmp_path, compiler):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    found = digests(tmp_path, [compiler])
    assert "baseline" in found
    assert set(found.values()) == {DIGEST}


@pytest.mark.skipif(not QEMU or not importlib.util.find_spec("ziglang"), reason="needs ziglang and qemu-aarch64")
def test_arm64(tmp_path):
    assert digests(tmp_path, ZIG, QEMU) == {"baseline": DIGEST}


@pytest.mark.skipif(not shutil.which("gcc") or platform.machine() != "x86_64", reason="needs gcc for x86-64")
def test_fused_multiply_add_would_be_seen(tmp_path):
    fused = "-O3", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-mfma", "-w"
    assert digests(tmp_path, ["gcc"], flags=fused)["avx2"] != DIGEST
