"""
Score maps of another tool
==========================

Maps of any origin are scored beside those of camdbench: here the gradient of plain PyTorch and a
map of Captum.
"""

from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt
import torch
from captum.attr import InputXGradient

data = camdbench.data("shortcuts(count=12)")
samples = [data[index] for index in range(12)]
images = torch.stack([sample.image for sample in samples])
labels = torch.tensor(data.labels)
classifier = camdbench.load_classifier("shortcuts-ce")

# %%
# Two maps without camdbench
# --------------------------
# ``classifier`` is a module: it normalises images in [0, 1] and returns logits. Maps are arrays
# (N, h, w).
pixels = images.clone().requires_grad_()
score = classifier(pixels).gather(1, labels[:, None]).sum()
gradient = torch.autograd.grad(score, pixels)[0].abs().amax(1)

product = InputXGradient(classifier).attribute(images.clone().requires_grad_(), target=labels)
maps = {"my-gradient": gradient.numpy(), "captum-product": product.sum(1).relu().detach().numpy()}

# %%
# Scores of one array
# -------------------
# ``camdbench.evaluate`` needs no run directory. Metrics of localisation read boxes and masks.
metrics = "ad,ag,pointing,relevance_mass"
scores = camdbench.evaluate(
    classifier,
    images,
    labels,
    gradient,
    metrics,
    boxes=[sample.boxes for sample in samples if sample.boxes is not None],
    masks=torch.stack([sample.mask for sample in samples if sample.mask is not None]),
    normalisation="max",
)
print(scores.groupby("metric")["value"].mean().round(1).to_string())

# %%
# The same table as everything else
# ---------------------------------
# With ``maps=``, given maps are explainers of a run: same images, same intervals, same tests.
# ``my-gradient`` and ``saliency`` are one method, so their values are equal on every image: the
# table marks the tie.
folder, own = TemporaryDirectory(), "gradcam,saliency"
rows = camdbench.run(own, metrics, maps=maps, limit=12, out=folder.name, progress=False)
rows

# %%
figure, axes = plt.subplots(1, 3, figsize=(7, 2.5), layout="constrained")
shown = {"image": images[1].permute(1, 2, 0).numpy()} | {name: own[1] for name, own in maps.items()}
for axis, (name, pixels) in zip(axes, shown.items(), strict=True):
    axis.imshow(pixels, cmap="viridis")
    axis.set_title(name, fontsize=9)
    axis.set_axis_off()
plt.show()
folder.cleanup()
