"""Single images explained: the files and numbers of `explain` and `evaluate`, and what is left out with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from PIL import Image

from camdbench.core.errors import UsageError
from camdbench.datasets.preprocess import prepare, read_picture
from camdbench.explainers.common.explain import explain
from camdbench.models.classifier import Classifier
from camdbench.reporting.explained_images import explain_images
from camdbench.runner.evaluate import evaluate

SIDE = 24


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Two pictures of one name in two folders, and a damaged one."""
    names = list[str]()
    for folder, image in zip("ab", toy_batch(2, size=(20, 24)).images, strict=True):
        names.append(str(tmp_path / folder / "cat.png"))
        Path(names[-1]).parent.mkdir()
        Image.fromarray((255 * image.permute(1, 2, 0)).byte().numpy()).save(names[-1])
    names.append(str(tmp_path / "bad.png"))
    Path(names[-1]).write_bytes(Path(names[0]).read_bytes()[:100])
    return names


def named(classifier: Classifier) -> Classifier:
    classifier.class_names = ("ant", "bee", "cow", "dog", "elk")
    return classifier


def test_files_and_numbers_are_those_of_explain_and_evaluate(pictures: list[str], tmp_path: Path) -> None:
    classifier, out = named(toy_classifier()), tmp_path / "out"
    explained, damaged, refused = explain_images(
        classifier, pictures, "gradcam,rollout,fakecam", target=" COW", metrics="ad,ai", size=SIDE, out=out
    )
    assert list(damaged) == [pictures[2]]
    assert list(refused) == ["rollout"]
    images = torch.stack([prepare(read_picture(Path(name)), "resize256_crop224", SIDE) for name in pictures[:2]])
    logits = classifier(images).detach().double()
    assert [(item.image, item.explainer) for item in explained] == [
        (name, spec) for name in pictures[:2] for spec in ("gradcam", "fakecam")
    ]
    for number, item in enumerate(explained):
        index, spec = number // 2, item.explainer
        maps = explain(classifier, images, spec, targets=2)
        scores = evaluate(classifier, images, [2, 2], maps.maps, "ad,ai")
        own = scores[scores["image"] == index]
        assert (item.target, item.class_name) == (2, "cow")
        assert item.probability == pytest.approx(float(logits[index].exp()[2] / logits[index].exp().sum()))
        assert item.scores == pytest.approx(dict(zip(own["metric"], own["value"], strict=True)))
        assert item.overlay == str(out / f"cat-{index}-{spec}.png")
        with np.load(out / f"cat-{index}.npz") as held:
            np.testing.assert_array_equal(held["image"], images[index])
            np.testing.assert_allclose(held[spec], maps.maps[index], atol=1e-6)
            np.testing.assert_allclose(held[f"{spec}/raw"], maps.raw[index], atol=1e-6)
    written = {path.name for path in out.iterdir()}
    assert written == {"gallery.png", *(f"cat-{index}{end}" for index in range(2) for end in (".npz", "-gradcam.png", "-fakecam.png"))}


@pytest.mark.parametrize(
    ("names", "explainers", "words"),
    [([2], "gradcam", "bad.png"), ([0], "rollout", "attention"), ([], "gradcam", "no such file")],
)
def test_nothing_to_show_is_an_error_with_the_reason(
    pictures: list[str], names: list[int], explainers: str, words: str, tmp_path: Path
) -> None:
    chosen = [pictures[index] for index in names] or ["no-such-picture"]
    with pytest.raises(UsageError, match=words):
        explain_images(toy_classifier(), chosen, explainers, size=SIDE, out=tmp_path / "out")
