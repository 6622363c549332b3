"""What `import wakesleep` imports, and what it leaves until it is asked for."""

import subprocess
import sys

import pytest

import wakesleep

WITHOUT_SKLEARN = "import sys; sys.modules['sklearn'] = None; import wakesleep; import wakesleep.sklearn"
IMPORTED = "import sys, numpy; before = set(sys.modules); import wakesleep; print(*set(sys.modules) - before)"
UNWANTED = {
    "argparse", "importlib.metadata", "matplotlib", "pandas", "polars", "pyarrow", "scipy", "secrets", "sklearn",
    "wakesleep.cli", "wakesleep.datasets", "zipfile",
}  # fmt: skip


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_the_package_imports_no_more_than_it_needs():
    imported = set(run(IMPORTED).stdout.split())
    assert "wakesleep.machine" in imported
    assert not imported & UNWANTED


def test_what_is_left_until_it_is_asked_for_is_there():
    result = run("import wakesleep; print(len(wakesleep.datasets.load_digits()), wakesleep.__version__)")
    assert result.stdout.split() == ["1797", wakesleep.__version__]
    assert {"__version__", "datasets", "HelmholtzMachine"} <= set(dir(wakesleep))
    with pytest.raises(AttributeError, match="module 'wakesleep' has no attribute 'dataset'"):
        wakesleep.dataset  # noqa: B018


def test_without_scikit_learn_only_the_class_that_derives_from_it_is_missing():
    last = run(WITHOUT_SKLEARN).stderr.splitlines()[-1]
    assert last == "ImportError: wakesleep.sklearn needs scikit-learn: pip install 'wakesleep[sklearn]'"
