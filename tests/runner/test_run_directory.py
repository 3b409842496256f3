"""The run directory: parts are whole or not there."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.row import Row
from camdbench.core.written_files import replacing
from camdbench.runner.part_tables import UsageRow
from camdbench.runner.run_directory import PartKey, RunDirectory, RunRecord, part_file, unit_file
from camdbench.tables.load import load_run

JOB = PartKey("resnet50@IMAGENET1K_V1", 'opticam(objective="diff")', 0)


def a_row(image: str = "a", value: float = 1.5) -> Row:
    return Row("run", "shortcuts", "val", image, 1, JOB.model, JOB.explainer, "label", 1, "ad", "opticam", "00c0ffee", value, "ok", "")


def a_usage() -> UsageRow:
    return UsageRow(JOB.explainer, "explain", 1, 2, 3, 4, 5, 0.5, 10.0)


def test_a_part_is_read_back_by_pandas_alone_with_its_names_decoded(tmp_path: Path):
    store = RunDirectory(tmp_path / "run")
    assert not store.is_done(JOB)
    store.write_usage(JOB.model, JOB.chunk, [a_usage()])
    store.write(JOB, [a_row(), a_row("b", float("nan"))], None, None)
    assert store.is_done(JOB)
    rows = pd.read_parquet(tmp_path / "run" / "rows")
    assert rows["model"].astype(str).tolist() == [JOB.model] * 2
    assert rows["explainer"].astype(str).tolist() == [JOB.explainer] * 2
    assert rows["value"].isna().tolist() == [False, True]
    assert set(rows.columns) == set(Row._fields)
    costs = pd.read_parquet(tmp_path / "run" / "usage")
    assert costs[list(UsageRow._fields)].iloc[0].tolist() == list(a_usage())


def test_rows_are_written_last_so_that_a_break_before_them_leaves_the_job_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = RunDirectory(tmp_path)
    write = pq.write_table

    def fail_on_rows(table: object, path: Path, **options: object) -> None:
        if "rows" in Path(path).parts:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", fail_on_rows)
    store.write_usage(JOB.model, JOB.chunk, [a_usage()])
    with pytest.raises(CamdbenchError, match=r"part-00000.parquet: cannot be written \(No space left on device\).*same command again"):
        store.write(JOB, [a_row()], None, None)
    assert not store.is_done(JOB)
    assert list((tmp_path / "rows").rglob("*.*")) == []  # no torn file, no temporary one
    assert len(list((tmp_path / "usage").rglob("*.parquet"))) == 1


def test_maps_are_stored_beside_the_rows(tmp_path: Path):
    from safetensors.torch import load_file

    store = RunDirectory(tmp_path)
    store.write(JOB, [a_row()], None, {"maps": torch.ones(1, 2, 2).half(), "scale": torch.ones(1)})
    (file,) = (tmp_path / "maps").rglob("*.safetensors")
    assert load_file(file)["maps"].dtype == torch.float16


def test_a_replaced_file_is_the_old_one_until_it_is_the_new_one(tmp_path: Path):
    path = tmp_path / "record"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["record"]


def test_a_folder_that_cannot_be_written_to_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out = .*file/run: cannot be written \(Not a directory\); choose another folder"):
        RunDirectory(tmp_path / "file" / "run")
    with pytest.raises(UsageError, match="cannot be written"):
        RunDirectory(Path("/proc/camdbench-run"))


def test_processes_that_start_at_once_all_get_the_folder(tmp_path: Path):
    start = "import sys; from pathlib import Path; from camdbench.runner.run_directory import RunDirectory\n"
    start += "for _ in range(300): RunDirectory(Path(sys.argv[1]))"
    running = [subprocess.Popen([sys.executable, "-c", start, str(tmp_path)], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[1] for process in running] == ["", "", ""]
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path: Path):
    store = RunDirectory(tmp_path)
    folder = unit_file(tmp_path, "usage", JOB.model, 0, [JOB.explainer]).parent
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    with pytest.raises(CamdbenchError, match="cannot be written"):
        store.write_usage(JOB.model, JOB.chunk, [a_usage()])


def a_record() -> RunRecord:
    config = {"explainers": ["gradcam"], "metrics": ["ad"], "models": ["net"], "seed": 0}
    dataset = {"fingerprint": "f", "images": 1, "classes": []}
    return RunRecord("é", config, dataset, {}, "code", None, None, {"mine": "1"}, {"gradcam": {}}, {"ad": {}}, ["a"], 32)


def test_a_damaged_record_is_refused(tmp_path: Path):
    store = RunDirectory(tmp_path)
    assert store.read_record() is None
    store.create_record(a_record())
    assert store.read_record() == a_record()
    assert not store.create_record(replace(a_record(), code="of a session that started later"))
    assert store.read_record() == a_record()
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"run\.json: damaged"):
        store.read_record()


def test_a_record_of_another_schema_is_refused_in_one_line(tmp_path: Path):
    RunDirectory(tmp_path).create_record(replace(a_record(), schema=1))
    with pytest.raises(UsageError, match=r"run\.json: schema = 1: this version reads schema 2 and 3; repeat the run with another --out$"):
        RunDirectory(tmp_path).read_record()


def test_a_session_adds_its_explainers_to_the_record_and_keeps_its_own_file(tmp_path: Path):
    store = RunDirectory(tmp_path)
    store.create_record(a_record())
    stamp = (tmp_path / "run.json").stat().st_mtime_ns
    passes = {"forward": 1, "backward": 0, "tail_forward": 0, "tail_backward": 2}
    with pytest.raises(KeyboardInterrupt), store.session(explainers={"fakecam": {}}, plugins={"yours": "2"}) as session:
        session.add(2, passes, 1, batch_size=4)
        session.add(1, passes, 0, batch_size=2)
        raise KeyboardInterrupt
    with store.session():
        pass
    held = store.read_record()
    assert (list(held.explainers), held.plugins) == (["gradcam", "fakecam"], {"mine": "1", "yours": "2"})
    assert (tmp_path / "run.json").stat().st_mtime_ns == stamp
    first, second = load_run(tmp_path)["sessions"]
    assert (first["jobs"], first["passes"]["tail_backward"], first["boxes_dropped"], first["batch_size"]) == (3, 4, 1, 2)
    assert first["start"] <= first["end"]
    assert second["jobs"] == 0


def test_file_names_survive_any_spec():
    key = PartKey("timm/vit@x", 'opticam(objective="diff")', 3)
    assert (
        part_file(Path("run"), "rows", key).as_posix()
        == "run/rows/model=timm%2Fvit%40x/explainer=opticam%28objective%3D%22diff%22%29/part-00003.parquet"
    )
    usage = unit_file(Path("run"), "usage", key.model, 12, [key.explainer, "centre"])
    assert usage == unit_file(Path("run"), "usage", key.model, 12, ["centre", key.explainer])
    assert usage != unit_file(Path("run"), "usage", key.model, 12, ["centre"])
    assert re.fullmatch(r"run/usage/model=timm%2Fvit%40x/part-00012-[0-9a-f]{8}\.parquet", usage.as_posix())


def test_the_first_error_is_not_hidden_by_those_that_follow_it_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    store = RunDirectory(tmp_path)
    with pytest.raises(CamdbenchError, match=r"part-00000.parquet: cannot be written \(No space left"), store.session():
        monkeypatch.setattr(Path, "write_text", fail)
        monkeypatch.setattr(Path, "unlink", fail)
        monkeypatch.setattr(pq, "write_table", fail)
        store.write(JOB, [a_row()], None, None)
    with pytest.raises(CamdbenchError, match=r"json: cannot be written \(No space left"), store.session():
        pass
