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

LINK_FLAGS = ["-Wl,--strip-all"] if sys.platform == "linux" else []  # names of what nobody can call from outside

ABI3 = os.environ.get("WAKESLEEP_ABI3") == "1"  # one wheel for this and all later versions of Python
if ABI3 and sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise SystemExit("WAKESLEEP_ABI3=1: free-threaded Pythons have no stable ABI; want one with the GIL")

KERNELS = sorted(glob("wakesleep/_kernels/*"))


class BuildWithVectors(build_ext):
    """Where setuptools would take MSVC, which has no vector extensions, take Clang in its place; and all processors."""

    def finalize_options(self):
        """Compile several modules at a time, unless told otherwise."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        """Compile by clang-cl in Windows."""
        if self.compiler.compiler_type == "msvc":
            clang = shutil.which("clang-cl")
            if clang is None:
                raise SystemExit("clang-cl: want LLVM's compiler on PATH to build for Windows, found none")
            self.compiler.initialize()
            self.compiler.cc = clang
        super().build_extensions()


def extension(name: str, *sources: str) -> Extension:
    return Extension(
        f"wakesleep.{name}",
        list(sources),
        depends=KERNELS,
        extra_compile_args=FLAGS,
        extra_link_args=LINK_FLAGS,
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if ABI3 else [],
        py_limited_api=ABI3,
    )


MORE = {"_panels": ["wakesleep/_kernels/dispatch.c"]}
MODULES = [
    extension(source.stem, source.as_posix(), *MORE.get(source.stem, [])) for source in Path("wakesleep").glob("*.pyx")
]
SHARED = "_memoryviews"  # what Cython writes for memoryviews, once, and not in every module that has any

setup(
    ext_modules=cythonize(
        [*MODULES, extension(SHARED, f"wakesleep/{SHARED}.c")], shared_utility_qualified_name=f"wakesleep.{SHARED}"
    ),
    cmdclass={"build_ext": BuildWithVectors},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)
