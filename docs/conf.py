"""Configuration of the site (`tox -e docs`, or `sphinx-build -W docs docs/_build`); writes the reference pages from the registries."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

from sphinx.application import Sphinx

from camdbench import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import _api  # noqa: E402  (neighbours of this file)
import _commands  # noqa: E402
import _llms  # noqa: E402
import _navigation  # noqa: E402
from _gallery import sphinx_gallery_conf  # noqa: E402, F401
from _generate import GUIDES, guides, write_pages  # noqa: E402
from _pictures import draw_all  # noqa: E402

project = "camdbench"
author = project_copyright = "camdbench contributors"
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxext.opengraph",
    "sphinx_gallery.gen_gallery",
    "_gallery",
    "_mathml",
]
html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"camdbench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_sidebars = {"**": [f"sidebar/{name}.html" for name in ("scroll-start", "brand", "versions", "search", "navigation", "scroll-end")]}
exclude_patterns = [
    "_build",
    "examples",
    "gallery/backreferences",
    *(f"{GUIDES.name}/{name}.md" for name in guides()),  # a guide is part of its generated page
]
smartquotes = False  # commands and options are pasted, so `--` and quotes stay as they are
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100  # of more, a parameter per line
default_role = "code"  # docstrings have single backticks
myst_enable_extensions = ["deflist", "colon_fence", "dollarmath", "amsmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
ogp_site_url = ""  # the project has no address yet
ogp_social_cards = {"enable": False}

# Without network, the empty inventory stands for the others: the site builds the same, without links to other libraries.
NO_INVENTORY = HERE / "reference" / "none.inv"
NO_INVENTORY.parent.mkdir(exist_ok=True)
NO_INVENTORY.write_bytes(
    b"# Sphinx inventory version 2\n# Project: none\n# Version: 0\n# The remainder of this file is compressed using zlib.\n"
    + zlib.compress(b"")
)
intersphinx_mapping = {
    name: (address, (None, str(NO_INVENTORY)))
    for name, address in {
        "python": "https://docs.python.org/3",
        "torch": "https://docs.pytorch.org/docs/stable",
        "numpy": "https://numpy.org/doc/stable",
        "pandas": "https://pandas.pydata.org/docs",
    }.items()
}
intersphinx_timeout = 5
nitpicky = True
nitpick_ignore_regex = [
    # other libraries: linked where their inventories can be read
    (r"py:.*", r"(torch|numpy|np|pandas|pd|pathlib|collections|contextlib|matplotlib)\..*|Tensor|Path|Axes"),
    # type variables, and names of unions
    (r"py:class", r"[A-Z]|Dtype|MapSource|MapsLike|Methods|Normalisation|Objective|Output|OwnFiles|Status|BatchMates|PreviewState"),
    # written without their module, as that is imported for types alone
    (r"py:.*", r"Attention|Dataset|OfModel|Progress|Request|ResultError|UnwritableFile"),
    # parts that no user makes
    (r"py:class", r"camdbench\.(metrics\.common|models|functional|trainer|papers|tables|datasets)\..*"),
]

write_pages(HERE / "reference", draw_all(HERE / "reference" / "pictures"))
_api.write_pages(HERE / "reference" / "api")
_commands.write_pages(HERE / "reference" / "commands", extra=HERE / "reference" / "pages")
html_extra_path = ["reference/pages"]


def setup(app: Sphinx) -> None:
    """Connect the hooks of the API pages, before and after napoleon's, of the pages of commands, of the navigation and of llms.txt."""
    app.connect("autodoc-process-docstring", _api.hide_colons, priority=400)
    app.connect("autodoc-process-docstring", _api.show_colons, priority=600)
    app.connect("env-check-consistency", _api.check_anchors)
    app.connect("doctree-read", _api.set_dashes)
    app.connect("sphinx-click-process-description", _commands.show_examples)
    app.connect("html-page-context", _navigation.collapse, priority=400)
    app.connect("build-finished", _llms.write)
