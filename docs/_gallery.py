"""Configuration of the executed gallery: which examples run, in which order, and where API pages link them."""

from __future__ import annotations

from typing import Any

import camdbench

ORDER = (
    "first_run",
    "explain_your_network",
    "own_data",
    "score_other_maps",
    "own_explainer",
    "own_metric",
    "objectives",
    "protocols_change_ranks",
    "curves",
    "compare_and_ties",
    "guided_training",
    "read_rows_with_duckdb",
    "report_page",
    "which_metrics_to_believe",
)


def place(file: str) -> int:
    """Place of an example's file in the gallery.

    >>> place("plot_first_run.py"), place("plot_own_metric.py")
    (0, 5)
    """
    return ORDER.index(file.removeprefix("plot_").removesuffix(".py"))


sphinx_gallery_conf: dict[str, Any] = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "_gallery.place",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("camdbench",),
    "capture_repr": ("_repr_html_",),
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 3600,
    "write_computation_times": False,
    "plot_gallery": "True",
    "abort_on_example_error": True,
}


def add_examples(_: object, what: str, name: str, __: object, ___: object, lines: list[str]) -> None:
    """Append the examples that use a public function or class to its documentation.

    Args:
        what: kind of the object.
        name: its name, such as `camdbench.run`.
        lines: its docstring, which grows.
    """
    if what in ("function", "class") and name.removeprefix("camdbench.") in camdbench.__all__:
        lines += ["", f".. minigallery:: {name}", ""]


def setup(app: Any) -> dict[str, bool]:
    """Register as a Sphinx extension."""
    app.connect("autodoc-process-docstring", add_examples)
    return {"parallel_read_safe": True}
