"""
Write a report
==============

A report is one HTML file with everything about a run: tables, charts, images, maps, provenance. It
needs neither a network nor a server.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt

folder = TemporaryDirectory()
run = Path(folder.name, "run")
rows = camdbench.run("gradcam,layercam,uniform", "ad,ag,pointing", limit=8, out=run, progress=False)

# %%
# The page
# --------
# A notebook shows the page in a frame, as below: order the images, click on a value, change the
# colours. ``camdbench report RUN --open`` does the same from the command line.
page = camdbench.report(run)
print(f"{page.file.name}: {page.file.stat().st_size // 1000} KB")
page

# %%
# Values of images
# ----------------
# One of its charts, here with matplotlib. ``camdbench figures RUN`` writes charts for a paper.
figure, axis = plt.subplots(figsize=(5, 2.4), layout="constrained")
for height, (name, own) in enumerate(rows[rows["metric"] == "ad"].groupby("explainer")):
    axis.plot(own["value"], [height] * len(own), "o", alpha=0.5)
    axis.text(101, height, str(name), va="center")
axis.set(xlabel="AD (%) of each image", yticks=(), xlim=(-2, 120))
plt.show()
folder.cleanup()
