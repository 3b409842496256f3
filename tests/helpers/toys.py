"""Tiny networks and batches for the tests: fresh on every call, the same numbers every time, no file and no download."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from camdbench.core.registries import explainers
from camdbench.datasets.samples import Batch, Sample
from camdbench.explainers.common.saliency import Saliency, saliency
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier

SIZE = (16, 12)  # not square, so that rows and columns cannot be mistaken for each other
CLASSES = 5
LAYER = "relu2"


class Toy(nn.Module):
    """Two convolutions, a batch norm and an in-place ReLU, then a head: `gap` (pooling, linear) or `dense` (two layers over all places)."""

    def __init__(self, head: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, stride=2)
        self.norm1 = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        if head == "gap":
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
        else:
            places = SIZE[0] // 2 * (SIZE[1] // 2)
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(8 * places, 16), nn.Tanh(), nn.Linear(16, CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        grid = self.relu2(self.conv2(self.relu1(self.norm1(self.conv1(images)))))
        return self.head(self.drop(grid))


@contextmanager
def drawn() -> Generator[None]:
    """Draw weights in float32 from seed 0; they are the same numbers where a test then computes in float64."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
        torch.set_default_dtype(usual)


def settled(network: nn.Module) -> nn.Module:
    """In eval mode, in the type that the test computes in."""
    return network.eval().to(torch.get_default_dtype())


def size_of(toy: str) -> tuple[int, int]:
    """The size of the images that a toy takes."""
    return (32, 32) if toy == "vit" else SIZE


def toy_classifier(head: str = "gap") -> Classifier:
    """A fresh toy in eval mode, its running statistics far from the initial ones, its logits a few units apart.

    `vit` is torchvision's vision transformer: 16 patches, two blocks of two heads, and its default target layer.
    """
    if head == "vit":
        return _toy_vit()
    with drawn():
        network = Toy(head)
        network.norm1.running_mean.uniform_(-0.2, 0.2)
        network.norm1.running_var.uniform_(0.5, 2)
        network.head[-1].weight.data.mul_(8)
    return Classifier(settled(network), LAYER, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), name=f"toy-{head}")


def _toy_vit() -> Classifier:
    with drawn():
        network = VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=CLASSES)
        nn.init.normal_(network.heads.head.weight)  # torchvision starts it at zero
        for block in network.encoder.layers:
            block.self_attention.in_proj_weight.data.mul_(3)  # attention that tells tokens apart
    return Classifier(settled(network), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), name="toy-vit", input_size=32)


_TIMM_OPTIONS = {"avg": {"global_pool": "avg", "class_token": False}, "scaled": {"init_values": 0.5}, "qk-norm": {"qk_norm": True}}


def timm_vit(kind: str) -> Classifier:
    """A vision transformer of timm of the toy's size: `token`, `distilled` (two class tokens), `avg`, `scaled` or `qk-norm`."""
    timm = pytest.importorskip("timm")
    vit = timm.models.deit.VisionTransformerDistilled if kind == "distilled" else timm.models.VisionTransformer
    more = _TIMM_OPTIONS.get(kind, {})
    with drawn():
        network = vit(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2, num_classes=CLASSES, **more)
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.5)
    return Classifier(settled(network), mean=0.5, std=0.25, name=kind)


def toy_batch(count: int = 4, seed: int = 1, size: tuple[int, int] = SIZE) -> Batch:
    """Images that differ from each other and from place to place, with labels, boxes and masks."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 3, generator=generator, dtype=torch.float32)
    fine = torch.rand(count, 3, *size, generator=generator, dtype=torch.float32)
    images = (nn.functional.interpolate(coarse, size, mode="nearest") * 0.8 + 0.2 * fine).to(torch.get_default_dtype())
    boxes = tuple(torch.tensor([[1.0 + index, 2.0, 6.0 + index, 9.0]]) for index in range(count))
    masks = torch.zeros(count, *size, dtype=torch.bool)
    masks[:, 2:9, 3:6] = True
    labels = torch.arange(count) % CLASSES
    cells = (labels[:, None] + torch.tensor([1, 0, 2, 3])) % CLASSES  # of 2 x 2, the label's in the upper right
    cells[1::2, 2] = labels[1::2]  # and in every other image also in the lower left
    known = {
        "backgrounds": (labels + torch.arange(count) // 2) % CLASSES,
        "interventions": tuple(
            ToyVersions(image.mean((1, 2), keepdim=True).expand_as(image).contiguous() + 0.1 * image, image, part)
            for image, part in zip(images, toy_parts(count, size), strict=True)
        ),
        "parts": toy_parts(count, size),
        "group_shares": torch.linspace(0.1, 0.4, count, dtype=torch.float64),
    }
    return Batch(tuple(f"image-{index}" for index in range(count)), images, labels, boxes, masks, cells=cells, **known)


def toy_parts(count: int, size: tuple[int, int]) -> Tensor:
    """Part of each pixel (count, H, W) uint8: five small rectangles, one part of two, and one or two background objects."""
    parts = torch.zeros(count, *size, dtype=torch.uint8)
    for value, (top, left) in {1: (1, 1), 2: (1, 7), 3: (4, 8), 4: (7, 1), 5: (7, 6), 6: (12, 3)}.items():
        parts[:, top : top + 2, left : left + 2] = value
    parts[:, 14:, 9:] = 100
    parts[1::2, 10:12, 10:] = 101
    return parts


@dataclass(frozen=True)
class ToyVersions:
    """An image without its object, nearly one colour, and without its parts and background objects, which are black then."""

    background: Tensor
    image: Tensor
    parts: Tensor
    names = ("background",)
    part_values: ClassVar[dict[str, tuple[int, ...]]] = {"a": (1,), "b": (2, 3), "c": (4,), "d": (5,), "e": (6,)}
    variants = ((0, 0, 0, 0, 0), (0, 0, 1, 1, 1), (1, 1, 0, 0, 1), (1, 0, 0, 1, 0), (0, 1, 1, 0, 0))

    def __call__(self, name: str) -> Tensor:
        return {"background": self.background}[name]

    @property
    def object_values(self) -> list[int]:
        return [value for value in self.parts.unique().tolist() if value >= 100]

    @property
    def object_numbers(self) -> list[int]:
        return [value - 100 for value in self.object_values]

    def with_parts(self, parts: Collection[str]) -> Tensor:
        if "d" not in parts:  # all blue, which the toys predict as another class
            return torch.tensor([0.0, 0.0, 1.0]).to(self.image)[:, None, None].expand_as(self.image).contiguous()
        return self._without([value for name, values in self.part_values.items() if name not in parts for value in values])

    def without_object(self, number: int) -> Tensor:
        return self._without([100 + number])

    def _without(self, values: list[int]) -> Tensor:
        return torch.where(torch.isin(self.parts, torch.tensor(values, dtype=torch.uint8)), 0.0, self.image)


class ToyData:
    """A batch as a data set of its images."""

    classes = ("a", "b", "c")

    def __init__(self, batch: Batch) -> None:
        self.batch, self.ids, self.labels = batch, batch.ids, batch.labels.tolist()

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], self.batch.images[index], self.labels[index])

    def fingerprint(self) -> str:
        return "toy"


def maps_of(classifier: Classifier, batch: Batch, spec: str, *, target: str | int | Tensor = "label", seed: int = 0) -> Saliency:
    """Maps as a run makes them: a frozen classifier, one trace, the map finished in one place."""
    with torch.inference_mode(mode=False), classifier.frozen():
        return saliency(Trace(classifier, batch, target=target, seed=seed), explainers.parse_one(spec))


def reordered(batch: Batch, order: list[int]) -> Batch:
    """The same samples in another order."""
    boxes = None if batch.boxes is None else tuple(batch.boxes[index] for index in order)
    masks = None if batch.masks is None else batch.masks[order]
    cells = None if batch.cells is None else batch.cells[order]
    chosen = batch.interventions and tuple(batch.interventions[index] for index in order)
    known = {
        name: None if own is None else own[order] for name in ("backgrounds", "group_shares", "parts") for own in (getattr(batch, name),)
    }
    return Batch(
        tuple(batch.ids[index] for index in order),
        batch.images[order],
        batch.labels[order],
        boxes,
        masks,
        cells=cells,
        interventions=chosen,
        **known,
    )
