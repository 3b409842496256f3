"""`camdbench audit`: which explainers and metrics can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from camdbench.cli import shared_options
from camdbench.cli.names import complete_path
from camdbench.cli.output import FINISHED_WITH_FAILURES

if TYPE_CHECKING:
    import pandas as pd

    from camdbench.auditing.audit import AuditTables
    from camdbench.auditing.truth import Objective

_RUN: dict[str, Any] = {"metavar": "RUN", "shell_complete": complete_path("RUN"), "multiple": True}
_SHOWN = 5  # lines on missing values


@click.command("audit", short_help="Audit metrics: reliability, and truth measured by intervention.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_path("RUN"))
@click.option(
    "--truth",
    type=click.Choice(["auto", "none"]),
    default="auto",
    show_default=True,
    help="Measure the truth where the data set is shortcuts, or compute reliability alone.",
)
@click.option(
    "--draws",
    type=click.IntRange(min=2),
    default=32,
    show_default=True,
    help="References per image, a multiple of the number of classes; 3 x draws + 1 forward passes per image and network.",
)
@click.option(
    "--objective",
    type=click.Choice(["centred_logit", "logit", "log_odds", "probability"]),
    default="centred_logit",
    show_default=True,
    help="Score whose effects are measured.",
)
@click.option(
    "--players",
    default="object,background",
    show_default=True,
    metavar="NAMES",
    help="Parts of the image: object,background or shape,material,background.",
)
@click.option(
    "--cells", type=click.IntRange(min=0), default=0, show_default=True, help="Cells per side of a second opinion; 6 takes 720 passes."
)
@click.option("--resamples", type=click.IntRange(min=1), default=1000, show_default=True, help="Bootstrap resamples.")
@click.option(
    "--resample", default="images", show_default=True, metavar="UNITS", help="What intervals of tau resample: images,explainers,seeds."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of references and resamples.")
@click.option("--retest", help="Repeated run, such as with another --seed; may be repeated.", **_RUN)
@click.option("--minor", help="Run with a slightly perturbed network; may be repeated. Needs --disruptive.", **_RUN)
@click.option("--disruptive", help="Run with a strongly perturbed network; may be repeated. Needs --minor.", **_RUN)
@click.option("--out", metavar="DIR", shell_complete=complete_path("DIR"), help="Folder of the files.  [default: audit/ in the first run]")
@shared_options.device
@shared_options.plugin
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
def command(
    runs: tuple[str, ...],
    truth: Literal["auto", "none"],
    draws: int,
    objective: Objective,
    players: str,
    cells: int,
    resamples: int,
    seed: int,
    resample: str,
    retest: tuple[str, ...],
    minor: tuple[str, ...],
    disruptive: tuple[str, ...],
    out: str | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> int:
    r"""Audit the explainers and metrics of finished runs: which metrics can be believed.

    Reliability needs rows alone: agreement of images (Krippendorff's alpha), of explainers, and of metrics meant to measure one thing.
    Truth needs the data set shortcuts and raw maps. Objects and backgrounds are drawn anew, and the effects on each network's score
    give the share of the object, with its sampling error. Explainers are held against it, and then metrics: Kendall's tau between the
    order of explainers by the metric and by the truth. Nothing is explained or scored anew, and an interrupted audit resumes.

    Runs have the same data and images, and different networks, explainers or metrics. Several networks are needed to see whether maps move
    when the network does.

    \b
    camdbench run --models shortcuts-ce,shortcuts-cfce --explainers gradcam,saliency,controls \
        --metrics insertion,deletion,pointing --limit 128 --save-maps raw --out runs/two
    camdbench audit runs/two
    camdbench audit runs/two --truth none --retest runs/other-seed
    camdbench audit runs/a runs/b --draws 64 --cells 6 --out runs/audit --json
    """
    from camdbench.auditing.audit_tables import audit_tables
    from camdbench.cli.output import show
    from camdbench.reporting.audit_report import audit

    tables = audit(
        runs,
        truth=truth,
        draws=draws,
        objective=objective,
        players=[name.strip() for name in players.split(",")],
        cells=cells,
        resamples=resamples,
        seed=seed,
        resample=[name.strip() for name in resample.split(",")],
        out=out,
        retest=retest,
        minor=minor,
        disruptive=disruptive,
        device=device,
        progress=not quiet,
    )
    show(audit_tables(tables), _listed(tables), "json" if as_json else "table", notes_last=True)
    if not quiet:
        click.echo(f"tables, truth and figure: {tables.directory}", err=True)
    return _name_missing(tables)


def _listed(tables: AuditTables) -> pd.DataFrame:
    """The rows of all tables, with the name of the table in the first column."""
    import pandas as pd

    named = {name: getattr(tables, name) for name in ("networks", "explainers", "metrics", "agreement", "meta")}
    return pd.concat([table.assign(table=name)[["table", *table]] for name, table in named.items() if len(table)], ignore_index=True)


def _name_missing(tables: AuditTables) -> int:
    """Name missing values on stderr; return the exit code."""
    for name, count in tables.missing[:_SHOWN]:
        click.echo(f"missing: {name} ({count} image{'s' * (count > 1)})", err=True)
    if len(tables.missing) > _SHOWN:
        click.echo(f"missing: {len(tables.missing) - _SHOWN} more", err=True)
    return FINISHED_WITH_FAILURES if tables.missing else 0
