"""`camdbench run`: run explainers and metrics over a data set."""

from __future__ import annotations

from typing import Any

import click

from camdbench.cli import shared_options
from camdbench.cli.config_options import config_options
from camdbench.cli.output import show_run
from camdbench.runner.config import RunConfig


@click.command("run", short_help="Run explainers and metrics; print a table, write a run directory.")
@config_options(RunConfig)
@shared_options.plugin
@shared_options.as_json
@shared_options.quiet
@shared_options.verbose
def command(as_json: bool, quiet: bool, **flags: Any) -> int:
    r"""Run explainers and metrics over a data set.

    Prints a table of means and writes tidy rows to a run directory. The same command again resumes an interrupted run.

    \b
    camdbench run --explainers opticam,gradcam --metrics ad,ag
    camdbench run --explainers 'opticam(iterations=50, objective="diff"),hirescam,fakecam' --split conflict
    camdbench run --dataset folder --data-root DIR --models resnet50 --weights FILE --limit 1000
    """
    from camdbench.runner.run import run

    return show_run(run(progress=not quiet, **flags), as_json=as_json, quiet=quiet)
