"""Meanings of protocol switches: every value of every metric has one."""

from __future__ import annotations

from camdbench.core.protocols import SWITCHES
from camdbench.core.registries import metrics
from camdbench.core.switch_values import SWITCH_MEANINGS, VALUE_MEANINGS, switch_text


def test_every_value_of_every_protocol_has_a_meaning_and_no_other():
    used = {(name, value) for entry in metrics for protocol in entry.protocols for name, value in protocol.switches.items() if value}
    used |= {("ground_truth", "inclusive boxes"), ("scored_output", "objective")}  # of options alone
    assert {(name, value) for name, own in VALUE_MEANINGS.items() for value in own} == used
    assert tuple(SWITCH_MEANINGS) == SWITCHES


def test_a_value_of_a_plugin_is_shown_as_it_is():
    assert switch_text("masking", "blurred") == "blurred"
    assert switch_text("mine", "x") == "x"
