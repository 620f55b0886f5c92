"""The account that guests of the embedded hypervisor run as: libvirt's own, which has nothing else to its name.

libvirtd looks that account up when it starts, and ends where there is none. Ubuntu's also looks up the group kvm, which
guests here never have, and has dnsmasq run as libvirt-dnsmasq. All come with libvirt-daemon-system, which is not needed
here: without it, the daemons see copies of the account files with what is missing.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.errors import HypervisorUnavailable

NAME = "libvirt-qemu"
#: Debian has reserved it for this account (base-passwd, "libvirt-qemu").
_ID = 64055
_KVM = Path("/dev/kvm")
_PASSWD, _GROUP = "/etc/passwd", "/etc/group"
_KVM_GROUP = "kvm"
#: The account of dnsmasq as its package dnsmasq-base makes it, and the name that Ubuntu's libvirt has for its own.
_DNSMASQ, _LIBVIRT_DNSMASQ = "dnsmasq", "libvirt-dnsmasq"
_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Account:
    """`added` are the lines that the daemons need and the host lacks, by account file."""

    uid: int
    gid: int
    added: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{NAME} (uid {self.uid})"

    def write_files(self, directory: Path) -> dict[str, Path]:
        """Copies of the account files to be seen by the daemons, by the path they stand in for; none if not needed."""
        copies = {path: directory / Path(path).name for path in self.added}
        for path, copy in copies.items():
            copy.write_bytes(Path(path).read_bytes().rstrip(b"\n") + b"\n" + self.added[path].encode())
        return copies

    def give(self, path: Path) -> None:
        """Makes a file the account's own. Raises `HypervisorUnavailable` where the file system refuses that."""
        try:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        except OSError as error:
            raise HypervisorUnavailable(
                f"cannot change the owner of {path} to {NAME}, the account of QEMU: {error.strerror}",
                "keep the state on a file system of this machine (-S, IECPOD_STATE_DIR)",
            ) from error

    def give_files(self, *directories: Path) -> None:
        """What is in them and is not the account's yet, but for disks that a checkpoint has, too."""
        for path in (path for directory in directories for path in directory.glob("*")):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid != self.uid:
                self.give(path)

    def may_pass(self, directory: Path) -> bool:
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == self.gid else stat.S_IXOTH))

    def find_barriers(self, paths: Iterable[Path]) -> list[Path]:
        """The first directory above each path that the account may not pass through; `paths` are absolute."""
        found = (next((d for d in reversed(path.parents) if not self.may_pass(d)), None) for path in paths)
        return list(dict.fromkeys(barrier for barrier in found if barrier is not None))


def find_account() -> Account:
    """Raises `HypervisorUnavailable` where it can neither be found nor be added."""
    user, group = _find_user(NAME), _find_group(NAME)
    users, groups = "", ""
    if user is None or group is None:
        _check_free()
        uid = gid = _ID
        users, groups = _user_line(NAME, uid, gid), f"{NAME}:x:{gid}:\n"
    else:
        uid, gid = user.pw_uid, group.gr_gid
    if _find_group(_KVM_GROUP) is None:
        groups += f"{_KVM_GROUP}:x:{gid}:\n"  # another name of the account's own group
    if _find_user(_LIBVIRT_DNSMASQ) is None:
        dnsmasq = _find_user(_DNSMASQ)
        ids = (dnsmasq.pw_uid, dnsmasq.pw_gid) if dnsmasq else (_NOBODY, _NOBODY)
        users += _user_line(_LIBVIRT_DNSMASQ, *ids)
    return Account(uid, gid, {path: lines for path, lines in ((_PASSWD, users), (_GROUP, groups)) if lines})


def _check_free() -> None:
    taken: list[str] = []
    with contextlib.suppress(KeyError):
        taken.append(f"user {pwd.getpwuid(_ID).pw_name}")
    with contextlib.suppress(KeyError):
        taken.append(f"group {grp.getgrgid(_ID).gr_name}")
    if taken:
        raise HypervisorUnavailable(
            f"there is no account {NAME} for QEMU to run as, and its number {_ID} is that of {' and '.join(taken)}",
            f"make that account, user and group: adduser --system --group --no-create-home {NAME}",
        )


def _user_line(name: str, uid: int, gid: int) -> str:
    return f"{name}:x:{uid}:{gid}::/nonexistent:/usr/sbin/nologin\n"


def _find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _find_group(name: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def open_up(directory: Path) -> None:
    """Lets everybody pass through, and list nothing more than before."""
    mode = stat.S_IMODE(directory.stat().st_mode)
    if not mode & stat.S_IXOTH:
        directory.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)


def find_kvm() -> tuple[int, int] | None:
    """Major and minor number of the host's KVM device, where it has one."""
    try:
        status = _KVM.stat()
    except OSError:
        return None
    return (os.major(status.st_rdev), os.minor(status.st_rdev)) if stat.S_ISCHR(status.st_mode) else None
