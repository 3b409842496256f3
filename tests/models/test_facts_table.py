"""A classifier in a notebook: one line, and a table of its facts."""

from __future__ import annotations

from torch import nn

from camdbench.models.classifier import Classifier
from camdbench.models.facts_table import facts_as_html


def test_a_classifier_is_one_line_and_a_table_in_a_notebook() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    classifier = Classifier(network, layer="1", mean=0.5, std=0.25, name="<b>", class_names=("cat", "dog"))
    assert repr(classifier) == "Classifier(<b>: Sequential, layer 1, 224 px, 2 class names)"
    page = classifier._repr_html_()
    assert page == facts_as_html(classifier)
    assert "<b>" not in page
    assert "<tr><th>classes</th><td>cat, dog</td></tr>" in page
    assert "<tr><th>mean</th><td>0.5, 0.5, 0.5</td></tr>" in page
