"""What the tests of checkpoints share."""

import io
import json
import os
import sys
import zipfile

import numpy as np
import pytest

from wakesleep import checkpoint
from wakesleep.checkpoint import CheckpointError, load

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, modes and locks of POSIX")

ARRAYS = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "biases": np.array([-1.5, 2.5])}
MANIFEST = {"rule": "wake-sleep", "step": 12, "hidden_layer_sizes": [3, 2], "learning_rate": 0.1, "patience": None}



def assert_holds(path, arrays=ARRAYS, manifest=MANIFEST):
    got_arrays, got_manifest = load(path)
    assert got_manifest == manifest
    assert list(got_arrays) == sorted(arrays)
    for name, array in arrays.items():
        assert got_arrays[name].dtype == np.asarray(array).dtype.newbyteorder("=")
        np.testing.assert_array_equal(got_arrays[name], array)
        assert got_arrays[name].shape == np.shape(array)


def assert_only(path, *others):
    assert sorted(os.listdir(path.parent)) == sorted([path.name, *others])


def refuses(path, data, match):
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=match) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


def forged(text, arrays=()):
    """A file around a manifest of our choice, right in every other respect (CRC-32s and sizes included)."""
    arrays = {"manifest": np.frombuffer(text, np.uint8), **dict(arrays)}
    members = [checkpoint._Member(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    crcs = [member.crc(array) for member, array in zip(members, arrays.values(), strict=True)]
    *starts, end = checkpoint._frame(members, crcs)
    return b"".join(start + array.tobytes() for start, array in zip(starts, arrays.values(), strict=True)) + end


def manifest_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return json.loads(archive.read("manifest.npy")[128:])
