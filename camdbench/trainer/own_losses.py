"""Losses of the user's: functions and modules as entries of the registry for the duration of a training run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from camdbench.core.errors import ResultError, UsageError
from camdbench.core.facts import LossFacts
from camdbench.core.own_entry import OwnEntry, own_entry
from camdbench.core.references import Given, call_given, check_name, name_of, parameters_of, read_given
from camdbench.core.registries import losses
from camdbench.core.spec import Spec
from camdbench.models.network_identity import network_code
from camdbench.models.weights_file import hash_weights
from camdbench.trainer.step import TrainingStep
from camdbench.trainer.task import LossResult

_FORMS = "expected (step), (logits, labels) or an nn.Module of (logits, labels)"
_OF_LOGITS = (("logits", "labels"), ("logits", "targets"), ("input", "target"))


@contextmanager
def own_losses(given: Any) -> Generator[str]:
    """Inside the context, the given function, module or reference is a loss; yields its spec.

    Args:
        given: spec of a registered loss, a reference `[NAME=]FILE.py:NAME(options)`, a function or an `nn.Module`.

    Raises:
        UsageError: a name is taken or invalid, or the parameters of a function have unknown names.
        CamdbenchError: the file or class of a reference raises.
    """
    found = read_given(given if isinstance(given, str) else [given], "loss")
    if len(found) != 1:
        raise UsageError(f"loss = {given}: expected one loss; use a function that adds several")
    (one,) = found
    if one.is_text:
        if one.label:
            raise UsageError(f"loss = {given}: a loss of camdbench keeps its name; give {one.thing}")
        yield str(one.thing)
        return
    own, spec = _entry(one)
    with losses.holding([own]):
        yield spec


def _entry(given: Given) -> tuple[OwnEntry[LossFacts], str]:
    thing, options = given.thing, dict(given.options)
    registered = losses.entry_of(thing)
    name = check_name(given.label or (registered.name if registered else given.name or name_of(thing)), "loss")
    if isinstance(thing, type):
        thing, options = call_given(given, f"loss {name}"), {}
    function = thing if registered else _adapted(thing, name)
    facts = registered.facts if registered else LossFacts("")
    try:
        entry = losses.make_entry(name, thing, facts, getattr(thing, "__doc__", None) or name)
    except TypeError as error:
        raise UsageError(f"loss {name}: {error}") from None
    return own_entry(entry, function, thing, given, entry.spec(Spec.of(name, options)).arguments)


def _adapted(loss: Any, name: str) -> Callable[..., LossResult]:
    """The loss as one of a training step, by the names of its parameters.

    Raises:
        UsageError: the names are others, or a module has weights, which training would not change.
    """
    if isinstance(loss, nn.Module):
        if weights := [key for key, own in loss.named_parameters() if own.requires_grad]:
            raise UsageError(
                f"loss {name}: has trainable weights ({weights[0]}), which training leaves unchanged; use buffers or constants"
            )
        return lambda step: _of_logits(loss.to(step.logits.device), step, name, {})
    names = parameters_of(loss) if callable(loss) else ()
    if names == ("step",):
        return lambda step, **options: _checked(loss(step, **options), step, name)
    if names[:2] in _OF_LOGITS:
        return lambda step, **options: _of_logits(loss, step, name, options)
    what = f"{name}({', '.join(names)})" if callable(loss) else f"{name}, of type {type(loss).__name__}"
    raise UsageError(f"loss {what}: {_FORMS}")


def _of_logits(loss: Callable[..., Any], step: TrainingStep, name: str, options: dict[str, Any]) -> LossResult:
    total = loss(step.logits, step.known_labels, **options)
    if not isinstance(total, Tensor) or total.shape not in ((), (len(step.labels),)) or not total.requires_grad:
        raise ResultError(f"loss {name} returned {_kind(total)}; expected ({len(step.labels)},) or () with a gradient")
    each = total if total.ndim else torch.full_like(step.labels, 1, dtype=total.dtype) * total
    return LossResult(total, {name: each}, step.logits)


def _checked(found: Any, step: TrainingStep, name: str) -> LossResult:
    if isinstance(found, Tensor):  # without terms for the log
        found = LossResult(found, {}, step.logits)
    if not isinstance(found, LossResult) or found.total.shape not in ((), (len(step.labels),)):
        kind = _kind(found.total) if isinstance(found, LossResult) else _kind(found)
        raise ResultError(f"loss {name} returned {kind}; expected a LossResult with a total of shape ({len(step.labels)},) or ()")
    return found


def _kind(found: object) -> str:
    if not isinstance(found, Tensor):
        return type(found).__name__
    return f"shape {tuple(found.shape)}{'' if found.requires_grad else ' without a gradient'}"


def loss_record(spec: str) -> dict[str, str]:
    """Origin and hash of the code of a loss from a user's file, session or plug-in; empty for those of camdbench."""
    name = losses.parse_one(spec).name
    own, code = losses.own(name), losses.plugin_hash(name)
    if code is None:
        return {}
    if own is not None and isinstance(own.code, nn.Module):
        code = f"{network_code(own.code)}-{hash_weights(own.code)}"
    return ({} if own is None else {"origin": own.origin}) | {"code": code}


def recorded_loss(spec: str) -> str:
    """A spec as recipes beside checkpoints have it: a reference with an absolute path, if the loss has one."""
    found = losses.parse_one(spec)
    own = losses.own(found.name)
    return spec if own is None else own.reference(found) or spec
