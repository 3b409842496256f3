"""Sanity checks: a map must change with the weights and with the class.

Lower values are better, and random maps have the lowest, so read them together with metrics on which random maps fail.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import EXPLAINED_AGAIN
from camdbench.core.registries import metric
from camdbench.functional.normalise import is_constant, upsample
from camdbench.functional.similarity import Similarity, similarity_to
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs
from camdbench.metrics.common.result import Curve, MetricResult
from camdbench.models.randomised import cascade, random_layers

RANDOMISATION_PROTOCOLS = (
    EXPLAINED_AGAIN.variant("adebayo", options={"layers": 17}),
    EXPLAINED_AGAIN.variant("opticam", options={"layers": 5, "similarity": "ssim"}, paper="Opti-CAM, arXiv:2301.07002, appendix G"),
    EXPLAINED_AGAIN.variant(
        "quantus",
        options={"layers": None, "similarity": "spearman_abs", "with_original": True},
        paper="quantus 0.6, MPRT with return_average_correlation, which counts the trained model as well",
    ),
)
_COMPARED = {
    "higher_is_better": False,
    "unit": "",
    "values": "[-1, 1]",
    "tolerance": 0.002,
    "needs": ("explainer",),
    "undefined": "the map is constant, or the image is too small for ssim (11 pixels) or hog (48 pixels)",
}


@metric(
    "randomisation",
    paper="Adebayo et al. 2018, arXiv:1810.03292, section 3.1 (cascading)",
    aliases=("mprt", "model_parameter_randomisation"),
    explains="layers",
    protocols=RANDOMISATION_PROTOCOLS,
    differs=(
        Difference(
            "Quantus 0.6", "averages the trained model in, whose similarity is 1 (with_original=True)", "-1 for 2 layers becomes -0.333"
        ),
    ),
    **_COMPARED,
)
def randomisation(
    inputs: MetricInputs,
    *,
    layers: PositiveInt | None = 17,
    similarity: Literal["spearman", "spearman_abs", "ssim", "hog"] = "spearman",
    with_original: bool = False,
) -> MetricResult:
    r"""Model parameter randomisation test: similarity of the map to maps of models with random layers.

    .. math:: \frac{1}{N} \sum_n \mathrm{sim}(E_f(x), E_{f_n}(x))

    Layers are randomised cumulatively from the logits downwards, in `layers` equal steps (None: one by one); the curve holds
    the similarity at each number of random layers. Maps are compared at image size, scaled to [0, 1] for ssim and hog. A
    constant map of a random model has similarity 0. `with_original` includes the trained model, as Quantus does.

    Returns:
        (B,) in [-1, 1]; lower is better.
    """
    own = _comparable(inputs.raw, inputs)
    seen = inputs.cached(("maps of random models", layers), lambda: _maps_of_random_models(inputs, layers))
    compare = similarity_to(own, similarity)
    found = [compare(own)] if with_original else []
    found += [compare(_comparable(raw, inputs)) for _, raw in seen]
    values = torch.stack(found, 1)
    counts = [*([0] if with_original else []), *(count for count, _ in seen)]
    return MetricResult(
        values.mean(1).masked_fill(inputs.is_constant.to(values.device), torch.nan),
        undefined=_undefined(inputs, own, similarity).to(values.device),
        curves={"similarity": Curve(torch.tensor(counts, dtype=torch.float64), values)},
    )


RANDOM_LOGIT_PROTOCOLS = (EXPLAINED_AGAIN.variant("sixt"),)


@metric(
    "random_logit",
    paper="Sixt et al. 2020, arXiv:1912.09818, definition of the random-logit comparison",
    aliases=("random_logit_test",),
    explains=1,
    protocols=RANDOM_LOGIT_PROTOCOLS,
    **_COMPARED,
)
def random_logit(inputs: MetricInputs, *, similarity: Literal["spearman", "spearman_abs", "ssim", "hog"] = "ssim") -> MetricResult:
    r"""Random-logit test: similarity of the map to that of a randomly drawn other class.

    .. math:: \mathrm{sim}(E(x, t), E(x, t'))

    The other class is drawn uniformly from (seed, image id). A constant map of the other class has similarity 0.

    Returns:
        (B,) in [-1, 1]; lower is better.
    """
    classes = inputs.logits.shape[1]
    draws = [torch.randint(classes - 1, (), generator=generator) for generator in inputs.generators("random_logit")]
    others = torch.stack(draws).to(inputs.targets)
    others = others + (others >= inputs.targets)  # every class but the explained one
    own = _comparable(inputs.raw, inputs)
    raw = inputs.cached(
        "maps of other classes", lambda: _explain_all(inputs, "other classes", lambda: [AlteredImages(inputs.images, others)], 1)
    )
    values = similarity_to(own, similarity)(_comparable(raw[0], inputs))
    return MetricResult(
        values.masked_fill(inputs.is_constant.to(values.device), torch.nan), undefined=_undefined(inputs, own, similarity).to(values.device)
    )


def _maps_of_random_models(inputs: MetricInputs, layers: int | None) -> list[tuple[int, Tensor]]:
    """Number of random layers and raw maps (B, h, w) for each model of the cascade."""
    counts = random_layers(inputs.classifier.network, layers)

    def versions() -> Iterator[AlteredImages]:
        return (AlteredImages(inputs.images, classifier=step.classifier) for step in cascade(inputs.classifier, layers, inputs.seed))

    return list(zip(counts, _explain_all(inputs, ("random models", layers), versions, len(counts)), strict=True))


def _explain_all(inputs: MetricInputs, key: Hashable, versions: Callable[[], Iterable[AlteredImages]], count: int) -> list[Tensor]:
    """Raw maps (B, h, w) of each version."""
    return [maps.raw for maps in inputs.explain_versions(key, versions, count)]


def _comparable(raw: Tensor | None, inputs: MetricInputs) -> Tensor:
    """Maps (B, H, W) at image size; a constant map becomes zeros, so that rounding in up-sampling gives no ranking."""
    maps = inputs.saliency if raw is None else raw
    flat = is_constant(maps)[:, None, None]
    return upsample(torch.where(flat, 0, maps).float(), inputs.size)


def _undefined(inputs: MetricInputs, own: Tensor, similarity: Similarity) -> Tensor:
    small = min(own.shape[-2:]) < {"ssim": 11, "hog": 48}.get(similarity, 0)
    return inputs.is_constant | small
