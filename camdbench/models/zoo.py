"""Model zoo: classifiers by name, registered, of torchvision, of timm, or a checkpoint by path."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core.errors import UsageError, unknown
from camdbench.core.model_names import HF, TIMM, ZERO_SHOT, is_zero_shot
from camdbench.core.network_options import BatchMates, Output, check_choice
from camdbench.core.precision import check_precision
from camdbench.core.references import check_name, is_reference, read_given, split_alias
from camdbench.core.registries import models

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier


def model_names() -> list[str]:
    """Names of all models, the registered first; imports neither torch nor timm."""
    from camdbench.models import timm_zoo, torchvision_zoo

    return [*models.names(), *torchvision_zoo.names(), *timm_zoo.names()]


def check_model(name: str, *, weights: str | Path | None = None, prompts: str | Path | None = None) -> None:
    """Check a model name without importing torch; a reference is checked when it is loaded.

    Raises:
        UsageError: unknown model, a package that it needs is not installed, or a file does not exist or does not fit.
    """
    if weights is not None and not Path(weights).is_file():
        raise UsageError(f"--weights {weights}: no such file")
    base = name.partition("@")[0]
    _check_prompts(name, prompts)
    if is_reference(name):
        if weights is not None:
            raise UsageError(f"--weights {weights}: {name} makes its own weights; omit --weights")
    elif _is_path(name):
        if not Path(name).is_file():
            raise UsageError(f"model {name}: no such checkpoint")
    elif name.startswith((HF, ZERO_SHOT)):
        from camdbench.models import huggingface_zoo

        if weights is not None:
            raise UsageError(f"--weights {weights}: {name} has its own weights; omit --weights")
        huggingface_zoo.check_name(name)
    elif base.startswith(TIMM):
        from camdbench.models import timm_zoo

        timm_zoo.check_name(base)
    elif base in models:
        _check_packages(base)
    else:
        from camdbench.models import torchvision_zoo

        if base not in torchvision_zoo.names():
            raise unknown("model", base, model_names(), more="(see: camdbench list models)")


def check_network(name: str) -> None:
    """Check an architecture name (`shortcuts`, torchvision or timm) without importing torch.

    Raises:
        UsageError: unknown architecture, or a name of weights.
    """
    plain = name.partition("@")[0]
    if plain != "shortcuts":
        from camdbench.models import timm_zoo, torchvision_zoo

        if name.startswith(TIMM):
            plain = plain.partition(".")[0]
            timm_zoo.check_name(plain)
        elif plain not in torchvision_zoo.names():
            known = ["shortcuts", *torchvision_zoo.names(), *timm_zoo.names()]
            raise unknown("network", plain, known, more="(see: camdbench list models)")
    if plain != name:
        raise UsageError(f"network {name!r} names weights; use network: {plain} and init: {name}")


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
    output: Output | None = None,
    batch_mates: BatchMates | None = None,
    prompts: str | Path | None = None,
) -> Classifier:
    """Classifier of the zoo, in eval mode with frozen weights.

    Args:
        name: a registered name such as `shortcuts-ce`, a torchvision name such as `resnet50` or `resnet50@IMAGENET1K_V1`, a timm
            name such as `timm/vit_base_patch16_224` or `timm/vit_base_patch16_224@augreg_in1k`, `…@random` for random weights from a
            fixed seed, a network of transformers such as `hf/microsoft/resnet-18` or `hf/./FOLDER` of save_pretrained, a zero-shot
            network such as `hf-zero-shot/openai/clip-vit-base-patch32`, the path of a checkpoint of `camdbench train`, or a reference
            `[NAME=]FILE.py:FUNCTION(options)`.
        weights: weights file for a torchvision or timm name: safetensors or a state dict of plain tensors.
        layer: target layer; default: by architecture.
        mean: mean of the input normalisation on the scale of [0, 1]; default: that of the weights.
        std: standard deviation of the input normalisation; default: that of the weights.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        download: whether torchvision, timm or transformers may download missing weights.
        precision: precision of forward passes on masked images: `fp32` or `bf16`.
        output: what the network returns: logits, probabilities, log-probabilities or sigmoid; default: as the model states.
        batch_mates: `alone` runs one image at a time; default: as the model states.
        prompts: file of class names for a zero-shot network, one per line; lines with `{}` are templates.

    Raises:
        UsageError: unknown name, precision or output, missing or incompatible weights, or an unavailable device.
    """
    from camdbench.models.devices import pick_device
    from camdbench.models.embedded import load_checkpoint

    label, name = ("", name) if _is_path(name) and Path(name).is_file() else split_alias(name)
    check_model(name, weights=weights, prompts=prompts)
    checked = check_precision(precision)
    target = pick_device(device)
    given: dict[str, Any] = {"layer": layer, "mean": _as_tuple(mean), "std": _as_tuple(std)}
    base, _, tag = name.partition("@")
    if is_reference(name):
        classifier = _of_reference(name, given | {"output": output, "batch_mates": batch_mates})
        output = batch_mates = None
    elif _is_path(name):
        classifier = load_checkpoint(Path(name), name=Path(name).stem)
    elif name.startswith(HF):
        from camdbench.models import huggingface_zoo

        classifier = huggingface_zoo.build(name, download=download, **given)
    elif prompts is not None:
        from camdbench.models.zero_shot import build as build_zero_shot

        classifier = build_zero_shot(name, prompts, download=download, **given)
    elif base in models:
        if tag or weights is not None:
            raise UsageError(f"model {base} carries its own weights; name a model of torchvision or timm for @ or --weights")
        classifier: Classifier = models.call(base)
    else:
        from camdbench.models import timm_zoo, torchvision_zoo

        file = None if weights is None else Path(weights)
        library = timm_zoo if base.startswith(TIMM) else torchvision_zoo
        classifier = library.build(base, tag or None, file, download=download, **given)
    if base in models or _is_path(name):
        classifier = _override_layer(classifier, given)
    classifier.precision = checked
    if output is not None:
        classifier.output = check_choice("output", output, Output)
    if batch_mates is not None:
        classifier.batch_mates = check_choice("batch mates", batch_mates, BatchMates)
    classifier.name = check_name(label, "models") if label else classifier.name
    return classifier.to(target).eval().requires_grad_(False)


def _of_reference(name: str, facts: dict[str, Any]) -> Classifier:
    """Classifier of a reference `FILE.py:FUNCTION(options)`."""
    from camdbench.models.own_models import build

    (given,) = read_given([name], "model")
    return build(given, {key: own for key, own in facts.items() if own is not None})


def load_untrained(name: str) -> Classifier:
    """Classifier for purposes independent of its weights: torchvision and timm models have random weights.

    Raises:
        UsageError: unknown name.
    """
    if name.startswith(HF):
        return load_classifier(name if name.endswith("@random") else f"{name}@random", device="cpu")
    if is_zero_shot(name):
        from camdbench.models.zero_shot import build_untrained

        return build_untrained(name)
    known = "@" in name or _is_path(name) or name in models
    name = name.partition(".")[0] if name.startswith(TIMM) and not known else name
    return load_classifier(name if known else f"{name}@random", device="cpu")


def to_classifier(model: Any) -> Classifier:
    """A classifier as it is, or that of a name, reference, network or function.

    Raises:
        UsageError: unknown, or a bare network, whose mean and std are unknown.
    """
    from camdbench.models.own_models import classifier

    return classifier(model)


def _check_prompts(name: str, prompts: str | Path | None) -> None:
    """Check that a zero-shot model has a readable file of class names, and no other model one."""
    zero_shot = is_zero_shot(name)
    if zero_shot and prompts is None:
        raise UsageError(f"model {name}: needs the names of its classes; add --prompts FILE with one name per line")
    if prompts is not None and not zero_shot:
        raise UsageError(f"--prompts = {prompts}: the classes of {name} are fixed; omit it, or name a model hf-zero-shot/NAME")
    if prompts is not None:
        from camdbench.models.prompts import read_prompts

        read_prompts(prompts)


def missing_package(base: str) -> str:
    """The first package of a registered model that is not installed, found without importing it; empty if there is none."""
    return next((package for package in models.get(base).facts.packages if importlib.util.find_spec(package) is None), "")


def _check_packages(base: str) -> None:
    if package := missing_package(base):
        raise UsageError(f"model {base}: {package} is not installed; run: pip install 'camdbench[{models.get(base).facts.extra}]'")


def _is_path(name: str) -> bool:
    return name.endswith(".safetensors")


def _as_tuple(value: float | Sequence[float] | None) -> float | tuple[float, ...] | None:
    return value if value is None or isinstance(value, int | float) else tuple(value)


def _override_layer(classifier: Classifier, given: dict[str, Any]) -> Classifier:
    """Override the target layer of an embedded model; its mean and std are fixed."""
    if given["mean"] is not None or given["std"] is not None:
        raise UsageError(f"model {classifier.name} knows its own mean and std; leave --mean and --std out")
    if given["layer"] is not None:
        classifier.module(given["layer"])
        classifier.layer = given["layer"]
    return classifier
