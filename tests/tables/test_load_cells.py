"""The matrix that is read file by file is that of the rows, whatever the files hold and in whatever order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from helpers.each import each

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.row import Row
from camdbench.tables.cell_values import KEY, STATUSES, Cells, cells_of, join_cells
from camdbench.tables.load import load_missing, load_rows
from camdbench.tables.load_cells import load_cells
from camdbench.tables.summary import summarise

MODELS, EXPLAINERS, METRICS = ("net", "timm/vit@a b"), ("opticam(lr=0.1)", "gradcam", "none"), ("ad", "ag", "rfs(k=1)")
IDS = [f"class {number % 3}/ä{number}.jpg" for number in range(8)]
NAN = float("nan")
VALUES = {"gradcam": {"ad": [1.0, 2.0, NAN], "ag": [3.0, (NAN, "undefined"), (5.0, "constant_map")]}, "centre": {"ad": [7.0, 8.0, 9.0]}}


def assert_same(found: Cells, expected: Cells) -> None:
    pd.testing.assert_frame_equal(found.keys, expected.keys)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.status, expected.status)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.images == expected.images
    assert (np.asarray(found.values).dtype, found.status.dtype) == (np.float64, np.uint8)


def by_key(cells: Cells) -> Cells:
    """The cells sorted by their keys."""
    order = cells.keys.sort_values(list(KEY)).index.to_numpy()
    return replace(
        cells, keys=cells.keys.iloc[order].reset_index(drop=True), values=np.take(cells.values, order, axis=0), status=cells.status[order]
    )


def some_rows(seed: int) -> pd.DataFrame:
    """Rows of a run in any order; some are missing, and a metric may have two protocols."""
    random, lines = np.random.default_rng(seed), list[Row]()
    for model in MODELS:
        for explainer in EXPLAINERS:
            for metric in random.permutation(METRICS)[: random.integers(4)].tolist():
                for index, image in enumerate(IDS):
                    value, protocol = random.choice([0.5, 1.25, -3.0, NAN, np.inf]), str(random.choice(["p", "p", "p", "q"]))
                    status = str(random.choice(["", "ok", "ok", *STATUSES[1:], "lost"]))
                    row = Row(
                        "r", "d", "val", image, index, model, explainer, "label", 1, metric, protocol, "0", value, "ok", f"reason {index}"
                    )
                    lines += [row._replace(status=status)] if status else []
    rows = pd.DataFrame(lines, columns=list(Row._fields))
    return rows.sample(frac=1, random_state=seed).reset_index(drop=True)


def write(folder: Path, rows: pd.DataFrame, add_part: Callable[..., Path], seed: int) -> None:
    """Write rows as parts, cut anywhere; the record lists some of the names only."""
    cuts = np.random.default_rng(seed).integers(1, 20, seed % 4)
    for (model, explainer), own in rows.groupby(["model", "explainer"]):
        ends = sorted({0, *(cut for cut in cuts if cut < len(own)), len(own)})
        for chunk, (start, stop) in enumerate(pairwise(ends)):
            add_part(folder, "rows", str(model), str(explainer), own.iloc[start:stop], chunk)
    config = {"models": [MODELS[1]], "explainers": list(EXPLAINERS[:2]), "metrics": list(METRICS[1:])}
    (folder / "run.json").write_text(json.dumps({"schema": 2, "config": config, "ids": IDS[::-1][: seed % 9]}))


def read_slowly(folder: Path) -> pd.DataFrame:
    """All rows by pandas, sorted by the places of their names in the record; other names follow, sorted."""
    parts = [
        pd.read_parquet(file).assign(
            **{kind: unquote(own.name.partition("=")[2]) for kind, own in zip(("explainer", "model"), file.parents)}
        )
        for file in folder.rglob("*.parquet")
    ]
    rows = pd.concat(parts)[list(Row._fields)]
    about = json.loads((folder / "run.json").read_text())
    orders = [about["config"]["models"], about["config"]["explainers"], about["ids"], about["config"]["metrics"]]

    def place(line: tuple[str, ...]) -> list[tuple[int, str]]:
        return [(order.index(name) if name in order else len(order), name) for name, order in zip(line, orders, strict=True)]

    keys = [place(line) for line in rows[["model", "explainer", "image", "metric"]].itertuples(index=False, name=None)]
    return rows.iloc[sorted(range(len(rows)), key=keys.__getitem__)].reset_index(drop=True)


@pytest.mark.parametrize("seed", range(12))
def test_cells_are_those_of_the_rows_in_their_order(tmp_path: Path, add_part, seed: int):
    folder = tmp_path
    write(folder, some_rows(seed), add_part, seed)
    whole = load_rows(folder)
    pd.testing.assert_frame_equal(whole, read_slowly(folder))
    assert_same(load_cells(folder), cells_of(whole))
    coded = load_rows(folder, categories=True)
    assert all(isinstance(coded[name].dtype, pd.CategoricalDtype) for name in (*KEY, "image", "status", "reason"))
    pd.testing.assert_frame_equal(coded.astype(whole.dtypes.to_dict()), whole)
    assert_same(cells_of(coded), cells_of(whole))
    missing = load_missing(folder)
    expected = whole[~whole["status"].isin(["ok", "constant_map"])][list(missing.columns)].reset_index(drop=True)
    assert missing.to_dict("records") == expected.to_dict("records")


@each("seed", range(6))
def test_joined_and_selected_cells_are_those_of_joined_and_selected_rows(seed: int):
    rows, kept = some_rows(seed), IDS[seed : seed + 3]
    some = rows[rows["image"].isin(kept)]
    cells = cells_of(rows)
    assert_same(by_key(cells.select_images(np.isin(cells.images, kept))), by_key(cells_of(some)))
    first, second = rows[rows["model"] == MODELS[0]], rows[(rows["model"] == MODELS[1]) & rows["image"].isin(kept)]
    assert_same(join_cells([cells_of(first), cells_of(second)]), cells_of(pd.concat([first, second])))


def test_a_selection_is_that_of_the_rows(make_run):
    folder = make_run(VALUES)
    rows = load_rows(folder)
    for found, own in (
        (load_cells(folder, "ag"), rows["metric"] == "ag"),
        (load_cells(folder, ["ad"], ["centre"]), (rows["metric"] == "ad") & (rows["explainer"] == "centre")),
        (load_cells(folder, explainers="gradcam"), rows["explainer"] == "gradcam"),
    ):
        assert_same(found, cells_of(rows[own]))
    selected = load_rows(folder, metrics="ad", explainers=["gradcam"])
    own = rows[(rows["metric"] == "ad") & (rows["explainer"] == "gradcam")].reset_index(drop=True)
    pd.testing.assert_frame_equal(selected, own)
    for load in (load_rows, load_cells):
        with pytest.raises(UsageError, match=r"^metrics = xy: no rows in .*run; choose from ad, ag$"):
            load(folder, metrics="ad,xy")
        with pytest.raises(UsageError, match=r"^explainers = rise: no rows in .*run; choose from gradcam, centre$"):
            load(folder, explainers=["rise", "centre"])


def test_counts_by_hand_and_the_summary_of_cells(make_run):
    folder = make_run(VALUES)
    cells = load_cells(folder)
    assert cells.keys[["explainer", "metric"]].to_numpy().tolist() == [["gradcam", "ad"], ["gradcam", "ag"], ["centre", "ad"]]
    np.testing.assert_array_equal(cells.values, [[1, 2, NAN], [3, NAN, 5], [7, 8, 9]])
    assert [cells.n_failed.tolist(), cells.n_undefined.tolist()] == [[1, 0, 0], [0, 1, 0]]
    assert [cells.n_constant.tolist(), cells.n_not_applicable.tolist()] == [[0, 1, 0], [0, 0, 0]]
    about = json.loads((folder / "run.json").read_text())
    pd.testing.assert_frame_equal(summarise(cells, about=about), summarise(folder))


@pytest.mark.parametrize("protocol", ["opticam", "other"])
def test_an_image_with_two_rows_is_named_as_by_the_rows(make_run, make_rows, add_part, protocol: str):
    folder = make_run({"gradcam": {"ad": [1.0, 2.0], "ag": [3.0, 4.0]}}, models=["other", "net"])
    add_part(folder, "rows", "net", "gradcam", make_rows({"gradcam": {"ag": [9.0, 9.0]}}).assign(protocol=protocol).iloc[1:], chunk=1)
    for load in (load_rows, load_cells):
        with pytest.raises(CamdbenchError, match=r"run: image 'i1' occurs twice for gradcam and ag on net; delete that folder under rows/"):
            load(folder)


@pytest.mark.parametrize("kind", ["truncated", "flipped", "gaps", "several explainers"])
def test_a_damaged_file_is_named(make_run, make_rows, add_part, kind: str):
    folder = make_run(VALUES)
    rows = make_rows({"rise": {"ad": [1.0, 2.0, 3.0]}})
    file = add_part(folder, "rows", "net", "rise", rows.assign(protocol=["a", None, "b"]) if kind == "gaps" else rows)
    data = file.read_bytes()
    if kind == "truncated":
        file.write_bytes(data[:-10])
    elif kind == "flipped":
        import pyarrow.parquet as pq

        pq.write_table(pq.read_table(file), file, write_page_checksum=True, compression="none")
        data = bytearray(file.read_bytes())
        data[data.index(np.float64(2.0).tobytes())] ^= 1
        file.write_bytes(data)
    elif kind == "several explainers":
        file = file.rename(file.parents[1] / "part-00000-0a1b2c3d.parquet")
    with pytest.raises(CamdbenchError, match=rf"{file.name}: (damaged|cannot be read|not a file of rows)") as caught:
        load_cells(folder)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_without_rows_has_no_cells(tmp_path: Path):
    (tmp_path / "run.json").write_text('{"schema": 2}')
    with pytest.raises(UsageError, match="no job is finished; run the same command again"):
        load_cells(tmp_path)
