"""python -m camdbench."""

from __future__ import annotations

from camdbench.cli.main import main

if __name__ == "__main__":
    main()
