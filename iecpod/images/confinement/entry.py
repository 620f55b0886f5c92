"""The process that leaves this host behind and becomes a confined program; `confinement` says what it is given.

It runs as root in namespaces of its own, and ends with status 125 where a step fails: then nothing was run.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from iecpod.images.confinement.seccomp import forbid_calls
from iecpod.images.confinement.system_calls import (
    ATTR_NODEV,
    ATTR_NOSUID,
    ATTR_READ_ONLY,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    attach_mount,
    copy_of_mount,
    enter_user_namespace,
    gain_nothing_by_exec,
    keep_capabilities,
    make_root,
    mount,
    restrict_all_mounts,
)

_FAILED, _NOT_FOUND = 125, 127

#: What is kept in memory: a tmpfs may else take half of it, each.
_IN_MEMORY = "size=256m,nr_inodes=64k"
#: The first that the kernel ends where memory is short: proc_pid_oom_score_adj(5).
_FIRST_TO_GO = "1000"

#: Of this host, where programs and their libraries are; `bin` and its like are links on most.
_PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_THEIR_FILES = ("etc/alternatives", "etc/ld.so.cache", "etc/mke2fs.conf", "etc/mtools.conf")

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}

#: What in /proc is the host's, and not that of the processes inside: to be read only, or not at all.
_READ_ONLY = ("sys", "irq", "bus", "fs", "sysrq-trigger", "driver", "mtrr")
_HIDDEN = (
    "kcore",
    "keys",
    "key-users",
    "kallsyms",
    "kmsg",
    "timer_list",
    "sched_debug",
    "latency_stats",
    "vmallocinfo",
)
_HIDDEN_DIRECTORIES = ("acpi", "scsi")


def main() -> NoReturn:
    order = json.loads(sys.argv[1])
    try:
        _enter(order)
        _limit(order["limits"])
        _give_up(order["capabilities"], is_foreign=order["root"] is not None)
    except OSError as error:
        _end(f"the program cannot be confined here: {error}", _FAILED)
    _become(order["argv"], order["environment"])


def _enter(order: Mapping[str, Any]) -> None:
    """Everything is at hand as a copy before the host goes out of sight."""
    given = {path: copy_of_mount(source, _attributes(ATTR_READ_ONLY)) for path, source in order["readable"].items()}
    given |= {path: copy_of_mount(source, _attributes()) for path, source in order["writable"].items()}
    if order["root"] is None:
        links = _links_of_this_host()
        given |= _programs_of_this_host()
    root = None if order["root"] is None else copy_of_mount(order["root"], _attributes())
    # The interpreter, too: through /proc/PID/exe a program could write into it.
    restrict_all_mounts(ATTR_READ_ONLY)
    if root is None:
        mount("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, f"mode=755,{_IN_MEMORY}")
    else:
        attach_mount(root, "/tmp")
    make_root("/tmp")
    if root is None:
        for name, target in links.items():
            Path("/", name).symlink_to(target)
    _mount_own()
    for path, descriptor in given.items():
        _make_place(path, descriptor)
        attach_mount(descriptor, path)


def _attributes(more: int = 0) -> int:
    return ATTR_NODEV | ATTR_NOSUID | more


def _links_of_this_host() -> dict[str, str]:
    return {name: str(Path("/", name).readlink()) for name in _PROGRAMS if Path("/", name).is_symlink()}


def _programs_of_this_host() -> dict[str, int]:
    found = [Path("/", name) for name in (*_PROGRAMS, *_THEIR_FILES)]
    return {
        str(path): copy_of_mount(str(path), _attributes(ATTR_READ_ONLY))
        for path in found
        if path.exists() and not path.is_symlink()
    }


def _make_place(path: str, descriptor: int) -> None:
    """Inside the root by now: no link leads out of it."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        place.mkdir(exist_ok=True)
    else:
        place.touch()


def _mount_own() -> None:
    for path in ("/proc", "/dev", "/run", "/tmp"):
        Path(path).mkdir(exist_ok=True)
    mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, f"mode=755,{_IN_MEMORY}")
    mount("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, f"mode=1777,{_IN_MEMORY}")
    mount("tmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")
    os.umask(0)
    for name, numbers in _DEVICES.items():
        os.mknod(f"/dev/{name}", 0o666 | stat.S_IFCHR, os.makedev(*numbers))
    Path("/dev/shm").mkdir(mode=0o1777)
    os.umask(0o022)
    for name, target in _LINKS.items():
        Path("/dev", name).symlink_to(target)
    _restrict_proc()


def _restrict_proc() -> None:
    """/dev/null and an empty directory hide what is below them."""
    for name in filter(lambda name: Path("/proc", name).exists(), _READ_ONLY):
        attach_mount(copy_of_mount(f"/proc/{name}", ATTR_READ_ONLY), f"/proc/{name}")
    for name in filter(lambda name: Path("/proc", name).exists(), _HIDDEN):
        attach_mount(copy_of_mount("/dev/null", ATTR_READ_ONLY), f"/proc/{name}")
    for name in filter(lambda name: Path("/proc", name).exists(), _HIDDEN_DIRECTORIES):
        mount("tmpfs", f"/proc/{name}", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=555")


def _limit(limits: Mapping[str, int]) -> None:
    """What the kernel holds for each process; RLIMIT_NPROC is not held for root. Go reserves much and uses little."""
    Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["stored_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (4 * limits["memory_bytes"],) * 2)


def _give_up(capabilities: list[int], *, is_foreign: bool) -> None:
    """What is left to a foreign program is worth nothing outside a user namespace."""
    socket.sethostname("localhost")
    # Less than a page: no file is written. Exactly one byte: no program of the host is given the dump either (core(5)).
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    os.setgroups([])
    if is_foreign:
        enter_user_namespace()
    keep_capabilities(capabilities)
    gain_nothing_by_exec()
    forbid_calls()


def _become(argv: list[str], environment: dict[str, str]) -> NoReturn:
    """Nothing of the host stays open but the pipes that take what is printed."""
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # SIGXFSZ stays ignored, as Python has it: programs say what failed
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        _end(f"{argv[0]}: {error.strerror}", _NOT_FOUND)


def _end(reason: str, status: int) -> NoReturn:
    """The reason goes to the log of whoever waits."""
    os.write(2, f"{reason}\n".encode(errors="backslashreplace"))
    os._exit(status)
