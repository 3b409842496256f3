"""Classifiers of timm by name, `timm/vit_base_patch16_224`, with their own mean, std, size and weights (extra: timm)."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core.errors import UsageError, unknown
from camdbench.core.imagenet_classes import imagenet_classes
from camdbench.core.model_names import TIMM

if TYPE_CHECKING:
    from torch import Tensor, nn

    from camdbench.models.classifier import Classifier

_BUILDER = re.compile(r"^@register_model\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


@cache
def names() -> tuple[str, ...]:
    """Names of all networks with prefix, parsed from timm's source without importing it; empty without timm."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        return ()
    files = Path(spec.origin).parent.joinpath("models").glob("[!_]*.py")
    return tuple(sorted(TIMM + name for file in files for name in _BUILDER.findall(file.read_text(encoding="utf-8"))))


def check_name(base: str) -> None:
    """Check that timm is installed and has the network, without importing torch or timm.

    Args:
        base: `timm/NAME`, or timm's spelling with a weights tag, `timm/NAME.TAG`.

    Raises:
        UsageError: timm is not installed, or the network is unknown.
    """
    if not names():
        raise UsageError(f"model {base}: timm is not installed; run: pip install 'camdbench[timm]'")
    network = base.partition(".")[0]
    if network not in names():
        raise unknown("model", network, names(), more="(see: timm.list_models())")


def build(base: str, tag: str | None, weights: Path | None, *, download: bool, **overrides: Any) -> Classifier:
    """Classifier of timm.

    Args:
        base: `timm/NAME` or `timm/NAME.TAG`.
        tag: `random`, or tag of pretrained weights; default: timm's default weights.
        weights: file to read the weights from instead.
        download: whether timm may download weights.
        overrides: `layer`, `mean`, `std`, if given.

    Raises:
        UsageError: unknown tag, network without classes, missing or incompatible weights.
    """
    from camdbench.models.classifier import Classifier

    name, _, own_tag = base.removeprefix(TIMM).partition(".")
    if own_tag and tag is not None:
        raise UsageError(f"model {base}@{tag}: two weights; use {TIMM}{name}@{tag}")
    tag = tag or own_tag or None
    if weights is not None and tag is not None:
        raise UsageError(f"{base}@{tag} and --weights {weights} both name weights; give one of them")
    config = _config(name, tag)
    state, label = _state(name, tag, weights, config, download=download)
    count = _classes_of(state, config)
    if not count:
        raise UsageError(f"model {TIMM}{name}: timm has it as a feature extractor without classes; give --weights of a classifier")
    mean = overrides["mean"] if overrides.get("mean") is not None else tuple(config.mean)
    std = overrides["std"] if overrides.get("std") is not None else tuple(config.std)
    network, size = _network(name, tag, state, count), int(config.input_size[-1])
    classes = _categories(config, count) if config.num_classes == count else ()
    return Classifier(network, overrides.get("layer"), mean=mean, std=std, name=label, class_names=classes, input_size=size)


def fresh(base: str, classes: int) -> nn.Module:
    """Untrained network of timm, drawn from torch's global generator; `base` is `timm/NAME`."""
    import timm

    return timm.create_model(base.removeprefix(TIMM), pretrained=False, num_classes=classes)


def input_of(base: str) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Mean, std and image side of timm's default weights of `timm/NAME`."""
    config = _config(base.removeprefix(TIMM), None)
    return tuple(config.mean), tuple(config.std), int(config.input_size[-1])


def _config(name: str, tag: str | None) -> Any:
    """The `PretrainedCfg` of the weights: statistics, size, number of classes."""
    import timm

    tags = [item.partition(".")[2] for item in timm.list_pretrained(f"{name}.*") if item.partition(".")[0] == name]
    if tag is not None and tag != "random" and tag not in tags:
        raise unknown("weights", tag, [*tags, "random"], of=f"{TIMM}{name}")
    full = name if tag in (None, "random") else f"{name}.{tag}"
    return timm.get_pretrained_cfg(full, allow_unregistered=False)


def _state(name: str, tag: str | None, weights: Path | None, config: Any, *, download: bool) -> tuple[dict[str, Tensor] | None, str]:
    """Weights (None: random) and the model's name in rows."""
    from camdbench.models.weights_file import read_state

    if weights is not None:
        return read_state(weights), f"{TIMM}{name}@{weights.name}"
    if tag == "random":
        return None, f"{TIMM}{name}@random"
    if not config.has_weights:
        raise UsageError(f"model {TIMM}{name}: timm has no weights; give --weights FILE or use {TIMM}{name}@random")
    label = f"{TIMM}{name}@{config.tag}"
    if download:
        import timm

        return timm.create_model(f"{name}.{config.tag}", pretrained=True).state_dict(), label
    file = _cached_file(f"{config.hf_hub_id}{name}.{config.tag}" if str(config.hf_hub_id).endswith("/") else config.hf_hub_id)
    if file is None:
        raise UsageError(
            f"weights {config.tag} of {TIMM}{name} are not on this machine: give --download, --weights FILE "
            f"(a state dict, .safetensors or .pth), or {TIMM}{name}@random"
        )
    return read_state(file), label


def _cached_file(repository: str | None) -> Path | None:
    """Safetensors file in the cache of the Hugging Face hub, if it was downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "model.safetensors") if repository else None
    return Path(found) if isinstance(found, str) else None


def _network(name: str, tag: str | None, state: dict[str, Tensor] | None, classes: int) -> nn.Module:
    """Build the network; without a state from a fixed seed, the global generator is untouched."""
    import torch

    from camdbench.models.torchvision_zoo import wake_head
    from camdbench.models.weights_file import load_state

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = fresh(TIMM + name, classes)
        if state is None:
            wake_head(network)
            return network
        try:
            load_state(network, state, TIMM + name)
        except UsageError:
            converted = _convert(name, tag, state, classes)
            if converted is None:
                raise
            network = converted
    return network


def _convert(name: str, tag: str | None, state: dict[str, Tensor], classes: int) -> nn.Module | None:
    """The network with weights in their authors' format, converted by timm; None if they do not fit."""
    import timm

    full = name if tag is None else f"{name}.{tag}"
    given = {"state_dict": dict(state), "num_classes": classes}  # with another number timm leaves the head random
    try:
        return timm.create_model(full, pretrained=True, num_classes=classes, pretrained_cfg_overlay=given)
    except Exception:  # each conversion raises its own type
        return None


def _classes_of(state: dict[str, Tensor] | None, config: Any) -> int:
    """Number of classes of the weights: rows of timm's classifier layer."""
    heads = config.classifier if isinstance(config.classifier, list | tuple) else (config.classifier,)
    weight = None if state is None else state.get(f"{heads[0]}.weight")
    return int(config.num_classes) if weight is None else weight.shape[0]


def _categories(config: Any, count: int) -> tuple[str, ...]:
    """Class names: from the weights, else of the ImageNet subset with so many classes (torchvision's names for 1,000); else empty."""
    if config.label_names:
        return tuple(config.label_names)
    if count == len(imagenet_classes()):
        return tuple(item.name for item in imagenet_classes())
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(config)
    return tuple(ImageNetInfo(subset).label_descriptions()) if subset else ()
