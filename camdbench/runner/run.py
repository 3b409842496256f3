"""`camdbench.run`: from a configuration to rows on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from camdbench.core.errors import UsageError
from camdbench.core.settings import make_config, takes
from camdbench.runner.config import RunConfig, Specs, check_config
from camdbench.runner.progress import NullProgress, Progress
from camdbench.tables.load import load_rows

if TYPE_CHECKING:
    import pandas as pd

    from camdbench.runner.resources import Resources


@takes(RunConfig)
def run(
    explainers: Specs | None = None,
    metrics: Specs | None = None,
    *,
    config: RunConfig | None = None,
    resources: Resources | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Run explainers and metrics over a data set; parts that exist are not computed again.

    Args:
        explainers: explainer specs such as `"opticam(iterations=50),gradcam"`; `"all"`: every explainer whose annotations the
            data set has, wrappers apart; `"controls"`; `"none"`.
        metrics: metric specs such as `"ad,ag"`; or `"all"`.
        **options: fields of `RunConfig`.
        config: a configuration; options beside it take precedence.
        resources: objects in place of names. `models={name: classifier}` and `dataset=` may also be given directly.
        progress: callback for progress updates; default: none.

    Returns:
        One row per image, model, explainer and metric, with the columns of `core.rows.Row`; `.attrs["run"]` is the
        run directory.

    Raises:
        UsageError: the configuration is wrong, or `out` holds another run.
        CamdbenchError: the run cannot go on.
    """
    named = {name: own for name, own in (("explainers", explainers), ("metrics", metrics)) if own is not None}
    options, resources = with_objects(named | options, resources)
    request = check_config(make_config(RunConfig, ({} if config is None else vars(config)) | options), resources)
    from camdbench.runner.executors import EXECUTORS  # torch is imported only now, after the request has been checked
    from camdbench.runner.prepare import prepare, session_facts

    prepared, progress = prepare(request, resources), progress or NullProgress()
    (units, jobs), directory = prepared.missing(), prepared.directory
    assert directory is not None
    progress.start(directory.root, jobs, jobs - sum(len(unit.explainers) for unit in units))
    if units:
        with directory.session(**session_facts(prepared)) as session:
            for done in EXECUTORS[request.config.executor](prepared, units):
                own = len(done.unit.explainers)
                session.add(own, asdict(done.passes), done.boxes_dropped, batch_size=done.batch_size, machine=done.machine)
                progress.advance(own, f"{done.unit.model}, images {done.unit.start}-{done.unit.stop - 1}")
    directory.clear_partial()
    rows = load_rows(directory.root)
    chosen = rows[rows["explainer"].isin([str(spec) for spec in request.jobs])].reset_index(drop=True)
    chosen.attrs["run"] = str(directory.root)
    return chosen


def with_objects(options: Mapping[str, Any], resources: Resources | None, **objects: Any) -> tuple[dict[str, Any], Resources | None]:
    """Options and resources, with models and a data set that are objects among the resources, and other objects too."""
    options = dict(options)
    if isinstance(models := options.get("models"), list | tuple) and not all(isinstance(one, str) for one in models):
        raise UsageError("models: objects need names in rows; give models={'name': classifier}")
    objects |= {name: options.pop(name) for name in ("models", "dataset") if not _is_named(options.get(name))}
    if objects:
        from dataclasses import replace

        from camdbench.runner.resources import Resources

        resources = replace(resources or Resources(), **objects)
    return options, resources


def _is_named(given: Any) -> bool:
    return given is None or isinstance(given, str | list | tuple)
