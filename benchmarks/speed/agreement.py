"""Maps and metrics on a device beside those on the CPU: the largest differences, with the tolerance of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

import camdbench
from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import parse_spec
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.functional.imputation import impute
from camdbench.models.zoo import load_classifier

MAPS = (
    "gradcam,gradcampp,xgradcam,hirescam,elementwise,layercam,eigencam,eigengradcam,cam,scorecam,ablationcam,finercam,saliency,"
    "integratedgradients,smoothgrad,occlusion,rise(masks=200),opticam(iterations=10)"
)
METRICS = "ad,ag,ai,insertion,deletion,aopc,infidelity,road(scored_output='probability'),complexity,sparseness"
OF_MAPS = 1e-3  # of maps from 0 to 1; a search in float32 amplifies rounding, and is left out
OF_IMPUTATION = 1e-4


class Agreement(NamedTuple):
    """Largest difference of a map (as a share of its range), of a metric's value (in its unit), or of imputed pixels."""

    name: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance; NaN is not."""
        return self.difference <= self.tolerance


def agreement(device: str, maps_of: str = MAPS, scored: str = METRICS, count: int = 4) -> Iterator[Agreement]:
    """Differences of explainers, metrics and imputation between a device and the CPU, in float32 without TF32."""
    data = shortcuts(count=count)
    images = torch.stack([data[number].image for number in range(count)])
    labels = torch.tensor([data[number].label for number in range(count)])
    here, there = (load_classifier("shortcuts-ce", device=name) for name in ("cpu", device))
    for spec in explainers.parse(maps_of):
        own, other = (
            camdbench.explain(classifier, images.to(classifier.device), str(spec), targets=labels.to(classifier.device)).maps.cpu()
            for classifier in (here, there)
        )
        yield Agreement(str(spec), float((own - other).abs().max()), OF_MAPS)
    maps = camdbench.explain(here, images, "gradcam", targets=labels).maps.cpu()
    own, other = (
        camdbench.evaluate(classifier, images.to(classifier.device), labels.to(classifier.device), maps.to(classifier.device), scored)
        for classifier in (here, there)
    )
    differences = (own["value"] - other["value"]).abs().groupby(own["metric"]).agg(lambda values: values.max(skipna=False))
    for name, difference in differences.items():
        yield Agreement(str(name), float(difference), metrics.get(parse_spec(str(name)).name).facts.tolerance)
    known = torch.rand(count, *images.shape[-2:], generator=torch.Generator().manual_seed(0)) > 0.9
    filled = impute(images.to(device), known.to(device)).cpu()
    yield Agreement("imputation", float((filled - impute(images, known)).abs().max()), OF_IMPUTATION)
