"""What a run would do: its jobs with their image passes, and an estimate of their time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from camdbench.core.cost import PassEstimate
from camdbench.core.registries import NO_EXPLAINER, explained_versions, metrics, needs_of, passes_of, references_of
from camdbench.core.spec import Spec
from camdbench.explainers.common.layer_choice import checked_layers
from camdbench.models.target_layers import Layer, list_layers
from camdbench.runner.timing import duration, measure

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier
    from camdbench.runner.prepare import Run

SECONDS = 2.0  # of the measurements of all models together
_PER_CHANNEL = ("per channel", "per replayed channel")


def describe_jobs(run: Run) -> list[str]:
    """One line per model and explainer, with its passes and their estimated time, and one line for all; of a shard one line more.

    A number of passes that depends on the channels of a layer is that of all its channels.
    """
    (images, lines), models = _images(run), run.request.models
    if not images:
        return lines
    batch_size, size = min(images, run.request.config.batch_size), run.resources.image_size
    total, open_ended = 0.0, False
    for name, row_name in zip(models, run.row_names, strict=True):
        classifier = run.resources.working.classifier(name)
        work = _work(run, classifier, images)
        pace = measure(classifier, size, batch_size=batch_size, seconds=SECONDS / len(models)) if work else None
        for spec in run.request.jobs:
            passes = work.get(spec)
            text = "" if passes is None or pace is None else _estimate(passes, pace.seconds(passes))
            total += 0 if passes is None or pace is None else pace.seconds(passes)
            open_ended = open_ended or (passes is not None and passes.lower_bound)
            lines.append(f"{row_name} × {spec}: {images} images{text}")
    again = [spec for spec in run.request.metrics if "explainer" in metrics.get(spec.name).facts.needs]
    added = _added(again, total, images)
    return [*lines, _summary(total, batch_size, added, open_ended=open_ended)] if total else lines


def _images(run: Run) -> tuple[int, list[str]]:
    """Number of images to compute, and of a shard a line on them."""
    shard, size, total = run.request.shard, run.chunk_size, len(run.resources.images.ids)
    images = sum(min(size, total - chunk * size) for chunk in run.chunks(shard))
    return images, [] if shard.is_whole else [f"shard {shard}: {images} of {total} images, in chunks of {size}"]


def _work(run: Run, classifier: Classifier, images: int) -> dict[Spec, PassEstimate]:
    """Passes of each explainer over the images; given and saved maps, and metrics of the model alone, are left out."""
    made = [spec for spec in run.request.computed if run.request.maps is None and spec in run.request.jobs and spec != NO_EXPLAINER]
    by_layer = any("layer" in needs_of(spec) for spec in made)
    seen = list_layers(classifier, run.resources.image_size) if by_layer else []
    return {spec: passes_of(spec, _channels(classifier, spec, seen)) * images for spec in made}


def _channels(classifier: Classifier, spec: Spec, seen: Sequence[Layer]) -> dict[str, int]:
    """Channels of the layers that an explainer reads."""
    if "layer" not in needs_of(spec):
        return {}
    names = checked_layers(classifier, spec, None, seen)
    return dict.fromkeys(_PER_CHANNEL, sum(layer.channels for layer in seen if layer.name in names))


def _estimate(passes: PassEstimate, seconds: float) -> str:
    if not passes.total:
        return ", number of passes unknown" if passes.lower_bound else ", no passes"
    return f", {passes} passes, {duration(seconds)}"


def _summary(seconds: float, batch_size: int, added: str, *, open_ended: bool) -> str:
    least = "at least " if open_ended else "about "
    images = f"{batch_size} image{'' if batch_size == 1 else 's'}"
    return (
        f"estimate, from a few measured passes of {images} on this machine: {least}{duration(seconds)} for the passes of the explainers; "
        f"{added}metrics and reading images come on top"
    )


def _added(again: Sequence[Spec], seconds: float, images: int) -> str:
    """What metrics that run the explainers again add to the seconds that explain the images once."""
    if not again:
        return ""
    versions = {str(spec): explained_versions(spec) for spec in again}
    names = ", ".join(f"{name} ({count})" if count else name for name, count in versions.items())
    times, references = sum(versions.values()), sum(map(references_of, again))
    text = f"{names} explain altered versions of each image" + (f", {times} in all" if times else "")
    text += f", and {references} reference images once" if references else ""
    more = (times + references / images) * seconds
    return f"{text}, which adds {duration(more)} less what they share; other " if more else f"{text}; other "
