"""Weights from files: what is read, what is refused, and that no file can run code."""

from __future__ import annotations

import os
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.each import each
from safetensors.torch import save_file
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.models.weights_file import load_state, read_state


@pytest.fixture
def state() -> dict[str, Tensor]:
    """A small state dict."""
    return {"0.weight": torch.arange(6.0).reshape(2, 3), "0.bias": torch.tensor([1.0, 2.0])}


WRAPPERS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state},
    "both": lambda state: {"state_dict": {"model": state}},
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "a trainer's": lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}, "epoch": 3},
    "both prefixes": lambda state: {f"module.model.{key}": value for key, value in state.items()},
    "parameters": lambda state: {key: nn.Parameter(value) for key, value in state.items()},
}


class TestReading:
    def test_safetensors(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        save_file(state, tmp_path / "w.safetensors")
        assert_equal(read_state(tmp_path / "w.safetensors"), state)

    @pytest.mark.parametrize("wrapper", WRAPPERS)
    def test_state_dicts_in_their_usual_wrappers(self, tmp_path: Path, state: dict[str, Tensor], wrapper: str) -> None:
        torch.save(WRAPPERS[wrapper](state), tmp_path / "w.pth")
        assert_equal(read_state(tmp_path / "w.pth"), state)

    def test_a_prefix_that_only_some_names_have_is_a_part_of_the_network(self, tmp_path: Path) -> None:
        state = {"model.weight": torch.ones(2), "head.weight": torch.ones(3)}
        torch.save(state, tmp_path / "w.pth")
        assert_equal(read_state(tmp_path / "w.pth"), state)

    def test_the_old_format_of_torch(self, tmp_path: Path, state: dict[str, Tensor]) -> None:
        torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
        assert_equal(read_state(tmp_path / "w.pth"), state)


class Malicious:
    """Unpickled, it would leave a file behind."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.trap}",)


class TestRefusing:
    @pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))], ids=["torch", "pickle"])
    def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
        self, tmp_path: Path, state: dict[str, Tensor], save: Callable[..., None]
    ) -> None:
        save(state | {"evil": Malicious(tmp_path / "trap")}, tmp_path / "w.pth")
        with pytest.raises(UsageError, match="cannot be read as safetensors or as a state dict of plain tensors: it ") as caught:
            read_state(tmp_path / "w.pth")
        assert not (tmp_path / "trap").exists()
        assert "weights_only" not in str(caught.value), "torch's advice is to run the code"

    @pytest.mark.parametrize(
        ("content", "code"),
        [({"state_dict": {}, "args": Namespace(lr=1)}, "argparse.Namespace"), ({"w": np.ones(2)}, "numpy"), (nn.Linear(2, 2), "torch.nn")],
        ids=["arguments", "numpy", "network"],
    )
    def test_what_would_need_code_is_named_with_the_fix(self, tmp_path: Path, content: object, code: str) -> None:
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(UsageError, match=rf"it needs code \({code}\S*\); save the network's state_dict\(\) alone$"):
            read_state(tmp_path / "w.pth")

    def test_a_pickled_network_is_refused(self, tmp_path: Path) -> None:
        torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
        with pytest.raises(UsageError, match=r"w\.pth cannot be read"):
            read_state(tmp_path / "w.pth")

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    @pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
    def test_a_truncated_file_is_refused(self, tmp_path: Path, state: dict[str, Tensor], suffix: str, keep: float) -> None:
        file = tmp_path / f"w{suffix}"
        save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
        content = file.read_bytes()
        file.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
        with pytest.raises(UsageError, match=f"weights file .*w{suffix} cannot be read"):
            read_state(file)

    def test_something_that_is_no_weights_file(self, tmp_path: Path) -> None:
        (tmp_path / "w.safetensors").write_text("<html>404</html>")
        (tmp_path / "w.pth").write_text("<html>404</html>")
        for file in tmp_path.iterdir():
            with pytest.raises(UsageError, match="cannot be read"):
                read_state(file)

    def test_an_archive_that_unpacks_to_far_more_than_it_weighs_is_refused(self, tmp_path: Path) -> None:
        torch.save({"weight": torch.zeros(2_000_000)}, tmp_path / "plain.pth")
        assert read_state(tmp_path / "plain.pth")["weight"].shape == (2_000_000,), "zeros as torch saves them are no bomb"
        with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as packed:
            for entry in plain.infolist():
                packed.writestr(entry.filename, plain.read(entry))
        with pytest.raises(UsageError, match=r"w\.pth cannot be read .*bytes would unpack to 8,0"):
            read_state(tmp_path / "w.pth")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"weights file .*none\.pth: no such file"):
            read_state(tmp_path / "none.pth")

    @each(
        ("content", "message"),
        [
            (torch.ones(2), "holds Tensor, not a state dict"),
            ({}, "holds dict, not a state dict"),
            ([torch.ones(2)], "holds list, not a state dict"),
            ({"weight": torch.ones(2), "epoch": 3}, "entries that are not tensors with a name; save the network's state_dict"),
            ({0: torch.ones(2)}, "entries that are not tensors with a name; save the network's state_dict"),
        ],
        ids=["tensor", "empty", "list", "mixed", "numbered"],
    )
    def test_a_file_of_something_else(self, tmp_path: Path, content: object, message: str) -> None:
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(UsageError, match=message):
            read_state(tmp_path / "w.pth")


class TestLoading:
    def network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))

    def full(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.network().state_dict() | state

    def test_the_network_has_the_values_of_the_file(self, state: dict[str, Tensor]) -> None:
        network = self.network()
        load_state(network, self.full(state), "net")
        assert torch.equal(network[0].weight, state["0.weight"])

    def test_half_precision_is_widened_to_the_networks_own(self, state: dict[str, Tensor]) -> None:
        network = self.network()
        load_state(network, {key: value.half() for key, value in self.full(state).items()}, "net")
        assert network[0].weight.dtype == torch.float32
        assert torch.equal(network[0].weight, state["0.weight"])
        assert network[1].num_batches_tracked.dtype == torch.int64

    def test_counters_of_batch_norm_may_be_missing(self, state: dict[str, Tensor]) -> None:
        given = {key: value for key, value in self.full(state).items() if not key.endswith("num_batches_tracked")}
        load_state(self.network(), given, "net")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda state: state.pop("0.bias"), r"do not fit net: they lack '0\.bias'$"),
            (lambda state: (state.pop("0.bias"), state.pop("1.bias")), r"they lack '0\.bias' and 1 more"),
            (lambda state: state.update(spare=torch.ones(1)), "have the unexpected key 'spare'"),
            (lambda state: state.update({"0.weight": torch.ones(5, 3)}), r"have another shape for '0\.weight'"),
        ],
        ids=["missing", "several missing", "left over", "wrong shape"],
    )
    def test_weights_that_do_not_fit_are_refused_and_change_nothing(
        self, state: dict[str, Tensor], change: Callable[[dict[str, Tensor]], object], message: str
    ) -> None:
        network, given = self.network(), self.full(state)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        change(given)
        with pytest.raises(UsageError, match=message):
            load_state(network, given, "net")
        assert_equal(network.state_dict(), before)


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The same keys and values."""
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
