"""Post-processing of raw maps into saliency maps: up-sampling and normalisation."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Literal, Protocol, cast, overload

import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable, ResultError
from camdbench.core.registries import explainers
from camdbench.core.row import Status
from camdbench.core.spec import Spec
from camdbench.explainers.common.objective_fit import needs_linear, why_not
from camdbench.explainers.common.trace import Trace
from camdbench.functional.float_precision import is_real
from camdbench.functional.normalise import Normalisation, is_flat, normalise, upsample

_States = tuple[tuple[Status, ...], tuple[str, ...]]  # of each image, and the reasons


@dataclass(frozen=True)
class Saliency:
    """The maps of one explainer for one batch.

    Attributes:
        raw: (B, h, w) as the explainer returned them: signed and unscaled, on the layer's grid.
        maps: (B, H, W) in [0, 1] at image size.
        status: B states: ok, constant_map, error (not finite).
        reasons: B texts, empty where the status is ok.
        logits: (B, C) of the images, if the explainer made a pass that gives them and the maps were finished at once.
    """

    raw: Tensor
    maps: Tensor
    status: tuple[Status, ...]
    reasons: tuple[str, ...]
    logits: Tensor | None = None


@dataclass(frozen=True)
class RawMaps:
    """The maps of one explainer for one batch before post-processing, which take less memory than finished ones.

    Attributes:
        raw: (B, h, w) as the explainer returned them.
        size: height and width of the images.
        how: normalisation.
        inner: states and reasons of the explainers inside a wrapper.
    """

    raw: Tensor
    size: tuple[int, int]
    how: Normalisation
    inner: tuple[_States, ...]

    def finish(self) -> Saliency:
        """Post-process the maps."""
        return _merge_status(self.inner, finish(self.raw, self.size, self.how))


@overload
def saliency(trace: Trace, spec: Spec) -> Saliency: ...
@overload
def saliency(trace: Trace, spec: Spec, *, later: Literal[True]) -> RawMaps: ...
def saliency(trace: Trace, spec: Spec, *, later: bool = False) -> Saliency | RawMaps:
    """Run an explainer on a trace and post-process its maps, unless that is done `later`.

    Raises:
        NotApplicable: the explainer has no meaning on this model or these images.
        ResultError: the explainer returned no maps (B, h, w) of real numbers.
    """
    linear = trace.objective.is_logit or not needs_linear(spec) or trace.logit_weights is not None
    if reason := why_not(spec, trace.objective, linear=linear):
        raise NotApplicable(reason)
    inside = list[_States]()

    def explain_wrapped(other: Trace, wrapped: Spec, *, may_be_constant: bool = False) -> Saliency:
        maps_inside = saliency(other, wrapped)
        inside.append(_passed_on(maps_inside, other.layer_name if "layers" in spec.arguments else "", may_be_constant=may_be_constant))
        return maps_inside

    inner = [partial(explain_wrapped, wrapped=wrapped) for wrapped in spec.wrapped]
    with nullcontext() if explainers.is_built_in(spec.name) else _guarded(trace, spec):
        raw = check_maps(spec, explainers.load(spec.name)(trace, *inner, **spec.arguments), trace.images)
    maps = RawMaps(raw.detach(), trace.size, normalisation_of(spec), tuple(inside))
    return maps if later else replace(maps.finish(), logits=trace.known_logits)


@contextmanager
def _guarded(trace: Trace, spec: Spec) -> Generator[None]:
    """Count passes of a user's explainer on the network itself; undo changes in place of the images, which others read after it.

    Raises:
        ResultError: it changed the images, or what the trace keeps.
    """
    images = trace.images.detach().clone()
    try:
        with trace.classifier.foreign_passes_counted():
            yield
    finally:
        changed = not torch.equal(images, trace.images)
        if changed:
            with torch.no_grad():
                trace.images.copy_(images)
        changed = trace.forget_changed(everything=changed)
    if changed:
        raise ResultError(f"explainer {spec} changed images, logits, activations or gradients of the trace in place; work on a clone()")


def check_maps(spec: Spec, found: object, images: Tensor) -> Tensor:
    """Return what an explainer returned for images (B, 3, H, W), on their device, if it is a dense tensor (B, h, w) of real numbers.

    Non-finite values are left to `finish`, which flags them per image.

    Raises:
        ResultError: it is something else.
    """
    expected = f"expected a tensor ({len(images)}, h, w) of real numbers"
    if not isinstance(found, Tensor):
        raise ResultError(f"explainer {spec} returned {type(found).__name__}; {expected}")
    if not is_real(found):
        raise ResultError(f"explainer {spec} returned {found.dtype}, {found.layout}, on {found.device.type}; {expected}")
    if found.ndim != 3 or len(found) != len(images) or not found.numel():
        raise ResultError(f"explainer {spec} returned shape {tuple(found.shape)}; {expected}")
    return found.to(images.device)


class Wrapped(Protocol):
    """What a wrapper gets: the explainer inside it, its maps finished."""

    def __call__(self, trace: Trace, *, may_be_constant: bool = False) -> Saliency:
        """Maps of a trace; a constant one makes the wrapper's map constant unless it is one of many, which `may_be_constant`."""
        ...


_ORDER: tuple[Status, ...] = ("error", "constant_map", "ok")


def _passed_on(made: Saliency, layer: str, *, may_be_constant: bool) -> _States:
    """States and reasons of an explainer inside a wrapper that count for the wrapper, with the layer if the wrapper chooses it."""
    passed: tuple[Status, ...] = tuple("ok" if status == "constant_map" and may_be_constant else status for status in made.status)
    where = f"layer {layer}: " if layer else ""
    return passed, tuple("" if status == "ok" else where + reason for status, reason in zip(passed, made.reasons, strict=True))


def _merge_status(inner: Sequence[_States], outer: Saliency) -> Saliency:
    """Pass errors and constant maps of wrapped explainers on to the wrapper's status; errors come first, then what lies inside."""
    each = [list(zip(status, reasons, strict=True)) for status, reasons in (*inner, (outer.status, outer.reasons))]
    states = [min(own, key=lambda state: _ORDER.index(state[0])) for own in zip(*each, strict=True)]
    return replace(outer, status=tuple(status for status, _ in states), reasons=tuple(reason for _, reason in states))


def normalisation_of(spec: Spec) -> Normalisation:
    """How maps of this spec become masks: its own option of that name, or the explainer's fact."""
    if spec.name not in explainers:  # saved maps of an own explainer
        return "range"
    entry = explainers.get(spec.name)
    default = next((option.default for option in entry.options if option.name == "normalisation"), entry.facts.normalisation)
    stated = spec.arguments.get("normalisation", default)
    return normalisation_of(spec.wrapped[0]) if stated == "wrapped" else cast("Normalisation", stated)


def finish(raw: Tensor, size: tuple[int, int], how: Normalisation) -> Saliency:
    """Up-sample raw maps (B, h, w) to `size`, normalise each to [0, 1], and set the status of each.

    >>> finished = finish(torch.tensor([[[0.0, 2.0]], [[3.0, 3.0]]]), (1, 2), "range")
    >>> finished.maps.tolist(), finished.status
    ([[[0.0, 1.0]], [[0.0, 0.0]]], ('ok', 'constant_map'))
    """
    clean = raw.float()
    low, high = _range(clean)
    finite = [isfinite(least) and isfinite(greatest) for least, greatest in zip(low.tolist(), high.tolist(), strict=True)]
    if not all(finite):
        clean = torch.where(torch.tensor(finite, device=raw.device)[:, None, None], clean, 0)
    maps = normalise(upsample(clean, size), how).clamp(0, 1)
    flat = is_flat(low, high) | is_flat(*_range(maps))  # `max` leaves nothing of a map without positive values
    states = [_state(*state, how) for state in zip(finite, flat.tolist(), strict=True)]
    return Saliency(raw, maps, tuple(status for status, _ in states), tuple(reason for _, reason in states))


def _range(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest value (B,) of each map (B, h, w), NaN if a value is."""
    flat = maps.flatten(1)
    return flat.amin(1), flat.amax(1)


def _state(finite: bool, constant: bool, how: Normalisation) -> tuple[Status, str]:
    if not finite:
        return "error", "the map is not finite"
    if constant and how != "none":  # a mask that is constant on purpose is no failure
        return "constant_map", "the map is constant"
    return "ok", ""
