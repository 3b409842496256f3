"""The figure of an audit: lines of explainers over networks, dots of metrics, the ceiling, hollow dots."""

from __future__ import annotations

import pandas as pd
import pytest

from camdbench.reporting.audit_figure import audit_figure

EXPLAINERS = pd.DataFrame(
    [
        {"model": model, "explainer": name, "set": kind, "same_as": same, "share_map": share, "share_true": true}
        for model, true in (("b", 0.8), ("a", 0.2), ("*", 0.5))
        for name, kind, same, share in (
            ("gradcam", "real", "", true / 2),
            ("hirescam", "real", "gradcam", true / 2),
            ("centre", "control", "", 0.3),
            ("gtmask", "oracle", "", 1.0),
            ("uniform", "control", "", float("nan")),
        )
    ]
)
METRICS = pd.DataFrame(
    [
        {"model": "*", "metric": name, "truth": truth, "set": "real", "tau": tau, "tau_low": tau - 0.2, "tau_high": tau + 0.2}
        | {"ceiling": 0.9, "fooled_by": fooled}
        for truth in ("error", "tracking")
        for name, tau, fooled in (("ad", -0.3, "fakecam"), ("insertion", 0.5, ""), ("$x$", 0.1, float("nan")))
    ]
)


def test_lines_and_dots_are_those_of_the_tables() -> None:
    figure = audit_figure(EXPLAINERS, METRICS)
    left, right = figure.axes
    lines = {tuple(line.get_xdata()): tuple(line.get_ydata()) for line in left.lines[1:]}
    assert len(left.lines) == 3  # the diagonal, one explainer of two equal ones, one control
    assert lines[0.2, 0.8] in ((0.1, 0.4), (0.3, 0.3))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["gradcam", "centre"]
    dots = [line for line in right.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [0.5, 0.1, -0.3]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, False, True]
    assert [label.get_text() for label in right.get_yticklabels()] == ["insertion", "$x$", "ad"]
    band = right.patches[0].get_path().vertices[:, 0]
    assert (band.min(), band.max()) == pytest.approx((0, 1)) or abs(right.patches[0].get_x()) == pytest.approx(0.9)
    assert "tracking" in right.get_xlabel()


def test_an_audit_of_one_network_shows_the_error_truth() -> None:
    right = audit_figure(EXPLAINERS[EXPLAINERS["model"] == "a"], METRICS[METRICS["truth"] == "error"]).axes[1]
    assert "error" in right.get_xlabel()
    assert audit_figure(EXPLAINERS[:0], METRICS[:0]).axes[1].lines  # the line at 0 alone
