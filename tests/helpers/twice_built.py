"""Build the wheel twice, from copies of the checkout in other folders with other times and permissions, and compare the bytes.

`python tests/helpers/twice_built.py FOLDER` leaves the wheel in FOLDER and prints its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def built(root: Path, place: Path, time: int, mode: int) -> Path:
    """The wheel of a copy of the checkout.

    Args:
        root: the checkout.
        place: folder of the copy.
        time: time of all its files.
        mode: permissions of all its files.
    """
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, place / name)
        os.utime(place / name, (time, time))
        (place / name).chmod(mode)
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place / "dist")]
    epoch = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=root, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(words, cwd=place, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": epoch}, stdout=sys.stderr)
    return next((place / "dist").glob("*.whl"))


def main(out: Path) -> int:
    """Build and compare; the exit code is 1 if the wheels differ."""
    with tempfile.TemporaryDirectory() as folder:
        first = built(ROOT, Path(folder, "a"), 10**9, 0o644)
        second = built(ROOT, Path(folder, "elsewhere", "b"), 15 * 10**8, 0o600)
        hashes = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in (first, second)]
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(first, out / first.name)
    sys.stdout.writelines(f"{own}  {first.name}\n" for own in dict.fromkeys(hashes))
    return len(set(hashes)) - 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
