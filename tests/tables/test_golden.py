"""The regression gate: it opens for the same values and closes for any that moved."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from camdbench.core.errors import UsageError
from camdbench.tables.golden import GOLDEN_COLUMNS, check, golden_table, read_golden, write_golden
from camdbench.tables.render import to_console
from camdbench.tables.summary import write_summary

NAN = (float("nan"), "error")
SPEC = 'opticam(iterations=50, objective="diff")'
VALUES = {SPEC: {"ad": [10.0, 20.0], "ag": [1.0, 2.0]}, "fakecam": {"ad": [0.0, 0.0], "ag": [NAN, NAN]}}


@pytest.fixture
def golden(make_run, tmp_path: Path) -> Path:
    write_golden(make_run(VALUES, name="then"), tmp_path / "made" / "golden.csv")
    return tmp_path / "made" / "golden.csv"


def statuses(comparison) -> dict[tuple[str, str], str]:
    cells = comparison.cells
    return dict(zip(zip(cells["explainer"], cells["metric"], strict=True), cells["status"], strict=True))


def now(values, explainer: str, metric: str, items) -> dict:
    return {name: {**table, **({metric: items} if name == explainer else {})} for name, table in values.items()}


def test_a_run_meets_its_own_golden_values(make_run, golden: Path):
    comparison = check(make_run(VALUES), golden)
    assert comparison.ok
    assert comparison.moved.empty
    assert comparison.new.empty
    assert set(statuses(comparison).values()) == {"ok"}


def test_golden_values_are_written_with_the_tolerances_of_the_run(golden: Path):
    written = read_golden(golden)
    assert list(written.columns) == list(GOLDEN_COLUMNS)
    line = written.iloc[0]
    assert (line["explainer"], line["metric"], line["target_rule"], line["mean"], line["n"], line["tolerance"]) == (
        SPEC,
        "ad",
        "label",
        15.0,
        2,
        0.5,
    )
    assert written["mean"].isna().tolist() == [False, False, False, True]
    assert written["n"].tolist() == [2, 2, 2, 0]


@pytest.mark.parametrize(("mean", "ok"), [(15.5, True), (14.5, True), (15.51, False), (14.49, False)])
def test_a_mean_may_move_by_the_tolerance_and_no_further(make_run, golden: Path, mean: float, ok: bool):
    comparison = check(make_run(now(VALUES, SPEC, "ad", [mean, mean])), golden)
    assert comparison.ok is ok
    assert statuses(comparison)[SPEC, "ad"] == ("ok" if ok else "moved")
    assert comparison.cells["difference"][0] == pytest.approx(mean - 15)
    assert len(comparison.moved) == (0 if ok else 1)


def test_another_number_of_images_is_a_move_even_for_the_same_mean(make_run, golden: Path):
    comparison = check(
        make_run({SPEC: {"ad": [10.0, 20.0, 15.0], "ag": [1.0, 2.0, NAN]}, "fakecam": {"ad": [0.0, 0.0, NAN], "ag": [NAN] * 3}}), golden
    )
    assert statuses(comparison) == {(SPEC, "ad"): "n_differs", (SPEC, "ag"): "ok", ("fakecam", "ad"): "ok", ("fakecam", "ag"): "ok"}
    moved = comparison.moved.iloc[0]
    assert (moved["golden_n"], moved["run_n"]) == (2, 3)
    assert not comparison.ok


def test_a_value_where_there_was_none_is_a_move_and_the_other_way_round(make_run, golden: Path):
    assert statuses(check(make_run(now(VALUES, "fakecam", "ag", [1.0, NAN])), golden))["fakecam", "ag"] == "n_differs"
    assert statuses(check(make_run(now(VALUES, SPEC, "ag", [NAN, NAN])), golden))[SPEC, "ag"] == "n_differs"
    edited = golden.read_text().replace(",1.5,2,", ",,2,")
    golden.write_text(edited)
    assert statuses(check(make_run(VALUES), golden))[SPEC, "ag"] == "moved"


def test_what_is_missing_fails_and_what_is_new_does_not(make_run, golden: Path):
    fewer = check(make_run({SPEC: VALUES[SPEC]}), golden)
    assert statuses(fewer)["fakecam", "ad"] == "missing"
    assert not fewer.ok
    more = check(make_run({**VALUES, "centre": VALUES[SPEC]}), golden)
    assert more.ok
    assert list(more.new["explainer"]) == ["centre", "centre"]
    assert statuses(more)["centre", "ag"] == "new"


@pytest.mark.parametrize("name", ["dataset", "split", "model", "protocol", "target_rule"])
def test_every_part_of_the_key_counts(make_run, golden: Path, name: str):
    table = pd.read_csv(golden, dtype=str, keep_default_na=False)
    table.loc[0, name] = "NA"  # pandas would read this as missing
    table.to_csv(golden, index=False)
    comparison = check(make_run(VALUES), golden)
    assert list(comparison.moved["status"]) == ["missing"]
    assert list(comparison.moved[name]) == ["NA"]
    assert len(comparison.new) == 1


def test_cells_keep_the_order_of_the_golden_file(make_run, golden: Path):
    table = pd.read_csv(golden, dtype=str, keep_default_na=False).iloc[[2, 0, 3, 1]]
    table.to_csv(golden, index=False)
    cells = check(make_run({**VALUES, "a": VALUES[SPEC]}), golden).cells
    assert list(cells["explainer"]) == ["fakecam", SPEC, "fakecam", SPEC, "a", "a"]
    assert list(cells["metric"]) == ["ad", "ad", "ag", "ag", "ad", "ag"]


def test_tolerances_can_be_chosen_by_metric(make_run, tmp_path: Path):
    run = make_run(VALUES)
    written = write_golden(run, tmp_path / "golden.csv", tolerances={"ag": 0.0})
    assert written["tolerance"].tolist() == [0.5, 0.0, 0.5, 0.0]
    assert check(run, tmp_path / "golden.csv").ok
    with pytest.raises(UsageError, match="tolerances: rise not in the run; choose from ad, ag"):
        write_golden(run, tmp_path / "golden.csv", tolerances={"rise": 1.0})


HEAD = ",".join(GOLDEN_COLUMNS)
LINE = "shapes,val,net,gradcam,ad,opticam,label,1,2,0.5"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"PAR1\x00\xff\xfe\x9d", "damaged"),
        (f"{HEAD}\n{LINE}\n{LINE},7,8,9".encode(), "damaged"),
        (f"{HEAD}\n{LINE},7,8,9\n{LINE}".encode(), "more fields than its header"),
        (b"dataset,mean\nshapes,1", "missing column split, model, explainer, metric, protocol, target_rule, n, tolerance"),
        (HEAD.encode(), "no cells"),
        (f"{HEAD}\n{LINE.replace('1,2,0.5', 'one,2,0.5')}".encode(), "column mean: .*one"),
        (f"{HEAD}\n{LINE.replace('0.5', '')}".encode(), "column tolerance|tolerance and n must"),
        (f"{HEAD}\n{LINE.replace('0.5', '-1')}".encode(), "tolerance and n must be 0 or more"),
        (f"{HEAD}\n{LINE.replace(',2,', ',2.5,')}".encode(), "n an integer"),
        (f"{HEAD}\n{LINE.replace(',2,', ',,')}".encode(), "column n|n an integer"),
        (f"{HEAD}\n{LINE}\n{LINE}".encode(), "duplicate cell: shapes, val, net, gradcam, ad"),
    ],
)
def test_a_bad_golden_file_is_refused(make_run, tmp_path: Path, content: bytes, message: str):
    (tmp_path / "golden.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        check(make_run({"gradcam": {"ad": [1.0]}}), tmp_path / "golden.csv")
    assert str(tmp_path / "golden.csv") in str(caught.value)


def test_no_golden_file_is_refused_before_the_run_is_read(tmp_path: Path):
    with pytest.raises(UsageError, match=r"golden\.csv: no such file"):
        check(tmp_path / "no run", tmp_path / "golden.csv")


def shown(comparison, width: int = 160) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(to_console([golden_table(comparison)]))
    return capture.get()


def test_tolerance_and_number_of_images_fit_80_columns(make_run, golden: Path):
    """Also of values with exponents, beside a name that is longer than the terminal is wide."""
    text = golden.read_text().replace(",15,2,0.5", ",-1.852e-205,2,1.234e-205")
    golden.write_text(text.replace("fakecam", "fake" * 25))
    lines = shown(check(make_run(VALUES), golden), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[-5:] == ["moved", "-1.852e-205", "15", "15", "1.234e-205"] for line in lines)
    assert sum("2 images" in line for line in lines) == 2  # of the moved cell and a missing one; the other golden cell has none
    assert sum("0 images" in line for line in lines) == 1


def test_the_summary_file_of_a_run_is_checked_like_the_run(make_run, golden: Path, tmp_path: Path):
    run = make_run(now(VALUES, SPEC, "ad", [11.0, 20.0]))
    write_summary(run)
    by_file, by_run = check(run / "summary.csv", golden), check(run, golden)
    pd.testing.assert_frame_equal(by_file.cells, by_run.cells, check_exact=False, rtol=1e-9)
    assert statuses(by_file)[SPEC, "ad"] == "ok"
    assert by_file.cells["difference"][0] == pytest.approx(0.5)
    assert write_golden(run / "summary.csv", tmp_path / "again.csv")["mean"].tolist()[:3] == pytest.approx([15.5, 1.5, 0.0])
    assert check(run, tmp_path / "again.csv").ok
    with pytest.raises(UsageError, match="no summary: missing column protocol"):
        (run / "summary.csv").write_text("dataset,split,model,explainer,metric,target_rule,mean,n\na,b,c,d,ad,label,1,2\n")
        check(run / "summary.csv", golden)


def test_a_met_comparison_is_one_line(make_run, golden: Path):
    assert shown(check(make_run(VALUES), golden)) == "4 of 4 golden cells met.\n"
    assert shown(check(make_run({**VALUES, "centre": VALUES[SPEC]}), golden)) == "4 of 4 golden cells met; without a golden value: 2.\n"


def test_a_failed_comparison_shows_what_moved_and_only_that(make_run, golden: Path):
    text = shown(check(make_run({SPEC: {"ad": [18.0, 18.0], "ag": [1.5, 1.5]}}), golden))
    assert f"{SPEC} · ad (opticam)" in text
    line = next(line for line in text.splitlines() if "· ad (opticam)" in line and SPEC in line)
    assert line.split()[-5:] == ["moved", "15", "18", "3", "0.5"]
    assert "2 images" in text
    assert sum("missing" in line and "fakecam" in line for line in text.splitlines()) == 2
    assert f"{SPEC} · ag" not in text
    assert text.endswith("1 of 4 golden cells met.\n")
    assert "2 → 3 images" in shown(check(make_run({SPEC: {"ad": [15.0] * 3, "ag": [1.5] * 3}}, name="longer"), golden))
