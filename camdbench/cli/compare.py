"""`camdbench compare`: which differences are more than chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from camdbench.cli import options

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from camdbench.tables.listing import Listing

_WIDE = 120  # characters that all columns need


@click.command("compare", short_help="Test which explainers, runs or training seeds really differ.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [OTHER]...")
@click.option("-m", "--metrics", help="Specs of the runs' metrics with commas.  [default: all whose number is a mean over images]")
@click.option("--alpha", default=0.05, show_default=True, type=click.FloatRange(0, 1, min_open=True), help="Level of significance.")
@click.option("--seeds", "over_seeds", is_flag=True, help="The spread over training seeds, of networks that differ in nothing else.")
@click.option("--within", type=float, metavar="W", help="With --seeds: the interval that is wanted, ± W.  [default: half of what it is]")
@click.option("--format", "form", type=click.Choice(["table", "csv", "markdown", "latex", "json"]), default="table", show_default=True)
@options.seed
@options.verbose
def command(runs: Sequence[str], metrics: str | None, alpha: float, over_seeds: bool, within: float | None, form: str, seed: int) -> None:
    r"""Compare the explainers of a run pair by pair on the same images, or the same cells of two runs.

    Wilcoxon's signed-rank test and a sign-flipping permutation test of the mean, the latter corrected by Holm within each
    metric; effect sizes; the smallest difference that this many images would show. Of a single run also mean ranks with
    Friedman's test, and how far metrics agree about the order.

    With --seeds, how much of each number is chance of the training and how much chance of the images, for networks of one
    recipe trained under several seeds, in one run or several; they are known by the records of their training, or by names
    such as NAME-s0, NAME-s1. Then how many seeds or images would be needed.

    \b
    camdbench compare runs/shortcuts-val-1a2b3c4d
    camdbench compare RUN --metrics ad,ag --format csv > pairs.csv
    camdbench compare RUN_A RUN_B
    camdbench compare RUN --seeds
    camdbench compare RUN_S0 RUN_S1 RUN_S2 --seeds --within 1.0
    """
    from camdbench.core.catalogue import metrics as registry

    chosen = None if metrics is None else [str(spec) for spec in registry.parse(metrics)]
    if over_seeds:
        _over_seeds(runs, chosen, within, form)
        return
    if within is not None:
        raise click.UsageError("--within is for --seeds")
    if len(runs) > 2:
        raise click.UsageError(f"{len(runs)} runs: expected one or two; several are compared by --seeds")
    _pairs(runs, chosen, alpha, form, seed)


def _over_seeds(runs: Sequence[str], metrics: list[str] | None, within: float | None, form: str) -> None:
    from rich.console import Console

    from camdbench.tables import listing, written
    from camdbench.tables.seeds import seed_spread

    spread = seed_spread(runs, metrics=metrics, within=within)
    tables = written.seeds(spread, within=within)
    if form == "table":
        console = Console()
        for table in tables:
            _show(console, table)
        _say(console, dict.fromkeys(note for table in tables for note in table.notes))
        _name_left_out(console, tables[0])
    elif not _data(spread, form):
        click.echo((listing.to_markdown if form == "markdown" else listing.to_latex)(tables), nl=False)


def _pairs(runs: Sequence[str], metrics: list[str] | None, alpha: float, form: str, seed: int) -> None:
    from camdbench.tables import listing, written
    from camdbench.tables.compare import compare

    compared = compare(runs[0], runs[1] if len(runs) > 1 else None, metrics=metrics, alpha=alpha, seed=seed)
    if form == "table":
        _print(compared, runs[0] if len(runs) == 1 else None, metrics)
    elif form == "markdown":
        click.echo(listing.to_markdown(written.pairs(compared)), nl=False)
    elif form == "latex":
        click.echo(listing.to_latex(written.pairs(compared, alpha=alpha)), nl=False)
    else:
        _data(compared, form)


def _data(table: pd.DataFrame, form: str) -> bool:
    """Print a table with all its columns as CSV or JSON; whether it was one of these."""
    if form == "csv":
        click.echo(table.to_csv(index=False, float_format="%.6g", lineterminator="\n"), nl=False)
    elif form == "json":
        finite = table.replace([float("inf")], float("nan")).astype(object)  # JSON knows neither
        options.print_json(finite.where(finite.notna(), None).to_dict("records"))
    return form in ("csv", "json")


def _print(compared: pd.DataFrame, run: str | None, metrics: list[str] | None) -> None:
    from rich.console import Console

    from camdbench.core.errors import UsageError
    from camdbench.tables.listing import Listing
    from camdbench.tables.ranks import agree, rank
    from camdbench.tables.written import pairs, probability

    console = Console()
    tables = pairs(compared)
    for table in tables:
        _show(console, table)
    _name_left_out(console, tables[0])
    if run is None:
        return
    for (model, metric), lines in rank(run, metrics).groupby(["model", "metric"], sort=False):
        first, p = lines.iloc[0], probability(lines["friedman_p"].iloc[0])
        title = f"mean rank · {metric} · {model}: Friedman p {p}, Kendall's W {first['kendall_w']:.2f}, {first['n']} images"
        _show(console, Listing(title, lines.assign(rank=lines["rank"].map("{:.2f}".format))[["explainer", "rank"]], ("explainer",)))
    try:
        agreement = agree(run)
    except UsageError:
        return  # one metric, or two explainers: there is no agreement to speak of
    shown = agreement.assign(**{name: agreement[name].map("{:.2f}".format) for name in ("spearman", "kendall")})
    words = ("model", "first", "second")
    _show(console, Listing("do metrics agree about the order?", shown[[*words, "explainers", "spearman", "kendall"]], words))


def _name_left_out(console: Console, listing: Listing) -> None:
    if console.width < _WIDE:
        _say(console, [f"not shown, for want of {_WIDE} columns of text: {', '.join(listing.aside)}; see --format csv"])


def _say(console: Console, lines: Iterable[str]) -> None:
    console.print("\n".join(lines), markup=False, highlight=False)


def _show(console: Console, listing: Listing) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    lines = listing.lines if console.width >= _WIDE else listing.lines.drop(columns=list(listing.aside))
    table = Table(box=box.SIMPLE_HEAD)
    for name in lines.columns:
        left = name in listing.words
        table.add_column(str(name), justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for line in lines.itertuples(index=False):
        table.add_row(*(Text(str(text)) for text in line))
    console.print(Text(listing.title, style="bold"), table)
