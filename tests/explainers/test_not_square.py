"""Rows and columns: the map of a transposed image, by the transposed network, is the transposed map."""

from __future__ import annotations

import torch
from helpers.each import each
from torch import Tensor, nn

from camdbench.explainers.common.explain import explain
from camdbench.models.classifier import Classifier

SIZE = (24, 40)


class Net(nn.Module):
    """Two convolutions, the second of which returns 8 channels of 12 x 20 places, and a linear head behind pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


def classifier(*, transposed: bool) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Net()
    if transposed:
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.transpose(2, 3).contiguous()
    return Classifier(network, "features.4", mean=0.5, std=0.25)


@each(
    "spec",
    [
        "gradcam",
        "layercam",
        "eigencam",
        "scorecam",
        "opticam(iterations=20)",
        "saliency",
        "smoothgradcampp(samples=2, std=0.0)",
        "occlusion(window=4, stride=2)",
        "extremal(areas=(0.2,), max_iter=8, step=2, sigma=2.0, blur_sigma=4.0, jitter=False)",  # jitter mirrors left to right
        "fullgrad",
        "centre",
        "edges",
    ],
)
def test_rows_and_columns_are_not_mistaken_for_each_other(spec: str) -> None:
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    found = explain(classifier(transposed=False), images, spec, targets=1)
    turned = explain(classifier(transposed=True), images.transpose(2, 3), spec, targets=1)
    assert tuple(found.maps.shape) == (2, *SIZE)
    assert float(found.maps.std()) > 0.05
    torch.testing.assert_close(
        turned.maps.transpose(1, 2), found.maps, atol=0.02, rtol=0
    )  # a search makes more of rounding; a mistake is 0.9
