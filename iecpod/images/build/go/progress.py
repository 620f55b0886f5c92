"""How far Go is: modules that arrive, packages that are compiled."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.errors import ImageError
from iecpod.ports import Reporter

#: Go itself waits for a silent proxy for as long as the kernel keeps the connection.
SILENCE_SECONDS = 120.0
_LONGEST_LINE_BYTES = 64 * 1024


@dataclass(slots=True)
class _Lines:
    """Counts lines of a text that comes in pieces."""

    counts: Callable[[bytes], bool]
    count: int = 0
    _rest: bytes = b""

    def add(self, written: bytes) -> int:
        *lines, rest = (self._rest + written).split(b"\n")
        self._rest = rest[:_LONGEST_LINE_BYTES]
        self.count += sum(map(self.counts, lines))
        return self.count


@dataclass(slots=True)
class DownloadWatch:
    """Ends a download in which nothing arrives any more."""

    modules: Path
    reporter: Reporter
    name: str
    silence_seconds: float = SILENCE_SECONDS
    _fetched: _Lines = field(default_factory=lambda: _Lines(lambda line: line.startswith(b"go: downloading ")))
    _seen: tuple[int, int] = (0, 0)
    _since: float = field(default_factory=time.monotonic)

    def look(self, written: bytes) -> None:
        """`written` is what Go has printed since the last time. Raises `ImageError` when the proxy is silent."""
        fetched = self._fetched.add(written)
        seen = (fetched, _bytes_below(self.modules / "cache" / "download"))
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
            self.reporter.progress(f"fetching the Go modules of {self.name}: {fetched}, {seen[1] >> 20} MiB in all")
        elif now - self._since > self.silence_seconds:
            raise ImageError(
                f"fetching the Go modules of {self.name}: nothing arrived from the Go module proxy for "
                f"{self.silence_seconds:.0f} s",
                "check GOPROXY, network and proxy, then run again: what was fetched is kept; `--release debian12` "
                "needs Debian's packages only",
            )


@dataclass(slots=True)
class CompileProgress:
    """Packages done of all; an estimate once a tenth is done, as packages differ in size."""

    reporter: Reporter
    name: str
    packages: int
    _begun: _Lines = field(default_factory=lambda: _Lines(_is_package))
    _started: float = field(default_factory=time.monotonic)
    _last: int = -1

    def look(self, written: bytes) -> None:
        """`written` is what `go build -v` has printed since then: a line a package that it begins to compile."""
        done = self._begun.add(written)
        if done == self._last:
            return
        self._last = done
        left = ""
        if self.packages > done > self.packages // 10:
            seconds = (time.monotonic() - self._started) / done * (self.packages - done)
            left = f", about {seconds / 60:.0f} min left" if seconds > 90 else ", about a minute left"
        self.reporter.progress(f"compiling {self.name}: {done} of {self.packages} packages{left}")


def _is_package(line: bytes) -> bool:
    return bool(line) and not line.startswith((b"go: ", b"#"))


def _bytes_below(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:  # a partial file that got its name meanwhile
                continue
    return total
