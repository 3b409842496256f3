"""Registries: filled by reading, complete in their facts, kind to wrong names, open to plug-ins."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from helpers.each import each

from camdbench.core import registries, registry
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.facts import ExplainerFacts, MetricFacts
from camdbench.core.metric_families import MASKED, ZERO_MAP
from camdbench.core.options import options_of_function
from camdbench.core.registry import Registry, load_plugin
from camdbench.core.spec import Spec

REGISTRIES = {
    "explainer": registries.explainers,
    "metric": registries.metrics,
    "dataset": registries.datasets,
    "model": registries.models,
    "loss": registries.losses,
}


@pytest.fixture
def explainers() -> Registry[ExplainerFacts]:
    """A registry of its own, with the built-in explainers."""
    return Registry("explainer", ExplainerFacts, "camdbench.explainers")


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What plug-ins leave in the registries of the package is taken out again."""
    held = {kind: (dict(found._live), dict(found._functions)) for kind, found in REGISTRIES.items()}
    modules, plugins = set(sys.modules), list(registry.PLUGINS)
    yield
    for kind, (live, functions) in held.items():
        REGISTRIES[kind]._live, REGISTRIES[kind]._functions = live, functions
    for name in set(sys.modules) - modules:
        if name.startswith("camdbench_plugin_"):
            del sys.modules[name]
    registry.PLUGINS[:] = plugins


class TestNames:
    @each(
        ("kind", "given", "name"),
        [
            ("metric", "average_drop", "ad"),
            ("metric", "Average-Drop", "ad"),
            ("metric", "increase_in_confidence", "ai"),
            ("metric", "model_parameter_randomisation", "randomisation"),
            ("metric", "max_box_accuracy_v2", "maxboxaccv2"),
            ("metric", "quantus:auc", "quantus:AUC"),
            ("explainer", "grad-cam", "gradcam"),
            ("explainer", "Opti-CAM", "opticam"),
            ("explainer", "score-cam", "scorecam"),
            ("explainer", "center", "centre"),
            ("explainer", "ground_truth_box", "gtbox"),
            ("explainer", "ground_truth_mask", "gtmask"),
            ("explainer", "extremalperturbation", "extremal"),
            ("explainer", "grad-cam++", "gradcampp"),
        ],
    )
    def test_aliases_and_other_spellings_are_accepted(self, kind: str, given: str, name: str) -> None:
        assert REGISTRIES[kind].parse_one(given) == Spec(name)

    def test_options_follow_an_alias(self) -> None:
        assert str(registries.metrics.parse_one("average_drop(protocol=adcc)")) == 'ad(protocol="adcc")'

    def test_a_name_under_two_spellings_is_named_twice(self) -> None:
        with pytest.raises(UsageError, match="ad is named twice"):
            registries.metrics.parse("ad,average_drop")

    @pytest.mark.parametrize("kind", ["explainer", "metric"])
    def test_no_two_names_are_spelt_alike(self, kind: str) -> None:
        known = REGISTRIES[kind]
        owners = dict[str, set[str]]()
        for spelling, name in [*known._aliases().items(), *((name, name) for name in known.names())]:
            owners.setdefault(registry.squash(spelling), set()).add(name)
        assert {spelling: names for spelling, names in owners.items() if len(names) > 1} == {}


@pytest.mark.parametrize("kind", REGISTRIES)
class TestBuiltIns:
    def test_reading_the_source_tells_what_the_live_function_tells(self, kind: str, subtests: pytest.Subtests) -> None:
        held = REGISTRIES[kind]
        for entry in held:
            with subtests.test(entry.name):
                function = held.load(entry.name)
                assert options_of_function(function) == tuple(option for option in entry.options if option.name != "protocol")
                assert (function.__module__, function.__name__) == (entry.module, entry.attribute)
                live = held._live.get(entry.name)
                assert live is not None, "importing the module ran the decorator"
                assert live == entry

    def test_each_states_where_it_comes_from_and_what_it_does_in_a_sentence(self, kind: str, subtests: pytest.Subtests) -> None:
        for entry in REGISTRIES[kind]:
            with subtests.test(entry.name):
                assert entry.facts.paper
                assert entry.summary[-1] in ".:"
                assert len(entry.summary) < 240

    def test_defaults_fit_their_own_types(self, kind: str, subtests: pytest.Subtests) -> None:
        for entry in REGISTRIES[kind]:
            for option in entry.options:
                with subtests.test(f"{entry.name}, {option.name}"):
                    assert option.check(option.default, entry.name) == option.default

    def test_has_members(self, kind: str) -> None:
        held = REGISTRIES[kind]
        assert held.names(), kind
        assert held.names() == [entry.name for entry in held] == sorted(held.names())


def test_metrics_state_a_formula_and_a_range() -> None:
    for entry in registries.metrics:
        low, high = entry.facts.values[1:-1].split(", ")
        assert entry.facts.formula, entry.name
        assert float(low) < float(high), entry.name
        assert entry.facts.values[0] + entry.facts.values[-1] in ("[]", "[)", "(]", "()", "{}"), entry.name


class TestRegistering:
    def test_a_live_function_stands_beside_the_built_in_ones(self, explainers: Registry[ExplainerFacts]) -> None:
        @explainers.register("mine", paper="mine")
        def mine(trace: object, *, power: float = 2.0) -> None:
            """Do my thing."""

        assert "mine" in explainers
        assert "gradcam" in explainers
        assert explainers.load("mine") is mine
        assert explainers.get("mine").summary == "Do my thing."
        assert explainers.parse("mine(power=3.0)") == (Spec.of("mine", {"power": 3.0}),)

    def test_a_name_goes_before_what_other_libraries_call_a_built_in_one(self, explainers: Registry[ExplainerFacts]) -> None:
        assert explainers.get("gradient").name == "saliency"

        @explainers.register("gradient", paper="ours")
        def ours(trace: object) -> object:
            """Ours."""
            return trace

        assert explainers.load("gradient") is ours
        assert explainers.parse_one("gradient").name == "gradient"

    def test_a_name_can_be_taken_once(self, explainers: Registry[ExplainerFacts]) -> None:
        def first(trace: object) -> None:
            """Do this."""

        def second(trace: object) -> None:
            """Do that."""

        explainers.register("mine", paper="x")(first)
        explainers.register("mine", paper="x")(first)  # a cell of a notebook that is run again
        with pytest.raises(ValueError, match=r"explainer 'mine' of .*second is already registered by .*first"):
            explainers.register("mine", paper="x")(second)

    def test_a_built_in_name_cannot_be_taken(self, explainers: Registry[ExplainerFacts]) -> None:
        with pytest.raises(ValueError, match=r"already registered by camdbench\.explainers\.gradcam\.gradcam"):
            explainers.register("gradcam", paper="x")(_documented)
        assert explainers.get("gradcam").module == "camdbench.explainers.gradcam"

    def test_a_missing_fact_is_named(self) -> None:
        metrics = Registry("metric", MetricFacts, "camdbench.metrics")
        with pytest.raises(TypeError, match=r"@metric\('mine'\): missing .*'unit'"):
            metrics.register("mine", paper="x", higher_is_better=True)(_documented)

    def test_a_decorator_may_name_families_and_facts_that_a_module_shares(self) -> None:
        source = """
PAPER = "Author 2020"
SHARED = {"paper": PAPER, "needs": ("masks",), "undefined": ZERO_MAP}
BASE = MASKED.variant("", scored_class="predicted")

@metric("mine", higher_is_better=True, unit="%", protocols=(BASE.variant("a", masking="normalised", options={"step": 2}),), **SHARED)
def mine(inputs, *, step: PositiveInt = 1):
    \"\"\"Mine.\"\"\"
"""
        (entry,) = Registry("metric", MetricFacts, "camdbench.metrics")._read(source, "a.module")
        expected = replace(MASKED, name="a", scored_class="predicted", masking="normalised", options={"step": 2})
        assert entry.facts == MetricFacts(
            paper="Author 2020", higher_is_better=True, unit="%", needs=("masks",), undefined=ZERO_MAP, protocols=(expected,)
        )
        assert entry.facts.tolerance == 0.1

    def test_a_name_of_the_module_goes_before_that_of_a_family(self) -> None:
        mark = '@metric("mine", paper="p", higher_is_better=True, unit="", undefined=ZERO_MAP)'
        source = f'ZERO_MAP = "x"\n{mark}\ndef mine(inputs):\n    "Mine."\n'
        (entry,) = Registry("metric", MetricFacts, "camdbench.metrics")._read(source, "a.module")
        assert entry.facts.undefined == "x"

    def test_the_formula_is_that_of_the_docstring_unless_it_is_stated(self) -> None:
        metrics = Registry("metric", MetricFacts, "camdbench.metrics")
        facts = {"paper": "x", "higher_is_better": True, "unit": "%"}

        def function(inputs: object) -> None:
            r"""Mine.

            .. math:: 100 \max(0,
                p - o) / p

            .. math:: 2
            """

        metrics.register("mine", **facts)(function)
        assert metrics.get("mine").facts.formula == r"100 \max(0, p - o) / p"
        metrics.register("mine", formula="1", **facts)(function)
        assert metrics.get("mine").facts.formula == "1"

    def test_an_unknown_fact_is_named(self, explainers: Registry[ExplainerFacts]) -> None:
        with pytest.raises(TypeError, match=r"@explainer\('mine'\): got an unexpected keyword argument 'year'"):
            explainers.register("mine", paper="x", year=2020)(_documented)

    @pytest.mark.parametrize("fact", ["explains", "references"])
    def test_a_number_by_an_option_that_a_metric_does_not_have_is_refused(self, fact: str) -> None:
        def mine(inputs: object, *, samples: int = 3) -> None:
            """A metric with one option."""

        metrics = Registry("metric", MetricFacts, "camdbench.metrics")
        with pytest.raises(TypeError, match=rf"'mine': {fact} = 'draws': not an option; give a number or one of samples"):
            metrics.register("mine", paper="x", higher_is_better=True, unit="", **{fact: "draws"})(mine)

    @pytest.mark.parametrize("doc", [None, "", "  \n "])
    def test_a_missing_docstring_is_refused(self, explainers: Registry[ExplainerFacts], doc: str | None) -> None:
        def silent(trace: object) -> None: ...

        silent.__doc__ = doc
        with pytest.raises(TypeError, match="'mine': no docstring"):
            explainers.register("mine", paper="x")(silent)


class TestSpecs:
    def test_an_unknown_name_gets_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"no explainer 'gradcan'; did you mean 'gradcam'.*see: camdbench list explainers"):
            registries.explainers.parse("gradcan")
        with pytest.raises(UsageError, match="no metric 'xyz'; known: ablation_accuracy, accuracy, accuracy_information_curve, ad"):
            registries.metrics.parse("xyz")

    def test_a_default_that_is_spelled_out_is_the_same_work(self) -> None:
        assert registries.explainers.parse('opticam(iterations=100, objective="mask")') == (Spec("opticam"),)

    def test_the_same_work_twice_is_refused(self) -> None:
        with pytest.raises(UsageError, match="explainer opticam is named twice"):
            registries.explainers.parse("opticam,opticam(iterations=100)")

    def test_the_same_method_with_other_options_is_other_work(self) -> None:
        assert [str(spec) for spec in registries.explainers.parse(["opticam", "opticam(iterations=50),gradcam"])] == [
            "opticam",
            "opticam(iterations=50)",
            "gradcam",
        ]

    def test_specs_may_be_given_ready_made(self) -> None:
        assert registries.explainers.parse([Spec.of("opticam", {"iterations": 100})]) == (Spec("opticam"),)


class TestPlugins:
    def test_a_file_registers_what_it_holds(self, tmp_path: Path, forgetful: None) -> None:
        file = tmp_path / "mine.py"
        file.write_text(
            "from camdbench.core.registries import explainer\n"
            "@explainer('mine', paper='x')\n"
            "def mine(trace, *, power: float = 2.0):\n"
            "    '''Do my thing.'''\n"
            "    return trace.images.mean(1) ** power\n"
        )
        load_plugin(file)
        assert str(registries.explainers.parse_one("mine(power=3.0)")) == "mine(power=3.0)"

    def test_a_file_that_takes_a_built_in_name_is_refused(self, tmp_path: Path, forgetful: None) -> None:
        file = tmp_path / "thief.py"
        file.write_text(
            "from camdbench.core.registries import metric\n"
            "@metric('ad', paper='x', higher_is_better=True, unit='', tolerance=1.0)\n"
            "def ad(inputs):\n"
            "    'Do something else.'\n"
        )
        with pytest.raises(
            CamdbenchError, match=r"--plugin .*thief\.py: ValueError: metric 'ad' of .* is already registered by camdbench\.metrics"
        ):
            load_plugin(file)
        assert registries.metrics.get("ad").module == "camdbench.metrics.confidence"

    def test_a_folder_and_a_module_are_run(self, tmp_path: Path, forgetful: None, monkeypatch: pytest.MonkeyPatch) -> None:
        text = "from camdbench.core.registries import explainer\n"
        text += "@explainer('NAME', paper='x')\ndef NAME(trace):\n    'Do it.'\n    return FACTOR * trace.images.mean(1)\n"
        home, files = tmp_path / "home", {"all/one": "first", "all/two": "second", "package/inner": "third", "package/__init__": ""}
        for file, name in files.items():
            (home / file).parent.mkdir(parents=True, exist_ok=True)
            (home / f"{file}.py").write_text(("FACTOR = 1\n" + text.replace("NAME", name)) if name else "")
        (home / "package" / "constant.py").write_text("FACTOR = 1\n")
        inner = home / "package" / "inner.py"
        inner.write_text(inner.read_text().replace("FACTOR = 1\n", "from package.constant import FACTOR\n"))
        load_plugin(home / "all")
        monkeypatch.chdir(home)
        load_plugin("package.inner")
        assert {"first", "second", "third"} <= set(registries.explainers.names())
        assert registry.PLUGINS[-3:] == [str(home / "all" / "one.py"), str(home / "all" / "two.py"), "package.inner"]
        before = [registries.explainers.plugin_hash(name) for name in ("first", "third")]
        (home / "package" / "constant.py").write_text("FACTOR = 2\n")
        load_plugin("package.inner")
        after = [registries.explainers.plugin_hash(name) for name in ("first", "third")]
        assert (after[0] == before[0], after[1] == before[1]) == (True, False)
        assert registries.explainers.load("third").__globals__["FACTOR"] == 2

    @pytest.mark.parametrize(
        ("content", "plugin", "error", "message"),
        [
            (None, "no_such.module", UsageError, "--plugin no_such.module: no module no_such; give a file FILE.py, a folder or an"),
            ("1 / 0", "fails_at_once", CamdbenchError, "--plugin fails_at_once: ZeroDivisionError: division by zero"),
            ("import no_such_one", "lacks_one", UsageError, "--plugin lacks_one: no module no_such_one"),
        ],
    )
    def test_a_module_that_cannot_be_imported_is_one_line(
        self,
        tmp_path: Path,
        forgetful: None,
        monkeypatch: pytest.MonkeyPatch,
        content: str | None,
        plugin: str,
        error: type[Exception],
        message: str,
    ) -> None:
        if content is not None:
            (tmp_path / f"{plugin}.py").write_text(content)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(error, match=f"^{message}"):
            load_plugin(plugin)

    def test_a_folder_without_python_files(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--plugin .*: a folder without Python files \(\*\.py\)"):
            load_plugin(tmp_path)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--plugin .*none\.py: no such file"):
            load_plugin(tmp_path / "none.py")

    def test_a_file_that_fails_is_named_with_its_error(self, tmp_path: Path, forgetful: None) -> None:
        (tmp_path / "bad.py").write_text("1 / 0")
        with pytest.raises(CamdbenchError, match=r"--plugin .*bad\.py: ZeroDivisionError: division by zero"):
            load_plugin(tmp_path / "bad.py")
        assert "camdbench_plugin_bad" not in sys.modules

    def test_a_file_that_is_no_python(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("hello")
        with pytest.raises(UsageError, match="not a Python file"):
            load_plugin(tmp_path / "notes.txt")

    def test_an_installed_plugin_joins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fresh = Registry("explainer", ExplainerFacts, "camdbench.explainers")
        (tmp_path / "somebodys_plugin.py").write_text("def _join(register):\n    pass\n")
        monkeypatch.syspath_prepend(str(tmp_path))

        class Joins(EntryPoint):
            def load(self) -> object:
                return fresh.register("theirs", paper="x")(_documented)

        monkeypatch.setattr(registry, "entry_points", lambda group: [Joins("theirs", "somebodys_plugin", group)])
        assert "theirs" in fresh

    def test_a_broken_installed_plugin_is_a_warning_and_the_others_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fresh = Registry("explainer", ExplainerFacts, "camdbench.explainers")
        monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("theirs", "no_such_module_anywhere:x", group)])
        with pytest.warns(UserWarning, match=r"plug-in 'theirs' \(no_such_module_anywhere:x\): not loaded: ModuleNotFoundError"):
            assert "gradcam" in fresh
        assert "gradcam" in fresh  # and it is said once

    def test_each_registry_asks_for_plugins_of_its_own_group(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = list[str]()
        monkeypatch.setattr(registry, "entry_points", lambda group: asked.append(group) or [])
        Registry("explainer", ExplainerFacts, "camdbench.explainers").names()
        assert asked == ["camdbench.explainers"]


def _documented(trace: object) -> None:
    """Do something."""
