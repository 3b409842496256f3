"""`camdbench run`: run explainers and metrics over a data set."""

from __future__ import annotations

from typing import Any

import click

from camdbench.cli import shared_options
from camdbench.cli.config_options import config_options
from camdbench.cli.console import echo
from camdbench.cli.names import complete_path
from camdbench.cli.output import show_report, show_run
from camdbench.runner.config import RunConfig


@click.command("run", short_help="Run explainers and metrics; print a table, write a run directory.")
@click.option(
    "--config",
    metavar="FILE",
    shell_complete=complete_path("FILE"),
    help="YAML file of options, such as run.yaml of a run; options of the command line win.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the resolved options, and the jobs with their passes and an estimate of their time; write nothing.",
)
@click.option(
    "--own",
    type=click.Choice(["original", "copy"]),
    default="original",
    help="Python files that --config names: from where they were, or their copies in RUN/own.  [default: original]",
)
@click.option("--report", "reports", is_flag=True, help="Also write RUN/report.html, a page that shows the run; print its address last.")
@click.option("--columns", metavar="ROLE=COLUMN,…", help="Columns of a table of pictures, such as image=file,label=class.")
@click.option(
    "--images",
    metavar="DIR",
    shell_complete=complete_path("DIR"),
    help="Folder of the pictures of a table or a COCO file.  [default: that of the file]",
)
@click.option("--preprocess", metavar="PROTOCOL", help="Preprocessing of image files (see: camdbench list folder); model: the models' own.")
@click.option("--size", type=click.IntRange(min=1), help="Side length of the preprocessed images in pixels.  [default: the data set's]")
@config_options(RunConfig)
@shared_options.plugin
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
@click.pass_context
def command(ctx: click.Context, config: str | None, dry_run: bool, reports: bool, as_json: bool, quiet: bool, **flags: Any) -> int:
    r"""Run explainers and metrics over a data set.

    Prints a table of means and writes tidy rows to a run directory. The same command again resumes an interrupted run.

    \b
    camdbench run --explainers opticam,gradcam --metrics ad,ag
    camdbench run --explainers 'opticam(iterations=50, objective="diff"),hirescam,fakecam' --split conflict
    camdbench run --explainers opticam,gradcam --report
    camdbench run --config RUN/run.yaml --out NEW
    camdbench run --explainers gradcam --maps theirs=theirs.npz --dry-run
    camdbench run --dataset folder --data-root DIR --models resnet50 --weights FILE --limit 1000
    """
    from camdbench.runner.run import complete, plan

    default = click.core.ParameterSource.DEFAULT
    given = {name: value for name, value in flags.items() if ctx.get_parameter_source(name) is not default}
    if dry_run:
        text, jobs = plan(config, **given)
        echo(text + "\n".join(f"# {job}" for job in jobs))
        return 0
    done = complete(config, given, None, not quiet)
    code = show_run(done, as_json=as_json, quiet=quiet)
    if reports:
        show_report(done.directory)
    return code
