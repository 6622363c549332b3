"""The site: ``sphinx-build -W --keep-going docs docs/_build`` writes it, and runs every code cell on the way."""

import os
from importlib.metadata import version as version_of
from pathlib import Path

# Those who run the cells read these; the machines on the pages are too small for several threads.
os.environ.setdefault("MATPLOTLIBRC", str(Path(__file__).parent / "matplotlibrc"))
os.environ.setdefault("WAKESLEEP_NUM_THREADS", "1")

project = "wakesleep"
author = "The wakesleep developers"
copyright = f"2026, {author}"  # noqa: A001, the name that Sphinx reads
release = version = version_of("wakesleep")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_data"]
default_role = "py:obj"  # single backticks of docstrings
highlight_language = "none"  # what does not say what it is, such as equations
doctest_global_setup = "import numpy as np; from wakesleep import Bits, Probabilities"  # as in their modules

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_show_tb = True

autodoc_typehints = "none"  # numpydoc has them in words, with shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False


html_theme = "furo"
html_title = f"wakesleep {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
