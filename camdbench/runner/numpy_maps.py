"""Arrays in files of NumPy, `.npy` and `.npz`, of which each map is read when it is asked for."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from camdbench.core.files import check_growth, reading

_ZIP = b"PK"
_LARGE = 2**30  # bytes; smaller archives may unpack to many times their size, as maps of one value do
_LENGTHS = 26  # offset in a local file header of the lengths of its last two fields, after which the content starts


@dataclass(frozen=True)
class StoredArray:
    """An array in C order at some place of a file. Parts of it are read, not mapped, as mapped pages count as memory of the process.

    Attributes:
        path: the file.
        offset: where the numbers start, in bytes.
        shape: shape of the array.
        dtype: its type.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, place: int) -> np.ndarray:
        """One part along the first axis."""
        count = prod(self.shape[1:])
        found = np.fromfile(self.path, self.dtype, count, offset=self.offset + place * count * self.dtype.itemsize)
        return found.reshape(self.shape[1:])


@dataclass(frozen=True)
class ZipMember:
    """An array of a file `.npz`, read whole.

    Attributes:
        archive: the opened file.
        info: its member.
        shape: shape of the array.
        dtype: its type.
    """

    archive: ZipFile
    info: ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> np.ndarray:
        """The array, or a part of it."""
        with self.archive.open(self.info) as member:
            return np.lib.format.read_array(member, allow_pickle=False)[key]


def numpy_arrays(path: Path) -> Any:
    """The array of a file `.npy`, or a dict of the arrays of a `.npz`; each has `shape`, `dtype` and items.

    The content of a `.npz` is checked here, and not kept; an array in it other than a map (h, w) is read whole if it is compressed.

    Raises:
        UsageError: damaged, or no arrays of numbers.
    """
    with reading(path, "maps", fix="give numbers, saved by numpy.save or numpy.savez"):
        with path.open("rb") as stream:
            start = stream.read(len(np.lib.format.MAGIC_PREFIX))
            stream.seek(0)
            if start == np.lib.format.MAGIC_PREFIX:
                shape, fortran, dtype = _header(stream, path.stat().st_size)
                return np.load(path, mmap_mode="r") if fortran else StoredArray(path, stream.tell(), shape, dtype)
        if not start.startswith(_ZIP):
            raise ValueError("no array of numbers")
        check_growth(path, least=_LARGE)
        archive = ZipFile(path)
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"its member {damaged} is damaged")
        return {info.filename.removesuffix(".npy"): _member(path, archive, info) for info in archive.infolist()}


def _member(path: Path, archive: ZipFile, info: ZipInfo) -> Any:
    with archive.open(info) as member:
        shape, fortran, dtype = _header(member, info.file_size)
        header = member.tell()
    whole = ZipMember(archive, info, shape, dtype)
    if len(shape) == 2:
        return whole
    if info.compress_type != ZIP_STORED or fortran:
        return whole[()]
    with path.open("rb") as stream:
        stream.seek(info.header_offset + _LENGTHS)
        lengths = struct.unpack("<HH", stream.read(4))
        return StoredArray(path, stream.tell() + sum(lengths) + header, shape, dtype)


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type of an array that starts here, in a file or member of some bytes.

    Raises:
        TypeError: no array.
        ValueError: objects of Python, or more numbers than bytes.
    """
    try:
        version = np.lib.format.read_magic(file)
    except ValueError:
        raise TypeError("it has members that are no arrays") from None
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("no array of numbers")
    if file.tell() + prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array of shape {shape} is cut off")
    return shape, fortran, dtype
