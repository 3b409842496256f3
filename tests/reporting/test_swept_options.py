"""Options that differ while all else is equal are found, at any depth; nothing else is a sweep."""

from __future__ import annotations

from typing import Any

import pytest

from camdbench.reporting.swept_options import SweptOption, swept


def lines_of(*specs: str) -> dict[str, dict[str, dict[Any, str]]]:
    return {f"{one.name}.{one.option}": {line.label: dict(line.specs) for line in one.lines} for one in swept(specs)}


def test_powers_include_the_explainer_without_the_wrapper_as_one():
    names = ("gradcam", "power(gradcam, alpha=5.0)", "power(gradcam, alpha=0.1)", "power(fakecam, alpha=2.0)", "power(random, alpha=2.0)")
    assert lines_of(*names, "power(random)") == {
        "power.alpha": {
            "gradcam": {0.1: "power(gradcam, alpha=0.1)", 1.0: "gradcam", 5.0: "power(gradcam, alpha=5.0)"},
            "random": {1.0: "power(random)", 2.0: "power(random, alpha=2.0)"},
        }
    }
    assert list(swept(names)[0].lines[0].specs) == [0.1, 1.0, 5.0]  # ascending, in whatever order they were run


def test_a_wrapper_that_changes_maps_has_no_identity():
    assert lines_of("gradcam", "augsmooth(gradcam)", "inverted(gradcam)") == {}
    assert lines_of("smoothgrad(samples=4)", "saliency") == {}


def test_a_missing_option_is_its_default():
    assert lines_of("opticam", "opticam(iterations=50)") == {
        "opticam.iterations": {"opticam": {50: "opticam(iterations=50)", 100: "opticam"}}
    }
    assert lines_of("mine", "mine(n=3)") == {}  # the default of a name that is not registered is not known
    assert lines_of("mine(n=4)", "mine(n=3)") == {"mine.n": {"mine": {3: "mine(n=3)", 4: "mine(n=4)"}}}


def test_a_grid_has_a_line_for_each_value_of_the_other_option():
    specs = [f"opticam(iterations={n}, lr={lr})" for n in (5, 50) for lr in (0.2, 0.3)]
    assert lines_of(*specs) == {
        "opticam.iterations": {
            "opticam(lr=0.2)": {5: specs[0], 50: specs[2]},
            "opticam(lr=0.3)": {5: specs[1], 50: specs[3]},
        },
        "opticam.lr": {
            "opticam(iterations=5)": {0.2: specs[0], 0.3: specs[1]},
            "opticam(iterations=50)": {0.2: specs[2], 0.3: specs[3]},
        },
    }
    assert lines_of("opticam(iterations=5, lr=0.2)", "opticam(iterations=50, lr=0.3)") == {}  # two options differ


def test_options_inside_wrappers_count():
    one, two = "power(opticam(iterations=5), alpha=2.0)", "power(opticam(iterations=50), alpha=2.0)"
    assert lines_of(one, two) == {"opticam.iterations": {"power(opticam, alpha=2.0)": {5: one, 50: two}}}
    outer = ("inverted(power(gradcam, alpha=2.0))", "inverted(gradcam)")
    assert lines_of(*outer) == {"power.alpha": {"inverted(gradcam)": {1.0: outer[1], 2.0: outer[0]}}}


def test_texts_and_truth_values_are_categories():
    (found,) = swept(['opticam(objective="diff")', "opticam"])
    assert (found.option, found.is_numeric, found.is_wide) == ("objective", False, False)
    (truth,) = swept(["mine(a=True)", "mine(a=False)"])
    assert not truth.is_numeric


@pytest.mark.parametrize(("values", "wide"), [((1, 100), False), ((1, 101), True), ((0, 1000), False), ((0.001, 0.2), True)])
def test_more_than_two_decades_are_wide(values: tuple[float, float], wide: bool):
    (found,) = swept([f"mine(n={value})" for value in values])
    assert isinstance(found, SweptOption)
    assert found.is_numeric
    assert found.is_wide == wide
