"""Classifiers of torchvision by name, `resnet50`, `resnet50@IMAGENET1K_V1`, with their own weights enum."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core.errors import UsageError, unknown

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum

    from camdbench.models.classifier import Classifier

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RENORMALISING = ("googlenet", "inception_v3")  # convert ImageNet-normalised input to mean 0.5, std 0.5 themselves
_OLD_NAMES = (  # names in the official files, which torchvision renames on loading
    (re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),  # DenseNet
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),  # ViT
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)
_BUILDER = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


@cache
def names() -> tuple[str, ...]:
    """Names of all classifiers, parsed from torchvision's source without importing it."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return ()
    files = Path(spec.origin).parent.joinpath("models").glob("[!_]*.py")
    return tuple(sorted(name for file in files for name in _BUILDER.findall(file.read_text(encoding="utf-8"))))


def build(name: str, tag: str | None, weights: Path | None, *, download: bool, **overrides: Any) -> Classifier:
    """Classifier of torchvision.

    Args:
        name: torchvision's model name.
        tag: `random`, or member of the model's weights enum; default: IMAGENET1K_V1, as in the papers.
        weights: file to read the weights from instead.
        download: whether torchvision may download weights.
        overrides: `layer`, `mean`, `std`, if given.

    Raises:
        UsageError: unknown tag, missing or incompatible weights.
    """
    from camdbench.models.classifier import Classifier
    from camdbench.models.weights_file import read_state

    if weights is not None:
        if tag is not None:
            raise UsageError(f"{name}@{tag} and --weights {weights} both name weights; give one of them")
        state, label, enum = read_state(weights), f"{name}@{weights.name}", None
    elif tag == "random":
        state, label, enum = None, f"{name}@random", None
    else:
        enum = _enum(name, tag)
        state, label = _official_state(name, enum, download=download), f"{name}@{enum.name}"
    transforms = None if enum is None else enum.transforms()
    given_mean, given_std = overrides.get("mean"), overrides.get("std")
    mean = given_mean if given_mean is not None else IMAGENET_MEAN if transforms is None else tuple(transforms.mean)
    std = given_std if given_std is not None else IMAGENET_STD if transforms is None else tuple(transforms.std)
    count = _classes_of(name, state)
    network = _network(name, state, count, standard=_three(mean) == IMAGENET_MEAN)
    classes = _categories(name, enum, count)
    size = int(transforms.crop_size[0]) if transforms is not None else size_of(name)
    return Classifier(network, overrides.get("layer"), mean=mean, std=std, name=label, class_names=classes, input_size=size)


def fresh(name: str, classes: int, *, auxiliary: bool = False, standard: bool = True, drawn: bool = True) -> nn.Module:
    """Untrained network of torchvision, drawn from torch's global generator.

    Args:
        name: torchvision's model name.
        classes: number of logits.
        auxiliary: whether GoogLeNet and Inception v3 have their auxiliary classifiers.
        standard: whether the input of these two is normalised by ImageNet's mean and std.
        drawn: whether their weights are initialised, which is slow.
    """
    from torchvision import models

    arguments: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in _RENORMALISING:
        arguments |= {"aux_logits": auxiliary, "transform_input": standard, "init_weights": drawn}
    return models.get_model(name, **arguments)


def size_of(name: str) -> int:
    """Default side of the images in pixels."""
    return 299 if name == "inception_v3" else 224


def _three(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return (value,) * 3 if isinstance(value, int | float) else tuple(value)


def _enum(name: str, tag: str | None) -> WeightsEnum:
    from torchvision import models

    members = {member.name: member for member in models.get_model_weights(name)}
    if tag is None:
        return members.get("IMAGENET1K_V1") or next(iter(members.values()))
    if tag == "DEFAULT":
        return models.get_model_weights(name)["DEFAULT"]
    if tag not in members:
        raise unknown("weights", tag, [*members, "DEFAULT", "random"], of=name)
    return members[tag]


def _official_state(name: str, enum: WeightsEnum, *, download: bool) -> dict[str, Any]:
    import torch

    from camdbench.models.weights_file import read_state

    file = Path(torch.hub.get_dir(), "checkpoints", enum.url.rsplit("/", 1)[-1])
    if not file.is_file():
        if not download:
            raise UsageError(
                f"weights {enum.name} of {name} are not on this machine: put {file.name} into {file.parent} "
                f"(from {enum.url}), or give --download, --weights FILE or {name}@random"
            )
        enum.get_state_dict(progress=False, check_hash=True)
    return read_state(file)


def _network(name: str, state: dict[str, Any] | None, classes: int, *, standard: bool) -> nn.Module:
    """Build the network; without a state from a fixed seed, the global generator is untouched."""
    import torch

    from camdbench.models.weights_file import load_state

    auxiliary = state is not None and any(key.startswith(("aux1.", "AuxLogits.")) for key in state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = fresh(name, classes, auxiliary=auxiliary, standard=standard, drawn=state is None)
        if state is None:
            wake_head(network)
    if state is not None:
        load_state(network, {_rename(key): tensor for key, tensor in state.items()}, name)
    return network


def _rename(key: str) -> str:
    for old, new in _OLD_NAMES:
        key = old.sub(new, key)
    return key


def wake_head(network: nn.Module) -> None:
    """Draw all-zero linear layers, such as the head of torchvision's ViT, which would make all maps zero."""
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.Linear) and not bool(module.weight.any()):
            nn.init.trunc_normal_(module.weight, std=0.02)


def _classes_of(name: str, state: dict[str, Any] | None) -> int:
    """Number of classes of a state dict: rows of the last weight in torchvision's order."""
    if state is None:
        return 1000
    from camdbench.models.meta_network import on_meta_device

    own = on_meta_device(lambda: fresh(name, 1000, auxiliary=True, drawn=False)).state_dict()
    head = [key for key, tensor in own.items() if tensor.ndim >= 2][-1]
    return state[head].shape[0] if head in state else 1000


def _categories(name: str, enum: WeightsEnum | None, count: int) -> tuple[str, ...]:
    from torchvision import models

    known = enum or next(iter(models.get_model_weights(name)), None)
    categories = tuple(known.meta["categories"]) if known is not None else ()
    return categories if len(categories) == count else ()
