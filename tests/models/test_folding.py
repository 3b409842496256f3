"""Which pairs of convolution and batch norm are folded, and that nothing that looks into a network sees a difference."""

from __future__ import annotations

import pickle
from copy import deepcopy

import pytest
import torch
from helpers.toys import drawn
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.models.capture import capture_output, record_outputs
from camdbench.models.classifier import Classifier
from camdbench.models.folding import FoldablePair, fold, foldable_pairs, merge, unfolded


def doubled(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """A hook of the network's own."""
    return 2 * output


class Mixed(nn.Module):
    """Pairs that can be folded, named `good`, and those that cannot, each for another reason."""

    def __init__(self) -> None:
        super().__init__()
        self.good_bias = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.good_depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.BatchNorm2d(8))
        self.good_grouped = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8, affine=False))
        self.good_reflect = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect", dilation=1), nn.BatchNorm2d(8))
        self.norm_first = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1))
        self.twice = nn.Conv2d(8, 8, 1)
        self.after_twice = nn.BatchNorm2d(8)
        self.read_twice = nn.Conv2d(8, 8, 1)
        self.after_read_twice = nn.BatchNorm2d(8)
        self.hooked = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        self.hooked[0].register_forward_hook(doubled)
        self.by_its_batch = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, track_running_stats=False))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 5))
        self.by_its_batch[1].eval()

    def forward(self, images: Tensor) -> Tensor:
        held = self.good_depthwise(self.good_bias(images))
        held = held + self.good_grouped(held.relu())
        held = self.norm_first(self.good_reflect(held))
        held = self.after_twice(self.twice(self.twice(held)))
        read = self.read_twice(held)
        held = self.after_read_twice(read) + F.relu(read)
        held = self.by_its_batch(self.hooked(held))
        return self.head(held.mean((2, 3)))


GOOD = [FoldablePair(f"good_{name}.0", f"good_{name}.1") for name in ("bias", "depthwise", "grouped", "reflect")]
IMAGES = torch.rand(3, 3, 12, 14, generator=torch.Generator().manual_seed(1))


def classifier() -> Classifier:
    with drawn():
        network = Mixed()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.3, 3)
                if module.affine:
                    nn.init.uniform_(module.weight, -1.5, 1.5)
                    nn.init.uniform_(module.bias)
    return Classifier(network.eval().requires_grad_(False), "good_reflect", mean=0.5, std=0.25, input_size=12)


def folded() -> Classifier:
    copy = deepcopy(classifier())
    fold(copy.network, foldable_pairs(copy, (12, 14)))
    return copy


def outputs_of(network: nn.Module, *layers: str) -> list[Tensor]:
    """Outputs of layers in one pass, by hooks of the test alone."""
    found = list[Tensor]()
    handles = [network.get_submodule(layer).register_forward_hook(lambda _, __, out: found.append(out.clone())) for layer in layers]
    network(IMAGES)
    for handle in handles:
        handle.remove()
    return found


def norms_of(*networks: nn.Module) -> tuple[int, ...]:
    """How many batch norms each network computes."""
    counts = list[int]()
    norm = F.batch_norm
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "batch_norm", lambda *args, **options: counts.append(counts.pop() + 1) or norm(*args, **options))
        for network in networks:
            counts.append(0)
            network(IMAGES)
    return tuple(counts)


def test_pairs_are_those_whose_norm_alone_reads_the_convolution() -> None:
    own = classifier()
    assert foldable_pairs(own, (12, 14)) == GOOD
    assert own.passes.forward == 0
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 5))
    assert foldable_pairs(Classifier(plain, "0", mean=0, std=1), (3, 3)) == []


@pytest.mark.parametrize("grad", [False, True])
def test_logits_and_gradients_are_those_in_float64(grad: bool) -> None:
    exact, fast = classifier().double(), folded()
    for copy in (fast, deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        leaf, wide = IMAGES.clone().requires_grad_(grad), IMAGES.double().requires_grad_(grad)
        logits, expected = copy(leaf), exact(wide)
        torch.testing.assert_close(logits.double(), expected, rtol=1e-4, atol=1e-4)
        if grad:
            found, literal = (torch.autograd.grad(rows[:, 1].sum(), images)[0] for rows, images in ((logits, leaf), (expected, wide)))
            torch.testing.assert_close(found.double(), literal, rtol=1e-3, atol=1e-4)


def test_the_fold_is_made_and_is_gone_where_something_looks() -> None:
    own, fast = classifier().network, folded().network
    assert norms_of(fast, own) == (6, 6 + len(GOOD))
    layers = [name for pair in GOOD for name in pair]
    for mine, theirs in zip(outputs_of(fast, *layers), outputs_of(own, *layers), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    for pair in GOOD:  # a hook on one of the two
        for layer in pair:
            (mine,), (theirs,) = outputs_of(fast, layer), outputs_of(own, layer)
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
            with capture_output(fast.get_submodule(layer), layer) as seen, torch.enable_grad():
                fast(IMAGES)
            torch.testing.assert_close(seen.output(), theirs, rtol=1e-4, atol=1e-4)
    convolution = fast.get_submodule(GOOD[0].conv)
    assert norms_of(fast) == (6,)
    torch.testing.assert_close(unfolded(convolution)(IMAGES), F.conv2d(IMAGES, convolution.weight, convolution.bias))
    assert unfolded(fast.head) is fast.head


def test_names_types_and_weights_stay() -> None:
    own, fast = classifier().network, folded().network
    assert [(name, type(module)) for name, module in own.named_modules()] == [(name, type(module)) for name, module in fast.named_modules()]
    assert own.state_dict().keys() == fast.state_dict().keys()
    assert all(torch.equal(own.state_dict()[name], value) for name, value in fast.state_dict().items())
    with record_outputs([module for module in fast.modules() if isinstance(module, nn.Conv2d)]) as found:
        fast(IMAGES)
    assert len(found) == 10  # one of them twice


def test_weights_and_modules_that_change_are_followed() -> None:
    fast, own = folded(), classifier()
    fast(IMAGES)
    for part in (fast, own):
        with torch.no_grad():
            part.network.good_bias[0].weight.mul_(1.5)
            part.network.good_grouped[1].running_var.add_(1)
            part.network.good_depthwise[1].bias.data = torch.ones(8)
    torch.testing.assert_close(fast(IMAGES), own(IMAGES), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(deepcopy(fast).double()(IMAGES.double()), deepcopy(own).double()(IMAGES.double()))
    for part in (fast, own):
        part.network.good_bias[1] = nn.InstanceNorm2d(8, affine=False)
    torch.testing.assert_close(fast(IMAGES), own(IMAGES), rtol=1e-4, atol=1e-4)
    for part in (fast, own):  # training mode, and weights with gradients
        part.network.requires_grad_(True).train()
        part(IMAGES)[:, 0].sum().backward()
        part.network.eval()
        part(IMAGES)[:, 0].sum().backward()
    for name in ("good_depthwise.0.weight", "good_depthwise.1.weight", "good_reflect.0.bias"):
        mine, theirs = (part.network.get_parameter(name).grad for part in (fast, own))
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_inference_mode_leaves_nothing_behind() -> None:
    fast = folded()
    with torch.inference_mode():
        fast(IMAGES)
    leaf = IMAGES.clone().requires_grad_()
    assert bool(torch.autograd.grad(fast(leaf).sum(), leaf)[0].any())


def test_function_transforms_see_the_layers() -> None:
    own, fast = classifier(), folded()
    weights = {name: value + 0.1 for name, value in own.network.named_parameters()}
    found = [torch.func.functional_call(part.network, weights, (IMAGES,)) for part in (fast, own)]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_merged_pairs_are_one_convolution() -> None:
    fast, own = folded().network, classifier().network
    merge(fast, GOOD)
    torch.testing.assert_close(fast(IMAGES), own(IMAGES), rtol=1e-4, atol=1e-4)
    assert [type(fast.get_submodule(pair.norm)) for pair in GOOD] == [nn.Identity] * len(GOOD)
    assert all("forward" not in vars(module) for module in fast.modules())
