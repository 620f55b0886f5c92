"""One run at a time for each POD."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import filelock

from iecpod.descriptors.secrets import shown_command
from iecpod.errors import HostError, PodLocked
from iecpod.file_writer import PRIVATE, replace_file
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.ports import LockHolder


@contextlib.contextmanager
def pod_lock(
    layout: Layout, ref: PodRef, *, wait_seconds: float, tell: Callable[[str], None] = lambda _message: None
) -> Iterator[None]:
    """Holds the POD's lock. Raises `PodLocked`, naming the holder, when it is not free within `wait_seconds`.

    Whom it waits for is told beforehand.
    The lock is the kernel's (flock): it is free as soon as its holder is dead, whatever files are left.
    """
    path, holder_file = _files(layout, ref)
    lock = filelock.FileLock(path, mode=0o600)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, wait_seconds, lambda: tell(f"waits for {_who(holder_file)}"))
    except filelock.Timeout:
        raise _locked(ref, holder_file) from None
    except OSError as error:
        raise HostError(
            f"the lock {path} cannot be taken: {error.strerror or error}",
            "run as root, or name a directory of yours in IECPOD_RUNTIME_DIR",
        ) from error
    try:
        _write_holder(holder_file)
        yield
    finally:
        holder_file.unlink(missing_ok=True)
        lock.release()


def find_holder(layout: Layout, ref: PodRef) -> LockHolder | None:
    """Who holds the POD's lock, by its note: to try the lock would refuse a run that begins in that moment."""
    return _read_holder(_files(layout, ref)[1])


def _files(layout: Layout, ref: PodRef) -> tuple[Path, Path]:
    """The lock, and the note of who holds it."""
    place = ref.below(layout.runtime_dir / "locks")
    return place.with_name(f"{place.name}.lock"), place.with_name(f"{place.name}.holder")


class RunLock:
    """A lock for one run, which may take it again while it holds it."""

    def __init__(self, take: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._take = take
        self._is_held = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        if self._is_held:
            yield
            return
        with self._take():
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False


def _write_holder(path: Path) -> None:
    holder = {
        "pid": os.getpid(),
        "started": _start_of(os.getpid()),
        "command": shown_command([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with contextlib.suppress(OSError):  # it only serves the message of another run
        replace_file(path, json.dumps(holder), PRIVATE)


def _acquire(lock: filelock.BaseFileLock, wait_seconds: float, tell: Callable[[], None]) -> None:
    with contextlib.suppress(filelock.Timeout):
        lock.acquire(timeout=0)
        return
    if wait_seconds > 0:
        tell()
    lock.acquire(timeout=wait_seconds, poll_interval=0.5)


def _start_of(pid: int) -> str:
    """Tells a process from a later one of the same number: its start, in ticks since boot (proc(5), field 22 of stat).

    Raises `OSError` where there is no such process, or it is dead and its parent has not asked for it yet.
    """
    state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if state in ("Z", "X"):
        raise ProcessLookupError(pid)
    return fields[18]


def _who(holder_file: Path) -> str:
    return str(_read_holder(holder_file) or "another iecpod")


def _read_holder(holder_file: Path) -> LockHolder | None:
    """None where it has just begun, or the note is that of a run that died."""
    try:
        holder = json.loads(holder_file.read_text())
        pid = int(holder["pid"])
        if _start_of(pid) != holder["started"]:
            return None
        return LockHolder(pid, str(holder["command"]), str(holder["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _locked(ref: PodRef, holder_file: Path) -> PodLocked:
    holder = _read_holder(holder_file)
    if holder is None:
        return PodLocked(f"another iecpod is at work on POD {ref}", "run the command again in a moment")
    return PodLocked(
        f"{holder} is at work on POD {ref}",
        "wait for it with --wait-lock SECONDS, or end it with "
        f"`kill {holder.pid}`: deploy and teardown go on where another run stopped",
    )
