"""Configuration of the site (`tox -e docs`, or `sphinx-build -W docs docs/_build`); writes the reference pages from the registries."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import camdbench
from camdbench import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from _gallery import sphinx_gallery_conf  # noqa: E402, F401  (a neighbour of this file)
from _generate import GUIDES, guides, write_pages  # noqa: E402  (a neighbour of this file)
from _pictures import draw_all  # noqa: E402  (a neighbour of this file)

project = "camdbench"
author = "camdbench contributors"
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_gallery.gen_gallery",
    "_gallery",
    "_mathml",
]
html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"camdbench {release}"
exclude_patterns = [
    "_build",
    "examples",
    "gallery/backreferences",
    *(f"{GUIDES.name}/{name}.md" for name in guides()),  # a guide is part of its generated page
]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
myst_enable_extensions = ["deflist", "dollarmath", "amsmath"]
myst_heading_anchors = 3


def write_report() -> None:
    """Write the report of a small run, which the page on reports links: seconds, as the network and the images are in the package."""
    with TemporaryDirectory() as folder:
        run = Path(folder, "example")
        camdbench.run("gradcam,opticam(iterations=20),saliency,uniform", "ad,ag,insertion,pointing", limit=16, out=run, progress=False)
        camdbench.report(run, out=HERE / "reference" / "pages" / "report-example.html")


write_pages(HERE / "reference", draw_all(HERE / "reference" / "pictures"))
write_report()
html_extra_path = ["reference/pages"]
