"""
Train with a guided loss
========================

A loss of saliency maps moves a network from the background to the object. Two short trainings start
from the same weights: with cross-entropy, and with SO-Loss.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt
import pandas as pd
import torch
from camdbench.trainer.recipe import TrainingRecipe

# %%
# Two recipes
# -----------
# A recipe is usually a YAML file; ``camdbench list losses`` lists the losses.
folder = TemporaryDirectory()
splits = {"dataset": "shortcuts", "train": "train", "limit": 192, "evaluation": ["conflict"]}
common = {"network": "shortcuts", "init": "shortcuts-ce", "epochs": 2, "batch_size": 32}
weights, logs = dict[str, Path](), dict[str, pd.DataFrame]()
for name, loss in {"cross-entropy": "ce", "so": "so(beta=0.5,views=1,kernel=11)"}.items():
    fields = {"data": splits | {"evaluation_limit": 64}, "optimiser": {"lr": 0.002}, "loss": loss}
    recipe = TrainingRecipe.model_validate(common | fields | {"name": name})
    weights[name] = camdbench.train(recipe, out=folder.name, device="cpu")
    logs[name] = pd.read_csv(Path(folder.name, f"{name}.csv"))

# %%
# The log holds accuracy and the share of the map on the object (energy) after every epoch.
columns = ["epoch", "val_accuracy", "val_energy"]
for name, log in logs.items():
    print(f"{name}\n{log[columns].round(3).to_string(index=False)}")

# %%
# Maps before and after
# ---------------------
# On images whose background belongs to another class:
data = camdbench.data("shortcuts(split='conflict', count=8)")
images = torch.stack([data[index].image for index in (0, 5, 6)])
labels = [data.labels[index] for index in (0, 5, 6)]
networks = {"before": "shortcuts-ce"} | {name: str(file) for name, file in weights.items()}
figure, axes = plt.subplots(3, 4, figsize=(6.5, 5), layout="constrained")
for column, (name, network) in enumerate(networks.items(), start=1):
    found = camdbench.explain(network, images, "gradcam", targets=labels)
    axes[0, column].set_title(name)
    for row, image, saliency in zip(axes, images, found.numpy(), strict=True):
        row[0].imshow(image.permute(1, 2, 0).numpy())
        row[column].imshow(saliency, cmap="viridis")
for axis in axes.flat:
    axis.set_axis_off()
plt.show()
folder.cleanup()
