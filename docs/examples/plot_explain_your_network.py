"""
Explain your own network
========================

A network of your own class, trained by your own loop, explained by six methods.
"""

from itertools import pairwise

import camdbench
import matplotlib.pyplot as plt
import torch
from torch import nn


# %%
# A network
# ---------
# Any ``nn.Module`` that returns logits (B, C) will do. This one sees 32 x 32 pixels.
def stage(a: int, b: int) -> nn.Module:
    convolution = nn.Conv2d(a, b, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))


class TinyNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*(stage(a, b) for a, b in pairwise((3, 16, 32, 64))))
        self.head = nn.Linear(64, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean((2, 3)))


torch.manual_seed(0)
data = camdbench.data("shortcuts(split='train', classes=4, size=32, count=384)")
images = torch.stack([data[index].image for index in range(384)])
labels = torch.tensor(data.labels)

network = TinyNet()
optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
for _ in range(4):
    for batch in torch.randperm(384).split(64):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network((images[batch] - 0.5) / 0.25), labels[batch]).backward()
        optimiser.step()

# %%
# Layers
# ------
# A classifier is a network with mean and standard deviation of its inputs, and a target layer.
classifier = camdbench.classifier(network, mean=0.5, std=0.25, layer="body.2", input_size=32)
print(camdbench.layers(classifier).drop(columns="problem").to_string(index=False))

# %%
# Maps
# ----
# Images are in [0, 1], never normalised. The maps are those of the predicted class. Many are high
# beside the object: a background goes with each class here, and the network has learned it.
explainers = "gradcam,layercam,saliency,occlusion(window=8,stride=4),lrp,opticam(iterations=5)"
found = camdbench.explain(classifier, images[:3], explainers)
figure, axes = plt.subplots(3, 1 + len(found), figsize=(9, 4.2), layout="constrained")
for row, image in zip(axes, images, strict=False):
    row[0].imshow(image.permute(1, 2, 0).numpy())
for column, (name, explanation) in enumerate(found.items(), start=1):
    axes[0, column].set_title(name.partition("(")[0], fontsize=8)
    for row, saliency in zip(axes, explanation.numpy(), strict=True):
        row[column].imshow(saliency, cmap="viridis", vmin=0, vmax=1)
for axis in axes.flat:
    axis.set_axis_off()
plt.show()
