"""`camdbench layers`: target layers of a model."""

from __future__ import annotations

from typing import Any

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_specs


@click.command("layers", short_help="List the target layers of a model.")
@click.argument("model", shell_complete=complete_specs("models"))
@click.option("--size", type=click.IntRange(min=1), help="Side length of the input in pixels.  [default: the model's own]")
@click.option("--all", "everything", is_flag=True, help="Include layers that cannot be explained, with the reason.")
@shared_options.plugin
@shared_options.as_json
@shared_options.verbose
def command(model: str, size: int | None, everything: bool, as_json: bool) -> None:
    r"""List the layers of a model that can be explained, with the shape of their activations; the default is marked.

    No weights are needed, as shapes do not depend on them. `NAME[-1]` is the last call of a module that runs more than once;
    `followed by relu` marks a layer whose output enters an activation function, after which the map has other values.

    \b
    camdbench layers resnet50
    camdbench layers vit_b_16 --all
    camdbench layers 'nets.py:small(width=8)'
    """
    from camdbench.models.layer_table import layers_of

    classifier, listed = layers_of(model, size)
    found = [layer for layer in listed if everything or not layer.problem]
    rows: list[dict[str, Any]] = [
        layer._asdict() | {"shape": [layer.channels, layer.height, layer.width], "default": layer.name == classifier.layer}
        for layer in found
    ]
    if as_json:
        shared_options.print_json(
            [{"name": row["name"], **{key: row[key] for key in ("kind", "shape", "default", "problem", "followed_by")}} for row in rows]
        )
        return
    if not rows:
        hint = "" if everything or not listed else "; --all shows the reasons"
        echo(f"model {model}: none of its {len(listed)} layers can be explained{hint}", err=True)
    names, kinds = (max((len(row[key]) for row in rows), default=0) for key in ("name", "kind"))
    for row in rows:
        shape = " x ".join(map(str, row["shape"])) if row["channels"] else "-"
        note = "default" if row["default"] else row["problem"] or (f"followed by {row['followed_by']}" if row["followed_by"] else "")
        echo(f"{row['name']:<{names}}  {row['kind']:<{kinds}}  {shape:<16}{note}".rstrip())
