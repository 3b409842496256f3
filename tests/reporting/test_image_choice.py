"""Images of a report: each rule finds the images that it names, in order, and says so."""

from __future__ import annotations

import numpy as np
import pandas as pd

from camdbench.reporting.image_choice import OF_A_KIND, choose_images
from camdbench.tables.cell_values import KEY, STATUSES, Cells

FALLS = {"ad": False}


def cells_of(values: dict[str, list[float]], status: dict[str, list[int]] | None = None) -> Cells:
    """Cells of one metric by explainer, over images named by position."""
    keys = pd.DataFrame([("data", "val", "net", name, "ad", "opticam", "label") for name in values], columns=list(KEY))
    matrix = np.array(list(values.values()))
    codes = np.array([(status or {}).get(name, [1] * matrix.shape[1]) for name in values], dtype=np.uint8)
    count = matrix.shape[1]
    return Cells(keys, matrix, codes, tuple(f"{place:03d}" for place in range(count)), np.zeros(count, dtype=int))


def chosen(cells: Cells, limit: int, **more: object) -> dict[str, list[str]]:
    none = np.full(len(cells.images), np.nan)
    return choose_images(cells, limit, **({"rises": FALLS, "controls": frozenset(), "disagreement": none} | more))  # type: ignore[arg-type]


def test_worst_and_best_follow_the_direction():
    drops = np.random.default_rng(0).permutation(100) / 2
    cells, order = cells_of({"gradcam": drops.tolist()}), np.argsort(drops)
    for rises, best, worst in ((False, order[:2], order[-2:]), (True, order[-2:], order[:2])):
        found = chosen(cells, 100, rises={"ad": rises})
        assert {int(image) for image, why in found.items() if "best ad: gradcam" in why} == set(best.tolist())
        assert {int(image) for image, why in found.items() if "worst ad: gradcam" in why} == set(worst.tolist())
    assert not any("ad: " in text for why in chosen(cells, 100, rises={"ad": None}).values() for text in why)


def test_there_are_as_many_as_asked_for_and_random_ones_come_from_the_seed():
    cells = cells_of({"gradcam": list(range(100)), "random": list(range(100))})
    first = chosen(cells, 40)
    assert len(first) == 40
    assert list(first) == sorted(first)
    assert sum("random" in why for why in first.values()) == OF_A_KIND
    assert sum(why == ["further random"] for why in first.values()) > 0
    assert chosen(cells, 40) == first
    assert chosen(cells, 40, seed=1) != first
    assert len(chosen(cells, 500)) == 100
    assert not any("ad: random" in text for why in chosen(cells, 500, controls=frozenset({"random"})).values() for text in why)


def test_failures_come_before_disagreement_and_ids_that_are_asked_for_come_first():
    status = [1] * 100
    status[77] = STATUSES.index("error")
    status[78] = STATUSES.index("constant_map")
    cells = cells_of({"gradcam": [float(place) for place in range(100)]}, {"gradcam": status})
    apart = np.zeros(100)
    apart[50] = 0.4
    found = chosen(cells, 36, disagreement=apart, further=("099",))
    assert found["099"][0] == "asked for"
    assert "error" in found["077"]
    assert "constant map" in found["078"]
    assert "disagreement" in found["050"]
    assert sum("disagreement" in why for why in found.values()) == 1
    alone = chosen(cells, 1, further=("099", "098"))
    assert list(alone) == ["098", "099"]
    hidden = chosen(cells, 500, controls=frozenset({"gradcam"}))
    assert not any("error" in why for why in hidden.values())


def test_images_that_moved_between_runs_are_named():
    cells = cells_of({"gradcam": [0.0] * 100})
    moved = np.full(100, np.nan)
    moved[[3, 4]] = 5.0, 0.0
    assert [image for image, why in chosen(cells, 100, moved=moved).items() if "moved between runs" in why] == ["003"]
