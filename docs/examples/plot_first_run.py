"""
A first run
===========

Two explainers and two controls, three metrics, 8 images: the table of a run, and the values behind
its means.
"""

from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt

# %%
# A run
# -----
# The network ``shortcuts-ce`` and the images ``shortcuts`` are in the package; they are defaults.
# A run writes a directory; here it is temporary. The result is a data frame with one row per image,
# explainer and metric. A notebook shows its summary.
explainers = "gradcam,opticam(iterations=10),fakecam,random"
folder = TemporaryDirectory()
rows = camdbench.run(explainers, "ad,ag,ai", limit=8, out=folder.name, progress=False)
rows

# %%
# Low means of AD are better, and high means of AG and AI. Fake-CAM is a control: a map of ones,
# except for one pixel. Its AD is nearly perfect although it explains nothing. Its AG near 0 shows
# this. The summary is a data frame, too.
summary = rows.summary().pivot(index="explainer", columns="metric", values="mean")
print(summary.round(1).to_string())

# %%
# Values of the images
# --------------------
# Every point is an image; the line is the mean.
names = list(dict.fromkeys(rows["explainer"]))
labels = {"ad": "AD (%), lower is better", "ag": "AG (%), higher is better"}
figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
for axis, (metric, label) in zip(axes, labels.items(), strict=True):
    for height, name in enumerate(names):
        values = rows[(rows["explainer"] == name) & (rows["metric"] == metric)]["value"]
        axis.plot(values, [height] * len(values), "o", alpha=0.4, color="C0")
        axis.plot(values.mean(), height, "|", color="black", markersize=20)
    axis.set(xlabel=label, yticks=range(len(names)), yticklabels=names)
plt.show()
folder.cleanup()
