"""The installation id: a UUID that distinguishes what one state directory deployed from what all others did."""

from __future__ import annotations

import errno
import functools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iecpod.errors import HostError
from iecpod.files.reader import read_own
from iecpod.files.trusted_paths import make_directory
from iecpod.files.writer import READABLE, create_file

_NAME = "installation"
#: Of a UUID as text, with room for a line end or two.
_MOST_BYTES = 64


def find_installation(state_dir: Path) -> str:
    """The UUID of a state directory, or where it has none yet, the one that it would get. Raises `HostError`."""
    with _explained(state_dir / _NAME):
        return _read(state_dir / _NAME) or _proposed(state_dir)


def ensure_installation(state_dir: Path) -> str:
    """The UUID of a state directory, made the first time. Raises `HostError`; it is never made a second time."""
    with _explained(state_dir / _NAME):
        return _read(state_dir / _NAME) or _make(state_dir)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostError(
                f"{path} cannot be written: {error.strerror}",
                "make room there, or name a state directory on another disk (-S, IECPOD_STATE_DIR)",
            ) from error
        raise HostError(
            f"{path}: {error.strerror or error}",
            "check the owner and the permissions there, or name a state directory of yours (-S, IECPOD_STATE_DIR)",
        ) from error


def _read(path: Path) -> str:
    """Empty where there is none yet."""
    try:
        text = read_own(path, _MOST_BYTES + 1).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""
    try:
        if str(uuid.UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise HostError(
        f"{path} does not hold the UUID of this state directory",
        "restore that file; without it, nothing that was deployed from here is known as such. Where nothing was, "
        "remove it",
    )


@functools.cache
def _proposed(state_dir: Path) -> str:
    return str(uuid.uuid4())


def _make(state_dir: Path) -> str:
    """Where two runs make one at the same time, the first counts for both."""
    make_directory(state_dir)
    create_file(state_dir / _NAME, f"{_proposed(state_dir)}\n", READABLE)
    return _read(state_dir / _NAME)
