"""Columns of tables by their role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from camdbench.core.errors import UsageError, unknown


def read_roles(columns: Mapping[str, str] | str | None) -> dict[str, str]:
    """Names of columns by role, from a mapping or from text.

    >>> read_roles("image=file,label=class")
    {'image': 'file', 'label': 'class'}

    Raises:
        UsageError: the text has another form.
    """
    if not isinstance(columns, str):
        return dict(columns or {})
    pairs = [part.split("=") for part in columns.split(",")]
    if any(len(pair) != 2 or not all(map(str.strip, pair)) for pair in pairs):
        raise UsageError(f"columns = {columns}: expected ROLE=COLUMN with commas, such as image=file,label=class")
    return {role.strip(): name.strip() for role, name in pairs}


def pick(
    given: Mapping[str, str], names: Sequence[str], defaults: Mapping[str, Sequence[str]], *, required: str, what: str
) -> dict[str, str]:
    """The column of each role that a table has.

    Args:
        given: columns by role, as stated by the user.
        names: the columns of the table.
        defaults: names that a column of a role has by default.
        required: the role that must have a column.
        what: the table, for errors.

    Raises:
        UsageError: an unknown role, a column that the table lacks, or no column of the required role.
    """
    for role, name in given.items():
        if role not in defaults:
            raise unknown("role", role, defaults, of="columns")
        if name not in names:
            raise unknown("column", name, names, of=what)
    found = {role: next((name for name in own if name in names), None) for role, own in defaults.items()}
    chosen = {role: name for role, name in found.items() if name is not None} | dict(given)
    if required not in chosen:
        raise UsageError(f"{what} has no column {required!r}; give columns={{{required!r}: …}}, one of {', '.join(names)}")
    return chosen
