"""Background independence against passes one by one, its table number, and runs on a generated FunnyBirds layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from metrics.common.test_bird_parts import inputs

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.metrics.background_independence import background_independence
from camdbench.runner.run import run
from camdbench.tables.aggregates import CellData, aggregate


@pytest.mark.parametrize("scored_output", ["logit", "centred_logit"])
def test_an_object_counts_by_the_drop_of_the_label_s_score(scored_output: Any) -> None:
    batch, network = toy_batch(), toy_classifier("dense")
    found, counts = background_independence(inputs(), scored_output=scored_output), []
    for image, versions in enumerate(batch.interventions):
        shown = torch.stack([batch.images[image], *(versions.without_object(number) for number in versions.object_numbers)])
        logits = network(shown).double()
        scores = (logits[:, image] - (logits.mean(1) if scored_output == "centred_logit" else 0)).tolist()
        relevant = [scores[0] - own >= 0.05 * abs(scores[0]) and scores[0] > own for own in scores[1:]]
        counts.append((relevant.count(False), len(relevant)))
        assert found.values[image].item() == pytest.approx(100 * relevant.count(False) / len(relevant))
    cell = CellData(found.values.numpy(), {name: (curve.x.numpy(), curve.y.numpy()) for name, curve in found.curves.items()})
    pooled = 100 * sum(own for own, _ in counts) / sum(total for _, total in counts)
    assert aggregate("ratio of means", cell, np.ones((1, 4)))[0] == pytest.approx(pooled)


def test_without_labels_or_parts_there_is_no_value() -> None:
    assert background_independence(inputs(labels=torch.full((4,), -1))).undefined.all()
    with pytest.raises(NotApplicable, match="images without parts of their object"):
        background_independence(inputs(parts=None))


def test_other_data_are_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --dataset funnybirds --data-root DIR"):
        run(explainers="gradcam", metrics="csdc", limit=1, device="cpu", out=tmp_path)
