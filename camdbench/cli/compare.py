"""`camdbench compare`: which differences are more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from camdbench.cli import options

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


@click.command("compare", short_help="Test which explainers, or which of two runs, really differ.")
@click.argument("run")
@click.argument("other", required=False)
@click.option("-m", "--metrics", help="Specs of the run's metrics with commas.  [default: all whose number is a mean over images]")
@click.option("--alpha", default=0.05, show_default=True, type=click.FloatRange(0, 1, min_open=True), help="Level of significance.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "markdown", "json"]), default="table", show_default=True)
@options.seed
@options.verbose
def command(run: str, other: str | None, metrics: str | None, alpha: float, form: str, seed: int) -> None:
    r"""Compare the explainers of a run pair by pair on the same images, or the same cells of two runs.

    Wilcoxon's signed-rank test and a sign-flipping permutation test of the mean, the latter corrected by Holm within each
    metric; effect sizes; the smallest difference that this many images would show. Of a single run also mean ranks with
    Friedman's test, and how far metrics agree about the order.

    \b
    camdbench compare runs/shortcuts-val-1a2b3c4d
    camdbench compare RUN --metrics ad,ag --format csv > pairs.csv
    camdbench compare RUN_A RUN_B
    """
    from camdbench.core.catalogue import metrics as registry
    from camdbench.tables.compare import compare

    chosen = None if metrics is None else [str(spec) for spec in registry.parse(metrics)]
    pairs = compare(run, other, metrics=chosen, alpha=alpha, seed=seed)
    if form == "csv":
        click.echo(pairs.to_csv(index=False, float_format="%.6g", lineterminator="\n"), nl=False)
    elif form == "json":
        options.print_json(pairs.astype(object).where(pairs.notna(), None).to_dict("records"))
    elif form == "markdown":
        click.echo(_markdown(pairs))
    else:
        _print(pairs, run if other is None else None, chosen)


_SHOWN = {
    "first": "first",
    "second": "second",
    "n": "n",
    "difference": "difference",
    "interval": "95 % interval",
    "effect": "effect",
    "p_wilcoxon": "p Wilcoxon",
    "p_holm": "p Holm",
    "detectable": "detectable",
    "winner": "winner",
}
_WIDE, _ASIDE = 120, ["n", "effect", "p Wilcoxon", "detectable"]  # what stands aside in a narrow terminal; --format csv has it


def _print(pairs: pd.DataFrame, run: str | None, metrics: list[str] | None) -> None:
    from rich.console import Console

    from camdbench.core.errors import UsageError
    from camdbench.tables.ranks import agree, rank

    console = Console()
    for title, table in _tables(pairs):
        _show(console, title, table if console.width >= _WIDE else table.drop(columns=_ASIDE))
    if run is None:
        return
    for (model, metric), lines in rank(run, metrics).groupby(["model", "metric"], sort=False):
        first, p = lines.iloc[0], _number(lines["friedman_p"].iloc[0])
        title = f"mean rank · {metric} · {model}: Friedman p {p}, Kendall's W {first['kendall_w']:.2f}, {first['n']} images"
        _show(console, title, lines.assign(rank=lines["rank"].map("{:.2f}".format))[["explainer", "rank"]])
    try:
        agreement = agree(run)
    except UsageError:
        return  # one metric, or two explainers: there is no agreement to speak of
    shown = agreement.assign(**{name: agreement[name].map("{:.2f}".format) for name in ("spearman", "kendall")})
    _show(console, "do metrics agree about the order?", shown[["model", "first", "second", "explainers", "spearman", "kendall"]])


def _tables(pairs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """A title and the lines of each metric, written out."""
    found = list[tuple[str, "pd.DataFrame"]]()
    for key, lines in pairs.groupby(["model", "dataset", "split", "target_rule", "metric", "protocol"], sort=False):
        model, dataset, split, target_rule, metric, protocol = (str(part) for part in key)
        ends = [f"[{low:.2f}, {high:.2f}]" for low, high in zip(lines["ci_low"], lines["ci_high"], strict=True)]
        written = lines.assign(interval=ends, winner=lines["winner"].replace("", "—"))
        written = written.assign(**{name: lines[name].map("{:.2f}".format) for name in ("difference", "effect", "detectable")})
        written = written.assign(**{name: lines[name].map(_number) for name in ("p_wilcoxon", "p_holm")})
        title = f"{metric} ({protocol}) · {model} · {dataset} {split} · target: {target_rule}"
        found.append((title, written[list(_SHOWN)].rename(columns=_SHOWN)))
    return found


def _number(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _show(console: Console, title: str, lines: pd.DataFrame) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in lines.columns:
        left = name in ("first", "second", "winner", "explainer", "model")
        table.add_column(str(name), justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for line in lines.itertuples(index=False):
        table.add_row(*(Text(str(text)) for text in line))
    console.print(Text(title, style="bold"), table)


def _markdown(pairs: pd.DataFrame) -> str:
    parts = list[str]()
    for title, lines in _tables(pairs):
        rows = [list(lines.columns), ["---"] * len(lines.columns), *lines.astype(str).to_numpy().tolist()]
        parts.append(f"### {title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts)
