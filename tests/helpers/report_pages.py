"""What a report holds, read from its HTML."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def data_of(page: Path) -> dict[str, Any]:
    """The numbers and pictures of a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def with_data(page: Path, data: dict[str, Any], out: Path) -> Path:
    """Write a page with other data, whose scripts and policy are those of a page; return `out`."""
    text = json.dumps(data).replace("<", "\\u003c")
    written = re.sub(
        r'(id="data">).*?(</script>)', lambda found: found[1] + text + found[2], page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    out.write_text(written, encoding="utf-8")
    return out
