"""Preprocessing in pixels: named protocols, `fit(…)`, and what is neither."""

from __future__ import annotations

import pytest
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.datasets.geometry import Geometry, choose_preprocess, geometry_of


def test_named_protocols_scale_with_the_size() -> None:
    assert geometry_of("resize256_crop224", 448) == Geometry(short=512, crop=448, corner="round")
    assert geometry_of("resize224_distort", 96) == Geometry(size=96)
    assert geometry_of("short448", 224) == Geometry(short=448, corner="round")
    assert geometry_of("keep", 224) == Geometry()


def test_fit_is_in_pixels_and_reads_what_it_prints() -> None:
    found = geometry_of("fit(crop=224, short=256, resample=bicubic)", 64)
    assert found == Geometry(short=256, crop=224, resample="bicubic") == geometry_of(str(found), 64)
    assert found.input_size == 224


def test_corners_of_odd_margins() -> None:
    assert Geometry(short=9, crop=6).top_left(9, 12) == (1, 3)
    assert Geometry(short=9, crop=6, corner="round").top_left(9, 12) == (round(1.5), 3)
    assert Geometry(short=5, crop=8).top_left(5, 8) == (-1, 0)


@each(
    "how",
    [
        "fit()",
        "fit(crop=3)",
        "fit(short=3, size=3)",
        "fit(short=0)",
        "fit(short=2.5)",
        "fit(side=3)",
        "fit(short=3, resample=lanczos)",
        "x",
    ],
)
def test_others_are_refused(how: str) -> None:
    with pytest.raises(UsageError, match=r"^preprocess = .*: unknown; use resize256_crop224, .*fit\(short=256, crop=224"):
        geometry_of(how, 224)


def test_the_geometry_of_a_model_needs_a_model() -> None:
    with pytest.raises(UsageError, match=r"^preprocess = model: there is no model here"):
        geometry_of("model", 224)


def test_preprocessing_of_a_model_is_as_given_else_its_own() -> None:
    own = "fit(size=32, resample=bilinear)"
    assert choose_preprocess(None, own, "net") == choose_preprocess("model", own, "net") == own
    assert choose_preprocess("keep", own, "net", 9) == "keep"
    assert choose_preprocess(None, None, "net", 9) == "resize256_crop224"
    with pytest.raises(UsageError, match=r"^preprocess = model: net states no preprocessing; name it, such as fit\(short=256, crop=224\)$"):
        choose_preprocess("model", None, "net")
    for given, whose in ((own, "--preprocess"), (None, "net: the preprocessing"), ("model", "net: the preprocessing")):
        with pytest.raises(UsageError, match=rf"^--size = 9: {whose} fit\(size=32, resample=bilinear\) states its size; use"):
            choose_preprocess(given, own, "net", 9)
