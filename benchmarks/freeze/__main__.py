"""Freeze what camdbench computes and prints, so that a redesign can be compared bit by bit with the state before it.

    python benchmarks/freeze record DIR [--only runs,training,tables,registry]
    python benchmarks/freeze compare BEFORE AFTER [--renames benchmarks/freeze/renames.csv]

`record` uses the camdbench that Python imports: another checkout is recorded with PYTHONPATH=CHECKOUT. See CONTRIBUTING.md.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

FIXED = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "COLUMNS": "140",
    "NO_COLOR": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
PARTS = ("registry", "runs", "training", "tables")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Freeze results and printed output; compare two frozen states on bits."""


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--only", default=",".join(PARTS), show_default=True, help="Parts to record, comma-separated; the others in DIR stay.")
@click.option("--runs", "names", default="", help="Record only these runs, such as 'metrics,ray'; implies --only runs.")
@click.option("--full", is_flag=True, help="Use the image limits of the golden runs instead of smaller ones.")
@click.option(
    "--golden",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="tox.ini with the golden runs, such as that of the state before.  [default: the checkout's]",
)
@click.option("--keep-work", is_flag=True, help="Keep the run directories in DIR/work-PARTS.")
def record(folder: Path, only: str, names: str, full: bool, golden: Path | None, keep_work: bool) -> None:
    """Run the fixed set of commands and store the results in FOLDER."""
    parts = ["runs"] if names else only.split(",")
    if unknown := set(parts) - set(PARTS):
        raise click.UsageError(f"--only {only}: unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    if any(os.environ.get(name) != value for name, value in FIXED.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | FIXED)  # noqa: S606
    from recording import record_parts

    record_parts(folder, parts, names=names.split(",") if names else (), full=full, golden=golden, keep_work=keep_work)


@cli.command()
@click.argument("before", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("after", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--renames", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Table of renames: kind, where, old, new.")
@click.option("--only", default="*", show_default=True, help="Artefacts to compare: comma-separated patterns such as 'rows/*,maps/*'.")
@click.option("--skip", default="", help="Artefacts to leave out, such as 'text/help-*,registry/docs.json'.")
@click.option("--diff", "show_diff", is_flag=True, help="Print a unified diff of every printed table that differs.")
@click.option("--verbose", "-v", is_flag=True, help="Also name every identical artefact.")
def compare(before: Path, after: Path, renames: Path | None, only: str, skip: str, show_diff: bool, verbose: bool) -> None:
    """Compare two recorded states; exit 1 if anything differs."""
    from comparing import compare_states

    reports = compare_states(before, after, renames, only.split(","), [item for item in skip.split(",") if item])
    different = [report for report in reports if report.differences]
    for report in reports:
        if report.differences or verbose:
            click.echo(report.text(show_diff=show_diff))
    for kind in dict.fromkeys(report.kind for report in reports):
        of_kind = [report for report in reports if report.kind == kind]
        worse = sum(bool(report.differences) for report in of_kind)
        identical = sum(report.identical for report in of_kind)
        note = f"{worse} DIFFERENT" if worse else "identical"
        click.echo(f"{kind:<10} {len(of_kind):4} artefacts {identical:9,} values bit-identical   {note}")
    click.echo(f"{len(different)} of {len(reports)} artefacts differ" if different else f"all {len(reports)} artefacts are identical")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    cli()
