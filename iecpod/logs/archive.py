"""The way into an archive of logs: every content passes the scrubber; what could not be read is listed with why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from iecpod.errors import IecpodError
from iecpod.files.reader import open_regular
from iecpod.logs.scrub import Scrubber
from iecpod.printable import printable, printable_line
from iecpod.reports.table import format_table

MANIFEST = "MANIFEST"

#: The most of one file that is scrubbed, which takes a second for each 5 MiB.
MOST_BYTES = 20 * 1024 * 1024
_LONGEST_LINE = 64 * 1024


class Sink(Protocol):
    def add(self, name: str, content: bytes) -> None:
        """Keeps a file under a relative path."""


@dataclass(slots=True)
class Collection:
    """The one way into the archive."""

    sink: Sink
    scrubber: Scrubber
    _sizes: list[tuple[str, int]] = field(default_factory=list)
    _cut: list[tuple[str, int]] = field(default_factory=list)
    _missing: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, content: bytes, left_out_bytes: int = 0) -> None:
        """`left_out_bytes` came before the content. Of what is longer than can be scrubbed in time, the end is kept."""
        kept = end_of(content, MOST_BYTES)
        scrubbed = self.scrubber.scrub(kept)
        self.sink.add(name, scrubbed)
        self._sizes.append((name, len(scrubbed)))
        if left_out_bytes := left_out_bytes + len(content) - len(kept):
            self._cut.append((name, left_out_bytes))

    def add_file(self, name: str, path: Path, most_bytes: int) -> None:
        """The end of a file of this machine."""
        with self.attempt(name):
            self.add(name, *read_end(path, most_bytes))

    def add_tree(self, name: str, directory: Path, pattern: str, most_bytes: int) -> None:
        """The ends of the files below a directory; links are not followed."""
        found = [path for path in sorted(directory.glob(pattern)) if path.is_file() and not path.is_symlink()]
        if not found:
            self.miss(name, f"there is no {directory / pattern}")
        for path in found:
            self.add_file(f"{name}/{path.relative_to(directory)}", path, most_bytes)

    def miss(self, name: str, why: str) -> None:
        self._missing.append((name, why))

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """What goes wrong in the block is listed as missing."""
        try:
            yield
        except IecpodError as error:
            self.miss(name, error.cause)
        except OSError as error:
            self.miss(name, str(error))

    def add_manifest(self, heading: str) -> None:
        """Last: it lists what went before."""
        collected = format_table(("BYTES", "FILE"), [(str(size), name) for name, size in self._sizes])
        cut = "".join(f"\n{printable_line(name)}: its first {size} bytes are left out" for name, size in self._cut)
        cut = cut and f"\n\nCut{cut}"
        missing = "\n".join(f"{printable_line(name)}: {_in_one_line(why)}" for name, why in self._missing) or "nothing"
        text = printable(f"{heading}\n\nCollected\n{collected}{cut}\n\nNot collected\n{missing}\n")
        self.sink.add(MANIFEST, self.scrubber.scrub(text.encode()))


def read_end(path: Path, most_bytes: int) -> tuple[bytes, int]:
    """The end of a file, and how many bytes come before it. Raises `OSError`."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        start = max(0, size - most_bytes - 1)
        file.seek(start)
        content = file.read(size - start)
    kept = end_of(content, most_bytes)
    return kept, start + len(content) - len(kept)


def end_of(content: bytes, most_bytes: int) -> bytes:
    """Whole lines where there are any near, since half a secret would not be known again."""
    if len(content) <= most_bytes:
        return content
    end = content[-most_bytes:]
    if content[-most_bytes - 1] == ord("\n"):
        return end
    line_end = end.find(b"\n", 0, _LONGEST_LINE)
    return end[line_end + 1 :] if 0 <= line_end < len(end) - 1 else end


def _in_one_line(text: str) -> str:
    return printable_line(" / ".join(text.split("\n")))
