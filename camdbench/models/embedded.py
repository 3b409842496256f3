"""Embedded models, and checkpoints of `camdbench train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, PositiveInt
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.core.files import check_utf8, read_json
from camdbench.core.references import is_own
from camdbench.core.registries import model
from camdbench.models.classifier import Classifier
from camdbench.models.networks import build_network
from camdbench.models.weights_file import load_state, read_state

_Numbers = Annotated[list[float], Field(min_length=1)]


class _Sidecar(BaseModel):
    network: str
    classes: Annotated[list[str], Field(min_length=1)]
    mean: _Numbers
    std: _Numbers
    input_size: PositiveInt
    layer: str | None
    surgery: dict[str, Any] | None = None
    network_code: str | None = None
    output: str | None = None
    batch_mates: str = "together"
    prefix_tokens: int | None = None


_WEIGHTS = Path(__file__).parent / "weights"


@model("shortcuts-ce", paper="benchmarks/shortcuts/ce.yaml", dataset="shortcuts")
def shortcuts_ce() -> Classifier:
    """Small ResNet trained with cross-entropy: accurate on `val`, less so on `conflict`, because it uses the background."""
    return load_checkpoint(_WEIGHTS / "shortcuts-ce.safetensors", name="shortcuts-ce")


@model("shortcuts-so", paper="benchmarks/shortcuts/so.yaml", dataset="shortcuts")
def shortcuts_so() -> Classifier:
    """`shortcuts-ce`, fine-tuned with SO-Loss-Blur: the cosine of Grad-CAM and object mask is maximised."""
    return load_checkpoint(_WEIGHTS / "shortcuts-so.safetensors", name="shortcuts-so")


@model("shortcuts-cfce", paper="benchmarks/shortcuts/cfce.yaml", dataset="shortcuts")
def shortcuts_cfce() -> Classifier:
    """`shortcuts-ce` after surgery, fine-tuned with CFCE: class contrasts outside the object increase the loss."""
    return load_checkpoint(_WEIGHTS / "shortcuts-cfce.safetensors", name="shortcuts-cfce")


@model("shortcuts-rcfce", paper="benchmarks/shortcuts/rcfce.yaml", dataset="shortcuts")
def shortcuts_rcfce() -> Classifier:
    """`shortcuts-ce` after surgery, fine-tuned with RCFCE: CFCE plus uniform contrasts on the object."""
    return load_checkpoint(_WEIGHTS / "shortcuts-rcfce.safetensors", name="shortcuts-rcfce")


@model("shortcuts-cgc", paper="benchmarks/shortcuts/cgc.yaml", dataset="shortcuts")
def shortcuts_cgc() -> Classifier:
    """`shortcuts-ce`, fine-tuned with CGC: the map of a crop must match the crop of the map; no masks are used."""
    return load_checkpoint(_WEIGHTS / "shortcuts-cgc.safetensors", name="shortcuts-cgc")


def load_checkpoint(path: Path, *, name: str) -> Classifier:
    """Checkpoint by path: NAME.safetensors with NAME.json beside it.

    Raises:
        UsageError: a file is missing or invalid, or the network is unknown.
    """
    check_utf8("model", name)
    facts_file = path.with_suffix(".json")
    if not facts_file.exists():
        raise UsageError(f"checkpoint {path}: {facts_file.name} is not beside it; for weights alone use --models NAME --weights {path}")
    facts = read_json(facts_file, _Sidecar, "checkpoint", fix="train again")
    classes, arguments = facts["classes"], {key: facts[key] for key in ("mean", "std", "input_size", "layer")}
    arguments |= {key: facts[key] for key in ("output", "batch_mates", "prefix_tokens") if key in facts}
    try:
        if is_own(facts["network"]):
            network, stated = _own_network(facts, facts_file)
            arguments = stated | arguments
        else:
            network = build_network(facts["network"], len(classes), facts.get("surgery"))
    except UsageError as error:
        raise UsageError(f"checkpoint {path}: {error}") from None
    load_state(network, read_state(path), name)
    try:
        return Classifier(network, name=name, class_names=classes, **arguments)
    except UsageError as error:
        raise UsageError(f"checkpoint {path}: {facts_file.name}: {error}") from None


def _own_network(facts: dict[str, Any], facts_file: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a user's file, and options of `Classifier` that the file states."""
    from camdbench.models.network_source import made_again

    made = made_again(facts["network"], facts.get("network_code"), len(facts["classes"]), facts_file)
    kept = ("output", "batch_mates", "prefix_tokens", "channels", "preprocess")
    return made.network, {name: getattr(made, name) for name in kept}
