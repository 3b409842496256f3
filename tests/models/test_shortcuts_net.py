"""The small network: its grid, its head, and what the shipped weights can and cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from camdbench.datasets.samples import Batch
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.models import shortcuts_net
from camdbench.models.shortcuts_net import LAYER, MEAN, STD, ShortcutsNetwork, shortcuts_network

WEIGHTS = Path(shortcuts_net.__file__).parent / "weights" / "shortcuts-ce.safetensors"


@pytest.fixture
def network() -> ShortcutsNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = shortcuts_network(5).eval()
    assert isinstance(built, ShortcutsNetwork)
    return built


def _seen(network: nn.Module) -> tuple[Tensor, Tensor]:
    """Logits, and the output of the target layer."""
    grids: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        grids.append(output)

    network.get_submodule(LAYER).register_forward_hook(keep)
    with torch.no_grad():
        return network(torch.randn(2, 3, 96, 96)), grids[0]


class TestNetwork:
    def test_the_target_layer_is_a_rectified_12_by_12_grid(self, network: ShortcutsNetwork) -> None:
        logits, grid = _seen(network)
        assert logits.shape == (2, 5)
        assert grid.shape == (2, 64, 12, 12)
        assert float(grid.min()) == 0

    def test_the_head_is_pooling_and_a_linear_map_without_bias(self, network: ShortcutsNetwork) -> None:
        """So the logit of a class is the mean of its class activation map."""
        logits, grid = _seen(network)
        assert network.fc.bias is None
        assert torch.allclose(logits, grid.mean((2, 3)) @ network.fc.weight.T, atol=1e-5)

    def test_nothing_overwrites_the_target_layer_s_output(self, network: ShortcutsNetwork) -> None:
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            kept.extend([output, output.clone()])

        network.get_submodule(LAYER).register_forward_hook(keep)
        network(torch.randn(2, 3, 96, 96)).sum().backward()
        assert torch.equal(kept[0], kept[1])

    def test_an_image_s_logits_do_not_depend_on_its_batch_mates(self, network: ShortcutsNetwork) -> None:
        images = torch.randn(3, 3, 64, 64)
        assert torch.allclose(network(images)[:1], network(images[:1]), atol=1e-5)


class TestShippedWeights:
    @pytest.mark.parametrize(("split", "low", "high"), [("val", 0.92, 1.0), ("shifted", 0.35, 0.8), ("conflict", 0.20, 0.60)])
    def test_it_leans_on_the_background(self, split: str, low: float, high: float) -> None:
        network = shortcuts_network(8).eval()
        network.load_state_dict(load_file(WEIGHTS))
        dataset = shortcuts(split=split, count=200)  # pyright: ignore[reportArgumentType]
        batch = Batch.of([dataset[index] for index in range(200)])
        mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
        with torch.no_grad():
            found = network((batch.images - mean) / std).argmax(1)
        assert low <= float((found == batch.labels).float().mean()) <= high

    def test_it_is_small_and_tells_where_it_comes_from(self) -> None:
        assert WEIGHTS.stat().st_size < 3e6
        facts = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
        assert facts["classes"] == list(shortcuts().classes)
        assert (facts["mean"], facts["std"], facts["layer"], facts["input_size"]) == (list(MEAN), list(STD), LAYER, 96)
        assert facts["metrics"]["val"]["accuracy"] >= 0.92
        assert 0.20 <= facts["metrics"]["conflict"]["accuracy"] <= 0.60
        assert facts["fingerprints"]["val"] == shortcuts(split="val").fingerprint()
        assert facts["fingerprints"]["conflict"] == shortcuts(split="conflict").fingerprint()
