"""NetworkSource: a network of a user in a recipe, and the same network again when its checkpoint is loaded."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from camdbench.core.errors import UsageError
from camdbench.core.own_modules import code_of_file, is_installed
from camdbench.core.references import OBJECT, Given, call_given, files_in, is_own, read_given
from camdbench.models.classifier import Classifier
from camdbench.models.own_models import build


@dataclass(frozen=True)
class NetworkSource:
    """A network by reference `FILE.py:NAME(options)`, or an object of a Python session.

    Attributes:
        given: the loaded reference, or the object.
    """

    given: Given

    @property
    def text(self) -> str:
        """The reference with an absolute path; of an object, that it is one."""
        return self.given.reference or OBJECT

    @property
    def name(self) -> str:
        """The reference without its folder."""
        return self.text.removeprefix(f"{Path(self.given.place).parent}{os.sep}") if self.given.place else OBJECT

    @property
    def code(self) -> str | None:
        """Hash of the code of the file and its neighbours; None of an object."""
        return code_of_file(_file_of(self.text)) if self.given.place else None

    def build(self, classes: int) -> Classifier:
        """A new classifier; of an object, a copy.

        Args:
            classes: number of classes, given to a function that has a parameter `classes`.

        Raises:
            UsageError: it is not a network, or mean and std are unknown.
            CamdbenchError: the function raises.
        """
        given, what = self.given, f"network {self.given.name or type(self.given.thing).__name__}"
        if isinstance(given.thing, nn.Module):
            thing: Any = copy.deepcopy(given.thing)
        elif callable(given.thing):
            options = ({"classes": classes} if _takes_classes(given.thing) else {}) | dict(given.options)
            thing, given = call_given(replace(given, options=options), what), replace(given, options={})
        else:
            thing = given.thing
        if isinstance(thing, nn.Module) and not isinstance(thing, Classifier) and not hasattr(thing, "pretrained_cfg"):
            raise UsageError(
                f"{what}: mean and std are unknown; return camdbench.Classifier(network, layer, mean=…, std=…), "
                "with 0 and 1 for a network that takes [0, 1]"
            )
        return build(replace(given, label="", thing=thing), {})


def network_source(given: Any) -> NetworkSource | None:
    """The source of a network that is not a name of the zoo; None for a name.

    Args:
        given: name, reference, `nn.Module`, `Classifier`, or a function that returns one.

    Raises:
        UsageError: the reference cannot be loaded, has another name in front, or is not a file.
    """
    if isinstance(given, str) and not is_own(given):
        return None
    if isinstance(given, str) and given == OBJECT:
        raise UsageError(f"network = {given}: it has no file; give it to camdbench.train(…, network=…), or a reference FILE.py:NAME")
    if isinstance(given, str):
        _file_of(given)
    (one,) = read_given([given], "network")
    if one.label:
        raise UsageError(f"network = {given}: the recipe states the name; omit {one.label}=")
    return NetworkSource(one)


def made_again(text: str, code: str | None, classes: int, facts_file: Path) -> Classifier:
    """The classifier of a checkpoint's network, before its weights are loaded.

    Args:
        text: the reference with an absolute path.
        code: hash of its code at the training.
        classes: number of classes.
        facts_file: the checkpoint's JSON file, for messages.

    Raises:
        UsageError: the network was an object, or its file is gone or changed.
    """
    if text == OBJECT:
        fix = f"load_state_dict(safetensors.torch.load_file({str(facts_file.with_suffix('.safetensors'))!r}))"
        raise UsageError(f"its network was an {OBJECT}; give that object its weights with {fix}")
    file = _file_of(text)
    if not file.is_absolute() or not file.is_file():
        raise UsageError(f"network {text}: no such file; move it back, or write its absolute path into {facts_file.name}")
    if (found := code_of_file(file)) != code:
        raise UsageError(
            f"network {text}: its code changed since the training; undo the change or train again "
            f"(if the network is the same, write {found} as network_code into {facts_file.name})"
        )
    source = network_source(text)
    assert source is not None
    return source.build(classes)


def _file_of(text: str) -> Path:
    """File of a reference.

    Raises:
        UsageError: it names a module, or code of an installed package.
    """
    files = files_in(text)
    if not files or is_installed(Path(files[0]).resolve()):
        raise UsageError(f"network = {text}: a checkpoint needs a file of yours; give FILE.py:NAME, which may import the module")
    return Path(files[0])


def _takes_classes(function: Callable[..., Any]) -> bool:
    try:
        return "classes" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
