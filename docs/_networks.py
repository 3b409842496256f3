"""Two small networks for pictures of explainers that the embedded ones do not suit: a vision transformer and a plain CNN.

`python docs/_networks.py` trains both on 2,000 images of `shortcuts` for a minute or two and writes docs/networks/NAME.safetensors.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from camdbench import Classifier, classifier
from camdbench.datasets.shortcuts.dataset import shortcuts

WEIGHTS = Path(__file__).parent / "networks"
CLASSES, IMAGES, EPOCHS, BATCH = 8, 2000, 8, 50


class PlainNet(nn.Module):
    """Convolutions, ReLUs and max pooling, without additions and norms."""

    def __init__(self) -> None:
        super().__init__()
        widths, layers = (3, 16, 32, 64), list[nn.Module]()
        for inside, outside in pairwise(widths):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers, nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 8) of images (N, 3, 96, 96)."""
        return self.fc(torch.flatten(self.avgpool(self.features(images)), 1))


NETWORKS = {
    "vit": lambda: VisionTransformer(
        image_size=96, patch_size=12, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=CLASSES
    ),
    "plain": PlainNet,
}
LAYERS = {"vit": None, "plain": "features.10"}


def load(name: str) -> Classifier:
    """Trained classifier of a name."""
    network = NETWORKS[name]()
    network.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return classifier(network, name=name, layer=LAYERS[name], mean=0.5, std=0.25, input_size=96)


def train(name: str) -> float:
    """Train a network, write its weights, and return its accuracy on 200 images of `val`, in per cent."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    nn.init.normal_(network.heads.head.weight if name == "vit" else network.fc.weight, std=0.02)
    data, test = shortcuts(split="train"), shortcuts(split="val")
    samples = [data[index] for index in range(IMAGES)]
    images, labels = torch.stack([one.image for one in samples]), torch.tensor([one.label for one in samples])
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, EPOCHS * IMAGES // BATCH)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(IMAGES).split(BATCH):
            loss = nn.functional.cross_entropy(network((images[chosen] - 0.5) / 0.25), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    WEIGHTS.mkdir(exist_ok=True)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, WEIGHTS / f"{name}.safetensors")
    shown = [test[index] for index in range(200)]
    with torch.no_grad():
        found = network.eval()((torch.stack([one.image for one in shown]) - 0.5) / 0.25).argmax(1)
    return 100 * (found == torch.tensor([one.label for one in shown])).float().mean().item()


if __name__ == "__main__":
    for known in NETWORKS:
        print(f"{known}: {train(known):.1f} % of val")  # noqa: T201
