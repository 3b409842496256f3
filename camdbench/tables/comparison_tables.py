"""Tables of comparisons: pairs, mean ranks, agreement of metrics, variance between seeds, differing settings."""

from __future__ import annotations

from collections.abc import Iterator
from math import isinf, isnan

import pandas as pd

from camdbench.tables.summary_tables import span
from camdbench.tables.table import DAGGER, Cell, Column, Section, Table, text_rows

_PLACE = ["model", "dataset", "split", "target_rule", "metric", "protocol"]
_PAIRS = (
    Column("a", "a", "text"),
    Column("b", "b", "text"),
    Column("n", "n", "number", wide_only=True, in_print=False),
    Column("difference", "difference", "number"),
    Column("interval", "95 % interval", "number"),
    Column("rank_biserial", "rank biserial", "number", wide_only=True),
    Column("p_wilcoxon", "p Wilcoxon", "number", wide_only=True, in_print=False),
    Column("p_holm", "p Holm", "number"),
    Column("min_detectable_difference", "min. detectable", "number", wide_only=True, in_print=False),
    Column("better", "better", "text", in_print=False),
)
_SEEDS = (
    Column("explainer", "explainer", "text"),
    Column("mean", "mean", "number"),
    Column("interval", "95 % interval", "number", wide_only=True),
    Column("sd_seeds", "sd seeds", "number"),
    Column("sd_images", "sd images", "number"),
    Column("sd_residual", "sd residual", "number", wide_only=True),
    Column("seeds", "seeds", "number", wide_only=True),
    Column("n", "images", "number", wide_only=True),
    Column("seeds_needed", "seeds needed", "number"),
    Column("images_needed", "images needed", "number"),
    Column("min_detectable_difference", "min. detectable", "number", wide_only=True),
)
_MEANS = "sd: standard deviation between seeds, between images, and of the residual, each ± its standard error (none if sd is 0)."


def pair_tables(compared: pd.DataFrame, *, alpha: float | None = None) -> list[Table]:
    """Tables of the pairs, one per metric.

    Args:
        compared: output of `compare`.
        alpha: significance level for LaTeX, where bold marks the better one and a dagger differences that are not significant.
    """
    found = list[Table]()
    for key, lines in compared.groupby(_PLACE, sort=False):
        texts = lines.assign(interval=_intervals(lines), better=lines["better"].replace("", "—"))
        texts = texts.assign(**{name: lines[name].map(_two) for name in ("difference", "rank_biserial", "min_detectable_difference")})
        texts = texts.assign(**{name: lines[name].map(_probability) for name in ("p_wilcoxon", "p_holm")})
        rows, notes = text_rows(*(texts[column.key] for column in _PAIRS)), ()
        if alpha is not None:
            rows, notes = (
                tuple(_mark_better(row, alpha, p) for row, p in zip(rows, lines["p_holm"], strict=True)),
                _print_notes(lines, alpha),
            )
        found.append(Table(_title(*map(str, key)), _PAIRS, (Section(rows),), notes))
    return found


def _mark_better(row: tuple[Cell, ...], alpha: float, p: float) -> tuple[Cell, ...]:
    a, b, n, difference, *rest, better = row
    names = [Cell(name.text, emphasis="best" if name.text == better.text else "") for name in (a, b)]
    return (*names, n, Cell(difference.text, marker="" if p < alpha else DAGGER), *rest, better)


def _print_notes(lines: pd.DataFrame, alpha: float) -> tuple[str, ...]:
    note = f"Over {span(lines['n'])} image{'' if lines['n'].max() == 1 else 's'}; the better one is bold."
    if not (lines["p_holm"] < alpha).all():
        note += f" {DAGGER} not significant: paired permutation test, Holm-corrected within the metric, {alpha:.3g}."
    return (note,)


def rank_tables(ranks: pd.DataFrame, agreement: pd.DataFrame | None) -> list[Table]:
    """Tables of mean ranks (output of `rank`) and of the agreement of metrics (output of `agree`)."""
    found = list[Table]()
    for (model, metric), lines in ranks.groupby(["model", "metric"], sort=False):
        first, p = lines.iloc[0], _probability(lines["friedman_p"].iloc[0])
        title = f"mean rank · {metric} · {model}: Friedman p {p}, Kendall's W {first['kendall_w']:.2f}, {first['n']} images"
        rows = text_rows(lines["explainer"], lines["rank"].map("{:.2f}".format))
        found.append(Table(title, (Column("explainer", "explainer", "text"), Column("rank", "rank", "number")), (Section(rows),)))
    if agreement is not None:
        words, numbers = ("model", "metric_a", "metric_b"), ("n_explainers", "spearman", "kendall")
        columns = (
            *(Column(name, name.replace("_", " "), "text") for name in words),
            *(Column(name, name.removeprefix("n_"), "number") for name in numbers),
        )
        texts = agreement.assign(**{name: agreement[name].map("{:.2f}".format) for name in ("spearman", "kendall")})
        rows = text_rows(*(texts[name] for name in (*words, *numbers)))
        found.append(Table("agreement of metrics: rank correlation of the orders of explainers", columns, (Section(rows),)))
    return found


def seed_tables(spread: pd.DataFrame, *, half_width: float | None = None) -> list[Table]:
    """Tables of variance components, one per model and metric.

    Args:
        spread: output of `seed_spread`.
        half_width: half width of the desired interval.
    """
    aim = "half of this interval" if half_width is None else f"± {half_width:g}"
    needed = f"needed: seeds on these images, or images under these seeds, for an interval of {aim}; ∞ if that is not enough."
    found = list[Table]()
    for key, lines in spread.groupby(["network", *_PLACE[1:]], sort=False):
        texts = lines.assign(
            interval=_intervals(lines), mean=lines["mean"].map(_two), min_detectable_difference=lines["min_detectable_difference"].map(_two)
        )
        texts = texts.assign(**{f"sd_{name}": list(_with_errors(lines, name)) for name in ("seeds", "images", "residual")})
        texts = texts.assign(**{name: lines[name].map(_count) for name in ("seeds_needed", "images_needed")})
        rows = text_rows(*(texts[column.key] for column in _SEEDS))
        detectable = (
            f"min. detectable: smallest difference to another recipe, trained with {span(lines['seeds'])} seeds, "
            "that a t-test over seeds detects with 80 % power."
        )
        found.append(Table(_title(*map(str, key)), _SEEDS, (Section(rows),), (_MEANS, needed, detectable)))
    return found


def diff_table(found: pd.DataFrame, a: str, b: str) -> list[Table]:
    """Table of differing settings (output of `diff`); empty list if none differ."""
    columns = tuple(Column(key, heading, "text") for key, heading in zip(found.columns, ("section", "setting", a, b), strict=True))
    return [Table("", columns, (Section(text_rows(*(found[name] for name in found.columns))),))] if len(found) else []


def _title(network: str, dataset: str, split: str, target_rule: str, metric: str, protocol: str) -> str:
    return f"{metric} ({protocol}) · {network} · {dataset} {split} · target: {target_rule}"


def _intervals(lines: pd.DataFrame) -> list[str]:
    return [f"[{_two(low)}, {_two(high)}]" for low, high in zip(lines["ci_low"], lines["ci_high"], strict=True)]


def _with_errors(lines: pd.DataFrame, name: str) -> Iterator[str]:
    for sd, se in zip(lines[f"sd_{name}"], lines[f"se_{name}"], strict=True):
        yield _two(sd) if isnan(se) else f"{_two(sd)} ± {_two(se)}"


def _probability(p: float) -> str:
    """Format a p-value with three decimals.

    >>> _probability(0.0001), _probability(0.25), _probability(float("nan"))
    ('<0.001', '0.250', '—')
    """
    if isnan(p):
        return "—"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _two(number: float) -> str:
    """Format with two decimals; zero has no sign.

    >>> _two(-1.234), _two(-0.001), _two(float("nan"))
    ('-1.23', '0.00', '—')
    """
    return "—" if isnan(number) else f"{number:.2f}".replace("-0.00", "0.00")


def _count(number: float) -> str:
    """Format a count, which may be NaN or infinite.

    >>> _count(1200.0), _count(float("inf")), _count(float("nan"))
    ('1,200', '∞', '—')
    """
    if isnan(number):
        return "—"
    return "∞" if isinf(number) else f"{number:,.0f}"
