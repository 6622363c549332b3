"""A path to save to, and a checkpoint there."""

import pytest
from checkpoints import ARRAYS, MANIFEST

from wakesleep.checkpoint import save


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture
def old(path):
    """A checkpoint at `path`; its bytes."""
    save(path, ARRAYS, MANIFEST)
    return path.read_bytes()
