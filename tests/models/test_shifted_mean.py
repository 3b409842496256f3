"""A classifier of shifted images: the same network and logits, another mean, passes of its own."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier

from camdbench.models.pass_counts import PassCounts
from camdbench.models.shifted_mean import with_shifted_mean


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("toy", ["gap", "dense", "vit"])
def test_logits_are_equal_and_the_network_is_shared(toy: str) -> None:
    classifier = toy_classifier(toy)
    images = toy_batch(2, size=(32, 32) if toy == "vit" else (16, 12)).images
    with torch.no_grad():
        own = classifier(images)
        for shift in (-1.0, 3.0):
            other = with_shifted_mean(classifier, shift)
            torch.testing.assert_close(other(images + shift), own)
            assert other.network is classifier.network
            assert other.passes == PassCounts(forward=2)
    assert classifier.passes == PassCounts(forward=2)
    assert classifier.mean.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])


def test_float32_keeps_the_logits_to_rounding() -> None:
    classifier, images = toy_classifier(), toy_batch().images
    with torch.no_grad():
        torch.testing.assert_close(with_shifted_mean(classifier, -1.0)(images - 1), classifier(images), rtol=1e-5, atol=1e-5)
