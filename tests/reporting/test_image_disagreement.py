"""Disagreement of explainers about an image, against a reading image by image."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import percentileofscore

from camdbench.reporting.image_disagreement import disagreement
from camdbench.tables.cell_values import KEY, Cells


def test_it_is_the_spread_of_an_images_ranks():
    rng = np.random.default_rng(0)
    values = rng.random((6, 40)).round(1)  # with ties
    values[2, 5] = np.nan
    values[[0, 1, 2], 7] = np.nan
    names = [(explainer, metric) for metric in ("ad", "ag") for explainer in ("gradcam", "saliency", "random")]
    keys = pd.DataFrame([("data", "val", "net", *name, "opticam", "label") for name in names], columns=list(KEY))
    cells = Cells(keys, values, np.ones(values.shape, dtype=np.uint8), tuple(map(str, range(40))), np.zeros(40, dtype=int))
    found = disagreement(cells, frozenset({"random"}))
    for image in range(40):
        spreads = []
        for metric in (0, 3):
            own = values[[metric, metric + 1]]
            ranks = [_rank(row, image) for row in own if not np.isnan(row[image])]
            spreads += [np.std(ranks)] if len(ranks) > 1 else []
        assert np.isclose(found[image], np.mean(spreads) if spreads else np.nan, equal_nan=True)


def _rank(row: np.ndarray, image: int) -> float:
    """Rank from 0 to 1 among the values that are there: (below + (equal others) / 2) / (count - 1)."""
    own = row[~np.isnan(row)]
    below, equal = (own < row[image]).sum(), (own == row[image]).sum() - 1
    assert abs(percentileofscore(own, row[image], kind="mean") / 100 * len(own) - 0.5 - (below + equal / 2)) < 1e-9
    return (below + equal / 2) / (len(own) - 1)
