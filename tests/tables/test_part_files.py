"""Parts and packs: which files count, and that each chunk of an explainer is read once, whatever packs meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from camdbench.core.errors import CamdbenchError
from camdbench.tables import part_files as module
from camdbench.tables.part_files import part_files, read_parts


def write(folder: Path, name: str, chunks: Sequence[int], mark: str, **columns: Any) -> Path:
    """A file of one row per chunk, with the column of packs where it holds more than one; `mark` names the file in its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": [f"{mark}{chunk}" for chunk in chunks], "metric": ["ad"] * len(chunks), **columns})
    table = table.append_column("chunk", pa.array(chunks, pa.int32())) if name.startswith("pack") else table
    footer = {module.CHUNKS: f"{chunks[0]}-{chunks[-1]}".encode()} if name.startswith("pack") else None
    pq.write_table(table.replace_schema_metadata(footer), folder / name, write_page_checksum=True)
    return folder / name


def images(root: Path, kind: str = "rows", **options: Any) -> list[str]:
    tables = [table for _, table in read_parts(root, kind, ["model", "image", "chunk"], **options)]
    assert all(set(table["model"].to_pylist()) <= {"a/net"} for table in tables)
    return [name for table in tables for name in table["image"].to_pylist()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "rows" / "model=a%2Fnet" / "explainer=gradcam"


def test_packs_come_before_parts_and_the_first_pack_by_name_before_others(tmp_path: Path, folder: Path):
    write(folder, "part-00000.parquet", [0], "late")
    write(folder, "part-00007.parquet", [7], "part")
    write(folder, "pack-00000-00003-0000000b.parquet", [0, 1, 2, 3], "second")
    write(folder, "pack-00000-00002-0000000a.parquet", [0, 1, 2], "first")
    write(folder, "pack-00001-00002-0000000c.parquet", [1, 2], "third")
    (folder / ".part-00009.parquet.17.tmp").write_bytes(b"half")
    (folder / ".nfs0001.parquet").write_bytes(b"removed while open")
    found = [(file.path.name, file.model, file.explainer, file.chunks) for file in part_files(tmp_path, "rows")]
    assert found == [
        ("pack-00000-00002-0000000a.parquet", "a/net", "gradcam", (0, 1, 2)),
        ("pack-00000-00003-0000000b.parquet", "a/net", "gradcam", (3,)),
        ("part-00007.parquet", "a/net", "gradcam", (7,)),
    ]
    assert images(tmp_path) == ["first0", "first1", "first2", "second3", "part7"]
    assert images(tmp_path, metrics=["ad"]) == images(tmp_path)
    assert images(tmp_path, metrics=["ag"]) == images(tmp_path, "curves") == part_files(tmp_path, "usage") == []


def test_explainers_in_a_column_count_once_for_each_chunk(tmp_path: Path):
    folder = tmp_path / "usage" / "model=a%2Fnet"
    write(folder, "part-00001-0000000a.parquet", [1, 1], "first", explainer=["x", "y"])
    write(folder, "part-00001-0000000b.parquet", [1, 1, 1], "again", explainer=["y", "z", "z"])
    write(folder, "pack-00000-00000-0000000c.parquet", [0], "pack", explainer=["x"])
    write(folder, "part-00000-0000000d.parquet", [0, 0], "late", explainer=["x", "y"])
    write(folder / "explainer=z", "part-00001.parquet", [1], "of an older version")
    write(folder / "explainer=z", "part-00002.parquet", [2], "of an older version")
    assert images(tmp_path, "usage") == ["pack0", "late0", "first1", "first1", "again1", "again1", "of an older version2"]


@pytest.mark.parametrize("name", ["part-00000 (copy).parquet", "pack-00003-00001-0000000a.parquet", "a.parquet", "part-9999999.parquet"])
def test_a_file_that_is_none_of_a_run_is_named(tmp_path: Path, folder: Path, name: str):
    write(folder, name, [0], "strange")
    with pytest.raises(CamdbenchError, match=r"parquet: not a file of a run; remove it from the run directory$"):
        part_files(tmp_path, "rows")


def test_a_pack_that_was_renamed_and_a_file_in_place_of_a_folder_are_named(tmp_path: Path, folder: Path):
    write(folder, "pack-00000-00001-0000000a.parquet", [0, 1], "a").rename(folder / "pack-00001-00002-0000000a.parquet")
    with pytest.raises(CamdbenchError, match=r"damaged \(holds the chunks 0-1, not those of its name\); delete it and run the same"):
        images(tmp_path)
    (tmp_path / "usage" / "model=a%2Fnet").mkdir(parents=True)
    (tmp_path / "usage" / "model=a%2Fnet" / "explainer=x").write_text("")
    with pytest.raises(CamdbenchError, match=r"explainer=x: cannot be listed \(Not a directory\)"):
        images(tmp_path, "usage")


@pytest.mark.parametrize("read", range(5))
def test_a_reader_goes_on_when_the_files_that_it_listed_are_packed(tmp_path: Path, folder: Path, read: int):
    names = [f"part-{chunk:05d}.parquet" for chunk in range(4)]
    for chunk, name in enumerate(names):
        write(folder, name, [chunk], "i")
    reader = read_parts(tmp_path, "rows", ["image"])
    before = [next(reader)[1] for _ in range(read)]
    write(folder, "pack-00000-00003-0000000a.parquet", range(4), "i")
    for name in names:
        (folder / name).unlink()
    found = [name for table in (*before, *(table for _, table in reader)) for name in table["image"].to_pylist()]
    assert found == ["i0", "i1", "i2", "i3"]


def test_a_reader_gives_up_when_files_keep_vanishing(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    write(folder, "part-00000.parquet", [0], "i")
    listings, list_folder = list[str](), Path.iterdir

    def with_a_ghost(path: Path) -> Iterator[Path]:
        listings.append(path.name)
        yield from list_folder(path)
        if path == folder:
            yield path / "part-00001.parquet"

    monkeypatch.setattr(Path, "iterdir", with_a_ghost)
    with pytest.raises(CamdbenchError, match=r"part-00001\.parquet: cannot be read \(no such file or directory\)"):
        images(tmp_path)
    assert listings.count("explainer=gradcam") == 4 * 2  # twice each time, as one listing may miss a pack and its parts


def test_a_listing_that_misses_a_pack_and_its_parts_is_joined_with_a_second_one(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """What a folder returns that is changed while it is read: neither the name that is new nor the one that has gone."""
    write(folder, "pack-00000-00001-0000000a.parquet", [0, 1], "i")
    stale, list_folder = [[folder / "part-00001.parquet"]], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(stale.pop()) if stale and path == folder else list_folder(path))
    assert images(tmp_path) == ["i0", "i1"]
    assert not stale
