"""Methods of Captum: their classes, imported on first use, and calls of them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from camdbench.core.captum_unsupported import UNSUPPORTED
from camdbench.core.errors import UsageError
from camdbench.explainers.common.trace import Trace

_DRAWING = ("GradientShap", "LayerGradientShap", "NoiseTunnel", "Lime", "KernelShap", "ShapleyValueSampling")
_SERIES = "0.9."


@dataclass(frozen=True)
class Attribution:
    """One Captum method with its options.

    Attributes:
        name: class in `captum.attr`.
        layer: target layer of layer methods; None: that of the trace.
        baseline: image of methods that need one.
        channels: reduction of channels; `first` takes the first one, where all are equal.
        options: further arguments of `attribute`.
        kind: the class, where it is at hand.
        attribution: an object of the class, used as it is.
        inner: class inside a `NoiseTunnel`.
        of_image: further arguments of `attribute` for one image of the trace, by its index; images are then explained one by one.
    """

    name: str
    layer: str | None = None
    baseline: Literal["black", "mean"] = "black"
    channels: Literal["max", "sum", "abs", "first"] = "sum"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    kind: Any = None
    attribution: Any = None
    inner: str = ""
    of_image: Callable[[Trace, int], Mapping[str, Any]] | None = None

    @property
    def type(self) -> Any:
        """The class that computes attributions: the one inside a `NoiseTunnel`."""
        found = self.attribution
        while hasattr(found, "attribution_method"):
            found = found.attribution_method
        if found is not None:
            return type(found)
        return captum_class(self.inner) if self.inner else self.kind or captum_class(self.name)

    @property
    def method(self) -> str:
        """Name of that class in `captum.attr`, also of a subclass from elsewhere."""
        return next((base.__name__ for base in self.type.__mro__ if base.__module__.startswith("captum.")), self.name)

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers."""
        outer = type(self.attribution) if self.attribution is not None else self.kind or captum_class(self.name)
        return any(base.__name__ in _DRAWING for kind in (outer, self.type) for base in kind.__mro__)


@contextmanager
def quiet() -> Generator[None]:
    """Without Captum's warnings of hooks and gradients, both of which are removed after a call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Input Tensor|Setting (forward|backward)")
        yield


def captum_class(name: str) -> Any:
    """A class of `captum.attr`, imported on first use.

    Raises:
        UsageError: it has no such class, or the installed series is not the supported one.
    """
    check_method_name(name)
    version = str(importlib.import_module("captum").__version__)
    if not version.startswith(_SERIES):
        raise UsageError(f"captum {version} is installed, and its values are not known; run: pip install 'captum>=0.9,<0.10'")
    found = getattr(importlib.import_module("captum.attr"), name, None)
    if not isinstance(found, type):
        raise UsageError(f"captum {version} has no method {name!r}; see captum.attr")
    return found


def check_method_name(name: str) -> None:
    """Refuse a method that has no map of an image here.

    Raises:
        UsageError: with the reason.
    """
    if reason := UNSUPPORTED.get(f"captum:{name}"):
        raise UsageError(f"captum:{name}: {reason}")


def check_method(attribution: object) -> None:
    """Refuse an object whose class is refused.

    Raises:
        UsageError: with the reason.
    """
    for base in type(attribution).__mro__:
        if base.__module__.startswith("captum."):
            return check_method_name(base.__name__)
    return None
