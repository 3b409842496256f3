"""Networks of single cells: their logits are those of the network on the cell, or on its part of the features."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier

from camdbench.core.errors import NotApplicable
from camdbench.models.mosaic_heads import cell_classifiers

pytestmark = pytest.mark.usefixtures("float64")
CELLS = [(slice(0, 8), slice(0, 6)), (slice(0, 8), slice(6, 12)), (slice(8, 16), slice(0, 6)), (slice(8, 16), slice(6, 12))]


def test_apart_each_head_is_the_network_on_its_cell_and_sees_no_other() -> None:
    classifier, images = toy_classifier(), toy_batch(3).images
    for (rows, columns), own in zip(CELLS, cell_classifiers(classifier, images, 2, apart=True), strict=True):
        torch.testing.assert_close(own(images), classifier(images[..., rows, columns]))
        changed = torch.rand_like(images)
        changed[..., rows, columns] = images[..., rows, columns]
        assert torch.equal(own(changed), own(images))


def test_on_common_features_the_mean_over_the_heads_is_the_network() -> None:
    classifier, images = toy_classifier(), toy_batch(3).images
    heads = cell_classifiers(classifier, images, 2, apart=False)
    torch.testing.assert_close(torch.stack([own(images) for own in heads]).mean(0), classifier(images))
    assert not torch.allclose(heads[0](images), heads[3](images))


def test_the_target_layer_holds_the_features_of_all_cells() -> None:
    images = toy_batch(2).images
    for apart in (True, False):
        own = cell_classifiers(toy_classifier(), images, 2, apart=apart)[1]
        with own.captured() as seen:
            own(images)
        assert seen.output().shape == (2, 8, 8, 6)


def test_the_network_and_the_global_generator_are_left_as_they_were() -> None:
    classifier, images = toy_classifier(), toy_batch(2).images
    before, state, passes = classifier.weights_hash(), torch.random.get_rng_state(), classifier.passes
    cell_classifiers(classifier, images, 2, apart=True)[0](images)
    assert classifier.weights_hash() == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert classifier.passes == passes
    assert not any(module._forward_hooks for module in classifier.modules())


def test_networks_and_sizes_that_have_no_such_split_are_named() -> None:
    images = toy_batch(2).images
    for classifier, given, n, reason in (
        (toy_classifier("dense"), images, 2, "toy-dense: no head of global average pooling"),
        (toy_classifier(), images, 3, "images of 16 x 12 pixels do not divide into 3 x 3"),
        (toy_classifier(), images[..., :6, :6], 2, "features of 3 x 3 places do not divide into 2 x 2"),
    ):
        with pytest.raises(NotApplicable, match=reason):
            cell_classifiers(classifier, given, n, apart=False)
