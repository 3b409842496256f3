"""
Look at the curves
==================

Insertion and deletion are areas under curves. A run keeps the curve of every image.
"""

from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt
import numpy as np
from camdbench.tables.load import load_curves

# %%
# A run
# -----
folder = TemporaryDirectory()
metrics = ['insertion(protocol="rise", step=480)', 'deletion(protocol="rise", step=480)']
explainers = "gradcam,saliency,random"
rows = camdbench.run(explainers, metrics, limit=12, out=folder.name, progress=False)
rows

# %%
# Points
# ------
# ``load_curves`` returns a row for each point: the share of replaced pixels, and the probability.
points = load_curves(folder.name)
print(points.groupby("metric")["x"].agg(["min", "max", "nunique"]).to_string())

# %%
# Mean curves with the middle half of the images
# ----------------------------------------------
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
for axis, metric in zip(axes, metrics, strict=True):
    for name in explainers.split(","):
        own = points[(points["metric"] == metric) & (points["explainer"] == name)]
        curves = own.pivot(index="image", columns="x", values="value")
        (line,) = axis.plot(curves.columns, curves.mean(), label=name)
        low, high = np.percentile(curves, (25, 75), axis=0)
        axis.fill_between(curves.columns, low, high, alpha=0.15, color=line.get_color(), lw=0)
    axis.set(title=metric.partition("(")[0], xlabel="share of pixels")
axes[0].set_ylabel("probability of the class")
axes[0].legend()
plt.show()
folder.cleanup()
