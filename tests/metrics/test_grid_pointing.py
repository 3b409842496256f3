"""Grid pointing game, Focus, DiFull and DiPart: hand-made maps, literal readings of the papers, and what disconnected heads imply."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.quantus_library import quantus
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainers, metrics
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.grid_pointing import focus, grid_pointing
from camdbench.models.classifier import Classifier
from camdbench.runner.results import BatchResult
from camdbench.runner.scoring import score_batch


def of_maps(raw: Tensor, cells: list[list[int]], targets: list[int], size: tuple[int, int] = (8, 8)) -> MetricInputs:
    return MetricInputs(
        toy_classifier(),
        torch.zeros(len(raw), 3, *size),
        torch.tensor(targets),
        torch.zeros(len(raw), *size),
        raw=raw,
        cells=torch.tensor(cells),
    )


def golden_map() -> Tensor:
    """2 in cell 0, 1 in cell 3, -5 elsewhere."""
    raw = torch.full((8, 8), -5.0)
    raw[1, 2], raw[6, 5] = 2, 1
    return raw


class TestShares:
    def test_the_positive_part_is_divided_among_the_cells(self) -> None:
        found = grid_pointing(of_maps(golden_map().expand(4, 8, 8), [[4, 2, 0, 1]] * 4, [4, 2, 0, 1]))
        assert found.values.tolist() == pytest.approx([200 / 3, 0, 0, 100 / 3], abs=1e-12)

    @pytest.mark.parametrize("n", [2, 3, 4])
    def test_a_uniform_map_scores_the_share_of_a_cell(self, n: int) -> None:
        cells = list(range(n * n))
        found = grid_pointing(of_maps(torch.full((1, 3, 3), 0.7), [cells], [n], (12, 24)))
        assert found.values.item() == pytest.approx(100 / n**2, rel=1e-6)

    def test_a_map_without_positive_values_scores_0_and_a_factor_changes_nothing(self) -> None:
        raw = torch.stack([-golden_map().abs(), 1e-12 * golden_map(), 1e12 * golden_map()])
        assert grid_pointing(of_maps(raw, [[0, 1, 2, 3]] * 3, [0] * 3)).values.tolist() == pytest.approx([0, 200 / 3, 200 / 3])

    def test_small_maps_are_resized_before_they_are_rectified(self) -> None:
        raw = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(0))
        cells = [[3, 1, 0, 2], [0, 2, 1, 3], [1, 3, 2, 0]]
        found = grid_pointing(of_maps(raw, cells, [0, 1, 2], (12, 20))).values
        large = F.interpolate(raw[:, None], (12, 20), mode="bilinear", align_corners=False)[:, 0].double().clamp(min=0)
        for index, (row, column) in enumerate([(1, 0), (1, 0), (1, 0)]):
            own = large[index, 6 * row : 6 * row + 6, 10 * column : 10 * column + 10].sum() / large[index].sum()
            assert found[index].item() == pytest.approx(100 * own.item(), rel=1e-6)

    def test_the_explained_class_must_be_in_one_cell_or_for_focus_in_two(self) -> None:
        inputs = of_maps(golden_map().expand(3, 8, 8), [[0, 0, 1, 2]] * 3, [0, 1, 3])
        assert grid_pointing(inputs).undefined.tolist() == [True, False, True]
        assert focus(inputs).undefined.tolist() == [False, True, True]
        inputs.cells = None
        with pytest.raises(NotApplicable, match="needs mosaics"):
            grid_pointing(inputs)

    def test_focus_is_that_of_quantus(self) -> None:
        raw = torch.randn(4, 10, 10, generator=torch.Generator().manual_seed(1))
        cells = [[1, 1, 0, 2], [1, 0, 1, 2], [0, 1, 2, 1], [2, 0, 1, 1]]
        found = focus(of_maps(raw, cells, [1] * 4, (10, 10))).values
        places = np.array([[int(label == 1) for label in own] for own in cells])
        theirs = quantus.Focus(disable_warnings=True).evaluate_batch(raw[:, None].double().numpy(), places)
        assert np.allclose(found, 100 * theirs, rtol=0, atol=1e-6)


def scored(classifier: Classifier, names: str, metric: str) -> list[BatchResult]:
    with torch.inference_mode(mode=False), classifier.frozen():
        return list(score_batch(classifier, toy_batch(3), explainers.parse(names), [metrics.parse_one(metric)], target="label", seed=0))


def values_of(result: BatchResult) -> Tensor:
    (scores,) = result.scores.values()
    return torch.tensor(scores.values, dtype=torch.float64)


@pytest.mark.usefixtures("float64")
class TestDisconnectedHeads:
    def test_gradients_at_the_input_reach_the_cell_of_a_head_alone(self) -> None:
        for result in scored(toy_classifier(), "saliency,inputxgradient,guidedbackprop,integratedgradients(steps=2)", "difull"):
            assert values_of(result).tolist() == pytest.approx([100] * 3, abs=1e-9)

    def test_receptive_fields_cross_the_edges_of_cells(self) -> None:
        [result] = scored(toy_classifier(), "saliency", "dipart")
        assert bool(((values_of(result) > 60) & (values_of(result) < 99)).all())

    @pytest.mark.parametrize("metric", ["difull", "dipart"])
    def test_grad_cam_is_the_class_weights_on_the_features_of_all_cells(self, metric: str) -> None:
        """The gradient of a pooled linear head is W / (h w) in its cell and 0 elsewhere: its mean over the grid is W up to a factor."""
        classifier, batch = toy_classifier(), toy_batch(3)
        [result] = scored(classifier, "gradcam", metric)
        weight = classifier.network.head[-1].weight.detach()
        for index, image in enumerate(batch.images):
            shares = []
            grid = features(classifier, image[None]) if metric == "dipart" else joined(image, lambda cell: features(classifier, cell[None]))
            for place, label in enumerate(batch.cells[index].tolist()):
                cam = (weight[label][:, None, None] * grid[0]).sum(0).clamp(min=0)
                large = (
                    F.interpolate(cam[None, None].float(), image.shape[1:], mode="bilinear", align_corners=False)[0, 0]
                    .double()
                    .clamp(min=0)
                )
                row, column = divmod(place, 2)
                shares.append(large[8 * row : 8 * row + 8, 6 * column : 6 * column + 6].sum() / large.sum())
            assert values_of(result)[index].item() == pytest.approx(100 * torch.stack(shares).mean().item(), rel=1e-5)

    def test_networks_without_the_split_and_layers_inside_are_not_applicable(self) -> None:
        [result] = scored(toy_classifier("dense"), "gradcam", "difull")
        (scores,) = result.scores.values()
        assert set(scores.status) == {"not_applicable"}
        assert "no head of global average pooling" in scores.reasons[0]
        [result] = scored(toy_classifier(), 'gradcam(layer="conv1")', "dipart")
        (scores,) = result.scores.values()
        assert set(scores.status) == {"not_applicable"}
        assert "has features and a head" in scores.reasons[0]


def features(classifier: Classifier, images: Tensor) -> Tensor:
    network = classifier.network
    with torch.no_grad():
        return network.relu2(network.conv2(network.relu1(network.norm1(network.conv1(classifier.normalised(images))))))


def joined(image: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """Features of the four cells of an image of 16 x 12 pixels, each computed alone."""
    rows = [torch.cat([of(image[:, y : y + 8, x : x + 6]) for x in (0, 6)], 3) for y in (0, 8)]
    return torch.cat(rows, 2)
