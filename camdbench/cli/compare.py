"""`camdbench compare`: paired tests, ranks and variance between training seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from camdbench.cli import shared_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path, complete_specs
from camdbench.cli.output import in_format, show

if TYPE_CHECKING:
    import pandas as pd

    from camdbench.tables.pool import Pooled
    from camdbench.tables.render import Format
    from camdbench.tables.table import Table


@click.command("compare", short_help="Test differences between explainers, runs or training seeds.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A [RUN_B]...", shell_complete=complete_path("RUN"))
@click.option(
    "-m",
    "--metrics",
    help="Metric specs of the runs, comma-separated.  [default: all that are means over images]",
    shell_complete=complete_specs("metrics"),
)
@click.option(
    "--alpha",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Significance level of the Holm-corrected test.",
)
@click.option("--across", is_flag=True, help="Compare two runs: their cells of the same explainer and metric.")
@click.option("--all", "everything", is_flag=True, help="Print all pairs and all ranks, not only the pairs of the best explainer.")
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
    runs: Sequence[str],
    metrics: str | None,
    alpha: float,
    across: bool,
    everything: bool,
    over_seeds: bool,
    half_width: float | None,
    form: Format,
    seed: int,
) -> None:
    r"""Paired tests of the explainers of a run, on their common images.

    Several runs with different explainers, models or metrics are read as one if data, networks, code, target and protocols agree.
    --across compares the same explainers in two runs.

    Columns: difference of means with 95 % bootstrap interval; matched-pairs rank-biserial correlation; p-values of the Wilcoxon
    signed-rank test and of the sign-flip permutation test, the latter Holm-corrected within each metric over the different
    explainers that are no controls; the minimum detectable difference at 80 % power. The table shows the pairs of the explainer
    with the best mean rank; --all adds the other pairs, mean ranks with Friedman's test, and rank correlations between metrics.
    Other formats hold all pairs.

    With --training-seeds: variance components of each mean, between training seeds and between images, and the number of seeds or
    images that a narrower interval needs. The models must differ in the training seed only, by their training records or by names
    such as NAME-s0, NAME-s1; they may be in one run or in several.

    \b
    camdbench compare runs/shortcuts-val-1a2b3c4d
    camdbench compare RUN --metrics ad,ag --format csv > pairs.csv
    camdbench compare RUN_A RUN_B --all
    camdbench compare RUN_A RUN_B --across
    camdbench compare RUN --training-seeds
    camdbench compare RUN_S0 RUN_S1 RUN_S2 --training-seeds --half-width 1.0
    """
    from camdbench.tables.comparison import compare
    from camdbench.tables.pool import load_pooled

    chosen = None if metrics is None else _specs(metrics)
    if over_seeds:
        _over_seeds(runs, chosen, half_width, form)
        return
    if half_width is not None:
        raise click.UsageError(f"--half-width = {half_width:g}: needs --training-seeds; add it")
    pooled = None if across else load_pooled(runs)
    compared = compare(*(runs if pooled is None else [pooled]), across=across, metrics=chosen, alpha=alpha, seed=seed)
    _show_pairs(compared, pooled, chosen, alpha, form, everything=everything)


def _specs(text: str) -> list[str]:
    """Specs as rows have them: canonical; those that are not registered, such as the user's in the run, stay."""
    from camdbench.core.errors import UsageError
    from camdbench.core.references import has_reference
    from camdbench.core.registries import metrics
    from camdbench.core.spec import parse_specs

    if has_reference(text):
        from camdbench.metrics.common.own_metrics import own_metrics

        with own_metrics(text) as found:
            return [str(spec) for spec in metrics.parse(found or ())]
    specs = list[str]()
    for spec in parse_specs(text):
        try:
            metrics.get(spec.name)
        except UsageError:  # the message of `compare` lists the metrics of the run
            specs.append(str(spec))
        else:
            specs.append(str(metrics.check(spec)))
    return specs


def _over_seeds(runs: Sequence[str], metrics: list[str] | None, half_width: float | None, form: Format) -> None:
    from camdbench.tables.comparison_tables import seed_tables
    from camdbench.tables.seed_variance import seed_spread

    spread = seed_spread(runs, metrics=metrics, half_width=half_width)
    show(seed_tables(spread, half_width=half_width), spread, form, notes_last=True)


def _show_pairs(
    compared: pd.DataFrame, pooled: Pooled | None, metrics: list[str] | None, alpha: float, form: Format, *, everything: bool
) -> None:
    """Print the pairs; the terminal shows the leading ones, or all with ranks and the agreement of metrics."""
    from camdbench.tables.comparison_tables import leading_pairs, pair_tables

    if form != "table" or pooled is None:
        show(pair_tables(compared, alpha=alpha if form == "latex" else None, level=alpha), compared, form)
        return
    ranks, rank_tables = _ranks(pooled, metrics)
    shown = compared if everything or ranks is None else leading_pairs(compared, ranks)
    show([*pair_tables(shown, level=alpha), *(rank_tables if everything else ())], compared, form)
    if not everything:
        left = len(compared) - len(shown)
        echo(f"--all: {f'{left} more pairs, ' if left else ''}mean ranks, agreement of metrics")


def _ranks(pooled: Pooled, metrics: list[str] | None) -> tuple[pd.DataFrame | None, list[Table]]:
    """Mean ranks, None if no two explainers share an image, and their tables with the agreement of metrics."""
    from camdbench.core.errors import UsageError
    from camdbench.tables.comparison_tables import rank_tables
    from camdbench.tables.mean_ranks import agree, rank

    try:
        ranks = rank(pooled, metrics=metrics)
    except UsageError:  # no common image
        return None, []
    try:
        agreement = agree(pooled, metrics=metrics)
    except UsageError:  # one metric, or two explainers
        agreement = None
    return ranks, rank_tables(ranks, agreement)
