"""A run of two networks with raw maps, small enough for every test of the audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import camdbench

EXPLAINERS = "gradcam,hirescam,gradcampp,saliency,inputxgradient,fakecam,random,centre,edges,gtmask"
METRICS = "relevance_mass,pointing,ad,sparseness,insertion(step=16),deletion(step=16)"
MODELS = ["shortcuts-ce", "shortcuts-cfce"]
DATA: dict[str, Any] = {"dataset": "shortcuts(size=32,classes=2)", "split": "val", "limit": 4, "device": "cpu", "progress": False}


def run_two_networks(folder: Path) -> Path:
    """Run both networks into a folder."""
    camdbench.run(EXPLAINERS, METRICS, models=MODELS, save_maps="raw", out=str(folder), **DATA)
    return folder
