"""The guided models that come with camdbench: small, made by the recipes beside them, and they do what they are there for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from camdbench.datasets.samples import Batch
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.models import embedded
from camdbench.models.surgery import check_additive
from camdbench.models.zoo import load_classifier
from camdbench.trainer.recipe import check_recipe, read_recipe

WEIGHTS = Path(embedded.__file__).parent / "weights"
RECIPES = Path(__file__).parents[2] / "benchmarks" / "shortcuts"
GUIDED = ["cfce", "cgc", "rcfce", "so"]
BY_MASKS = ["cfce", "rcfce", "so"]


def _facts(name: str) -> dict[str, Any]:
    return json.loads((WEIGHTS / f"shortcuts-{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", GUIDED)
class TestGuidedModels:
    def test_it_is_small_and_made_by_the_recipe_of_its_name(self, name: str) -> None:
        facts = _facts(name)
        assert (WEIGHTS / f"shortcuts-{name}.safetensors").stat().st_size < 3e6
        assert check_recipe(facts["recipe"], name) == read_recipe(RECIPES / f"{name}.yaml")
        assert facts["classes"] == list(shortcuts().classes)
        assert facts["threads"] == 1
        assert facts["fingerprints"]["conflict"] == shortcuts(split="conflict").fingerprint()

    def test_its_answers_are_those_that_it_was_shipped_with(self, name: str) -> None:
        classifier = load_classifier(f"shortcuts-{name}", device="cpu")
        dataset = shortcuts(split="conflict", count=100)
        batch = Batch.of([dataset[index] for index in range(100)])
        with torch.no_grad():
            right = (classifier(batch.images).argmax(1) == batch.labels).float().mean()
        assert float(right) == pytest.approx(_facts(name)["metrics"]["conflict"]["accuracy"], abs=0.12)


@pytest.mark.parametrize("name", BY_MASKS)
def test_masks_take_the_background_away_and_move_the_map_onto_the_object(name: str) -> None:
    """As measured; shortcuts-ce is right on 42 % of `conflict`."""
    found = _facts(name)["metrics"]
    assert found["val"]["accuracy"] > 0.95
    assert found["conflict"]["accuracy"] > 0.70
    assert found["val"]["energy"] > 0.60


@pytest.mark.parametrize("name", ["cfce", "rcfce"])
def test_after_surgery_maps_add_up_to_the_logits(name: str) -> None:
    classifier = load_classifier(f"shortcuts-{name}", device="cpu")
    check_additive(classifier, torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad(), classifier.captured() as seen:
        classifier(torch.rand(1, 3, 96, 96))
    assert seen.output().min() < 0
