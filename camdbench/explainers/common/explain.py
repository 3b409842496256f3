"""`camdbench.explain`: saliency maps of images in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers, needs_of
from camdbench.core.row import Status
from camdbench.core.spec import Spec
from camdbench.core.target_rules import TARGET_RULES, check_target_rule
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.layer_choice import check_explainer, checked_layers
from camdbench.explainers.common.own import own_explainers
from camdbench.explainers.common.saliency import Saliency, saliency
from camdbench.explainers.common.trace import Trace
from camdbench.functional.targets import check_classes, class_indices
from camdbench.models.classifier import Classifier
from camdbench.models.network_check import check_network
from camdbench.models.target_layers import list_layers
from camdbench.models.zoo import to_classifier


@dataclass(frozen=True)
class Explanation:
    """The maps of N images.

    Attributes:
        maps: (N, H, W) in [0, 1], at image size, on the model's device.
        raw: (N, h, w) as the explainer made them: signed, unscaled, on the layer's grid.
        targets: (N,) the explained classes.
        logits: (N, C) of the images as they are.
        status: N states: ok, constant_map or error.
    """

    maps: Tensor
    raw: Tensor
    targets: Tensor
    logits: Tensor
    status: tuple[Status, ...]


def explain(
    model: Any,
    images: Tensor,
    explainer: Any = "opticam",
    *,
    targets: str | int | Sequence[int | str] | Tensor | np.ndarray = "predicted",
    layer: str | None = None,
    boxes: Sequence[Tensor] | None = None,
    masks: Tensor | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> Explanation | dict[str, Explanation]:
    """Compute saliency maps of a classifier for images; the model is left unchanged.

    Args:
        model: a `Classifier`, the name of one in the zoo, or whatever `camdbench.classifier` takes.
        images: (N, 3, H, W) or (3, H, W) in [0, 1], never mean/std-normalised.
        explainer: a spec such as `gradcam` or `opticam(iterations=50)`; a function `f(trace)`, `f(classifier, images, targets)`
            or `f(model, inputs, targets)`; a reference `FILE.py:NAME`; or a sequence or mapping of these.
        targets: one class for all images, N classes (indices or names of `class_names`), or a rule: predicted, runner_up,
            least_likely.
        layer: target layer instead of the model's own.
        boxes: N tensors (n, 4) of ground-truth boxes, for explainers that need them.
        masks: (N, H, W) ground-truth masks, for explainers that need them.
        batch_size: images at a time.
        seed: seed of explainers that draw random numbers; images are numbered "0", "1", ….

    Returns:
        The maps; for a sequence or mapping, a dictionary of these by name.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    >>> classifier = Classifier(network, layer="1", mean=0.5, std=0.25)
    >>> explain(classifier, torch.rand(2, 3, 8, 8), "hirescam").maps.shape
    torch.Size([2, 8, 8])

    Raises:
        UsageError: images, targets or options do not fit.
        NotApplicable: the explainer has no meaning here.
        ResultError: the explainer, of a plug-in, returned no maps (B, h, w).
    """
    with own_explainers(explainer) as specs:
        chosen = (explainers.parse_one(specs),) if isinstance(specs, str) else explainers.parse(specs)
        given: dict[str, Any] = {"targets": targets, "layer": layer, "boxes": boxes, "masks": masks, "batch_size": batch_size, "seed": seed}
        classifier = to_classifier(model)
        found = {str(spec): _explain(classifier, images, spec, **given) for spec in chosen}
    several = isinstance(explainer, list | tuple | Mapping) or len(found) > 1
    return found if several else next(iter(found.values()))


def _explain(
    classifier: Classifier,
    images: Tensor,
    spec: Spec,
    *,
    targets: Any,
    layer: str | None,
    boxes: Sequence[Tensor] | None,
    masks: Tensor | None,
    batch_size: int,
    seed: int,
) -> Explanation:
    batch = make_batch(images, boxes=boxes, masks=masks).to(classifier.device)
    size = (batch.images.shape[-2], batch.images.shape[-1])
    classes = check_network(classifier, size).classes
    target, step = _targets(targets, len(batch), classifier, classes), 1 if classifier.batch_mates == "alone" else batch_size
    with torch.inference_mode(mode=False), classifier.frozen():
        check_explainer(classifier, spec, size)
        if "layer" in needs_of(spec):
            checked_layers(classifier, spec, layer, list_layers(classifier, size))
        chunks = list[tuple[Saliency, Tensor, Tensor]]()
        for start in range(0, len(batch), step):
            stop = start + step
            own = target[start:stop].to(classifier.device) if isinstance(target, Tensor) else target
            trace = Trace(classifier, batch.part(start, stop), target=own, layer=layer, seed=seed)
            chunks.append((saliency(trace, spec), trace.targets, trace.logits))
    found = [chunk[0] for chunk in chunks]
    return Explanation(
        maps=torch.cat([item.maps for item in found]),
        raw=torch.cat([item.raw for item in found]),
        targets=torch.cat([chunk[1] for chunk in chunks]),
        logits=torch.cat([chunk[2] for chunk in chunks]),
        status=tuple(status for item in found for status in item.status),
    )


def _targets(targets: Any, count: int, classifier: Classifier, classes: int) -> str | Tensor:
    """A rule, or the explained class of each image (N,), checked against the number of classes."""
    name = targets.strip().casefold() if isinstance(targets, str) else ""
    if name == "label":
        raise UsageError("targets='label': give the labels themselves, targets=[…], or a rule: predicted, runner_up, least_likely")
    if name in TARGET_RULES or name.lstrip("-").isdecimal():
        return check_target_rule(name, labels=False)
    names = [own.casefold() for own in classifier.class_names]
    if name and name not in names:
        check_target_rule(targets, labels=False)
    single = isinstance(targets, str) or np.ndim(targets.detach().cpu() if isinstance(targets, Tensor) else targets) == 0
    given = [targets] * count if single else targets
    return check_classes(class_indices(given, count, "targets", names), classes, "targets: an image is given class")
