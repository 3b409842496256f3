"""Claims of completeness: by option, with conditions, and in the registry."""

from __future__ import annotations

from typing import Any

from helpers.each import each

from camdbench.core.map_sum import Completeness
from camdbench.core.registries import explainers, reference_of
from camdbench.core.spec import Spec


@each(
    ("claim", "options", "wanted"),
    [
        (Completeness("baseline"), {"baseline": "black"}, "black"),
        (Completeness("baseline"), {"baseline": "noise"}, None),
        (Completeness("zero"), {}, "zero"),
        (Completeness("zero", when={"bias": False}), {"bias": True}, None),
        (Completeness("baseline", when={"channels": "sum", "noise": 0.0}), {"baseline": "mean", "channels": "sum", "noise": 0.0}, "mean"),
        (Completeness("baseline", when={"channels": "sum", "noise": 0.0}), {"baseline": "mean", "channels": "sum", "noise": 0.1}, None),
    ],
)
def test_a_claim_follows_the_options(claim: Completeness, options: dict[str, Any], wanted: str | None) -> None:
    assert claim.of(options) == wanted


def test_every_stated_claim_names_options_of_its_explainer() -> None:
    claims = {entry.name: entry for entry in explainers if entry.facts.completeness is not None}
    assert {"integratedgradients", "gradientshap", "deeplift", "captum:DeepLift"} <= set(claims)
    for entry in claims.values():
        names = {option.name for option in entry.options}
        assert {entry.facts.completeness.reference, *entry.facts.completeness.when} <= names | {"zero"}
    assert reference_of(Spec.of("deeplift", {"baseline": "mean"})) == "mean"
