"""Every recipe: its values are the paper's, all of them, and everything that it names exists."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from helpers.each import each, subcase

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.registries import datasets, models
from camdbench.core.settings import make_config
from camdbench.core.spec import parse_spec
from camdbench.papers.cell_settings import CellSettings
from camdbench.papers.jobs import Plan, ReproductionJob, plan
from camdbench.papers.recipe_files import load_table, recipe_files, recipe_folder
from camdbench.papers.table_recipe import AXES, PaperTable, read_table
from camdbench.runner.config import RunConfig, check_config
from camdbench.trainer.recipe import check_recipe

# Lines x columns of each table, counted in the paper.
PRINTED = {
    "opticam-table1": 12 * 2 * 4,
    "opticam-table2": 14 * 2 * 4,
    "opticam-table3": 2 * (11 + 11 + 13 + 13),
    "opticam-table4": 8 * 2 * 3,
    "opticam-table5": 9 * 9 + 2 * 3,
    "opticam-table6": 14 * 3,
    "opticam-tablea7": 9 * 2 * 7,
    "opticam-tablea8": 11 * 2 * 7,
    "opticam-tablea9": 4 * 5 * 3,
    "opticam-tablea10": 9 * 2 * 2 * 3,
    "opticam-tablea11": 6 * 2 * 2 * 2,
    "opticam-tablea12": 12 * 3,
    "opticam-tablea13": 11 * 3,
    "opticam-tablea14": 9 * 2 * 4,
    "opticam-figa4": 0,
    "opticam-figa5": 0,
    "opticam-figa6": 1,  # quoted in the text
    "cgc-table1": 2 * 3 * 3,
    "cgc-table2": 2,
    "cgc-table3": 2 * 2,
    "cgc-table4": 3,
    "cgc-table5": 4 * 2,
    "cgc-table6": 2 * 4,
    "cgc-table7": 2 * 4 * 3,
    "cgc-table8": 2 * 2 * 4,
    "cgc-table9": 2 * 3,
    "cgc-table10": 6 * 2,
    "cfce-table1": 2 * 5 + 1,
    "cfce-table2": 4 * 6 + 3 * 7,
    "cfce-pets": 7 * 8,
    "cfce-sbd": 4 * 4,
    "cfce-segmentation": 0,
    "soloss-table1": 3 * 5 * 4,
    "soloss-fig6": 0,
    "soloss-fig7": 0,
    "soloss-fig8": 0,
}


def test_every_table_and_figure_has_a_recipe() -> None:
    assert sorted(recipe_files()) == sorted(PRINTED)


def test_every_file_of_values_has_a_recipe() -> None:
    values = {file.with_suffix("") for file in recipe_folder().glob("*/*.csv") if file.parent.name not in ("freeze", "real")}
    assert values == {file.with_suffix("") for file in recipe_files().values()}


@pytest.mark.parametrize("name", PRINTED)
def test_a_recipe_holds_every_printed_value_and_asks_for_what_exists(name: str, tmp_path: Path, subtests: pytest.Subtests) -> None:
    with subcase(subtests, "every printed value is there"):
        _every_printed_value_is_there(name)
    with subcase(subtests, "no label is idle"):
        _no_label_is_idle(name)
    for small in (False, True):
        planned = plan(load_table(name), small=small)
        with subcase(subtests, "every cell is measured or says why not", small=small):
            _every_cell_is_measured_or_says_why_not(planned)
        with subcase(subtests, "every run is one that the benchmark takes", small=small):
            _every_run_is_one_that_the_benchmark_takes(planned, small, tmp_path)
        with subcase(subtests, "every training is one that the trainer takes", small=small):
            _every_training_is_one_that_the_trainer_takes(planned, name, small)


def _every_printed_value_is_there(name: str) -> None:
    assert sum(cell.number is not None for cell in load_table(name).values) == PRINTED[name]


def test_no_value_stands_in_two_recipes() -> None:
    found = Counter[tuple[str, ...]]()
    for name in PRINTED:
        paper_table = load_table(name)
        found.update((paper_table.recipe.paper, paper_table.recipe.table, *cell.labels) for cell in paper_table.values)
    assert set(found.values()) == {1}


@each(
    ("name", "labels", "value"),
    [
        ("opticam-table1", ("ImageNet-val", "VGG16", "Opti-CAM", "AG"), "71.2"),
        ("opticam-table5", ("ImageNet-val", "VGG16", "S := I\\B (complement of GT box)", "AI(S)"), "16.3"),
        ("cgc-table2", ("ImageNet-val", "ResNet50", "Baseline", "Insertion AUC"), "0.4860"),
        ("cfce-table2", ("Hard-ImageNet", "ResNet-50", "CFCE + KL", "RFS"), "0.236"),
        ("soloss-table1", ("CUB", "ViT-B_16", "SO-Loss-Blur", "Accuracy (%)"), "63.82"),
    ],
)
def test_values_are_as_printed_with_all_their_digits(name: str, labels: tuple[str, ...], value: str) -> None:
    assert [cell.value for cell in load_table(name).values if cell.labels == labels] == [value]


def _no_label_is_idle(name: str) -> None:
    paper_table = load_table(name)
    own = Path(recipe_files()[name]).read_text(encoding="utf-8")
    for axis, used in zip(AXES, zip(*(cell.labels for cell in paper_table.values), strict=True), strict=True):
        idle = set(paper_table.recipe.of(axis)) - set(used)
        assert not [label for label in idle if f"{label}:" in own or f'{label}":' in own]
        for override in paper_table.recipe.overrides:
            assert override.match.get(axis, used[0]) in used


def _every_cell_is_measured_or_says_why_not(planned: Plan) -> None:
    assert len(planned.cells) == len(planned.table.values)
    for cell in planned.cells:
        assert bool(cell.reason) != bool(cell.jobs)


def _every_run_is_one_that_the_benchmark_takes(planned: Plan, small: bool, tmp_path: Path) -> None:
    for folder in ("Annotations/CLS-LOC/val", "segmentations", "masks/test", "sam"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for job in (job for job in planned.jobs if job.setting.probe is None):
        setting = job.setting
        on_disk = datasets.get(parse_spec(setting.dataset).name).facts.on_disk
        options = {
            "explainers": list(job.explainers) if job.explainers != ("none",) else "none",
            "metrics": list(job.metrics),
            "models": [setting.model or "shortcuts-ce"],
            "dataset": setting.dataset,
            "split": setting.split,
            "data_root": tmp_path if on_disk else None,
            "mean": setting.mean,
            "std": setting.std,
            "target": setting.target,
            "limit": 8,
        }
        request = check_config(make_config(RunConfig, options))
        assert on_disk is not small
        # Rows are looked up by these very names.
        assert [str(spec) for spec in request.metrics] == list(job.metrics)
        assert [str(spec) for spec in request.explainers] == [name for name in job.explainers if name != "none"]


def trainings(planned: Plan) -> list[dict[str, object]]:
    found = {setting.training for cell in planned.cells for setting in cell.jobs if setting.training is not None}
    return [training.fields for training in found]


def _every_training_is_one_that_the_trainer_takes(planned: Plan, name: str, small: bool) -> None:
    for fields in trainings(planned):
        if name == "cgc-table9" and not small:
            with pytest.raises(UsageError, match=r"swav_resnet50\.safetensors: no such checkpoint"):
                check_recipe(fields, name)
        else:
            assert check_recipe(fields, name).name == fields["name"]


def test_trainings_that_differ_have_names_of_their_own() -> None:
    for small in (False, True):
        fields = [one for name in PRINTED for one in trainings(plan(load_table(name), small=small))]
        found = {tuple(sorted((key, str(value)) for key, value in one.items())) for one in fields}
        names = {one["name"] for one in fields}
        assert len(names) == len(found) > 1


class TestJobs:
    def test_cells_of_one_setting_share_a_run(self) -> None:
        [resnet, vgg] = plan(load_table("opticam-table1")).jobs
        assert resnet.metrics == vgg.metrics == ("ad", "ag", "ai")
        assert len(resnet.explainers) == len(vgg.explainers) == 12

    def test_what_is_asked_of_some_explainers_only_is_a_run_of_its_own(self) -> None:
        jobs = plan(load_table("cfce-table2")).jobs
        assert {job.explainers for job in jobs} == {("none",), ("gradcam",)}

    def test_seeds_multiply_trained_networks_only(self) -> None:
        paper_table = load_table("soloss-table1")
        assert {len(cell.jobs) for cell in plan(paper_table).cells if cell.jobs} == {5}
        assert {len(cell.jobs) for cell in plan(paper_table, small=True).cells} == {1}
        assert {len(cell.jobs) for cell in plan(load_table("opticam-table1")).cells} == {1}

    def test_each_seed_of_few_shots_is_an_episode_and_both_methods_have_the_same(self) -> None:
        drawn = dict[tuple[str, str], list[tuple[int, int, int]]]()
        for cell in plan(load_table("cgc-table7")).cells:
            for setting in cell.jobs:
                assert setting.training is not None
                fields = setting.training.fields
                data = fields["data"]
                key = (data["dataset"], fields["loss"].partition("(")[0])
                drawn.setdefault(key, []).append((data["shots"], data["episode"], fields["seed"]))
        assert len(drawn) == 8
        wanted = [(shots, seed, seed) for shots in (1, 5, 10) for seed in range(20)]
        assert all(sorted(found) == wanted for found in drawn.values())

    def test_a_run_that_comes_first_is_the_one_of_the_line_of_its_name(self) -> None:
        """CORM + DFR begins with the networks of CORM, under each seed, which are trained once."""
        paper_table = load_table("cfce-table2")
        names = dict[str, set[str]]()
        for cell in plan(paper_table, methods=["CORM", "CORM + DFR"]).cells:
            for setting in cell.jobs:
                assert setting.training is not None
                first = check_recipe(setting.training.fields, "test").pretraining_recipe()
                names.setdefault(cell.paper.method, set()).add(setting.training.name if first is None else first.name)
        assert names["CORM"] == names["CORM + DFR"]
        assert len(names["CORM"]) == 3

    def test_medical_networks_have_the_heads_rates_of_the_paper(self) -> None:
        """Opti-CAM, appendix E.2."""
        found = set[tuple[str, str, float, float]]()
        for cell in plan(load_table("opticam-tablea10")).cells:
            training = cell.jobs[0].training
            assert training is not None
            fields = training.fields
            found.add((cell.paper.dataset, fields["network"], fields["head_stage"]["lr"], fields["optimiser"]["lr"]))
        assert found == {
            ("Chest X-ray", "resnet50", 1e-3, 1e-5),
            ("Chest X-ray", "vgg16_bn", 1e-3, 1e-5),
            ("Kvasir", "resnet50", 1e-4, 1e-5),
            ("Kvasir", "vgg16_bn", 5e-3, 1e-5),
        }

    def test_permuted_labels_are_learned_from_scratch(self) -> None:
        [training] = [setting.training for cell in plan(load_table("opticam-figa6")).cells for setting in cell.jobs if setting.training]
        recipe = check_recipe(training.fields, "test")
        assert (recipe.init, recipe.head_stage, recipe.data.labels, recipe.epochs, recipe.batch_size) == (None, None, "permuted", 90, 256)

    def test_a_label_may_have_seeds_of_its_own(self) -> None:
        counts = {cell.paper.metric: len(cell.jobs) for cell in plan(load_table("cgc-table8")).cells}
        assert counts == {"CH (%) 1-shot": 20, "CH (%) 5-shot": 20, "CH (%) 10-shot": 20, "CH (%) full training set": 3}

    def test_lambda_follows_the_number_of_images(self) -> None:
        found = set[tuple[str, str]]()
        for cell in plan(load_table("cgc-table8")).cells:
            training = cell.jobs[0].training
            assert training is not None
            found.add((cell.paper.metric, training.fields["loss"]))
        few = {(f"CH (%) {shots}-shot", loss) for shots in (1, 5, 10) for loss in ("ce", "cgc(weight=0.8)")}
        assert found == few | {("CH (%) full training set", loss) for loss in ("ce", "cgc(weight=0.25)")}

    def test_names_differ_with_whatever_decides_the_values(self) -> None:
        jobs = [job for name in PRINTED for job in plan(load_table(name)).jobs]
        assert len({job.name for job in jobs}) == len({(job.setting, job.metrics) for job in jobs})
        assert isinstance(jobs[0], ReproductionJob)

    def test_labels_choose_lines_and_networks(self) -> None:
        planned = plan(load_table("opticam-table1"), methods=["Opti-CAM"], models=["VGG16"])
        assert {(cell.paper.method, cell.paper.model) for cell in planned.cells} == {("Opti-CAM", "VGG16")}


class TestParts:
    def test_a_later_label_wins_and_nested_fields_are_joined(self) -> None:
        base = CellSettings(target="label", training={"data": {"dataset": "pets", "train": "trainval"}}, small=CellSettings(metric="ad"))
        over = CellSettings(target="least_likely", training={"data": {"dataset": "cub200"}}, small=CellSettings(split="train"))
        found = over.over(base)
        assert found.target == "least_likely"
        assert found.training == {"data": {"dataset": "cub200", "train": "trainval"}}
        assert found.small == CellSettings(metric="ad", split="train")

    def test_wrappers_and_exceptions_reach_the_cell(self) -> None:
        cells = {cell.paper.labels: cell for cell in plan(load_table("opticam-table5")).cells}
        assert cells["ImageNet-val", "VGG16", "Opti-CAM", "AD(B∩S)"].explainer == "inside_box(opticam)"
        cells = {cell.paper.labels: cell for cell in plan(load_table("cfce-table1")).cells}
        [third] = [cell for labels, cell in cells.items() if labels[0].startswith("UNLABELLED")]
        assert third.metric == "average_precision"

    def test_small_keeps_explainers_metrics_and_target(self) -> None:
        for name in ("opticam-tablea9", "opticam-table6", "opticam-tablea12"):
            full, small = (
                [cell for cell in plan(load_table(name), small=small).cells if cell.paper.method != "ExPerturbation"]
                for small in (False, True)
            )
            assert [(cell.explainer, cell.metric) for cell in full] == [(cell.explainer, cell.metric) for cell in small]
            assert [cell.jobs[0].target for cell in full] == [cell.jobs[0].target for cell in small]
            assert {cell.jobs[0].model for cell in small} <= set(models.names())


SMALLEST = """
table: T
summary: s
datasets: {d: {dataset: shortcuts}}
models: {m: {model: shortcuts-ce}}
methods: {e: {explainer: gradcam}}
metrics: {x: {metric: ad}}
"""
HEADER = "table,dataset,model,method,metric,value,std,higher_is_better"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(SMALLEST)
    file.with_suffix(".csv").write_text(f"{HEADER}\nT,d,m,e,x,1.0,,true\n")
    return file


class TestErrors:
    def test_the_smallest_recipe_is_read(self, recipe: Path) -> None:
        assert isinstance(read_table(recipe, "mine"), PaperTable)

    @pytest.mark.parametrize(
        ("before", "after", "said"),
        [
            ("gradcam", "gradcan", "did you mean 'gradcam'"),
            ("metric: ad", "metric: da", "no metric 'da'"),
            ("table: T", "tables: T", "table"),
            ("dataset: shortcuts", "dataset: shortcut", "did you mean 'shortcuts'"),
            ("model: shortcuts-ce", "layer: 3", "models.m.layer"),
        ],
    )
    def test_a_wrong_field_is_named(self, recipe: Path, before: str, after: str, said: str) -> None:
        recipe.write_text(recipe.read_text().replace(before, after))
        with pytest.raises(UsageError, match=said) as caught:
            read_table(recipe, "mine")
        assert "mine.yaml" in str(caught.value)

    def test_a_label_of_the_table_that_the_recipe_lacks_is_named(self, recipe: Path) -> None:
        recipe.write_text(recipe.read_text().replace("{e:", "{f:"))
        with pytest.raises(CamdbenchError, match="no method 'e'"):
            plan(read_table(recipe, "mine"))

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            ("T,d,m,e,x,one,,true", "'one' is not a number"),
            ("T,d,m,e,x,1.0,,true\nT,d,m,e,x,2.0,,true", "twice"),
            ("", "at least one line"),
        ],
    )
    def test_values_that_are_none_are_named(self, recipe: Path, lines: str, said: str) -> None:
        recipe.with_suffix(".csv").write_text(f"{HEADER}\n{lines}\n")
        with pytest.raises(CamdbenchError, match=said):
            read_table(recipe, "mine")

    def test_an_unknown_recipe_offers_the_nearest(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'opticam-table1"):
            load_table("opticam-tabel1")


def test_a_recipe_is_found_by_its_path(tmp_path: Path) -> None:
    folder = recipe_folder() / "opticam"
    for suffix in ("yaml", "csv"):
        (tmp_path / f"mine.{suffix}").write_bytes((folder / f"table1.{suffix}").read_bytes())
    (tmp_path / "paper.yaml").write_bytes((folder / "paper.yaml").read_bytes())
    found = load_table(str(tmp_path / "mine.yaml"))
    assert found.name == "mine"
    assert found.values == load_table("opticam-table1").values
    (tmp_path / "mine.csv").unlink()
    with pytest.raises(UsageError, match=r"mine\.csv does not exist"):
        load_table(str(tmp_path / "mine.yaml"))
