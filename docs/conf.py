"""How the site is built: `tox -e docs`, or `sphinx-build -W docs docs/_build`."""

from __future__ import annotations

from camdbench import __version__

project = "camdbench"
author = "camdbench contributors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
html_theme = "furo"
html_title = f"camdbench {release}"
exclude_patterns = ["_build"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
myst_enable_extensions = ["deflist"]
