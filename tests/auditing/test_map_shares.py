"""Shares of raw maps on the object: by hand, from maps that a run has stored, and their states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from camdbench.auditing.map_shares import STATES, map_shares
from camdbench.auditing.measured import open_images_of
from camdbench.auditing.open_runs import AuditedRuns, open_runs
from camdbench.runner.run_directory import PartKey, part_file
from camdbench.runner.saved_maps import pack, unpack


def _write(runs: AuditedRuns, explainer: str, raw: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs hold these raw maps by image for one explainer."""
    from camdbench.auditing import map_shares as module

    read = module.maps_of_part
    own = part_file(runs.pooled.folders[0], "maps", PartKey(runs.models[0], explainer, 0))
    held = unpack(pack(raw, list(runs.images)))
    monkeypatch.setattr(module, "maps_of_part", lambda file, places: held if file == own else read(file, places))


def test_shares_of_stored_maps_equal_a_literal_reading(run: Path) -> None:
    from safetensors.torch import load_file

    runs = open_runs([run])
    masks = open_images_of(runs).masks
    found = map_shares(runs, masks, cells=2)
    for m, model in enumerate(runs.models):
        for e, explainer in enumerate(runs.explainers):
            raw = unpack(load_file(part_file(run, "maps", PartKey(model, explainer, 0))))
            for image in range(len(runs.images)):
                whole = F.interpolate(raw[image].double().clamp_min(0)[None, None], size=(32, 32), mode="bilinear")[0, 0].numpy()
                assert found.share[m, e, image] == pytest.approx(whole[masks[image]].sum() / whole.sum(), abs=1e-9)
                signed = F.interpolate(raw[image].double()[None, None], size=(32, 32), mode="bilinear")[0, 0].numpy()
                assert found.outside[m, e, image] == pytest.approx(signed[~masks[image]].sum() / abs(signed).sum(), abs=1e-9)
                assert found.cells[m, e, image, 1, 0] == pytest.approx(signed[16:, :16].mean(), abs=1e-9)
    assert found.missing() == 0
    assert found.signed[runs.explainers.index("inputxgradient")]
    assert not found.signed[runs.explainers.index("fakecam")]


def test_maps_without_a_share_have_a_state_and_no_number(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = open_runs([run])
    masks = np.zeros((4, 32, 32), dtype=bool)
    masks[:, :16] = True
    checker = torch.zeros(32, 32)
    checker[:8] = 3.0
    checker[30:] = 1.0
    raw = {
        runs.images[0]: torch.full((4, 4), 2.0),
        runs.images[1]: -torch.rand(4, 4) - 0.1,
        runs.images[2]: checker,
    }
    _write(runs, "gradcam", raw, monkeypatch)
    found = map_shares(runs, masks)
    place = runs.explainers.index("gradcam")
    assert [STATES[state] for state in found.state[0, place]] == ["constant_map", "not_positive", "ok", "no_map"]
    assert np.isnan(found.share[0, place, [0, 1, 3]]).all()
    assert found.share[0, place, 2] == pytest.approx(3 * 8 / (3 * 8 + 2), rel=1e-3)  # stored in half precision
    assert found.missing() == 1
    raw[runs.images[3]] = torch.full((4, 4), torch.nan)
    monkeypatch.undo()
    _write(runs, "gradcam", raw, monkeypatch)
    assert STATES[map_shares(runs, masks).state[0, place, 3]] == "not_finite"
