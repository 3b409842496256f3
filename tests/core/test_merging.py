"""Nested mappings as one: the second goes before the first, at every depth, and neither is changed."""

from __future__ import annotations

from camdbench.core.merging import merge_nested


def test_the_second_goes_before_the_first_at_every_depth() -> None:
    base = {"a": {"b": {"c": 1, "d": 2}}, "e": 3}
    over = {"a": {"b": {"d": 4}, "f": 5}}
    assert merge_nested(base, over) == {"a": {"b": {"c": 1, "d": 4}, "f": 5}, "e": 3}
    assert base == {"a": {"b": {"c": 1, "d": 2}}, "e": 3}
    assert over == {"a": {"b": {"d": 4}, "f": 5}}


def test_a_mapping_and_a_value_are_not_merged() -> None:
    assert merge_nested({"a": {"b": 1}}, {"a": 2}) == {"a": 2}
    assert merge_nested({"a": 2}, {"a": {"b": 1}}) == {"a": {"b": 1}}
    assert merge_nested({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}
