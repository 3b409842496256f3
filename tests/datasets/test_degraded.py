"""Images without their most or least relevant pixels, against a literal choice of pixels."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from camdbench.datasets.degraded import Degraded, Replacement, kept_elements
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.functional.imputation import impute

DATA = shortcuts(size=32, count=3)
MAPS = np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)
HOW = Replacement(30.0, "most", "mean", (0.1, 0.2, 0.3))


@pytest.fixture
def degraded(tmp_path: Path) -> Degraded:
    np.save(tmp_path / "maps.npy", MAPS)
    return Degraded(DATA, tmp_path / "maps.npy", hashlib.sha256(MAPS.tobytes()).hexdigest(), HOW)


@pytest.mark.parametrize("order", ["most", "least"])
def test_the_chosen_pixels_have_the_mean_colour_in_all_channels(degraded: Degraded, order: str) -> None:
    sample, own = replace(degraded, how=replace(HOW, order=order))[1], DATA[1]
    ranked = sorted(range(1024), key=lambda place: MAPS[1].flat[place], reverse=order == "most")
    removed = torch.zeros(1024, dtype=torch.bool)
    removed[ranked[:307]] = True  # 30 % of 1,024
    expected = torch.where(removed.reshape(32, 32), torch.tensor([0.1, 0.2, 0.3])[:, None, None], own.image)
    assert torch.equal(sample.image, expected)
    assert (sample.id, sample.label, sample.background) == (own.id, own.label, own.background)
    shown = replace(degraded, how=replace(HOW, order=order, shows="masks"))[1].image
    assert torch.equal(shown, (~removed).reshape(1, 32, 32).expand(3, -1, -1).float())


def test_nothing_replaced_is_the_image_and_everything_the_mean_colour(degraded: Degraded) -> None:
    assert torch.equal(replace(degraded, how=replace(HOW, share=0.0))[0].image, DATA[0].image)
    for fill in ("mean", "noisy linear"):
        image = replace(degraded, how=replace(HOW, share=100.0, fill=fill))[0].image
        assert torch.equal(image, torch.tensor([0.1, 0.2, 0.3])[:, None, None].expand(3, 32, 32))


def test_noisy_linear_is_the_imputation_with_noise_where_pixels_are_missing(degraded: Degraded) -> None:
    image = replace(degraded, how=replace(HOW, fill="noisy linear"))[2].image
    kept = torch.from_numpy(MAPS[2] < np.sort(MAPS[2], axis=None)[-307])
    assert torch.equal(image[:, kept], DATA[2].image[:, kept])
    difference = (image - impute(DATA[2].image[None], kept[None])[0])[:, ~kept]
    assert 0.007 < difference.std() < 0.013
    assert torch.equal(image, replace(degraded, how=replace(HOW, fill="noisy linear"))[2].image)


def test_values_are_ranked_over_all_channels_and_pixels_in_all_of_them(degraded: Degraded, tmp_path: Path) -> None:
    """Distinct values: whole pixels but the last one. Equal values: single channels, as in the released code of ROAR."""
    how = replace(HOW, share=30.01, elements="values", shows="masks")  # 922 of 3,072 values: 307 pixels and one channel
    values = replace(degraded, how=how)[1].image == 0
    pixels = replace(degraded, how=replace(how, elements="pixels"))[1].image == 0
    assert (int(values.sum()), int(pixels.sum())) == (922, 921)
    assert int((values != pixels).any(0).sum()) == 1
    flat = tmp_path / "flat.npy"
    np.save(flat, np.zeros_like(MAPS))
    even = replace(degraded, maps=flat, how=replace(how, shows="images"))
    gone = even[1].image != DATA[1].image
    assert 900 < int(gone.sum()) <= 922  # a value of the mean colour may be that of the image
    partly = gone.any(0) & ~gone.all(0)
    assert int(partly.sum()) > 300
    whole = replace(even, how=replace(even.how, elements="pixels"))[1].image
    replaced = (whole == torch.tensor([0.1, 0.2, 0.3])[:, None, None]).all(0)
    assert int(replaced.sum()) == 307
    for channel, colour in enumerate((0.1, 0.2, 0.3)):
        assert torch.equal(even[1].image[channel, gone[channel]], torch.full((int(gone[channel].sum()),), colour))


def test_noisy_linear_values_are_imputed_channel_by_channel(degraded: Degraded, tmp_path: Path) -> None:
    flat = tmp_path / "flat.npy"
    np.save(flat, np.zeros_like(MAPS))
    own = replace(degraded, maps=flat, how=replace(HOW, fill="noisy linear", elements="values"))
    kept = replace(own, how=replace(own.how, shows="masks"))[2].image.bool()
    image = own[2].image
    assert torch.equal(image[kept], DATA[2].image[kept])
    for channel in range(3):
        alone = impute(DATA[2].image[None, channel : channel + 1], kept[channel : channel + 1])[0, 0]
        assert 0.005 < (image[channel] - alone)[~kept[channel]].std() < 0.015
    everything = replace(own, how=replace(own.how, share=100.0))[0].image
    assert torch.equal(everything, torch.tensor([0.1, 0.2, 0.3])[:, None, None].expand(3, 32, 32))


def test_equal_values_are_ordered_at_random_by_seed_and_image() -> None:
    flat = torch.zeros(20, 20)
    first, again, other = (kept_elements(flat, 25, "most", torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert int(first.sum()) == int(other.sum()) == 300
    assert first[:5].any()
    assert not first[5:].all()  # not a block of the first rows


def test_the_fingerprint_changes_with_maps_share_fill_and_data(degraded: Degraded) -> None:
    others = [replace(degraded, digest="0"), replace(degraded, how=replace(HOW, share=31.0)), replace(degraded, seed=1)]
    others += [replace(degraded, how=replace(HOW, fill="noisy linear")), replace(degraded, data=shortcuts(size=32, count=2))]
    others += [replace(degraded, how=replace(HOW, elements="values"))]
    assert len({own.fingerprint() for own in (degraded, *others)}) == 7
