"""
Which differences are real?
===========================

Paired tests over images, corrected for the number of pairs, and methods that are equal by algebra.
"""

from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt

# %%
# A run
# -----
# Explainers with a common letter have equal values on every image.
folder = TemporaryDirectory()
explainers = "gradcam,hirescam,layercam,gradcampp,eigencam,saliency"
rows = camdbench.run(explainers, "ad", limit=48, out=folder.name, progress=False)
rows

# %%
# Tests
# -----
# Each pair is compared on its common images by a permutation test of the signs of the differences.
# ``p_holm`` is corrected by Holm's method; pairs that tie everywhere are no tests.
pairs = camdbench.compare(folder.name)
pairs = pairs.assign(pair=pairs["a"] + " - " + pairs["b"])
shown = pairs[pairs["p_holm"].notna() & ~pairs["a"].eq("hirescam")]
print(shown[["pair", "difference", "p_holm", "better"]].round(3).to_string(index=False))

# %%
# Differences with their intervals
# --------------------------------
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for height, (_, one) in enumerate(shown.iloc[::-1].iterrows()):
    colour = "C0" if one["p_holm"] < 0.05 else "grey"
    axis.plot((one["ci_low"], one["ci_high"]), (height, height), color=colour)
    axis.plot(one["difference"], height, "o", color=colour)
axis.axvline(0, color="black", lw=0.8)
axis.set(yticks=range(len(shown)), yticklabels=shown["pair"].iloc[::-1])
axis.set(xlabel="difference of AD in points; blue: significant")
plt.show()
folder.cleanup()
