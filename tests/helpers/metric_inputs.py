"""Evidence as a run makes it, and explainers with a known answer, for the tests of metrics that explain again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from camdbench.core.registries import explainers, metrics
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import Saliency, finish, saliency
from camdbench.explainers.common.trace import Trace
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import Change, MetricInputs, SaliencyMaps
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier

Method = Callable[[Tensor, Tensor, Classifier], Tensor]  # images, targets and the model -> raw maps


def evidence_of(
    classifier: Classifier, batch: Batch, explainer: str | Method = "gradcam", *, seed: int = 0, others: Batch | None = None
) -> MetricInputs:
    """A batch with the maps of a registered explainer, or of a function, whose labels are explained; without any normalisation.

    The other images that a metric may ask for are those of the batch, or the first of `others`.
    """
    pool = batch if others is None else others
    trace = Trace(classifier, batch, target="label", seed=seed)

    def explain(images: Tensor, targets: Tensor | None, model: Classifier | None) -> Saliency:
        return made(trace.of(replace(batch, images=images), targets=targets, classifier=model))

    def explain_others(count: int, purpose: str, change: Change) -> list[tuple[tuple[str, ...], SaliencyMaps]]:
        part = pool.part(0, count)
        images = change(part.images, [generator_for(seed, name, purpose) for name in part.ids])
        return [(part.ids, made(Trace(classifier, replace(part, images=images), target="label", seed=seed)))]

    def made(other: Trace) -> Saliency:
        if isinstance(explainer, str):
            return saliency(other, explainers.parse_one(explainer))
        return finish(explainer(other.images, other.targets, other.classifier), other.size, "none")

    maps = explain(batch.images, None, None)
    return MetricInputs(
        classifier,
        batch.images,
        trace.targets,
        maps.maps,
        raw=maps.raw,
        logits=trace.logits,
        boxes=batch.boxes,
        masks=batch.masks,
        labels=batch.labels,
        ids=batch.ids,
        seed=seed,
        explainer=explain,
        others=explain_others,
        features=trace,
    )


def measure(evidence: MetricInputs, spec: str) -> MetricResult:
    """What a metric of that spec says, its protocol and options resolved as in a run."""
    parsed = metrics.parse_one(spec)
    found = metrics.load(parsed.name)(evidence, **metrics.get(parsed.name).arguments(parsed))
    return found if isinstance(found, MetricResult) else MetricResult(found)


def measured(classifier: Classifier, batch: Batch, spec: str, explainer: str | Method = "gradcam") -> MetricResult:
    """The same of a frozen classifier and fresh evidence."""
    with torch.inference_mode(mode=False), classifier.frozen():
        return measure(evidence_of(classifier, batch, explainer), spec)
