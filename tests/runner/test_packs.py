"""Packs: the table stays what it was, at whatever step a session fails, reads or packs at the same time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import killed

from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchError, CamdbenchWarning
from camdbench.core.row import Row
from camdbench.runner import packs
from camdbench.runner.packs import compact
from camdbench.runner.part_tables import UsageRow
from camdbench.runner.run_directory import PartKey, RunDirectory, RunRecord
from camdbench.tables.curve_lists import CurveBlock, to_points, to_table
from camdbench.tables.load import load_curves, load_rows, load_run, load_usage

EXPLAINERS, CHUNKS, METRICS = ("gradcam", 'opticam(objective="diff")'), 2, ("ad", "insertion")
IDS = [f"i{place}" for place in range(6)]  # of three chunks, one of which only some tests write


def record(**changes: Any) -> RunRecord:
    config = {"explainers": list(EXPLAINERS), "metrics": list(METRICS), "models": ["net"], "seed": 0}
    facts = {name: {"control": False} for name in EXPLAINERS}
    made = RunRecord("run", config, {"fingerprint": "f"}, {}, "c", None, None, {}, facts, {name: {} for name in METRICS}, IDS, 2)
    return replace(made, **changes)


def value(explainer: str, image: str, metric: str) -> float:
    return float("nan") if image == "i1" and metric == "ad" else len(explainer) + IDS.index(image) / 7 + METRICS.index(metric)


def write_part(directory: RunDirectory, explainer: str, chunk: int, shift: float = 0.0) -> None:
    ids = IDS[2 * chunk : 2 * chunk + 2]
    rows = [
        Row(
            "run",
            "d",
            "val",
            image,
            1,
            "net",
            explainer,
            "label",
            1,
            metric,
            "p",
            "00c0ffee",
            value(explainer, image, metric) + shift,
            "ok",
            "",
        )
        for image in ids
        for metric in METRICS
    ]
    curve = CurveBlock("insertion", "deletion", ids, np.array([0.0, 1.0]), np.array([[shift, 2.0], [3.0, shift]]))
    curves = to_table([curve])
    if explainer == "gradcam":  # as in runs of schema 2
        curves = to_points(curves)
    directory.write_usage("net", chunk, [UsageRow(explainer, stage, 2, 1, 1, 0, 0, 0.5 + shift, 10.0) for stage in ("trace", "explain")])
    directory.write(PartKey("net", explainer, chunk), rows, curves, None)


def command(root: Path, *, pack: bool = True, **changes: Any) -> None:
    """What a session does: the record, the parts that are missing, packs."""
    directory = RunDirectory(root)
    if directory.read_record() is None:
        directory.create_record(record(**changes))
    for explainer in EXPLAINERS:
        for chunk in range(CHUNKS):
            if not directory.is_done(PartKey("net", explainer, chunk)):
                write_part(directory, explainer, chunk)
    if pack:
        compact(root)


def tables(root: Path) -> list[pd.DataFrame]:
    return [load_rows(root), load_curves(root), load_usage(root)]


def assert_same(root: Path, expected: list[pd.DataFrame]) -> None:
    for found, whole in zip(tables(root), expected, strict=True):
        pd.testing.assert_frame_equal(found, whole)


@contextmanager
def steps(see: Callable[[int], None]) -> Generator[None]:
    """Calls `see` with a number, from 0, before each rename, link and removal of this process."""
    number = 0

    def wrap(done: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: Any, **options: Any) -> None:
            nonlocal number
            number += 1
            see(number - 1)
            done(*arguments, **options)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "link", "unlink"):
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield


@pytest.fixture
def expected(tmp_path: Path) -> list[pd.DataFrame]:
    command(tmp_path / "undisturbed" / "run", pack=False)
    found = tables(tmp_path / "undisturbed" / "run")
    assert [len(table) for table in found] == [2 * 4 * 2, 2 * 4 * 2, 2 * 2 * 2]
    truth = [value(*key) for key in found[0][["explainer", "image", "metric"]].itertuples(index=False, name=None)]
    assert found[0]["value"].equals(pd.Series(truth))
    return found


def names(root: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in root.rglob("*.parquet"))


def test_a_packed_run_has_the_same_tables_in_fewer_files(tmp_path: Path, expected: list[pd.DataFrame]):
    command(tmp_path / "run", pack=False)
    assert names(tmp_path / "run") == ["part"] * 12
    assert compact(tmp_path / "run") == (12, 5, 12)
    assert_same(tmp_path / "run", expected)
    assert names(tmp_path / "run") == ["pack"] * 5
    assert compact(tmp_path / "run") == (0, 0, 0)
    pack = next((tmp_path / "run" / "rows").rglob("pack-00000-00001-*.parquet"))
    about = pq.ParquetFile(pack).metadata
    assert about.metadata[b"camdbench.chunks"] == b"0-1"
    assert {about.row_group(0).column(place).compression for place in range(about.num_columns)} == {"ZSTD"}
    assert pd.read_parquet(pack)["chunk"].tolist() == [0] * 4 + [1] * 4  # pandas alone


def test_a_failure_at_any_step_and_the_same_command_again_give_the_same_tables(tmp_path: Path, expected: list[pd.DataFrame]):
    for step in range(1000):
        root, failed = tmp_path / str(step) / "run", list[int]()

        def fail(number: int, step: int = step, failed: list[int] = failed) -> None:
            if number == step:
                failed.append(number)
                raise OSError(5, "Input/output error")

        with steps(fail), suppress(CamdbenchError):
            command(root)
        if not failed:
            break
        with suppress(CamdbenchError):  # no record or no part yet
            rows = load_rows(root)  # of whole parts
            assert len(rows) % 4 == 0
            assert not rows.duplicated(["explainer", "image", "metric"]).any()
        command(root)
        assert_same(root, expected)
        assert names(root) == ["pack"] * len(names(root))
    assert step >= 2 * (1 + 12 + 5) + 12  # files are named and their temporary ones removed; then parts are removed


def test_a_reader_or_another_packer_at_any_step_sees_the_whole_table(tmp_path: Path, expected: list[pd.DataFrame]):
    command(tmp_path / "run", pack=False)
    seen = list[int]()
    with steps(lambda number: (seen.append(number), assert_same(tmp_path / "run", expected))):
        compact(tmp_path / "run")
    assert len(seen) >= 5 * 2 + 12
    for step in range(0, len(seen), 2):
        root = tmp_path / str(step) / "run"
        command(root, pack=False)

        def intrude(number: int, root: Path = root, step: int = step) -> None:
            if number == step:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(packs, "_AGAIN", 0)  # nothing vanishes from a packer that is alone
                    compact(root)
                assert_same(root, expected)

        with steps(intrude):
            compact(root)
        assert_same(root, expected)
        assert names(root) == ["pack"] * 5


def test_readers_and_packers_in_threads_see_the_whole_table(tmp_path: Path, expected: list[pd.DataFrame]):
    for turn in range(3):
        root = tmp_path / str(turn) / "run"
        command(root, pack=False)
        with ThreadPoolExecutor(3) as pool:
            packers = [pool.submit(compact, root) for _ in range(2)]
            while not all(packer.done() for packer in packers):
                assert_same(root, expected)
        assert [packer.exception() for packer in packers] == [None, None]
        compact(root)
        assert_same(root, expected)
        assert names(root) == ["pack"] * 5


def test_a_part_that_is_written_late_does_not_count(tmp_path: Path, expected: list[pd.DataFrame]):
    command(tmp_path / "run")
    directory = RunDirectory(tmp_path / "run")
    assert directory.is_done(PartKey("net", "gradcam", 1))
    write_part(directory, "gradcam", 1, shift=1.0)  # of a session that had begun before
    assert_same(tmp_path / "run", expected)
    assert compact(tmp_path / "run") == (0, 0, 3)
    assert_same(tmp_path / "run", expected)


def test_a_gap_or_other_columns_end_a_pack_and_a_single_part_stays(tmp_path: Path):
    directory = RunDirectory(tmp_path / "run")
    directory.create_record(record())
    for chunk in (0, 2):
        write_part(directory, "gradcam", chunk)
    assert compact(tmp_path / "run") == (0, 0, 0)
    write_part(directory, "gradcam", 1)
    (other,) = (tmp_path / "run" / "rows").rglob("part-00002.parquet")
    table = pq.read_table(other, partitioning=None)
    pq.write_table(table.set_column(0, "run", table["run"].cast(pa.large_string())), other)
    before = tables(tmp_path / "run")
    assert compact(tmp_path / "run") == (2 + 3 + 3, 3, 2 + 3 + 3)
    assert other.exists()
    assert_same(tmp_path / "run", before)


def damage(data: bytes) -> Generator[bytes]:
    """Cut at several places, and single bytes flipped."""
    yield from (data[: int(len(data) * share)] for share in (0.0, 0.4, 0.999))
    for place in range(5, len(data), max(1, len(data) // 40)):
        yield data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def failure(root: Path, expected: list[pd.DataFrame]) -> str:
    """Why the tables cannot be read; empty if they are right, as where a byte does not touch them, such as of the writer's name."""
    try:
        assert_same(root, expected)
    except CamdbenchError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["rows", "curves", "usage"])
def test_a_damaged_part_or_pack_is_named_and_what_the_message_says_heals(
    tmp_path: Path, expected: list[pd.DataFrame], kind: str, *, packed: bool
):
    root = tmp_path / "run"
    command(root, pack=packed)
    file = min((root / kind).rglob("*.parquet"))
    place, found = {"rows": 0, "curves": 1, "usage": 2}[kind], 0
    data = file.read_bytes()
    for damaged in damage(data):
        file.write_bytes(damaged)
        found += (message := failure(root, expected)) != ""
        assert message == "" or (str(file) in message and "delete it" in message and "\n" not in message)
    assert found > 15
    file.write_bytes(data[:-1])
    file.unlink()
    if kind == "curves":
        for other in (root / "rows" / file.parent.relative_to(root / kind)).glob(f"{file.stem[: 16 if packed else None]}*"):
            other.unlink()
    command(root, pack=packed)
    if kind == "usage":
        left = expected[place].iloc[:0] if packed else expected[place].iloc[2:]  # a pack holds all explainers
        pd.testing.assert_frame_equal(load_usage(root), left.reset_index(drop=True), check_dtype=not packed, check_column_type=False)
        pd.testing.assert_frame_equal(load_rows(root), expected[0])
    else:
        assert_same(root, expected)


def test_a_damaged_part_is_not_packed_and_parts_of_a_damaged_pack_stay(tmp_path: Path):
    command(tmp_path / "run")
    (pack,) = (tmp_path / "run" / "rows" / "model=net" / "explainer=gradcam").glob("pack-*")
    data = pack.read_bytes()
    pack.write_bytes(data[:100] + bytes([data[100] ^ 0x10]) + data[101:])
    write_part(RunDirectory(tmp_path / "run"), "gradcam", 1)
    with pytest.raises(CamdbenchError, match=r"pack-00000-00001-.*parquet: (damaged|cannot be read) \("):
        compact(tmp_path / "run")
    assert (pack.parent / "part-00001.parquet").exists()
    pack.unlink()
    command(tmp_path / "run", pack=False)
    part = pack.parent / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(CamdbenchError, match=r"part-00001\.parquet: damaged"):
        compact(tmp_path / "run")
    assert not list(pack.parent.glob("pack-*"))


def test_files_with_several_explainers_are_packed_without_what_they_repeat(tmp_path: Path):
    root = tmp_path / "run"
    command(root, pack=False)
    folder = root / "usage" / "model=net"
    for chunk, tag, own in ((0, "a", "gradcam,x"), (0, "b", "x,y"), (1, "a", "x"), (3, "a", "x,y"), (4, "a", "x,y")):
        explainers = own.split(",")
        columns = {"explainer": explainers, "stage": ["trace"] * len(explainers)}
        columns |= {name: [1] * len(explainers) for name in ("images", "forward", "backward", "tail_forward", "tail_backward")}
        columns |= {"seconds": [float(ord(tag))] * len(explainers), "peak_memory_mb": [1.0] * len(explainers)}
        pq.write_table(pa.table(columns), folder / f"part-{chunk:05d}-0000000{tag}.parquet")
    before = load_usage(root)
    assert before.groupby("explainer").size().to_dict() == {"gradcam": 1 + 2, EXPLAINERS[1]: 4, "x": 4, "y": 3}
    compact(root)
    pd.testing.assert_frame_equal(load_usage(root), before)
    assert sorted(path.name[:16] for path in folder.glob("*.parquet")) == ["pack-00000-00001", "pack-00003-00004"]


def test_temporary_files_older_than_a_day_by_the_clock_of_the_folder_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    command(tmp_path / "run")
    folder = next((tmp_path / "run" / "rows").rglob("pack-*")).parent
    old, new, other = (folder / name for name in (f".part-00000.parquet.{'0' * 32}.tmp", f".part-00001.parquet.{'a' * 32}.tmp", "old.tmp"))
    for path in (old, new, other):
        path.write_text("")
    for path in (old, other):
        os.utime(path, (time.time() - 90_000,) * 2)
    monkeypatch.setattr(time, "time", lambda: 0.0)  # this machine's clock does not matter
    assert compact(tmp_path / "run").removed == 1
    assert [path.exists() for path in (old, new, other)] == [False, True, True]


def test_a_run_packs_itself_when_nothing_is_missing_and_is_resumed_from_packs(tmp_path: Path):
    request: dict[str, Any] = {"explainers": "gradcam", "metrics": "ad", "limit": 17, "dataset": "shortcuts(size=32)", "device": "cpu"}
    request |= {"batch_size": 1}  # as there is one image in a chunk
    killed.run(32, out=tmp_path / "plain", **request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packs, "compact", lambda *_, **__: (_ for _ in ()).throw(CamdbenchError("disk full")))
        with pytest.warns(CamdbenchWarning, match="the run is complete, but its parts could not be packed: disk full"):
            killed.run(1, out=tmp_path / "run", **request)
    assert names(tmp_path / "run" / "rows") == ["part"] * 17
    killed.run(32, out=tmp_path / "run", **request)  # keeps the chunks of the record
    assert names(tmp_path / "run" / "rows") == ["pack"]
    assert names(tmp_path / "plain" / "rows") == ["part"]  # too few to be worth it
    about = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert (about["schema"], about["chunk_size"]) == (3, 1)
    (tmp_path / "run" / "run.json").write_text(json.dumps(about | {"schema": 2}), encoding="utf-8")  # as of before there were packs
    killed.run(32, out=tmp_path / "run", **request | {"explainers": "gradcam,fakecam"})
    killed.run(32, out=tmp_path / "plain", **request | {"explainers": "gradcam,fakecam"})
    assert names(tmp_path / "run" / "rows") == ["pack"] * 2
    found, plain = (load_rows(tmp_path / name).drop(columns="run") for name in ("run", "plain"))
    pd.testing.assert_frame_equal(found, plain)
    assert [own["jobs"] for own in load_run(tmp_path / "run")["sessions"]] == [17, 17]


def test_the_command_packs_a_run_and_refuses_other_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command(tmp_path / "run", pack=False, schema=2)
    assert run_cli(["data", "compact", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.startswith("12 parts packed into 5 files, 12 files removed: ")
    assert run_cli(["data", "compact", str(tmp_path / "run")]) == 0
    assert run_cli(["data", "compact", str(tmp_path)]) == 2
    assert "not a run directory" in capsys.readouterr().err
