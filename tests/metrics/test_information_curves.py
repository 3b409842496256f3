"""SIC and AIC: against the steps of the paper image by image, rectified maps, exclusions, shared passes, and the number of a table."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from helpers.scored_maps import images_of, scored
from helpers.toys import SIZE, toy_batch, toy_classifier
from PIL import Image, features
from scipy.interpolate import griddata
from torch import nn

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.functional.imputation import impute
from camdbench.functional.scattered_pixels import eight_bits
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier
from camdbench.tables.aggregates import CellData, aggregate

COUNT = 8
CLASSIFIER = toy_classifier("dense")
CLASSIFIER.network.head[-1].weight.data.mul_(6)  # so that probabilities differ by more than rounding
BATCH = replace(toy_batch(COUNT), images=eight_bits(toy_batch(COUNT).images))
MAPS = torch.rand(COUNT, *SIZE, generator=torch.Generator().manual_seed(3))
SHARES, SEED, PIXELS = (0.05, 0.2, 0.5), 0.01, SIZE[0] * SIZE[1]


def view(image: np.ndarray, known: np.ndarray, interpolation: str) -> np.ndarray:
    """An image (H, W, 3) of 8 bits from its known pixels."""
    if interpolation == "neighbours":
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        filled = impute(pixels, torch.from_numpy(known)[None])[0].permute(1, 2, 0).numpy() * 255
    else:
        everywhere = np.argwhere(np.ones(SIZE))
        filled = griddata(np.argwhere(known), image[known].astype(float), everywhere, method="linear").reshape(*SIZE, 3)
    return np.where(known[..., None], image, np.rint(np.clip(filled, 0, 255).round(6))).astype(np.uint8)


def size_of(image: np.ndarray, known: np.ndarray, information: str) -> float:
    """Bytes of a file, or share of pixels."""
    if information == "pixels":
        return float(known.mean())
    file = BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True, quality=100)
    return len(file.getvalue())


def by_hand(index: int, accuracy: bool, information: str, interpolation: str, label: int) -> float:
    """One image by the steps of the paper; NaN where it is left out."""
    image = np.round(BATCH.images[index].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    order = torch.randperm(PIXELS, generator=generator_for(0, BATCH.ids[index], "seed pixels")).numpy()
    seeds = (order < round(SEED * PIXELS)).reshape(SIZE)
    seeds[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    ranked = MAPS[index].flatten().argsort(descending=True).numpy()

    def score(picture: np.ndarray) -> float:
        with torch.no_grad():
            p = CLASSIFIER(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255).double().softmax(1)[0]
        return float(p.argmax() == label) if accuracy else float(p[label])

    views = list[tuple[np.ndarray, np.ndarray]]()
    for share in (0.0, *SHARES):
        known = seeds.copy()
        known.reshape(-1)[ranked[: round(share * PIXELS)]] = True
        views.append((view(image, known, interpolation), known))
    sizes = [size_of(picture, known, information) for picture, known in views]
    scores, full, whole = [score(picture) for picture, _ in views], size_of(image, np.ones(SIZE), information), score(image)
    if whole <= scores[0] or full <= sizes[0] or (accuracy and not whole):
        return np.nan
    points = {0.0: 0.0, 1.0: 1.0}
    best = 0.0
    for size, own in zip(sizes[1:], scores[1:], strict=True):
        place = float(np.clip((size - sizes[0]) / (full - sizes[0]), 0, 1))
        best = max(best, float(np.clip((own - scores[0]) / (whole - scores[0]), 0, 1)))
        points[place] = max(points.get(place, 0.0), best)
    x = sorted(points)
    return 100 * float(np.trapezoid(np.interp(np.linspace(0, 1, 1001), x, [points[place] for place in x]), dx=0.001))


@pytest.mark.parametrize("information", ["bytes", "pixels"])
@pytest.mark.parametrize("interpolation", ["linear", "neighbours"])
def test_values_are_those_of_the_steps_image_by_image(information: str, interpolation: str) -> None:
    """The maps have no ties, so that no noise is needed."""
    options = f"shares={SHARES}, seed_share={SEED}, information={information!r}, interpolation={interpolation!r}, jitter=0.0"
    with torch.no_grad():
        predicted = CLASSIFIER(BATCH.images).argmax(1).tolist()
    for name, least in (("sic", ", least=0.0"), ("aic", "")):
        found = scored(CLASSIFIER, BATCH, MAPS, f"{name}({options}{least}, scored_class='predicted')")
        expected = [by_hand(index, name == "aic", information, interpolation, predicted[index]) for index in range(COUNT)]
        assert found.values.tolist() == pytest.approx(expected, abs=0.5, nan_ok=True), name
        assert found.undefined.tolist() == np.isnan(expected).tolist()
        assert not found.undefined.all()


def test_a_rectified_map_of_zeros_is_uncovered_step_by_step_and_not_at_once() -> None:
    """With a quantile of 0 every share from 0.1 on would show the whole image."""
    seen = list[torch.Tensor]()

    class Records(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.extend(images)
            return images.mean((2, 3)).repeat(1, 2)[:, :5]

    maps = torch.zeros(1, *SIZE)
    maps[0, :4, :4] = MAPS[0, :4, :4]
    scored(Classifier(Records(), mean=0, std=1), BATCH.part(0, 1), maps, "sic(shares=(0.05, 0.2, 0.5, 0.75))")
    image, _, *views = seen  # the image and the seed pixels come first
    shown = [(view == image).all(0).double().mean().item() for view in views]
    assert len(shown) == 4
    assert shown == pytest.approx([0.05, 0.2, 0.5, 0.75], abs=0.06)


def test_images_are_left_out_for_their_probability_and_constant_maps() -> None:
    spec = "sic(protocol=pixels, least={}, scored_class='predicted')"
    whole = scored(CLASSIFIER, BATCH, MAPS, spec.format(0.0))
    place = int((~whole.undefined).nonzero()[0])
    maps = MAPS.clone()
    maps[place] = 0.5
    some, none = (scored(CLASSIFIER, BATCH, maps, spec.format(least)) for least in (0.0, 0.9999))
    assert (some.undefined != whole.undefined).nonzero().flatten().tolist() == [place]
    assert none.undefined.all()
    assert none.curves["information"].y.isnan().all()


def test_both_read_the_same_pictures_and_seed_pixels_are_for_all_maps() -> None:
    sic = images_of("sic")
    assert sic == 2 * (1 + 1 + 13)
    assert images_of("sic,aic,sic(information='pixels', least=0.1),aic(scored_class='predicted')") == sic
    assert images_of("sic", cams="gradcam,layercam,xgradcam") == 2 * (1 + 1 + 3 * 13)


def test_the_number_of_a_table_is_the_area_under_the_median_curve_up_to_a_half() -> None:
    batch = toy_batch(16)
    maps = torch.rand(16, *SIZE, generator=torch.Generator().manual_seed(0))
    found = scored(CLASSIFIER, batch, maps, "sic(least=0.0, scored_class='predicted')")
    curve = found.curves["information"]
    cell = CellData(found.values.numpy(), {"information": (curve.x.numpy(), curve.y.numpy())}, np.zeros(16, dtype=int))
    median = 100 * aggregate("area under the median curve", cell, np.ones((1, 16)))[0]
    kept = curve.y[~found.undefined].numpy()
    assert median == pytest.approx(100 * np.trapezoid(np.median(kept, axis=0), dx=0.01))
    for row, value in zip(kept, found.values[~found.undefined], strict=True):
        assert 100 * np.trapezoid(row, dx=0.01) == pytest.approx(float(value), abs=0.5)


def test_what_cannot_be_uncovered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"shares = .*ascending fractions"):
        scored(CLASSIFIER, BATCH, MAPS, "sic(shares=(0.5, 0.1))")
    with pytest.raises(UsageError, match=r"least = 80: .*give one in \[0, 1\]"):
        scored(CLASSIFIER, BATCH, MAPS, "sic(least=80)")
    monkeypatch.setattr(features, "check", lambda _: False)
    with pytest.raises(NotApplicable, match="no WebP"):
        scored(CLASSIFIER, BATCH, MAPS, "sic")
    assert scored(CLASSIFIER, BATCH, MAPS, "sic(protocol=pixels, least=0.0)").values.shape == (COUNT,)
