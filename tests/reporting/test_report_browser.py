"""The report in a real browser: no request, no error, and every control does what it says (`tox -e view`).

Screenshots go to the folder that CAMDBENCH_SCREENSHOTS names, else to a temporary one.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from helpers.report_pages import data_of, with_data
from PIL import Image

import camdbench
from camdbench.core.spec import parse_spec
from camdbench.datasets.open_dataset import open_dataset
from camdbench.reporting.report import ReportPage

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: tox -e view")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome on PATH")
EVIL = "<img src=x onerror=alert(1)>"
INSERTION = "insertion(step=448)"  # no value of a constant map; few steps
COUNT = 18  # more than are printed


class Seen(NamedTuple):
    """What a page did beside showing itself."""

    requests: list[str]
    errors: list[str]
    dialogs: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "run"
    camdbench.run(
        "gradcam,saliency,centre,uniform", f"ad,ai,{INSERTION}", models="shortcuts-ce,shortcuts-so", limit=COUNT, save_maps="raw", out=out
    )
    return out


@pytest.fixture(scope="module")
def file(run: Path) -> Path:
    return camdbench.report(run, out=run / "page.html").file


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., tuple[Any, Seen]]]:
    """Open a page; after the test, it must have asked for nothing but itself, without an error or a dialog."""
    contexts, all_seen = list[Any](), list[tuple[str, Seen]]()

    def of(file: Path, address: str = "", **settings: Any) -> tuple[Any, Seen]:
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce", **settings)
        contexts.append(context)
        page, seen = context.new_page(), Seen([], [], [])
        all_seen.append((file.as_uri(), seen))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("console", lambda message: seen.errors.append(message.text))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(file.as_uri() + address)
        return page, seen

    yield of
    for address, seen in all_seen:
        assert [own for own in seen.requests if not own.startswith("data:")] == [address]
        assert (seen.errors, seen.dialogs) == ([], [])
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("CAMDBENCH_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for what a page does on its own; its policy forbids the scripts that Playwright would wait with."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "does not hold"
        time.sleep(0.05)


def listed(page: Any) -> list[str]:
    return page.eval_on_selector_all("#list button", "all => all.map((own) => own.dataset.image)")


def current(page: Any) -> str:
    return page.locator("#shown h3").inner_text()


def test_a_click_on_a_heading_sorts_as_pandas_does(opened: Callable[..., tuple[Any, Seen]], file: Path, run: Path):
    page, _ = opened(file)
    summary = camdbench.summarise(run)
    summary = summary[summary["model"] == summary["model"].iloc[0]]
    means = summary.pivot_table(index="explainer", columns="metric", values="mean", dropna=False)
    means = summary.drop_duplicates("explainer").set_index("explainer")[["is_control"]].join(means)
    assert means[INSERTION].isna().any(), "a missing value, which comes last"
    table = page.locator("table.sortable").first

    def bodies() -> list[list[str]]:
        return table.evaluate(
            "own => [...own.tBodies].map((body) => [...body.querySelectorAll('tr:not(.fixed) th a')].map((link) => link.textContent))"
        )

    parts = [means[means["is_control"] == control] for control in (False, True)]
    before = [own.index.tolist() for own in parts]
    assert bodies() == before
    for column, (name, best) in enumerate({"explainer": True, "ad": True, "ai": False, INSERTION: False}.items()):
        head = table.locator("thead th").nth(column)
        for rises in (best, not best):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == ("ascending" if rises else "descending")
            ordered = [own.sort_values(name, ascending=rises, kind="stable", na_position="last") for own in parts]
            assert bodies() == [own.index.tolist() for own in ordered], name
        assert table.locator("th[aria-sort]").count() == 1
        head.locator("button").press("Enter")
        assert bodies() == before
        assert table.locator("th[aria-sort]").count() == 0


def test_the_list_is_ordered_and_filtered_by_values(opened: Callable[..., tuple[Any, Seen]], file: Path, run: Path):
    page, _ = opened(file)
    rows = camdbench.load_rows(run)
    rows = rows[rows["model"] == rows["model"].iloc[0]]
    names = rows["image"].drop_duplicates().tolist()
    drops = rows[(rows["metric"] == "ad") & (rows["explainer"] == "gradcam")].set_index("image")["value"].round(3)
    for way, rises in (("worst", False), ("best", True)):
        page.select_option("#order", way)
        values = drops[listed(page)]
        assert sorted(values.index) == names
        pd.testing.assert_series_equal(values, values.sort_values(ascending=rises, kind="stable"))
        assert current(page) == listed(page)[0]
    page.select_option("#order", "disagreement")
    spread = {image["id"]: image["disagreement"] for image in data_of(file)["images"]}
    assert listed(page) == sorted(names, key=lambda name: (-spread[name], names.index(name)))
    page.select_option("#order", "id")
    labels = rows.drop_duplicates("image").set_index("image")["label"]
    page.select_option("#class", str(labels.iloc[0]))
    assert listed(page) == labels.index[labels == labels.iloc[0]].tolist()
    page.select_option("#class", "")
    page.select_option("#status", "failed")
    missing = rows[(rows["status"] != "ok") & ~rows["explainer"].isin(["centre", "uniform"])]["image"].unique()
    assert listed(page) == [name for name in names if name in missing]
    page.select_option("#status", "")
    page.fill("#find", names[3].upper())
    assert listed(page) == [names[3]]
    page.fill("#find", "no such image")
    assert page.locator("#list").inner_text() == "No image fits these choices."


def test_predictions_and_differences_between_runs(opened: Callable[..., tuple[Any, Seen]], file: Path, tmp_path: Path):
    data = data_of(file)
    names = [image["id"] for image in data["images"]]
    for image in data["images"]:
        image.pop("predictions", None)
    for place, image in enumerate(data["images"][:5]):
        image["predictions"] = {"shortcuts-ce": [image["label"] + place % 2, "<b>shark", 0.93]}
        image["moved"] = [0.1, 0.5, 0.2, 0.5, 0.0][place]
    page, _ = opened(with_data(file, data, tmp_path / "more.html"))
    assert page.locator("#shown .facts").inner_text().startswith(f"{data['images'][0]['class']}✓ right: predicted <b>shark 93 %")
    page.select_option("#status", "right")
    assert listed(page) == names[0:5:2]
    page.select_option("#status", "wrong")
    assert listed(page) == [names[1], names[3]]
    page.select_option("#status", "")
    page.select_option("#order", "moved")
    assert listed(page) == [names[place] for place in (1, 3, 2, 0, 4)] + names[5:]
    assert page.url.endswith("&by=moved")


def test_an_address_restores_image_order_and_model(opened: Callable[..., tuple[Any, Seen]], file: Path):
    page, _ = opened(file)
    page.select_option("#model", "1")
    page.select_option("#order", "worst")
    page.select_option("#metric", label=INSERTION)
    page.select_option("#explainer", label="saliency")
    page.keyboard.press("j")
    assert page.url.endswith("&by=insertion(step%3D448)%3Asaliency&dir=worst&model=1")
    again, _ = opened(file, page.url.removeprefix(file.as_uri()))

    def shown(own: Any) -> tuple[Any, ...]:
        return current(own), listed(own), [own.locator(name).input_value() for name in ("#model", "#order", "#metric", "#explainer")]

    assert shown(again) == shown(page)
    assert again.evaluate("document.querySelector('#images').getBoundingClientRect().top") < 300
    for address in ("#image=gone", "#image=%E0%A4%A", "#image=gone&by=x:y&dir=worst&model=7", "#image=gone&model=toString"):
        lost, _ = opened(file, address)
        assert "does not hold the image" in lost.locator("#shown").inner_text()
        assert len(listed(lost)) == COUNT


def test_every_key_does_what_the_help_says(opened: Callable[..., tuple[Any, Seen]], file: Path):
    page, _ = opened(file)
    names, press = listed(page), page.keyboard.press
    first = page.locator("#shown .map").first
    press("j")
    press("j")
    press("k")
    assert current(page) == names[1]
    page.locator("#list button[aria-current]").focus()
    press("ArrowDown")
    assert current(page) == page.evaluate("document.activeElement.dataset.image") == names[2]
    press("End")
    assert current(page) == names[-1]
    assert page.locator("#next").is_disabled()
    press("Home")
    assert page.locator("#position").inner_text() == f"1 of {COUNT}"
    assert page.locator("#list button[tabindex='0']").count() == 1
    press("s")
    assert page.locator("#order").input_value() == "worst"
    opacity = page.locator("#opacity").input_value()
    press("o")
    assert page.locator("#opacity").input_value() != opacity
    assert page.locator("#colours .alpha").get_attribute("values").endswith(f"{page.locator('#opacity').input_value()} 0 0 0 0")
    press("d")
    assert "brightness" in first.evaluate("own => own.style.filter")
    press("d")
    assert "brightness" not in first.evaluate("own => own.style.filter")
    page.locator("#shown .stretch").first.click()
    assert page.locator("#shown .map[data-top]").count() == 1
    for view in ("map", "side", "overlay"):
        press("c")
        assert view in page.locator("#shown").get_attribute("class")
    for key, name in (("b", ".boxes"), ("m", ".mask")):
        assert page.locator(f"#shown {name}").first.is_visible()
        press(key)
        assert not page.locator(f"#shown {name}").first.is_visible()
    press("/")
    assert page.evaluate("document.activeElement.id") == "find"
    page.keyboard.type("jsm?")
    assert page.locator("#find").input_value() == "jsm?", "letters are text there"
    press("Escape")
    press("?")
    assert page.locator("#keys").is_visible()
    assert page.locator("#keys kbd").all_inner_texts() == ["j", "k", "↓", "↑", "s", "/", "Esc", "c", "o", "d", "b", "m", "?"]
    press("Escape")
    assert not page.locator("#keys").is_visible()


def test_values_under_the_mouse_and_in_words_are_those_of_the_map(opened: Callable[..., tuple[Any, Seen]], file: Path, run: Path):
    page, _ = opened(file)
    [image, *_], [block, *_] = data_of(file)["images"], data_of(file)["blocks"]
    classifier, dataset = camdbench.load_classifier("shortcuts-ce"), open_dataset(parse_spec("shortcuts"), "val", None)
    sample = dataset[list(dataset.ids).index(image["id"])]
    saliency = camdbench.explain(classifier, sample.image[None], "gradcam", targets=sample.label).maps[0].numpy()
    figure = page.locator("#shown figure", has=page.locator("b", has_text="gradcam")).first
    figure.scroll_into_view_if_needed()
    box = figure.locator(".stack").bounding_box()
    for x, y in ((0.5, 0.5), (0.2, 0.7)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        own = saliency[int(y * saliency.shape[0]), int(x * saliency.shape[1])]
        assert float(figure.locator(".at").inner_text()) == pytest.approx(own, abs=0.05)
    height, width = saliency.shape
    tiles = [
        saliency[height * r // 3 : height * (r + 1) // 3, width * c // 3 : width * (c + 1) // 3].mean() for r in range(3) for c in range(3)
    ]
    row, column = divmod(int(np.argmax(tiles)), 3)
    where = "-".join(filter(None, (("upper", "centre", "lower")[row], ("left", "", "right")[column])))
    drop = block["values"][0][block["explainers"].index("gradcam")][0]
    expected = f"gradcam, {image['id']}, class {image['class']}: ad {drop:.1f}, most salient {where}"
    text = figure.locator(".map")
    until(lambda: "salient" in (text.get_attribute("alt") or ""))
    assert re.sub(r", predicted .* %:", ":", text.get_attribute("alt")) == expected
    assert page.locator("#shown .map").last.get_attribute("alt").endswith(", constant")


def test_a_page_without_scripts_has_its_tables_and_says_what_needs_them(opened: Callable[..., tuple[Any, Seen]], file: Path, shots: Path):
    page, _ = opened(file, java_script_enabled=False)
    assert page.locator("table.sortable").first.is_visible()
    assert page.locator("noscript p").first.is_visible()
    assert not page.locator("#order").is_visible()
    assert not page.locator("#list").is_visible()
    page.screenshot(path=shots / "no-scripts.png")


def test_foreign_names_are_shown_as_they_are(opened: Callable[..., tuple[Any, Seen]], tmp_path: Path):
    folder = tmp_path / "pictures" / "<b>class"
    folder.mkdir(parents=True)
    names = [f"{EVIL}.jpg", f"{'x' * 60}.jpg", "#image=1&by='+%22.jpg"]
    for number, name in enumerate(names):
        Image.fromarray(np.full((32, 48, 3), 60 * number, dtype=np.uint8)).save(folder / name)
    options = {"dataset": "folder(size=32)", "data_root": tmp_path / "pictures", "classes": "positions", "target": "predicted"}
    camdbench.run("gradcam", "ad", save_maps="raw", out=tmp_path / "run", **options)
    file = camdbench.report(tmp_path / "run").file
    page, _ = opened(file)
    found = listed(page)
    assert [name.rpartition("/")[2].removesuffix(".jpg") for name in found] == sorted(name.removesuffix(".jpg") for name in names)
    for name in found:
        page.locator("#list button", has_text=name).click()
        assert current(page) == name
        again, _ = opened(file, page.url.removeprefix(file.as_uri()))
        assert current(again) == name
    assert page.locator("img[src='x'], b:has-text('class')").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_links_and_commands_are_copied(opened: Callable[..., tuple[Any, Seen]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from camdbench.cli.main import run_cli

    out = tmp_path / "run"
    command = ["run", "-q", "-e", "randomcam,gradcam", "-m", "ad,ag", "--limit", "3", "--seed", "5"]
    assert run_cli([*command, "--out", str(out)]) == 0
    page, _ = opened(camdbench.report(out).file, permissions=["clipboard-read", "clipboard-write"])
    page.keyboard.press("j")
    page.click("#link")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    page.click("#command")
    text = page.evaluate("navigator.clipboard.readText()")
    monkeypatch.chdir(tmp_path)
    write, _, again = text.partition(" && ")
    assert write == f"printf '%s\\n' '{current(page)}' > image.txt"
    (tmp_path / "image.txt").write_text(current(page), encoding="utf-8")
    assert run_cli([*shlex.split(again)[1:], "-q", "--out", "one"]) == 0
    columns = ["explainer", "metric", "image", "value"]
    before = camdbench.load_rows(out)[columns]
    own = before[before["image"] == current(page)].reset_index(drop=True)
    pd.testing.assert_frame_equal(camdbench.load_rows(tmp_path / "one")[columns].reset_index(drop=True), own, rtol=1e-4)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Callable[..., tuple[Any, Seen]], file: Path, shots: Path, theme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python: tox -e view").Axe()
    page, _ = opened(file, color_scheme="light")
    if theme == "dark":
        page.click("#theme")
        assert page.locator("#theme").inner_text() == "Light theme"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"
    page.evaluate("document.querySelectorAll('details').forEach((own) => { own.open = true; })")
    found = axe.run(page).response["violations"]
    assert [(own["id"], own["nodes"][0]["html"]) for own in found if own["impact"] in ("serious", "critical")] == []
    page.evaluate("document.querySelectorAll('details').forEach((own) => { own.open = false; })")
    page.screenshot(path=shots / f"{theme}.png")
    page.evaluate("document.querySelector('#images').scrollIntoView()")
    page.screenshot(path=shots / f"{theme}-images.png")


def test_print_unfolds_tables_and_shows_the_first_images(opened: Callable[..., tuple[Any, Seen]], file: Path, shots: Path):
    page, _ = opened(file)
    folded = page.locator("details:not([open])").count()
    assert folded
    page.select_option("#order", "worst")
    first = listed(page)[:16]
    page.emulate_media(media="print")
    until(lambda: page.locator("#printed .sheet").count() == 16)
    assert page.locator("#printed h3").all_inner_texts() == first
    assert page.locator("#printed img").first.is_visible()
    assert page.locator("table.sortable").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert not page.locator("#list").is_visible()
    assert page.locator("details:not([open])").count() == 0
    until(lambda: page.evaluate("[...document.querySelectorAll('#printed img')].every((own) => own.complete)"))
    page.screenshot(path=shots / "print.png", full_page=True)
    page.emulate_media(media="screen")
    until(lambda: page.locator("#printed .sheet").count() == 0)
    assert page.locator("details:not([open])").count() == folded
    page.emulate_media(media="null")
    paper = page.pdf(path=shots / "print.pdf", prefer_css_page_size=True)
    assert paper.count(b"/Subtype /Image") > 16 * 4


def test_narrow_screens_and_notebooks(opened: Callable[..., tuple[Any, Seen]], file: Path, shots: Path, tmp_path: Path):
    page, _ = opened(file)
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=shots / "narrow.png", full_page=True)
    frame = tmp_path / "notebook.html"
    frame.write_text(f"<!doctype html><link rel='icon' href='data:,'>{ReportPage(file)._repr_html_()}", encoding="utf-8")
    notebook, _ = opened(frame)
    inside = notebook.frames[1]
    inside.locator("#next").click()
    assert inside.locator("#position").inner_text() == f"2 of {COUNT}"
