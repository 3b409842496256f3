"""What looking at a network has shown, kept until the network changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary, ref

from torch import Tensor, nn

from camdbench.models.module_tree import Tree, tree_of

T = TypeVar("T")
_FIRST = len(vars(nn.Module()))  # attributes that torch sets, before those of a class


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
        self._digest, self._gone = _digest(tree, more), list[object]()  # parts that no longer exist, whose identity may be another's
        self._parts = [_weak(part, self._gone.append) for part in parts]
        self._names = [_names(part) if isinstance(part, nn.Module) else () for part in parts]
        self._own = dict[int, set[str]]()  # attributes that a module changes in a pass, by its place
        self._loose = set[int]()  # places of tensors that change in a pass

    def ignore_changes_since(self, before: NetworkState) -> None:
        """Ignore from now on in what the network differs from an earlier state, after passes alone."""
        if [part() for part in before._parts] != [part() for part in self._parts]:
            return  # the first pass made or replaced a part; the next one is compared with this state
        for place, (old, new) in enumerate(zip(before._attributes, self._attributes, strict=True)):
            if old != new:
                known, found = (dict(zip(state._names[place], state._attributes[place][1:], strict=True)) for state in (before, self))
                self._own[place] = {name for name in known | found if known.get(name) != found.get(name)}
        self._loose = {place for place, value in enumerate(self._values) if before._values[place] != value}

    def holds(self, tree: Tree, more: object = None) -> bool:
        """Whether the network with these modules and tensors is as it was."""
        if self._gone or _digest(tree, more) == self._digest:
            return not self._gone
        parts, attributes, values = _read(tree, more)
        if len(parts) != len(self._parts) or any(known() is not part for known, part in zip(self._parts, parts, strict=True)):
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

    def get(self, network: nn.Module, key: Hashable, look: Callable[[], T], *, more: object = None, tree: Tree | None = None) -> T:
        """The kept result, or that of `look()` where there is none or the network has changed.

        Args:
            network: the network.
            key: what the result depends on beside the network, such as the size of the images.
            look: looks at the network by passes.
            more: an object beside the network, as in `NetworkState`.
            tree: its modules and tensors, if they have just been read.
        """
        kept = self._found.setdefault(network, {})
        if key in kept and kept[key][0].holds(tree or tree_of(network), more):
            return kept[key][1]
        before = NetworkState(network, more)
        found = look()
        after = NetworkState(network, more)
        after.ignore_changes_since(before)
        kept[key] = after, found
        return found

    def of(self, network: nn.Module) -> dict[Any, Any]:
        """All kept results of a network by their keys, without a check that they still hold."""
        return {key: found for key, (_, found) in self._found.get(network, {}).items()}

    def forget(self, network: nn.Module) -> None:
        """Drop all results of a network."""
        self._found.pop(network, None)


def _digest(tree: Tree, more: object) -> int:
    """Hash of all that `_read` returns, for a comparison without touching what was read before."""
    found = [hash((id(one), id(one.__class__), *map(id, islice(one.__dict__.values(), _FIRST, None)))) for one in tree.modules]
    tensors = [*tree.parameters, *tree.buffers]
    try:
        return hash((*found, *map(id, tensors), *[one._version for one in tensors], *[one.data_ptr() for one in tensors], id(more)))
    except RuntimeError:
        return hash((*found, *map(id, tensors), *map(_value_of, tensors), id(more)))


def _read(tree: Tree, more: object) -> tuple[list[Any], list[tuple[int, ...]], list[tuple[int, int]]]:
    """Modules, tensors and the further object; identities of the modules' classes and attributes; states of the tensors."""
    tensors = [*tree.parameters, *tree.buffers]
    attributes = [(id(one.__class__), *map(id, islice(one.__dict__.values(), _FIRST, None))) for one in tree.modules]
    return [*tree.modules, *tensors, more], attributes, [*map(_value_of, tensors)]


def _names(module: nn.Module) -> tuple[str, ...]:
    """Names of the attributes of a module, without those that every module has first."""
    return tuple(islice(vars(module), _FIRST, None))


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
