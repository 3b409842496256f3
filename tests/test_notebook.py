"""A notebook, executed by nbclient in a kernel of its own: progress, tables and pictures are outputs, and nothing warns."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbclient and ipykernel")
pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel")
NotebookClient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel").NotebookClient

CELLS = (
    "import camdbench",
    "rows = camdbench.run('gradcam,fakecam', 'ad', limit=4, out='r')\nrows",
    "net = camdbench.load_classifier()\nnet",
    "import torch\nfound = camdbench.explain(net, torch.rand(2, 3, 64, 64), ['gradcam', 'fakecam'])\nfound",
    "found['gradcam'].show()",
    "print(repr(found), repr(net))",
)


@pytest.mark.filterwarnings("ignore")  # of nbclient and its event loop; warnings of the kernel are outputs, which are checked
def test_a_notebook_shows_progress_tables_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    kernel = {"name": "python3", "display_name": "python", "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(kernel | {"language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert not [output for own in outputs for output in own if output.get("name") == "stderr"]
    progress, table = outputs[1]
    assert "2/2 jobs" in progress.data["text/html"]
    assert "gradcam" in table.data["text/html"]
    assert "<th>layer</th>" in outputs[2][0].data["text/html"]
    assert outputs[3][0].data["text/html"].count("<img") == 6
    assert outputs[4][0].data["text/html"].count("<img") == 4
    assert len(outputs[5][0].text) < 400
