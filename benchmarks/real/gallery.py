"""The picture of docs/real.md: maps that a run stored, drawn over the photographs."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from camdbench import load_rows
from camdbench.core.imagenet_classes import imagenet_classes
from camdbench.datasets.preprocess import prepare, read_picture
from camdbench.functional.normalise import normalise, upsample
from camdbench.reporting.overlay import gallery
from camdbench.runner.run_directory import PartKey, part_file
from camdbench.runner.saved_maps import unpack
from camdbench.tables.load import load_run

SHOWN = ("cat", "coffee", "camera", "astronaut", "tower", "flower")  # licences that allow it
DRAWN = ("gradcam", "layercam", 'opticam(search_dtype="network")', "scorecam-sampled", "rise(masks=256)")


def draw(work: Path, model: str, preprocess: str, file: Path) -> None:
    """Draw the explainers `DRAWN` on the pictures `SHOWN`, titled with the class that is explained, into a JPEG file.

    Args:
        work: folder of the pictures and the run.
        model: name of the network in the run.
        preprocess: its preprocessing, of 224 pixels.
        file: the file to write.
    """
    from safetensors.torch import load_file

    run, rows = work / "run", load_rows(work / "run")
    ids = load_run(run)["ids"]
    places = [next(place for place, name in enumerate(ids) if Path(name).stem == picture) for picture in SHOWN]
    pixels = [prepare(read_picture(work / "images" / ids[place]), preprocess, 224) for place in places]
    maps = {}
    for explainer in DRAWN:
        stored = unpack(load_file(part_file(run, "maps", PartKey(model, explainer, 0))))
        maps[explainer] = [normalise(upsample(stored[place][None], (224, 224)), "range")[0].numpy() for place in places]
    explained = rows[rows["explainer"] == DRAWN[0]].groupby("image")["target"].first()
    titles = [imagenet_classes()[int(explained[ids[place]])].name for place in places]
    page = file.with_suffix(".png")
    gallery([image.permute(1, 2, 0).numpy() for image in pixels], maps, titles, page, dpi=100)
    with Image.open(page) as drawn:
        drawn.convert("RGB").save(file, quality=85)
    page.unlink()
