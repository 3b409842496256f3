"""
Write an explainer
==================

A new explainer is a function. Here: Grad-CAM whose channel weights are the gradients at the place
of the largest activation.
"""

from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt
import torch
from torch import Tensor


# %%
# The function
# ------------
# A function with the parameter ``trace`` gets activations and gradients at the target layer, both
# (B, C, h, w), which all explainers of a run share. Keyword-only parameters are options. The result
# is (B, h, w), signed; camdbench enlarges and normalises it.
def peakcam(trace: camdbench.Trace, *, power: float = 1.0) -> Tensor:
    peaks = trace.activations.flatten(2).argmax(2, keepdim=True)  # (B, C, 1)
    weights = trace.gradients.flatten(2).gather(2, peaks)[..., None]  # (B, C, 1, 1)
    return (weights * trace.activations).sum(1).relu() ** power


# %%
# Beside others
# -------------
# The function stands where a name would. The keys of a mapping name its rows.
folder = TemporaryDirectory()
explainers = {"gradcam": "gradcam", "layercam": "layercam", "peakcam": peakcam, "centre": "centre"}
metrics = "ad,ag,pointing,relevance_mass"
rows = camdbench.run(explainers, metrics, limit=24, out=folder.name, progress=False)
rows

# %%
# This network ends in global average pooling and a linear layer, so the gradients of a channel are
# equal at all places. The new method is therefore Grad-CAM, and the table marks the tie.
wide = rows.pivot(index=["image", "metric"], columns="explainer", values="value")
difference = (wide["gradcam"] - wide["peakcam"]).abs().max()
print(f"largest difference of a value between gradcam and peakcam: {difference:.2g}")

# %%
# At an earlier layer they differ.
data = camdbench.data("shortcuts(split='conflict', count=3)")
images = torch.stack([data[index].image for index in range(3)])
pair = {"gradcam": "gradcam", "peakcam": peakcam}
found = camdbench.explain("shortcuts-ce", images, pair, layer="layer3")
figure, axes = plt.subplots(3, 3, figsize=(5, 5), layout="constrained")
for row, image, *maps in zip(axes, images, *(own.numpy() for own in found.values()), strict=True):
    for axis, shown in zip(row, (image.permute(1, 2, 0).numpy(), *maps), strict=True):
        axis.imshow(shown, cmap="viridis")
        axis.set_axis_off()
for axis, name in zip(axes[0], ("image", *found), strict=True):
    axis.set_title(name)
plt.show()
folder.cleanup()
