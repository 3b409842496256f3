"""The folder of an audit: its record is compared, and its files are whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.faults import full_disk, read_only

from camdbench.auditing.truth_files import AuditFolder
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.written_files import AlreadyWritten


def test_a_folder_belongs_to_one_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = AuditFolder(tmp_path / "audit")
    folder.claim({"options": {"draws": 8}, "revision": "a"})
    before = (tmp_path / "audit" / "audit.json").read_bytes()
    folder.claim({"options": {"draws": 8}, "revision": "b"})  # another commit with the same code
    assert (tmp_path / "audit" / "audit.json").read_bytes() == before
    with pytest.raises(UsageError, match=r"holds another audit \(options: .*8.*, now .*16.*\); choose another folder"):
        folder.claim({"options": {"draws": 16}, "revision": "a"})
    monkeypatch.setattr(Path, "is_file", lambda path: False)  # another process writes it in this moment
    with pytest.raises(UsageError, match="holds another audit"):
        folder.claim({"options": {"draws": 16}, "revision": "a"})
    assert AlreadyWritten.__name__


def test_damaged_and_unwritable_files_are_named(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path / "audit")
    folder.claim({})
    logits = np.arange(12, dtype=np.float32).reshape(1, 1, 4, 3)
    assert folder.read_logits("draws", "a/b", 0, (1, 1, 4)) is None
    folder.write_logits("draws", "a/b", 0, logits)
    found = folder.read_logits("draws", "a/b", 0, (1, 1, 4))
    assert found is not None
    np.testing.assert_array_equal(found, logits)
    with pytest.raises(CamdbenchError, match=r"draws-00000\.safetensors: damaged \(logits float32 of shape \(1, 1, 4, 3\)"):
        folder.read_logits("draws", "a/b", 0, (2, 1, 4))
    folder.logits_file("draws", "a/b", 0).write_bytes(b"x")
    with pytest.raises(CamdbenchError, match=r"draws-00000\.safetensors: damaged .* delete it and run the same command again"):
        folder.read_logits("draws", "a/b", 0, (1, 1, 4))
    (tmp_path / "audit" / "audit.json").write_text("{")
    with pytest.raises(CamdbenchError, match=r"audit\.json: damaged"):
        folder.claim({})
    with full_disk(0), pytest.raises(CamdbenchError, match="free space on the disk, finished work is kept"):
        folder.write_logits("draws", "a/b", 0, logits)
    with read_only(tmp_path), pytest.raises(UsageError, match=r"--out = .*cannot be written"):
        AuditFolder(tmp_path / "other").claim({})
