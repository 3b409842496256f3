"""Click options generated from the fields of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from camdbench.cli.names import complete_path, complete_specs
from camdbench.core.settings import Field, fields_of

F = TypeVar("F", bound=Callable[..., Any])
_SPECS = {"explainers": "explainers", "metrics": "metrics", "models": "models", "dataset": "datasets"}  # fields -> registries


def config_options(config: type[Any], *, only: Sequence[str] = (), unset: bool = False) -> Callable[[F], F]:
    """Return a decorator that adds one option per field.

    Args:
        config: the configuration.
        only: names of the fields; default: all with a flag.
        unset: whether an omitted option is None instead of the field's default.
    """

    def decorate(function: F) -> F:
        for item in reversed(fields_of(config)):
            if item.setting.cli and (not only or item.name in only):
                function = _option(item, unset=unset)(function)
        return function

    return decorate


def _option(item: Field, *, unset: bool) -> Callable[[F], F]:
    setting, default = item.setting, None if unset else item.default
    names = [*([f"-{setting.short}"] if setting.short else []), item.flag, item.name]
    shown = setting.default_help or (str(item.default) if unset and item.default not in (None, False) else "")
    text = setting.help + (f"  [default: {shown}]" if shown else "")
    if item.type is bool:
        return click.option(*names, is_flag=True, default=default, help=text)
    kind = _to_click(setting.parse) if setting.parse else _type_of(item)
    if setting.repeats:
        return click.option(*names, type=kind, multiple=True, callback=_to_mapping, metavar=setting.metavar, help=f"{text} Repeats.")
    complete = complete_specs(_SPECS[item.name]) if item.name in _SPECS else complete_path(setting.metavar)
    shown_default, metavar = default is not None, setting.metavar or None
    return click.option(*names, type=kind, default=default, show_default=shown_default, metavar=metavar, help=text, shell_complete=complete)


def _to_mapping(ctx: click.Context, parameter: click.Parameter, pairs: Sequence[tuple[str, str]]) -> dict[str, str] | None:
    """Collect repeated pairs; None without any."""
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise click.BadParameter(f"{twice} is given twice; choose two names", ctx, parameter)
    return dict(pairs) or None


def _type_of(item: Field) -> Any:
    if item.choices:
        return click.Choice(item.choices)
    if item.members == (int,):
        return click.IntRange(min=item.setting.ge)
    return str


def _to_click(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wrap a parser: its ValueError becomes an error of the option."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert
