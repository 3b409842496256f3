"""An explainer that changes images or parts of its trace in place is an error, and the explainers after it are not affected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.each import each

import camdbench
from camdbench.explainers.common.trace import Trace


def _numpy(trace: Trace) -> None:
    trace.images.numpy()[:] = 0  # no change of the version of the tensor


CHANGES: dict[str, Callable[[Trace], Any]] = {
    "images": lambda trace: trace.images.mul_(0.5),
    "numpy": _numpy,
    "activations": lambda trace: trace.activations.relu_().mul_(3),
    "gradients": lambda trace: trace.gradients.zero_(),
    "logits": lambda trace: trace.logits.zero_(),
}


@each("name", CHANGES)
def test_a_change_in_place_is_an_error_of_its_explainer_alone(name: str, tmp_path: Path) -> None:
    def changing(trace: Trace) -> Any:
        CHANGES[name](trace)
        return trace.images.mean(1)

    def in_targets(trace: Trace) -> Any:
        trace.targets.zero_()
        return trace.activations.clone().relu_().sum(1)

    chosen = {"changing": changing, "in_targets": in_targets, "gradcam": "gradcam", "saliency": "saliency"}
    found = camdbench.run(chosen, "ad", limit=2, out=tmp_path / "run").set_index("explainer")
    expected = camdbench.run("gradcam,saliency", "ad", limit=2, out=tmp_path / "plain").set_index("explainer")
    for own in ("gradcam", "saliency"):
        assert found.loc[own, ["value", "target"]].to_numpy().tolist() == expected.loc[own, ["value", "target"]].to_numpy().tolist()
    assert set(found.loc["changing", "status"]) == {"error"}
    assert "in place; work on a clone()" in found.loc["changing", "reason"].iloc[0]
    assert set(found.loc["in_targets", "status"]) == {"ok"}
