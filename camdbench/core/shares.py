"""Share: the type of an option that is a part of a whole."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(gt=0, le=1)]  # in (0, 1]; `core.options` knows it by this name
