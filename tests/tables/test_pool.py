"""Pooled runs give the table, the tests and the ranks of one run that has all their cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.tables.comparison import compare
from camdbench.tables.mean_ranks import agree, rank
from camdbench.tables.pool import load_pooled
from camdbench.tables.summary import summarise

RANDOM = np.random.default_rng(7)
VALUES = {name: {metric: list(RANDOM.uniform(10, 60, 12)) for metric in ("ad", "ag", "sparseness")} for name in ("a", "b", "c", "fakecam")}
FACTS = {
    "code": "c0de0000",
    "dataset": {"fingerprint": "da7a0000"},
    "models": {"net": {"weights_hash": "1a2b3c4d", "layer": "features.3"}},
    "plugins": {"a": "f00d0000"},
    "given": {"b": "cafe0000"},
}


def amended(run: Path, **facts: object) -> Path:
    """The run, with facts in its record."""
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | FACTS | facts))
    return run


def test_pooled_runs_are_one_run(make_run):
    cost = [{"stage": "explain", "images": 12, "forward": 24, "backward": 0, "tail_forward": 0, "tail_backward": 0, "seconds": 6.0}]
    cost[0]["peak_memory_mb"] = 1.0
    whole = amended(make_run(VALUES, name="whole", costs={"a": cost}))
    one = amended(make_run({name: VALUES[name] for name in ("a", "b")}, name="one", costs={"a": cost}))
    two = amended(make_run({name: VALUES[name] for name in ("c", "fakecam")}, name="two"))
    for read in (summarise, compare, rank, agree):
        expected, found = read(whole), read(one, two)
        names = [name for name in ("model", "explainer", "metric", "a", "b", "metric_a", "metric_b") if name in found]
        pd.testing.assert_frame_equal(*(own.sort_values(names).reset_index(drop=True) for own in (expected, found)))
    metrics = [amended(make_run({name: {m: VALUES[name][m]} for name in VALUES}, name=m)) for m in ("ad", "ag", "sparseness")]
    assert len(summarise(*metrics)) == len(summarise(whole)) == 12
    names = ["explainer", "metric"]
    assert summarise(*metrics).set_index(names)["mean"].to_dict() == summarise(whole).set_index(names)["mean"].to_dict()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"models": {"net": {"weights_hash": "9c8d7e6f"}}},
            r"the networks differ \(net: weights 1a2b… and 9c8d…\); --across",
        ),
        ({"models": {"net": {"weights_hash": "1a2b3c4d", "layer": "x"}}}, r"the networks differ \(net: layer features.3 and x\)"),
        ({"dataset": {"fingerprint": "da7a9999"}}, r"the data differ \(fingerprints da7a0000 and da7a9999\)"),
        ({"ids": ["i0"]}, r"the images differ \(12 and 1 images\)"),
        ({"code": "0therc0de"}, r"the code of camdbench differs \(c0de… and 0the…\)"),
        ({"config": {"target": "predicted"}}, "target: None and predicted"),
        ({"config": {"seed": 1}}, "seed: None and 1"),
        ({"metrics": {"ad": {"protocol": "opticam", "protocol_hash": "1"}}}, "the protocols of ad differ"),
        ({"plugins": {"a": "beef0000"}}, r"the code of a differs \(f00d… and beef…\)"),
        ({"given": {"b": "face0000"}}, r"the maps of b differ \(cafe… and face…\)"),
    ],
)
def test_runs_that_differ_elsewhere_are_refused_by_the_difference(make_run, facts: dict[str, object], message: str):
    one = amended(make_run({"a": VALUES["a"]}, name="one"))
    two = amended(make_run({"c": VALUES["c"]}, name="two"), **facts)
    with pytest.raises(UsageError, match=f"one and two cannot be pooled: {message}"):
        load_pooled([one, two])


def test_equal_cells_are_refused_and_a_pooled_summary_writes_no_file(make_run, capsys: pytest.CaptureFixture[str]):
    one, two, three = (make_run({name: VALUES[name]}, name=run) for name, run in (("a", "one"), ("c", "two"), ("a", "three")))
    assert run_cli(["summarise", str(one), str(two)]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}  " in out for name in "ac")
    assert not list(one.parent.glob("*/summary.*"))
    assert run_cli(["compare", str(one), str(three)]) == 2
    assert "both have a × ad on net; --across compares equal cells" in capsys.readouterr().err
    with pytest.raises(UsageError, match="some of them rows"):
        summarise(one, pd.DataFrame())
    with pytest.raises(UsageError, match="no run"):
        compare()


def test_what_is_read_once_gives_every_table(make_run):
    one, two = (make_run({name: VALUES[name]}, name=run) for name, run in (("a", "one"), ("c", "two")))
    pooled = load_pooled([one, two])
    assert load_pooled([pooled]) is pooled
    for table in (compare, rank, summarise):
        pd.testing.assert_frame_equal(table(pooled), table(one, two))
    without = summarise(pooled, interval=None)
    assert without["mean"].tolist() == summarise(pooled)["mean"].tolist()
    assert without[["ci_low", "ci_high"]].isna().to_numpy().all()
