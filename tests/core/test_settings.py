"""One field of a configuration is an option everywhere: command line, signature, docstring, check and identity."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
from click.testing import CliRunner
from helpers.each import each

import camdbench
from camdbench.cli.config_options import config_options
from camdbench.core.errors import UsageError
from camdbench.core.settings import Setting, fields_of, identity_of, make_config, takes
from camdbench.runner.config import RunConfig
from camdbench.runner.data_options import DATA_OPTIONS


@dataclass(frozen=True)
class Extended(RunConfig):
    """A run with two options more; this is all that they take."""

    depth: Annotated[int, Setting("Depth of the search.", short="d", ge=2)] = 3
    note: Annotated[str | None, Setting("Free text.", role="execution")] = None


def command(**how: Any) -> tuple[click.Command, dict[str, Any]]:
    seen = dict[str, Any]()

    @click.command()
    @config_options(Extended, **how)
    def run(**flags: Any) -> None:
        seen.update(flags)

    return run, seen


def test_a_new_field_is_an_option_of_the_command_line():
    run, seen = command()
    text = CliRunner().invoke(run, ["--help"]).output
    assert "-d, --depth INTEGER RANGE" in text
    assert "Depth of the search.  [default: 3; x>=2]" in " ".join(text.split()).replace("search. [", "search.  [")
    assert CliRunner().invoke(run, ["-d", "5", "--mean", "0.1,0.2,0.3"]).exit_code == 0
    assert (seen["depth"], seen["mean"], seen["note"], seen["limit"]) == (5, (0.1, 0.2, 0.3), None, None)
    assert CliRunner().invoke(run, ["--depth", "1"]).exit_code == 2
    assert "expected one number, or three with commas" in CliRunner().invoke(run, ["--std", "1,2"]).output


def test_options_that_are_not_given_may_be_none():
    run, seen = command(only=("depth", "models"), unset=True)
    assert CliRunner().invoke(run, []).exit_code == 0
    assert seen == {"depth": None, "models": None}
    assert "[default: shortcuts-ce]" in CliRunner().invoke(run, ["--help"]).output


def test_a_new_field_is_a_keyword_with_its_sentence():
    @takes(Extended)
    def run(explainers: str | None = None, *, progress: object = None, **options: Any) -> None:
        """Run.

        Args:
            explainers: specs.
            **options: fields.
            progress: callback.
        """

    signature = inspect.signature(run)
    assert list(signature.parameters)[:2] == ["explainers", "metrics"]
    assert list(signature.parameters)[-2:] == ["note", "progress"]
    assert signature.parameters["depth"].default == 3
    assert signature.parameters["explainers"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert "depth: Depth of the search.\n" in run.__doc__
    assert "**options" not in run.__doc__


def test_a_new_field_is_part_of_the_identity_if_values_depend_on_it():
    names = {item.name: 0 for item in fields_of(Extended)}
    assert "depth" in identity_of(Extended, names)
    assert not {"note", "explainers", "data_root", "image_ids", "batch_size"} & set(identity_of(Extended, names))


def test_every_option_of_run_is_a_field_and_every_field_an_option():
    from camdbench.cli.run import command as run

    flags = {parameter.name for parameter in run.params} - {"plugin", "as_json", "quiet", "verbose", "config", "dry_run", "own", "reports"}
    keywords = set(inspect.signature(camdbench.run).parameters) - {"config", "resources", "progress", "own"}
    assert flags - set(DATA_OPTIONS) == keywords - set(DATA_OPTIONS) == {item.name for item in fields_of(RunConfig)}
    assert set(DATA_OPTIONS) - flags == {"labels", "boxes", "masks"}  # of images in Python
    assert len(flags) == 35


@each(
    ("given", "message"),
    [
        ({"limt": 3}, "no option 'limt'; did you mean 'limit'"),
        ({"depth": 1}, "^--depth 1: expected at least 2$"),
        ({"depth": "many"}, "^--depth many: expected a integer|^--depth many: expected an? "),
        ({"executor": "rey"}, "no executor 'rey'; did you mean 'ray'"),
        ({"save_maps": True}, "--save-maps True: expected 'none', 'view' or 'raw'"),
        ({"mean": "grey"}, "--mean grey: "),
        ({"batch_size": None}, "--batch-size None: "),
        ({"target": True}, "--target True: expected no bool"),
        ({"target": 2.0}, "--target 2.0: expected no float"),
        ({"batch_size": True}, "--batch-size True: expected no bool"),
    ],
)
def test_what_does_not_fit_is_named_with_its_flag(given: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message) as caught:
        make_config(Extended, given)
    assert "\n" not in str(caught.value)


def test_values_become_what_the_field_is(tmp_path: Path):
    config = make_config(RunConfig, {"mean": [0.1, 0.2, 0.3], "limit": 4, "data_root": tmp_path, "models": ["a", "b"]})
    assert (config.mean, config.limit, config.data_root, list(config.models)) == ((0.1, 0.2, 0.3), 4, tmp_path, ["a", "b"])
    assert config == RunConfig(mean=(0.1, 0.2, 0.3), limit=4, data_root=tmp_path, models=config.models)


def test_a_union_has_the_choices_of_its_literal():
    @dataclass(frozen=True)
    class Small:
        """One option."""

        mode: Annotated[Literal["a", "b"] | None, Setting("Mode.")] = None

    Small.__module__ = __name__
    assert fields_of(RunConfig)[0].choices == ()
    assert next(item for item in fields_of(RunConfig) if item.name == "precision").choices == ("fp32", "bf16", "bf16-all")
