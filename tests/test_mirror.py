"""Every module of the package is tested under its own name, through its registry's contract, or by a test module that imports it."""

from __future__ import annotations

import ast
from pathlib import Path

import camdbench
from camdbench.core.registries import datasets, explainers, losses, metrics

TESTS = Path(__file__).parent
PACKAGE = Path(camdbench.__file__).parent

# Modules that a test module reaches in another way: through a command, or through the function that calls them.
ELSEWHERE = {
    "cli/audit.py": "auditing/test_audit.py",
    "auditing/audit_tables.py": "auditing/test_audit.py",
    "auditing/measured.py": "auditing/test_audit.py",
    "reporting/audit_report.py": "auditing/test_audit.py",
    "cli/compare.py": "tables/test_comparison_tables.py",
    "cli/diff.py": "tables/test_protocol_diff.py",
    "core/difference.py": "core/test_registry.py",
    "cli/check.py": "cli/test_verbs.py",
    "cli/explain.py": "cli/test_verbs.py",
    "cli/layers.py": "cli/test_verbs.py",
    "cli/list_command.py": "cli/test_verbs.py",
    "cli/shared_options.py": "cli/test_main.py",
    "cli/probe.py": "trainer/test_probe.py",
    "cli/roar.py": "trainer/test_roar.py",
    "trainer/degraded_maps.py": "trainer/test_roar.py",
    "cli/recipes.py": "papers/test_requirements.py",
    "cli/reproduce.py": "papers/test_reproduce.py",
    "cli/report.py": "reporting/test_report.py",
    "reporting/report_cards.py": "reporting/test_two_runs.py",
    "models/photograph_note.py": "models/test_packaged_weights.py",
    "reporting/explained.py": "reporting/test_explained_images.py",
    "reporting/explained_files.py": "reporting/test_explained_images.py",
    "reporting/explained_page.py": "reporting/test_explained_images.py",
    "reporting/figure_files.py": "reporting/test_figures.py",
    "reporting/report_data.py": "reporting/test_report.py",
    "reporting/report_files.py": "reporting/test_folder_report.py",
    "reporting/report_images.py": "reporting/test_report.py",
    "reporting/report_page.py": "reporting/test_report.py",
    "reporting/report_runs.py": "reporting/test_two_runs.py",
    "reporting/report_tables.py": "reporting/test_report.py",
    "reporting/run_pictures.py": "reporting/test_report.py",
    "runner/open_images.py": "reporting/test_report.py",
    "runner/stored_maps.py": "reporting/test_report.py",
    "cli/run.py": "cli/test_verbs.py",
    "cli/summarise.py": "cli/test_verbs.py",
    "cli/train.py": "cli/test_verbs.py",
    "core/own_entry.py": "runner/test_door.py",
    "core/own_modules.py": "runner/test_identity.py",
    "core/references.py": "runner/test_door.py",
    "core/registry_entry.py": "core/test_registry.py",
    "datasets/folder_annotations.py": "datasets/test_folder.py",
    "datasets/masks.py": "datasets/test_reader_options.py",
    "explainers/common/captum_bridge.py": "explainers/common/test_foreign_objects.py",
    "explainers/common/given_pictures.py": "explainers/test_explain.py",
    "explainers/common/own_explainers.py": "runner/test_door.py",
    "metrics/common/own_metrics.py": "runner/test_door.py",
    "models/layer_table.py": "runner/test_door.py",
    "tables/ordered_rows.py": "tables/test_load_cells.py",
    "models/own_models.py": "runner/test_door.py",
    "datasets/annotation_text.py": "datasets/test_file_hashes.py",
    "datasets/given_data.py": "runner/test_door.py",
    "datasets/own/of_model.py": "datasets/test_own_data.py",
    "models/first_pass.py": "models/test_target_layers.py",
    "models/named_layers.py": "models/test_classifier.py",
    "models/network_identity.py": "runner/test_identity.py",
    "runner/door.py": "runner/test_door.py",
    "runner/record.py": "runner/test_run.py",
    "runner/request_checks.py": "runner/test_config.py",
    "metrics/common/quantus_bridge.py": "metrics/test_quantus.py",
    "metrics/common/quantus_sandbox.py": "metrics/test_quantus.py",
    "papers/checkpoint_names.py": "papers/test_training.py",
}


def imported(source: str) -> set[str]:
    """Modules, and names that may be modules, that the header of a test module imports."""
    found = set[str]()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def untested(modules: list[str], tests: dict[str, str], registered: set[str]) -> list[str]:
    """The modules, as paths in the package, that no test is about.

    Args:
        modules: paths in the package.
        tests: source of each test module by its path in the folder of tests.
        registered: dotted names of the modules whose functions a contract suite checks.
    """
    known = registered.union(*map(imported, tests.values()))
    found = list[str]()
    for module in modules:
        folder, _, name = module.rpartition("/")
        dotted = "camdbench." + module.removesuffix(".py").replace("/", ".")
        mirror = f"{folder}/test_{name}".removeprefix("/")
        if mirror not in tests and dotted not in known and ELSEWHERE.get(module) not in tests:
            found.append(module)
    return found


def test_every_module_has_a_test() -> None:
    modules = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py")) if not path.name.startswith("__")]
    tests = {path.relative_to(TESTS).as_posix(): path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")}
    found = untested(modules, tests, {entry.module for kind in (explainers, metrics, losses, datasets) for entry in kind})
    assert found == []
    assert sorted(set(ELSEWHERE) - set(modules)) == [], "modules that are gone"


def test_the_check_finds_a_module_without_a_test() -> None:
    tests = {
        "a/test_x.py": "import torch",
        "test_z.py": "from camdbench.b import y\nfrom camdbench.c.w import f\n\ndef g():\n    import camdbench.d",
    }
    assert untested(["a/x.py", "b/y.py", "c/w.py", "z.py", "e/r.py", "d.py", "a/q.py"], tests, {"camdbench.e.r"}) == ["d.py", "a/q.py"]
