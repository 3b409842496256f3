"""A cluster that does not answer or is too small is refused at once, in one line."""

from __future__ import annotations

import builtins
import signal
import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from camdbench.core.errors import UsageError
from camdbench.runner.ray_cluster import check_room, joined, room


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:{port}", r"does not answer \(connection refused\); start the cluster \(ray start --head\), or unset RAY_ADDRESS"),
        ("nohost.invalid:6379", "does not answer"),
        ("127.0.0.1:99999", "does not answer"),
        ("127.0.0.1", "expected HOST:PORT, auto or local"),
        (":6379", "expected HOST:PORT"),
        ("ray://127.0.0.1:10001", "Ray Client is not supported; run the command on a host of the cluster"),
    ],
)
def test_an_address_without_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch, address: str, message: str):
    address = address.format(port=free_port())
    monkeypatch.setenv("RAY_ADDRESS", address)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UsageError, match=f"RAY_ADDRESS = {address}: {message}") as refused, joined():
        pass
    assert "\n" not in str(refused.value)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    found = builtins.__import__

    def without_ray(name: str, *rest: Any, **more: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(UsageError, match=r'pip install "camdbench\[ray\]"'), joined():
        pass


def cluster(*hosts: dict[str, float]) -> Any:
    """As the module `ray`, with these resources of its hosts; a host with `dead` has ended."""
    return SimpleNamespace(nodes=lambda: [{"Alive": "dead" not in own, "Resources": own} for own in hosts])


@pytest.mark.parametrize(
    ("hosts", "needs", "workers"),
    [
        ([{"CPU": 8}], {"CPU": 3}, 2),
        ([{"CPU": 2}, {"CPU": 2}], {"CPU": 3}, 0),  # a worker does not spread over hosts
        ([{"CPU": 4, "GPU": 2}, {"CPU": 4}, {"GPU": 4, "dead": 1}], {"GPU": 1}, 2),
        ([], {"CPU": 1}, 0),
    ],
)
def test_room_is_counted_host_by_host(hosts: list[dict[str, float]], needs: dict[str, float], workers: int):
    assert room(cluster(*hosts), needs) == workers


@pytest.mark.parametrize(
    ("hosts", "needs", "message"),
    [
        ([{"CPU": 2}, {"CPU": 1}], {"CPU": 3}, "takes 3 cores, .* largest of 2 .* has 2; set OMP_NUM_THREADS=2"),
        ([{"GPU": 1}], {"CPU": 1}, "has 0; start a host with cores"),
        ([{"CPU": 2}, {"CPU": 2}], {"GPU": 1}, r"none of 2 host\(s\) of the cluster has a GPU; use --device cpu"),
    ],
)
def test_a_cluster_without_room_for_one_worker_is_refused(hosts: list[dict[str, float]], needs: dict[str, float], message: str):
    with pytest.raises(UsageError, match=message):
        check_room(cluster(*hosts), needs)
    check_room(cluster(*hosts, {"CPU": 9, "GPU": 1}), needs)
