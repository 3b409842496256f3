"""Architecture: versions agree, imports are lean, modules are short, and no module imports the package root."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers.each import each

import camdbench

ROOT = Path(__file__).parents[1]
PACKAGE = Path(camdbench.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 320

# Basenames that several modules share today; each rename shortens the list, none is added.
SHARED_BASENAMES = frozenset[str]()


def _called(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


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

    def test_every_name_is_there_and_documented(self) -> None:
        assert [name for name in camdbench.__all__ if not getattr(camdbench, name).__doc__ or name not in dir(camdbench)] == []

    def test_another_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="module 'camdbench' has no attribute 'nothing'"):
            camdbench.nothing  # noqa: B018 - reading it is the point

    def test_type_checkers_see_the_same_names(self) -> None:
        block = next(node for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body if isinstance(node, ast.If))
        seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert seen == {name: f"camdbench.{home}" for name, home in camdbench._HOME.items()}


class TestModules:
    """Each test reads all modules and names all offenders at once."""

    def test_are_short(self) -> None:
        lengths = {_called(module): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
        assert {module: lines for module, lines in lengths.items() if lines > LONGEST} == {}

    def test_have_a_docstring_that_ends_its_first_line(self) -> None:
        docs = {_called(module): ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "" for module in MODULES}
        assert [module for module, doc in docs.items() if not doc.partition("\n")[0].endswith((".", ":", "?"))] == []

    def test_do_not_import_the_front_door(self) -> None:
        assert [f"{_called(module)}:{line}" for module in MODULES for line in _front_door(module.read_text(encoding="utf-8"))] == []

    def test_only_capture_hooks_a_module(self) -> None:
        hooks = re.compile(r"\bregister_(?:full_|module_)?(?:forward|backward)\w*hook")
        found = [_called(module) for module in MODULES if hooks.search(module.read_text(encoding="utf-8"))]
        assert [name for name in found if not name.endswith("capture.py")] == []

    def test_basenames_are_unique(self) -> None:
        """But for `cli/X.py`, the command of module X, and `functional/X.py`, the mathematics of `metrics/X.py`."""
        shared = _shared_basenames([_called(module) for module in MODULES])
        assert sorted(set(shared) - SHARED_BASENAMES) == [], shared
        assert sorted(SHARED_BASENAMES - set(shared)) == [], "take these out of SHARED_BASENAMES"


def _front_door(source: str) -> list[int]:
    """The lines that import the package root, or relatively."""
    lines = list[int]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(alias.name == "camdbench" for alias in node.names):
            lines.append(node.lineno)
        if isinstance(node, ast.ImportFrom):
            root = node.module == "camdbench" and {alias.name for alias in node.names} != {"__version__"}
            lines += [node.lineno] * (root or node.level > 0)
    return lines


def _shared_basenames(modules: list[str]) -> dict[str, list[str]]:
    """Basename -> its modules, where there are more than the layout allows."""
    homes = dict[str, list[str]]()
    for module in modules:
        folder, _, name = module.rpartition("/")
        if folder != "cli" and not name.startswith("__"):
            homes.setdefault(name.removesuffix(".py"), []).append(module)
    return {name: held for name, held in homes.items() if len(held) > 1 and set(held) != {f"functional/{name}.py", f"metrics/{name}.py"}}


class TestTheChecks:
    """The checks above find what they are for."""

    @each(
        ("source", "lines"),
        [
            ("import camdbench", [1]),
            ("import camdbench.core.spec", []),
            ("import torch\nfrom camdbench import run", [2]),
            ("from camdbench import __version__", []),
            ("from . import spec", [1]),
        ],
    )
    def test_the_front_door(self, source: str, lines: list[int]) -> None:
        assert _front_door(source) == lines

    def test_basenames(self) -> None:
        assert (
            _shared_basenames(["cli/run.py", "runner/run.py", "functional/road.py", "metrics/road.py", "a/__init__.py", "__init__.py"])
            == {}
        )
        assert _shared_basenames(["a/x.py", "b/x.py"]) == {"x": ["a/x.py", "b/x.py"]}
        assert _shared_basenames(["cli/x.py", "functional/x.py", "metrics/x.py", "models/x.py"]).keys() == {"x"}


LEAN = {
    "the package": "import camdbench",
    "the listings": (
        "from camdbench.core.registries import datasets, explainers, losses, metrics, models\n"
        "assert all(entry.summary for held in (datasets, explainers, losses, metrics, models) for entry in held)"
    ),
    "specs": "from camdbench.core.registries import explainers; explainers.parse('opticam(iterations=5, lr=0.5),gradcam')",
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


OWN_NETWORK = """
import camdbench, torch
from torch.nn import AdaptiveAvgPool2d, Conv2d, Flatten, Linear, ReLU, Sequential
network = Sequential(Conv2d(3, 4, 3), ReLU(), AdaptiveAvgPool2d(1), Flatten(), Linear(4, 3))
classifier = camdbench.classifier(network, layer="0", mean=0.5, std=0.5)
camdbench.explain(classifier, torch.rand(2, 3, 16, 16), ["gradcam", "opticam(iterations=2)"])
"""
IMAGE_FILE = """
from PIL import Image
from camdbench.datasets.transforms import Annotations, SpatialTransform
SpatialTransform().fit(Image.new("RGB", (300, 260)), Annotations())
"""
NEEDLESS = (
    *("torchvision", "torch._dynamo", "torch.distributed.tensor", "torch.onnx", "sympy", "matplotlib", "skimage", "transformers"),
    *("timm", "captum", "quantus", "sklearn", "ray", "accelerate", "tensorboard", "IPython", "scipy.stats", "scipy.optimize"),
)


def test_work_imports_only_libraries_that_it_uses(tmp_path: Path) -> None:
    """Own networks and image files, a run of the default model, the same run when it is finished, and its tables."""
    out = str(tmp_path / "run")
    run = _command("run", "-e", "opticam(iterations=2),gradcam", "-m", "ad,boxacc", "--limit", "2", "--out", out, "--quiet")
    check = ("check", out, "--against", str(tmp_path / "golden.csv"))
    tables = "\n".join([_command("summarise", out), _command(*check, "--update"), _command(*check)])
    alone = (*NEEDLESS, "scipy", "pandas", "pyarrow", "rich")
    assert _loaded((OWN_NETWORK, alone), (IMAGE_FILE, alone), (run, NEEDLESS)) == [[], [], []]
    assert _loaded((run, NEEDLESS)) == [[]]
    assert _loaded((tables, (*NEEDLESS, "torch", "PIL"))) == [[]]


def _command(*words: str) -> str:
    return f"from camdbench.cli.main import run_cli; assert run_cli({list(words)}) == 0"


def _loaded(*stages: tuple[str, tuple[str, ...]]) -> list[list[str]]:
    """Those of the named modules that a new process holds after each of the programs."""
    shown = [f"{code}\nimport sys; print('loaded:', *(name for name in {names} if name in sys.modules))" for code, names in stages]
    done = subprocess.run([sys.executable, "-c", "\n".join(shown)], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("loaded:")]


WAY = {"modules imported": 165, "entered": 126, "frames to the explainer": 9, "imports between the modules of runner": 91}  # at most


def test_the_way_of_a_run_is_short() -> None:
    """A stranger can follow `camdbench run` to a row: bounds on what `tests/helpers/way.py` counts (docs/design/runner.md)."""
    script = Path(__file__).parent / "helpers" / "way.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    counts = {what: int(number) for what in WAY for number in re.findall(rf"(\d+) {what}", done.stdout)}
    assert counts.keys() == WAY.keys(), done.stdout
    assert {what: count for what, count in counts.items() if count > WAY[what]} == {}, done.stdout
    assert "entered   runner/scoring.py" in done.stdout.splitlines()
    assert "explainers/gradcam.py:gradcam" in done.stdout


def test_recipes_travel_with_the_package() -> None:
    if PACKAGE.parent == ROOT:
        pytest.skip("run from the working tree, not from an installed wheel")
    source = {path.relative_to(ROOT / "benchmarks") for path in (ROOT / "benchmarks").rglob("*.yaml")}
    assert {path.relative_to(PACKAGE / "benchmarks") for path in (PACKAGE / "benchmarks").rglob("*.yaml")} == source
    assert source
