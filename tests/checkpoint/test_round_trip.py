"""What goes into a checkpoint comes out of it; what cannot go in is refused."""

import doctest
import hashlib
import json
import zipfile

import numpy as np
import pytest
from checkpoints import ARRAYS, MANIFEST, assert_holds

from wakesleep import checkpoint
from wakesleep.checkpoint import load, save

# What goes in comes out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i2", ">i4", "<i8", "<u2", ">u4", "<u8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5), (0, 4), (2, 1, 3)])
def test_every_dtype_and_shape_returns(path, dtype, shape):
    array = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 100, shape).astype(dtype)
    save(path, {"a": array}, {})
    assert_holds(path, {"a": array}, {})


def test_nan_infinity_and_negative_zero_return_in_every_bit(path):
    array = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)
    save(path, {"a": array}, {})
    assert load(path)[0]["a"].tobytes() == array.tobytes()


def test_memory_order_and_strides_do_not_matter(path):
    array = np.arange(24.0).reshape(4, 6)
    files = set()
    for same in (array, np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2], array.astype(">f8")):
        save(path, {"a": same}, {})
        files.add(path.read_bytes())
        assert_holds(path, {"a": array}, {})
    assert len(files) == 1


def test_loaded_arrays_are_writable_and_of_native_order(path, old):
    for array in load(path)[0].values():
        assert array.flags.writeable
        assert array.flags.owndata
        assert array.dtype.isnative


def test_no_arrays_and_no_manifest_are_a_checkpoint(path):
    save(path, {}, {})
    assert load(path) == ({}, {})


@pytest.mark.parametrize("name", ["a", "_a", "p.0/weights-1", "0", "manifest.npy", "Manifest", "ü", "層", "x" * 200])
def test_array_names_return(path, name):
    save(path, {name: np.ones(2)}, {})
    assert_holds(path, {name: np.ones(2)}, {})
    with np.load(path) as file:
        assert file.files == ["manifest", name]


def test_manifest_returns_in_the_types_of_json(path):
    save(path, {}, {"t": (1, (2,)), "f": np.float32(0.5), "i": np.int64(3), "b": np.bool_(True), "s": "ü\ud800\0\n"})
    assert load(path)[1] == {"t": [1, [2]], "f": 0.5, "i": 3, "b": True, "s": "ü\ud800\0\n"}


def test_non_finite_numbers_of_the_manifest_become_null(path):
    save(path, {}, {"nan": float("nan"), "deep": [{"inf": -np.inf}, np.float32("inf")], "name": "NaN"})
    assert load(path)[1] == {"nan": None, "deep": [{"inf": None}, None], "name": "NaN"}
    text = np.load(path)["manifest"].tobytes()
    assert b"Infinity" not in text
    assert text.count(b"NaN") == 1, "only the string"


def test_a_saved_pair_loads_and_saves_to_the_same_bytes(path, old):
    save(path, *load(path))
    assert path.read_bytes() == old


def test_the_order_of_names_and_keys_does_not_matter(path, old):
    save(path, dict(reversed(ARRAYS.items())), dict(reversed(MANIFEST.items())))
    assert path.read_bytes() == old


def test_the_format_has_not_changed(old):
    assert hashlib.sha256(old).hexdigest() == "e57b5be8a640987df440cc7d781625324d0f681177f7e8bc4cb347888811c36e"


def test_numpy_and_zip_tools_open_the_file(path, old):
    with np.load(path, allow_pickle=False) as file:
        assert file.files == ["manifest", *sorted(ARRAYS)]
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file[name], array)
        manifest = json.loads(file["manifest"].tobytes())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    table = manifest.pop("arrays")
    assert manifest == {**MANIFEST, "format": "wakesleep", "format_version": 1}
    assert table["weights"] == {
        "dtype": "<f4",
        "shape": [2, 3],
        "sha256": hashlib.sha256(ARRAYS["weights"].tobytes()).hexdigest(),
    }


def test_docstring_examples():
    results = doctest.testmod(checkpoint)
    assert results.failed == 0
    assert results.attempted > 0


# What cannot be stored is refused before anything is written ----------------------------------------------------------


@pytest.mark.parametrize("name", ["", "manifest", "/a", ".a", "-a", "a b", "a\0", "a\n", "a\\b", "\ud800", "x" * 201])
def test_bad_array_name_is_refused(path, old, name):
    with pytest.raises(ValueError, match=r"^arrays: .* cannot be the name"):
        save(path, {name: np.ones(2)}, {})
    assert path.read_bytes() == old


@pytest.mark.parametrize("dtype", [object, complex, np.longdouble, "S3", "U3", "M8[s]", "i4,f4"])
def test_bad_dtype_is_refused(path, old, dtype):
    with pytest.raises(TypeError, match=r"^arrays\['odd'\]: want bool, integers, or floats"):
        save(path, {"odd": np.zeros(2, dtype)}, {})
    assert path.read_bytes() == old


@pytest.mark.parametrize("key", ["format", "format_version", "arrays"])
def test_reserved_key_is_refused(path, old, key):
    with pytest.raises(ValueError, match=f"^manifest: .*{key}.* reserved"):
        save(path, {}, {key: 1})
    assert path.read_bytes() == old


CIRCLE = []
CIRCLE.append(CIRCLE)
DEEP = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [{1, 2}, b"x", 1j, np.ones(2), object(), {(1, 2): 3}, CIRCLE, DEEP, 10**5000],
    ids=["set", "bytes", "complex", "array", "object", "tuple as key", "circle", "deep", "digits"],
)
def test_manifest_that_is_not_json_is_refused(path, old, value):
    with pytest.raises(ValueError, match=r"^manifest: "):
        save(path, {}, {"key": value})
    assert path.read_bytes() == old


def test_manifest_that_load_would_refuse_for_its_size_is_refused(path, old, monkeypatch):
    monkeypatch.setattr(checkpoint, "_MAX_TEXT", 1000)
    with pytest.raises(ValueError, match="manifest: want at most 1000 bytes"):
        save(path, {}, {"long": "x" * 1000})
    assert path.read_bytes() == old
