"""`camdbench.explain`: saliency maps of images in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.objective_names import DEFAULT, ObjectiveName, explained_by, scored_objective
from camdbench.core.option_types import Preprocess
from camdbench.core.registries import needs_of, parse_explainers
from camdbench.core.spec import Spec, split_specs
from camdbench.core.target_rules import TARGET_RULES, check_target_rule
from camdbench.datasets.in_memory import make_batch
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.explanation import Explanation, Explanations, joined
from camdbench.explainers.common.given_pictures import read_pictures
from camdbench.explainers.common.layer_choice import check_explainer, checked_layers
from camdbench.explainers.common.objective_fit import check_fit
from camdbench.explainers.common.own_explainers import own_explainers
from camdbench.explainers.common.own_objectives import Checked, check_objective, read_objective
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.scored_objectives import classifier_of
from camdbench.explainers.common.trace import Trace
from camdbench.functional.objectives import LOGIT, Objective
from camdbench.functional.targets import check_classes, class_indices
from camdbench.models.classifier import Classifier
from camdbench.models.network_check import Look, look_and_tree
from camdbench.models.target_layers import layers_of_look
from camdbench.models.zoo import to_classifier


def explain(
    model: Any,
    images: Any,
    explainers: Any = "opticam",
    *,
    targets: str | int | Sequence[int | str] | Tensor | np.ndarray = "predicted",
    objective: Any = "logit",
    layer: str | None = None,
    boxes: Sequence[Tensor] | None = None,
    masks: Tensor | None = None,
    preprocess: Preprocess | None = None,
    size: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> Any:
    """Compute saliency maps of a classifier for images; the model is left unchanged.

    Args:
        model: a `Classifier`, the name of one in the zoo, or whatever `camdbench.classifier` takes.
        images: (N, 3, H, W) or (3, H, W) in [0, 1], never mean/std-normalised, or arrays; or image files and Pillow images of
            any size.
        explainers: a spec such as `gradcam` or `opticam(iterations=50)`; a function `f(trace)`, `f(classifier, images, targets)`
            or `f(model, inputs, targets)`; a reference `FILE.py:NAME`; or several, `"gradcam,opticam"`, a sequence or a mapping.
        targets: one class for all images, (N,) class indices, N names of `class_names`, or a rule: predicted, runner_up,
            least_likely.
        objective: what is explained of that class: a name, such as `log_odds` or `margin(second)`; a function of the logits (C,) of one
            image that returns a scalar; a reference `FILE.py:NAME` to one; or N functions, one per image. See docs/objectives.md.
        layer: target layer instead of the model's own.
        boxes: N tensors (n, 4) of ground-truth boxes, for explainers that need them.
        masks: (N, H, W) ground-truth masks, for explainers that need them.
        preprocess: how files and Pillow images become squares of `size` pixels; default: as the model states, else
            `resize256_crop224`. Arrays and tensors are taken as they are.
        size: side in pixels; default: the model's input size.
        batch_size: images at a time; on a CPU more than 10 of 224 pixels gain no speed, see `reuse_freed_memory`.
        seed: seed of explainers that draw random numbers; images are numbered "0", "1", ….

    Returns:
        An `Explanation` for one spec; for several, `Explanations` by name, without those that do not apply to the model, whose
        reasons are in `.refused`.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    >>> classifier = Classifier(network, layer="1", mean=0.5, std=0.25)
    >>> explain(classifier, torch.rand(2, 3, 8, 8), "hirescam").maps.shape
    torch.Size([2, 8, 8])

    Raises:
        UsageError: images, targets, objective or options do not fit.
        NotApplicable: the only explainer has no meaning here.
        SampleError: an image file cannot be decoded.
        ResultError: the explainer, of a plug-in, returned no maps (B, h, w).
    """
    classifier = to_classifier(model)
    is_default = isinstance(objective, str) and objective == DEFAULT  # needs no check
    if not is_default and (scored := scored_objective(objective)) is not None:
        classifier, targets = _scored(classifier, scored, targets, preprocess)
    pixels, names = read_pictures(images, classifier, preprocess, size)
    batch = make_batch(pixels, boxes=boxes, masks=masks).to(classifier.device)
    look, tree = look_and_tree(classifier, (batch.images.shape[-2], batch.images.shape[-1]))
    target = _targets(targets, len(batch), classifier, look.check.classes)
    explained, about = (LOGIT, None) if is_default else _objective(objective, look.check.classes, len(batch))
    gives = [name for name, own in (("boxes", boxes), ("masks", masks)) if own is not None]
    with own_explainers(explainers) as texts, torch.inference_mode(mode=False), classifier.frozen(tree):
        if about is None:
            specs = parse_explainers(texts, gives)
        else:
            specs = parse_explainers(texts, gives, explained_by(explained.named))
            for spec in specs:
                check_fit(spec, explained, **about._asdict())
        how: dict[str, Any] = {
            "target": target,
            "objective": explained,
            "layer": layer,
            "batch_size": batch_size,
            "seed": seed,
            "names": names,
        }
        found, refused = _explain(classifier, batch, specs, look, **how)
    if len(specs) == 1 and _names_one(explainers):
        if refused:
            raise next(iter(refused.values()))
        return found[str(specs[0])]
    return Explanations(found, {name: str(reason) for name, reason in refused.items()})


def _explain(
    classifier: Classifier,
    batch: Batch,
    specs: Sequence[Spec],
    look: Look,
    *,
    target: str | Tensor,
    objective: Objective,
    layer: str | None,
    batch_size: int,
    seed: int,
    names: tuple[str, ...],
) -> tuple[dict[str, Explanation], dict[str, NotApplicable]]:
    """The maps of each explainer, which share passes, and why others do not apply; the classifier is frozen."""
    step = 1 if classifier.batch_mates == "alone" else batch_size
    parts, refused = {str(spec): list[Explanation]() for spec in specs}, dict[str, NotApplicable]()
    for spec in specs:
        try:
            _check(classifier, spec, layer, look)
        except NotApplicable as error:
            refused[str(spec)] = error
    for start in range(0, len(batch), step):
        stop = start + step
        own = target[start:stop].to(classifier.device) if isinstance(target, Tensor) else target
        part = batch if len(batch) <= step else batch.part(start, stop)
        trace = Trace(classifier, part, target=own, layer=layer, seed=seed, objective=objective.of_images(slice(start, stop)))
        for spec in (spec for spec in specs if str(spec) not in refused):
            try:
                made = saliency(trace, spec)
            except NotApplicable as error:
                refused[str(spec)] = error
                continue
            about = (trace.targets, trace.logits, made.status, classifier.class_names, names[start:stop] or part.ids)
            parts[str(spec)].append(Explanation(str(spec), part.images, made.maps, made.raw, *about))
    return {name: joined(own) for name, own in parts.items() if name not in refused}, refused


def _scored(classifier: Classifier, objective: ObjectiveName, targets: Any, preprocess: str | None) -> tuple[Classifier, int]:
    """The classifier of which the objective is the logit of a class, and this class, which takes the place of the targets.

    Raises:
        UsageError: targets are given beside it.
    """
    if not isinstance(targets, str) or targets != "predicted":
        raise UsageError(f"objective = {objective}: states what is explained; omit targets")
    return classifier_of(classifier, objective, preprocess)


def _objective(given: Any, classes: int, images: int) -> tuple[Objective, Checked]:
    """The objective, checked against the model and the number of images, and what the check has shown."""
    found, _ = read_objective(given)
    return found, check_objective(found, classes, images)


def _check(classifier: Classifier, spec: Spec, layer: str | None, look: Look) -> None:
    """Check that an explainer and its layers fit the model."""
    check_explainer(classifier, spec, look.check.gradient_problem)
    if "layer" in needs_of(spec):
        checked_layers(classifier, spec, layer, layers_of_look(classifier, look))


def _names_one(explainers: Any) -> bool:
    """Whether a single explainer is asked for, not a list, a mapping or a group."""
    if isinstance(explainers, str):
        return len(split_specs(explainers)) == 1 and explainers.strip() not in ("all", "controls")
    return not isinstance(explainers, Sequence | Mapping)


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
