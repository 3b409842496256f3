"""
Choose what is explained
========================

A map explains a scalar: by default the logit of a class. Other objectives ask other questions, such
as why this class and not the second one.
"""

import camdbench
import matplotlib.pyplot as plt
import torch

data = camdbench.data("shortcuts(split='conflict', count=8)")
images = torch.stack([data[index].image for index in (0, 5, 6)])

# %%
# Three questions
# ---------------
# ``logit`` asks for support for the class, ``margin(second)`` for what distinguishes it from the
# class of the second largest logit. A function asks anything: here for class 0, on every image.
objectives = {
    "logit": "logit",
    "margin(second)": "margin(second)",
    "log_odds": "log_odds",
    "function": lambda z: z[0] - z.mean(),
}
found = {
    name: camdbench.explain("shortcuts-ce", images, "gradcam", objective=objective)
    for name, objective in objectives.items()
}

# %%
# How different are the maps?
# ---------------------------
# Correlation of each map with that of the logit, image by image.
first = found["logit"].maps.flatten(1)
for name, one in found.items():
    pairs = zip(first, one.maps.flatten(1), strict=True)
    values = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs]
    print(f"{name:15}", *(f"{value:6.2f}" for value in values))

# %%
figure, axes = plt.subplots(3, 5, figsize=(9, 5.4), layout="constrained")
for row, image, *maps in zip(axes, images, *(one.numpy() for one in found.values()), strict=True):
    for axis, shown in zip(row, (image.permute(1, 2, 0).numpy(), *maps), strict=True):
        axis.imshow(shown, cmap="viridis")
        axis.set_axis_off()
logits = found["logit"].logits.topk(2).indices
for row, (best, second) in zip(axes, logits.tolist(), strict=True):
    row[0].set_title(f"{data.classes[best]}, then {data.classes[second]}", fontsize=8)
for axis, name in zip(axes[0, 1:], found, strict=True):
    axis.set_title(name, fontsize=9)
plt.show()
