"""Test files that judge the mutants of a module."""

from __future__ import annotations

import re
from pathlib import Path

_CAMS = ("explainers/test_cam_family.py", "explainers/test_cams.py")
_ATTENTION = ("explainers/test_attention_methods.py",)
_QUANTUS = ("metrics/test_quantus.py",)
# Modules without a test file of the same name, or whose arithmetic a second file tests.
FURTHER: dict[str, tuple[str, ...]] = {
    **{f"explainers/{name}.py": _CAMS for name in ("cam", "elementwise", "fem", "gradcam", "gradcampp", "hirescam", "layercam")},
    **{f"explainers/{name}.py": _CAMS for name in ("randomcam", "shapleycam", "xgradcam")},
    **{f"explainers/{name}.py": _ATTENTION for name in ("genericattention", "legrad", "rollout")},
    **{f"explainers/{name}.py": ("explainers/test_contrasts.py",) for name in ("contrastivecam", "finercam")},
    "explainers/common/channel_masking.py": ("explainers/test_scorecam.py", "explainers/test_ablationcam.py"),
    "explainers/common/trace.py": ("explainers/test_one_trace.py", "explainers/test_differentiable.py", "explainers/test_derivatives.py"),
    "explainers/fakecam.py": ("explainers/test_trace.py", "explainers/test_controls.py"),
    "explainers/ground_truth_maps.py": ("explainers/test_controls.py", "explainers/test_wrappers.py"),
    "metrics/common/ground_truth.py": ("metrics/test_box_accuracy.py", "metrics/test_energy.py", "metrics/test_pointing.py"),
    "metrics/common/inputs.py": ("metrics/test_complexity.py", "metrics/test_adcc.py", "metrics/test_accuracy.py"),
    "metrics/common/perturbation_curves.py": ("metrics/test_insertion.py", "metrics/test_perturbation.py", "metrics/test_irof.py"),
    "metrics/common/result.py": ("metrics/test_insertion.py", "metrics/test_adcc.py", "metrics/test_box_accuracy.py"),
    **{f"metrics/common/quantus_{name}.py": _QUANTUS for name in ("bridge", "sandbox")},
    **{f"metrics/quantus_{name}.py": _QUANTUS for name in ("faithfulness", "maps", "robustness")},
    "tables/cell_values.py": ("tables/test_ties.py", "tables/test_summary.py"),
    "tables/latex_text.py": ("tables/test_render.py",),
    "tables/summary_tables.py": ("tables/test_render.py", "tables/test_significance.py", "tables/test_summary.py"),
    "tables/table.py": ("tables/test_comparison_tables.py", "tables/test_render.py"),
    "trainer/losses/cutmix.py": ("trainer/losses/test_cfce.py",),
    "trainer/losses/dfr.py": ("trainer/losses/test_baselines.py",),
}
# Contract suites: costs, ranges, protocols and directions of everything registered.
CONTRACTS = {
    "explainers/": ("explainers/test_costs.py", "contracts/test_explainers.py"),
    "metrics/": ("contracts/test_metrics.py",),
    "trainer/losses/": ("contracts/test_losses.py",),
}


def tests_of(checkout: Path, module: str) -> list[list[str]]:
    """Return pytest's arguments for a module of the package, in the order in which they run until one fails.

    First the test files: that of the same name, those of `FURTHER`, and the module itself if it has doctests. Then the cases of what
    the module registers in the contract suites.

    Raises:
        LookupError: no test file is known for the module.
    """
    folder, _, name = module.rpartition("/")
    names = [f"{folder}/test_{name}", f"{folder.removesuffix('/common')}/test_{name}", *FURTHER.get(module, ())]
    files = list(dict.fromkeys(f"tests/{path}" for path in names if (checkout / "tests" / path).is_file()))
    if not files:
        raise LookupError(f"{module}: no test file; add it to FURTHER in benchmarks/mutation/mapping.py")
    source = (checkout / "camdbench" / module).read_text(encoding="utf-8")
    doctests = [f"camdbench/{module}"] if ">>>" in source else []
    registered = re.findall(r"^@(?:explainer|metric|loss)\(\s*\"([^\"]+)\"", source, re.MULTILINE)
    facts = ["tests/contracts/test_facts.py"] if registered else []
    suites = [f"tests/{path}" for area, paths in CONTRACTS.items() if module.startswith(area) for path in paths]
    cases = " or ".join(f"[{word}" for word in registered)  # parametrized cases begin with the name
    return [[*doctests, *files, *facts], *([[*suites, "-k", cases]] if registered else [])]
