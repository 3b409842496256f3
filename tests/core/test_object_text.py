"""Objects that give other values have another hash, equal ones the same, in every process."""

from __future__ import annotations

import collections
import functools
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.each import each
from PIL import Image
from torch import nn

from camdbench.core import own_modules
from camdbench.core.object_text import network_text, object_hash, tensor_bytes


class Holds:
    def __init__(self, value: Any) -> None:
        self._value = value

    def method(self) -> Any:
        return self._value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def closure(value: Any) -> Callable[[], Any]:
    return lambda: value


def counted(value: Any) -> Callable[[], Any]:
    @functools.wraps(closure)
    def wrapper() -> Any:
        return closure(value)()

    return wrapper


def without_file(text: str) -> Any:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "<cell>", "exec"), names)
    return names["f"]


def tagged(value: Any) -> Any:
    def function() -> None: ...

    function.value = value  # pyright: ignore[reportFunctionMemberAccess]
    return function


MAKERS: dict[str, Callable[[Any], Any]] = {
    "instance": Holds,
    "slots": Slotted,
    "method": lambda value: Holds(value).method,
    "closure": closure,
    "wrapped": counted,
    "cached": lambda value: functools.lru_cache(closure(value)),
    "without gradients": lambda value: torch.no_grad()(closure(value)),
    "partial": lambda value: functools.partial(closure, value),
    "keyword": lambda value: functools.partial(closure, value=value),
    "attribute of a function": tagged,
    "nested": lambda value: Holds({"a": [Slotted((value, {value}))]}),
    "ordered": lambda value: collections.OrderedDict(a=value),
    "default": lambda value: without_file(f"def f(x, k={value}):\n    return x"),
    "keyword default": lambda value: without_file(f"def f(x, *, k={value}):\n    return x"),
    "global": lambda value: without_file(f"K = {value}\ndef f(x):\n    return K"),
    "global function": lambda value: without_file(f"def g():\n    return {value}\ndef f(x):\n    return g()"),
    "base class": lambda value: without_file(f"class B:\n    def k(self):\n        return {value}\nclass f(B):\n    pass")(),
    "attribute of a class": lambda value: without_file(f"class f:\n    k = {value}\n    def __call__(self):\n        return self.k")(),
    "global of a class": lambda value: without_file(f"K = {value}\nclass f:\n    def __call__(self):\n        return K")(),
    "generator": random.Random,
    "generator of numpy": np.random.default_rng,
    "pattern": lambda value: re.compile(str(value)),
    "array": lambda value: Holds(np.full(3, value)),
    "objects in an array": lambda value: Holds(np.array([value, "a"], dtype=object)),
    "picture": lambda value: Holds(Image.new("L", (2, 2), value)),
    "tensor": lambda value: Holds(torch.full((3,), value, dtype=torch.bfloat16)),
    "sparse tensor": lambda value: Holds(torch.full((3,), float(value)).to_sparse()),
    "network": lambda value: Holds(nn.PReLU(init=value)),
    "setting of a network": lambda value: Holds(nn.LeakyReLU(value)),
}


@each("name", MAKERS)
def test_other_values_have_another_hash_and_equal_ones_the_same(name: str) -> None:
    make = MAKERS[name]
    assert object_hash(make(3)) == object_hash(make(3)) != object_hash(make(4))


def test_shape_type_and_kind_count() -> None:
    zeros: list[Any] = [
        np.zeros(4),
        np.zeros((2, 2)),
        np.zeros(4, dtype=np.float32),
        torch.zeros(4),
        torch.zeros(2, 2),
        [0.0] * 4,
        (0.0,) * 4,
    ]
    zeros += [0, False, "0", 0.0, None, collections.deque([0.0] * 4), {0}, {0: 0}]
    assert len({object_hash(own) for own in zeros}) == len(zeros)
    lambdas = [lambda: 1, lambda: 2]
    assert len(set(map(object_hash, lambdas))) == 2


def test_locks_count_for_nothing_and_cycles_end() -> None:
    assert object_hash(Holds(threading.Lock())) == object_hash(Holds(threading.Lock()))
    inside = Holds(None)
    inside._value = [inside]
    network = nn.Sequential(nn.ReLU())
    network[0].above = [network]
    assert len({object_hash(inside), object_hash(network), object_hash(Holds(inside))}) == 3


def test_what_cannot_be_read_equals_itself_alone() -> None:
    first, second = Holds(iter(own for own in [1])), Holds(iter(own for own in [1]))
    assert object_hash(first) == object_hash(first) != object_hash(second)


def test_a_layer_of_a_known_network_is_its_name() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.ReLU())
    first, second = (object_hash(Holds(layer), {"net": network}) for layer in network[1:])
    with torch.no_grad():
        network[0].weight.add_(1)
    assert object_hash(Holds(network[1]), {"net": network}) == first != second


def test_attributes_of_a_users_network_count_as_far_as_they_are_settings() -> None:
    class Net(nn.Module):
        def __init__(self, gain: float, cache: torch.Tensor) -> None:
            super().__init__()
            self._gain, self._cache = gain, cache

    texts = [network_text(Net(gain, torch.full((2,), value))) for gain, value in ((1.0, 0.0), (1.0, 1.0), (2.0, 0.0))]
    assert (texts[0] == texts[1], texts[0] == texts[2]) == (True, False)


def test_a_helper_in_the_file_of_a_decorated_function_counts(tmp_path: Path) -> None:
    text = "import torch\n\ndef helper(x):\n    return 1 * x\n\n@torch.no_grad()\ndef mine(x):\n    return helper(x)\n"
    found = list[str]()
    for own in (text, text.replace("1 *", "2 *"), text):
        (tmp_path / "decorated.py").write_text(own)
        found.append(object_hash(own_modules.load_file(tmp_path / "decorated.py", "--plugin").mine))
    assert found[0] == found[2] != found[1]


def test_the_hash_is_that_of_another_process_and_a_moved_file(tmp_path: Path) -> None:
    text = (
        "import functools, numpy, random, torch\nfrom torch import nn\n"
        "class Holds:\n    def __init__(self, **own):\n        vars(self).update(own)\n"
        "def closure(k):\n    return lambda x: k * x\n"
        "torch.manual_seed(0)\n"
        "THING = Holds(names={'a', 'b', 'c'}, f=closure(3), p=functools.partial(closure, 2), n=nn.Linear(2, 2), r=random.Random(1),\n"
        "              c=torch.float16, d=torch.device('cpu'), g=torch.Generator().manual_seed(3), m=numpy)\n"
    )
    code = "from things import THING; from camdbench.core.object_text import object_hash; print(object_hash(THING))"
    for name in ("here", "moved"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "things.py").write_text(text)
    here = object_hash(own_modules.load_file(tmp_path / "here" / "things.py", "--plugin").THING)
    there = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "moved", capture_output=True, text=True, check=True).stdout
    assert there.strip() == here


def test_bytes_of_a_tensor_hold_shape_and_type() -> None:
    assert tensor_bytes(torch.tensor([1.0])) == b"(1,)torch.float32\x00\x00\x80?"
    assert tensor_bytes(torch.empty(2, device="meta")) == b"(2,)torch.float32"
