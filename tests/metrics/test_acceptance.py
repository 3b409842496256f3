"""What any table of any suite must show: Fake-CAM wins where it should not be able to, and annotations win where they should.

On the embedded data and network, by a run as users make it.
"""

from __future__ import annotations

import pandas as pd
import pytest

import camdbench
from camdbench.core.registries import metrics

LOCALISING = ("om", "le", "f1", "boxacc", "pointing", "energy_pointing", "sm")  # Opti-CAM's seven


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("acceptance") / "run"
    asked = ",".join((*LOCALISING, "ad,ag,ai,adcc,accuracy", "pointing(ties=expected)"))
    camdbench.run("fakecam,gtbox,random", asked, limit=48, device="cpu", out=out)
    return camdbench.summarise(out).set_index(["explainer", "metric"])


def test_fake_cam_has_no_drop_and_no_gain_increases_about_half_of_the_time_and_points_anywhere(table: pd.DataFrame) -> None:
    fake = table.loc["fakecam", "mean"]
    assert fake["ad"] < 0.2
    assert fake["ag"] < 1
    assert 25 < fake["ai"] < 75  # a pixel less is as often an increase as not
    assert fake["adcc"] < 0.1
    assert fake["pointing"] == 100  # any of the many equal maxima
    assert fake['pointing(ties="expected")'] < 50  # the share of the image that the boxes cover


@pytest.mark.parametrize("name", LOCALISING)
def test_the_box_itself_beats_noise(table: pd.DataFrame, name: str) -> None:
    sign = 1 if metrics.get(name).facts.higher_is_better else -1
    box, noise = (sign * table.loc[(explainer, name), "mean"] for explainer in ("gtbox", "random"))
    assert box > noise
    if metrics.get(name).facts.unit == "%":
        missed = 100 - table.loc[("none", "accuracy"), "mean"] if name == "om" else 0  # OM is 100 wherever the network errs
        assert abs(box + missed - max(0, sign) * 100) < 1  # perfect
        assert abs(noise - max(0, sign) * 100) > 20
