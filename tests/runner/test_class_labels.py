"""Labels of a data set meet the classes of the models by name, by position, or by a list in the models' order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.toys import Toy, toy_batch, toy_classifier
from PIL import Image
from torch import nn

import camdbench
from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.models.classifier import Classifier
from camdbench.runner.class_labels import meet_classes
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.resources import Resources

NAMES = ("cat", "dog", "fox", "owl", "pig")
COUNT = 3


def photos() -> Any:
    """Three images of the first three classes, as sorted names."""
    return camdbench.data((toy_batch(COUNT).images, ["cat", "dog", "fox"]))


def model(order: tuple[int, ...] = (0, 1, 2, 3, 4), names: tuple[str, ...] = NAMES) -> Classifier:
    """The toy with its classes in another order."""
    toy = toy_classifier()
    assert isinstance(toy.network, Toy)
    with torch.no_grad():
        for weights in toy.network.head[-1].parameters():
            weights.copy_(weights[list(order)].clone())
    named = [names[place] for place in order] if names else ()
    return Classifier(toy.network, "relu2", class_names=named, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def rows(out: Path, own: Classifier, **more: Any) -> pd.DataFrame:
    return camdbench.run("gradcam", "ad", models={"mine": own}, dataset=photos(), out=out, **more)


def test_by_name_or_list_a_permuted_network_has_the_same_values(tmp_path: Path):
    order = (4, 2, 0, 1, 3)
    expected = rows(tmp_path / "plain", model())
    found = rows(tmp_path / "run", model(order, ("CAT", "dog", "Fox", "owl", "pig")))
    assert expected["label"].tolist() == [0, 1, 2]
    assert found["label"].tolist() == [order.index(label) for label in (0, 1, 2)]
    np.testing.assert_allclose(found["value"].to_numpy(float), expected["value"].to_numpy(float), atol=1e-4)
    listed = tmp_path / "CLASSES.txt"
    listed.write_text("\n".join(NAMES[place] for place in order), encoding="utf-8")
    again = rows(tmp_path / "listed", model(order, ()), classes=listed)
    assert again["label"].tolist() == found["label"].tolist()
    assert again["value"].tolist() == found["value"].tolist()
    listed.write_text("cat\ndog\nfox", encoding="utf-8")
    with pytest.raises(UsageError, match=r"CLASSES\.txt has 3 classes and the network 5"):
        rows(tmp_path / "short", model(order, ()), classes=listed)


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (
            ("cat", "wolf", "lynx", "owl", "pig"),
            {},
            r"2 class names of the data are not among .* 5 \(first: 'dog'\): use classes='pos",
        ),
        ((), {}, "3 and 5 classes, and the model has no class names; give class_names"),
        (("cat", "dog", "fox", "FOX", "pig"), {}, "class 'fox' of the data is the name of several classes of the network"),
        (NAMES, {"classes": "none.txt"}, "--classes = none.txt: expected names, positions, or a file"),
    ],
)
def test_labels_that_meet_no_class_are_refused(names: Any, more: Any, message: str, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        rows(tmp_path / "run", model(names=names), **more)
    assert not (tmp_path / "run").exists()
    stated = {"classes": "positions"} if not more else {"target": "predicted"}
    assert set(rows(tmp_path / "run", model(names=names), **stated)["status"]) == {"ok"}


def test_models_with_different_orders_are_run_one_by_one(tmp_path: Path):
    models = {"a": model(), "b": model((1, 0, 2, 3, 4))}
    with pytest.raises(UsageError, match="--models = a,b: they order the classes of data set data in different ways"):
        camdbench.run("gradcam", "ad", models=models, dataset=photos(), out=tmp_path / "run")


def test_the_order_is_that_of_the_resources():
    resources = Resources(models={"mine": model((1, 0, 2, 3, 4))}, dataset=photos())
    bound = resources.bind(check_config(RunConfig(metrics="ad"), resources))
    assert list(bound.images.labels) == [0, 1, 2]
    meet_classes(bound)
    assert bound.class_order == ((1, 0, 2), ("dog", "cat", "fox", "owl", "pig"))
    assert list(bound.images.labels) == [1, 0, 2]


def test_images_without_a_label_are_refused_where_labels_are_explained(tmp_path: Path):
    images = toy_batch(2).images
    given: dict[str, Any] = {"models": {"mine": model()}, "dataset": [(images[0], "cat"), (images[1], None)], "out": tmp_path / "run"}
    with pytest.raises(UsageError, match=r"--target label: 1 of 2 images of data set data have no label \(first: '1'\); give labels"):
        camdbench.run("gradcam", "ad", **given)
    assert not (tmp_path / "run").exists()
    assert camdbench.run("gradcam", "ad", target="predicted", **given)["label"].tolist() == [0, -1]


def test_folders_of_wordnet_identifiers_are_recognised(tmp_path: Path):
    wnids = ("n01440764", "n02123045")
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1000))
    own = Classifier(network.eval(), "1", mean=0, std=1)
    for name in wnids:
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (90, 40, 200)).save(tmp_path / "photos" / name / "a.png")
    given: dict[str, Any] = {"models": {"mine": own}, "data_root": tmp_path / "photos"}
    with pytest.warns(CamdbenchWarning, match=r"label 0 is scored as .*: give --dataset 'folder\(classes=\"imagenet\"\)'$"):
        camdbench.run("gradcam", "ad", dataset="folder(size=32)", out=tmp_path / "first", **given)
    found = camdbench.run("gradcam", "ad", dataset='folder(classes="imagenet", size=32)', out=tmp_path / "second", **given)
    assert found["label"].tolist() == [0, 281]  # tench, tabby
    (tmp_path / "photos" / wnids[0]).rename(tmp_path / "photos" / "fish")
    with pytest.warns(CamdbenchWarning, match=r"list the model's classes in order in classes.txt"):
        camdbench.run("gradcam", "ad", dataset="folder(size=32)", out=tmp_path / "third", **given)
