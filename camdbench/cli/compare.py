"""`camdbench compare`: which differences are more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from camdbench.cli import shared_options
from camdbench.cli.output import in_format, show

if TYPE_CHECKING:
    from camdbench.tables.render import Format
    from camdbench.tables.table import Table


@click.command("compare", short_help="Test which explainers, runs or training seeds really differ.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A [RUN_B]...")
@click.option("-m", "--metrics", help="Specs of the runs' metrics with commas.  [default: all whose number is a mean over images]")
@click.option("--alpha", default=0.05, show_default=True, type=click.FloatRange(0, 1, min_open=True), help="Level of significance.")
@click.option(
    "--training-seeds", "over_seeds", is_flag=True, help="Variance between training seeds, of networks that differ in their seed alone."
)
@click.option(
    "--half-width",
    type=float,
    metavar="W",
    help="With --training-seeds: half width of the wanted interval.  [default: half of the present one]",
)
@in_format
@shared_options.seed
@shared_options.verbose
def command(
    runs: Sequence[str], metrics: str | None, alpha: float, over_seeds: bool, half_width: float | None, form: Format, seed: int
) -> None:
    r"""Compare the explainers of a run pair by pair on the same images, or the same cells of two runs.

    Wilcoxon's signed-rank test and a sign-flipping permutation test of the mean, the latter corrected by Holm within each
    metric; effect sizes; the smallest difference that this many images would show. Of a single run also mean ranks with
    Friedman's test, and how far metrics agree about the order.

    With --training-seeds: variance components of each mean, between training seeds and between images, for networks of one
    recipe trained under several seeds, in one run or several, and the number of seeds or images that a narrower interval needs.
    The networks are recognised by the records of their training, or by names such as NAME-s0, NAME-s1.

    \b
    camdbench compare runs/shortcuts-val-1a2b3c4d
    camdbench compare RUN --metrics ad,ag --format csv > pairs.csv
    camdbench compare RUN_A RUN_B
    camdbench compare RUN --training-seeds
    camdbench compare RUN_S0 RUN_S1 RUN_S2 --training-seeds --half-width 1.0
    """
    from camdbench.core.registries import metrics as registry

    chosen = None if metrics is None else [str(spec) for spec in registry.parse(metrics)]
    if over_seeds:
        _over_seeds(runs, chosen, half_width, form)
        return
    if half_width is not None:
        raise click.UsageError("--half-width is for --training-seeds")
    if len(runs) > 2:
        raise click.UsageError(f"{len(runs)} runs: expected one or two; several are compared by --training-seeds")
    _pairs(runs, chosen, alpha, form, seed)


def _over_seeds(runs: Sequence[str], metrics: list[str] | None, half_width: float | None, form: Format) -> None:
    from camdbench.tables.comparison_tables import seed_tables
    from camdbench.tables.seed_variance import seed_spread

    spread = seed_spread(runs, metrics=metrics, half_width=half_width)
    show(seed_tables(spread, half_width=half_width), spread, form, notes_last=True)


def _pairs(runs: Sequence[str], metrics: list[str] | None, alpha: float, form: Format, seed: int) -> None:
    from camdbench.tables.comparison import compare
    from camdbench.tables.comparison_tables import pair_tables

    compared = compare(runs[0], runs[1] if len(runs) > 1 else None, metrics=metrics, alpha=alpha, seed=seed)
    tables = pair_tables(compared, alpha=alpha if form == "latex" else None)
    if form == "table" and len(runs) == 1:
        tables += _ranks(runs[0], metrics)
    show(tables, compared, form)


def _ranks(run: str, metrics: list[str] | None) -> list[Table]:
    from camdbench.core.errors import UsageError
    from camdbench.tables.comparison_tables import rank_tables
    from camdbench.tables.mean_ranks import agree, rank

    try:
        agreement = agree(run)
    except UsageError:  # one metric, or two explainers
        agreement = None
    return rank_tables(rank(run, metrics), agreement)
