"""
Read rows with DuckDB
=====================

The rows of a run are Parquet files in folders by model and explainer. Any tool that reads Parquet
answers questions about them; DuckDB does it in SQL, without reading what a question leaves out.
"""

from tempfile import TemporaryDirectory

import camdbench
import duckdb
import matplotlib.pyplot as plt

folder = TemporaryDirectory()
explainers, metrics = "gradcam,layercam,saliency,random", "ad,ag,pointing"
camdbench.run(explainers, metrics, limit=48, out=folder.name, progress=False)

# %%
# Means
# -----
# ``hive_partitioning`` makes columns of the names of folders.
database = duckdb.connect()
files = f"read_parquet('{folder.name}/rows/*/*/*.parquet', hive_partitioning=true)"
means = database.execute(f"""
    SELECT explainer, metric, avg(value) AS mean, count(value) AS n
    FROM {files} GROUP BY ALL ORDER BY metric, mean
""").df()
print(means.round(1).to_string(index=False))

# %%
# A question across rows
# ----------------------
# On which images does the more expensive choice pay off? Values of two explainers, side by side:
pairs = database.execute(f"""
    SELECT image, g.value AS gradcam, s.value AS saliency
    FROM {files} g JOIN {files} s USING (image, metric)
    WHERE metric = 'ad' AND g.explainer = 'gradcam' AND s.explainer = 'saliency'
""").df()
better = int((pairs["gradcam"] < pairs["saliency"]).sum())
print(f"Grad-CAM has the lower AD on {better} of {len(pairs)} images")

# %%
figure, axis = plt.subplots(figsize=(4, 4), layout="constrained")
axis.scatter(pairs["gradcam"], pairs["saliency"], s=18, alpha=0.7)
axis.plot((0, 100), (0, 100), color="grey", lw=0.8)
axis.set(xlabel="AD of gradcam (%)", ylabel="AD of saliency (%)")
plt.show()
database.close()
folder.cleanup()
