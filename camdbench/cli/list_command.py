"""`camdbench list`: registered explainers, metrics, models, data sets, losses and recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_kind
from camdbench.core import registries
from camdbench.core.cost import Cost
from camdbench.core.errors import UsageError
from camdbench.core.facts import arrow
from camdbench.core.map_sum import Completeness
from camdbench.core.metric_audit import audit_lines
from camdbench.core.references import has_reference
from camdbench.core.registry import Registry
from camdbench.core.registry_entry import Entry
from camdbench.core.spec import parse_spec, parse_specs

_KINDS: dict[str, Registry[Any]] = {
    "explainers": registries.explainers,
    "metrics": registries.metrics,
    "models": registries.models,
    "datasets": registries.datasets,
    "losses": registries.losses,
}


@click.command("list", short_help="List explainers, metrics, models, datasets, losses or recipes.")
@click.argument("kind", type=click.Choice([*_KINDS, "recipes"]))
@click.argument("name", required=False, shell_complete=complete_kind)
@click.option(
    "--estimate-time",
    "probe",
    is_flag=True,
    help="With recipes: estimate the run time of each on this machine, from a measurement of 5 seconds.",
)
@shared_options.plugin
@shared_options.as_json
@shared_options.verbose
def command(kind: str, name: str | None, as_json: bool, probe: bool) -> None:
    r"""List all entries, one line each; with NAME, its options, paper and requirements.

    \b
    camdbench list explainers
    camdbench list explainers opticam
    camdbench list models --json
    camdbench list recipes opticam-table1
    """
    if kind == "recipes":
        from camdbench.cli.recipes import list_recipes

        list_recipes(name, as_json=as_json, probe=probe)
        return
    if name is not None and has_reference(name):
        entries = [_describe(_own(kind, name))]
    else:
        entries = [_describe(entry) for entry in _KINDS[kind]]
        if kind == "models":
            entries += _torchvision() + _timm(name) + _transformers()
        if name is not None:
            entries = [_find_entry(kind, name, entries)]
    if as_json:
        shared_options.print_json(entries)
    elif name is not None:
        _print_details(entries[0])
    else:
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            notes = "; ".join(filter(None, [_metric_notes(entry), ", ".join(entry.get("needs", ())), entry.get("cost")]))
            echo(f"{entry['name']:<{width}}  {entry['summary']}" + (f"  [{notes}]" if notes else ""))
        echo(f"{len(entries)} {kind}", err=True)


def _own(kind: str, text: str) -> Entry[Any]:
    """Entry of a reference `[NAME=]FILE.py:NAME`.

    Raises:
        UsageError: the kind has no entries of functions, or the reference cannot be loaded.
    """
    from camdbench.explainers.common.own_explainers import own_explainers
    from camdbench.metrics.common.own_metrics import own_metrics
    from camdbench.trainer.own_losses import own_losses

    doors: dict[str, Any] = {"explainers": own_explainers, "metrics": own_metrics, "losses": own_losses}
    if kind not in doors:
        raise UsageError(
            f"list {kind} {text}: a file's explainers, metrics and losses can be listed; of models see: camdbench layers {text}"
        )
    with doors[kind](text) as found:
        specs = parse_specs(found) if isinstance(found, str) else [parse_spec(own) for own in found]
        return _KINDS[kind].get(specs[0].name)


def _metric_notes(entry: dict[str, Any]) -> str:
    """Direction, unit, scope and protocols of a metric; empty for other entries."""
    if "higher_is_better" not in entry:
        return ""
    direction = arrow(entry["higher_is_better"], entry["unit"])
    protocols = "protocol " + " | ".join(protocol["name"] for protocol in entry["protocols"])
    return "; ".join([*filter(None, [direction]), *(["of the model"] if entry["scope"] == "model" else []), protocols])


def _describe(entry: Entry[Any]) -> dict[str, Any]:
    given = [{"name": option.name, "type": option.annotation, "default": option.default} for option in entry.options]
    return (
        {"name": entry.name, "summary": entry.summary}
        | asdict(entry.facts)
        | _cost(entry)
        | _audit(entry)
        | _completeness(entry)
        | {"wraps": entry.wraps, "options": given, "doc": entry.doc, "module": entry.module}
    )


def _cost(entry: Entry[Any]) -> dict[str, Any]:
    """Image passes of an explainer: the formula in its options, and their number at the defaults."""
    cost: Cost | None = getattr(entry.facts, "cost", None)
    if cost is None:
        return {}
    switches = [option.name for option in entry.options if isinstance(option.default, bool)]
    return {"cost": cost.describe(switches)} | ({} if entry.wraps else {"passes": str(cost.passes(entry.defaults()))})


def _audit(entry: Entry[Any]) -> dict[str, Any]:
    """Lines of the published audit of a metric; empty for other entries and without an audit."""
    lines = audit_lines(entry.name) if hasattr(entry.facts, "higher_is_better") else []
    return {"audit": lines} if lines else {}


def _completeness(entry: Entry[Any]) -> dict[str, Any]:
    """What the raw map of an explainer sums to, as text."""
    claim: Completeness | None = getattr(entry.facts, "completeness", None)
    return {} if claim is None else {"completeness": str(claim)}


def _torchvision() -> list[dict[str, Any]]:
    from camdbench.models.torchvision_zoo import names

    summary = "torchvision; weights by name@WEIGHTS, --weights FILE, or name@random"
    return [{"name": name, "summary": summary, "module": "torchvision.models"} for name in names()]


def _timm(name: str | None) -> list[dict[str, Any]]:
    """One line for all models of timm, or the named one."""
    from camdbench.core.model_names import TIMM
    from camdbench.models import timm_zoo

    known = timm_zoo.names()
    weights = "weights by name@TAG, --weights FILE, or name@random"
    if name in known:
        return [{"name": name, "summary": f"timm; {weights}", "module": "timm.models"}]
    what = f"{len(known)} models of timm (see: timm.list_models())" if known else "not installed: pip install 'camdbench[timm]'"
    return [{"name": f"{TIMM}NAME", "summary": f"{what}; {weights}", "module": "timm.models"}]


def _transformers() -> list[dict[str, Any]]:
    """How networks of transformers are named; their names are those of the hub."""
    from importlib.util import find_spec

    there = find_spec("transformers") is not None
    what, texts = ("image classifier of transformers", "CLIP or SigLIP") if there else ("not installed: pip install 'camdbench[hf]'",) * 2
    forms = {
        "hf/ORG/NAME": f"{what}; from the hub's cache, or fetched with --download; also hf/ORG/NAME@REVISION",
        "hf/./FOLDER": f"{what}; from a folder of save_pretrained",
        "hf-zero-shot/ORG/NAME": f"{texts}; classes by --prompts FILE; also hf-zero-shot/./FOLDER",
    }
    return [{"name": name, "summary": summary, "module": "transformers"} for name, summary in forms.items()]


def _find_entry(kind: str, name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    from camdbench.core.errors import unknown

    if kind in _KINDS and kind != "models":
        name = _KINDS[kind].get(name).name  # resolves aliases and explains refused names
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise unknown(kind.removesuffix("s") if kind != "losses" else "loss", name, [entry["name"] for entry in entries])


def _print_details(entry: dict[str, Any]) -> None:
    echo(f"{entry['name']}\n\n{entry.get('doc', entry['summary'])}\n")
    for key, value in entry.items():
        if key == "protocols":
            _print_protocols(value)
        elif key == "audit":
            for line in value:
                echo(f"{key:<18}{line}")
        elif key == "differs":
            for other in value:
                echo(f"{'differs':<18}{other['who']}: {other['what']}" + (f"; {other['effect']}" if other["effect"] else ""))
        elif key not in ("name", "summary", "doc", "options", "wraps") and value not in ((), [], "", None):
            echo(f"{key.replace('_', ' '):<18}{', '.join(map(str, value)) if isinstance(value, list | tuple) else value}")
    given = entry.get("options", [])
    echo("options" if given or entry.get("wraps") else "no options")
    for _ in range(entry.get("wraps", 0)):
        echo("  DATASET  (another data set with its options)" if "splits" in entry else "  EXPLAINER  (another explainer with its options)")
    for option in given:
        echo(f"  {option['name']}={option['default']!r}  ({option['type']})")


def _print_protocols(protocols: Sequence[dict[str, Any]]) -> None:
    echo("protocols")
    for place, protocol in enumerate(protocols):
        switches = {key: value for key, value in protocol.items() if key not in ("name", "options") and value}
        written = "; ".join(f"{key}: {value}" for key, value in (switches | protocol["options"]).items())
        echo(f"  {protocol['name']}{' (default)' if place == 0 else ''}  {written}")
