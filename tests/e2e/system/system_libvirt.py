"""A libvirt as a host runs it for everybody (`qemu:///system`), in network and mount namespaces of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iecpod.providers.libvirt.qemu_account import find_account

#: As distributions set it, but for what needs systemd or AppArmor: QEMU has an account of its own, which is given the
#: files of a guest when it starts.
_QEMU_CONF = """
user = "libvirt-qemu"
group = "libvirt-qemu"
dynamic_ownership = 1
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
"""
_LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'
#: Whatever runs in the process namespace ends with its first process, the script, which takes note of what ends there:
#: libvirtd waits for that where it asks QEMU what it can do.
_UNSHARE = ("unshare", "--net", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc")
_DIRECTORIES = ("/etc/libvirt", "/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt")

# Arguments: the directory that holds all of it, the account files. /sys is that of the new network namespace.
_SCRIPT = """
root=$1
mount -t sysfs sysfs /sys
ip link set lo up
for directory in $DIRECTORIES; do
    [ -e "$directory" ] || mkdir -p "$directory"
    mount --bind "$root$directory" "$directory"
done
for file in /etc/passwd /etc/group; do
    [ ! -e "$root$file" ] || mount --bind "$root$file" "$file"
done
virtlogd -d
libvirtd -d
echo ready
sleep infinity &
wait
"""


@dataclass(frozen=True)
class SystemLibvirt:
    """`holder` is a process in its namespaces."""

    root: Path
    holder: int

    @property
    def prefix(self) -> tuple[str, ...]:
        """Leads a command there."""
        kinds = {"net": "net", "mount": "mnt", "pid": "pid"}
        return ("nsenter", *(f"--{kind}=/proc/{self.holder}/ns/{file}" for kind, file in kinds.items()), "--")

    def run(self, *argv: str) -> str:
        return subprocess.run([*self.prefix, *argv], capture_output=True, text=True, check=True).stdout

    def virsh(self, *arguments: str) -> str:
        return self.run("virsh", "-c", "qemu:///system", *arguments)

    def objects(self) -> dict[str, set[str]]:
        """Names by kind: everything that libvirt has on record, whoever made it."""
        listings = {"domains": "list", "networks": "net-list", "pools": "pool-list"}
        return {kind: set(self.virsh(verb, "--all", "--name").split()) for kind, verb in listings.items()}

    def links(self) -> set[str]:
        return {line.split()[0] for line in self.run("ip", "-brief", "link").splitlines()}


@contextmanager
def system_libvirt(root: Path) -> Iterator[SystemLibvirt]:
    for directory in _DIRECTORIES:
        (root / directory.lstrip("/")).mkdir(parents=True)
    (root / "etc/libvirt/qemu.conf").write_text(_QEMU_CONF)
    (root / "etc/libvirt/libvirtd.conf").write_text(_LIBVIRTD_CONF)
    find_account().write_files(root / "etc")
    argv = [*_UNSHARE, "--", "sh", "-ec", _SCRIPT, "sh", str(root)]
    environ = {**os.environ, "DIRECTORIES": " ".join(_DIRECTORIES)}
    holder = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "ready\n", "libvirtd has not started"
        (first,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        yield SystemLibvirt(root, int(first))
    finally:
        holder.kill()
        holder.wait()
