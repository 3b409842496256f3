"""The journal of a unit: what it has found so far, in files that go when its parts are committed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Self

import torch

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import replacing
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.usage import Usage
from camdbench.metrics.result import Curve
from camdbench.models.classifier import Passes
from camdbench.runner.judge import Judged, Points, Verdict

SAVE_EVERY = 10.0  # seconds of work that a killed process can lose, beside what it was at


class Finding(NamedTuple):
    """What one explainer got on one batch.

    Attributes:
        explainer: canonical spec.
        ids: names of the images.
        labels: their classes.
        judged: verdicts, points, costs and perhaps maps, on the CPU.
    """

    explainer: Spec
    ids: tuple[str, ...]
    labels: tuple[int, ...]
    judged: Judged

    @classmethod
    def of(cls, explainer: Spec, batch: Batch, judged: Judged, *, maps: bool) -> Finding:
        """A finding away from the device, with its raw maps where these are to be kept."""
        points = [item._replace(curve=Curve(item.curve.x.cpu(), item.curve.y.cpu())) for item in judged.points]
        raw = judged.raw.cpu() if maps and judged.raw is not None else None
        return cls(explainer, batch.ids, tuple(batch.labels.tolist()), Judged(judged.verdicts, points, judged.costs, raw))


class Journal:
    """The files of one unit; they are named at random, so that two sessions never write the same one.

    Leaving it by an exception, an interrupt too, writes what has not been written.

    Args:
        folder: where the files stand.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending = list[Finding]()
        self._last = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self.save()

    def held(self, explainers: Sequence[Spec], metrics: Sequence[Spec]) -> list[Finding]:
        """What earlier sessions have found, no image twice.

        Args:
            explainers: those that are asked for; others are left where they are.
            metrics: the metrics of the run.

        Raises:
            CamdbenchError: a file is damaged.
        """
        names = {str(spec): spec for spec in (*explainers, *metrics)}
        kept, seen = list[Finding](), set[tuple[Spec, str]]()
        for file in sorted(self._folder.glob("[!.]*.pt")):
            for written in _read(file):
                if written["explainer"] not in names:
                    continue
                finding = _finding(written, names)
                own = {(finding.explainer, image) for image in finding.ids}
                if not own & seen:
                    kept.append(finding)
                    seen |= own
        return kept

    def add(self, finding: Finding) -> None:
        """Take a finding; every now and then all that have come are written."""
        self._pending.append(finding)
        if monotonic() - self._last >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write what has not been written.

        Raises:
            CamdbenchError: it cannot be.
        """
        if self._pending:
            path = self._folder / f"{uuid.uuid4().hex}.pt"
            try:
                with replacing(path) as temporary:
                    torch.save([_plain(finding) for finding in self._pending], temporary)
            except OSError as error:
                raise CamdbenchError(
                    f"cannot write {path} ({error.strerror}); what is finished is kept, run the same command again"
                ) from error
            self._pending.clear()
        self._last = monotonic()

    def clear(self) -> None:
        """Remove the files, once the unit's parts are there."""
        self._pending.clear()
        for file in self._folder.glob("[!.]*.pt"):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # there never was one, or another session is at work in it
            self._folder.rmdir()


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        return torch.load(file, weights_only=True)
    except FileNotFoundError:
        return []  # another session has just committed the unit
    except Exception as error:  # the formats inside fail in their own words
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CamdbenchError(f"{file} is damaged ({reason}); delete it and run the same command again") from error


def _plain(finding: Finding) -> dict[str, Any]:
    """A finding as text, numbers and tensors alone, which can be read back without running code."""
    judged = finding.judged
    return {
        "explainer": str(finding.explainer),
        "ids": list(finding.ids),
        "labels": list(finding.labels),
        "verdicts": [(v.image, v.target, str(v.metric), v.value, v.status, v.reason) for v in judged.verdicts],
        "points": [(str(p.metric), p.part, p.images, p.curve.x.clone(), p.curve.y.clone()) for p in judged.points],
        "costs": {stage: (astuple(cost.passes), cost.seconds) for stage, cost in judged.costs.items()},
        "raw": None if judged.raw is None else judged.raw.clone(),  # a clone, as a view is written with all that it is a view of
    }


def _finding(written: dict[str, Any], names: dict[str, Spec]) -> Finding:
    return Finding(
        names[written["explainer"]],
        tuple(written["ids"]),
        tuple(written["labels"]),
        Judged(
            [Verdict(image, target, names[metric], *rest) for image, target, metric, *rest in written["verdicts"]],
            [Points(names[metric], part, images, Curve(x, y)) for metric, part, images, x, y in written["points"]],
            {stage: Usage(Passes(*passes), seconds) for stage, (passes, seconds) in written["costs"].items()},
            written["raw"],
        ),
    )
