"""Preprocessing in pixels: named protocols, `fit(…)`, and what is neither."""

from __future__ import annotations

import pytest

from camdbench.core.errors import UsageError
from camdbench.datasets.geometry import Geometry, geometry_of


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


@pytest.mark.parametrize(
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
