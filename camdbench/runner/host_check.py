"""What the hosts of one run must share: versions, code, the user's files, weights, images and the run directory."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from camdbench.core import provenance
from camdbench.core.errors import UsageError
from camdbench.core.written_files import write_file
from camdbench.runner.prepare import Run
from camdbench.runner.resolved import own_files, resolved

_SECONDS = 10.0  # in which a file of another host is seen, as network file systems keep listings for a while


class Reply(NamedTuple):
    """Answer of a host that meets the terms: its name, and the file in the run directory that holds the name."""

    host: str
    file: str


@dataclass(frozen=True)
class Terms:
    """What a host must have in common with the one that started the run.

    Attributes:
        folder: run directory, an absolute path.
        token: name and content of a file in it.
        versions: versions of Python and packages, and the hash of camdbench's code.
        files: SHA-256 of the user's Python files, by absolute path.
        weights: hashes of the weights, by requested model.
        images: hash of the image ids.
    """

    folder: Path
    token: str
    versions: Mapping[str, str]
    files: Mapping[str, str]
    weights: Mapping[str, str]
    images: str

    def meet(self) -> Reply:
        """Compare this host with the terms, and answer in the run directory.

        Raises:
            UsageError: versions or files differ, or the run directory is not that of the host that started the run.
        """
        host, own = socket.gethostname(), versions()
        for name, known in self.versions.items():
            if own.get(name) != known:
                raise UsageError(f"--executor ray: host {host} has {name} {own.get(name)}, not {known}; install the same on all hosts")
        for file, known in self.files.items():
            if not Path(file).is_file() or _sha(Path(file).read_bytes()) != known:
                state = "another" if Path(file).is_file() else "no"
                raise UsageError(f"--executor ray: host {host} has {state} file {file}; put it into a folder that all hosts share")
        if not _appears(self.folder / self.token, self.token):
            raise UsageError(f"--out = {self.folder}: host {host} has another folder of that name, or none; {_FIX}")
        reply = Reply(host, f"{self.token}-{uuid4().hex}")
        try:
            (self.folder / reply.file).write_text(host, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--out = {self.folder}: host {host} cannot write to it ({error.strerror}); {_FIX}") from None
        return reply

    def check_reply(self, reply: Reply) -> None:
        """Check that the file of a host's answer is here.

        Raises:
            UsageError: it is not, so results of that host would not be here either.
        """
        if not _appears(self.folder / reply.file, reply.host):
            raise UsageError(f"--out = {self.folder}: files of host {reply.host} do not appear in it; {_FIX}")

    def check_images(self, ids: Iterable[str]) -> None:
        """Check the ids of the images that this host reads.

        Raises:
            UsageError: others, or in another order.
        """
        if hash_of(ids) != self.images:
            raise UsageError("--executor ray: the data set has other images than on the host of the command; give all hosts the same data")

    def check_weights(self, model: str, found: str) -> None:
        """Check the weights that this host loads.

        Raises:
            UsageError: other weights.
        """
        if (known := self.weights.get(model, found)) != found:
            raise UsageError(f"--executor ray: model {model} has weights {found}, not {known}; give all hosts the same weights")


_FIX = "give a folder that all hosts share"


@contextmanager
def agreed(run: Run) -> Generator[Terms]:
    """The terms of a run; their files leave the run directory with the context.

    Raises:
        CamdbenchError: the run directory cannot be written.
    """
    assert run.directory is not None
    assert run.record is not None
    root, token = run.directory.root.resolve(), f".shared-{uuid4().hex}"
    named = {} if run.request.maps is not None else {str(file): file for file, _ in own_files(resolved(run))}
    weights = zip(run.request.models, run.row_names, strict=True)
    try:
        write_file(root / token, lambda path: path.write_text(token, encoding="utf-8"))
        yield Terms(
            root,
            token,
            versions(),
            {name: _sha(file.read_bytes()) for name, file in named.items()},
            {model: run.record.models[name]["weights_hash"] for model, name in weights},
            hash_of(run.record.ids),
        )
    finally:
        for file in root.glob(f"{token}*"):
            with suppress(OSError):
                file.unlink()


def versions() -> dict[str, str]:
    """Versions of Python and packages, and the hash of camdbench's code, of this process."""
    return provenance.versions() | {"code of camdbench": provenance.code_hash()}


def hash_of(ids: Iterable[str]) -> str:
    """Hash of image ids in their order.

    >>> hash_of(["a", "b"]) == hash_of(("a", "b")) != hash_of(["b", "a"])
    True
    """
    return _sha("\n".join(ids).encode("utf-8", "surrogatepass"))


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _appears(file: Path, content: str) -> bool:
    """Whether a file has this content, now or soon."""
    end = time.monotonic() + _SECONDS
    while True:
        with suppress(OSError, UnicodeDecodeError):
            if file.read_text(encoding="utf-8") == content:
                return True
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
