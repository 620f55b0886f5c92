"""What the operating system refuses, as errors for people: the file or stream, the reason, and what to do."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from iecpod.cli.streams import STANDARD_OUTPUT
from iecpod.errors import FileError
from iecpod.units import shorten

_NO_ROOM = "make room where iecpod keeps its state and its cache, and run the command again: it resumes"
_PERMISSION = "check its owner and permissions, or run the command as a user who may use it"
_PATH = "check the path, and where it comes from: an option, a variable of the environment, or a file"
_OUTPUT = f"lead it to where there is room, or to {os.devnull}"

_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS), _NO_ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _PERMISSION),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL), _PATH),
    errno.EIO: "check the disk: the system's log says more",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "end other programs: the system has no more open files",
    errno.ENOMEM: "end other programs, or give the machine more memory",
}
#: Faults of the machine, whatever was being done.
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def explain_os_failure(error: Exception) -> FileError | None:
    """None for an error that names nothing and is no fault of the machine: that is a bug."""
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        cause = f"the characters of {shorten(error.object, 200)} are not those of the locale"
        return FileError(cause, "set LC_ALL=C.UTF-8, or another locale with UTF-8")
    if not isinstance(error, OSError):
        return None
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, "see to the reason, and run the command again")
    if error.filename == STANDARD_OUTPUT:
        return FileError(f"{STANDARD_OUTPUT} cannot be written: {reason}", _OUTPUT)
    if error.filename is not None:
        return FileError(f"{_shown(error.filename)}: {reason}", remedy)
    return FileError(reason, remedy) if error.errno in _OF_THE_MACHINE else None


def closed_output() -> FileError:
    return FileError(f"{STANDARD_OUTPUT} is closed", _OUTPUT)


def check_working_directory() -> None:
    """Raises `FileError` where it was removed: relative paths have no meaning then."""
    try:
        Path.cwd()
    except OSError as error:
        raise FileError(
            f"the working directory cannot be used: {error.strerror}", "change to a directory that exists"
        ) from error


def _shown(filename: object) -> str:
    return os.fsdecode(filename) if isinstance(filename, (str, bytes)) else f"file descriptor {filename}"
