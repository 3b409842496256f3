"""`camdbench diff` names what differs, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.tables.protocol_diff import diff


def a_run(folder: Path, **changes: object) -> Path:
    """A run directory whose record differs from the plain one in `changes`."""
    record = {
        "schema": 2,
        "config": {"target": "label", "limit": 4, "data_root": str(folder), "metrics": [], "models": ["net"], "seed": 0},
        "dataset": {"fingerprint": "aa", "images": 4},
        "models": {"net": {"weights_hash": "11", "layer": "layer4"}},
        "code": "c0de",
        "metrics": {"ad": {"switches": {"masking": "pixels"}, "options": {"keep": 1.0}}},
    }
    for key, value in changes.items():
        record[key] = record[key] | value if isinstance(value, dict) else value
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def lines(first: object, second: object) -> list[tuple[str, ...]]:
    return list(diff(first, second).itertuples(index=False, name=None))


def test_the_same_run_differs_in_nothing_wherever_its_data_lie(tmp_path: Path):
    assert lines(a_run(tmp_path / "a"), a_run(tmp_path / "b")) == []


def test_each_difference_is_named_with_both_values(tmp_path: Path):
    second = a_run(
        tmp_path / "b",
        config={"target": "predicted"},
        dataset={"fingerprint": "bb"},
        models={"net": {"weights_hash": "22", "layer": "layer4"}},
        code="0ther",
        metrics={"ad": {"switches": {"masking": "normalised"}, "options": {"keep": 1.0}}},
    )
    assert lines(a_run(tmp_path / "a"), second) == [
        ("request", "target", "label", "predicted"),
        ("data", "fingerprint", "aa", "bb"),
        ("net", "weights_hash", "11", "22"),
        ("code", "camdbench", "c0de", "0ther"),
        ("ad", "masking", "pixels", "normalised"),
    ]


def test_two_readings_of_a_metric_stand_side_by_side_across_runs(tmp_path: Path):
    second = a_run(tmp_path / "b")
    record = json.loads((second / "run.json").read_text())
    record["metrics"] = {'ad(protocol="x")': {"switches": {"masking": "normalised"}, "options": {"keep": 1.0}}}
    (second / "run.json").write_text(json.dumps(record))
    assert lines(a_run(tmp_path / "a"), second) == [('ad / ad(protocol="x")', "masking", "pixels", "normalised")]


def test_metrics_that_one_run_lacks_stand_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plain = {"switches": {"masking": "pixels", "scored_class": "target"}, "options": {"step": 1}}
    first = a_run(tmp_path / "a", metrics={'ad(protocol="x")': {"switches": {"masking": "pixels"}, "options": {"keep": 1.0}}})
    more = a_run(tmp_path / "b", metrics={"ag": plain, "insertion": plain})
    assert lines(first, more) == [
        ("metrics", "only in A", 'ad(protocol="x")', "—"),
        ("metrics", "only in B", "—", "ag, insertion"),
    ]
    assert run_cli(["diff", str(first), str(more)]) == 0
    assert capsys.readouterr().out == f'only in {first}: ad(protocol="x")\nonly in {more}: ag, insertion\n'
    other = a_run(tmp_path / "c", config={"seed": 1})
    assert run_cli(["diff", str(other), str(more)]) == 0
    out = capsys.readouterr().out
    assert "seed" in out
    assert f"only in {more}: ag, insertion" in out


def test_two_protocols_differ_in_their_switches_and_options():
    assert lines("ad", "ad(protocol=adcc)") == [("ad", "masking", "pixels", "normalised"), ("ad", "scored_class", "target", "predicted")]
    assert lines("ad", "ad(protocol=opticam)") == []
    assert lines("ai", "ai(tolerance=0.1)") == [("ai", "tolerance", "0.0", "0.1")]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("ad", "ag", "ad and ag are different metrics"),
        ("runs/none", "ad", "runs/none: no such run directory"),
        ("ad", "ad(protocol=risee)", "input should be 'opticam', 'adcc' or 'scorecam50'"),
        ("add", "ad", "no metric 'add'; did you mean 'ad'"),
    ],
)
def test_what_cannot_be_compared_is_refused(first: str, second: str, message: str):
    with pytest.raises(UsageError, match=message):
        diff(first, second)


def test_a_run_is_compared_with_a_run_only(tmp_path: Path):
    with pytest.raises(UsageError, match="give two run directories or two metric specs"):
        diff(a_run(tmp_path / "a"), "ad")
