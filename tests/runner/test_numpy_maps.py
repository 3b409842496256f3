"""Arrays of `.npy` and `.npz` are read map by map, with the numbers that NumPy reads."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.runner.map_files import read_maps

COUNT, SIDE = 40, 256
IDS = [f"image {place}" for place in range(COUNT)]
MAPS = np.random.default_rng(0).random((COUNT, SIDE, SIDE)).astype(np.float32)
BY_ID = dict(zip(IDS, MAPS, strict=True))


def put(file: Path, write: Callable[..., Any], *arrays: Any, **named: Any) -> Path:
    write(file, *arrays, **named)
    return file


@each(
    ("name", "write", "arrays", "named"),
    [
        ("a.npy", np.save, (MAPS,), {}),
        ("big-endian.npy", np.save, (MAPS.astype(">f8"),), {}),
        ("channel.npy", np.save, (MAPS[:, None],), {}),
        ("fortran.npy", np.save, (np.asfortranarray(MAPS),), {}),
        ("one.npz", np.savez, (MAPS,), {}),
        ("fortran.npz", np.savez, (np.asfortranarray(MAPS),), {}),
        ("compressed.npz", np.savez_compressed, (MAPS,), {}),
        ("ids.npz", np.savez, (), BY_ID),
        ("compressed-ids.npz", np.savez_compressed, (), BY_ID),
    ],
)
def test_the_maps_are_those_that_numpy_reads_and_are_not_held(tmp_path: Path, name: str, write: Any, arrays: Any, named: Any) -> None:
    file = put(tmp_path / name, write, *arrays, **named)
    tracemalloc.start()
    try:
        maps = read_maps(file, IDS)
        for place in (7, 0, COUNT - 1):
            np.testing.assert_array_equal(maps[IDS[place]].numpy(), MAPS[place])
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(maps) == IDS
    whole = MAPS.nbytes if name in ("compressed.npz", "fortran.npz") else 0  # not named by image, and not in pieces
    assert held < whole + MAPS.nbytes / 4
    assert whole or peak < MAPS.nbytes / 2


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def with_note(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("note.txt", "of the maps")


def with_longer_header(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content.replace(f"({COUNT},".encode(), f"({COUNT + 9},".encode()))


@each(
    ("harm", "suffix", "message"),
    [
        (flipped, "npz", "its member image [0-9]+.npy is damaged"),
        (cut, "npz", "not a zip file"),
        (with_note, "npz", "members that are no arrays"),
        (cut, "npy", r"an array of shape \(40, 256, 256\) is cut off"),
        (with_longer_header, "npy", r"an array of shape \(49, 256, 256\) is cut off"),
    ],
)
def test_a_damaged_file_is_refused_before_any_map_is_read(tmp_path: Path, harm: Any, suffix: str, message: str) -> None:
    file = put(tmp_path / f"a.{suffix}", np.save, MAPS) if suffix == "npy" else put(tmp_path / "a.npz", np.savez, **BY_ID)
    harm(file)
    with pytest.raises(UsageError, match=rf"a\.{suffix}: damaged \(.*{message}.*\); give numbers"):
        read_maps(file, IDS)


def test_objects_are_refused_and_a_map_that_is_damaged_later_is_named(tmp_path: Path) -> None:
    for file in (put(tmp_path / "a.npy", np.save, np.array([{}])), put(tmp_path / "a.npz", np.savez, np.array([{}]))):
        with pytest.raises(UsageError, match="no array of numbers"):
            read_maps(file, IDS)
    for file in (put(tmp_path / "b.npy", np.save, MAPS), put(tmp_path / "b.npz", np.savez_compressed, **BY_ID)):
        maps = read_maps(file, IDS)
        file.write_bytes(b"" if file.suffix == ".npy" else bytes(file.stat().st_size))
        with pytest.raises(UsageError, match=rf"{file.name}, image 3: cannot be read \(.*\); write the maps again"):
            _ = maps[IDS[3]]
