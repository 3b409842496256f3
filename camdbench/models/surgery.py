"""Network surgery for core-focused training: class maps that sum to the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from camdbench.core.errors import CamdbenchError, NotApplicable, UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.shortcuts_net import ResidualBlock, ShortcutsNetwork

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock, Bottleneck

Stride = Literal[1, "original"]
Relus = Literal["paper", "release"]


def apply_surgery(network: nn.Module, *, stride: Stride = 1, relus: Relus = "paper") -> nn.Module:
    """Modify a network in place for core-focused training (CFCE, appendix C.1); all remaining weights are kept.

    The last stage keeps its resolution, the head has no bias, and the last block loses the BatchNorm of its last
    convolution and its last ReLU: features and class maps become signed.

    Args:
        network: ResNet of torchvision, or the embedded models' network.
        stride: stride of the last stage: `1`, as in the paper, or `original`.
        relus: `paper` removes the last ReLU; `release` all ReLUs of the last block, which share one module.

    Raises:
        UsageError: unsupported or already modified network.
    """
    if surgery_of(network) is not None:
        raise UsageError("surgery: the network is already modified; leave surgery out")
    if isinstance(network, ShortcutsNetwork):
        _open_shortcuts(network, stride, relus)
    else:
        _open_resnet(network, stride, relus)
    network.surgery = {"stride": stride, "relus": relus}  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue] - metadata
    return network


def surgery_of(network: nn.Module) -> dict[str, str | int] | None:
    """Options of the surgery of a network; None without surgery."""
    return cast("dict[str, str | int] | None", getattr(network, "surgery", None))


def check_additive(classifier: Classifier, images: Tensor) -> None:
    """Check that the class maps of images (B, 3, H, W) sum to the logits.

    Raises:
        CamdbenchError: they do not.
        NotApplicable: the head is not linear.
    """
    from camdbench.models.linear_head import linear_head

    with torch.no_grad(), classifier.frozen(), classifier.captured() as seen:
        logits = classifier(images)
    weights = linear_head(classifier, seen.output().detach(), logits)
    if weights is None:
        raise NotApplicable(f"{classifier.name}: the head is not global average pooling and a linear layer")
    error = (seen.output().detach().mean((2, 3)) @ weights.T - logits).abs().max()
    if float(error) > 1e-4 * float(logits.abs().max()):
        raise CamdbenchError(f"{classifier.name}: class maps differ from the logits by {float(error):.3g}; the head has a bias")


def _open_shortcuts(network: ShortcutsNetwork, stride: Stride, relus: Relus) -> None:
    first, last = cast("ResidualBlock", network.layer3[0]), cast("ResidualBlock", network.layer3[-1])
    if stride == 1:
        for part in (first.body[0], cast("nn.Sequential", first.skip)[0]):
            cast("nn.Conv2d", part).stride = (1, 1)
    last.body[4], last.relu = nn.Identity(), nn.Identity()
    if relus == "release":
        last.body[2] = nn.Identity()


def _open_resnet(network: nn.Module, stride: Stride, relus: Relus) -> None:
    from torchvision.models.resnet import Bottleneck, ResNet

    if not isinstance(network, ResNet):
        raise UsageError(f"surgery: unsupported for {type(network).__name__}; use shortcuts or a ResNet of torchvision")
    first, last = cast("BasicBlock | Bottleneck", network.layer4[0]), cast("BasicBlock | Bottleneck", network.layer4[-1])
    if stride == 1:
        strided = first.conv2 if isinstance(first, Bottleneck) else first.conv1
        for part in (strided, cast("nn.Sequential", first.downsample)[0]):
            cast("nn.Conv2d", part).stride = (1, 1)
    norms = ("bn1", "bn2", "bn3") if isinstance(last, Bottleneck) else ("bn1", "bn2")
    if relus == "paper":  # all ReLUs of the block are one module; the inner ones move into their norms
        for name in norms[:-1]:
            setattr(last, name, nn.Sequential(getattr(last, name), nn.ReLU(inplace=True)))
    setattr(last, norms[-1], nn.Identity())
    cast("nn.Module", last).relu = nn.Identity()
    old = network.fc
    network.fc = nn.Linear(old.in_features, old.out_features, bias=False, device=old.weight.device, dtype=old.weight.dtype)
    network.fc.weight = old.weight
