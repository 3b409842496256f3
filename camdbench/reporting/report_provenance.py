"""Provenance of a run: its sessions, hashes, and the commands that make it again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from camdbench.core.registries import datasets
from camdbench.core.spec import parse_spec
from camdbench.reporting.report_cards import Card, in_words
from camdbench.reporting.report_runs import ReportRun
from camdbench.runner.config import RunConfig
from camdbench.tables.sessions import lost_line

_OF_SESSIONS = ("end", "host", "machine", "git", "jobs", "passes", "versions")
_NOT_REPEATED = ("limit", "sample", "image_ids", "save_maps")


@dataclass(frozen=True)
class Provenance:
    """Where the values of a run come from.

    Attributes:
        run: its label and name.
        hashes: hashes of data, code, weights, maps and plug-ins, and the seed, by heading.
        again: lines of a shell that make the run again; empty if the record does not hold enough.
        lost: a sentence on lost sessions; empty if there is none.
        sessions: by start: command, and how and where each ran.
        audits: address of each audit that lies in a folder of the run, relative to the page, by its name.
    """

    run: str
    hashes: Mapping[str, str]
    again: str
    lost: str
    sessions: list[Card]
    audits: Mapping[str, str]


def provenance(run: ReportRun, beside: Path) -> Provenance:
    """Return the provenance of a run, from its record and its sessions; `beside` is the folder of the page."""
    about = run.about
    lost, again = lost_line(about["sessions"]), "\n".join(_again(run))
    return Provenance(run.title, dict(_hashes(about)), again, lost, _sessions(about), dict(_audits(run, beside)))


def _audits(run: ReportRun, beside: Path) -> Iterator[tuple[str, str]]:
    page = beside.resolve()
    for folder in run.pooled.folders:
        file = folder.resolve() / "audit" / "audit.md"
        if file.is_file() and page.is_relative_to(folder.resolve()):  # from elsewhere, the address would name folders of this machine
            yield f"{folder.name}/audit/audit.md", Path(os.path.relpath(file, page)).as_posix()


def _hashes(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    config = about["config"]
    found = {"seed": config.get("seed"), "data": about["dataset"].get("fingerprint"), "code of camdbench": about.get("code")}
    found |= {f"weights of {name}": own.get("weights_hash") for name, own in about["models"].items()}
    found |= {f"code of {name}": own for name, own in about.get("plugins", {}).items()}
    found |= {"given maps": about.get("maps")} | {f"maps of {name}": own for name, own in about.get("given", {}).items()}
    yield from ((heading, in_words(value)) for heading, value in found.items() if value not in (None, ""))


def _again(run: ReportRun) -> Iterator[str]:
    """Pins of the packages of the last session, and the command of the run's configuration."""
    sessions = [own for own in run.about["sessions"] if own.get("versions")]
    if sessions:
        versions = dict(sessions[-1]["versions"])
        yield f"# Python {versions.pop('python', 'of an unknown version')}; commit {sessions[-1].get('git') or 'unknown'}"
        yield "pip install " + " ".join(shlex.quote(f"{name}=={version}") for name, version in versions.items())
    for folder in run.pooled.folders:
        if (folder / "run.yaml").is_file():
            yield f"camdbench run --config {shlex.quote(f'{folder.name}/run.yaml')} --out {shlex.quote(f'{folder.name}-again')}"


def image_command(about: Mapping[str, Any]) -> str:
    """Return the command that computes the rows of a run again, for the images that `--image-ids` will name.

    Returns:
        The command; empty for a run with plug-ins, own things or given maps, which are more than names.
    """
    own = [name for kind in ("models", "explainers", "metrics") for name, facts in about[kind].items() if "origin" in facts]
    dataset = str(about["config"]["dataset"])
    if (
        own
        or about.get("plugins")
        or about.get("given")
        or about.get("maps")
        or ".py:" in dataset
        or parse_spec(dataset).name not in datasets
    ):
        return ""
    parts = ["camdbench", "run"]
    for option in fields(RunConfig):
        value = about["config"].get(option.name)
        if option.name in _NOT_REPEATED or value is None or option.default in (value, _joined(value)):
            continue
        values = [f"{name}={file}" for name, file in value.items()] if isinstance(value, Mapping) else [_joined(value)]
        parts += [word for text in values for word in (f"--{option.name.replace('_', '-')}", text)]
    return shlex.join(parts)


def _joined(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _sessions(about: Mapping[str, Any]) -> list[Card]:
    found = list[Card]()
    for own in about["sessions"]:
        command = own.get("command", "")
        text = command if isinstance(command, str) else shlex.join(map(str, command))
        facts = {"how it ended": own.get("ended") or ("finished or interrupted" if own.get("end") else ""), "seconds": _seconds(own)}
        facts |= {name: in_words(own.get(name)) for name in _OF_SESSIONS}
        found.append(Card(in_words(own.get("start", "")), text, {name: value for name, value in facts.items() if value}))
    return found


def _seconds(session: Mapping[str, Any]) -> str:
    """Seconds from start to end; empty if one is unknown.

    >>> _seconds({"start": "2026-01-01T10:00:00+00:00", "end": "2026-01-01T10:01:05+00:00"})
    '65'
    """
    try:
        ends = [datetime.fromisoformat(str(session[name])) for name in ("start", "end")]
        return f"{(ends[1] - ends[0]).total_seconds():.0f}"
    except (KeyError, TypeError, ValueError):  # TypeError: one has a time zone
        return ""
