"""Text of code and objects of the user's, equal in every process, and another one if anything differs that they state.

Counted are: the code of functions and classes (see `own_modules.code_of`), defaults, closures, arguments of a `partial`, globals
that code without a file reads, attributes of objects, arrays and tensors by content, networks by structure, weights and hooks.
Not counted are locks, threads, open files and loggers, which state nothing. What can be neither read nor pickled, such as a session
of a compiled library, has another text in each process, so that a run with it is resumed by the same process alone.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import io
import logging
import os
import re
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path, PurePath
from typing import Any, cast

from camdbench.core.foreign_code import bytecode_of, place_of
from camdbench.core.own_modules import code_of, is_installed

_DEPTH = 60  # of objects inside objects
_LONG = 200  # characters
_HIDDEN = ("training", "name_or_path", "warnings_issued")  # of modules; the last two of transformers: a place and a cache
_PLAIN = (bool, int, float, complex, str)
_LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Event, threading.Condition)
_STATELESS = (*_LOCKS, threading.Thread, threading.local, io.IOBase, logging.Logger, weakref.ref)
_WITH_RESULTS = ("captum", "pytorch_grad_cam", "quantus")  # their objects keep results of calls beside the arguments of the constructor
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def object_hash(value: Any, networks: Mapping[str, Any] | None = None) -> str:
    """Hash (16 hexadecimal digits) of a function, class, instance or network with everything that it states.

    Args:
        value: the object.
        networks: networks that are identified elsewhere, by name; an object that holds one of them or a layer states its name.

    >>> object_hash(partial(sorted, reverse=True)) == object_hash(partial(sorted, reverse=False))
    False
    """
    layers = ((name, place, own) for name, network in (networks or {}).items() for place, own in network.named_modules())
    return _sha(_Writer({id(own): f"layer {place} of {name}" for name, place, own in layers}).text(value))


def network_text(network: Any) -> str:
    """Structure of a network, plain attributes and hooks of its modules, and the code of their classes; not the weights.

    Attributes whose names begin with `_` count if they are numbers or text of a user's class: others are caches.
    """
    return _Writer({}).structure(network)


def tensor_bytes(tensor: Any) -> bytes:
    """Shape, dtype and bytes of a tensor; of one without storage the first two alone."""
    shape = f"{tuple(tensor.shape)}{tensor.dtype}".encode()
    if tensor.is_meta:
        return shape
    plain = tensor.detach().cpu()
    plain = plain.dequantize() if plain.is_quantized else plain
    plain = plain.to_dense() if plain.layout is not sys.modules["torch"].strided else plain
    return shape + plain.contiguous().flatten().view(sys.modules["torch"].uint8).numpy().tobytes()


class _Writer:
    """Writes the text of an object once, however often others hold it."""

    def __init__(self, layers: Mapping[int, str], outer: _Writer | None = None) -> None:
        self._layers, self._in_network = layers, outer is not None
        self._known: dict[int, tuple[str, Any]] = {}  # text and object, which keeps its id
        self._open: list[int] = [] if outer is None else outer._open

    def text(self, value: Any) -> str:
        """Text of a value; of a large one, its hash."""
        if value is None or value is ... or isinstance(value, (*_PLAIN, bytes, range, slice, PurePath, Enum)):
            return repr(value)
        if id(value) in self._open:
            return f"inside itself, {self._open[::-1].index(id(value))} levels up"
        if id(value) not in self._known:
            self._open.append(id(value))
            try:
                found = self._unread(value) if len(self._open) > _DEPTH else self._of(value)
            finally:
                self._open.pop()
            self._known[id(value)] = found if len(found) < _LONG else _sha(found), value
        return self._known[id(value)][0]

    def structure(self, network: Any) -> str:
        """Text of a network without its weights."""
        inner = _Writer(self._layers, self)
        scripted = _torch().jit.ScriptModule
        modules = [(name, module) for name, module in network.named_modules() if not isinstance(module, scripted)]
        codes = [str(getattr(module, "code", "")) for module in network.modules() if isinstance(module, scripted)]
        classes = sorted(map(inner._of_class, {type(module) for _, module in modules}))
        states = [inner._module_state(name, module) for name, module in modules]
        return "\n".join([_ADDRESS.sub("", repr(network)), *classes, *codes, *states])

    def _module_state(self, name: str, module: Any) -> str:
        """Attributes of a module that neither its repr nor its weights need to show."""
        hidden, own_class = {*_HIDDEN, *getattr(type(module), "changing_attributes", ())}, not _is_stated(type(module))
        internal = vars(_torch().nn.Module()).keys() if own_class else ()
        own = {
            key: value
            for key, value in vars(module).items()
            if key not in hidden and (not key.startswith("_") or (own_class and key not in internal and isinstance(value, _PLAIN)))
        }
        hooks = [*vars(module)["_forward_hooks"].values(), *vars(module)["_forward_pre_hooks"].values()]
        return f"{name}: {self.text(own)} {self.text(hooks)}"

    def _of(self, value: Any) -> str:
        if id(value) in self._layers:
            return self._layers[id(value)]
        if isinstance(value, types.ModuleType):
            return _code_of_module(value)
        if inspect.isclass(value):
            return self._of_class(value)
        if inspect.isroutine(value):
            return self._of_function(value)
        if any(base.__module__.partition(".")[0] in _WITH_RESULTS for base in type(value).__mro__):
            return f"{self._of_class(type(value))}{self.text(_arguments_of(value))}"
        return self._of_numbers(value) or self._of_container(value) or self._of_instance(value)

    def _of_numbers(self, value: Any) -> str:
        """Text of a network, tensor, array or picture; empty for anything else."""
        torch = _torch()
        if torch is not None and isinstance(value, torch.nn.Module):
            tensors = {**dict(value.named_parameters()), **dict(value.named_buffers())}
            return self.structure(value) + self._items(tensors.items(), ordered=False)
        if torch is not None and isinstance(value, torch.Tensor):
            return hashlib.sha256(tensor_bytes(value)).hexdigest()
        if not hasattr(value, "tobytes") or getattr(getattr(value, "dtype", None), "hasobject", False):
            return ""
        about = [getattr(value, name, None) for name in ("shape", "dtype", "size", "mode", "typecode")]
        return f"{_name(value)}{about}{hashlib.sha256(value.tobytes()).hexdigest()}"

    def _of_container(self, value: Any) -> str:
        """Text of a mapping or collection, with the attributes of a subclass; empty for anything else."""
        if isinstance(value, Mapping):
            found = self._items(cast("Any", value).items(), ordered=False)
        elif isinstance(value, list | tuple | set | frozenset | deque):
            found = self._items(cast("Any", value), ordered=not isinstance(value, set | frozenset))
        else:
            return ""
        state = "" if type(value).__module__ in ("builtins", "collections") else self.text(dict(getattr(value, "__dict__", {})))
        return f"{type(value).__name__}{found}{state}"

    def _items(self, values: Iterable[Any], *, ordered: bool = True) -> str:
        found = [f"{self.text(own[0])}: {self.text(own[1])}" if not ordered and type(own) is tuple else self.text(own) for own in values]
        return repr(found if ordered else sorted(found))

    def _of_function(self, function: Callable[..., Any]) -> str:
        """Code, defaults, closure and attributes of a function, the object of a method, and globals that code without a file reads."""
        inner = getattr(function, "__func__", function)
        cells = [cell.cell_contents for cell in getattr(inner, "__closure__", None) or () if _filled(cell)]
        parts = [cells, getattr(inner, "__defaults__", None), getattr(inner, "__kwdefaults__", None), getattr(inner, "__dict__", None)]
        parts += [function.__self__] if inspect.ismethod(function) else []
        return f"{_code(inner)}{self._items(parts)}{self._globals(inner)}"

    def _of_class(self, kind: type) -> str:
        """Code of a class and of the user's classes that it derives from, with their plain attributes; without a file with all."""
        own = [base for base in kind.__mro__ if not _is_stated(base)]
        held = [_countable(base, {name: item for name, item in vars(base).items() if _is_written(name, item)}) for base in own]
        return f"{[*map(_code, own or [kind])]}{self._items(held)}"

    def _globals(self, function: Any) -> str:
        code = getattr(function, "__code__", None)
        if not isinstance(code, types.CodeType) or _is_stated(function):
            return ""
        known = function.__globals__
        return self.text(_countable(function, {name: known[name] for name in sorted(set(_global_names(code))) if name in known}))

    def _of_instance(self, value: Any) -> str:
        if isinstance(value, _STATELESS) or (self._in_network and _is_stated(type(value))):
            return _name(value)
        if isinstance(value, property | partial):
            return f"{_name(value)}{self._items(_parts_of(value))}"
        try:
            made: Any = value.__reduce_ex__(4)  # class and state, of objects of Python and of compiled code
        except Exception:  # foreign code; most raise TypeError
            return f"{self._of_class(type(value))}{self.text(vars(value))}" if hasattr(value, "__dict__") else self._unread(value)
        return f"{_name(value)} {made if isinstance(made, str) else self._items(map(_listed, made))}"

    def _unread(self, value: Any) -> str:
        """Text of what cannot be read: its repr, or one that no other process has."""
        text = repr(value) if type(value).__repr__ is not object.__repr__ else ""
        return f"{_name(value)} {text}" if text and not _ADDRESS.search(text) else f"{_name(value)} {id(value)} {os.getpid()}"


def _parts_of(value: property | partial[Any]) -> list[Any]:
    return [value.fget, value.fset, value.fdel] if isinstance(value, property) else [value.func, value.args, value.keywords]


def _arguments_of(value: Any) -> dict[str, Any]:
    """Attributes of an instance that the constructors of its classes name."""
    kinds = [base for base in type(value).__mro__ if base is not object and "__init__" in vars(base)]
    named = {name for base in kinds for name in inspect.signature(base.__init__).parameters}
    return {name: own for name, own in vars(value).items() if name.removeprefix("_") in named}


def _listed(part: Any) -> Any:
    """The items of an iterator, as the state of a list or mapping is."""
    return list(part) if hasattr(part, "__next__") else part


def _is_written(name: str, item: Any) -> bool:
    """Whether an attribute of a class is its author's, not Python's."""
    return not name.startswith("__") or inspect.isroutine(item)


def _countable(target: Any, held: Mapping[str, Any]) -> dict[str, Any]:
    """What code without a file holds; of code in a file, which is hashed, plain values, as they may be set elsewhere."""
    whole = _file_of(target) is None
    return {name: own for name, own in held.items() if whole or isinstance(own, _PLAIN)}


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from (str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    yield from (name for own in code.co_consts if isinstance(own, types.CodeType) for name in _global_names(own))


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _name(value: Any) -> str:
    """Name of a value's class; without the module if it is the user's, as that of a plug-in depends on the folder."""
    module, name = place_of(type(value))
    return f"{module}.{name}" if _is_stated(type(value)) else name


def _torch() -> Any:
    """PyTorch, if something has imported it."""
    return sys.modules.get("torch")


def _file_of(target: Any) -> Path | None:
    """File of a function, or of the module of a class; None for code without one, such as a notebook's."""
    module = sys.modules.get(place_of(target)[0])
    methods = vars(target).values() if inspect.isclass(target) else [target]
    code = next((own.__code__ for own in methods if hasattr(own, "__code__")), None)
    file = code.co_filename if isinstance(code, types.CodeType) else getattr(module, "__file__", None)
    found = Path(file).resolve() if isinstance(file, str) else None
    return None if found is None or not found.is_file() or (place_of(target)[0] == "__main__" and is_installed(found)) else found


def _is_stated(target: Any) -> bool:
    """Whether code is camdbench's, which has its own hash in the record, or of an installed package, which has a version."""
    module = target.__name__ if isinstance(target, types.ModuleType) else place_of(target)[0]
    if module == "__main__":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return module.partition(".")[0] in {*sys.stdlib_module_names, "camdbench"} or (file is not None and is_installed(Path(file).resolve()))


def _code(target: Any) -> str:
    """Name of a class or function, with the hash of a user's code or the version of an installed package."""
    module, name = place_of(target)
    if _is_stated(target):
        return f"{module}.{name} {_version(module.partition('.')[0])}"
    same_line = bytecode_of(target) if name.endswith("<lambda>") else ""
    return f"{name} {_lines(target) if inspect.isroutine(target) else ''} {same_line} {code_of(target)}"


def _code_of_module(module: types.ModuleType) -> str:
    top = module.__name__.partition(".")[0]
    return f"{module.__name__} {_version(top)}" if _is_stated(module) else code_of(module)


def _lines(function: Callable[..., Any]) -> str:
    """Text of a function, as the file of two functions is the same."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError, SyntaxError):
        return ""


@cache
def _version(top: str) -> str:
    if top in {*sys.stdlib_module_names, "camdbench"}:
        return ""
    try:
        return version(top)
    except PackageNotFoundError:  # another name than its package, which takes a second to find
        return "".join(map(version, packages_distributions().get(top, ())[:1]))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
