"""What the house keeps to: versions that agree, lean imports, short modules, and nobody importing the front door."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import camdbench

ROOT = Path(__file__).parents[1]
PACKAGE = Path(camdbench.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 320

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())


class TestVersions:
    def test_changelog_project_package_and_citation_agree(self) -> None:
        stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
        cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
        assert newest is not None
        assert cited is not None
        assert stated == camdbench.__version__ == newest[1] == cited[1]

    def test_the_installed_package_is_this_one(self) -> None:
        if PACKAGE.parent == ROOT:
            pytest.skip("run from the working tree, not from an installed wheel")
        assert version("camdbench") == camdbench.__version__

    def test_changes_that_are_not_released_have_their_heading(self) -> None:
        assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


class TestPublicNames:
    def test_the_list_for_type_checkers_is_the_one_that_is_imported_from(self) -> None:
        assert camdbench.__all__ == sorted(camdbench._HOME)

    @pytest.mark.parametrize("name", camdbench.__all__)
    def test_every_name_is_there_and_documented(self, name: str) -> None:
        assert getattr(camdbench, name).__doc__
        assert name in dir(camdbench)

    def test_another_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="module 'camdbench' has no attribute 'nothing'"):
            camdbench.nothing  # noqa: B018 - reading it is the point

    def test_type_checkers_see_the_same_names(self) -> None:
        block = next(node for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body if isinstance(node, ast.If))
        seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert seen == {name: f"camdbench.{home}" for name, home in camdbench._HOME.items()}


class TestModules:
    @every_module
    def test_is_short(self, module: Path) -> None:
        assert len(module.read_text(encoding="utf-8").splitlines()) <= LONGEST

    @every_module
    def test_says_what_it_is_for(self, module: Path) -> None:
        doc = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
        assert doc
        assert doc.partition("\n")[0][-1] in ".:?"

    @every_module
    def test_does_not_import_the_front_door(self, module: Path) -> None:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(alias.name == "camdbench" for alias in node.names), f"line {node.lineno}"
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"line {node.lineno}: imports are absolute"
                names = {alias.name for alias in node.names}
                assert node.module != "camdbench" or names == {"__version__"}, f"line {node.lineno}"

    @every_module
    def test_only_capture_hooks_a_module(self, module: Path) -> None:
        hooks = re.findall(r"\bregister_(?:full_|module_)?(?:forward|backward)\w*hook", module.read_text(encoding="utf-8"))
        assert not hooks or module.name == "capture.py"


LEAN = {
    "the package": "import camdbench",
    "the listings": (
        "from camdbench.core.catalogue import datasets, explainers, losses, metrics, models\n"
        "assert all(entry.summary for held in (datasets, explainers, losses, metrics, models) for entry in held)"
    ),
    "specs": "from camdbench.core.catalogue import explainers; explainers.parse('opticam(iterations=5, lr=0.5),gradcam')",
    "the names of models": "from camdbench.models.zoo import model_names; assert 'resnet50' in model_names()",
    "the check of a model": "from camdbench.models.zoo import check_model; check_model('resnet50@IMAGENET1K_V1')",
    "the check of timm's": "from camdbench.models.zoo import check_model; check_model('timm/resnet50')",
    "the command line": "from camdbench.cli.main import main",
}


@pytest.mark.parametrize("code", LEAN.values(), ids=LEAN.keys())
def test_heavy_libraries_are_imported_where_they_are_used(code: str) -> None:
    heavy = "{'torch', 'torchvision', 'timm', 'pandas', 'matplotlib', 'scipy', 'skimage', 'captum', 'quantus', 'pyarrow', 'ray'}"
    script = f"import sys\n{code}\nprint(','.join(sorted({heavy} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == ""


def test_recipes_travel_with_the_package() -> None:
    if PACKAGE.parent == ROOT:
        pytest.skip("run from the working tree, not from an installed wheel")
    source = {path.relative_to(ROOT / "benchmarks") for path in (ROOT / "benchmarks").rglob("*.yaml")}
    assert {path.relative_to(PACKAGE / "benchmarks") for path in (PACKAGE / "benchmarks").rglob("*.yaml")} == source
    assert source
