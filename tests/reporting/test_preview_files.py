"""Pictures of a network that learns: the object's outline, and files under the run's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from camdbench.reporting.preview_files import PreviewWriter, outline
from camdbench.trainer.training_previews import Preview, PreviewState


def test_the_line_runs_along_the_inside_of_the_object() -> None:
    mask = np.zeros((7, 8), dtype=bool)
    mask[1:6, 2:7] = True
    image = np.full((7, 8, 3), 0.25)
    inside = np.zeros_like(mask)
    inside[2:5, 3:6] = True
    drawn = outline(image, mask)
    assert np.array_equal(drawn == [1.0, 1.0, 0.0], np.repeat((mask & ~inside)[..., None], 3, axis=2))
    assert np.array_equal(drawn[~mask | inside], image[~mask | inside])
    assert np.array_equal(outline(image, mask & False), image)


def test_a_picture_is_kept_under_the_runs_name_and_handed_on(tmp_path: Path) -> None:
    images, masks = torch.full((2, 3, 16, 16), 0.5), torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[0, 4:12, 4:12] = True
    seen = {
        "before": PreviewState(torch.zeros(2, 16, 16), ("p 0.10", "p 0.20")),
        "after epoch 3": PreviewState(masks.float(), ("p 0.90", "p 0.80")),
    }
    got = list[tuple[str, int, np.ndarray]]()
    album = PreviewWriter(tmp_path, lambda *given: got.append(given))
    album.add(Preview("mine", "before-after", 3, images, masks, ("disc", "star"), seen))
    album.add(Preview("mine", "epoch-003", 3, images, None, ("disc", "star"), {"gradcam": seen["before"]}))
    assert sorted(file.name for file in (tmp_path / "mine-maps").iterdir()) == ["before-after.png", "epoch-003.png"]
    assert [(name, epoch) for name, epoch, _ in got] == [("before", 3), ("epoch", 3)]
    with Image.open(tmp_path / "mine-maps" / "before-after.png") as file:
        pixels = np.asarray(file.convert("RGB"))
    assert np.array_equal(got[0][2], pixels)
    assert (pixels == [255, 255, 0]).all(2).any()  # the line
    assert not (got[1][2] == [255, 255, 0]).all(2).any()
    assert got[1][2].shape[1] < pixels.shape[1]  # one column less
