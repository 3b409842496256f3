"""The table of renames: how names of the state before become those of the state after.

Columns: kind, where, old, new. The first line that fits applies. `where` is a pattern of artefacts, `*` if empty. An empty `new`
drops what is named from the state before, an empty `old` drops it from the state after.

column   a column of a table, a heading of printed CSV
key      a key of JSON, as one segment of its path, or PARENT/KEY with the old names of both
value    COLUMN=VALUE, the column or key after its own rename; with an empty `old`, a leaf of JSON that is new
switch   a protocol switch or an option, wherever a spec or a protocol names it; or SWITCH=VALUE of its values; here `where` is a
         pattern of `metrics` and `explainers`
folder   a folder of run directories
word     a word or phrase of printed text, with any blank space between its words
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

KINDS = ("column", "key", "value", "switch", "folder", "word")


class Rename(NamedTuple):
    """One line of the table."""

    kind: str
    where: str
    old: str
    new: str


class Renames:
    """Applies a table of renames.

    Args:
        lines: the table.
        protocols: metric -> protocol -> switches, options, hash, of the state before; for the hashes of protocols.
    """

    def __init__(self, lines: Sequence[Rename] = (), protocols: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.lines = lines
        self._hashes = self._hashes_of(protocols or {})

    @classmethod
    def read(cls, path: Path | None, protocols: Mapping[str, Mapping[str, Any]] | None = None) -> Renames:
        """Read a table from CSV; lines that begin with # are comments."""
        if path is None:
            return cls()
        text = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
        lines = [Rename(row["kind"], row["where"] or "*", row["old"] or "", row["new"] or "") for row in csv.DictReader(text)]
        if unknown := {line.kind for line in lines} - set(KINDS):
            raise SystemExit(f"{path}: unknown kind {', '.join(sorted(unknown))}; choose from {', '.join(KINDS)}")
        return cls(lines, protocols)

    def mapping(self, kind: str, artefact: str) -> dict[str, str]:
        """Return old -> new of the lines of a kind for an artefact; of two for one name, the first."""
        found = dict[str, str]()
        for line in self._of(kind, artefact):
            if line.old:
                found.setdefault(line.old, line.new)
        return found

    def dropped(self, kind: str, artefact: str, *, after: bool) -> set[str]:
        """Return the names that are left out before, or after."""
        return {(line.new if after else line.old) for line in self._of(kind, artefact) if not (line.old if after else line.new)}

    def spec(self, text: str, scope: str) -> str:
        """Return a spec, or a text with specs, under the new names of options; then the options in the order of their names."""
        names, before = self._switches(scope), text
        for old, new in names.items():
            text = re.sub(rf"(?<=[(, `]){re.escape(old)}=", f"{new}=", text)
        for (switch, old), new in self._values(scope).items():
            name = names.get(switch, switch)
            text = text.replace(f'{name}="{old}"', f'{name}="{new}"').replace(f"'{old}'", f"'{new}'")  # of a spec, of a Literal
        return _in_order(text) if text != before and "(" in text else text

    def hash(self, old: str) -> str:
        """Return the hash of a protocol after the renames of switches."""
        return self._hashes.get(old, old)

    def value(self, column: str, value: Any, artefact: str, scope: str) -> Any:
        """Return a value of a column or a key after the renames."""
        if mapped := self.mapping("value", artefact).get(f"{column}={value}"):
            value = mapped.split("=", 1)[1]
        if not isinstance(value, str):
            return value
        names = self._switches(scope)
        old = next((old for old, new in names.items() if new == column), column)
        value = self._values(scope).get((old, value), value)
        return self.hash(value) if re.fullmatch(r"[0-9a-f]{8}", value) else self.spec(value, scope)

    def key(self, segment: str, artefact: str, scope: str, *, parent: str = "") -> str:
        """Return a key of JSON after the renames."""
        keys = self._switches(scope) | self.mapping("key", artefact)
        return keys.get(f"{parent}/{segment}", keys.get(segment, self.spec(segment, scope)))

    def artefact(self, name: str) -> str:
        """Return the name of an artefact after the renames of folders within it."""
        for old, new in self.mapping("folder", name).items():
            name = re.sub(_phrase(old), new, name)
        return name

    def text(self, text: str, artefact: str) -> str:
        """Return printed text after the renames of words, folders, switches and hashes."""
        for old, new in (self.mapping("word", artefact) | self.mapping("folder", artefact)).items():
            text = re.sub(_phrase(old), lambda _, new=new: new, text)
        text = re.sub(r"\b[0-9a-f]{8}\b", lambda found: self.hash(found[0]), text)
        scope = "explainers" if "explainers" in artefact else "metrics"
        return "\n".join(self._options_of(line, scope) for line in text.split("\n"))

    def _options_of(self, line: str, scope: str) -> str:
        names = self._switches(scope)
        for old, new in names.items():
            line = re.sub(rf"(?<=[(, `]){re.escape(old)}(?=[=:])", new, line)
        for (switch, old), new in self._values(scope).items():
            name = names.get(switch, switch)
            line = re.sub(rf"(?<={name}: ){re.escape(old)}", new, line).replace(f'{name}="{old}"', f'{name}="{new}"')
        return line

    def _switches(self, scope: str) -> dict[str, str]:
        """Return old -> new of the names of switches and options."""
        return {old: new for old, new in self.mapping("switch", scope).items() if "=" not in old}

    def _values(self, scope: str) -> dict[tuple[str, str], str]:
        """Return (old name of a switch, old value) -> new value."""
        split = ((old.split("=", 1), new) for old, new in self.mapping("switch", scope).items() if "=" in old)
        return {(name, value): new.split("=", 1)[1] for (name, value), new in split}

    def _of(self, kind: str, artefact: str) -> Iterable[Rename]:
        return (line for line in self.lines if line.kind == kind and fnmatch(artefact, line.where))

    def _hashes_of(self, protocols: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Return old hash -> hash of the same protocol under the new names; the old one is recomputed as a check of the formula."""
        found = dict[str, str]()
        for metric, known in protocols.items():
            for payload in known.values():
                if _digest(metric, payload["switches"], payload["options"]) == payload["hash"]:
                    found[payload["hash"]] = _digest(metric, self._renamed(payload["switches"]), self._renamed(payload["options"]))
        return found

    def _renamed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        names, values = self._switches("metrics"), self._values("metrics")
        return {
            names.get(name, name): values.get((name, value), value) if isinstance(value, str) else value for name, value in options.items()
        }


def _phrase(words: str) -> str:
    """Return the pattern of whole words with any blank space between them."""
    before, after = (r"(?<!\w)" if words[0].isalnum() else "", r"(?!\w)" if words[-1].isalnum() else "")
    return before + re.escape(words).replace("\\ ", r"\s+") + after


def _digest(metric: str, switches: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    text = json.dumps([metric, switches, options], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _in_order(text: str) -> str:
    try:
        from camdbench.core.spec import parse_spec

        return str(parse_spec(text))
    except Exception:  # not a spec
        return text
