"""
Write a metric
==============

A new metric is a function of images, maps and network. Here: the probability that is left when the
most salient quarter of an image is blurred.
"""

from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur


# %%
# The function
# ------------
# ``inputs`` holds images (B, 3, H, W) in [0, 1], maps (B, H, W) in [0, 1], explained classes (B,),
# boxes, masks and the classifier. The function returns B values.
def blurred_quarter(inputs: camdbench.MetricInputs, *, share: float = 0.25) -> Tensor:
    threshold = inputs.saliency.flatten(1).quantile(1 - share, dim=1)[:, None, None]
    covered = (inputs.saliency > threshold)[:, None]
    images = gaussian_blur(inputs.images, [31, 31]).where(covered, inputs.images)
    probabilities = inputs.classifier(images).softmax(1)
    return 100 * probabilities.gather(1, inputs.targets[:, None])[:, 0]


# %%
# A direction
# -----------
# ``metric_of`` states the direction and the unit. A metric without a direction has no rank.
metric = camdbench.metric_of(blurred_quarter, higher_is_better=False, unit="%")

folder = TemporaryDirectory()
explainers, metrics = "gradcam,saliency,edges,gtbox,random", ["deletion", metric]
rows = camdbench.run(explainers, metrics, limit=8, out=folder.name, progress=False)
rows

# %%
# Compared with a known metric
# ----------------------------
# Two metrics that measure one thing would have a rank correlation near 1 over these maps.
wide = rows.pivot(index=["explainer", "image"], columns="metric", values="value")
print(f"Spearman correlation with deletion: {wide.corr('spearman').iloc[0, 1]:.2f}")

figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
for name, own in wide.groupby(level="explainer"):
    axis.scatter(own["deletion"], own["blurred_quarter"], s=18, alpha=0.7, label=str(name))
axis.set(xlabel="deletion (%), lower is better", ylabel="blurred_quarter (%), lower is better")
axis.legend(fontsize=8)
plt.show()
folder.cleanup()
