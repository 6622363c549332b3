"""One file for a trained machine: named arrays and a JSON manifest, written atomically and read with suspicion.

The file is an ``.npz`` that ``np.load`` opens too: a ZIP of stored (never compressed) ``.npy`` members, the first of
them ``manifest.npy``, the bytes of the JSON. Every byte follows from the content: the same arrays and manifest give the
same file. So `load` parses next to nothing. It reads the manifest, works out what all bytes outside the arrays have to
be, and compares; the arrays answer to their SHA-256. No flipped bit, cut, addition or exchange goes unnoticed.

The manifest stands in the same place in every format version, so that an old reader can say that a file is too new.
"""

import hashlib
import json
import math
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wakesleep.atomic import replace_file

FORMAT, FORMAT_VERSION = "wakesleep", 1

_DTYPES = frozenset(["|b1", "|i1", "|u1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8"])
_NAME = re.compile(r"(?!manifest$)\w[\w./-]{0,199}")
_MAX_TEXT = 2**26  # bytes of JSON: bounds what a hostile manifest can make of memory


class CheckpointError(ValueError):
    """The file is no intact wakesleep checkpoint of a known version; the message says why."""


def save(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]) -> None:
    """Write a checkpoint; whatever happens meanwhile, `path` holds the old file or the new one.

    Parameters
    ----------
    path : path-like
        No suffix is added. A symbolic link is followed; an existing file keeps its mode.
    arrays : mapping of str to ndarray
        Of any shape; bool, integers, or floats of at most 64 bits. A name has at most 200 letters, digits and
        ``_./-``, begins with none of the last three, and is not ``manifest``.
    manifest : mapping of str to JSON values
        NaN and infinities become null, since JSON has no word for them: numbers that may be such belong in an array.
        Tuples become lists, NumPy scalars plain numbers. ``format``, ``format_version`` and ``arrays`` are reserved.

    Raises
    ------
    TypeError, ValueError
        An argument cannot be stored. Nothing was written.
    OSError
        The file cannot be written. The old one is untouched, and no other is left behind. (A killed writer does leave
        a temporary file beside `path`; the next `save` to that path removes it.)

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from wakesleep import checkpoint
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "model.npz")
    ...     checkpoint.save(path, {"biases": np.zeros(3, np.float32)}, {"step": 7})
    ...     checkpoint.load(path)
    ({'biases': array([0., 0., 0.], dtype=float32)}, {'step': 7})
    """
    stored = {name: _storable(name, array) for name, array in sorted(arrays.items())}
    table = {name: {"dtype": a.dtype.str, "shape": a.shape, "sha256": _sha256(a)} for name, a in stored.items()}
    text = _text(manifest, {"format": FORMAT, "format_version": FORMAT_VERSION, "arrays": table})
    whole = {"manifest": np.frombuffer(text, np.uint8), **stored}
    members = [_Member(name, array.dtype.str, array.shape) for name, array in whole.items()]
    *starts, end = _frame(members, [m.crc(array) for m, array in zip(members, whole.values(), strict=True)])
    pieces = [piece for start, array in zip(starts, whole.values(), strict=True) for piece in (start, _raw(array))]
    replace_file(path, [*pieces, end])


def load(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a checkpoint: the arrays (new, writable, in native byte order) and the manifest that `save` was given.

    Raises
    ------
    CheckpointError
        The file is damaged, truncated, of another kind, of a newer format version, or larger than memory.
    OSError
        The file is missing or cannot be read.
    """
    with open(os.fspath(path), "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        except (CheckpointError, MemoryError) as error:
            raise CheckpointError(f"{os.fsdecode(path)}: {str(error) or 'larger than memory'}") from None


class _Member(NamedTuple):
    """One ``.npy`` file in the archive: everything about it but its data."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """The length of the data."""
        return math.prod(self.shape) * int(self.dtype[2:])

    @property
    def header(self) -> bytes:
        text = f"{{'descr': '{self.dtype}', 'fortran_order': False, 'shape': {self.shape}, }}"
        text += " " * (-(len(text) + 11) % 64) + "\n"
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()

    def crc(self, array: NDArray[Any]) -> int:
        return zlib.crc32(_raw(array), zlib.crc32(self.header))


def _frame(members: Sequence[_Member], crcs: Sequence[int]) -> list[bytes]:
    """The archive without its data: what stands before the data of each member, and what follows the last.

    All members have the 64-bit sizes of ZIP64, UTF-8 names and the date 1980-01-01; only sizes and CRCs vary.
    """
    starts, entries, offset, ask64 = [], [], 0, 2**32 - 1
    for member, crc in zip(members, crcs, strict=True):
        name, size = f"{member.name}.npy".encode(), len(member.header) + member.n_bytes
        common = (45, 0x800, 0, 0, 0x21, crc, ask64, ask64, len(name))
        local = struct.pack("<4s5H3I2H", b"PK\3\4", *common, 20) + name + struct.pack("<2H2Q", 1, 16, size, size)
        entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, *common, 28, 0, 0, 0, 0, ask64)
        entries.append(entry + name + struct.pack("<2H3Q", 1, 24, size, size, offset))
        starts.append(local + member.header)
        offset += len(starts[-1]) + member.n_bytes
    n, body = len(members), b"".join(entries)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, n, n, len(body), offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, offset + len(body), 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, ask64, ask64, 0)
    return [*starts, body + end64 + locator + end]


def _raw(array: NDArray[Any]) -> memoryview:
    """The bytes of a C-ordered array, not copied."""
    return array.reshape(-1).view(np.uint8).data


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(_raw(array)).hexdigest()


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """`array` little-endian and in C order, copied only if it is not so yet."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"arrays: {name!r} cannot be the name of an array")
    dtype = np.asarray(array).dtype.newbyteorder("<")
    if dtype.str not in _DTYPES:
        raise TypeError(f"arrays[{name!r}]: want bool, integers, or floats of at most 64 bits, got dtype {dtype}")
    return np.asarray(array, dtype, order="C")


def _text(manifest: Mapping[str, Any], reserved: Mapping[str, Any]) -> bytes:
    """The manifest as JSON. A first trip there and back gives all values the form of JSON, and NaN that of null."""
    if taken := sorted(reserved.keys() & manifest.keys()):
        raise ValueError(f"manifest: the keys {taken} are reserved")
    try:
        plain = json.loads(json.dumps(dict(manifest), default=_python), parse_constant=lambda _: None)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"manifest: {error}") from error
    text = json.dumps({**plain, **reserved}, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    if len(text) > _MAX_TEXT:
        raise ValueError(f"manifest: want at most {_MAX_TEXT} bytes of JSON, got {len(text)}")
    return text


def _python(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"JSON cannot hold {value!r:.80}")


def _read(file: BufferedReader, size: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    first, text = _read_text(file, size)
    manifest = _parsed(text)
    table = manifest.pop("arrays", None)
    members = [first, *_declared(table)]
    blank = _frame(members, [0] * len(members))
    want = sum(map(len, blank)) + sum(member.n_bytes for member in members)
    if size != want:
        raise CheckpointError(f"{'truncated' if size < want else 'bytes added'}: want {want} bytes, got {size}")
    file.seek(0)
    frame, crcs, arrays = [], [], {}
    for member, start in zip(members, blank, strict=False):
        frame.append(file.read(len(start)))
        array = np.empty(member.shape, member.dtype)
        file.readinto(_raw(array))
        crcs.append(member.crc(array))
        if member is not first:
            if _sha256(array) != table[member.name]["sha256"]:
                raise CheckpointError(f"damaged: the SHA-256 of {member.name!r} is not the manifest's")
            arrays[member.name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    if [*frame, file.read()] != _frame(members, crcs):
        raise CheckpointError("damaged: the bytes around the arrays are not those that belong there")
    return arrays, manifest


def _read_text(file: BufferedReader, size: int) -> tuple[_Member, bytes]:
    """The manifest, the only member whose length the file itself has to tell."""
    member = _Member("manifest", "|u1", (0,))
    model = _frame([member], [0])[0]
    start = file.read(len(model))
    if not (model[:14] + model[18:46]).startswith(start[:14] + start[18:46]):  # all of ZIP's but the CRC and the sizes
        raise CheckpointError("not a wakesleep checkpoint")
    n_bytes = int.from_bytes(start[54:62], "little") - len(member.header)
    if not 0 < n_bytes <= min(size, _MAX_TEXT):
        raise CheckpointError("truncated, or damaged in its first bytes")
    member, text = member._replace(shape=(n_bytes,)), file.read(n_bytes)
    if len(text) < n_bytes:
        raise CheckpointError("truncated inside the manifest")
    if start != _frame([member], [member.crc(np.frombuffer(text, np.uint8))])[0]:
        raise CheckpointError("damaged: the manifest, or a header before it")
    return member, text


def _parsed(text: bytes) -> dict[str, Any]:
    """The manifest, if it is one of ours and not too new."""
    try:
        manifest = json.loads(text.decode(), parse_constant=_python)  # refuses NaN
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"damaged: the manifest is not JSON ({error})") from None
    if not isinstance(manifest, dict) or manifest.pop("format", None) != FORMAT:
        raise CheckpointError("not a wakesleep checkpoint: the manifest is of another kind")
    version = manifest.pop("format_version", None)
    if type(version) is not int or version < 1:
        raise CheckpointError("damaged: the manifest's format_version is not a positive integer")
    if version > FORMAT_VERSION:
        raise CheckpointError(f"format version {version} is newer than {FORMAT_VERSION}, please upgrade wakesleep")
    return manifest


def _declared(table: object) -> Iterator[_Member]:
    """The arrays of the manifest's table, each checked to be possible before anything is allocated for it."""
    if not isinstance(table, dict):
        raise CheckpointError("damaged: the manifest has no table of arrays")
    for name, entry in table.items():
        match entry:
            case {"dtype": str(dtype), "shape": [*shape], "sha256": str()} if (
                _NAME.fullmatch(name)
                and dtype in _DTYPES
                and len(shape) <= 64
                and all(type(n) is int and n >= 0 for n in shape)
                and math.prod(max(n, 1) for n in shape) * int(dtype[2:]) <= sys.maxsize
            ):
                yield _Member(name, dtype, tuple(shape))
            case _:
                raise CheckpointError(f"damaged: the manifest declares an impossible array {name[:200]!r}")
