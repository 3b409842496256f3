"""Comparisons written out: pairs of explainers or runs, and the spread over seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isinf, isnan

import pandas as pd

from camdbench.tables.layout import DAGGER, span
from camdbench.tables.listing import Listing

_PLACE = ["model", "dataset", "split", "target_rule", "metric", "protocol"]
_PAIRS = {
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
_MEANS = (
    "sd: standard deviation between seeds, between images, and of what neither explains, each ± its standard error (none where sd is 0)."
)


def pairs(compared: pd.DataFrame, *, alpha: float | None = None) -> list[Listing]:
    """The lines of each metric.

    Args:
        compared: as `compare` returns it.
        alpha: the level of significance, for a table in print, which has no room: the winner is bold and has no column, a dagger
            marks the differences that are not significant, and what remains is the interval, the effect and the corrected p.
    """
    found = list[Listing]()
    for key, lines in compared.groupby(_PLACE, sort=False):
        written = lines.assign(interval=_intervals(lines), n=lines["n"].astype(str), winner=lines["winner"].replace("", "—"))
        written = written.assign(**{name: lines[name].map(_two) for name in ("difference", "effect", "detectable")})
        written = written.assign(**{name: lines[name].map(probability) for name in ("p_wilcoxon", "p_holm")})
        listing = Listing(
            _title(*map(str, key)),
            written[list(_PAIRS)].rename(columns=_PAIRS),
            words=("first", "second", "winner"),
            aside=("n", "effect", "p Wilcoxon", "detectable"),
        )
        found.append(listing if alpha is None else _in_print(listing, lines, alpha))
    return found


def _in_print(listing: Listing, lines: pd.DataFrame, alpha: float) -> Listing:
    text, apart = listing.lines.drop(columns=["n", "p Wilcoxon", "detectable", "winner"]), lines["p_holm"] < alpha
    text["difference"] = text["difference"].where(apart, text["difference"] + DAGGER)
    bold = pd.DataFrame({name: lines[name] == lines["winner"] for name in ("first", "second")})
    note = f"Over {span(lines['n'])} images; the better one is bold."
    if not apart.all():
        note += f" {DAGGER} not significant: paired permutation test, Holm-corrected within the metric, {alpha:.3g}."
    return replace(listing, lines=text, bold=bold, notes=(note,))


def seeds(spread: pd.DataFrame, *, within: float | None = None) -> list[Listing]:
    """The lines of each network and metric.

    Args:
        spread: as `seed_spread` returns it.
        within: what it was asked for.
    """
    place = ["network", *_PLACE[1:]]
    aim = "half of this interval" if within is None else f"± {within:g}"
    found = list[Listing]()
    for key, lines in spread.groupby(place, sort=False):
        text = pd.DataFrame(
            {
                "explainer": lines["explainer"],
                "mean": lines["mean"].map(_two),
                "95 % interval": _intervals(lines),
                **{f"sd {name}": list(_with_errors(lines, name)) for name in ("seeds", "images", "rest")},
                "seeds": lines["seeds"].astype(str),
                "images": lines["n"].astype(str),
                "seeds needed": lines["seeds_needed"].map(_count),
                "images needed": lines["images_needed"].map(_count),
                "detectable": lines["detectable"].map(_two),
            }
        )
        needed = f"needed: seeds on these images, or images under these seeds, for an interval of {aim}; ∞ where that is not enough."
        told = f"detectable: the difference from another network of {span(lines['seeds'])} seeds that a t-test over seeds finds in 80 %."
        aside = ("95 % interval", "sd rest", "seeds", "images", "detectable")
        found.append(Listing(_title(*map(str, key)), text, words=("explainer",), aside=aside, notes=(_MEANS, needed, told)))
    return found


def _title(network: str, dataset: str, split: str, target_rule: str, metric: str, protocol: str) -> str:
    return f"{metric} ({protocol}) · {network} · {dataset} {split} · target: {target_rule}"


def _intervals(lines: pd.DataFrame) -> list[str]:
    return [f"[{_two(low)}, {_two(high)}]" for low, high in zip(lines["ci_low"], lines["ci_high"], strict=True)]


def _with_errors(lines: pd.DataFrame, name: str) -> Iterator[str]:
    for sd, se in zip(lines[f"sd_{name}"], lines[f"se_{name}"], strict=True):
        yield _two(sd) if isnan(se) else f"{_two(sd)} ± {_two(se)}"


def probability(p: float) -> str:
    """A p-value: three decimals.

    >>> probability(0.0001), probability(0.25), probability(float("nan"))
    ('<0.001', '0.250', '—')
    """
    if isnan(p):
        return "—"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _two(number: float) -> str:
    """Two decimals; a zero has no sign.

    >>> _two(-1.234), _two(-0.001), _two(float("nan"))
    ('-1.23', '0.00', '—')
    """
    return "—" if isnan(number) else f"{number:.2f}".replace("-0.00", "0.00")


def _count(number: float) -> str:
    """A count that may be none or without end.

    >>> _count(1200.0), _count(float("inf")), _count(float("nan"))
    ('1,200', '∞', '—')
    """
    if isnan(number):
        return "—"
    return "∞" if isinf(number) else f"{number:,.0f}"
