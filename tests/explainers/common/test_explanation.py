"""Explanations in a notebook: one line, pictures, files."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from PIL import Image

from camdbench.core.errors import UsageError
from camdbench.explainers.common.explain import explain
from camdbench.explainers.common.explanation import Explanation, Explanations
from camdbench.functional.map_overlay import overlay


@pytest.fixture
def two() -> Explanations:
    return explain(toy_classifier(), toy_batch().images, "gradcam,hirescam")


def test_a_repr_is_one_line_without_tensors(two: Explanations) -> None:
    assert repr(two["gradcam"]) == "Explanation(gradcam: 4 maps 16 x 12, ok 4)"
    assert repr(two) == "Explanations(2 explainers, 4 images: gradcam, hirescam)"


def test_the_page_shows_image_and_overlay_of_every_explainer(two: Explanations) -> None:
    page = two._repr_html_()
    pictures = re.findall(r"base64,([A-Za-z0-9+/=]+)", page)
    assert len(pictures) == 4 * 3
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[5]))))
    own = two["hirescam"]
    expected = overlay(own.images[1].permute(1, 2, 0).numpy(), own.numpy()[1])
    assert np.array_equal(shown, expected)


def test_class_names_and_probabilities_stand_below_the_pictures(two: Explanations) -> None:
    own = two["gradcam"]
    probability = own.logits.double().softmax(1)[0, int(own.targets[0])]
    assert f"class {int(own.targets[0])} {100 * float(probability):.1f} %" in own._repr_html_()


def test_names_are_text_and_not_markup() -> None:
    own = explain(toy_classifier(), toy_batch(1).images, "gradcam")
    hostile = "<img src=x onerror=alert(1)>"
    named = Explanation(own.explainer, own.images, own.maps, own.raw, own.targets, own.logits, own.status, (hostile,) * 5, (hostile,))
    page = named._repr_html_()
    assert hostile not in page
    assert html.escape(hostile) in page


def test_a_page_is_limited_and_says_how_to_see_more() -> None:
    page = explain(toy_classifier(), toy_batch(4).images.repeat(3, 1, 1, 1), "fakecam")._repr_html_()
    assert page.count("<img") == 16
    assert "4 more images: .show(limit=12)" in page


def test_a_map_that_is_not_finite_has_its_state_and_the_plain_image() -> None:
    own = explain(toy_classifier(), toy_batch(1).images, "gradcam")
    broken = torch.full_like(own.maps, torch.nan)
    page = Explanation("mine", own.images, broken, own.raw, own.targets, own.logits, ("error",))._repr_html_()
    assert ", error" in page


def test_files_hold_the_arrays(two: Explanations, tmp_path: Path) -> None:
    two.save(tmp_path / "maps.npz")
    two["gradcam"].save(tmp_path / "one.npz")
    both, one = np.load(tmp_path / "maps.npz"), np.load(tmp_path / "one.npz")
    assert sorted(both) == ["gradcam", "gradcam/raw", "hirescam", "hirescam/raw", "images", "logits", "targets"]
    assert np.array_equal(one["maps"], two["gradcam"].numpy())
    assert np.array_equal(both["gradcam/raw"], one["raw"])
    with pytest.raises(UsageError, match=r"maps.pt: unknown suffix; choose .npz"):
        two.save(tmp_path / "maps.pt")


def test_outside_a_notebook_the_viewer_of_the_desktop_shows_the_sheet(two: Explanations, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[tuple[int, int]]()
    monkeypatch.setattr(Image.Image, "show", lambda picture: seen.append(picture.size))
    two.show(limit=2)
    assert seen == [(3 * 12, 2 * 16)]
    with pytest.raises(UsageError, match="limit = 0"):
        two.show(limit=0)
