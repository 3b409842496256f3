"""Explain and score one batch: no files, no progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite, isnan
from typing import Any

import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError, NotApplicable, ResultError, text_of
from camdbench.core.foreign_code import describe
from camdbench.core.option_types import SaveMaps
from camdbench.core.registries import NO_EXPLAINER, has_model_scope, reference_of, scores_objective
from camdbench.core.registries import metrics as metric_registry
from camdbench.core.row import SCORED, Status
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import Saliency, saliency
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.usage import Usage
from camdbench.functional.objectives import LOGIT, Objective
from camdbench.metrics.common.inputs import Explain, MetricInputs
from camdbench.metrics.common.result import MetricResult, check_result
from camdbench.models.classifier import Classifier
from camdbench.models.devices import clock
from camdbench.runner.reference_images import ReferenceImages
from camdbench.runner.results import BatchResult, MetricScores
from camdbench.runner.saved_maps import ALONE, JointMaps, MapSource
from camdbench.runner.shared_work import SharedWork
from camdbench.runner.view_maps import kept_maps

_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")  # PyTorch's CPU allocator has no error class of its own
_NOT_FINITE, _RETURNED_NAN = "the network's logits on altered images are not finite", "it returned NaN"  # of camdbench, of a user


def metrics_for(explainer: Spec, metrics: Sequence[Spec]) -> tuple[Spec, ...]:
    """Return the metrics that score an explainer's maps; for `none`, those of the model alone."""
    return tuple(spec for spec in metrics if has_model_scope(spec) == (explainer == NO_EXPLAINER))


def score_batch(
    classifier: Classifier,
    batch: Batch,
    explainers: Sequence[Spec],
    metrics: Sequence[Spec],
    *,
    target: str | Tensor,
    seed: int,
    source: Callable[[Spec], MapSource] = lambda _: saliency,
    others: ReferenceImages | None = None,
    keep_maps: SaveMaps = "none",
    objective: Objective = LOGIT,
    begin: Callable[[str], None] = lambda _: None,
) -> Iterator[BatchResult]:
    """Explain and score one batch, explainer by explainer; explainers share the passes of one trace.

    Args:
        classifier: the model, frozen.
        batch: the images, on the model's device.
        explainers: explainers; `none` for the metrics of the model alone.
        metrics: all metrics of the run.
        target: rule of the explained class, or classes (B,).
        seed: seed of methods that draw random numbers.
        source: source of an explainer's maps.
        others: images for metrics that compare with other images.
        keep_maps: maps that results include: none, view or raw.
        objective: what is explained of an image.
        begin: called with the name of each explainer, then with it and that of each metric, before they are computed.

    Raises:
        UsageError: the target class does not exist.
        torch.OutOfMemoryError: the batch is too large for the device.
    """
    trace = Trace(classifier, batch, target=target, seed=seed, objective=objective)
    explaining = [spec for spec in explainers if spec != NO_EXPLAINER and not isinstance(source(spec), JointMaps)]
    shared_work, has_predictions = SharedWork(trace, explaining, others), False
    of_run: dict[str, Any] = {"shared": shared_work.part}
    if not objective.is_logit and any(scores_objective(spec) or not metric_registry.is_built_in(spec.name) for spec in metrics):
        of_run["explained"] = trace.explained  # else no altered image is scored by it
    for spec in explainers:
        wanted, maps, inputs, usage = metrics_for(spec, metrics), None, None, dict[str, Usage]()
        failure: tuple[Status, str] = "ok", ""
        begin(str(spec))
        if spec == NO_EXPLAINER:
            inputs = _inputs(trace, **of_run)
        else:
            read_meter, map_source = _meter(trace), source(spec)
            try:
                maps = map_source(trace, spec)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a failing explainer affects its rows only, also one that calls sys.exit
                failure = _failure(spec, error)
            else:
                given = isinstance(map_source, JointMaps)  # no usage is known of them, not one of 0
                usage |= {} if given else read_meter()
                inputs = _inputs(trace, **of_run, **_of_maps(trace, spec, maps, shared_work, given=given))
        if inputs is None:
            scores = {str(metric): MetricScores.failed(len(batch), *failure) for metric in wanted}
        else:
            usage_of_metrics = shared_work.begin()
            scores = _scores(trace, inputs, maps, spec, wanted, begin)
            usage["metrics"] = usage_of_metrics()
        shared_work.done(spec)
        stored = (None, ()) if maps is None else kept_maps(maps, keep_maps, given=isinstance(source(spec), JointMaps))
        logits = trace.known_logits if inputs is None else inputs.logits
        predicted = () if has_predictions or logits is None else _predictions(logits)
        has_predictions = has_predictions or bool(predicted)
        labels, targets = tuple(batch.labels.tolist()), tuple(trace.targets.tolist())
        yield BatchResult(str(spec), batch.ids, labels, targets, scores, usage, *stored, predicted)


def _predictions(logits: Tensor) -> tuple[tuple[int, float], ...]:
    """Class of the highest probability and this probability of each image, from logits (B, C); -1 and NaN if they are not finite."""
    whole = logits.detach().cpu().double()
    classes = torch.where(whole.isfinite().all(1), whole.argmax(1), -1)
    highest = whole.softmax(1).gather(1, classes.clamp_min(0)[:, None]).squeeze(1)
    return tuple(zip(classes.tolist(), highest.tolist(), strict=True))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the batch is too large for the device."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in text_of(error) for words in _CPU_OUT_OF_MEMORY)


def _failure(spec: Spec, error: BaseException) -> tuple[Status, str]:
    """Return status and reason of the failed rows; errors of the whole run and out-of-memory errors are raised."""
    if isinstance(error, NotApplicable):
        return "not_applicable", str(error)
    if isinstance(error, ResultError):
        return "error", str(error)
    if isinstance(error, CamdbenchError) or is_out_of_memory(error):
        raise error
    return "error", describe(error) if isinstance(error, Exception) else f"{spec}: {describe(error)}"


def _meter(trace: Trace) -> Callable[[], dict[str, Usage]]:
    """Start a usage meter; the returned function gives the explainer's usage and that of the shared parts it used."""
    trace.usage.usage_since_last_call()  # discards earlier reads
    passes, shared, start = trace.classifier.passes, trace.usage.spent(), clock(trace.images.device)

    def usage() -> dict[str, Usage]:
        whole = Usage(trace.classifier.passes - passes, clock(trace.images.device) - start)
        return {"explain": whole - (trace.usage.spent() - shared), "trace": trace.usage.cost(trace.usage.read)}

    return usage


def _scores(
    trace: Trace, inputs: MetricInputs, maps: Saliency | None, explainer: Spec, metrics: Sequence[Spec], begin: Callable[[str], None]
) -> dict[str, MetricScores]:
    """Compute all metrics on one explainer's maps, or on the model alone."""
    scores = dict[str, MetricScores]()
    for spec in metrics:
        begin(f"{explainer}, {spec}")
        try:
            entry = metric_registry.get(spec.name)
            with nullcontext() if metric_registry.is_built_in(spec.name) else inputs.classifier.foreign_passes_counted():
                result = check_result(spec, metric_registry.load(spec.name)(inputs, **entry.arguments(spec)), len(inputs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a failing metric affects its rows only, also one that calls sys.exit
            scores[str(spec)] = MetricScores.failed(len(inputs), *_failure(spec, error))
        else:
            of_a_user = not entry.module.startswith("camdbench.")
            scores[str(spec)] = _scores_of(trace, maps, result, entry.facts.undefined, _RETURNED_NAN if of_a_user else _NOT_FINITE)
    return scores


def _of_maps(trace: Trace, explainer: Spec, maps: Saliency, shared_work: SharedWork, *, given: bool) -> dict[str, Any]:
    """What metrics read of the maps of an explainer, and how they explain again."""
    others = shared_work.others_of(explainer)
    if given:
        again: dict[str, Any] = {"explainer": _no_explainer, "versions": _no_explainer, "others": others and _no_explainer}
    else:
        again = {"explainer": _explain_again(trace, explainer), "versions": shared_work.versions_of(explainer), "others": others}
        again["reference"] = reference_of(explainer)
    return {"saliency": maps.maps, "raw": maps.raw, **again}


def _inputs(trace: Trace, **more: Any) -> MetricInputs:
    return MetricInputs(
        trace.classifier,
        trace.images,
        trace.targets,
        logits=trace.logits,
        boxes=trace.batch.boxes,
        file_boxes=trace.batch.file_boxes,
        masks=trace.batch.masks,
        labels=trace.batch.labels,
        present=trace.batch.present,
        class_masks=trace.batch.class_masks,
        cells=trace.batch.cells,
        backgrounds=trace.batch.backgrounds,
        group_shares=trace.batch.group_shares,
        parts=trace.batch.parts,
        interventions=trace.batch.interventions,
        ids=trace.batch.ids,
        seed=trace.seed,
        features=trace,
        **more,
    )


def _no_explainer(*_: Any) -> Any:
    """Stand-in for an explainer of which only maps are known.

    Raises:
        NotApplicable: always.
    """
    raise NotApplicable(ALONE)


def _explain_again(trace: Trace, spec: Spec) -> Explain:
    def explain(images: Tensor, targets: Tensor | None, classifier: Classifier | None) -> Saliency:
        return saliency(trace.of(replace(trace.batch, images=images), targets=targets, classifier=classifier), spec)

    return explain


def _scores_of(trace: Trace, maps: Saliency | None, found: MetricResult, undefined: str, nan: str) -> MetricScores:
    """Add a status to each value; precedence: non-finite logits, failed map, undefined metric, NaN."""
    finite = trace.logits.isfinite().all(1).tolist()
    is_undefined = [False] * len(finite) if found.undefined is None else found.undefined.tolist()
    values, states, reasons = list[float](), list[Status](), list[str]()
    for image, value in enumerate(found.values.double().tolist()):
        status, reason = ("ok", "") if maps is None else (maps.status[image], maps.reasons[image])
        if not finite[image]:
            status, reason = "error", "the network's logits are not finite"
        elif status != "error" and is_undefined[image]:
            status, reason = "undefined", undefined or "the metric has no meaning for this image"
        elif status != "error" and isnan(value):
            status, reason = "error", f"the metric has no value: {nan}"
        elif status != "error" and not isfinite(value):
            status, reason = "error", "the metric's value is infinite"
        values.append(value if status in SCORED else float("nan"))
        states.append(status)
        reasons.append(reason)
    return MetricScores(tuple(values), tuple(states), tuple(reasons), found.curves)
