"""Processes of this host, read from /proc.

Own code and not psutil: callers ask which locks a process holds (`fdinfo`), which namespace it is in, and which files
it has open by device and inode, since their paths are those of another mount namespace. psutil has none of these. Of
what it has, iecpod needs the start of a process, its parent and its memory, which are three fields of one file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    argv: tuple[str, ...]

    @property
    def program(self) -> str:
        return Path(self.argv[0]).name if self.argv else ""

    def __str__(self) -> str:
        return f"{self.program or 'process'} (pid {self.pid})"


def other_processes() -> Iterator[Path]:
    """`/proc/PID` of each process but this one; it may have ended when it is looked at."""
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            yield entry


def find_processes(belongs: Callable[[Path], bool]) -> tuple[Process, ...]:
    """Living processes, this one left out, whose `/proc/PID` satisfies `belongs`; zombies do not live."""
    found = []
    for entry in other_processes():
        try:
            if belongs(entry):
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                found.append(Process(int(entry.name), tuple(argv)))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or is a zombie: neither is a member of a namespace any more
    return tuple(sorted(found, key=lambda process: process.pid))


def start_ticks(pid: int) -> int:
    """When it began, in clock ticks since the boot: distinguishes a process from a later one of the same number.

    Raises `OSError` where there is no such process, or it is dead and its parent has not asked for it yet.
    """
    # proc(5): the name, before the last bracket, may hold anything; the state is field 3, the start field 22.
    state, *fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    if state in ("Z", "X"):
        raise ProcessLookupError(pid)
    return int(fields[18])


def started_at(pid: int) -> float:
    """When it began, as Unix time; 0 where it has ended."""
    with suppress(OSError, StopIteration):
        ticks = start_ticks(pid)
        boot = next(line for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime "))
        return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    return 0.0


def taken_by_children(pid: int) -> tuple[int, int]:
    """How many processes have come of that one, and their bytes of memory; pages that several have count for each."""
    seen = dict(_parents_and_pages())
    children: dict[int, list[int]] = {}
    for child, (parent, _) in seen.items():
        children.setdefault(parent, []).append(child)
    found, left = set[int](), list(children.get(pid, ()))
    while left:
        found.add(one := left.pop())
        left += children.get(one, ())
    return len(found), sum(seen[one][1] for one in found) * _PAGE_BYTES


def _parents_and_pages() -> Iterator[tuple[int, tuple[int, int]]]:
    """Parent and pages in memory of each process: proc_pid_stat(5)."""
    for entry in other_processes():
        with suppress(OSError):
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            yield int(entry.name), (int(fields[1]), int(fields[21]))


def mount_points() -> tuple[Path, ...]:
    """Of this process's mount namespace. Raises `OSError`."""
    lines = (_PROC / "self/mountinfo").read_bytes().splitlines()
    return tuple(Path(os.fsdecode(line.split()[4])) for line in lines)
