"""Single images explained: the files and numbers of `explain` and `evaluate`, and what is left out with a reason."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from PIL import Image

from camdbench.core.errors import UsageError
from camdbench.datasets.preprocess import prepare, read_picture
from camdbench.explainers.common.explain import explain
from camdbench.models.classifier import Classifier
from camdbench.reporting import explained_files
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
    found = explain_images(classifier, pictures, "gradcam,rollout,fakecam", target=" COW", metrics="ad,ai", size=SIDE, out=out)
    explained = found.items
    assert list(found.damaged) == [pictures[2]]
    assert list(found.refused) == ["rollout"]
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
        with Image.open(item.overlay) as overlay:
            assert overlay.size == (24, 20)
            assert overlay.info["Description"].startswith(f"{spec}, cow {100 * item.probability:.1f} %. ad ")
    written = {path.name for path in out.iterdir()}
    assert found.page == out / "report.html"
    assert written == {
        "gallery.png",
        "report.html",
        *(f"cat-{index}{end}" for index in range(2) for end in (".npz", "-gradcam.png", "-fakecam.png")),
    }


def page_of(file: Path) -> tuple[str, dict[str, Any]]:
    text = file.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    return text, json.loads(data[1])


def test_the_page_shows_the_pictures_with_maps_on_their_crop_and_all_values(pictures: list[str], tmp_path: Path) -> None:
    classifier = named(toy_classifier())
    found = explain_images(classifier, pictures[:2], "gradcam,saliency", target="least_likely", size=SIDE, out=tmp_path / "out")
    text, data = page_of(found.page)
    [block] = data["blocks"]
    assert [image["id"] for image in data["images"]] == ["cat-0", "cat-1"]  # no paths of the machine
    assert block["explainers"] == ["gradcam", "saliency"]
    for item in found.items:
        index, e = pictures.index(item.image), block["explainers"].index(item.explainer)
        assert [own[e][index] for own in block["values"]] == pytest.approx(list(item.scores.values()), rel=1e-3)
        image = data["images"][index]
        assert image["class"] == item.class_name
        assert image["why"][0] == f"probability: {100 * item.probability:.1f} %"
        assert image["why"][1].startswith("predicted: ")
        grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["maps"][classifier.name][item.explainer][0]))))
        with np.load(tmp_path / "out" / f"cat-{index}.npz") as held:
            own = held[item.explainer]
        inside = grey[..., 3] == 255  # 24 x 20 pixels: 7/8 of the height, as many of the width
        assert grey.shape == (20, 24, 4)
        assert (inside.any(1).sum(), inside.any(0).sum()) == (18, 18)
        assert not grey[~inside, 3].any()
        assert abs(grey[inside][:, 0].mean() / 255 - own.mean()) < 0.05
        assert f"<th>cat-{index}</th><td>{item.class_name}, {image['why'][0]}</td><td>{item.explainer}</td>" in text
    for section in ("images", "cards"):
        assert f'<section id="{section}"' in text
    assert text.count("<section") == 2
    assert "camdbenchCharts = " not in text
    assert text == explain_text(classifier, pictures[:2], tmp_path)


def explain_text(classifier: Classifier, names: list[str], folder: Path) -> str:
    page = explain_images(classifier, names, "gradcam,saliency", target="least_likely", size=SIDE, out=folder / "again").page
    return page.read_text(encoding="utf-8")


def test_maps_that_fail_are_left_out_and_many_images_fill_several_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explained_files, "_ROWS", 2)
    names = [str(tmp_path / f"<b>{number}.png") for number in range(3)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((40, 30, 3), 40 * number, dtype=np.uint8)).save(name)

    def fails(trace: Any) -> torch.Tensor:
        return torch.full((len(trace.images), 4, 4), float("nan"))

    lines = list[str]()
    options: dict[str, Any] = {"metrics": "ad", "size": SIDE, "out": tmp_path / "out", "longest": 20, "log": lines.append}
    found = explain_images(toy_classifier(), names, {"fails": fails, "fakecam": "fakecam"}, **options)
    assert [(item.status, item.caption) for item in found.items[::2]] == [("error", "(error)")] * 3
    assert all(np.isfinite(item.scores["ad"]) for item in found.items[1::2])
    assert lines == [f"{names[0]}: the overlay has 15 x 20 of 30 x 40 pixels; 3 images are reduced; --max-side 40 keeps all"]
    assert sorted(path.name for path in (tmp_path / "out").glob("gallery*")) == ["gallery-2.png", "gallery.png"]
    text, data = page_of(found.page)
    assert data["blocks"][0]["values"][0][0] == [None] * 3
    assert {data["statuses"][code] for code in data["blocks"][0]["status"][0][0]} == {"error"}
    assert [list(own) for image in data["images"] for own in image["maps"].values()] == [["fakecam"]] * 3
    assert "<b>" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


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
