"""How far Go is: modules that arrive, packages that are compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.errors import ImageError
from iecpod.images.build.go.work_directory import bytes_below
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
        seen = (fetched, bytes_below(self.modules / "cache" / "download"))
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
    now: Callable[[], float] = time.monotonic
    _begun: _Lines = field(default_factory=lambda: _Lines(_is_package))
    _started: float = field(init=False)
    _ends: float | None = field(init=False, default=None)
    _done: int = field(init=False, default=-1)
    _shown: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._started = self.now()

    def look(self, written: bytes) -> None:
        """`written` is what `go build -v` has printed since then: a line a package that it begins to compile.

        Go does not say when it links, which takes minutes for Kubernetes.
        """
        done = self._begun.add(written)
        if done != self._done:
            self._done = done
            self._ends = self._estimate(done)
        shown = f"compiling {self.name}: {done} of {self.packages} packages{self._left(done)}"
        if shown != self._shown:
            self._shown = shown
            self.reporter.progress(shown)

    def _estimate(self, done: int) -> float | None:
        """When the last package begins; None before a tenth of them has."""
        if done <= self.packages // 10:
            return None
        return self.now() + (self.now() - self._started) / done * max(self.packages - done, 0)

    def _left(self, done: int) -> str:
        if done >= self.packages > 0:
            return ", linking"
        if self._ends is None:
            return ""
        seconds = self._ends - self.now()
        if seconds <= 0:
            return ", linking, or longer than estimated"
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else ", about a minute left"


def _is_package(line: bytes) -> bool:
    return bool(line) and not line.startswith((b"go: ", b"#"))
