"""What a block of code does beyond its own directory, by Python's audit events: programs it starts, files it opens."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Events that start another program, and those that change a file or directory by name.
_STARTS = {
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
}
_CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}

#: Python and its libraries, this project, and what every process of libc reads.
_READ_BY_ALL = tuple(
    str(Path(path).resolve())
    for path in (sys.prefix, sys.base_prefix, Path(__file__).parents[3], "/usr", "/proc", "/dev", "/etc/localtime")
)

_watching: list[tuple[Path, list[str]]] = []
_is_installed = False


@contextmanager
def watched(own: Path) -> Iterator[list[str]]:
    """A list that fills with each program that is started, and each file outside `own` that is opened or changed."""
    global _is_installed
    if not _is_installed:
        sys.addaudithook(_note)  # it cannot be taken out again
        _is_installed = True
    seen: list[str] = []
    _watching.append((own.resolve(), seen))
    try:
        yield seen
    finally:
        _watching.pop()


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    own, seen = _watching[-1]
    if event in _STARTS:
        seen.append(f"{event} {arguments[0]}")
    elif event == "open" and isinstance(arguments[0], (str, bytes, Path)):
        path = _real(arguments[0])
        is_written = bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
        if not path.is_relative_to(own) and (is_written or not str(path).startswith(_READ_BY_ALL)):
            seen.append(f"open {path}")
    elif event in _CHANGES:
        # A name that is relative to an open directory is below one that was judged when it was opened.
        names = [Path(os.fsdecode(name)) for name in arguments if isinstance(name, (str, bytes, Path))]
        seen.extend(f"{event} {name}" for name in names if name.is_absolute() and not _real(name).is_relative_to(own))


def _real(name: str | bytes | Path) -> Path:
    return Path(os.path.realpath(os.fsdecode(name)))
