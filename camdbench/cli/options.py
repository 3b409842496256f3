"""Options that several verbs share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from camdbench.core.precision import PRECISIONS
from camdbench.core.registry import load_plugin

F = TypeVar("F", bound=Callable[..., Any])


def _statistics(text: str) -> float | tuple[float, ...]:
    """One number, or three with commas: `0.5` or `0.485,0.456,0.406`."""
    try:
        numbers = tuple(float(item) for item in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise click.BadParameter(f"{text!r}: expected one number, or three with commas")
    return numbers[0] if len(numbers) == 1 else numbers


def _load_plugins(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> None:
    del ctx, parameter
    for value in values:
        load_plugin(value)


plugin = click.option(
    "--plugin",
    multiple=True,
    metavar="FILE",
    callback=_load_plugins,
    is_eager=True,
    expose_value=False,
    help="A Python file that registers explainers, metrics, … of your own.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects.")
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
seed = click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of methods that draw random numbers.")
precision = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Of scores of images that an explainer has altered; gradients and metrics are in fp32.",
)
verbose = click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show warnings, and where an unexpected error happened.")
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")


def model_options(function: F) -> F:
    """Options that say how a named model is made."""
    options = [
        click.option("--weights", metavar="FILE", help="Weights of a model of torchvision or timm: safetensors or a state dict."),
        click.option(
            "--mean",
            type=_statistics,
            metavar="NUMBERS",
            help="Mean of the input normalisation on the scale of [0, 1]: one number, or three with commas.",
        ),
        click.option("--std", type=_statistics, metavar="NUMBERS", help="Standard deviation, likewise."),
        click.option("--layer", metavar="NAME", help="Target layer instead of the model's own (see: camdbench layers)."),
        click.option("--download", is_flag=True, help="Let torchvision or timm fetch weights or data that are not on this machine."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def print_json(objects: Sequence[Any]) -> None:
    """Print a list of objects as JSON."""
    click.echo(json.dumps(objects, indent=2, ensure_ascii=False))
