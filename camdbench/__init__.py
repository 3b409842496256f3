"""camdbench: benchmark suite for saliency maps of image classifiers.

import camdbench

table = camdbench.run(explainers="opticam,gradcam", metrics="ad,ag")
maps = camdbench.explain(model, images, "opticam")
scores = camdbench.evaluate(model, images, labels, saliency, metrics=["ad", "ag"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camdbench.core.allocator import reuse_freed_memory
    from camdbench.core.cost import Cost, Repeat
    from camdbench.core.errors import CamdbenchError, NotApplicable, SampleError, UsageError
    from camdbench.core.protocols import Protocol
    from camdbench.core.registries import dataset, explainer, loss, metric, model
    from camdbench.datasets.own_data import data
    from camdbench.datasets.samples import Batch, Sample
    from camdbench.explainers.common.explain import explain
    from camdbench.explainers.common.explanation import Explanation, Explanations
    from camdbench.explainers.common.foreign_objects import cam, captum
    from camdbench.explainers.common.trace import Trace
    from camdbench.metrics.common.inputs import MetricInputs
    from camdbench.metrics.common.own_metrics import metric_of
    from camdbench.metrics.common.result import Curve, MetricResult
    from camdbench.models.classifier import Classifier
    from camdbench.models.layer_table import layers
    from camdbench.models.optimised import optimised
    from camdbench.models.own_models import classifier
    from camdbench.models.zero_shot import zero_shot
    from camdbench.models.zoo import load_classifier
    from camdbench.papers.reproduce import reproduce
    from camdbench.reporting.audit_report import audit
    from camdbench.reporting.report import report
    from camdbench.runner.config import RunConfig
    from camdbench.runner.evaluate import evaluate
    from camdbench.runner.resources import Resources
    from camdbench.runner.run import run
    from camdbench.runner.score import score
    from camdbench.tables.comparison import compare
    from camdbench.tables.golden import check
    from camdbench.tables.load import load_rows
    from camdbench.tables.load_cells import load_cells
    from camdbench.tables.summary import summarise
    from camdbench.trainer.probe import probe
    from camdbench.trainer.roar import roar
    from camdbench.trainer.step import TrainingStep
    from camdbench.trainer.task import LossResult
    from camdbench.trainer.train import train

__version__ = "0.2.0"

_HOME = {  # public name -> module that holds it; imported on first use, so that `import camdbench` needs no torch
    "Batch": "datasets.samples",
    "CamdbenchError": "core.errors",
    "Classifier": "models.classifier",
    "Cost": "core.cost",
    "Explanation": "explainers.common.explanation",
    "Explanations": "explainers.common.explanation",
    "LossResult": "trainer.task",
    "MetricInputs": "metrics.common.inputs",
    "Curve": "metrics.common.result",
    "MetricResult": "metrics.common.result",
    "NotApplicable": "core.errors",
    "Protocol": "core.protocols",
    "Repeat": "core.cost",
    "Resources": "runner.resources",
    "RunConfig": "runner.config",
    "Sample": "datasets.samples",
    "SampleError": "core.errors",
    "Trace": "explainers.common.trace",
    "TrainingStep": "trainer.step",
    "UsageError": "core.errors",
    "audit": "reporting.audit_report",
    "cam": "explainers.common.foreign_objects",
    "captum": "explainers.common.foreign_objects",
    "check": "tables.golden",
    "classifier": "models.own_models",
    "compare": "tables.comparison",
    "data": "datasets.own_data",
    "dataset": "core.registries",
    "evaluate": "runner.evaluate",
    "explain": "explainers.common.explain",
    "explainer": "core.registries",
    "layers": "models.layer_table",
    "load_cells": "tables.load_cells",
    "load_classifier": "models.zoo",
    "load_rows": "tables.load",
    "loss": "core.registries",
    "metric": "core.registries",
    "metric_of": "metrics.common.own_metrics",
    "model": "core.registries",
    "optimised": "models.optimised",
    "probe": "trainer.probe",
    "report": "reporting.report",
    "reproduce": "papers.reproduce",
    "reuse_freed_memory": "core.allocator",
    "roar": "trainer.roar",
    "run": "runner.run",
    "score": "runner.score",
    "summarise": "tables.summary",
    "train": "trainer.train",
    "zero_shot": "models.zero_shot",
}

__all__ = [
    "Batch",
    "CamdbenchError",
    "Classifier",
    "Cost",
    "Curve",
    "Explanation",
    "Explanations",
    "LossResult",
    "MetricInputs",
    "MetricResult",
    "NotApplicable",
    "Protocol",
    "Repeat",
    "Resources",
    "RunConfig",
    "Sample",
    "SampleError",
    "Trace",
    "TrainingStep",
    "UsageError",
    "audit",
    "cam",
    "captum",
    "check",
    "classifier",
    "compare",
    "data",
    "dataset",
    "evaluate",
    "explain",
    "explainer",
    "layers",
    "load_cells",
    "load_classifier",
    "load_rows",
    "loss",
    "metric",
    "metric_of",
    "model",
    "optimised",
    "probe",
    "report",
    "reproduce",
    "reuse_freed_memory",
    "roar",
    "run",
    "score",
    "summarise",
    "train",
    "zero_shot",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'camdbench' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"camdbench.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
