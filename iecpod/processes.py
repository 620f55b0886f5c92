"""Processes of this host: by psutil, and by /proc for what psutil does not have.

Callers ask which locks a process holds (`fdinfo`), which namespace it is in, and which files it has open by device and
inode, since their paths are those of another mount namespace.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_PROC = Path("/proc")


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

    psutil has it as a time of day only, which is another one when the host's clock was set.

    Raises `OSError` where there is no such process, or it is dead and its parent has not asked for it yet.
    """
    # proc(5): the name, before the last bracket, may hold anything; the state is field 3, the start field 22.
    state, *fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    if state in ("Z", "X"):
        raise ProcessLookupError(pid)
    return int(fields[18])


def started_at(pid: int) -> float:
    """When it began, as Unix time; 0 where it has ended."""
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return 0.0


def taken_by_children(pid: int) -> tuple[int, int]:
    """How many processes have come of that one, and their bytes of memory; pages that several have count for each."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0, 0
    return len(children), sum(map(_memory_bytes, children))


def _memory_bytes(process: psutil.Process) -> int:
    """0 for one that has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def mount_points() -> tuple[Path, ...]:
    """Of this process's mount namespace. Raises `OSError`."""
    return tuple(Path(partition.mountpoint) for partition in psutil.disk_partitions(all=True))
