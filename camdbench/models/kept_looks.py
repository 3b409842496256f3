"""What looking at a network has shown, kept until the network changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import chain, islice, repeat
from operator import attrgetter, call, itemgetter
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from camdbench.models.module_tree import Tree, tree_of

T = TypeVar("T")
_FIRST = len(vars(nn.Module()))  # attributes that torch sets, before those of a class
_FIELDS, _VERSION, _INSIDE = attrgetter("__dict__"), attrgetter("_version"), itemgetter("_modules", "_parameters", "_buffers")


class NetworkState:
    """What a network consists of, by which a change of it is noticed.

    A change is another module, class, weight, buffer, dtype or device, a plain attribute that is another object, or a change of a
    tensor in place that torch records, as by `load_state_dict` and optimisers. What the network changes itself in a pass, such as
    a counter or stored features, is none, nor are modes and `requires_grad`. Not noticed: hooks, changes inside lists, and of
    values through `.data` or NumPy.

    Args:
        network: the network.
        more: an object beside it whose replacement is a change, such as the function that reads its output.
    """

    def __init__(self, network: nn.Module, more: object = None) -> None:
        tree = tree_of(network)
        parts, self._attributes, self._values = _read(tree, more)
        self._ends = len(tree.modules), len(tree.modules) + len(tree.parameters)  # places where weights and buffers start
        scripted = any(isinstance(module, torch.jit.ScriptModule) for module in tree.modules)  # keeps its parts elsewhere
        self._digest = None if scripted else _digest(tree, more)
        self._gone = list[object]()  # parts that no longer exist, whose identity may be another's
        self._parts = [_weak(part, self._gone.append) for part in parts]
        self._held = [*chain.from_iterable(islice(vars(one).values(), _FIRST, None) for one in tree.modules)]  # keeps identities
        self._names = [_names(part) if isinstance(part, nn.Module) else () for part in parts]
        self._own = dict[int, set[str]]()  # attributes that a module changes in a pass, by its place
        self._loose = set[int]()  # places of tensors that change in a pass

    def ignore_changes_since(self, before: NetworkState) -> None:
        """Ignore from now on in what the network differs from an earlier state, after passes alone.

        From now on numbers, text and tuples alone are held, and no features that a pass has stored.
        """
        self._held = [*filter(_is_plain, self._held)]
        if [part() for part in before._parts] != [part() for part in self._parts]:
            return  # the first pass made or replaced a part; the next one is compared with this state
        for place, (old, new) in enumerate(zip(before._attributes, self._attributes, strict=True)):
            if old != new:
                known, found = (dict(zip(state._names[place], state._attributes[place][1:], strict=True)) for state in (before, self))
                self._own[place] = {name for name in known | found if known.get(name) != found.get(name)}
        self._loose = {place for place, value in enumerate(self._values) if before._values[place] != value}

    def read_if_same(self, network: nn.Module, more: object = None) -> Tree | None:
        """The modules and tensors of the network if it is as it was, else None.

        If nothing at all has changed, the network is not walked over: what is kept of its modules leads to all others.
        """
        if not self._gone and self._digest is not None:
            parts: list[Any] = [*map(call, self._parts)]
            modules, weights = self._ends
            tree = Tree(parts[:modules], parts[modules:weights], parts[weights:-1])
            if not self._gone and _digest(tree, more) == self._digest:
                return tree
        tree = tree_of(network)
        return tree if self._holds(tree, more) else None

    def _holds(self, tree: Tree, more: object) -> bool:
        """Whether the network with these modules and tensors is as it was, but for what it changes itself."""
        parts, attributes, values = _read(tree, more)
        if self._gone or len(parts) != len(self._parts) or any(known() is not part for known, part in zip(self._parts, parts, strict=True)):
            return False
        if attributes != self._attributes:
            for place, (known, found) in enumerate(zip(self._attributes, attributes, strict=True)):
                if known != found and not self._same_attributes(place, cast("nn.Module", parts[place])):
                    return False
        if values != self._values:
            return all(place in self._loose or value == self._values[place] for place, value in enumerate(values))
        return True

    def _same_attributes(self, place: int, module: nn.Module) -> bool:
        """Whether a module has its former attributes, but for those that it changes itself."""
        own, known = self._own.get(place, set()), self._attributes[place]
        before = {name: one for name, one in zip(self._names[place], known[1:], strict=True) if name not in own}
        return known[0] == id(type(module)) and before == {name: id(vars(module)[name]) for name in _names(module) if name not in own}


class KeptLooks:
    """Results of looking at networks, each kept as long as its network lives and stays as it is."""

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[nn.Module, dict[Hashable, tuple[NetworkState, Any]]] = WeakKeyDictionary()

    def get(self, network: nn.Module, key: Hashable, look: Callable[[], T], *, more: object = None) -> tuple[T, Tree]:
        """The kept result, or that of `look()` where there is none or the network has changed; and its modules and tensors.

        Args:
            network: the network.
            key: what the result depends on beside the network, such as the size of the images.
            look: looks at the network by passes.
            more: an object beside the network, as in `NetworkState`.
        """
        kept = self._found.setdefault(network, {})
        if key in kept and (tree := kept[key][0].read_if_same(network, more)) is not None:
            return kept[key][1], tree
        before = NetworkState(network, more)
        found = look()
        after = NetworkState(network, more)
        after.ignore_changes_since(before)
        kept[key] = after, found
        return found, tree_of(network)

    def of(self, network: nn.Module) -> dict[Any, Any]:
        """All kept results of a network by their keys, without a check that they still hold."""
        return {key: found for key, (_, found) in self._found.get(network, {}).items()}

    def forget(self, network: nn.Module) -> None:
        """Drop all results of a network."""
        self._found.pop(network, None)


def _digest(tree: Tree, more: object) -> int:
    """Hash of what the modules contain and of the states of the tensors, computed without a step of Python per part."""
    fields = [*map(_FIELDS, tree.modules)]
    attributes = chain.from_iterable(map(islice, map(dict.values, fields), repeat(_FIRST), repeat(None)))
    inside = chain.from_iterable(map(dict.values, filter(None, chain.from_iterable(map(_INSIDE, fields)))))
    tensors = [*tree.parameters, *tree.buffers]
    found = *map(id, map(type, tree.modules)), *map(id, attributes), *map(id, inside), id(more)
    try:
        return hash((found, *map(_VERSION, tensors), *map(Tensor.data_ptr, tensors)))
    except RuntimeError:
        return hash((found, *map(_value_of, tensors)))


def _read(tree: Tree, more: object) -> tuple[list[Any], list[tuple[int, ...]], list[tuple[int, int]]]:
    """Modules, tensors and the further object; identities of the modules' classes and attributes; states of the tensors."""
    tensors = [*tree.parameters, *tree.buffers]
    attributes = [(id(one.__class__), *map(id, islice(one.__dict__.values(), _FIRST, None))) for one in tree.modules]
    return [*tree.modules, *tensors, more], attributes, [*map(_value_of, tensors)]


def _names(module: nn.Module) -> tuple[str, ...]:
    """Names of the attributes of a module, without those that every module has first."""
    return tuple(islice(vars(module), _FIRST, None))


def _is_plain(attribute: object) -> bool:
    """Whether an attribute is a number, a text or a tuple."""
    return isinstance(attribute, int | float | complex | str | bytes | tuple)


def _value_of(tensor: Tensor) -> tuple[int, int]:
    """Number of changes in place, and place in memory."""
    try:
        return tensor._version, tensor.data_ptr()
    except RuntimeError:  # tensors of inference mode count no changes, and those without memory have no place
        return 0, 0


def _weak(part: object, gone: Callable[[object], None]) -> Callable[[], object]:
    """A weak reference that reports the end of its object; one that keeps an object that has none."""
    try:
        return ref(part, gone)
    except TypeError:  # None, and some objects of extensions
        return lambda: part
