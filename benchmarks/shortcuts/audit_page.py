"""Write the tables of docs/believe.md from the CSV files of the study.

    python benchmarks/shortcuts/audit_page.py [--work DIR]

With --work, the tables and the figure of DIR (benchmarks/shortcuts/audit.py --out DIR) are copied to results/ and docs/images first.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click
import pandas as pd

ROOT = Path(__file__).parents[2]
PAGE, RESULTS, FIGURE = ROOT / "docs" / "believe.md", ROOT / "results", ROOT / "docs" / "images" / "audit.png"
FILES = {"networks": "audit_networks.csv", "explainers": "audit_explainers.csv", "metrics": "metric_audit.csv"}
ABSENT = "The study has not been run at this revision."
CONTROLS = ("fakecam", "random", "centre", "edges")


@click.command()
@click.option("--work", type=click.Path(path_type=Path, exists=True), help="Output folder of the study.")
def main(work: Path | None) -> None:
    """Write the tables."""
    if work is not None:
        for file in FILES.values():
            shutil.copyfile(work / file, RESULTS / file)
        shutil.copyfile(work / "audits" / "data-main" / "audit.png", FIGURE)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")
    print(PAGE)


def filled(page: str, results: Path) -> str:
    """The page with its blocks from the tables of a folder; without tables, the blocks say so."""
    there = all((results / file).is_file() for file in FILES.values())
    blocks = {"figure": f"![Left: share of maps against the truth. Right: tau of metrics.](images/{FIGURE.name})"}
    if there:
        tables = {name: pd.read_csv(results / file, keep_default_na=False, na_values=[""]) for name, file in FILES.items()}
        blocks |= {"networks": networks(tables["networks"]), "explainers": explainers(tables["explainers"])}
        blocks |= {"metrics": metrics(tables["metrics"])}
    for name in ("figure", *FILES):
        text = blocks[name] if there else ABSENT
        page = re.sub(
            rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)",
            lambda found, text=text: f"{found[1]}{text}\n{found[2]}",
            page,
            flags=re.DOTALL,
        )
    return page


def networks(table: pd.DataFrame) -> str:
    """Networks of the first group of metrics, by family and share."""
    own = table[table["group"] == table["group"].iloc[0]].sort_values(["family", "share"], kind="stable")
    heads = ("family", "network", "images", "accuracy %", "r", "r+", "se", "reliability")
    return _table(heads, [
        (line.family, f"`{line.model}`", line.n, f"{line.accuracy:.1f}", _ends(line.share, line.share_low, line.share_high),
         *map(_two, (line.share_positive, line.se_share, line.reliability)))
        for line in own.itertuples()
    ])  # fmt: skip


def explainers(table: pd.DataFrame) -> str:
    """Explainers over the networks that differ in their data, by tracking."""
    own = table[(table["family"] == "data") & (table["model"] == "*") & (table["group"] == table["group"].iloc[0])]
    own = own.sort_values(["set", "tracking"], ascending=[False, False], kind="stable")
    return _table(("explainer", "set", "s", "error", "tracking", "slope", "equal to"), [
        (f"`{line.explainer}`", line.set, _two(line.share_map), _ends(line.error, line.error_low, line.error_high),
         _ends(line.tracking, line.tracking_low, line.tracking_high), _two(line.slope),
         "" if pd.isna(line.same_as) else f"`{line.same_as}`")
        for line in own.itertuples()
    ])  # fmt: skip


def metrics(table: pd.DataFrame) -> str:
    """Metrics over the networks that differ in their data, by tau with tracking."""
    own = table[(table["family"] == "data") & (table["model"] == "*") & (table["set"] == "real")]
    errors = own[own["truth"] == "error"].set_index(["group", "metric"])
    rows = list[tuple[object, ...]]()
    for line in own[own["truth"] == "tracking"].sort_values("tau", ascending=False, kind="stable").itertuples():
        error = errors.loc[(line.group, line.metric)]
        above = " ".join("–" if pd.isna(value) else f"{100 * value:.0f}" for value in (getattr(line, f"above_{name}") for name in CONTROLS))
        taus = (
            _ends(line.tau, line.tau_low, line.tau_high),
            _ends(error["tau"], error["tau_low"], error["tau_high"]),
            _two(error["tau_worst"]),
        )
        rows.append((f"`{line.metric}`", line.n, line.explainers, *taus, above, _two(line.alpha), line.conclusion, error["conclusion"]))
    heads = ("metric", "images", "E", "tau, tracking", "tau, error", "worst network", "above", "alpha", "with tracking", "with error")
    return _table(heads, rows)


def _table(heads: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [heads, (":--",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _two(value: float) -> str:
    return "–" if pd.isna(value) else f"{value + 0.0:.2f}"


def _ends(value: float, low: float, high: float) -> str:
    return _two(value) if pd.isna(low) else f"{_two(value)} [{_two(low)}, {_two(high)}]"


if __name__ == "__main__":
    main()
