"""A damaged checkpoint is refused, and the message says what is wrong."""

import io
import json
import random
import tracemalloc
import zipfile

import numpy as np
import pytest
from checkpoints import ARRAYS, forged, manifest_of, refuses
from hypothesis import given, settings
from hypothesis import strategies as st

from wakesleep import checkpoint
from wakesleep.checkpoint import save

# Damage ---------------------------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed(path, old):
    for bit in range(8 * len(old)):
        data = bytearray(old)
        data[bit // 8] ^= 1 << bit % 8
        refuses(path, data, "damaged|truncated|not a wakesleep checkpoint")


def test_every_truncation_is_called_so(path, old):
    for length in range(len(old)):
        refuses(path, old[:length], "truncated")


@pytest.mark.parametrize("added", [b"\0", b"PK\5\6" + bytes(18), bytes(1000)])
def test_bytes_before_or_after_are_noticed(path, old, added):
    refuses(path, old + added, "bytes added")
    refuses(path, added + old, "not a wakesleep checkpoint")
    refuses(path, old + old, "bytes added")


@pytest.mark.parametrize("fill", ["zeros", "random"])
def test_overwritten_blocks_are_noticed(path, old, fill):
    rng = random.Random(0)
    for _ in range(500):
        data = bytearray(old)
        start = rng.randrange(len(old))
        n = min(rng.randrange(1, 200), len(old) - start)
        data[start : start + n] = rng.randbytes(n) if fill == "random" else bytes(n)
        if data != old:
            refuses(path, data, "damaged|truncated|not a wakesleep checkpoint")


def test_swapped_arrays_are_noticed(path):
    a, b = np.zeros(4).tobytes(), np.ones(4).tobytes()
    save(path, {"a": np.zeros(4), "b": np.ones(4)}, {})
    data = path.read_bytes()
    at_a, at_b = (data.index(f"{name}.npy".encode()) - 30 for name in "ab")  # where the members start
    length = at_b - at_a
    members = data[at_a:at_b], data[at_b : at_b + length]
    assert members[0].endswith(a)
    assert members[1].endswith(b)
    rest = data[at_b + length :]
    refuses(path, data[:at_a] + members[1] + members[0] + rest, "damaged: the SHA-256 of 'a'")
    swapped = [members[0].removesuffix(a) + b, members[1].removesuffix(b) + a]
    refuses(path, data[:at_a] + b"".join(swapped) + rest, "damaged: the SHA-256 of 'a'")
    relabelled = [members[1].replace(b"b.npy", b"a.npy"), members[0].replace(b"a.npy", b"b.npy")]
    refuses(path, data[:at_a] + b"".join(relabelled) + rest, "damaged: the SHA-256 of 'a'")


def rezipped(data, change=lambda members: members, **options):
    """The same members in an archive that Python's zipfile writes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = change({name: archive.read(name) for name in archive.namelist()})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return buffer.getvalue()


def test_archives_of_other_writers_are_refused(path, old):
    refuses(path, rezipped(old), "not a wakesleep checkpoint")
    refuses(path, rezipped(old, compression=zipfile.ZIP_DEFLATED), "not a wakesleep checkpoint")
    refuses(path, rezipped(old, lambda members: dict(reversed(members.items()))), "not a wakesleep checkpoint")
    np.savez(path, **ARRAYS)
    refuses(path, path.read_bytes(), "not a wakesleep checkpoint")


@pytest.mark.parametrize("data", [b"\x93NUMPY\1\0", b"PK\5\6" + bytes(18), b"{}", bytes(9999), b"PK\3\4" + b"?" * 300])
def test_other_files_are_called_so(path, data):
    refuses(path, data, "not a wakesleep checkpoint")


def test_empty_file_is_called_truncated(path):
    refuses(path, b"", "truncated")


def test_deflated_bomb_costs_no_memory(path, old):
    bomb = rezipped(old, lambda members: {**members, "weights.npy": bytes(10**8)}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10**6
    tracemalloc.start()
    refuses(path, bomb, "not a wakesleep checkpoint")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


@pytest.mark.parametrize("shape", [[2**40], [2**31, 2**31], [10**12, 3], [0, 2**62], [10**30]])
def test_huge_shape_is_refused_without_allocating(path, old, shape):
    manifest = manifest_of(old)
    manifest["arrays"]["weights"]["shape"] = shape
    tracemalloc.start()
    refuses(path, forged(json.dumps(manifest).encode(), ARRAYS), "truncated|impossible array 'weights'")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


@pytest.mark.parametrize("error", [MemoryError, MemoryError("Unable to allocate 1 TiB")])
def test_file_larger_than_memory_is_called_so(path, old, monkeypatch, error):
    def empty(*args):
        raise error

    monkeypatch.setattr(np, "empty", empty)
    refuses(path, old, "larger than memory|Unable to allocate 1 TiB")


@pytest.mark.parametrize("length", [0, 127, 128, 60 * 2**20, 2**40, 2**63, 2**64 - 1])
def test_odd_length_of_the_manifest_is_refused_without_allocating(path, old, length):
    tracemalloc.start()
    refuses(path, old[:46] + length.to_bytes(8, "little") * 2 + old[62:], "damaged in its first bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format_version": 2}, "format version 2 is newer than 1, please upgrade wakesleep"),
        ({"format_version": 10**40, "arrays": "of the future"}, "is newer than 1, please upgrade wakesleep"),
        ({"format_version": 0}, "format_version is not a positive integer"),
        ({"format_version": True}, "format_version is not a positive integer"),
        ({"format_version": 1.0}, "format_version is not a positive integer"),
        ({"format_version": "1"}, "format_version is not a positive integer"),
        ({"format_version": None}, "format_version is not a positive integer"),
        ({"format": "other"}, "not a wakesleep checkpoint: the manifest is of another kind"),
        ({"format": ["wakesleep"]}, "not a wakesleep checkpoint: the manifest is of another kind"),
        ({"arrays": []}, "no table of arrays"),
        ({"arrays": None}, "no table of arrays"),
        ({"arrays": {}}, "bytes added"),
    ],
)
def test_manifest_of_another_version_or_kind_is_called_so(path, old, change, match):
    refuses(path, forged(json.dumps({**manifest_of(old), **change}).encode(), ARRAYS), match)


NOT_JSON = [b"", b"{", b"nul", b'{"a": 1}x', b'{"a": NaN}', b'{"a": -Infinity}', b"9" * 5000]
NOT_JSON += [b"\xff\xfe", b"\xef\xbb\xbf{}", '{"a": 1}'.encode("utf-16"), b"[" * 200_000, b'{"a":' * 200_000]


@pytest.mark.parametrize("text", NOT_JSON, ids=lambda text: repr(text[:20]))
def test_manifest_that_is_not_json_is_called_so(path, text):
    refuses(path, forged(text), "the manifest is not JSON|damaged in its first bytes")


@pytest.mark.parametrize("text", [b"[]", b"1", b"null", b'"wakesleep"', b"{}", b'{"format_version": 1}'])
def test_json_of_another_kind_is_called_so(path, text):
    refuses(path, forged(text), "not a wakesleep checkpoint: the manifest is of another kind")


ODD = [None, True, -1, 0, 1.5, 10**30, "", "|O", ">f4", "<f16", {}, {"dtype": "<f4"}]
ODD += [[], [[]], [True, 6], [-2, -3], [2.0, 3], ["1"], [None], [1] * 63 + [2, 3]]  # six elements where possible


@pytest.mark.parametrize("key", ["dtype", "shape", "sha256", None])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_values_in_the_table_are_noticed(path, old, key, odd):
    manifest = manifest_of(old)
    table = manifest["arrays"]
    if key is None:
        table["weights"] = odd
    else:
        table["weights"][key] = odd
    match = "impossible array 'weights'"
    if key == "shape" and odd == []:
        match = "bytes added"
    if key == "sha256" and isinstance(odd, str):
        match = "the SHA-256 of 'weights'"
    refuses(path, forged(json.dumps(manifest).encode(), sorted(ARRAYS.items())), match)


@pytest.mark.parametrize("name", ["", "manifest", "../weights ", "a\0", "\ud800", "x" * 100_000, "weights\n"])
def test_odd_name_in_the_table_is_noticed(path, old, name):
    manifest = manifest_of(old)
    manifest["arrays"] = {name: manifest["arrays"]["weights"]}
    refuses(path, forged(json.dumps(manifest).encode(), {"weights": ARRAYS["weights"]}), "impossible array")


@pytest.mark.parametrize("missing", ["weights", "biases"])
def test_array_missing_from_table_or_archive_is_noticed(path, old, missing):
    rest = {name: array for name, array in ARRAYS.items() if name != missing}
    manifest = manifest_of(old)
    refuses(path, forged(json.dumps(manifest).encode(), rest), "truncated")
    del manifest["arrays"][missing]
    refuses(path, forged(json.dumps(manifest).encode(), ARRAYS), "bytes added")


@pytest.mark.parametrize(
    ("before", "after"),
    [("'<f4'", "'|O4'"), ("'<f4'", "'>f4'"), ("False", "True "), ("(2, 3)", "(3, 2)"), ("(2, 3)", "(6,  )")],
)
def test_npy_header_other_than_the_manifest_says_is_noticed(path, monkeypatch, before, after):
    truth = checkpoint._Member.header
    save(path, {"w": ARRAYS["weights"]}, {})
    data = path.read_bytes()
    lie = property(lambda member: truth.fget(member).replace(before.encode(), after.encode()))
    monkeypatch.setattr(checkpoint._Member, "header", lie)
    save(path, {"w": ARRAYS["weights"]}, {})
    monkeypatch.undo()
    assert path.stat().st_size == len(data)
    assert after.encode() in path.read_bytes()
    refuses(path, path.read_bytes(), "damaged")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(sorted(checkpoint._DTYPES)) | JSON,
        "shape": st.lists(st.integers(0, 9), max_size=3) | JSON,
        "sha256": JSON,
    }
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(table=JSON | st.dictionaries(st.sampled_from(["weights", "biases"]), ENTRY))
def test_any_table_of_arrays_is_refused(tmp_path_factory, table):
    text = json.dumps({"format": "wakesleep", "format_version": 1, "arrays": table}).encode()
    path = tmp_path_factory.mktemp("table") / "model.npz"
    refuses(path, forged(text, ARRAYS), "impossible array|no table|truncated|bytes added|SHA-256")
