"""The compiled modules; everything else is in pyproject.toml."""

import os
import shutil
import sys
import sysconfig
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Files in a wheel bear this time, unless the environment names another: the same sources give the same wheel.
os.environ.setdefault("SOURCE_DATE_EPOCH", "1767225600")

FLAGS = [
    "-O3",
    "-std=c11",
    "-g0",  # a third of the size, and no paths of the building machine inside
    "-ffp-contract=off",  # no fused multiply-add: the same bits from every compiler and processor
    "-fno-math-errno",  # nobody reads errno, and loops vectorise
    "-fno-trapping-math",  # comparisons vectorise; results stay the same
    "-pthread",
    "-Wno-psabi",  # vectors are passed between inlined functions only
]
if sys.platform == "win32":  # the same for clang-cl, which passes on what follows /clang:
    FLAGS = [f"/clang:{flag}" for flag in FLAGS if flag != "-pthread"]

ABI3 = os.environ.get("WAKESLEEP_ABI3") == "1"  # one wheel for this and all later versions of Python
if ABI3 and sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise SystemExit("WAKESLEEP_ABI3=1: free-threaded Pythons have no stable ABI; want one with the GIL")

KERNELS = sorted(glob("wakesleep/_kernels/*"))


class BuildWithVectors(build_ext):
    """Where setuptools would take MSVC, which has no vector extensions, take Clang in its place."""

    def build_extensions(self):
        """Compile by clang-cl in Windows."""
        if self.compiler.compiler_type == "msvc":
            clang = shutil.which("clang-cl")
            if clang is None:
                raise SystemExit("clang-cl: want LLVM's compiler on PATH to build for Windows, found none")
            self.compiler.initialize()
            self.compiler.cc = clang
        super().build_extensions()


def extension(source: Path) -> Extension:
    return Extension(
        f"wakesleep.{source.stem}",
        [source.as_posix(), *(["wakesleep/_kernels/dispatch.c"] if source.stem == "_panels" else [])],
        depends=KERNELS,
        extra_compile_args=FLAGS,
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if ABI3 else [],
        py_limited_api=ABI3,
    )


setup(
    ext_modules=cythonize([extension(source) for source in sorted(Path("wakesleep").glob("*.pyx"))]),
    cmdclass={"build_ext": BuildWithVectors},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)
