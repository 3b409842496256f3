"""The run directory: parts are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from camdbench.runner.store import CostRow, Job, Store

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import replacing
from camdbench.core.rows import Row

JOB = Job("resnet50@IMAGENET1K_V1", 'opticam(objective="diff")', 0)


def a_row(image: str = "a", value: float = 1.5) -> Row:
    return Row("run", "shortcuts", "val", image, 1, JOB.model, JOB.explainer, "label", 1, "ad", "opticam", "00c0ffee", value, "ok", "")


def a_cost() -> CostRow:
    return CostRow("explain", 1, 2, 3, 4, 5, 0.5, 10.0)


def test_a_part_is_read_back_by_pandas_alone_with_its_names_decoded(tmp_path: Path):
    store = Store(tmp_path / "run")
    assert not store.is_done(JOB)
    store.commit(JOB, [a_row(), a_row("b", float("nan"))], [], [a_cost()], None)
    assert store.is_done(JOB)
    rows = pd.read_parquet(tmp_path / "run" / "rows")
    assert rows["model"].astype(str).tolist() == [JOB.model] * 2
    assert rows["explainer"].astype(str).tolist() == [JOB.explainer] * 2
    assert rows["value"].isna().tolist() == [False, True]
    assert set(rows.columns) == set(Row._fields)
    costs = pd.read_parquet(tmp_path / "run" / "costs")
    assert costs[list(CostRow._fields)].iloc[0].tolist() == list(a_cost())


def test_rows_are_written_last_so_that_a_break_before_them_leaves_the_job_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Store(tmp_path)
    write = pq.write_table

    def fail_on_rows(table: object, path: Path, **options: object) -> None:
        if "rows" in Path(path).parts:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", fail_on_rows)
    with pytest.raises(CamdbenchError, match=r"cannot write .*part-00000.parquet \(No space left on device\).*same command again"):
        store.commit(JOB, [a_row()], [], [a_cost()], None)
    assert not store.is_done(JOB)
    assert list((tmp_path / "rows").rglob("*.*")) == []  # no torn file, no temporary one
    assert len(list((tmp_path / "costs").rglob("*.parquet"))) == 1


def test_maps_are_stored_beside_the_rows(tmp_path: Path):
    from safetensors.torch import load_file

    store = Store(tmp_path)
    store.commit(JOB, [a_row()], [], [a_cost()], {"maps": torch.ones(1, 2, 2).half(), "scale": torch.ones(1)})
    (file,) = (tmp_path / "maps").rglob("*.safetensors")
    assert load_file(file)["maps"].dtype == torch.float16


def test_a_replaced_file_is_the_old_one_until_it_is_the_new_one(tmp_path: Path):
    path = tmp_path / "record"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        (tmp_path / "missing").read_text()
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["record"]


def test_a_folder_that_cannot_be_written_to_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out .*file/run: cannot be written to \(Not a directory\); choose another folder"):
        Store(tmp_path / "file" / "run")
    with pytest.raises(UsageError, match="cannot be written to"):
        Store(Path("/proc/camdbench-run"))


def test_a_damaged_record_is_refused(tmp_path: Path):
    store = Store(tmp_path)
    assert store.read_record() is None
    store.write_record({"run": "é", "sessions": []})
    assert store.read_record() == {"run": "é", "sessions": []}
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"run\.json is damaged"):
        store.read_record()
