"""A notebook, executed in a kernel of its own: progress, tables and pictures are outputs, and nothing warns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CELLS = (
    "import camdbench",
    "rows = camdbench.run('gradcam,fakecam', 'ad', limit=4, out='r')\nrows",
    "net = camdbench.load_classifier()\nnet",
    "import torch\nfound = camdbench.explain(net, torch.rand(2, 3, 64, 64), ['gradcam', 'fakecam'])\nfound",
    "found['gradcam'].show()",
    "print(repr(found), repr(net))",
)
EXECUTE = """
import json, sys, nbformat
from nbclient import NotebookClient
cells = json.load(open("cells.json"))
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
json.dump([cell.outputs for cell in notebook.cells], open("outputs.json", "w"))
"""


def test_a_notebook_shows_progress_tables_and_pictures(tmp_path: Path) -> None:
    for library in ("nbclient", "ipykernel"):
        pytest.importorskip(library, reason="needs nbclient and ipykernel")
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"display_name": "python", "language": "python", "argv": argv}))
    (tmp_path / "cells.json").write_text(json.dumps(CELLS))
    environment = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_PATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", EXECUTE], cwd=tmp_path, env=environment, check=True, timeout=110)
    outputs = json.loads((tmp_path / "outputs.json").read_text())
    assert not [output for own in outputs for output in own if output.get("name") == "stderr"]
    progress, table = outputs[1]
    assert "2/2 jobs" in progress["data"]["text/html"]
    assert "gradcam" in table["data"]["text/html"]
    assert "<th>layer</th>" in outputs[2][0]["data"]["text/html"]
    assert outputs[3][0]["data"]["text/html"].count("<img") == 6
    assert outputs[4][0]["data"]["text/html"].count("<img") == 4
    assert len(outputs[5][0]["text"]) < 400
