"""Pictures for the report of a run: images of its data set, annotations and saliency maps, read one image at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from camdbench.core.errors import CamdbenchError
from camdbench.datasets.loading import UnreadableImage, read
from camdbench.datasets.samples import Dataset
from camdbench.reporting.encoded_pictures import FEW, colour_webp, grey_webp, in_text, mask_png, side_of_maps, top_of
from camdbench.runner.open_images import open_images
from camdbench.runner.stored_maps import StoredMaps
from camdbench.runner.view_maps import decoded
from camdbench.tables.load import load_run
from camdbench.tables.predictions import load_predictions

_LARGE_INPUT = 224  # size of maps of inputs that are not at hand


@dataclass(frozen=True)
class Picture:
    """What a page shows of one image; texts are base64.

    Attributes:
        input: WebP; empty if the data set is not at hand.
        size: height and width in pixels; 0 if unknown.
        mask: PNG of the mask's outline; empty without a mask.
        boxes: xyxy in pixels.
        maps: by model and explainer: WebP in grey, and the value below which 99 % of the map lie, for a stretched display.
    """

    input: str
    size: tuple[int, int]
    mask: str
    boxes: tuple[tuple[float, ...], ...]
    maps: Mapping[str, Mapping[str, tuple[str, float]]]


class RunPictures:
    """Pictures of a run; a context in which its data set is open.

    Args:
        runs: the run directories, whose maps are shown.
        about: their record.
        data_root: directory of the data set, if it has moved.
        count: number of images that will be asked for; more than 64 get smaller maps.

    Attributes:
        missing: why there are no inputs, or no maps; one sentence each.
    """

    def __init__(self, runs: Sequence[Path], about: Mapping[str, Any], *, data_root: str | Path | None = None, count: int = FEW) -> None:
        self._runs, self._about, self._root = runs, about, data_root
        self._side = side_of_maps(count)
        self._stack = ExitStack()
        self._dataset: Dataset | None = None
        self._place = dict[str, int]()
        records = [load_run(run) for run in runs]
        self._maps = [StoredMaps(*pair) for pair in zip(runs, records, strict=True)]
        self.missing = _missing_maps(records)

    def __enter__(self) -> Self:
        try:
            self._dataset = self._stack.enter_context(open_images(self._runs[0], self._about, self._root))
            self._place = {name: place for place, name in enumerate(self._dataset.ids)}
        except CamdbenchError as error:
            self._stack.close()
            self.missing.append(f"Inputs are not shown, as the data set cannot be opened ({error}); --data-root names its directory.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def picture(self, image: str, models: Sequence[str], explainers: Sequence[str]) -> Picture:
        """Return the pictures of one image; what cannot be read is left out."""
        size, shown, mask, boxes = (0, 0), "", "", tuple[tuple[float, ...], ...]()
        sample = None if self._dataset is None or image not in self._place else read(self._dataset, self._place[image])
        if sample is not None and not isinstance(sample, UnreadableImage):
            size = (sample.image.shape[-2], sample.image.shape[-1])
            shown = in_text(colour_webp(sample.image.permute(1, 2, 0).numpy()))
            mask = "" if sample.mask is None else in_text(mask_png(sample.mask.numpy().astype(bool)))
            boxes = () if sample.boxes is None else tuple(tuple(round(float(edge), 1) for edge in box) for box in sample.boxes)
        maps = {model: self._encoded(model, image, explainers, size) for model in models}
        return Picture(shown, size, mask, boxes, {model: own for model, own in maps.items() if own})

    def _encoded(self, model: str, image: str, explainers: Sequence[str], size: tuple[int, int]) -> dict[str, tuple[str, float]]:
        shown = size if all(size) else (_LARGE_INPUT, _LARGE_INPUT)
        found = {name: self._map(model, name, image, shown) for name in explainers}
        return {name: (in_text(own), top) for name, (own, top) in found.items() if own}

    def _map(self, model: str, explainer: str, image: str, size: tuple[int, int]) -> tuple[bytes, float]:
        """A map as WebP with its 99th percentile; a picture that the run stored is shown as it is. Empty if no run has the map."""
        for run in self._maps:
            if (view := run.view(model, explainer, image)) is not None:
                return view, top_of(decoded(view))
            if (own := run.exact(model, explainer, image, size)) is not None:
                return grey_webp(own, self._side), top_of(own)
        return b"", 1.0


def predictions_of(runs: Sequence[Path], classes: Sequence[str]) -> dict[str, dict[str, tuple[int, str, float]]]:
    """Predicted class, its name and its probability by image and model; empty for runs of versions that stored none.

    Args:
        runs: the run directories; of an image that two have, the first counts.
        classes: names of the classes; an index beyond them has an empty name.
    """
    found = dict[str, dict[str, tuple[int, str, float]]]()
    for run in runs:
        for model, image, index, probability in load_predictions(run).itertuples(index=False):
            name = classes[int(index)] if index < len(classes) else ""
            found.setdefault(image, {}).setdefault(model, (int(index), name, round(float(probability), 4)))
    return found


def _missing_maps(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why maps are not shown, and how to get them: one sentence, or none."""
    stored = [about["config"].get("save_maps", "none") for about in records]
    if set(stored) == {"none"}:
        if all(about.get("maps") for about in records):
            return ["Maps are not shown, as scores store none; the report of the run that was scored shows them."]
        return ["Maps are not shown, as the run stored none; repeat it with --save-maps view."]
    given = [name for about, how in zip(records, stored, strict=True) if how != "raw" for name in about["given"]]
    return [f"Maps of {', '.join(given)} are not shown, as they were given; --save-maps raw stores copies of them."] if given else []
