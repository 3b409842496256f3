"""Objectives from what a user gives: a name, a function of the logits of one image, a reference to one, or a function per image."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch

from camdbench.core.errors import UsageError
from camdbench.core.object_text import object_hash
from camdbench.core.objective_names import OBJECTIVES, parse_objective
from camdbench.core.references import Given, is_reference, name_of, read_given
from camdbench.functional.objectives import Objective, check_function


def is_own_objective(given: Any) -> bool:
    """Whether an objective is a function or a reference to one, and no name."""
    return given is not None and not (isinstance(given, str) and not is_reference(given))


def read_objective(given: Any) -> tuple[Objective, str]:
    """The objective that a user gives, and the reference of its function with an absolute path; empty for names and objects.

    Args:
        given: an objective; a name; a function of the logits (C,) of one image that returns a scalar; a reference
            `[NAME=]FILE.py:FUNCTION`; a mapping from a name in rows to one of these; or a sequence of functions, one per image.

    Raises:
        UsageError: an unknown name, or no function.
    """
    if isinstance(given, Objective):
        return given, ""
    if not is_own_objective(given):
        named = parse_objective(given)
        return Objective(str(named), named), ""
    if isinstance(given, list | tuple):
        if not given or not all(map(callable, given)):
            raise UsageError(f"objective = {given!r}: expected a name, a function, or a function for each image")
        return Objective("functions", None, tuple(given)), ""
    found = read_given(given, "objective")
    if len(found) != 1 or not callable(found[0].thing):
        what = f"{len(found)} things" if len(found) != 1 else type(found[0].thing).__name__
        raise UsageError(f"objective: {what}; give one name, or one function of the logits of an image")
    return _of_function(found[0])


def _of_function(given: Given) -> tuple[Objective, str]:
    name = given.label or given.name or name_of(given.thing)
    if name in OBJECTIVES:
        raise UsageError(f"objective {name}: a name of camdbench; choose another, such as my_{name}=FILE.py:FUNCTION")
    function = partial(given.thing, **given.options) if given.options else given.thing
    place = given.place and f"{given.label}={given.reference}" if given.label else given.reference
    return Objective(name, None, (function,)), place


def code_of_objective(objective: Objective) -> str:
    """Hash of the code of an objective's functions, with what they close over."""
    return object_hash(objective.functions[0] if len(objective.functions) == 1 else list(objective.functions))


class Checked(NamedTuple):
    """What a check of an objective has shown.

    Attributes:
        linear: whether it is affine in the logits.
        differentiable: whether autograd follows it.
    """

    linear: bool
    differentiable: bool


def check_objective(objective: Objective, classes: int, images: int | None = None) -> Checked:
    """Check an objective against a model.

    Args:
        objective: the objective.
        classes: number of classes C.
        images: number of images, if there may be a function for each.

    Raises:
        UsageError: a class that the model does not have, another number of functions than of images, or a function that does not
            return one finite number that depends on its input alone.
    """
    if objective.is_logit:
        return Checked(linear=True, differentiable=True)
    count = len(objective.functions)
    if count > 1 and count != images:
        raise UsageError(f"objective: {count} functions for {images} images; give one function, or one for each image")
    rows = max(count, 2)
    with torch.inference_mode(mode=False):
        logits = torch.randn(rows, classes, generator=torch.Generator().manual_seed(1))
        targets = torch.zeros(rows, dtype=torch.int64)
        check_function(objective, logits)
        rivals = torch.ones_like(targets) if objective.follows_rival else None
        if objective.named is not None:
            objective.values(logits, targets, rivals)  # refuses a class that the model does not have
            return Checked(linear=objective.named.is_linear, differentiable=True)
        linear = objective.weights(logits, targets, rivals) is not None
        return Checked(linear, objective.has_gradient(logits, targets, rivals))
