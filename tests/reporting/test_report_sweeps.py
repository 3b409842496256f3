"""Charts of varied options hold the means of the summary."""

from __future__ import annotations

from pathlib import Path

import pytest

import camdbench
from camdbench.reporting.report_sweeps import sweep_charts


def test_a_varied_option_has_a_chart_per_metric_with_the_means_of_the_summary(tmp_path: Path):
    specs = {1.0: "opticam(iterations=1)", 2.0: "opticam(iterations=2)", 4.0: "opticam(iterations=4)"}
    camdbench.run(f"{','.join(specs.values())},gradcam", "ad,ag", limit=3, out=tmp_path / "run")
    summary = camdbench.summarise(tmp_path / "run")
    charts = sweep_charts(summary)
    assert [(own["metric"], own["option"], own["of"], own["direction"]) for own in charts] == [
        ("ad", "iterations", "opticam", -1),
        ("ag", "iterations", "opticam", 1),
    ]
    for chart in charts:
        [line] = chart["lines"]
        assert {point["value"]: point["explainer"] for point in line["points"]} == specs
        own = summary[summary["metric"] == chart["metric"]].set_index("explainer")
        for point in line["points"]:
            expected = own.loc[point["explainer"], ["mean", "ci_low", "ci_high"]].tolist()
            assert [point["mean"], point["low"], point["high"]] == pytest.approx(expected, rel=6e-4, abs=1e-9)
    page = camdbench.report(tmp_path / "run").file.read_text(encoding="utf-8")
    assert 'id="sweeps"' in page
    assert sweep_charts(summary[summary["explainer"].isin(["gradcam", specs[1.0]])]) == []
