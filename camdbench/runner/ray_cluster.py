"""A Ray cluster: joined by RAY_ADDRESS or started on this machine, and its room for workers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from camdbench.core.errors import UsageError

_SECONDS = 10.0  # that a host may take to answer
_HEALTHY = 60.0  # that a cluster may take to answer
_SHOWN = 300  # characters of a reason
_START = "start the cluster (ray start --head), or unset RAY_ADDRESS to use this machine alone"


@contextmanager
def joined() -> Generator[Any]:
    """Yield the module `ray`, connected to a cluster; a connection that was made here ends with the context.

    Ray's own messages are kept off the terminal, and its handler of SIGTERM is not left in place.

    Raises:
        UsageError: Ray is not installed, RAY_ADDRESS does not answer, or the cluster has other versions of Ray or Python.
    """
    try:
        import ray
    except ImportError:
        raise UsageError('--executor ray needs Ray: pip install "camdbench[ray]"') from None
    if ray.is_initialized():
        yield ray
        return
    try:
        with _handler_kept():
            _connect(ray, os.environ.get("RAY_ADDRESS") or "local")
        yield ray
    finally:
        ray.shutdown()


def room(ray: Any, needs: Mapping[str, float]) -> int:
    """Number of workers that the hosts of a cluster have room for, whoever uses them now.

    Args:
        ray: the module, connected.
        needs: what a worker takes: `{"CPU": 4}`.
    """
    hosts = [host["Resources"] for host in ray.nodes() if host["Alive"]]
    return sum(min(int(host.get(name, 0) // count) for name, count in needs.items()) for host in hosts)


def check_room(ray: Any, needs: Mapping[str, float]) -> None:
    """Check that a cluster has room for one worker.

    Raises:
        UsageError: no host has; it would be waited for without end.
    """
    if room(ray, needs):
        return
    hosts = [host["Resources"] for host in ray.nodes() if host["Alive"]]
    if "GPU" in needs:
        raise UsageError(
            f"--executor ray: none of {len(hosts)} host(s) of the cluster has a GPU; use --device cpu, or ray start --num-gpus"
        )
    most = int(max((host.get("CPU", 0) for host in hosts), default=0))
    fix = f"set OMP_NUM_THREADS={most}" if most else "start a host with cores (ray start --num-cpus)"
    raise UsageError(
        f"--executor ray: a worker takes {needs['CPU']:g} cores, as many as torch has threads, "
        f"and the largest of {len(hosts)} host(s) of the cluster has {most}; {fix}"
    )


def _connect(ray: Any, address: str) -> None:
    from ray._private import worker

    if address != "local":
        _check_address(address)
    # Errors of the cluster would be printed on stdout; the flag is that of Ray's debugger.
    worker._worker_logs_enabled = False  # pyright: ignore[reportPrivateUsage]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on what later versions of Ray will do
            ray.init(address, log_to_driver=False, include_dashboard=False, logging_level=logging.CRITICAL)
    except Exception as error:  # of any class: ConnectionError, RuntimeError, ValueError
        reason = " ".join(str(error).split())[:_SHOWN] or type(error).__name__
        where = "--executor ray" if address == "local" else f"RAY_ADDRESS = {address}"
        raise UsageError(f"{where}: no cluster ({reason}); {_START}") from error


def _check_address(address: str) -> None:
    """Refuse an address at which no cluster answers, for which `ray.init` waits a quarter of an hour.

    Raises:
        UsageError: not an address, or no answer.
    """
    if "://" in address:
        raise UsageError(f"RAY_ADDRESS = {address}: Ray Client is not supported; run the command on a host of the cluster with HOST:PORT")
    if address != "auto":
        _check_port(address)
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", *([] if address == "auto" else ["--address", address])]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_HEALTHY, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(f"RAY_ADDRESS = {address}: no cluster answers in {_HEALTHY:.0f} s; {_START}") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
        raise UsageError(f"RAY_ADDRESS = {address}: no cluster ({lines[-1][:_SHOWN]}); {_START}")


def _check_port(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"RAY_ADDRESS = {address}: expected HOST:PORT, auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"RAY_ADDRESS = {address}: does not answer ({reason}); {_START}") from None


@contextmanager
def _handler_kept() -> Generator[None]:
    """Keep this process's handler of SIGTERM, in whose place `ray.init` puts one that ends the process at once."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
