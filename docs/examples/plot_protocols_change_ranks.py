"""
A protocol changes ranks
========================

Deletion removes the most salient pixels first; a low area under the curve is good. Two papers
compute it differently, and disagree about which explainer is best.
"""

from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt

# %%
# Two protocols of one metric
# ---------------------------
# A protocol is a name for all settings of a metric, as a paper or a library has them.
folder = TemporaryDirectory()
metrics = ["deletion", 'deletion(protocol="rise", step=480)']
explainers = "gradcam,layercam,eigencam,saliency,random"
rows = camdbench.run(explainers, metrics, limit=12, out=folder.name, progress=False)
rows

# %%
# By the default, random numbers are the best explanation: a removed pixel is black, and scattered
# black pixels change an image everywhere at once. By the protocol of RISE, a removed pixel has the
# mean colour, and random numbers lose. A control belongs in every table for this reason.
means = rows.summary().pivot(index="explainer", columns="metric", values="mean")[metrics]
ranks = means.rank().astype(int)
print(ranks.to_string())

# %%
# ``camdbench diff deletion 'deletion(protocol=rise)'`` lists the settings that differ: the colour
# of removed pixels (``masking``), the pixels of a step, and the order of equal values.
figure, axis = plt.subplots(figsize=(5, 3.5), layout="constrained")
for name, (first, second) in ranks.iterrows():
    axis.plot((0, 1), (first, second), "o-", color="grey" if name == "random" else None)
    axis.text(1.05, second, str(name), va="center")
axis.set(
    xticks=(0, 1),
    xticklabels=("default", "RISE"),
    xlim=(-0.1, 1.6),
    ylabel="rank",
    yticks=range(1, 6),
)
axis.invert_yaxis()
plt.show()
folder.cleanup()
