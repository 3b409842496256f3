"""The files of the page on many hosts: scripts that a shell runs, with stand-ins for SLURM, and a Job whose numbers agree."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from camdbench.cli.run import command

PAGE = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", PAGE, re.DOTALL)


def options_of(words: list[str]) -> dict[str, object]:
    """Options of `camdbench run` as click parses them."""
    assert words[:2] == ["camdbench", "run"]
    return command.make_context("run", words[2:]).params


@pytest.mark.parametrize(("code", "queued"), [(0, False), (3, False), (130, True), (143, True)])
def test_the_scripts_for_slurm_run_a_shard_and_queue_an_interrupted_task_again(tmp_path: Path, code: int, queued: bool):
    for name, ends in (("srun", code), ("scontrol", 0)):
        (tmp_path / name).write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > {tmp_path}/{name}.txt\nexit {ends}\n')
        (tmp_path / name).chmod(0o755)
    shards, finish = SCRIPTS
    place = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": "/home/me", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "15"}
    assert subprocess.run(["bash", "-c", shards], env=place, check=False).returncode == code
    options = options_of((tmp_path / "srun.txt").read_text().splitlines())
    assert (options["config"], options["out"], options["shard"]) == ("/home/me/run.yaml", "/shared/run", "15/16")
    assert (tmp_path / "scontrol.txt").exists() == queued
    assert not queued or (tmp_path / "scontrol.txt").read_text().splitlines() == ["requeue", "7_15"]
    assert subprocess.run(["bash", "-c", finish], env=place, check=False).returncode == code
    last = options_of((tmp_path / "srun.txt").read_text().splitlines())
    assert last == options | {"shard": None}
    directives = [line for line in shards.splitlines() if line.startswith("#SBATCH")]
    assert shards.splitlines()[1 : len(directives) + 2] == [*directives[:7], "", *directives[7:]], "SLURM reads none after a command"
    assert "#SBATCH --array=0-15" in directives


def test_the_job_for_kubernetes_starts_as_many_pods_as_it_has_shards():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    spec = yaml.safe_load(text)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (line,) = container["args"]
    assert line.startswith("exec camdbench run ")
    words = ["sh", "-c", line.replace("exec ", "printf '%s\\n' ")]
    shown = subprocess.run(words, env={"JOB_COMPLETION_INDEX": "3"}, capture_output=True, text=True, check=True)
    assert options_of(shown.stdout.splitlines())["shard"] == f"3/{spec['completions']}"
    volumes = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_commands_at_the_top_are_accepted():
    for line in re.findall(r"^    (camdbench run .*?)(?: +#.*)?$", PAGE, re.MULTILINE):
        options_of(line.split())
    assert CliRunner().invoke(command, ["--shard"]).exit_code == 2
