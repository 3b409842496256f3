"""
Use your own pictures
=====================

Pictures of any size in a folder, a table with their classes and boxes, and a run on them.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import camdbench
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

# %%
# Pictures and a table
# --------------------
# Eight pictures of the package, enlarged and written as files, stand for yours. The table has a row
# for each picture: its path, the name of its class, and the box of its object in pixels.
folder = TemporaryDirectory()
known = camdbench.data("shortcuts(split='shifted', count=8)")
rows = list[dict[str, object]]()
for index in range(8):
    sample = known[index]
    pixels = (255 * sample.image.permute(1, 2, 0).numpy()).astype(np.uint8)
    Image.fromarray(pixels).resize((240, 240)).save(Path(folder.name, f"{sample.id}.png"))
    assert sample.boxes is not None
    box = dict(zip(("x0", "y0", "x1", "y1"), (2.5 * sample.boxes[0]).tolist(), strict=True))
    rows.append({"image": f"{sample.id}.png", "label": known.classes[sample.label], **box})
table = pd.DataFrame(rows)
print(table.head(3).round(1).to_string(index=False))

# %%
# A data set
# ----------
# Columns with these names need no option. ``preprocess`` states how a picture becomes an input of
# the network, and boxes follow it. Classes meet those of the network by their names.
data = camdbench.data(table, images=folder.name, preprocess="fit(size=96)", name="mine")
print(f"{len(data.ids)} pictures of {len(data.classes)} classes")

# %%
# A run
# -----
out = Path(folder.name, "run")
metrics = "ad,pointing,energy_pointing"
scores = camdbench.run("gradcam,saliency,centre", metrics, dataset=data, out=out, progress=False)
scores

# %%
# Each row names its picture, so a table of the worst ones is one line.
worst = scores[(scores["explainer"] == "gradcam") & (scores["metric"] == "ad")].nlargest(3, "value")
print(worst[["image", "value"]].round(1).to_string(index=False))

files = [Path(folder.name, name) for name in worst["image"]]
found = camdbench.explain("shortcuts-ce", files, "gradcam", preprocess="fit(size=96)")
figure, axes = plt.subplots(2, 3, figsize=(5.5, 3.8), layout="constrained")
for column, name in enumerate(worst["image"]):
    axes[0, column].imshow(found.images[column].permute(1, 2, 0).numpy())
    axes[1, column].imshow(found.numpy()[column], cmap="viridis")
    axes[0, column].set_title(name, fontsize=8)
for axis in axes.flat:
    axis.set_axis_off()
plt.show()
folder.cleanup()
