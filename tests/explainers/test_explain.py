"""`camdbench.explain`: what it gives and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toys import SIZE, toy_batch, toy_classifier
from PIL import Image
from torch import nn

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.datasets.preprocess import prepare
from camdbench.explainers.common.explain import explain
from camdbench.models.classifier import Classifier


def test_one_image_is_a_batch_of_one(classifier: Classifier) -> None:
    images = toy_batch(1).images
    one, many = explain(classifier, images[0], "gradcam", targets=2), explain(classifier, images, "gradcam", targets=2)
    assert torch.equal(one.maps, many.maps)
    assert one.targets.tolist() == [2]
    assert one.logits.shape == (1, 5)
    assert one.raw.shape == (1, 8, 6)


def test_batches_are_put_together_in_order(classifier: Classifier) -> None:
    images = toy_batch(5).images
    whole = explain(classifier, images, "hirescam", targets=[0, 1, 2, 3, 4])
    parts = explain(classifier, images, "hirescam", targets=[0, 1, 2, 3, 4], batch_size=2)
    torch.testing.assert_close(whole.maps, parts.maps)
    assert parts.targets.tolist() == [0, 1, 2, 3, 4]
    assert len(parts.status) == 5


def test_targets_may_be_a_rule(classifier: Classifier) -> None:
    found = explain(classifier, toy_batch().images, "gradcam", targets="runner_up")
    assert torch.equal(found.targets, found.logits.argsort(1, descending=True)[:, 1])


def test_the_layer_may_be_an_argument_or_an_option(classifier: Classifier) -> None:
    images = toy_batch().images
    by_argument, by_option = explain(classifier, images, "gradcam", layer="conv2"), explain(classifier, images, 'gradcam(layer="conv2")')
    assert torch.equal(by_argument.maps, by_option.maps)
    assert not torch.equal(by_argument.maps, explain(classifier, images, "gradcam").maps)


def test_a_classifier_without_known_layer_can_be_asked_for_a_control() -> None:
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), mean=0, std=1)
    assert explain(classifier, torch.rand(2, 3, 2, 2), "fakecam").maps.shape == (2, 2, 2)
    with pytest.raises(UsageError, match="name one with layer="):
        explain(classifier, torch.rand(2, 3, 2, 2), "gradcam")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"explainers": "gradcan"}, "no explainer 'gradcan'; did you mean 'gradcam'"),
        ({"explainers": "opticam(iterations=1.5)"}, r"opticam\(iterations=1.5\): .*integer"),
        ({"explainers": "gradcam(iterations=3)"}, "gradcam: no option 'iterations'"),
        ({"targets": "label"}, "give the labels themselves"),
        ({"targets": "best"}, "best: expected predicted, runner_up, least_likely or a class index"),
        ({"targets": [0, 1, 2]}, "3 targets for 4 images"),
        ({"targets": 5}, "the model has classes 0 to 4"),
        ({"targets": [0, 1, 2, 5]}, "classes 0 to 4"),
        ({"targets": [0, 1, 2, -1]}, "classes 0 to 4"),
        ({"layer": "relu3"}, "toy-gap: no layer 'relu3'; did you mean 'relu2'"),
        ({"layer": "head"}, "layer 'head' of toy-gap cannot be explained: no grid of places in its output; use layer='.+'"),
        ({"images": torch.full((4, 3, 16, 12), 2.0)}, r"expected \[0, 1\], before any mean/std"),
        ({"model": nn.Linear(2, 2)}, r"Linear: mean and std are unknown; give mean=, std="),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_what_cannot_be_done_is_refused_with_the_fix(arguments: dict[str, object], message: str) -> None:
    given = {"model": toy_classifier(), "images": toy_batch().images, "explainers": "gradcam"} | arguments
    with pytest.raises(UsageError, match=message):
        explain(**given)


def test_gtbox_without_boxes_is_not_applicable(classifier: Classifier) -> None:
    with pytest.raises(NotApplicable):
        explain(classifier, toy_batch().images, "gtbox")


def test_images_in_other_containers_are_explained_the_same() -> None:
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    expected = explain(toy_classifier(), images, "gradcam", targets=1)
    for own in (list(images), images.permute(0, 2, 3, 1).numpy(), [np.ascontiguousarray(one.numpy()[:, ::-1])[:, ::-1] for one in images]):
        assert torch.equal(explain(toy_classifier(), own, "gradcam", targets=1).maps, expected.maps)


def test_several_explainers_share_the_passes_of_a_batch_and_equal_single_calls(classifier: Classifier) -> None:
    images = toy_batch().images
    alone = {name: explain(classifier, images, name) for name in ("gradcam", "hirescam")}
    before = classifier.passes
    both = explain(classifier, images, "gradcam,hirescam")
    spent = classifier.passes - before
    assert list(both) == ["gradcam", "hirescam"]
    for name, own in both.items():
        assert torch.equal(own.maps, alone[name].maps)
    assert (spent.forward, spent.backward + spent.tail_backward) == (len(images), len(images))


def test_a_list_is_a_mapping_and_what_does_not_apply_has_its_reason(classifier: Classifier) -> None:
    found = explain(classifier, toy_batch().images, ["gradcam", "rollout"])
    assert list(found) == ["gradcam"]
    assert "attention" in found.refused["rollout"]


def test_image_files_are_prepared_and_name_their_rows(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    classifier = Classifier(network, layer="1", mean=0.5, std=0.25)
    picture = Image.fromarray((np.random.default_rng(0).random((40, 30, 3)) * 255).astype(np.uint8))
    picture.save(tmp_path / "cat.png")
    found = explain(classifier, [tmp_path / "cat.png", str(tmp_path / "cat.png")], "gradcam", size=16)
    assert found.names == ("cat", "cat")
    assert torch.equal(found.images[0], prepare(picture, "resize256_crop224", 16))
    with pytest.raises(UsageError, match="preprocess = model: custom states no preprocessing"):
        explain(classifier, tmp_path / "cat.png", "gradcam", preprocess="model")
    classifier.preprocess = "fit(size=20)"
    assert torch.equal(explain(classifier, tmp_path / "cat.png", "gradcam").images[0], prepare(picture, "fit(size=20)", 16))
    with pytest.raises(UsageError, match=r"dog.png: no such file"):
        explain(classifier, tmp_path / "dog.png", "gradcam")
    classifier.preprocess = None
    mixed = [picture, tmp_path / "cat.png", np.asarray(picture), found.images[0]]
    whole = explain(classifier, mixed, "gradcam", size=16)
    assert (whole.names, [torch.equal(one, found.images[0]) for one in whole.images]) == (("0", "cat", "2", "3"), [True] * 4)
    with pytest.raises(UsageError, match=r"images have the sizes 8 x 8, 16 x 16; give them one size"):
        explain(classifier, [picture, found.images[0, :, :8, :8]], "gradcam", size=16)
    classifier.preprocess = "fit(size=12)"
    assert torch.equal(explain(classifier, picture, "gradcam").images[0], prepare(picture, "fit(size=12)", 1))
    with pytest.raises(UsageError, match=r"--size = 16: custom: the preprocessing fit.size=12. states its size"):
        explain(classifier, picture, "gradcam", size=16)
