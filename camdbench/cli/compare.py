"""`camdbench compare`: paired tests, ranks and variance between training seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from camdbench.cli import shared_options
from camdbench.cli.output import in_format, show

if TYPE_CHECKING:
    from camdbench.tables.render import Format
    from camdbench.tables.table import Table


@click.command("compare", short_help="Test differences between explainers, runs or training seeds.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A [RUN_B]...")
@click.option("-m", "--metrics", help="Metric specs of the runs, comma-separated.  [default: all that are means over images]")
@click.option(
    "--alpha",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Significance level of the Holm-corrected test.",
)
@click.option("--training-seeds", "over_seeds", is_flag=True, help="Variance components: between training seeds and between images.")
@click.option(
    "--half-width",
    type=float,
    metavar="W",
    help="With --training-seeds: desired half width of the 95 % interval of the mean.  [default: half of the present one]",
)
@in_format
@shared_options.seed
@shared_options.verbose
def command(
    runs: Sequence[str], metrics: str | None, alpha: float, over_seeds: bool, half_width: float | None, form: Format, seed: int
) -> None:
    r"""Paired tests of the explainers of a run, or of the same explainers in two runs, on their common images.

    Columns: difference of means with 95 % bootstrap interval; matched-pairs rank-biserial correlation; p-values of the Wilcoxon
    signed-rank test and of the sign-flip permutation test, the latter Holm-corrected within each metric; the minimum detectable
    difference at 80 % power. A single run also gives mean ranks with Friedman's test and rank correlations between metrics.

    With --training-seeds: variance components of each mean, between training seeds and between images, and the number of seeds or
    images that a narrower interval needs. The models must differ in the training seed only, by their training records or by names
    such as NAME-s0, NAME-s1; they may be in one run or in several.

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
        raise click.UsageError(f"--half-width = {half_width:g}: needs --training-seeds; add it")
    if len(runs) > 2:
        raise click.UsageError(f"{len(runs)} runs: expected one or two; give two runs, or add --training-seeds")
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
