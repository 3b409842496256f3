"""Cards of a report: what its models, data, explainers and metrics are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.errors import CamdbenchError
from camdbench.core.files import read_json
from camdbench.core.references import has_reference
from camdbench.core.registries import dataset_facts, datasets, explainers, metrics, models
from camdbench.core.registry import Registry
from camdbench.core.spec import parse_spec
from camdbench.core.switch_values import SWITCH_MEANINGS, switch_text
from camdbench.reporting.report_runs import ReportRun

_FEW = 8  # classes that a card names
_OF_MODELS = ("layer", "classes", "mean", "std", "output", "channels", "preprocess", "input_size", "origin", "revision", "note")
_WEIGHTS = Path(__file__).parents[1] / "models" / "weights"  # of the embedded networks, with their recipes


@dataclass(frozen=True)
class Card:
    """What the page says about a model, a data set, an explainer or a metric.

    Attributes:
        name: its name.
        first: what it is, in a sentence; may be empty.
        facts: further facts by heading.
    """

    name: str
    first: str
    facts: Mapping[str, str]


def merged_cards(shown: Sequence[ReportRun]) -> dict[str, list[Card]]:
    """Return the cards of one run, or of two: what both have alike is one card, the rest is labelled."""
    own = [cards(run.about) for run in shown]
    found = dict[str, list[Card]]()
    for kind in own[0]:
        for run, by_kind in zip(shown, own, strict=True):
            others = [card for other in own if other is not by_kind for card in other[kind]]
            for card in by_kind[kind]:
                if card not in found.setdefault(kind, []):
                    found[kind].append(card if card in others else Card(run.labelled(card.name), card.first, card.facts))
    return found


def cards(about: Mapping[str, Any]) -> dict[str, list[Card]]:
    """Return the cards of a run by kind, from its record and the registries; of single images, whose record names no data set, too."""
    asked = about.get("config", {}).get("models", ())
    paths = dict(zip(about["models"], asked, strict=True)) if len(asked) == len(about["models"]) else {}
    return {
        "Models": [_model_card(name, str(paths.get(name, name)), own) for name, own in about["models"].items()],
        **({"Data": [_data_card(about)]} if "dataset" in about else {}),
        "Explainers": [_explainer_card(name, own) for name, own in about["explainers"].items()],
        "Metrics": [_metric_card(name, own) for name, own in about["metrics"].items()],
    }


def _model_card(name: str, asked: str, own: Mapping[str, Any]) -> Card:
    names = {"weights_hash": "weights", "code": "code of the network"} | {name: name.replace("_", " ") for name in _OF_MODELS}
    facts = {heading: in_words(own[name]) for name, heading in names.items() if own.get(name) not in (None, "", [])}
    training = {"hash of the recipe" if key == "recipe" else key: value for key, value in (own.get("training") or {}).items()}
    facts |= {"training": in_words(training)} if training else {}
    stated = models.get(name).facts if name in models else None
    facts |= {} if stated is None else {"published": stated.paper, "trained on": stated.dataset}
    facts |= {f"recipe: {key}": in_words(value) for key, value in _recipe(name, asked).items() if value not in (None, "", [], {})}
    return Card(name, _first(models, name), {heading: text for heading, text in facts.items() if text})


def _recipe(name: str, asked: str) -> dict[str, Any]:
    """The recipe of a network that camdbench has trained, from the file beside its weights; empty if it is not there."""
    file = Path(asked).with_suffix(".json") if asked.endswith(".safetensors") else _WEIGHTS / f"{name}.json"
    try:
        recipe = read_json(file, what="checkpoint", fix="train again").get("recipe") if file.is_file() else None
    except (CamdbenchError, OSError):  # of a network that has moved since
        return {}
    return recipe if isinstance(recipe, dict) else {}


def data_facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the data set of a run, if it is a registered one."""
    text = str(about["config"].get("dataset", ""))
    if not text or has_reference(text):
        return {}
    try:
        spec = parse_spec(text)
    except CamdbenchError:  # a name that was given in Python
        return {}
    return vars(dataset_facts(spec)) if all(part.name in datasets for part in spec.walk()) else {}


def _data_card(about: Mapping[str, Any]) -> Card:
    config, own = about["config"], about["dataset"]
    facts = {"split": in_words(config.get("split")), "images": in_words(own.get("images")), "fingerprint": in_words(own.get("fingerprint"))}
    stated = data_facts(about)
    facts |= {name: stated[name] for name in ("paper", "licence", "source") if stated.get(name)}
    if classes := own.get("classes", ()):
        facts["classes"] = f"{len(classes)}: {', '.join(classes[:_FEW])}{', …' * (len(classes) > _FEW)}"
    name = str(config["dataset"])
    return Card(name, _first(datasets, name.partition("(")[0]), {heading: text for heading, text in facts.items() if text})


def _explainer_card(name: str, own: Mapping[str, Any]) -> Card:
    facts = {"paper": in_words(own.get("paper", "")), "control": "yes" if own.get("control") else ""}
    spec = parse_spec(name)
    if spec.name in explainers:
        stated = explainers.get(spec.name).facts
        facts |= {"needs": ", ".join(stated.needs), "normalisation": stated.normalisation, "range of the raw map": vars(stated)["values"]}
        facts |= {"formula": stated.formula, "refuses": stated.refuses, "other implementations": _differences(stated.differs)}
        facts |= {"passes": str(stated.cost) if isinstance(stated.cost, Cost) else ""}
    layers = own.get("layers") or {}
    facts |= {"layer": ", ".join(f"{layer} of {model}" for model, layer in layers.items() if layer)}
    return Card(name, _first(explainers, spec.name), {heading: text for heading, text in facts.items() if text})


def _metric_card(name: str, own: Mapping[str, Any]) -> Card:
    rises = own.get("higher_is_better")
    facts = {
        "paper": in_words(own.get("paper", "")),
        "protocol": " · ".join(filter(None, (in_words(own.get("protocol", "")), in_words(own.get("protocol_hash", ""))))),
        "direction": "not stated" if rises is None else f"{'higher' if rises else 'lower'} is better",
        "unit": in_words(own.get("unit", "")),
    }
    spec = parse_spec(name)
    if spec.name in metrics:
        stated = metrics.get(spec.name).facts
        facts |= {"formula": stated.formula, "range": vars(stated)["values"], "undefined": stated.undefined}
        facts |= {"other implementations": _differences(stated.differs)}
    for switch, value in own.get("switches", {}).items():
        heading = switch.replace("_", " ") + (f" ({SWITCH_MEANINGS[switch]})" if switch in SWITCH_MEANINGS else "")
        facts[heading] = switch_text(switch, str(value)) if value else ""
    facts |= {"options": in_words(own.get("options") or "")}
    return Card(name, _first(metrics, spec.name), {heading: text for heading, text in facts.items() if text})


def _differences(stated: Sequence[Difference]) -> str:
    return "; ".join(f"{own.who}: {own.what}" + f" ({own.effect})" * bool(own.effect) for own in stated)


def _first(registry: Registry[Any], name: str) -> str:
    return registry.get(name).summary if name in registry else ""


def in_words(value: Any) -> str:
    """A value of a record as text.

    >>> in_words({"lr": 0.1, "steps": [1, 2]})
    'lr 0.1 · steps 1, 2'
    """
    if isinstance(value, Mapping):
        return " · ".join(f"{name} {in_words(own)}" for name, own in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(in_words, value))
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
