"""Identity of a network beyond its weights: its code, what it keeps in plain attributes, and its answers to two fixed images."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from camdbench.core.foreign_code import place_of
from camdbench.core.own_modules import code_of, is_installed
from camdbench.models.network_check import probe_images
from camdbench.models.weights_file import bytes_of

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

PROBE_TOLERANCE = 1e-3  # of the spread of the logits; devices differ by less
_CLASSES = 16  # logits of an image in the record
_DEPTH = 6  # of containers and functions inside functions


def network_code(network: nn.Module) -> str:
    """Hash (16 hexadecimal digits) of a network's structure and code.

    Over `repr(network)`, the plain attributes and hooks of its modules, and the code of their classes: the source of a user's
    class with its neighbours, name and version of the package of an installed one.
    """
    modules = [(name, module) for name, module in network.named_modules() if not isinstance(module, torch.jit.ScriptModule)]
    classes = {type(module) for _, module in modules}
    text = [re.sub(r" at 0x[0-9a-fA-F]+", "", repr(network)), *sorted(map(_code, classes)), *map(_state_of, modules)]
    return hashlib.sha256("\n".join(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def probe(classifier: Classifier, image_size: tuple[int, int]) -> list[list[float]]:
    """Logits (2, at most 16) of two fixed images in float32, of classes at equal distances; the passes are not counted."""
    images = probe_images(image_size, classifier)
    with classifier.uncounted(), torch.inference_mode(mode=False), torch.no_grad(), classifier.frozen():
        rows = torch.cat([classifier(image[None]) for image in images]).float().cpu()
    step = -(-rows.shape[1] // _CLASSES)
    return [[float(f"{value:.7g}") for value in row] for row in rows[:, ::step].tolist()]


def same_probe(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> bool:
    """Whether two probes agree within 1e-3 of the spread of the first.

    >>> same_probe([[0.0, 1.0]], [[0.0, 1.0005]]), same_probe([[0.0, 1.0]], [[0.0, 1.01]])
    (True, False)
    """
    one, two = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    if one.shape != two.shape:
        return False
    finite = one[one.isfinite()]
    spread = float(finite.max() - finite.min()) if len(finite) else 0.0
    return torch.allclose(one, two, rtol=0, atol=PROBE_TOLERANCE * spread + 1e-9, equal_nan=True)


def _state_of(named: tuple[str, nn.Module]) -> str:
    """Attributes of a module that neither its repr nor its weights need to show."""
    name, module = named
    left_out = ("training", "name_or_path")  # transformers keeps the folder that a network was read from
    own = {key: value for key, value in vars(module).items() if not key.startswith("_") and key not in left_out}
    hooks = [*vars(module)["_forward_hooks"].values(), *vars(module)["_forward_pre_hooks"].values()]
    return f"{name}: {_plain(own)} {_plain(hooks)}"


def _plain(value: Any, depth: int = 0) -> str:
    """Text of a plain value, equal in every process; other objects by their class."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | torch.Size):
        return repr(value)
    if isinstance(value, Tensor) or hasattr(value, "tobytes"):
        return hashlib.sha256(bytes_of(value) if isinstance(value, Tensor) else value.tobytes()).hexdigest()
    if depth >= _DEPTH or isinstance(value, nn.Module):
        return _name(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _of_container(value, depth + 1)
    return _of_function(value, depth)


def _of_container(value: Any, depth: int) -> str:
    if isinstance(value, Mapping):
        return repr(sorted(f"{_plain(key, depth)}: {_plain(item, depth)}" for key, item in cast("Any", value).items()))
    items = [_plain(item, depth) for item in value]
    return repr(sorted(items) if isinstance(value, set | frozenset) else items)


def _of_function(function: Callable[..., Any], depth: int) -> str:
    """Code of a function with its defaults and the values that its closure holds; other objects by their class."""
    if isinstance(function, partial):
        return _plain([function.func, function.args, function.keywords], depth + 1)
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        return _name(function)
    inner = getattr(function, "__func__", function)
    cells = [cell.cell_contents for cell in getattr(inner, "__closure__", None) or () if _filled(cell)]
    return _code(inner) + _plain([cells, getattr(inner, "__defaults__", None), getattr(inner, "__kwdefaults__", None)], depth + 1)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _name(value: Any) -> str:
    return ".".join(place_of(type(value)))


def _code(target: Any) -> str:
    """Name of a class or function, with the hash of a user's code or the version of an installed package."""
    module, name = place_of(target)
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    if top == "camdbench":  # its code has its own hash in the record
        return f"{module}.{name}"
    if top in sys.stdlib_module_names - {"__main__"} or (file is not None and is_installed(Path(file).resolve())):
        return f"{module}.{name} {_version(top)}"
    return f"{name} {_lines(target) if inspect.isroutine(target) else ''} {code_of(target)}"


def _lines(function: Callable[..., Any]) -> str:
    """Text of a function, as the file of two functions is the same."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError, SyntaxError):
        return ""


@cache
def _version(top: str) -> str:
    try:
        return version(top)
    except PackageNotFoundError:  # another name than its package, which takes a second to find
        return "".join(map(version, packages_distributions().get(top, ())[:1]))
