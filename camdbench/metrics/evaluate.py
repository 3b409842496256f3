"""`camdbench.evaluate`: metrics for maps that somebody else made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from camdbench.core.catalogue import metrics as registry
from camdbench.core.errors import UsageError
from camdbench.datasets.memory import batch_in_memory
from camdbench.datasets.samples import Batch
from camdbench.functional.normalise import Normalisation, normalise, upsample
from camdbench.functional.targets import check_classes
from camdbench.metrics.evidence import Evidence
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import as_classifier

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    model: Classifier | str,
    images: Tensor,
    labels: Sequence[int] | Tensor,
    saliency: Tensor,
    metrics: str | Sequence[str] = ("ad", "ag", "ai"),
    *,
    normalisation: Normalisation = "none",
    batch_size: int = 16,
) -> pd.DataFrame:
    """Judge saliency maps, whoever made them.

    Args:
        model: a `Classifier`, or the name of one in the zoo.
        images: (N, 3, H, W) in [0, 1].
        labels: N classes that were explained and are scored.
        saliency: (N, h, w); up-sampled to the images where it is smaller.
        metrics: specs of metrics.
        normalisation: what is done to the maps first: none, range, max or sigmoid. With none they must be in [0, 1].
        batch_size: images at a time.

    Returns:
        One row per image and metric, image by image: image, target, metric, protocol, value, unit.

    Raises:
        UsageError: shapes, values or names do not fit.
    """
    import pandas as pd

    classifier = as_classifier(model)
    specs = registry.parse(metrics)
    for spec in specs:
        if needs := registry.get(spec.name).facts.needs:
            raise UsageError(f"metric {spec} needs {', '.join(needs)}, which evaluate does not take")
    batch = batch_in_memory(images, labels=labels)
    maps = _finished(saliency, batch, normalisation)
    rows = list[dict[str, object]]()
    with torch.inference_mode(mode=False), classifier.frozen():
        for start in range(0, len(batch), batch_size):
            part = batch.part(start, start + batch_size).to(classifier.device)
            evidence = Evidence(classifier, part.images, part.labels, maps[start : start + batch_size].to(classifier.device))
            check_classes(part.labels, evidence.logits.shape[1], "labels: an image is given class")
            for spec in specs:
                facts, values = registry.get(spec.name).facts, registry.load(spec.name)(evidence, **spec.arguments)
                for offset, value in enumerate(values.tolist()):
                    known: dict[str, object] = {"image": start + offset, "target": int(part.labels[offset]), "metric": str(spec)}
                    rows.append(known | {"protocol": facts.protocol, "value": value, "unit": facts.unit})
    return pd.DataFrame(rows).sort_values("image", kind="stable", ignore_index=True)  # whatever the batch size was


def _finished(saliency: Tensor, batch: Batch, normalisation: Normalisation) -> Tensor:
    if saliency.ndim != 3 or len(saliency) != len(batch):
        raise UsageError(f"saliency has shape {tuple(saliency.shape)} for {len(batch)} images; expected ({len(batch)}, h, w)")
    with torch.inference_mode(mode=False):
        raw = saliency.detach().clone().float()
        maps = normalise(upsample(raw, (batch.images.shape[-2], batch.images.shape[-1])), normalisation)
    if not (maps.min() >= 0 and maps.max() <= 1):
        raise UsageError(f"saliency has values from {maps.min():.3g} to {maps.max():.3g}; expected [0, 1], or give normalisation='range'")
    return maps
