"""Tables of comparisons: pairs, mean ranks, agreement of metrics, variance between seeds, differing settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isinf, isnan

import pandas as pd

from camdbench.core.registries import metrics
from camdbench.tables.comparison import least_p
from camdbench.tables.summary_tables import fewer_digits, span, unstable_names
from camdbench.tables.table import DAGGER, Cell, Column, Section, Table, text_rows

_PLACE = ["model", "dataset", "split", "target_rule", "metric", "protocol"]
_PAIRS = (
    Column("a", "a", "text"),
    Column("b", "b", "text"),
    Column("n", "n", "number", in_print=False),
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


def leading_pairs(compared: pd.DataFrame, ranks: pd.DataFrame) -> pd.DataFrame:
    """Pairs (output of `compare`) of the explainer with the best mean rank (output of `rank`) and others of Holm's family.

    A metric without such a pair keeps all its pairs.
    """
    tested = {*compared.loc[compared["p_least"].notna(), ["a", "b"]].to_numpy().flat}
    best = ranks[ranks["explainer"].isin(tested)].drop_duplicates(_PLACE).set_index(_PLACE)["explainer"].to_dict()
    leaders = compared[_PLACE].apply(tuple, axis=1).map(best)
    kept = compared["p_least"].notna() & (compared["a"].eq(leaders) | compared["b"].eq(leaders))
    return compared[kept | ~kept.groupby([compared[name] for name in _PLACE]).transform("any")]


def pair_tables(compared: pd.DataFrame, *, alpha: float | None = None, level: float = 0.05) -> list[Table]:
    """Tables of the pairs, one per metric.

    Args:
        compared: output of `compare`.
        alpha: significance level for LaTeX, where bold marks the better one and a dagger differences that are not significant.
        level: significance level of the note below a table whose images are too few to reach it.
    """
    found = list[Table]()
    for key, lines in compared.groupby(_PLACE, sort=False):
        specs = lines[["a", "b"]].map(_explainer_of)
        unstable = unstable_names([*specs["a"], *specs["b"]])
        places = _decimals(specs.isin(unstable).any(axis=1), lines["metric"])
        texts = lines.assign(interval=_intervals(lines, places), better=lines["better"].replace("", "—"))
        texts = texts.assign(**{name: _rounded(lines[name], places) for name in ("difference", "min_detectable_difference")})
        texts = texts.assign(rank_biserial=lines["rank_biserial"].map(_two))
        texts = texts.assign(**{name: lines[name].map(_probability) for name in ("p_wilcoxon", "p_holm")})
        columns, title = _with_count(lines, _title(*map(str, key)), printed=alpha is not None)
        rows = text_rows(*(texts[column.key] for column in columns))
        notes = (*_family_notes(lines, level), *fewer_digits(unstable))
        if alpha is not None:
            rows = tuple(_mark_better(row, alpha, p) for row, p in zip(rows, lines["p_holm"], strict=True))
            notes = (*_print_notes(lines, alpha), *notes)
        found.append(Table(title, columns, (Section(rows),), notes))
    return found


def _with_count(lines: pd.DataFrame, title: str, *, printed: bool) -> tuple[tuple[Column, ...], str]:
    """Columns and title: the number of images is in the title if all pairs have the same, else in a column of any width.

    A narrow terminal has no room for both `n` and `better`, which p Holm and the sign of the difference state too.
    """
    if printed:  # LaTeX states it in the caption
        return _PAIRS, title
    if lines["n"].eq(lines["n"].iloc[0]).all():
        n = int(lines["n"].iloc[0])
        return tuple(column for column in _PAIRS if column.key != "n"), f"{title} · {n} image{'' if n == 1 else 's'}"
    return tuple(replace(column, wide_only=True) if column.key == "better" else column for column in _PAIRS), title


def _family_notes(lines: pd.DataFrame, level: float) -> tuple[str, ...]:
    """Notes on pairs without a corrected p-value, and on images that are too few for a significant difference."""
    outside = (f"p Holm {_probability(float('nan'))}: a control, tied explainers, or fewer than two images.",)
    notes = outside if lines["p_holm"].isna().any() else ()
    if (least := lines["p_least"].min()) > level:
        n = int(lines["n"].max())
        single = least_p(lines["n"].to_numpy()).min()
        reach = f"the smallest possible p of the sign-flip test is {single:.2g}, Holm-corrected {least:.2g}"
        notes += (f"{n} images cannot reach {level:g}: {reach}.",)
    return notes


def _explainer_of(label: str) -> str:
    """The explainer of a column `a` or `b` of `compare`, which adds model and run if two runs are compared."""
    return label.partition(" · ")[0]


def _decimals(unstable: pd.Series, metric: pd.Series) -> list[int]:
    """Decimals of each line: two, none for per cents of an explainer that amplifies rounding."""
    names = metric.str.partition("(")[0]
    per_cent = {name for name in names.unique() if name in metrics and metrics.get(name).facts.unit == "%"}
    return [0 if fewer else 2 for fewer in unstable & names.isin(per_cent)]


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
        unstable = unstable_names(lines["explainer"])  # moves the ranks of the others too
        rows = text_rows(lines["explainer"], lines["rank"].map(f"{{:.{1 if unstable else 2}f}}".format))
        columns = Column("explainer", "explainer", "text"), Column("rank", "rank", "number")
        found.append(Table(title, columns, (Section(rows),), fewer_digits(unstable)))
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
        unstable = unstable_names(lines["explainer"])
        places = _decimals(lines["explainer"].isin(unstable), lines["metric"])
        texts = lines.assign(interval=_intervals(lines, places))
        texts = texts.assign(**{name: _rounded(lines[name], places) for name in ("mean", "min_detectable_difference")})
        texts = texts.assign(**{f"sd_{name}": list(_with_errors(lines, name, places)) for name in ("seeds", "images", "residual")})
        texts = texts.assign(**{name: lines[name].map(_count) for name in ("seeds_needed", "images_needed")})
        rows = text_rows(*(texts[column.key] for column in _SEEDS))
        detectable = (
            f"min. detectable: smallest difference to another recipe, trained with {span(lines['seeds'])} seeds, "
            "that a t-test over seeds detects with 80 % power."
        )
        found.append(Table(_title(*map(str, key)), _SEEDS, (Section(rows),), (_MEANS, needed, detectable, *fewer_digits(unstable))))
    return found


def diff_table(found: pd.DataFrame, a: str, b: str) -> list[Table]:
    """Table of differing settings (output of `diff`); empty list if none differ."""
    columns = tuple(Column(key, heading, "text") for key, heading in zip(found.columns, ("section", "setting", a, b), strict=True))
    return [Table("", columns, (Section(text_rows(*(found[name] for name in found.columns))),))] if len(found) else []


def _title(network: str, dataset: str, split: str, target_rule: str, metric: str, protocol: str) -> str:
    return f"{metric} ({protocol}) · {network} · {dataset} {split} · target: {target_rule}"


def _rounded(numbers: pd.Series, decimals: list[int]) -> list[str]:
    return [_two(number, places) for number, places in zip(numbers, decimals, strict=True)]


def _intervals(lines: pd.DataFrame, decimals: list[int]) -> list[str]:
    ends = zip(_rounded(lines["ci_low"], decimals), _rounded(lines["ci_high"], decimals), strict=True)
    return [f"[{low}, {high}]" for low, high in ends]


def _with_errors(lines: pd.DataFrame, name: str, decimals: list[int]) -> Iterator[str]:
    for sd, se, places in zip(lines[f"sd_{name}"], lines[f"se_{name}"], decimals, strict=True):
        yield _two(sd, places) if isnan(se) else f"{_two(sd, places)} ± {_two(se, places)}"


def _probability(p: float) -> str:
    """Format a p-value with three decimals.

    >>> _probability(0.0001), _probability(0.25), _probability(float("nan"))
    ('<0.001', '0.250', '—')
    """
    if isnan(p):
        return "—"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _two(number: float, decimals: int = 2) -> str:
    """Format with two decimals, or fewer; zero has no sign.

    >>> _two(-1.234), _two(-0.001), _two(-0.4, 0), _two(float("nan"))
    ('-1.23', '0.00', '0', '—')
    """
    return "—" if isnan(number) else f"{number:z.{decimals}f}"


def _count(number: float) -> str:
    """Format a count, which may be NaN or infinite.

    >>> _count(1200.0), _count(float("inf")), _count(float("nan"))
    ('1,200', '∞', '—')
    """
    if isnan(number):
        return "—"
    return "∞" if isinf(number) else f"{number:,.0f}"
