"""Seeded mutations of Python files of users: they fail at import, register wrong things, or return what is none of the documented."""

from __future__ import annotations

import random
from pathlib import Path

PLUGIN = '''import torch
from torch import nn

import camdbench
from camdbench import LossResult, explainer, metric


@explainer('bright', paper='mine', control=True)
def bright(trace, *, power: float = 1.0):
    """Where the image is bright."""
    return trace.images.mean(1)  # result


@metric('spread', paper='mine', higher_is_better=False, unit='', values='[0, 1]')
def spread(inputs):
    """Spread of the map."""
    return inputs.saliency.flatten(1).std(1).double()  # result


def mean_inside(classifier, images, maps, targets, *, margin: int = 8):
    return maps.mean((1, 2))  # result


def of_network(model, inputs, targets):
    return abs(inputs).sum(1)  # result


def of_classifier(classifier, images, targets):
    return images.sum(1)  # result


def network(width: int = 4):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, width, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))
    return camdbench.Classifier(layers, layer="1", mean=0.5, std=0.25)  # result


class Odd(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))[:, :2]  # result


def module():
    return Odd()


def things():
    pictures = [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(n)) for n in range(2)]
    return [(picture, n) for n, picture in enumerate(pictures)]  # result


def own_loss(logits, labels):
    return nn.functional.cross_entropy(logits, labels)  # result
'''
_CLASSES = """
class Hostile:
    def __repr__(self): raise RuntimeError('repr')
    __str__ = __hash__ = __eq__ = __len__ = __bool__ = __repr__
    def __iter__(self): raise SystemExit(7)
    def __array__(self, *a, **k): raise BaseException('array')
class Endless:
    def __len__(self): return 2**62
    def __getitem__(self, index): return self
class Text(str):
    def __str__(self): return '\\x1b[31m\\n'
class Anything:
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
"""
_HEADS = (
    "import sys; sys.exit(3)",
    "raise BaseException('x')",
    "def f(:",
    "\0",
    "1/0",
    "x = " + "(" * 300,
    "raise SystemExit",
    "import nosuch",
    "# coding: klingon",
    "print('hello'); print('x' * 10**5)",
    "import os; os.chdir('/')",
    "import warnings; warnings.warn('\\x1b[31mwarned')",
    "class E(Exception):\n    def __str__(self): raise RuntimeError('str')\nraise E",
    "class E(Exception):\n    def __str__(self): return 3\nraise E",
    "raise Exception('\\x1b[31m' + 'x' * 10**6)",
    "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])",
    "raise MemoryError",
    "raise TimeoutError('mine')",
    "x = [0] * 10**12",
    "def f(): f()\nf()",
    "import mine",
    "import sys; del sys.modules[__name__]",
    "import sys; sys.modules[__name__] = 3",
    "import torch; torch.set_default_dtype(torch.float64)",
    "import torch; torch.set_grad_enabled(False)",
)
_EXPLAINER = "def own(trace):\n    'A.'\n    return trace.images.mean(1)\n"
_METRIC = "def own(inputs):\n    'A.'\n    return 1\n"
_REGISTERED = (
    *(
        f"@explainer({facts})\n{_EXPLAINER}"
        for facts in (
            "''",
            "'gradcam', paper='mine'",
            "'../../own', paper='mine'",
            "'\\x1b[31mown', paper='mine'",
            "3, paper='mine'",
            "'own', paper=3",
            "'own', paper='mine', nosuch=1",
            "'own', paper='mine', cost=3",
            "'own', paper='mine', needs='x'",
            "'own', paper='mine', unstable=[3]",
            "'own', paper='\\x1b[31m', refuses='\\x9b'",
        )
    ),
    *(
        f"@metric('own', paper='mine', {facts})\n{_METRIC}"
        for facts in (
            "higher_is_better='x', unit=3, values=None",
            "higher_is_better=True, unit='', protocols=3",
            "higher_is_better=True, unit='', protocols=()",
            "higher_is_better=True, unit='', tolerance=float('nan')",
            "higher_is_better=True, unit='\\x1b[31m', values='\\n'",
            "higher_is_better=None, unit='', scope='model'",
        )
    ),
    "@explainer('own', paper='mine')\ndef own(trace):\n    return 1\n",
    "@explainer('own', paper='mine')\ndef own(trace, *, a=object()):\n    'A.'\n    return 1\n",
    "@explainer('own', paper='mine')\ndef own(trace, *args, **more):\n    'A.'\n    return 1\n",
    "@explainer('own', paper='mine')\nclass own:\n    'A.'\n",
    "explainer('own', paper='mine')(3)\n",
    "explainer('own', paper='mine')(lambda trace: trace)\n",
    "bright = 3\n",
    "of_network = camdbench.Classifier\n",
    "things = Hostile()\n",
    "module = network = of_classifier = Anything()\n",
    "mean_inside = Hostile\n",
    "spread = own_loss = None\n",
)
_BODIES = (
    "raise SystemExit(0)",
    "exit()",
    "raise BaseException('b')",
    "raise GeneratorExit",
    "raise StopIteration",
    "raise Hostile",
    "raise Exception(Hostile())",
    "raise ExceptionGroup('\\x1b[31m', [ValueError('x' * 10**6)])",
    "1/0",
    "return None",
    "return 3",
    "return 'text'",
    "return Hostile()",
    "return Endless()",
    "return Text('a')",
    "return Anything()",
    "return [Hostile()] * 2",
    "return (Hostile(), Hostile())",
    "return [(Hostile(), 0)] * 2",
    "return [(torch.rand(3, 32, 32), Hostile())] * 2",
    "return [(torch.rand(3, 32, 32), '../../x')] * 2",
    "return [(torch.full((3, 32, 32), float('nan')), 0)] * 2",
    "return {'a': 1}",
    "return {}",
    "return []",
    "return (n for n in [1, 2])",
    "return lambda *a: a",
    "return type",
    "return nn.Identity()",
    "return camdbench",
    "return torch.zeros(())",
    "return torch.zeros(0)",
    "return torch.zeros(2, 0, 0)",
    "return torch.zeros(2, 7, 7, 7, 7)",
    "return torch.full((2, 7, 7), float('nan'))",
    "return torch.full((2,), float('inf'))",
    "return torch.zeros(2, 7, 7, dtype=torch.complex64)",
    "return torch.zeros(2, 7, 7, device='meta')",
    "return torch.zeros(2, 7, 7).to_sparse()",
    "return torch.quantize_per_tensor(torch.zeros(2, 7, 7), 0.1, 0, torch.qint8)",
    "return torch.zeros(1).expand(2, 10**6, 10**6)",
    "return torch.empty(10**14)",
    "return torch.zeros(2, 7, 7, requires_grad=True) * 1",
    "return torch.zeros(3, 7, 7)",
    "return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])",
    "import numpy; return numpy.array(['a', None], dtype=object)",
    "import numpy; return numpy.zeros((2, 7, 7), 'M8[s]')",
    "import numpy; return numpy.ma.masked_all((2, 7, 7))",
    "import pandas; return pandas.DataFrame({'image': ['../../x', '/etc/passwd']})",
    "import itertools; return itertools.count()",
    "def f(): return f()\n    return f()",
    "print('hello'); return None",
    "import os; os.chdir('/'); return None",
    "import torch as t; t.set_default_dtype(t.float64); return t.zeros(2, 7, 7)",
    "import threading; threading.Thread(target=exit).start(); return None",
)
_ARGUMENTS = ("images", "inputs", "maps", "trace", "logits")


def _plugin_head(file: Path, draw: random.Random) -> None:
    """The file fails or misbehaves at import."""
    text = file.read_text("utf-8")
    head = draw.choice(_HEADS)
    file.write_text(f"{head}\n{text}" if draw.random() < 0.5 else f"{text}\n{head}\n", encoding="utf-8")


def _plugin_registers(file: Path, draw: random.Random) -> None:
    """The file registers or defines something else than documented."""
    file.write_text(f"{file.read_text('utf-8')}\n{_CLASSES}\n{draw.choice(_REGISTERED)}", encoding="utf-8")


def _plugin_result(file: Path, draw: random.Random) -> None:
    """A function, or all of them, return or raise something else."""
    lines = file.read_text("utf-8").splitlines()
    ends = [number for number, line in enumerate(lines) if line.endswith("# result")]
    body = draw.choice(_BODIES)
    for number in ends if draw.random() < 0.7 else [draw.choice(ends)]:
        indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
        lines[number] = indent + body.replace("\n    ", f"\n{indent}")
    file.write_text("\n".join([*lines[:5], _CLASSES, *lines[5:]]) + "\n", encoding="utf-8")


def _plugin_changes(file: Path, draw: random.Random) -> None:
    """Functions change what they are given."""
    done = draw.choice(
        [
            "{}.zero_()",
            "{}.resize_(0)",
            "{}.fill_(float('nan'))",
            "{}.images.zero_()",
            "{}.saliency.mul_(2)",
            "{}.targets.add_(1)",
            "del {}",
        ]
    )
    lines = list[str]()
    for line in file.read_text("utf-8").splitlines():
        if line.endswith("# result"):
            name = next((own for own in _ARGUMENTS if own in line), "torch")
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}result = {line.removesuffix('# result').strip().removeprefix('return ')}")
            lines += [f"{indent}{done.format(name)}", f"{indent}return result"]
        else:
            lines.append(line)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


PLUGINS = (_plugin_head, _plugin_registers, _plugin_registers, _plugin_result, _plugin_result, _plugin_result, _plugin_changes)
