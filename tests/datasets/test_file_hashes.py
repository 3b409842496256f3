"""Hashes of files are those of their contents, whatever the kept ones are; a second run reads no unchanged file."""

from __future__ import annotations

import builtins
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import dataset_layouts as fixtures

from camdbench.core.errors import SampleError
from camdbench.datasets import file_hashes as module
from camdbench.datasets.annotation_text import annotation_text
from camdbench.datasets.cub200 import cub200
from camdbench.datasets.file_hashes import cache_folder, file_hashes
from camdbench.datasets.on_disk import ImageRecord, OnDisk
from camdbench.datasets.pets import pets
from camdbench.datasets.transforms import Annotations, SpatialTransform
from camdbench.datasets.voc2012 import voc2012
from camdbench.functional.file_boxes import FileBoxes

Opened = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of kept hashes, in which those of new files are kept too."""
    monkeypatch.setenv("CAMDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "_SETTLED", 0)
    return tmp_path / "home"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Names of the opened files under `data` since the last call."""
    names, usual = list[str](), io.open

    def counting(file: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        if "r" in mode and str(file).startswith(str(tmp_path / "data")):
            names.append(Path(file).name)
        return usual(file, mode, *more, **options)

    monkeypatch.setattr(io, "open", counting)
    monkeypatch.setattr(builtins, "open", counting)

    def since() -> list[str]:
        found = sorted(names)
        names.clear()
        return found

    return since


def write(folder: Path, count: int = 3) -> list[Path]:
    folder.mkdir(parents=True)
    files = [folder / f"{index}.bin" for index in range(count)]
    for index, file in enumerate(files):
        file.write_bytes(bytes([index]) * 100)
    return files


def reference(files: list[Path]) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_a_second_call_reads_nothing_and_a_changed_file_alone_is_read(tmp_path: Path, opened: Opened) -> None:
    files = write(tmp_path / "data")
    expected = reference(files)
    assert (opened(), file_hashes(files), opened()) == (["0.bin", "1.bin", "2.bin"], expected, ["0.bin", "1.bin", "2.bin"])
    assert (file_hashes(files), opened()) == (expected, [])
    about = files[1].stat()
    files[1].write_bytes(b"x" * 100)
    os.utime(files[1], ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (files[1].stat().st_size, files[1].stat().st_mtime_ns) == (about.st_size, about.st_mtime_ns)
    changed = reference(files)
    assert opened()
    assert (file_hashes(files), opened()) == (changed, ["1.bin"])
    assert changed[1] != expected[1]


DAMAGE = [b"", b"{", b"[]", b"3", b"\xff\xfe\x00", b'{"x": 1}', b'{"x": [[1, 2], "a"]}', b'{"x": [null, 5]}', b"[" * 100_000, b"null"]


@pytest.mark.parametrize("content", DAMAGE)
def test_damaged_kept_hashes_are_ignored_and_replaced(tmp_path: Path, home: Path, opened: Opened, content: bytes) -> None:
    files = write(tmp_path / "data", 1)
    expected = file_hashes(files)
    (kept,) = (home / "hashes").iterdir()
    kept.write_bytes(content)
    opened()
    assert (file_hashes(files), opened()) == (expected, ["0.bin"])
    assert (file_hashes(files), opened()) == (expected, [])


def test_without_a_folder_for_them_every_call_reads_the_files(tmp_path: Path, home: Path, opened: Opened) -> None:
    files = write(tmp_path / "data", 1)
    home.write_text("a file")
    for _ in range(2):
        found = file_hashes(files)
        assert (opened(), found) == (["0.bin"], reference(files))
        opened()
    assert file_hashes([tmp_path / "none", Path("\0")]) == ["gone", "gone"]
    assert file_hashes([]) == []


def test_a_file_changed_a_moment_ago_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened) -> None:
    monkeypatch.setattr(module, "_SETTLED", 3600 * 10**9)
    files = write(tmp_path / "data", 1)
    opened()
    assert [(len(file_hashes(files)), opened()) for _ in range(2)] == [(1, ["0.bin"])] * 2


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CAMDBENCH_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "camdbench"


def test_without_a_home_or_a_writable_one_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, opened: Opened) -> None:
    """As in a container whose user has no name."""
    files = write(tmp_path / "data", 1)
    for name in ("CAMDBENCH_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() is None
    expected = file_hashes(files)
    for home in ("/proc/nowhere", "/dev/null"):
        monkeypatch.setenv("CAMDBENCH_HOME", home)
        assert file_hashes(files) == expected
    assert opened() == 3 * ["0.bin"]


READERS: list[tuple[Callable[..., Any], Callable[..., Any], str, dict[str, Any]]] = [
    (fixtures.pets, pets, "trainval", {}),
    (fixtures.voc2012, voc2012, "val", {}),
    (fixtures.cub200, cub200, "test", {}),
]


@pytest.mark.parametrize(("make", "reader", "split", "options"), READERS)
def test_annotations_are_hashed_once_and_every_byte_counts(
    tmp_path: Path, opened: Opened, make: Any, reader: Any, split: str, options: dict[str, Any]
) -> None:
    make(tmp_path / "data")
    data = reader(tmp_path / "data", split=split, **options)
    first = data.fingerprint()
    _, files = annotation_text(data.annotate, len(data))
    opened()
    assert (data.fingerprint(), opened()) == (first, [])
    if files:
        last = files[-1]
        last.write_bytes(last.read_bytes() + b"\n")
        assert data.fingerprint() != first


def test_boxes_of_a_users_function_count_as_the_file_states_them(tmp_path: Path) -> None:
    (picture,) = write(tmp_path / "data", 1)
    item = ImageRecord("a", picture, 0)

    def reader(numbers: list[float], *, first: int = 0, inclusive: bool = False, stated: bool = True) -> str:
        boxes = FileBoxes.of([numbers], first=first, inclusive=inclusive)

        def annotate(index: int) -> Annotations:
            if index > 0:
                raise SampleError("none")
            return Annotations.of_file(boxes) if stated else Annotations(boxes=torch.tensor([[0.0, 0.0, 10.0, 10.0]]))

        return OnDisk((item,), ["x"], SpatialTransform("keep", 8), annotate).fingerprint()

    found = [reader([0, 0, 10, 10]), reader([1, 1, 10, 10], first=1, inclusive=True), reader([0, 0, 9, 9], inclusive=True)]
    found.append(reader([0, 0, 10, 10], stated=False))
    assert len(set(found)) == 4
    assert reader([0, 0, 10, 10]) == found[0]
