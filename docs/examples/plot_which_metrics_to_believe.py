"""
Which metrics can be believed?
==============================

An audit holds metrics against a truth that is measured on the networks: how much of a score comes
from the object, and how much from the background.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt

# %%
# A run of two networks
# ---------------------
# ``shortcuts-ce`` uses backgrounds, ``shortcuts-cfce`` was trained to use objects.
folder = TemporaryDirectory()
run = Path(folder.name, "run")
rows = camdbench.run(
    "gradcam,layercam,eigencam,saliency,inputxgradient,guidedbackprop,random,centre",
    "ad,ai,pointing,relevance_mass,complexity",
    models="shortcuts-ce,shortcuts-cfce",
    split="balanced",
    limit=12,
    save_maps="raw",
    out=run,
    progress=False,
)

# %%
# The truth
# ---------
# Objects and backgrounds are drawn anew. ``share`` is the share of the object in the effects on the
# score: 0 if only the background counts, 1 if only the object does.
tables = camdbench.audit(run, draws=8, resamples=200, progress=False)
columns = ["model", "accuracy", "share", "share_low", "share_high"]
print(tables.networks[columns].round(2).to_string(index=False))

# %%
# Metrics
# -------
# Kendall's tau of the order of explainers by a metric and by their error against the truth. The
# images are few here and the intervals wide; the page on which metrics can be believed has a study.
found = tables.metrics.query("model == '*' and truth == 'error' and set == 'real'")
columns = ["metric", "tau", "tau_low", "tau_high", "fooled_by", "conclusion"]
print(found[columns].round(2).to_string(index=False))

# %%
# Maps
# ----
# The share of the maps on the object, beside the share of the object in the score.
figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
for name, own in tables.explainers.query("model != '*'").groupby("explainer"):
    control = own["set"].iloc[0] == "control"
    axis.plot(own["share_true"], own["share_map"], "x--" if control else "o-", label=str(name))
axis.plot((0.5, 1), (0.5, 1), color="grey", lw=0.8)
axis.set(xlabel="share of the object in the score", ylabel="share of the map on the object")
axis.legend(fontsize=8)
plt.show()
folder.cleanup()
