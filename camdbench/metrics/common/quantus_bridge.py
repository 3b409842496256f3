"""Calls of Quantus, one image at a time, with copies of the data and random numbers of each image.

Quantus 0.6 draws from global generators, lets images of a batch change each other's values, rejects a whole batch for one
constant map and needs names that NumPy has removed. Here every call is seeded from (seed, image id, metric) and restores the
generators; maps are normalised float64 copies; constant maps have no value. Metrics that explain again receive the whole
batch, with one stream of random numbers per image. Images that depend on no map are equal to the bit for all explainers, so
their scores and maps are kept by a hash of their content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from camdbench.functional.normalise import is_constant, upsample
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs
from camdbench.metrics.common.quantus_sandbox import Array, import_quantus, isolate, perturb_by_row
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import copy_counted

Keep = Callable[[Tensor, Callable[[], Tensor]], Tensor]


def quantus_scores(
    inputs: MetricInputs,
    name: str,
    maps: str,
    options: Mapping[str, Any],
    *,
    softmax: bool = False,
    segments: Tensor | None = None,
    by_map: bool = True,
) -> list[Any]:
    """Scores of a Quantus metric, one per image, None for a constant map.

    Args:
        inputs: images and maps.
        name: class of the metric.
        maps: `default` for the maps in [0, 1], or `raw`.
        options: arguments of the class, besides the fixed ones.
        softmax: whether it reads probabilities instead of logits.
        segments: (B, H, W) bool, masks that it compares the maps with.
        by_map: whether the map decides what is altered.
    """
    batch = _Inputs(inputs, maps)
    given_maps = _round_maps(batch.maps)
    model = _Normalised(inputs.classifier, hidden=True, keep=_keep_scores(inputs, batch.images if by_map else None))
    scores = list[Any]()
    for index, (flat, seed) in enumerate(zip(batch.flat, _seeds(inputs, name), strict=True)):
        one = slice(index, index + 1)
        truth = None if segments is None else segments[one, None].cpu().numpy().astype(np.int64)
        with isolate(seed, inputs.classifier.device):
            metric = _metric(name, options)
            given = {"x_batch": batch.images[one].copy(), "y_batch": batch.targets[one], "a_batch": given_maps[one].copy()}
            scores.append(None if flat else metric(**given, **_common(model, softmax), s_batch=truth)[0])
    return scores


def quantus_scores_of_reexplained(
    inputs: MetricInputs, name: str, maps: str, options: Mapping[str, Any], *, softmax: bool = False, noise: str = "", layers: bool = False
) -> list[Any]:
    """Scores of a Quantus metric that explains perturbed images, for the batch at once; None for a constant map.

    Args:
        inputs: images and maps.
        name: class of the metric.
        maps: `default` or `raw`.
        options: arguments of the class.
        softmax: whether it reads probabilities.
        noise: function of Quantus that perturbs images, called per image with that image's random numbers.
        layers: whether it reads or changes layers of the network, and so receives a copy.

    Raises:
        NotApplicable: the maps were made elsewhere.
    """
    batch = _Inputs(inputs, maps)
    if layers:
        model = _Normalised(deepcopy(inputs.classifier), hidden=False, owner=inputs.classifier)
    else:
        model = _Normalised(inputs.classifier, hidden=True, keep=_keep_scores(inputs, None))

    def explain(model: nn.Module, **given: Any) -> Array:  # `inputs` and `targets`; the targets are those of the batch
        shown, seen = _inside(model).shown, torch.from_numpy(given["inputs"])
        images = shown.mean + shown.std * seen.to(inputs.images)
        chosen = None if _has_weights_of(shown, inputs.classifier) else shown
        key = "quantus maps", _hash_of(seen), chosen and chosen.weights_hash()
        [found] = inputs.explain_versions(key, lambda: [AlteredImages(images, classifier=chosen)], 1)
        return _as_array(_at_image_size(found.raw, images) if maps == "raw" else found.maps)

    with isolate(0, inputs.classifier.device):
        perturbing = {"perturb_func": perturb_by_row(noise, _seeds(inputs, name))} if noise else {}
        metric = _metric(name, {**options, **perturbing})
        given = {"x_batch": batch.images, "y_batch": batch.targets, "a_batch": batch.maps}
        found = metric(**given, **_common(model, softmax), explain_func=explain)
    return [None if flat else score for flat, score in zip(batch.flat, found, strict=True)]


def result_of(scores: list[Any], like: Tensor) -> MetricResult:
    """Scores as (B,) float64 on the device of `like`, undefined if missing or not finite."""
    values = torch.tensor([float("nan") if score is None else float(score) for score in scores], dtype=torch.float64)
    values = torch.where(values.isfinite(), values, torch.nan).to(like.device)
    return MetricResult(values, undefined=values.isnan())


class _Inputs:
    """A batch in Quantus' form: normalised images (B, 3, H, W), classes (B,), maps (B, 1, H, W), constant maps (B)."""

    def __init__(self, inputs: MetricInputs, maps: str) -> None:
        chosen = inputs.saliency
        if maps == "raw" and inputs.raw is not None:
            chosen = _at_image_size(inputs.raw, inputs.images)
        classifier = inputs.classifier
        self.images = classifier.normalised(inputs.images).double().cpu().numpy()
        self.targets = inputs.targets.cpu().numpy()
        self.maps = _as_array(chosen.where(chosen.isfinite(), 0))
        self.flat: list[bool] = (is_constant(chosen) | ~chosen.isfinite().flatten(1).all(1)).tolist()


def _round_maps(maps: Array) -> Array:
    """Maps rounded to 2^-16 of their largest magnitude, so that the last bits of a sum do not order equal pixels."""
    unit = np.abs(maps).max((1, 2, 3), keepdims=True) / 2**16
    return np.round(maps / np.where(unit > 0, unit, 1)) * unit


def _at_image_size(raw: Tensor, images: Tensor) -> Tensor:
    return upsample(raw.float(), (images.shape[-2], images.shape[-1]))


def _as_array(maps: Tensor) -> Array:
    """Copy of maps as (B, 1, H, W) float64."""
    return maps.detach().cpu().double().unsqueeze(1).numpy().copy()


class _Normalised(nn.Module):
    """Classifier of normalised images, as Quantus passes them.

    With `hidden`, its modules are invisible to Quantus, which adds or omits a softmax according to a network's modules. `keep`
    returns scores that are known, or makes them.
    """

    def __init__(self, shown: Classifier, *, hidden: bool, owner: Classifier | None = None, keep: Keep | None = None) -> None:
        super().__init__()
        self._keep = keep or (lambda _, make: make())
        self.wrapped = [shown] if hidden else nn.ModuleList([shown])
        self._owner = [_Uncopied(shown if owner is None else owner)]
        self.eval()

    @property
    def shown(self) -> Classifier:
        """The classifier, or its copy in a copy of this."""
        found = self.wrapped[0]
        assert isinstance(found, Classifier)
        return found

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, C)."""
        with copy_counted(self.shown, self._owner[0].classifier):
            return self._keep(inputs, lambda: self.shown(self.shown.mean + self.shown.std * inputs))


def _keep_scores(inputs: MetricInputs, images: Array | None) -> Keep:
    """Keep scores for all explainers; given normalised images (B, 3, H, W), only of those as they are and of single colours."""
    known = None if images is None else torch.from_numpy(images)

    def keep(altered: Tensor, make: Callable[[], Tensor]) -> Tensor:
        single = bool((altered == altered[..., :1, :1]).all())
        if known is None or single or any(torch.equal(altered[0].cpu(), image.to(altered.dtype)) for image in known):
            return inputs.shared(("quantus scores", _hash_of(altered)), make)
        return make()

    return keep


def _hash_of(images: Tensor) -> bytes:
    array = images.detach().cpu().contiguous().numpy()
    return hashlib.blake2b(f"{array.shape} {array.dtype} ".encode() + array.tobytes()).digest()


def _has_weights_of(copy: Classifier, classifier: Classifier) -> bool:
    theirs = classifier.state_dict()
    return copy is classifier or all(torch.equal(own, theirs[name]) for name, own in copy.state_dict().items())


class _Uncopied:
    """Holder of a classifier that deep copies share."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def __deepcopy__(self, memo: dict[int, Any]) -> _Uncopied:
        return self


def _inside(model: nn.Module) -> _Normalised:
    """The model given to Quantus, inside the softmax that it may add."""
    return next(module for module in model.modules() if isinstance(module, _Normalised))


def _common(model: nn.Module, softmax: bool) -> dict[str, Any]:
    return {"model": model, "channel_first": True, "softmax": softmax, "device": str(_inside(model).shown.device)}


def _metric(name: str, options: Mapping[str, Any]) -> Any:
    """A new metric; some of Quantus' keep state."""
    fixed = {"abs": False, "normalise": False, "return_aggregate": False, "disable_warnings": True, "display_progressbar": False}
    return getattr(import_quantus(), name)(**{**fixed, **options})


def _seeds(inputs: MetricInputs, name: str) -> list[int]:
    return [generator.initial_seed() % 2**32 for generator in inputs.generators(f"quantus:{name}")]  # what NumPy takes
