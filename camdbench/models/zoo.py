"""The zoo: every classifier that can be named, embedded, torchvision's, timm's, or a checkpoint by path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core.errors import UsageError, unknown
from camdbench.core.precision import check_precision
from camdbench.core.registries import models
from camdbench.models import timm_zoo, torchvision_zoo

if TYPE_CHECKING:
    from torch import nn

    from camdbench.models.classifier import Classifier


def model_names() -> list[str]:
    """Names of all models, the embedded first; neither torch nor timm is imported."""
    return [*models.names(), *torchvision_zoo.names(), *timm_zoo.names()]


def check_model(name: str, *, weights: str | Path | None = None) -> None:
    """Make sure that a model of that name can be looked for, without importing torch.

    Raises:
        UsageError: nobody has that name, or the weights file is not there.
    """
    if weights is not None and not Path(weights).is_file():
        raise UsageError(f"--weights {weights}: no such file")
    base = name.partition("@")[0]
    if _is_path(name):
        if not Path(name).is_file():
            raise UsageError(f"model {name}: no such checkpoint")
    elif base.startswith(timm_zoo.PREFIX):
        timm_zoo.check_name(base)
    elif base not in models and base not in torchvision_zoo.names():
        raise unknown("model", base, model_names(), more="(see: camdbench list models)")


def check_network(name: str) -> None:
    """Make sure that there is an architecture of that name, `shortcuts`, torchvision's or timm's, without importing torch.

    Raises:
        UsageError: there is none, or the name is one of weights.
    """
    plain = name.partition("@")[0]
    if name.startswith(timm_zoo.PREFIX):
        plain = plain.partition(".")[0]
        timm_zoo.check_name(plain)
    elif plain not in ("shortcuts", *torchvision_zoo.names()):
        raise unknown("network", plain, ["shortcuts", *torchvision_zoo.names(), *timm_zoo.names()], more="(see: camdbench list models)")
    if plain != name:
        raise UsageError(f"network {name!r} names weights; write network: {plain} and init: {name}")


def load_classifier(
    name: str = "shortcuts-ce",
    *,
    weights: str | Path | None = None,
    layer: str | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    device: str = "auto",
    download: bool = False,
    precision: str = "fp32",
) -> Classifier:
    """A classifier of the zoo, in eval mode, its weights frozen.

    Args:
        name: `shortcuts-ce`, a torchvision name such as `resnet50` or `resnet50@IMAGENET1K_V1`, a timm name such as
            `timm/vit_base_patch16_224` or `timm/vit_base_patch16_224@augreg_in1k`, `…@random` for random weights that
            are always the same, or the path of a checkpoint made by `camdbench train`.
        weights: a file with weights for a name of torchvision or timm: safetensors or a state dict of plain tensors.
        layer: target layer instead of the family's default.
        mean: mean of the input normalisation on the scale of [0, 1], instead of the weights' own.
        std: standard deviation, likewise.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        download: whether torchvision or timm may fetch weights that are not on this machine.
        precision: of the passes over images that explainers have altered: `fp32`, or `bf16`.

    Raises:
        UsageError: unknown name or precision, missing or ill-fitting weights, or an unavailable device.
    """
    from camdbench.models.devices import pick_device
    from camdbench.models.embedded import load_checkpoint

    check_model(name, weights=weights)
    chosen = check_precision(precision)
    where = pick_device(device)
    given: dict[str, Any] = {"layer": layer, "mean": _plain(mean), "std": _plain(std)}
    base, _, tag = name.partition("@")
    if _is_path(name):
        classifier = load_checkpoint(Path(name), name=Path(name).stem)
    elif base in models:
        if tag or weights is not None:
            raise UsageError(f"model {base} carries its own weights; name a model of torchvision or timm for @ or --weights")
        classifier = models.load(base)()
    else:
        file = None if weights is None else Path(weights)
        house = timm_zoo if base.startswith(timm_zoo.PREFIX) else torchvision_zoo
        classifier = house.build(base, tag or None, file, download=download, **given)
    if base in models or _is_path(name):
        classifier = _overridden(classifier, given)
    classifier.precision = chosen
    return classifier.to(where).eval().requires_grad_(False)


def load_untrained(name: str) -> Classifier:
    """A classifier for questions that do not depend on its weights: random ones where torchvision's or timm's would be needed.

    Raises:
        UsageError: unknown name.
    """
    known = "@" in name or _is_path(name) or name in models
    name = name.partition(".")[0] if name.startswith(timm_zoo.PREFIX) and not known else name
    return load_classifier(name if known else f"{name}@random", device="cpu")


def to_classifier(model: Classifier | nn.Module | str) -> Classifier:
    """The classifier itself, or the one of that name.

    Raises:
        UsageError: a bare network, whose mean and std nobody can know.
    """
    from camdbench.models.classifier import Classifier

    if isinstance(model, str):
        return load_classifier(model)
    if not isinstance(model, Classifier):
        raise UsageError(f"wrap the {type(model).__name__} first: camdbench.Classifier(network, layer=…, mean=…, std=…)")
    return model


def _is_path(name: str) -> bool:
    return name.endswith(".safetensors")


def _plain(value: float | Sequence[float] | None) -> float | tuple[float, ...] | None:
    return value if value is None or isinstance(value, int | float) else tuple(value)


def _overridden(classifier: Classifier, given: dict[str, Any]) -> Classifier:
    """An embedded model carries its own statistics; only the layer may be another."""
    if given["mean"] is not None or given["std"] is not None:
        raise UsageError(f"model {classifier.name} knows its own mean and std; leave --mean and --std out")
    if given["layer"] is not None:
        classifier.module(given["layer"])
        classifier.layer = given["layer"]
    return classifier
