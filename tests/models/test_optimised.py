"""Optimised copies: logits and maps of the plain network, the user's network untouched, and what cannot be optimised is refused."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, get_args

import pytest
import torch
import torchvision
from helpers.toys import drawn, maps_of, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.network_options import Optimize
from camdbench.core.registries import parse_explainers
from camdbench.models.classifier import Classifier
from camdbench.models.float64_copy import float64_copy
from camdbench.models.optimisation import CompiledGraph, plain_of
from camdbench.models.optimised import optimised
from camdbench.models.pass_counts import PassCounts
from camdbench.models.randomised import cascade
from camdbench.models.zoo import load_classifier

KINDS: tuple[Optimize, ...] = get_args(Optimize)[1:]
SPECS = ("gradcam", "hirescam", "layercam", "fullgrad", "ebp", "deeplift")
FEWER = {  # of those that make many passes
    "opticam": "opticam(iterations=3)",
    "extremal": "extremal(areas=(0.2,), max_iter=2, step=8)",
    "rise": "rise(masks=20)",
    "lime": "lime(samples=20, segments='grid', cells=3)",
    "kernelshap": "kernelshap(samples=20, segments='grid', cells=3)",
    "shapleysampling": "shapleysampling(samples=1, segments='grid', cells=3)",
    "featureablation": "featureablation(segments='grid', cells=3)",
    "sobol": "sobol(designs=1)",
    "sscam": "sscam(samples=2)",
    "iscam": "iscam(samples=2)",
    "occlusion": "occlusion(window=16, stride=16)",
    "smoothgrad": "smoothgrad(samples=2)",
    "vargrad": "vargrad(samples=2)",
    "deepliftshap": "deepliftshap(baselines=2)",
    "integratedgradients": "integratedgradients(steps=4)",
}


def settled(name: str) -> Classifier:
    """A network of torchvision with random weights, its running statistics far from the initial ones."""
    with drawn():
        network = getattr(torchvision.models, name)(num_classes=7)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.3, 0.3)
    return Classifier(network.eval(), mean=0.45, std=0.25, name=name, input_size=64)


def images_of(size: int = 64) -> Tensor:
    return toy_batch(2, size=(size, size)).images


@pytest.mark.parametrize(("name", "folded"), [("resnet18", 20), ("mobilenet_v3_small", 34), ("vit", 0)])
def test_logits_are_those_in_float64_and_the_network_is_untouched(name: str, folded: int) -> None:
    own = toy_classifier("vit") if name == "vit" else settled(name)
    images = images_of(32 if name == "vit" else 64)
    state = {key: value.clone() for key, value in own.network.state_dict().items()}
    strides = {key: value.stride() for key, value in own.network.state_dict().items()}
    grads = [weight.requires_grad for weight in own.parameters()]
    exact = float64_copy(own)(images.double()).detach()
    for kind in KINDS:
        fast = optimised(own, kind, image_size=(images.shape[-2], images.shape[-1]))
        assert fast.optimisation is not None
        assert (fast.optimize, fast.optimisation.folded, fast.layer) == (kind, 0 if kind == "layout" else folded, own.layer)
        for count in (1, 2):
            with torch.no_grad():
                found = fast(images[:count])
            torch.testing.assert_close(found.double(), exact[:count], rtol=1e-4, atol=1e-4 * float(exact.abs().max()))
        assert fast.passes == PassCounts(forward=3)
        assert plain_of(fast) is own
        assert plain_of(own) is own
        kernels = [weight for weight in fast.parameters() if weight.ndim == 4]
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
        with pytest.raises(UsageError, match=f"optimize = fold: {own.name} is optimised already .{kind}."):
            optimised(fast, "fold")
    assert own.passes == PassCounts()
    assert all(torch.equal(state[key], value) and strides[key] == value.stride() for key, value in own.network.state_dict().items())
    assert grads == [weight.requires_grad for weight in own.parameters()]
    assert not any("forward" in vars(module) or module._forward_hooks for module in own.modules())
    assert optimised(own, "none") is own


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer3.0.bn1"), ("mobilenet_v3_small", "features.9.block.0.0")])
def test_maps_are_those_of_the_plain_network(name: str, layer: str, subtests: pytest.Subtests) -> None:
    """Also at a batch norm, and at a convolution, of folded pairs."""
    own = settled(name)
    compare_maps(own, optimised(own, "compile"), (64, 64), (*SPECS, f'gradcam(layer="{layer}")'), 1e-3, subtests)


def test_every_explainer_has_the_maps_of_the_plain_network(subtests: pytest.Subtests) -> None:
    own = load_classifier("shortcuts-ce")
    specs = [FEWER.get(spec.name, str(spec)) for spec in parse_explainers("all", ())]
    compare_maps(own, optimised(own, "compile", image_size=(32, 32)), (32, 32), specs, 1e-2, subtests)


def compare_maps(
    own: Classifier, fast: Classifier, size: tuple[int, int], specs: Iterable[str], tolerance: float, subtests: pytest.Subtests
) -> None:
    batch = toy_batch(2, size=size)
    for spec in specs:
        with subtests.test(spec):
            try:
                expected = maps_of(own, batch, spec)
            except NotApplicable as error:
                with pytest.raises(NotApplicable, match=re.escape(str(error))):
                    maps_of(fast, batch, spec)
                continue
            found = maps_of(fast, batch, spec)
            torch.testing.assert_close(found.raw, expected.raw, rtol=tolerance, atol=tolerance * float(expected.raw.abs().max()))


def test_randomised_copies_are_those_of_the_plain_network() -> None:
    own, images = settled("resnet18"), images_of()
    for mine, theirs in zip(cascade(optimised(own, "compile"), 3, seed=0), cascade(own, 3, seed=0), strict=True):
        assert mine.randomised == theirs.randomised
        with torch.no_grad():
            torch.testing.assert_close(mine.classifier(images), theirs.classifier(images), rtol=1e-3, atol=1e-3)


def test_the_compiled_graph_serves_passes_without_gradients_into_which_nothing_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, images = optimised(toy_classifier(), "compile", image_size=(16, 12)), toy_batch().images
    calls = list[int]()
    whole = CompiledGraph.__call__
    monkeypatch.setattr(CompiledGraph, "__call__", lambda own, inputs: calls.append(len(inputs)) or whole(own, inputs))

    def served(run: Any) -> bool:
        calls.clear()
        run()
        return bool(calls)

    with torch.no_grad():
        assert served(lambda: fast(images))
        with fast.captured():
            assert not served(lambda: fast(images))
        assert not served(lambda: deepcopy(fast)(images))
        assert not served(lambda: pickle.loads(pickle.dumps(fast))(images))
        assert not served(lambda: fast.double()(images.double()))
        fast.float()
        with torch.autocast("cpu", torch.bfloat16):
            assert not served(lambda: fast(images))
        fast.network.conv1.weight.mul_(2)
        assert not served(lambda: fast(images))
        torch.testing.assert_close(fast(images), deepcopy(fast)(images))
    assert not served(lambda: fast(images.clone().requires_grad_()))


class Views(nn.Module):
    """Flattens by `view`, which values in channels_last do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(images).view(len(images), -1))


class OneSize(nn.Module):
    """Its graph, once traced, adds one value per image of the traced batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 8), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(images).flatten(1)) + torch.arange(float(len(images)))[:, None]


class Moves(nn.Module):
    """Its logits depend on the memory format."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        grid = self.conv(images)
        return self.head(grid.mean((2, 3))) * (1 if grid.is_contiguous() else 2)


@pytest.mark.parametrize(
    ("network", "kind", "message"),
    [
        (Views, "layout", r"optimize = layout: own: a pass fails \(view size is not compatible .*\); use optimize=none"),
        (OneSize, "compile", r"optimize = compile: own: it cannot be compiled \(.*\); use fold, layout or none"),
        (Moves, "fold", r"optimize = fold: own: its logits move by \d.* of their spread, more than 0.001; use layout or none"),
        (Views, "fuse", "optimize 'fuse'|no optimize 'fuse'"),
    ],
)
def test_what_cannot_be_optimised_is_refused(network: type[nn.Module], kind: Any, message: str) -> None:
    own = Classifier(network().eval(), "conv", mean=0.5, std=0.5, name="own", input_size=8)
    with pytest.raises(UsageError, match=message) as caught:
        optimised(own, kind)
    assert "\n" not in str(caught.value)
