"""Objects and classes of Captum and pytorch-grad-cam as explainers; neither library is imported unless its objects are given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable, UsageError, first_line
from camdbench.explainers.common.captum_bridge import attributed
from camdbench.explainers.common.captum_methods import Attribution, captum_class, check_method
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradients import Channels
from camdbench.models.bare_network import bare_network

Explainer = Callable[[Trace], Tensor]
_TYPES = {int: "float", float: "float", bool: "bool", str: "str", type(None): "float | None"}  # of options, by their defaults
_OF_CAPTUM, _CAM = "captum.attr._utils.attribution", "pytorch_grad_cam.base_cam"


def explainer_from_object(obj: object) -> Explainer | None:
    """An explainer (trace) -> (B, h, w) of a Captum attribution or a pytorch-grad-cam object; None for anything else.

    An object made with the classifier receives images in [0, 1], one made with its network normalised images. The hooks of a
    grad-cam object are removed and set anew for each batch.

    Raises:
        UsageError: the method is refused; when called: it belongs to another network.
    """
    if _is_a(obj, _OF_CAPTUM, "Attribution"):
        check_method(_inner(obj))
        return _named(lambda trace: _captum_maps(obj, trace), type(obj).__name__, "captum")
    if _is_a(obj, _CAM, "BaseCAM"):
        cam: Any = obj
        _check_cam(type(cam))
        _release(cam)
        return _named(lambda trace: _cam_maps(cam, trace), type(obj).__name__, "pytorch_grad_cam")
    return None


def captum(
    method: str | type,
    *,
    layer: str | None = None,
    baseline: Literal["black", "mean"] = "black",
    channels: Channels = "sum",
    **options: Any,
) -> Explainer:
    """An explainer of a Captum method, made anew for each network; images are in [0, 1].

    Args:
        method: class of `captum.attr` or its name, such as `IntegratedGradients`.
        layer: target layer of layer methods; default: the classifier's own.
        baseline: image of methods that need one: black, or the network's mean colour.
        channels: reduction of (B, C, h, w) to (B, h, w): `sum`, `abs` (sum of magnitudes) or `max` (largest magnitude).
        options: arguments of the class's `attribute`, such as `n_steps=50`.

    Raises:
        UsageError: Captum has no such method, or it is refused.
    """
    kind = captum_class(method) if isinstance(method, str) else method
    call = Attribution(kind.__name__, layer=layer, baseline=baseline, channels=channels, options=options, kind=kind)
    return _named(lambda trace: attributed(trace, call), kind.__name__, "captum")


def cam(class_or_object: object, **options: Any) -> Explainer:
    """An explainer of a class of pytorch-grad-cam, made anew for each network at its target layer, or of an object of one.

    Args:
        class_or_object: class such as `pytorch_grad_cam.HiResCAM`, or an object of one.
        options: arguments of the class beside `model`, `target_layers` and `reshape_transform`.

    Raises:
        UsageError: it is neither.
    """
    if is_cam_class(class_or_object):
        kind: Any = class_or_object
        _check_cam(kind)
        return _named(lambda trace, **more: _cam_of_class(kind, trace, options | more), kind.__name__, "pytorch_grad_cam")
    found = None if isinstance(class_or_object, type) else explainer_from_object(class_or_object)
    if found is None:
        raise UsageError(f"cam({class_or_object!r}): expected a class of pytorch_grad_cam, such as HiResCAM, or an object of one")
    return found


def is_cam_class(thing: object) -> bool:
    """Whether it is a class of pytorch-grad-cam that gives a map of an image."""
    return isinstance(thing, type) and any(base.__module__ == _CAM and base.__name__ == "BaseCAM" for base in thing.__mro__)


def cam_with_options(kind: Any) -> Explainer:
    """An explainer of a class of pytorch-grad-cam, with the numbers, texts and switches of its constructor as options.

    Raises:
        UsageError: the class is refused.
    """
    made: Any = cam(kind)
    options = [
        own.replace(kind=own.KEYWORD_ONLY, annotation="int" if own.annotation is int else _TYPES[type(own.default)])
        for own in inspect.signature(kind).parameters.values()
        if type(own.default) in _TYPES and own.name != "reshape_transform"
    ]
    made.__signature__ = inspect.Signature([inspect.Parameter("trace", inspect.Parameter.POSITIONAL_OR_KEYWORD), *options])
    return made


def _check_cam(kind: type) -> None:
    if kind.__name__ == "RandomCAM":
        raise UsageError("pgc:RandomCAM: draws from NumPy's global generator, so a map depends on what ran before; use randomcam")


def _is_a(obj: object, module: str, name: str) -> bool:
    return any(base.__module__ == module and base.__name__ == name for base in type(obj).__mro__)


def _named(function: Any, name: str, library: str) -> Explainer:
    function.__name__ = function.__qualname__ = name.lower()
    function.library = library
    return function


def _inner(obj: Any) -> Any:
    """The attribution inside noise tunnels."""
    while hasattr(obj, "attribution_method"):
        obj = obj.attribution_method
    return obj


def _inputs(owner: object, trace: Trace, fix: str) -> Tensor:
    """Images for an object bound to `owner`: in [0, 1] for the classifier, normalised for its network."""
    owner = owner.__self__ if inspect.ismethod(owner) else owner
    classifier = trace.classifier
    if owner is classifier:
        return trace.images
    if isinstance(owner, nn.Module) and (owner is classifier.network or bare_network(owner) is classifier.network):
        return classifier.normalised(trace.images)
    raise UsageError(f"bound to another network; give the class: {fix}")


def _captum_maps(obj: Any, trace: Trace) -> Tensor:
    inner = _inner(obj)
    name = type(inner).__name__
    inputs = _inputs(inner.forward_func, trace, f"camdbench.captum({name})")
    if name.endswith("LRP") and inputs is trace.images:
        raise UsageError(f"{name} of a classifier: its rules do not hold for the normalisation; make it with classifier.network")
    call = Attribution(name, attribution=obj)
    return attributed(trace, call, inputs)


def _cam_of_class(kind: Any, trace: Trace, options: dict[str, Any]) -> Tensor:
    classifier = trace.classifier

    def as_grid(output: Any) -> Tensor:
        leaf = output if isinstance(output, Tensor) else output[0]
        layout = classifier.layout(leaf, trace.size)
        if kind.__name__ == "AblationCAM" and "ablation_layer" not in options and layout.kind != "nchw":
            raise NotApplicable("AblationCAM of grad-cam ablates channels of (B, C, h, w) alone; use ablationcam")
        return layout.to_grid(leaf)

    layer = classifier.module(classifier.layer_name())
    found = kind(model=classifier.network, target_layers=[layer], reshape_transform=as_grid, **options)
    _release(found)
    return _cam_maps(found, trace)


def _release(cam: Any) -> None:
    """Remove the hooks of a grad-cam object, and forget what they recorded, which may be views that cannot be detached in place."""
    cam.activations_and_grads.activations, cam.activations_and_grads.gradients = [], []
    cam.activations_and_grads.release()


def _cam_maps(cam: Any, trace: Trace) -> Tensor:
    """Maps (B, H, W) of a grad-cam object, in [0, 1]; gradients of the weights stay as they are."""
    inputs = _inputs(cam.model, trace, f"camdbench.cam({type(cam).__name__})").detach().clone().requires_grad_()
    targets = [_Target(trace, index) for index in range(len(trace.images))]
    kept = [(weight, weight.grad) for weight in trace.classifier.parameters()]
    hooks = cam.activations_and_grads
    cam.activations_and_grads = type(hooks)(cam.model, cam.target_layers, cam.reshape_transform, cam.detach)
    try:
        with trace.classifier.foreign_passes_counted(), torch.enable_grad():
            found = cam(input_tensor=inputs, targets=targets)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise NotApplicable(f"{type(cam).__name__} of grad-cam fails on this network: {first_line(error)}") from error
    finally:
        _release(cam)
        for weight, gradient in kept:
            weight.grad = gradient
    return torch.from_numpy(np.array(found)).to(trace.images)


class _Target:
    """Target of grad-cam: the explained score of an image from its logits (C,)."""

    def __init__(self, trace: Trace, index: int) -> None:
        self.trace, self.row = trace, torch.tensor([index], device=trace.images.device)
        self.targets = trace.targets

    def __call__(self, output: Tensor) -> Tensor:
        if self.trace.objective.is_logit:
            return output[..., int(self.targets[self.row])]
        return self.trace.explained(output[None], self.row)[0]
