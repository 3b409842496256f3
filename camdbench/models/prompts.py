"""Class names and sentences of a zero-shot classifier, read from a text file; imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from camdbench.core.errors import UsageError
from camdbench.core.files import check_text

TEMPLATES = ("a photo of a {}.",)


class Prompts(NamedTuple):
    """Texts of a zero-shot classifier.

    Attributes:
        classes: names of the classes, in the order of the logits.
        templates: sentences with `{}` for the name.
    """

    classes: tuple[str, ...]
    templates: tuple[str, ...] = TEMPLATES


def read_prompts(file: str | Path) -> Prompts:
    """Texts of a file: one class name per line; lines with `{}` are the templates, default: a photo of a {}.

    Raises:
        UsageError: the file cannot be read, or its texts do not fit.
    """
    try:
        check_text(Path(file))
        lines = [line.strip() for line in Path(file).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"--prompts = {file}: cannot be read; give a text file with one class name per line") from None
    templates = tuple(line for line in lines if "{}" in line)
    return check_prompts([line for line in lines if line and "{}" not in line], templates or TEMPLATES, f"--prompts = {file}")


def check_prompts(classes: object, templates: object, what: str = "zero_shot") -> Prompts:
    """The texts, if they make a classifier.

    Args:
        classes: names.
        templates: sentences.
        what: where they come from, in messages.

    Raises:
        UsageError: fewer than two classes, a repeated class, or a template without `{}`.
    """
    names = _texts(classes)
    if len(names) < 2:
        raise UsageError(f"{what}: classes = {classes!r}: expected a list of at least two names")
    if len(set(names)) < len(names):
        raise UsageError(f"{what}: class {next(name for name in names if names.count(name) > 1)!r} is named twice; name each once")
    sentences = _texts(templates)
    if not sentences or any(text.count("{}") != 1 for text in sentences):
        raise UsageError(f"{what}: templates = {templates!r}: expected a list of sentences with {{}} once, such as 'a photo of a {{}}.'")
    return Prompts(names, sentences)


def _texts(given: object) -> tuple[str, ...]:
    """A list of texts; empty for anything else, also a single text."""
    found = tuple(given) if isinstance(given, list | tuple) else ()  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return found if all(isinstance(text, str) and text.strip() for text in found) else ()
