"""The shipped classes of ImageNet, against the two libraries that have them."""

from __future__ import annotations

import pytest

from camdbench.core.imagenet_classes import imagenet_classes, imagenet_positions


def test_names_are_those_of_torchvisions_weights_in_their_order() -> None:
    from torchvision.models import ResNet50_Weights

    assert [item.name for item in imagenet_classes()] == ResNet50_Weights.IMAGENET1K_V1.meta["categories"]


def test_wnids_are_timms_in_their_order() -> None:
    info = pytest.importorskip("timm.data").ImageNetInfo("imagenet1k")
    assert [item.wnid for item in imagenet_classes()] == info.label_names()


def test_positions_are_the_inverse() -> None:
    assert [imagenet_positions()[item.wnid] for item in imagenet_classes()] == list(range(1000))
