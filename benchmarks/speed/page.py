"""The tables of docs/speed.md, from the lines of results/speed.csv."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
DOORS = ("explain", "evaluate", "run")  # functions of camdbench; any other contestant is a peer
_HEAD = ("job", "network", "px", "batch", "images", "passes", "contestant", "ms", "x limit", "ms, default", "x limit, default", "goal")


def ratio_table(lines: pd.DataFrame) -> str:
    """Milliseconds per image and ratio to the limit of every job and contestant, with and without settings of the allocator."""
    return _markdown(_HEAD, _ratio_lines(lines[lines["network"].notna()]), left=(0, 1, 6))


def _ratio_lines(lines: pd.DataFrame) -> Iterator[list[str]]:
    for _, own in lines.groupby(["job", "contestant"], sort=False):
        first, contestant = own.iloc[0], str(own["contestant"].iloc[0])
        ours = contestant in DOORS
        passes = first[["forward", "backward", "tail_forward", "tail_backward"]].sum()
        about = [
            str(first["job"]),
            str(first["network"]),
            *(f"{first[name]:.0f}" for name in ("size", "batch", "images")),
            _number(passes, 0),
        ]
        cells = [f"`{contestant}`" if ours else contestant]
        if pd.isna(first["wall_seconds"]):
            cells[0] += f": {first['note']}"
        for allocator in ("reuse", "default"):
            line = own[own["allocator"] == allocator]
            cells += ["", ""] if line.empty else [_number(1000 * line["wall_seconds"].iloc[0], 1), _number(line["wall_ratio"].iloc[0], 2)]
        yield [*about, *cells, _number(first["goal"], 2) if ours else ""]


def seconds_table(lines: pd.DataFrame) -> str:
    """Jobs without a limit by passes: seconds, or a share, and the goal."""
    own = lines[lines["network"].isna()]
    columns = (own[name].tolist() for name in ("job", "contestant", "wall_seconds", "goal", "note"))
    found = ([job, who, _number(seconds, 3), _number(goal, 3), note] for job, who, seconds, goal, note in zip(*columns, strict=True))
    return _markdown(("job", "contestant", "seconds or share", "goal", ""), found, left=(0, 1, 4))


def write_page(lines: pd.DataFrame, page: Path = PAGE) -> None:
    """Replace the tables of the page and the line about the machine, between their markers."""
    text, facts = page.read_text(encoding="utf-8"), lines.iloc[0]
    machine = f"{facts['cpu']}, {facts['instructions']}, {facts['threads']} thread(s), torch {facts['torch']}, {facts['peers']}.\n"
    for name, new in (("machine", machine), ("ratios", ratio_table(lines)), ("seconds", seconds_table(lines))):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda found, new=new: f"{found[1]}\n{new}\n{found[2]}", text, flags=re.DOTALL
        )
    page.write_text(text, encoding="utf-8", newline="\n")


def _markdown(head: Iterable[str], lines: Iterable[Iterable[str]], left: tuple[int, ...]) -> str:
    names = list(head)
    rules = [":--" if column in left else "--:" for column in range(len(names))]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in (names, rules, *lines))


def _number(value: float, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:,.{digits}f}"
