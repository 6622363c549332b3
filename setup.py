"""The compiled modules; everything else is in pyproject.toml."""

from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

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


KERNELS = sorted(glob("wakesleep/_kernels/*"))


def extension(name: str, *sources: str) -> Extension:
    return Extension(
        f"wakesleep.{name}", [f"wakesleep/{name}.pyx", *sources], depends=KERNELS, extra_compile_args=FLAGS
    )


MODULES = [
    extension("_panels", "wakesleep/_kernels/dispatch.c"),
    extension("_verbs"),
    extension("_credits"),
    extension("_updates"),
    extension("_phases"),
    extension("_learning"),
    extension("_core"),
    extension("_enumeration"),
    extension("_likelihood"),
    extension("_imputation"),
    extension("_chains"),
    extension("_annealing"),
]

setup(ext_modules=cythonize(MODULES))
