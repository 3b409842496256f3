"""Names of objectives: canonical spelling, and one line for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.core.objective_names import OBJECTIVES, explained_by, parse_objective


@each(
    ("text", "expected"),
    [
        (" logit ", "logit"),
        ("margin", "margin(second)"),
        ("margin( second )", "margin(second)"),
        ("margin(07)", "margin(7)"),
        ("sum()", "sum"),
        ("sum(3,1)", "sum(3, 1)"),
        ("similarity('a b.png')", "similarity(a b.png)"),
        ("region(4, masks/m.npy)", "region(4, masks/m.npy)"),
    ],
)
def test_a_name_has_one_spelling(text: str, expected: str):
    assert str(parse_objective(text)) == expected
    assert parse_objective(expected) == parse_objective(text)


@each(
    ("text", "message"),
    [
        ("log_ods", "no objective 'log_ods'; did you mean 'log_odds'"),
        ("", "no objective ''"),
        ("logit(3)", r"--objective = logit\(3\): expected logit$"),
        ("margin(first)", r"expected margin\(second\) or margin\(CLASS\)"),
        ("margin(-1)", r"expected margin\(second\) or margin\(CLASS\)"),
        ("margin(1, 2)", r"expected margin\(second\) or margin\(CLASS\)"),
        ("sum(1, 1)", "a class is named twice"),
        ("sum(1, x)", r"expected sum, or sum\(CLASS, …\)"),
        ("similarity", r"expected similarity\(FILE\)"),
        ("region(m.png)", r"expected region\(CLASS, FILE\)"),
        ("margin(2", "no objective"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, message: str):
    with pytest.raises(UsageError, match=message) as caught:
        parse_objective(text)
    assert "\n" not in str(caught.value)


def test_which_explainers_explain_an_objective():
    found = {kind: explained_by(parse_objective(kind)) for kind in OBJECTIVES if kind not in ("similarity", "region")}
    linear = {kind for kind, takes in found.items() if "linear" in takes}
    assert linear == {"logit", "margin", "sum"}
    assert [kind for kind, takes in found.items() if "logit" in takes] == ["logit"]
    assert explained_by(None) == ("any",)


def test_a_file_moves_into_a_folder():
    assert str(parse_objective("region(1, m.png)").in_folder(Path("a"))) == "region(1, a/m.png)"
    assert str(parse_objective("margin(1)").in_folder(Path("a"))) == "margin(1)"
