"""A network is looked at once: the calls that a forward hook of the test counts, and every change after which they are made again."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch
from helpers.each import each
from torch import Tensor, nn

import camdbench
from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.datasets.in_memory import InMemoryDataset, make_batch
from camdbench.models.classifier import Classifier
from camdbench.models.network_check import check_network, probe_images
from camdbench.models.pass_counts import PassCounts
from camdbench.tables.load import load_run

LOOK = [1, 1, 2]  # two images alone, the first also backwards, and both in a batch
IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Small(nn.Module):
    """A network that counts its passes and keeps its features, as research code does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.calls, self.slope, self.features = 0, 1.0, None
        self.conv, self.norm, self.relu, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Linear(4, 5)
        self.register_buffer("steps", torch.zeros(()))
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # read where no mean is given
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        self.steps += 1
        self.features = self.relu(self.norm(self.conv(images)))
        return self.slope * 9 * self.fc(self.features.mean((2, 3)))


def watched(network: nn.Module) -> list[int]:
    """Batch sizes of the network's calls from now on."""
    sizes = list[int]()
    network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    return sizes


def classifier_of(network: nn.Module, **facts: Any) -> Classifier:
    return Classifier(network, **{"layer": "relu", "mean": 0.5, "std": 0.5, **facts})


def test_the_second_explanation_is_one_pass_of_the_batch_at_every_door() -> None:
    classifier = classifier_of(network := Small())
    sizes, expected = watched(network), camdbench.explain(classifier, IMAGES, "gradcam")
    assert sizes == [*LOOK, 3]
    assert classifier.check_passes == PassCounts(forward=4, backward=1)
    assert classifier.passes == PassCounts(forward=3, tail_backward=3)
    sizes.clear()
    again = camdbench.explain(classifier, IMAGES, "gradcam")
    assert sizes == [3]
    assert torch.equal(again.maps, expected.maps)
    for layer in ("relu", "norm"):  # named: the look has seen it
        sizes.clear()
        camdbench.explain(classifier, IMAGES, ("gradcam", f'layercam(layer="{layer}")'), layer=layer)
        assert sizes == [3]
    sizes.clear()
    other = classifier_of(network)  # of the same network, with the same statements
    camdbench.explain(other, IMAGES, "hirescam")
    assert (sizes, other.check_passes) == ([3], PassCounts())
    sizes.clear()
    camdbench.evaluate(classifier, IMAGES, again.targets, again.maps, "ad")
    assert sizes == [3, 3]  # the images, and the images under their maps
    sizes.clear()
    assert camdbench.layers(classifier, size=8).name.tolist() == ["conv", "norm", "relu"]
    assert (sizes, list(classifier.checks)) == ([], [(8, 8)])


def test_a_plain_network_is_looked_at_once_and_a_named_layer_costs_no_more() -> None:
    sizes = watched(network := Small())
    for _ in range(2):
        camdbench.explain(network, IMAGES, "gradcam", layer="relu")
    assert sizes == [*LOOK, 3, 3]


def test_a_run_looks_anew_and_once(tmp_path: Path) -> None:
    network = Small()
    sizes, data = watched(network), InMemoryDataset(make_batch(IMAGES, labels=[0, 1, 2]))
    classifier = classifier_of(network, input_size=8)
    camdbench.explain(classifier, IMAGES, "gradcam")
    sizes.clear()
    rows = camdbench.run("gradcam", "ad", models={"small": classifier}, dataset=data, out=tmp_path / "run")
    assert (sizes, len(rows)) == ([*LOOK, 3, 3], 3)
    record = load_run(tmp_path / "run")["models"]["small"]
    assert record["check"]["passes"] == {"forward": 4, "backward": 1}
    with torch.no_grad(), classifier.frozen():
        expected = torch.cat([classifier(image[None]) for image in probe_images((8, 8), classifier)])
    torch.testing.assert_close(torch.tensor(record["probe"]), expected, rtol=1e-6, atol=1e-6)


def _trains(network: Small) -> None:
    network.train()(IMAGES)
    network.eval()


def _replaces_in_place(network: Small) -> None:
    del network.fc  # the next layer may take its place in memory
    network.fc = nn.Linear(4, 5)


def _edits(network: Small) -> None:
    with torch.no_grad():
        network.fc.weight.mul_(2)


def _assigns_data(network: Small) -> None:
    network.conv.weight.data = network.conv.weight.data + 1


def _steps(network: Small) -> None:
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    network(IMAGES).sum().backward()
    optimiser.step()


CHANGES: dict[str, Callable[[Small], object]] = {
    "an edit in place": _edits,
    "an assignment to data": _assigns_data,
    "load_state_dict": lambda network: network.load_state_dict(network.state_dict()),
    "a step of an optimiser": _steps,
    "statistics of training": _trains,
    "a layer replaced": lambda network: setattr(network, "fc", nn.Linear(4, 7)),
    "a layer deleted and made again": _replaces_in_place,
    "a weight replaced": lambda network: setattr(network.fc, "weight", nn.Parameter(torch.ones(5, 4))),
    "a buffer replaced": lambda network: setattr(network.norm, "running_mean", torch.ones(4)),
    "float64": lambda network: network.double(),
    "a plain attribute": lambda network: setattr(network, "slope", 2.5),
    "an attribute of a layer": lambda network: setattr(network.conv, "padding", (1, 1)),
    "another class": lambda network: setattr(network.relu, "__class__", nn.Identity),
}


@each("change", CHANGES)
def test_a_change_of_the_network_is_looked_at(change: str) -> None:
    network = Small()
    classifier = classifier_of(network)
    check_network(classifier, (8, 8))
    CHANGES[change](network)
    classifier.to(network.conv.weight.dtype)
    sizes = watched(network)
    explained = camdbench.explain(classifier, IMAGES, "gradcam")
    assert sizes == [*LOOK, 3]
    fresh = camdbench.explain(classifier_of(network).to(classifier.dtype), IMAGES, "gradcam")
    assert (sizes, torch.equal(explained.maps, fresh.maps)) == ([*LOOK, 3, 3], True)


def test_what_is_stated_otherwise_is_looked_at() -> None:
    sizes = watched(network := Small())
    check_network(classifier_of(network), (8, 8))
    for size, facts in [((8, 9), {}), ((8, 8), {"output": "logits"}), ((8, 8), {"mean": 0.25}), ((8, 8), {"prefix_tokens": 1})]:
        sizes.clear()
        check_network(classifier_of(network, **facts), size)
        assert sizes == LOOK
    for read in (lambda logits: 2 * logits, lambda logits: -logits):
        sizes.clear()
        classifier = classifier_of(network, output=read)
        assert check_network(classifier, (8, 8)) is check_network(classifier, (8, 8))
        assert sizes == LOOK
    classifier = classifier_of(network)
    check_network(classifier, (8, 8))
    classifier.output = "probabilities"
    with pytest.raises(UsageError, match="the network returns logits"):
        check_network(classifier, (8, 8))


def test_modes_flags_hooks_and_what_the_network_changes_itself_are_no_change() -> None:
    network = Small()
    classifier = classifier_of(network)
    check_network(classifier, (8, 8))
    network.train().requires_grad_(False)
    sizes = watched(network)
    camdbench.explain(classifier, IMAGES, "gradcam")
    network(IMAGES[:1])
    network.eval().requires_grad_(True)
    camdbench.explain(classifier, IMAGES, "gradcam")
    assert sizes == [3, 1, *LOOK, 3]  # a pass in training mode changed the statistics of the normalisation layer


def test_a_refusal_is_not_kept_and_a_network_is_not_kept_alive() -> None:
    network = Small()
    classifier = classifier_of(nn.Sequential(network, nn.Softmax(1)), layer="0.relu")
    for _ in range(2):
        with pytest.raises(UsageError, match="the network returns probabilities"):
            check_network(classifier, (8, 8))
    classifier.output = "probabilities"
    check_network(classifier, (8, 8))
    network.own_forward = network.forward  # a bound method refers to its network
    check_network(classifier_of(network), (8, 8))
    gone = ref(network)
    del network, classifier
    gc.collect()
    assert gone() is None


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
def test_weights_of_inference_mode_and_torchscript_are_looked_at_once() -> None:
    with torch.inference_mode():
        network = Small()
    with pytest.warns(CamdbenchWarning, match="a copy of it is explained"):
        classifier = classifier_of(network)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    scripted = Classifier(torch.jit.trace(plain, IMAGES[:1]), mean=0.5, std=0.5)  # pyright: ignore[reportArgumentType]
    for own in (classifier, scripted):
        check_network(own, (8, 8))
        check_network(own, (8, 8))
        assert own.check_passes == PassCounts(forward=4, backward=1)


def test_a_number_in_the_memory_of_a_replaced_one_is_noticed() -> None:
    network = Small()
    network.slope = float("1.5")
    classifier, sizes, place = classifier_of(network), watched(network), id(network.slope)
    check_network(classifier, (8, 8))
    sizes.clear()
    for number in range(1, 1000):
        network.slope = 1.5 + number / 7
        if id(network.slope) == place:
            break
    check_network(classifier, (8, 8))
    assert sizes == LOOK
