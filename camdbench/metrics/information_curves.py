"""SIC and AIC: performance information curves, the recovered score or accuracy over the recovered information."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.metric_families import MASKED
from camdbench.core.option_types import Interpolation, PositiveFraction, ScoredClass
from camdbench.core.registries import metric
from camdbench.functional.curves import Output, pairs
from camdbench.functional.information_curve import PLACES, information_curve
from camdbench.functional.scattered_pixels import recovered, webp_bytes
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import PixelOrder, pixel_order
from camdbench.metrics.common.read_outs import read_out_of, read_outs
from camdbench.metrics.common.result import Curve, MetricResult

PIC = MASKED.variant(
    "pic", masking="", reduction="area under the median curve", paper="Kapishnikov et al. 2019, arXiv:1906.02825, released code"
)
MEAN = MASKED.variant("mean", masking="", paper="as `pic`, with the mean of the areas of images")
PIXELS = MASKED.variant(
    "pixels",
    masking="",
    reduction="area under the median curve",
    options={"information": "pixels", "interpolation": "neighbours"},
    paper="as `pic`, with the share of pixels as information and ROAD's interpolation, which depend on no library",
)
AIC_PIC = PIC.variant("pic", scored_output="accuracy", paper="Kapishnikov et al. 2019, arXiv:1906.02825, released code")
AIC_MEAN = MEAN.variant("mean", scored_output="accuracy", paper="as `pic`, with the mean of the areas of images")
AIC_PIXELS = PIXELS.variant(
    "pixels",
    scored_output="accuracy",
    options={"information": "pixels", "interpolation": "neighbours"},
    paper="as `pic`, with the share of pixels as information and ROAD's interpolation, which depend on no library",
)
DIFFERS = (
    Difference(
        "released code",
        "keeps the pixels of at least a quantile of the map",
        "a rectified map keeps the whole image for large shares; here ties are broken",
    ),
    Difference(
        "released code", "takes one random mask from NumPy's global state for all images", "here the mask follows from seed and image id"
    ),
    Difference(
        "released code",
        "reads points of equal information in the order in which they were appended",
        "(0, 0) and (0, 0.4) read as 0 or 0.4 at 0; here the largest counts",
    ),
    Difference("released code", "calls a function that NumPy 2.4 lacks (trapz)", "it stops with an error"),
)
_STORED = 10  # every tenth place, a hundredth of x
_PAPER = {
    "higher_is_better": True,
    "unit": "%",
    "values": "[0, 100]",
    "tolerance": 1.0,
    "paper": "Kapishnikov et al. 2019, arXiv:1906.02825, definition of performance information curves",
    "differs": DIFFERS,
}


@metric(
    "sic",
    aliases=("softmax_information_curve",),
    undefined="the map is constant, the class has too little probability, or the seed pixels alone give no less probability or information",
    protocols=(PIC, MEAN, PIXELS),
    **_PAPER,
)
def sic(
    inputs: MetricInputs,
    *,
    shares: tuple[PositiveFraction, ...] = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.13, 0.21, 0.34, 0.5, 0.75),
    seed_share: PositiveFraction = 0.01,
    least: NonNegativeFloat = 0.8,
    information: Literal["bytes", "pixels"] = "bytes",
    interpolation: Interpolation = "linear",
    jitter: NonNegativeFloat = 1e-4,
    scored_class: ScoredClass = "target",
) -> MetricResult:
    r"""SIC: area under the class probability over the information shown, most relevant pixels first.

    .. math:: y_t = \max_{s \le t} \operatorname{clip}_{[0, 1]} \frac{p(x_s) - p(x_0)}{p(x) - p(x_0)}, \quad
        i_t = \operatorname{clip}_{[0, 1]} \frac{b(x_t) - b(x_0)}{b(x) - b(x_0)}

    x_0 shows `seed_share` of the pixels, drawn from seed and image id, and the four corners; x_t in addition the share t of most relevant
    pixels, for each t of `shares`. Other pixels are interpolated linearly in the triangles between those shown (`interpolation="linear"`),
    or as ROAD does (`"neighbours"`), and rounded to 8 bits. b is the number of bytes of a lossless WebP file (`information="bytes"`, by
    Pillow; the run's record has the version of libwebp), or the share of pixels shown (`"pixels"`), which is exact and needs no library.
    (0, 0) and (1, 1) are added; the curve is linear between points, at 1,001 places. Noise of standard deviation `jitter` on the map
    breaks ties, as in `road`.

    An image has no value if p(x) is below `least`, or x_0 has no less probability or information. The number of a table is the area under
    the median curve of all images, with `protocol=mean` the mean of the images' areas. Curves are stored at every hundredth, which moves
    the area of the median curve by at most 0.5.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: an image has a side of one pixel, or Pillow writes no WebP files.
        UsageError: `least` is above 1, or `shares` are not ascending.
    """
    if least > 1:
        raise UsageError(f"least = {least:g}: a probability is at most 1; give one in [0, 1]")
    return _area(inputs, _Uncovering(shares, seed_share, interpolation, jitter), information, least, scored_class, "probability")


@metric(
    "aic",
    aliases=("accuracy_information_curve",),
    undefined="the map is constant, the class is not predicted, or the seed pixels alone suffice for it or have no less information",
    protocols=(AIC_PIC, AIC_MEAN, AIC_PIXELS),
    **_PAPER,
)
def aic(
    inputs: MetricInputs,
    *,
    shares: tuple[PositiveFraction, ...] = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.13, 0.21, 0.34, 0.5, 0.75),
    seed_share: PositiveFraction = 0.01,
    information: Literal["bytes", "pixels"] = "bytes",
    interpolation: Interpolation = "linear",
    jitter: NonNegativeFloat = 1e-4,
    scored_class: ScoredClass = "target",
) -> MetricResult:
    r"""AIC: area under the accuracy over the information shown, most relevant pixels first.

    .. math:: y_t = \max_{s \le t} [\arg\max_c z_c(x_s) = y]

    All else as in `sic`, whose passes it shares: y is 1 from the first x_t with the class on. Images of another class have no value, nor
    have those whose x_0 has the class already: left are images that the network recognises only with more than the seed pixels.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: an image has a side of one pixel, or Pillow writes no WebP files.
    """
    return _area(inputs, _Uncovering(shares, seed_share, interpolation, jitter), information, 1.0, scored_class, "accuracy")


class _Uncovering(NamedTuple):
    """Which pixels are shown, and what stands at the others."""

    shares: tuple[float, ...]
    seed_share: float
    interpolation: Interpolation
    jitter: float


class _Views(NamedTuple):
    """Scores (B, K, 7) of K views of each image, and their information (B, K): bytes (NaN without WebP) and share of pixels."""

    scores: Tensor
    sizes: Tensor
    shown: Tensor


def _area(
    inputs: MetricInputs,
    how: _Uncovering,
    information: Literal["bytes", "pixels"],
    least: float,
    scored_class: ScoredClass,
    scored_output: Output,
) -> MetricResult:
    _check(inputs, how, information)
    constant = pixel_order(inputs, PixelOrder(jitter=how.jitter))[1]
    seeds = inputs.shared(("seed pixels", how.seed_share), lambda: _seed_pixels(inputs, how.seed_share))
    start = inputs.shared(("seed views", how.seed_share, how.interpolation), lambda: _views(inputs, seeds[:, None], how.interpolation))
    found = inputs.cached(("uncovered", how), lambda: _views(inputs, _shown(inputs, how, seeds), how.interpolation))
    whole = inputs.shared("whole views", lambda: _whole(inputs))
    place = read_out_of(scored_class, scored_output)
    low, scores, high = (views.scores[:, :, place] for views in (start, found, whole))
    first, x, last = ((views.sizes if information == "bytes" else views.shown) for views in (start, found, whole))
    broken = torch.cat([low, scores, high], 1).isnan().any(1)
    undefined = ~broken & (constant[:, None] | (high < least) | (low >= high) | (first >= last)).any(1)
    x, y = ((part - start) / (stop - start) for part, start, stop in ((x, first, last), (scores, low, high)))
    curves = torch.stack([information_curve(a.clamp(0, 1), b.clamp(0, 1)) for a, b in zip(x, y, strict=True)])
    curves[broken | undefined] = torch.nan
    stored = Curve(torch.linspace(0, 1, PLACES, dtype=torch.float64)[::_STORED], curves[:, ::_STORED])
    return MetricResult(100 * torch.trapezoid(curves, dx=1 / (PLACES - 1)), undefined, {"information": stored})


def _check(inputs: MetricInputs, how: _Uncovering, information: str) -> None:
    from PIL import features

    if list(how.shares) != sorted(set(how.shares)) or not how.shares:
        raise UsageError(f"shares = {how.shares!r}: the image is uncovered step by step; give ascending fractions")
    if min(inputs.size) < 2:
        raise NotApplicable("an image with a side of one pixel has no triangles to interpolate in")
    if information == "bytes" and not features.check("webp"):
        raise NotApplicable("Pillow writes no WebP files here; give information='pixels'")


def _seed_pixels(inputs: MetricInputs, share: float) -> Tensor:
    """Random pixels and the corners, (B, H, W) bool on the CPU."""
    pixels = inputs.size[0] * inputs.size[1]
    count = max(1, round(share * pixels))
    ranks = torch.stack([torch.randperm(pixels, generator=generator) for generator in inputs.generators("seed pixels")])
    found = (ranks < count).unflatten(1, inputs.size)
    found[:, :: inputs.size[0] - 1, :: inputs.size[1] - 1] = True
    return found


def _shown(inputs: MetricInputs, how: _Uncovering, seeds: Tensor) -> Tensor:
    """Pixels shown at each share, (B, K, H, W) bool on the CPU."""
    ranks = pixel_order(inputs, PixelOrder(jitter=how.jitter))[0].cpu()
    counts = torch.tensor([max(1, round(share * ranks.shape[1])) for share in how.shares])
    return (ranks[:, None] < counts[:, None]).unflatten(2, inputs.size) | seeds[:, None]


def _views(inputs: MetricInputs, shown: Tensor, interpolation: Interpolation) -> _Views:
    """Views of the images (B) with K sets of pixels (B, K, H, W)."""
    images, scores, sizes = inputs.images, list[Tensor](), list[float]()
    for image, point in pairs(len(images), shown.shape[1], shown[0, 0].numel(), images.device):
        pictures = recovered(images[image], shown[image.cpu(), point.cpu()].to(images.device), interpolation)
        scores.append(read_outs(inputs, inputs.score(pictures), image))
        sizes += _bytes(pictures)
    shape = shown.shape[:2]
    return _Views(
        torch.cat(scores).unflatten(0, shape), torch.tensor(sizes, dtype=torch.float64).reshape(shape), shown.double().mean((2, 3))
    )


def _whole(inputs: MetricInputs) -> _Views:
    rows = torch.arange(len(inputs), device=inputs.images.device)
    sizes = torch.tensor(_bytes(inputs.images), dtype=torch.float64)[:, None]
    return _Views(read_outs(inputs, inputs.logits, rows)[:, None], sizes, torch.ones_like(sizes))


def _bytes(images: Tensor) -> list[float]:
    from PIL import features

    return [float(webp_bytes(image)) if features.check("webp") else float("nan") for image in images]
