"""Files that a person has read, and what is rendered now."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def check_golden(name: str, text: str) -> None:
    """Compares with a file; with IECPOD_WRITE_GOLDEN set, writes it, to be read before it is committed."""
    path = GOLDEN / name
    if os.environ.get("IECPOD_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
