"""Completion of names in comma-separated specs: registered names, options in brackets, functions of files; free of torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from glob import escape
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from camdbench.core import registries
from camdbench.core.errors import CamdbenchError
from camdbench.core.registry import Registry

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]

_WORDS = {"explainers": ("all", "controls", "none"), "metrics": ("all",)}
_FILES = {"explainers": (".py",), "metrics": (".py",), "models": (".py", ".safetensors"), "datasets": (".py", ".csv", ".parquet")}
_CALL = re.compile(r"(?:[^()=:,\"'\s]+\s*=\s*)?([\w.@+\-/:]+)\(")  # of the innermost open bracket, with an alias


def complete_specs(kind: str) -> Complete:
    """Return the completion of a comma-separated option.

    Args:
        kind: explainers, metrics, models or datasets.
    """

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        del ctx, parameter
        return [CompletionItem(value, help=text) for value, text in spec_completions(kind, incomplete)]

    return complete


def complete_kind(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete the NAME of `camdbench list KIND NAME`."""
    del parameter
    kind = ctx.params.get("kind")
    found = _recipes() if kind == "recipes" else _registered(str(kind)) if kind is not None else iter(())
    return [CompletionItem(name, help=text) for name, text in found if name.startswith(incomplete)]


def complete_recipe(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete the name of a recipe, or a file."""
    del ctx, parameter
    found = [CompletionItem(name, help=text) for name, text in _recipes() if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def complete_path(metavar: str | None) -> Complete | None:
    """Completion of a value whose placeholder is FILE or DIR; None for others."""
    kind = {"FILE": "file", "DIR": "dir", "RUN": "dir"}.get(metavar or "")
    return None if kind is None else lambda _ctx, _parameter, incomplete: [CompletionItem(incomplete, type=kind)]


def spec_completions(kind: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield completions of an incomplete comma-separated text, each the whole text, with its summary.

    >>> [value for value, _ in spec_completions("explainers", "gradcam,opticam(iter")]
    ['gradcam,opticam(iterations=']
    """
    call, word = _open_part(text)
    alias = word.rpartition("=")[0] + "=" if "=" in word and not call else ""
    head, word = text[: len(text) - len(word) + len(alias)], word[len(alias) :]
    found = _in_brackets(kind, call, word) if call else _at_top(kind, word)
    yield from ((head + name, about) for name, about in found if name.startswith(word))


def _open_part(text: str) -> tuple[str, str]:
    """The call whose bracket is open, up to that bracket (empty: none), and the word that is being written.

    >>> _open_part("gradcam,mine=power(opti"), _open_part("opticam(lr=0.1),gr"), _open_part('opticam(objective="a,(')
    (('mine=power(', 'opti'), ('', 'gr'), ('opticam(', 'objective="a,('))
    """
    starts, start, quote = list[tuple[int, int]](), 0, ""
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([":
            starts.append((start, place + 1))
            start = place + 1
        elif character in ")]" and starts:
            start = starts.pop()[0]
        elif character == ",":
            start = place + 1
    return (text[slice(*starts[-1])].lstrip() if starts else ""), text[start:].lstrip()


def _at_top(kind: str, word: str) -> Iterator[tuple[str, str]]:
    if ".py:" in word:
        file = word.partition(".py:")[0] + ".py"
        yield from ((f"{file}:{name}", "") for name in _functions(Path(file)))
        return
    if word.startswith("-") and kind in _WORDS:  # left out of a group
        yield from ((f"-{name}", about) for name, about in _registered(kind))
        return
    yield from ((name, "") for name in _WORDS.get(kind, ()))
    yield from _registered(kind)
    for path in sorted(Path().glob(f"{escape(word)}*")) if word and not word.startswith("/") else []:
        if path.is_dir() or path.suffix in _FILES[kind]:
            yield (f"{path.as_posix()}/" if path.is_dir() else f"{path.as_posix()}:" if path.suffix == ".py" else path.as_posix()), ""


def _in_brackets(kind: str, call: str, word: str) -> Iterator[tuple[str, str]]:
    """Options of the named entry, values of an option that are words, and explainers if it wraps them."""
    found, registry = _CALL.fullmatch(call), getattr(registries, kind, None)
    if found is None or registry is None:
        return
    try:
        entry = registry.get(found[1])
    except CamdbenchError:  # not registered: a file's function, or a model of another library
        return
    if entry.wraps:
        yield from _registered(kind)
    for option in entry.options:
        yield f"{option.name}=", option.annotation
        if word.startswith(f"{option.name}="):
            yield from ((f"{option.name}={value}", "") for value in _values(option.annotation))


def _values(annotation: str) -> list[str]:
    """Words that an option accepts.

    >>> _values("Literal['mask', 'diff']"), _values("bool"), _values("int")
    (['mask', 'diff'], ['True', 'False'], [])
    """
    literal = re.search(r"Literal\[([^\]]*)\]", annotation)
    return re.findall(r"['\"]([^'\"]+)['\"]", literal[1]) if literal else ["True", "False"] if annotation == "bool" else []


def _registered(kind: str) -> Iterator[tuple[str, str]]:
    registry: Registry[Any] | None = getattr(registries, kind, None)
    yield from ((entry.name, entry.summary) for entry in registry or ())
    if kind == "models":
        from camdbench.models.torchvision_zoo import names

        yield from ((name, "torchvision") for name in names())
        yield from (("timm/", "models of timm"), ("hf/", "models of transformers"))


def _recipes() -> Iterator[tuple[str, str]]:
    from camdbench.papers.recipe_files import recipe_files

    yield from ((name, "") for name in recipe_files())


def _functions(file: Path) -> list[str]:
    """Public functions and classes at the top of a Python file, which is parsed, not run."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    named = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [name for name in named if not name.startswith("_")]
