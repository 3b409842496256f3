"""Protocols: switches that options set, and a digest that follows every switch and option but not the name."""

from __future__ import annotations

from helpers.each import each

from camdbench.core.protocols import SWITCHES, Protocol

BASE = Protocol("a", masking="pixels", options={"step": 8})


def test_an_option_named_like_a_switch_sets_it_and_the_others_are_kept() -> None:
    found = BASE.with_options({"masking": "normalised", "maps": "raw", "step": 4})
    assert (found.masking, found.maps, found.name) == ("normalised", "raw", "a")
    assert found.options == {"step": 4}
    assert BASE.masking == "pixels"


def test_switches_are_all_of_them_by_name() -> None:
    assert tuple(BASE.switches) == SWITCHES
    assert BASE.switches["masking"] == "pixels"
    assert BASE.switches["reduction"] == "mean"


@each("switch", SWITCHES)
def test_the_digest_follows_every_switch(switch: str) -> None:
    changed = BASE.with_options({switch: "another", "step": 8})
    assert changed.digest("ad") != BASE.digest("ad")


def test_the_digest_follows_options_and_metric_but_not_the_name_or_the_order() -> None:
    assert BASE.with_options({"step": 9}).digest("ad") != BASE.digest("ad") != BASE.digest("ag")
    first = Protocol("a", options={"x": 1, "y": 2})
    assert first.digest("ad") == Protocol("b", options={"y": 2, "x": 1}).digest("ad")
