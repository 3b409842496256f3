"""Verdicts and numbers, on cells made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.each import each
from scipy import stats

from camdbench.papers.agreement import OurValue, compare_cell
from camdbench.papers.measured_values import over_seeds
from camdbench.papers.paper_tables import paper_data, paper_tables
from camdbench.papers.paper_values import PaperValue
from camdbench.papers.recipe_files import load_table
from camdbench.tables.render import to_csv


def printed(value: str, std: str = "") -> PaperValue:
    return PaperValue("d", "m", "e", "AD", value, std, False)


@each(
    ("value", "low", "high", "agreement"),
    [
        ("12.2", 11.9, 12.4, "agrees"),
        ("12.2", 12.24, 12.30, "agrees"),  # 12.24 is printed as 12.2
        ("12.2", 12.26, 12.30, "differs"),  # is printed as 12.3
        ("12.2", 12.25, 12.30, "agrees"),  # rounding may go either way on the border
        ("12.2", 12.10, 12.14, "differs"),
        ("12.20", 12.21, 12.30, "differs"),  # one more digit is printed, so less may lie behind it
        ("0.4860", 0.48604, 0.4870, "agrees"),
        ("0.4860", 0.48606, 0.4870, "differs"),
        ("100", 99.6, 99.8, "agrees"),
        ("-0.18", -0.20, -0.186, "differs"),
        ("-0.18", -0.20, -0.184, "agrees"),
    ],
)
def test_the_papers_value_agrees_as_far_as_its_rounding_goes(value: str, low: float, high: float, agreement: str) -> None:
    assert compare_cell(printed(value), OurValue((low + high) / 2, low, high, 10)).agreement == agreement


def test_the_papers_spread_plays_no_part() -> None:
    ours = OurValue(20.0, 19.0, 21.0, 10)
    assert compare_cell(printed("16.25", "14.07"), ours).agreement == compare_cell(printed("16.25"), ours).agreement == "differs"


def test_without_an_interval_the_number_itself_must_be_printed_alike() -> None:
    assert compare_cell(printed("0.0"), OurValue(0.04, n=1)).agreement == "agrees"
    assert compare_cell(printed("0.0"), OurValue(0.06, n=1)).agreement == "differs"


def test_what_must_not_be_compared_is_not() -> None:
    ours = OurValue(1.0, 0.9, 1.1, 10)
    assert compare_cell(printed("1.0"), ours, small=True).agreement == "small"
    assert compare_cell(printed("1.0"), ours, not_comparable="another machine").reason == "another machine"
    assert compare_cell(printed(""), ours).reason == "the paper prints no number"
    assert math.isnan(compare_cell(printed(""), ours).difference)


def test_what_was_not_run_says_why_small_or_not() -> None:
    for small in (False, True):
        line = compare_cell(printed("1.0"), OurValue(reason="no data"), small=small)
        assert (line.agreement, line.reason) == ("not run", "no data")


def test_the_difference_is_ours_less_the_papers() -> None:
    assert compare_cell(printed("12.2"), OurValue(13.0, 12.0, 14.0, 5)).difference == pytest.approx(0.8)


def test_the_interval_over_seeds_is_students() -> None:
    values = np.array([70.1, 71.3, 69.8, 70.9, 70.2])
    found = over_seeds([OurValue(value, n=100) for value in values])
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high, found.seeds) == pytest.approx((values.mean(), low, high, 5))


def test_a_seed_without_a_number_leaves_none() -> None:
    assert over_seeds([OurValue(1.0), OurValue(reason="not trained"), OurValue(2.0)]).reason == "not trained"


class TestText:
    def lines(self) -> list[str]:
        paper_table = load_table("cgc-table2")
        lines = [
            compare_cell(paper_table.values[0], OurValue(0.49, 0.48, 0.50, 50)),
            compare_cell(paper_table.values[1], OurValue(reason="no weights", fault=True)),
        ]
        (table,) = paper_tables(paper_table, lines)
        data = paper_data(lines)
        assert list(data["agreement"]) == ["agrees", "not run"]
        assert to_csv(data).count("\n") == 3
        assert table.title.endswith(" · ImageNet-val · ResNet50")
        return [*("|".join(cell.text for cell in row) for row in table.sections[0].rows), *table.notes]

    def test_numbers_have_as_many_digits_as_the_papers(self) -> None:
        assert self.lines()[0] == "Baseline|Insertion AUC|0.4900|[0.4800, 0.5000]|0.4860|+0.0040|agrees"

    def test_reasons_are_numbered_and_stand_below(self) -> None:
        lines = self.lines()
        assert lines[1].endswith("—||0.5216||not run (1)")
        assert lines[2] == "(1) no weights"
        assert lines[-1] == "2 cells: 1 agrees, 1 not run"

    def test_the_recipes_footnotes_follow(self) -> None:
        assert any("train mode" in line for line in self.lines())
