"""Modules and weights of a network, and its modes, read and set without the cost of torch's generators and setters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import NamedTuple

import torch
from torch import Tensor, nn

_mode_of, _flag_of = attrgetter("training"), attrgetter("requires_grad")


class Tree(NamedTuple):
    """Modules of a network, each once, and its tensors, where shared ones may come again.

    Attributes:
        modules: the network itself and all modules in it.
        parameters: all weights.
        buffers: all buffers.
    """

    modules: list[nn.Module]
    parameters: list[nn.Parameter]
    buffers: list[Tensor]


def tree_of(network: nn.Module) -> Tree:
    """The modules of a network, itself among them, and its weights and buffers.

    >>> [len(part) for part in tree_of(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))]
    [3, 4, 3]
    """
    modules, parameters, buffers = [network], list[nn.Parameter | None](), list[Tensor | None]()
    seen, plain = {network}, set[type]()
    for module in modules:  # grows
        if module.__class__ not in plain:
            if isinstance(module, torch.jit.ScriptModule):  # keeps its parts elsewhere
                modules += (inside := [part for part in module.modules() if part not in seen])
                parameters += module.parameters()
                buffers += module.buffers()
                seen.update(inside)
                continue
            plain.add(module.__class__)
        parts = module.__dict__
        if own := parts["_modules"]:
            for child in own.values():
                if child is not None and child not in seen:
                    seen.add(child)
                    modules.append(child)
        if own := parts["_parameters"]:
            parameters += own.values()
        if own := parts["_buffers"]:
            buffers += own.values()
    return Tree(modules, [one for one in parameters if one is not None], [one for one in buffers if one is not None])


def freeze(network: nn.Module, tree: Tree) -> Callable[[], None]:
    """Set eval mode without weight gradients; returns a function that restores all modes and flags.

    Modules and weights that are right already are not touched.

    Args:
        network: the network.
        tree: its modules and weights.
    """
    modules, parameters = tree.modules, tree.parameters
    modes, flags = [*map(_mode_of, modules)], [*map(_flag_of, parameters)]
    restore = partial(_restore, tree, modes, flags)
    try:
        if any(modes):
            _to_eval(network, modules)
        if any(flags):
            for weight, flag in zip(parameters, flags, strict=True):
                if flag:
                    weight.requires_grad_(False)
    except BaseException:
        restore()
        raise
    return restore


def _restore(tree: Tree, modes: list[bool], flags: list[bool]) -> None:
    if [*map(_mode_of, tree.modules)] != modes:
        for module, training in zip(tree.modules, modes, strict=True):
            if module.training is not training:
                module.training = training
    if [*map(_flag_of, tree.parameters)] != flags:
        for weight, flag in zip(tree.parameters, flags, strict=True):
            if weight.requires_grad is not flag:
                weight.requires_grad_(flag)


def _to_eval(network: nn.Module, modules: list[nn.Module]) -> None:
    try:
        network.eval()
    except NotImplementedError:  # the mode of an exported program was fixed when it was made
        for module in modules:
            module.training = False
