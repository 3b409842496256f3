"""A run directory is read back in the order of its request, or refused with one line that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.row import Row
from camdbench.runner.part_tables import UsageRow
from camdbench.runner.run_directory import PartKey, RunDirectory, RunRecord
from camdbench.tables.load import USAGE_COLUMNS, load_rows, load_run, load_usage

SPEC = 'opticam(objective="diff", layer="layer4/0")'
VALUES = {SPEC: {"ag": [1.0, 2.0], "ad": [3.0, 4.0]}, "centre": {"ag": [5.0, 6.0], "ad": [7.0, 8.0]}}
STAGE = {"forward": 1, "backward": 0, "tail_forward": 0, "tail_backward": 0, "seconds": 0.5, "peak_memory_mb": 1.0}


def test_names_come_decoded_from_the_path_and_columns_are_those_of_a_row(make_run):
    rows = load_rows(make_run(VALUES, models=["timm/vit@a b"]))
    assert list(rows.columns) == list(Row._fields)
    assert set(rows["explainer"]) == {SPEC, "centre"}
    assert set(rows["model"]) == {"timm/vit@a b"}
    assert list(rows.index) == list(range(8))
    assert (rows["label"].dtype, rows["target"].dtype, rows["value"].dtype) == ("int64", "int64", "float64")


def test_the_order_is_that_of_the_request_and_of_the_ids(make_run):
    folder = make_run(VALUES, models=["z", "a"])
    record = json.loads((folder / "run.json").read_text())
    record["ids"] = ["i1", "i0"]
    (folder / "run.json").write_text(json.dumps(record))
    rows = load_rows(folder)
    assert list(dict.fromkeys(rows["model"])) == ["z", "a"]
    assert list(dict.fromkeys(rows["explainer"])) == [SPEC, "centre"]  # not by name, as the folders lie
    first = rows[(rows["model"] == "z") & (rows["explainer"] == SPEC)]
    assert list(zip(first["image"], first["metric"], first["value"], strict=True)) == [
        ("i1", "ag", 2.0),
        ("i1", "ad", 4.0),
        ("i0", "ag", 1.0),
        ("i0", "ad", 3.0),
    ]


def test_what_the_request_does_not_name_comes_last_by_name(make_run, make_rows, add_part):
    folder = make_run({"gradcam": {"ad": [1.0]}})
    for name in ("zcam", "acam"):
        add_part(folder, "rows", "net", name, make_rows({name: {"ad": [1.0]}}))
    assert list(load_rows(folder)["explainer"]) == ["gradcam", "acam", "zcam"]


def test_parts_are_joined_and_unfinished_ones_ignored(make_run, make_rows, add_part):
    folder = make_run({"gradcam": {"ad": [1.0, 2.0]}})
    later = make_rows({"gradcam": {"ad": [0.0, 0.0, 9.0]}}).iloc[2:]
    file = add_part(folder, "rows", "net", "gradcam", later, chunk=1)
    (file.parent / ".part-00002.parquet.17.tmp").write_bytes(b"half")
    (file.parent / ".part-00003.parquet").write_bytes(b"half")
    rows = load_rows(folder)
    assert list(rows["value"]) == [1.0, 2.0, 9.0]
    assert list(rows["image"]) == ["i0", "i1", "i2"]


def test_a_part_without_a_single_value_joins_one_with_values(make_run, make_rows, add_part):
    folder = make_run({"gradcam": {"ad": [1.0]}})
    nothing = make_rows({"gradcam": {"ad": [(0.0, "ok"), (float("nan"), "error")]}}).iloc[1:]
    add_part(folder, "rows", "net", "gradcam", nothing, chunk=1)
    assert load_rows(folder)["value"].isna().tolist() == [False, True]


def test_what_the_runner_stores_is_what_is_loaded(tmp_path: Path):
    store = RunDirectory(tmp_path / "run")
    row = Row("run", "shapes", "val", "i/0", 3, "net@V1", SPEC, "label", 3, "ad", "opticam", "00c0ffee", 1.5, "constant_map", "flat")
    cost = UsageRow(SPEC, "explain", 1, 2, 3, 4, 5, 0.5, 10.0)
    store.write_usage("net@V1", 0, [cost])
    store.write(PartKey("net@V1", SPEC, 0), [row], None, None)
    store.create_record(RunRecord("run", {}, {}, {}, "", None, None, {}, {}, {}, [], 32))
    assert load_rows(tmp_path / "run").to_dict("records") == [row._asdict()]
    assert load_usage(tmp_path / "run").to_dict("records") == [{"model": "net@V1", **cost._asdict()}]


def test_costs_are_read_and_may_be_absent(make_run):
    costs = {"gradcam": [{"stage": "trace", "images": 4, **STAGE}, {"stage": "explain", "images": 4, **STAGE}]}
    loaded = load_usage(make_run({"gradcam": {"ad": [1.0]}}, costs=costs))
    assert list(loaded.columns) == ["model", "explainer", *USAGE_COLUMNS]
    assert list(loaded["stage"]) == ["trace", "explain"]
    none = load_usage(make_run({"gradcam": {"ad": [1.0]}}, name="cheap"))
    assert none.empty
    assert list(none.columns) == ["model", "explainer", *USAGE_COLUMNS]


def test_usage_of_an_explainer_counts_once_in_whichever_files_it_is(make_run, add_part):
    def spent(explainer: str, *stages: str) -> list[UsageRow]:
        return [UsageRow(explainer, stage, 4, 1, 0, 0, 0, 0.5, 1.0) for stage in stages]

    folder = make_run({"gradcam": {"ad": [1.0]}}, models=["net", "timm/a b"])
    store = RunDirectory(folder)
    store.write_usage("net", 0, [*spent("gradcam", "trace", "explain"), *spent(SPEC, "explain")])
    store.write_usage("net", 0, [*spent(SPEC, "explain"), *spent("gradcam", "trace", "explain")])  # the unit once more, in another order
    store.write_usage("net", 0, spent(SPEC, "explain"))  # what was left after a kill between the parts of the unit
    store.write_usage("net", 0, spent("centre", "explain"))  # of a session that adds an explainer
    store.write_usage("net", 1, spent(SPEC, "explain"))
    store.write_usage("timm/a b", 0, spent(SPEC, "explain"))
    store.write_usage("net", 2, [])
    for chunk in (0, 2):  # of a session before usage had one file per unit
        add_part(folder, "usage", "net", "centre", pd.DataFrame([{"stage": "explain", "images": 4, **STAGE}]), chunk)
    found = load_usage(folder)
    assert list(found.columns) == ["model", "explainer", *USAGE_COLUMNS]
    assert list(zip(found["model"], found["explainer"], found["stage"], strict=True)) == [
        ("net", "centre", "explain"),
        ("net", "centre", "explain"),
        ("net", "gradcam", "trace"),
        ("net", "gradcam", "explain"),
        ("net", SPEC, "explain"),
        ("net", SPEC, "explain"),
        ("timm/a b", SPEC, "explain"),
    ]
    assert len(list((folder / "usage").glob("*/*.parquet"))) == 5
    seen = pd.read_parquet(folder / "usage" / "model=timm%2Fa%20b")  # by other tools too
    assert seen["explainer"].tolist() == [SPEC]


@pytest.mark.parametrize("load", [load_run, load_rows, load_usage])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, load):
    with pytest.raises(UsageError, match=r"nowhere: no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"not a run directory \(no run\.json\)"):
        load(str(tmp_path))


def test_a_run_without_rows_is_refused(tmp_path: Path):
    (tmp_path / "run.json").write_text('{"schema": 2}')
    with pytest.raises(UsageError, match="no job is finished; run the same command again"):
        load_rows(tmp_path)


@pytest.mark.parametrize(
    ("schema", "fix"),
    [("1", "repeat the run with another --out"), ("4", "update camdbench"), ('"new"', "repeat the run"), ("true", "repeat")],
)
def test_a_run_of_another_schema_is_refused_in_one_line(tmp_path: Path, schema: str, fix: str):
    (tmp_path / "run.json").write_text(f'{{"schema": {schema}}}')
    with pytest.raises(UsageError, match=rf"run\.json: schema = \S+: this version reads schema 2 and 3; {fix}"):
        load_rows(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_description_is_named(tmp_path: Path, text: str):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(CamdbenchError, match=r"run\.json: damaged \(.+\); delete it") as caught:
        load_run(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["rows", "usage"])
def test_a_truncated_part_is_named_with_the_fix(make_run, share: float, kind: str):
    folder = make_run({"gradcam": {"ad": [1.0]}}, costs={"gradcam": [{"stage": "trace", "images": 4, **STAGE}]})
    (file,) = (folder / kind).rglob("*.parquet")
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CamdbenchError) as caught:
        (load_rows if kind == "rows" else load_usage)(folder)
    assert str(file) in str(caught.value)
    fix = "delete it and run the same command again" if kind == "rows" else "delete it; the usage of its images is then unknown"
    assert fix in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, UsageError)


def test_a_part_that_lacks_a_column_is_damaged(make_run, make_rows, add_part):
    folder = make_run({"gradcam": {"ad": [1.0]}})
    add_part(folder, "rows", "net", "gradcam", make_rows({"gradcam": {"ad": [1.0]}}).drop(columns="protocol"))
    with pytest.raises(CamdbenchError, match=r"part-00000\.parquet: damaged"):
        load_rows(folder)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("value", ["1.5", "2"], "column value: expected numbers, found text"),
        ("label", [0.5, 1.0], "column label: expected integers, found numbers"),
        ("label", pd.array([1, None], dtype="Int64"), "column label: expected integers, found integers with gaps"),
        ("metric", [1, 2], "column metric: expected text, found integers"),
    ],
)
def test_a_column_of_another_type_is_damaged(make_run, make_rows, add_part, column: str, values, message: str):
    folder = make_run({"gradcam": {"ad": [1.0]}})
    add_part(folder, "rows", "net", "other", make_rows({"other": {"ad": [1.0, 2.0]}}).assign(**{column: values}))
    with pytest.raises(CamdbenchError, match=rf"part-00000\.parquet: damaged \({message}\); delete it"):
        load_rows(folder)


def test_narrow_numbers_and_categories_are_read_as_what_they_stand_for(make_run, make_rows, add_part):
    folder = make_run({"gradcam": {"ad": [1.0]}})
    narrow = make_rows({"other": {"ad": [2.0]}}).astype({"label": "int32", "value": "float32", "metric": "category"})
    add_part(folder, "rows", "net", "other", narrow)
    rows, plain = load_rows(folder), load_rows(make_run({"gradcam": {"ad": [1.0]}}, name="plain"))
    assert rows.dtypes.to_dict() == plain.dtypes.to_dict()
    assert rows["value"].tolist() == [1.0, 2.0]
    assert rows["metric"].tolist() == ["ad", "ad"]


def test_an_image_that_stands_twice_would_weigh_twice(make_run, make_rows, add_part):
    folder = make_run({"gradcam": {"ad": [1.0, 2.0], "ag": [3.0, 4.0]}})
    add_part(folder, "rows", "net", "gradcam", make_rows({"gradcam": {"ag": [9.0, 9.0]}}).iloc[1:], chunk=1)
    with pytest.raises(CamdbenchError, match=r"image 'i1' occurs twice for gradcam and ag on net"):
        load_rows(folder)


def test_equal_rows_of_two_models_are_not_twice(make_run):
    rows = load_rows(make_run({"gradcam": {"ad": [1.0]}}, models=["a", "b"]))
    pd.testing.assert_series_equal(rows["value"], pd.Series([1.0, 1.0], name="value"))
