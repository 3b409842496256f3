"""Predicted classes of a run: the top class of each image and model, and its probability."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import reading
from camdbench.tables.load import load_run
from camdbench.tables.ordered_rows import encoded, joined, orders_of, places_of, plain
from camdbench.tables.part_files import FIXES, chunks_of, counted, folders, row_groups

PREDICTION_COLUMNS = ("model", "image", "predicted", "probability")


def load_predictions(run: str | Path) -> pd.DataFrame:
    """Read the predicted classes of a run, from the logits of the images as they are.

    Args:
        run: a run directory.

    Returns:
        One row per model and image, in the order of the run: model, image, predicted (class index of the model), probability (softmax of
        the logits). Images without finite logits have no row; runs of versions that stored no predictions have none at all.

    Raises:
        UsageError: no such folder, or not a run.
        CamdbenchError: a file is damaged.
    """
    about, tables = load_run(run), []
    for folder, model in folders(Path(run) / "predictions", "model"):
        for part in counted(folder, model, None):
            held = chunks_of(part.path.name)
            assert held is not None
            with reading(part.path, fix=FIXES["predictions"], error=CamdbenchError):
                tables += [table.select(list(PREDICTION_COLUMNS)) for table in row_groups(part, "predictions", held, PREDICTION_COLUMNS)]
    if not any(map(len, tables)):
        return pd.DataFrame({name: [] for name in PREDICTION_COLUMNS})
    whole, orders = joined(tables), orders_of(about)
    places = {}
    for name in ("model", "image"):
        names, codes = encoded(whole.column(name).combine_chunks())
        places[name] = places_of(names, orders[name])[codes]
    order = pd.DataFrame(places).drop_duplicates().sort_values(["model", "image"], kind="stable").index
    return plain(whole.take(order.to_numpy()))
