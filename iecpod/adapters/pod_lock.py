"""One run at a time for each POD."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from iecpod.descriptors.redaction import shown_command
from iecpod.errors import HostError, PodLocked
from iecpod.files.trusted_paths import make_directory
from iecpod.files.writer import PRIVATE, replace_file
from iecpod.layout import Layout
from iecpod.locks import LockTimeout, closing, open_lock, wait_for_lock
from iecpod.model import PodRef
from iecpod.outside_json import parse_json
from iecpod.ports import LockHolder
from iecpod.processes import start_ticks


@contextlib.contextmanager
def pod_lock(
    layout: Layout, ref: PodRef, *, wait_seconds: float, notify: Callable[[str], None] = lambda _message: None
) -> Iterator[None]:
    """Holds the POD's lock. Raises `PodLocked`, naming the holder, when it is not free within `wait_seconds`.

    What it waits for is reported beforehand.
    The lock is the kernel's (flock): it is free as soon as its holder is dead, whatever files are left.
    """
    path, holder_file = _files(layout, ref)
    try:
        make_directory(path.parent)
        descriptor = open_lock(path)
    except OSError as error:
        raise HostError(
            f"the lock {path} cannot be taken: {error.strerror or error}",
            "run as root, or name a directory of yours in IECPOD_RUNTIME_DIR",
        ) from error
    with closing(descriptor):
        try:
            wait_for_lock(
                descriptor,
                path,
                seconds=wait_seconds,
                notify=lambda found: notify(f"waits for {_who(holder_file, found)}"),
            )
        except LockTimeout as timeout:
            raise _locked(ref, holder_file, timeout.holder) from None
        try:
            _write_holder(holder_file)
            yield
        finally:
            holder_file.unlink(missing_ok=True)


def find_holder(layout: Layout, ref: PodRef) -> LockHolder | None:
    """Who holds the POD's lock, by its note: to try the lock would refuse a run that begins in that moment."""
    return _read_holder(_files(layout, ref)[1])


def _files(layout: Layout, ref: PodRef) -> tuple[Path, Path]:
    """The lock, and the note of who holds it."""
    place = ref.below(layout.runtime_dir / "locks")
    return place.with_name(f"{place.name}.lock"), place.with_name(f"{place.name}.holder")


def _write_holder(path: Path) -> None:
    holder = {
        "pid": os.getpid(),
        "started": str(start_ticks(os.getpid())),
        "command": shown_command([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with contextlib.suppress(OSError):  # it only serves the message of another run
        replace_file(path, json.dumps(holder), PRIVATE)


def _who(holder_file: Path, found: str) -> str:
    """By its note; else the processes that hold the lock, where any were found."""
    return str(_read_holder(holder_file) or found or "another iecpod")


def _read_holder(holder_file: Path) -> LockHolder | None:
    """None where it has just started, or the note is that of a run that died."""
    try:
        holder = parse_json(holder_file.read_bytes(), ValueError)
        pid = holder.integer("pid")
        if str(start_ticks(pid)) != holder.text("started"):
            return None
        return LockHolder(pid, holder.text("command"), holder.text("since"))
    except (OSError, ValueError):
        return None


def _locked(ref: PodRef, holder_file: Path, found: str) -> PodLocked:
    holder = _read_holder(holder_file)
    if holder is None:
        cause = f"{_who(holder_file, found)} is at work on POD {ref}"
        return PodLocked(cause, "run the command again in a moment; end that process if it is not iecpod")
    return PodLocked(
        f"{holder} is at work on POD {ref}",
        "wait for it with --wait-lock SECONDS, or end it with "
        f"`kill {holder.pid}`: deploy and teardown resume where another run stopped",
    )
