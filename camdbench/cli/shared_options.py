"""Options shared by several commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from camdbench.cli.names import complete_path
from camdbench.core.registry import load_plugin
from camdbench.core.signs import in_json

F = TypeVar("F", bound=Callable[..., Any])


def _load_plugins(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> None:
    del parameter
    for value in () if ctx.resilient_parsing else values:  # a completion runs no code of the user's
        load_plugin(value)


def _run_options(*names: str) -> Callable[[F], F]:
    """Options of `RunConfig`, which is imported only for a command that has them."""

    def decorate(function: F) -> F:
        from camdbench.cli.config_options import config_options
        from camdbench.runner.config import RunConfig

        return config_options(RunConfig, only=names)(function)

    return decorate


plugin = click.option(
    "--plugin",
    multiple=True,
    metavar="FILE|FOLDER|MODULE",
    shell_complete=complete_path("FILE"),
    callback=_load_plugins,
    is_eager=True,
    expose_value=False,
    help="Python file, folder of such files or importable module that registers explainers, metrics and more.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects.")
device, seed, precision, optimize = map(_run_options, ("device", "seed", "precision", "optimize"))
model_options = _run_options("weights", "prompts", "mean", "std", "layer", "output", "batch_mates", "download")
verbose = click.option(
    "-v", "--verbose", is_flag=True, expose_value=False, help="Show warnings of libraries, and the traceback of an unexpected error."
)
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")


def print_json(objects: Sequence[Any]) -> None:
    """Print a list of objects as JSON; control characters are escaped."""
    click.echo(in_json(json.dumps(objects, indent=2, ensure_ascii=False)))
