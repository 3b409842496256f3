"""Curves as lists: the points of the former tables, bit for bit, and the matrices that a slow reading of the points gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.each import each

from camdbench.core.errors import CamdbenchError
from camdbench.tables.curve_lists import CurveBlock, FrameCurves, RunCurves, to_table
from camdbench.tables.load import CURVE_COLUMNS, load_curves
from camdbench.tables.summary import summarise

IMAGES = ("a", "b", "c", "d", "é/5")
Blocks = list[CurveBlock]


def some_blocks(seed: int) -> Blocks:
    """Batches of one explainer: two metrics, curves of different length, an image size with other positions."""
    random = np.random.default_rng(seed)
    third, fine = np.arange(4) / 3, np.array([0.9, 0.1, 0.5])  # the second is not ascending
    odd = random.standard_normal((2, 4))
    odd[0, :3] = np.nan, np.inf, -0.0
    return [
        CurveBlock("insertion", "curve", ["b", "a"], third, odd),
        CurveBlock("insertion", "before", ["b", "a"], np.zeros(1), random.random((2, 1))),
        CurveBlock("boxes", "iou 0.5", ["b", "a"], fine, 100.0 * (random.random((2, 3)) < 0.5)),
        CurveBlock("insertion", "curve", ["c", "é/5"], np.linspace(0, 1, 7), random.standard_normal((2, 7))),
        CurveBlock("boxes", "iou 0.5", ["c", "é/5"], fine, 100.0 * (random.random((2, 3)) < 0.5)),
        CurveBlock("boxes", "iou 0.3", [], fine, np.empty((0, 3))),
    ]


def points_of(blocks: Blocks) -> pd.DataFrame:
    """The rows that runs of schema 2 have, written out point by point."""
    names = ["image", "metric", "curve", "x", "value"]
    lines = [
        (image, block.metric, block.curve, float(x), float(value))
        for block in blocks
        for image, row in zip(block.images, block.y, strict=True)
        for x, value in zip(block.x, row, strict=True)
    ]
    return pd.DataFrame(lines, columns=names)


@pytest.fixture
def make_curves(tmp_path: Path, add_part: Callable[..., Path]) -> Callable[..., Path]:
    """A run directory with the curves of two explainers in two chunks; in the form of schema 2 or as lists."""

    def make(*, tidy: bool) -> Path:
        run = tmp_path / f"tidy-{tidy}"
        run.mkdir()
        (run / "run.json").write_text(json.dumps({"schema": 2 if tidy else 3}))
        for number, explainer in enumerate(("power(gradcam, alpha=2.0)", "centre")):
            for chunk in range(2):
                blocks = some_blocks(10 * number + chunk)
                file = add_part(run, "curves", "net@V1", explainer, points_of(blocks), chunk)
                if not tidy:
                    pq.write_table(to_table(blocks), file, write_page_checksum=True)
        return run

    return make


def test_points_are_those_of_the_former_tables_bit_for_bit(make_curves):
    lists, tidy = load_curves(make_curves(tidy=False)), load_curves(make_curves(tidy=True))
    expected = pd.concat(
        points_of(some_blocks(10 * number + chunk)).assign(model="net@V1", explainer=explainer)
        for number, explainer in ((1, "centre"), (0, "power(gradcam, alpha=2.0)"))
        for chunk in range(2)
    )
    expected = expected[list(CURVE_COLUMNS)].reset_index(drop=True)
    for found in (lists, tidy):
        assert list(found.columns) == list(CURVE_COLUMNS)
        pd.testing.assert_frame_equal(found, expected.astype(found.dtypes.to_dict()), check_exact=True)
        assert found[["x", "value"]].dtypes.tolist() == [np.float64, np.float64]
        for name in ("x", "value"):
            assert found[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes()  # the sign of 0 too


@pytest.mark.parametrize("tidy", [False, True])
def test_a_cell_is_what_its_points_are_image_by_image(make_curves, tidy: bool):
    run, images = make_curves(tidy=tidy), ("é/5", "a", "b", "x", "c")
    points = load_curves(run)
    for (explainer, metric), own in points.groupby(["explainer", "metric"]):
        found = RunCurves((run,)).of_cell("net@V1", explainer, metric, images)
        shuffled = FrameCurves(
            points.drop_duplicates(["explainer", "metric", "curve", "image", "x"], keep="last").sample(frac=1, random_state=0)
        )
        again = shuffled.of_cell("net@V1", explainer, metric, images)
        assert list(found) == list(again) == sorted(own["curve"].unique())
        assert RunCurves((run,)).of_cell("net@V1", explainer, "absent", images) == {}  # as of a map that gives no order
        for curve, (x, y) in found.items():
            part = own[own["curve"] == curve]
            assert x.tolist() == sorted(part["x"].unique())
            value = {(line.image, line.x): line.value for line in part.itertuples()}
            slow = [[value.get((image, each), np.nan) for each in x] for image in images]
            np.testing.assert_array_equal(y, slow)
            np.testing.assert_array_equal(again[curve][1], slow)


def test_files_are_joined_by_appending_their_rows(make_curves):
    run = make_curves(tidy=False)
    expected = load_curves(run)
    for folder in (run / "curves" / "model=net%40V1").iterdir():
        one, two = sorted(folder.iterdir())
        pq.write_table(pa.concat_tables([pq.read_table(file, partitioning=None) for file in (one, two)]), one)
        two.unlink()
    pd.testing.assert_frame_equal(load_curves(run), expected, check_exact=True)
    cell = RunCurves((run,)).of_cell("net@V1", "centre", "insertion", IMAGES)
    positions = np.union1d(np.arange(4) / 3, np.linspace(0, 1, 7))  # of images of two sizes
    np.testing.assert_array_equal(cell["curve"][0], positions)
    assert cell["curve"][1].shape == (5, len(positions))


def test_a_cell_needs_the_files_of_its_explainer_alone(make_curves):
    run = make_curves(tidy=False)
    expected = RunCurves((run,)).of_cell("net@V1", "centre", "boxes", IMAGES)
    for file in run.rglob("explainer=power*/*.parquet"):
        file.write_bytes(b"damaged")
    found = RunCurves((run,)).of_cell("net@V1", "centre", "boxes", IMAGES)
    np.testing.assert_array_equal(found["iou 0.5"][1], expected["iou 0.5"][1])
    with pytest.raises(CamdbenchError, match=r"part-00000\.parquet: damaged"):
        load_curves(run)


@each(
    ("changed", "message"),
    [
        ({"x": ["[0.0, 0.5]", "[0.0]"]}, "column value: lists of other lengths than those of column x"),
        ({"x": ["[0.0, 0.5]", "[0.0, 0.5"]}, "Expecting"),
        ({"x": ["[0.0, 0.5]", "0.5"]}, ".+"),
        ({"x": ["[0.0, 0.5]", '["a", "b"]']}, ".+"),
        ({"x": [0.0, 0.5]}, "columns x and value: one has a row per point, the other a row per curve"),
        ({"value": [0.0, 0.5]}, "columns x and value: one has a row per point, the other a row per curve"),
        ({"value": [["a", "b"], ["a", "b"]]}, "column value: expected numbers, found lists of text"),
        ({"value": [[0.0, 0.5], None]}, ".+"),
        ({"metric": [["m"], ["m"]]}, "column metric: expected text, found lists of text"),
    ],
)
def test_curves_of_another_form_are_named_in_one_line(tmp_path: Path, changed: dict[str, list[object]], message: str):
    (tmp_path / "run.json").write_text('{"schema": 3}')
    file = tmp_path / "curves" / "model=net" / "explainer=centre" / "part-00000.parquet"
    file.parent.mkdir(parents=True)
    whole = {"image": ["a", "b"], "metric": ["m", "m"], "curve": ["c", "c"], "x": ["[0.0, 0.5]"] * 2, "value": [[1.0, 2.0], [3.0, 4.0]]}
    pq.write_table(pa.table(whole), file)
    assert load_curves(tmp_path)["value"].tolist() == [1.0, 2.0, 3.0, 4.0]
    pq.write_table(pa.table(whole | changed), file)
    for read in (load_curves, lambda run: RunCurves((run,)).of_cell("net", "centre", "m", IMAGES)):
        with pytest.raises(CamdbenchError, match=rf"part-00000\.parquet: damaged \({message}.*\); delete it") as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)


def test_numbers_of_a_run_are_those_of_its_points_and_leave_out_parts_without_rows(make_rows, tmp_path: Path, add_part):
    random, images = np.random.default_rng(3), 12
    hits = {name: 100.0 * (random.random((images, 5)) < 0.4) for name in ("iou 0.3", "iou 0.5")}
    blocks = [CurveBlock("boxes", name, [f"i{n}" for n in range(images)], np.arange(5) / 5, y) for name, y in hits.items()]
    rows = make_rows({"centre": {"boxes": hits["iou 0.5"].mean(1).tolist()}, "random": {"boxes": [1.0] * images}})
    about = {
        "schema": 3,
        "metrics": {"boxes": {"switches": {"reduction": "maximum over thresholds"}, "unit": "%", "higher_is_better": True}},
    }
    (tmp_path / "run.json").write_text(json.dumps(about))
    points = pd.concat([points_of(blocks).assign(model="net", explainer=name) for name in ("centre", "random")])
    for explainer, own in rows.groupby("explainer"):
        add_part(tmp_path, "rows", "net", explainer, own if explainer == "random" else own.iloc[:9])
        pq.write_table(to_table(blocks), add_part(tmp_path, "curves", "net", explainer, points_of(blocks)))
    whole, cut = summarise(rows, about=about, curves=points), summarise(tmp_path).set_index("explainer")
    for column in ("mean", "ci_low", "ci_high"):
        assert cut.loc["random", column] == whole.set_index("explainer").loc["random", column]
    assert cut.loc["random", "mean"] == pytest.approx(np.mean([y.mean(0).max() for y in hits.values()]))
    assert cut.loc["centre", "n"] == 9
    assert cut.loc["centre", "mean"] == pytest.approx(np.mean([y[:9].mean(0).max() for y in hits.values()]))
