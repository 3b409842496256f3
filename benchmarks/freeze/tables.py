"""Printed tables: what every command prints, on small runs."""

from __future__ import annotations

import yaml
from neutral import store_maps, write_table
from recorder import Recorder
from spelling import words
from training import train

from runs import options_run, two_models

COMMANDS = (
    "",
    "run",
    "score",
    "list",
    "layers",
    "explain",
    "train",
    "probe",
    "reproduce",
    "summarise",
    "check",
    "data",
    "diff",
    "compare",
    "figures",
)
FORMATS = {"table": "txt", "markdown": "txt", "latex": "txt", "csv": "csv", "json": "json"}
REPRODUCED = ("cgc-table4",)  # few passes, no training


def printed_tables(recorder: Recorder) -> None:
    """Store what is printed by every command that prints a table, a list or help."""
    _help(recorder)
    _lists(recorder)
    for name, run in (("two-models", two_models), ("options", options_run)):
        if not (recorder.work / name).is_dir():
            run(recorder, store=False)
    _summaries(recorder)
    _comparisons(recorder)
    _seeds(recorder)
    _reproduced(recorder)
    _explained(recorder)


def _help(recorder: Recorder) -> None:
    for command in (*COMMANDS, "data verify", " ".join(["data", *words("make_masks")])):
        name = "data-masks" if command.endswith("masks") else command.replace(" ", "-") or "camdbench"
        recorder.call(*command.split(), "--help", name=f"help-{name}")


def _lists(recorder: Recorder) -> None:
    for kind in ("explainers", "metrics", "models", "datasets", "losses", "recipes"):
        recorder.call("list", kind, name=f"list-{kind}")
    for kind, entry in (
        ("metrics", "ad"),
        ("metrics", "insertion"),
        ("metrics", "maxboxacc"),
        ("explainers", "opticam"),
        ("losses", "cfce"),
    ):
        recorder.call("list", kind, entry, name=f"list-{kind}-{entry}")
    recorder.call("layers", "shortcuts-ce", "--all", name="layers")
    recorder.call("list", "metrics", "insertoin", name="error-unknown-metric")
    recorder.call("run", "-e", "gradcam", "-m", "ad", "--limit", "0", name="error-limit")


def _summaries(recorder: Recorder) -> None:
    for form, suffix in FORMATS.items():
        for run in ("two-models", "options"):
            recorder.call("summarise", run, "--format", form, name=f"summarise-{run}-{form}", form=suffix)
    recorder.call("summarise", "two-models", "--significance", "--interval", "bca", name="summarise-significance")
    for path in sorted((recorder.work / "two-models").glob("summary.*")):
        (recorder.out / "text" / f"file-{path.name}").write_bytes(path.read_bytes())


def _comparisons(recorder: Recorder) -> None:
    for form, suffix in FORMATS.items():
        recorder.call("compare", "two-models", "--format", form, name=f"compare-{form}", form=suffix)
    recorder.call("compare", "two-models", "options", name="compare-two-runs")
    recorder.call("diff", "two-models", "options", name="diff-runs")
    recorder.call("diff", "insertion", "insertion(protocol=rise)", name="diff-metrics")
    recorder.call("diff", "insertion", "insertion(protocol=rise)", "--json", name="diff-metrics-json", form="json")
    recorder.call("check", "two-models", "--against", str(recorder.golden.parent / "results" / "golden.csv"), name="check")
    recorder.call("check", "two-models", "--against", "golden.csv", "--update", name="check-update")
    written = recorder.work / "golden.csv"
    if written.is_file():
        (recorder.out / "text" / "file-golden.csv").write_bytes(written.read_bytes())


def _seeds(recorder: Recorder) -> None:
    """Variance between training seeds, of one recipe trained twice."""
    recipe = yaml.safe_load((recorder.root / "benchmarks" / "shortcuts" / "ce.yaml").read_text(encoding="utf-8"))
    train(recorder, [recipe | {"name": f"tiny-s{seed}", "seed": seed} for seed in (0, 1)])
    recorder.run(
        "seeds",
        "-e",
        "gradcam,centre",
        "-m",
        "ad,ai",
        "--models",
        "trained/tiny-s0.safetensors,trained/tiny-s1.safetensors",
        "--limit",
        "6",
        store=False,
    )
    for form, suffix in FORMATS.items():
        recorder.call(
            "compare",
            "seeds",
            *words("training_seeds"),
            *words("half_width"),
            "5",
            "--format",
            form,
            name=f"compare-seeds-{form}",
            form=suffix,
        )


def _reproduced(recorder: Recorder) -> None:
    import camdbench

    for name in REPRODUCED:
        recorder.call(
            "reproduce",
            name,
            *words("small"),
            "--limit",
            "2",
            "--device",
            "cpu",
            "--quiet",
            "--out",
            f"reproduced/{name}",
            name=f"reproduce-{name}",
        )
        folder = recorder.work / "reproduced" / name
        for record in sorted(folder.rglob("run.json")):
            rows = camdbench.load_rows(record.parent)
            write_table(rows.drop(columns="run"), recorder.out / "reproduce" / name / f"{record.parent.name}.parquet")


def _explained(recorder: Recorder) -> None:
    options = ["-e", "gradcam,opticam(iterations=3)", "--device", "cpu", "--out", "explained"]
    recorder.call("explain", "chelsea", *options, name="explain")
    recorder.call("explain", "chelsea", *options, "--json", name="explain-json", form="json")
    store_maps(recorder.work / "explained", recorder.out / "explained" / "maps.safetensors")
