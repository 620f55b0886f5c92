"""Tables as commands print them."""

from __future__ import annotations

from collections.abc import Sequence

from iecpod.printable import printable_line


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first line of each cell only, made printable."""
    lines = [header, *([printable_line(cell.splitlines()[0]) if cell else "" for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
