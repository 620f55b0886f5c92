"""kcli, measured beside iecpod: the same machines from the same image, from `kcli create plan` until all are usable.

A libvirtd in namespaces of its own, with a NAT network that gives addresses; all of it is below one directory, and ends
with it. kcli has NICs, disks and seeds as it makes them itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iecpod.providers.libvirt.qemu_account import find_account

#: What kcli makes its seeds with; one of them.
_ISO_PROGRAMS = ("genisoimage", "mkisofs", "xorrisofs")
_PROGRAMS = ("kcli", "virsh", "ssh", "ssh-keygen", "nsenter", "unshare")
_LIMIT_SECONDS = 1200.0
#: What a guest calls the NIC of the domain that kcli makes. kcli guesses by the image's name, and waits for `eth0`.
_NIC = "enp3s0"

_QEMU_CONF = 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = [ ]\nnamespaces = [ ]\n'
_LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'
#: Whatever runs in the process namespace ends with its first process, the script, which takes note of what ends there:
#: libvirtd waits for that where it asks QEMU what it can do.
_UNSHARE = ("unshare", "--net", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc")
_DIRECTORIES = ("/etc/libvirt", "/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt")
_NETWORK = """
<network><name>default</name><forward mode="nat"/><bridge name="virbr0"/>
<ip address="192.168.122.1" netmask="255.255.255.0">
<dhcp><range start="192.168.122.2" end="192.168.122.254"/></dhcp>
</ip></network>
"""
_SCRIPT = """
root=$1; shift
mount -t sysfs sysfs /sys
ip link set lo up
for path; do
    [ -e "$path" ] || mkdir -p "$path"
    mount --bind "$root$path" "$path"
done
virtlogd -d
libvirtd -d
echo ready
sleep infinity &
wait
"""


@dataclass(frozen=True)
class Machine:
    vcpus: int
    memory_mib: int


def missing_programs() -> tuple[str, ...]:
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if not any(map(shutil.which, _ISO_PROGRAMS)):
        missing.append(" or ".join(_ISO_PROGRAMS))
    return tuple(missing)


def measure_kcli(directory: Path, image: Path, machines: Mapping[str, Machine]) -> float:
    """Seconds until SSH answers and cloud-init has finished on each. `directory` is empty, and is left to the caller.

    Raises `subprocess.SubprocessError` or `TimeoutError`.
    """
    with _libvirt(directory) as enter:
        home = _prepare(directory, image, machines, enter)
        start = time.monotonic()
        _run([*enter, "env", f"HOME={home}", "kcli", "create", "plan", "-f", str(directory / "plan.yml"), "peer"])
        waiting = set(machines)
        while waiting:
            if time.monotonic() - start > _LIMIT_SECONDS:
                raise TimeoutError(f"kcli's machines were not usable within {_LIMIT_SECONDS:.0f} s: {waiting}")
            waiting -= {name for name in waiting if _is_usable(name, home, enter)}
            time.sleep(1)
        return time.monotonic() - start


def _prepare(directory: Path, image: Path, machines: Mapping[str, Machine], enter: Sequence[str]) -> Path:
    """Network, pool, image and plan; returns kcli's home directory."""
    pool, home = directory / "pool", directory / "home"
    pool.mkdir()
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".kcli").mkdir()
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / ".ssh/id_ed25519")])
    connection = {"type": "kvm", "host": "127.0.0.1", "pool": "default"}
    (home / ".kcli/config.yml").write_text(json.dumps({"default": {"client": "local"}, "local": connection}))
    shutil.copyfile(image, pool / "base.qcow2")
    (directory / "network.xml").write_text(_NETWORK)
    virsh = [*enter, "virsh", "-q", "-c", "qemu:///system"]
    _run([*virsh, "net-define", str(directory / "network.xml")])
    _run([*virsh, "net-start", "default"])
    _run([*virsh, "pool-define-as", "default", "dir", "--target", str(pool)])
    _run([*virsh, "pool-start", "default"])
    common = {"image": "base.qcow2", "nets": [{"name": "default", "nic": _NIC}], "uefi": True, "virttype": "qemu"}
    plan = {
        name: {**common, "numcpus": machine.vcpus, "memory": machine.memory_mib} for name, machine in machines.items()
    }
    (directory / "plan.yml").write_text(json.dumps(plan))
    return home


def _is_usable(name: str, home: Path, enter: Sequence[str]) -> bool:
    listed = subprocess.run(
        [*enter, "virsh", "-q", "-c", "qemu:///system", "domifaddr", name], capture_output=True, text=True, check=False
    )
    address = next((line.split()[3].partition("/")[0] for line in listed.stdout.splitlines() if "ipv4" in line), None)
    if address is None:
        return False
    options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60")
    argv = [*enter, "ssh", "-q", "-i", str(home / ".ssh/id_ed25519"), *options, "-o", "BatchMode=yes"]
    asked = subprocess.run(
        [*argv, f"root@{address}", "test", "-e", "/run/cloud-init/result.json"],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=False,
    )
    return asked.returncode == 0


@contextmanager
def _libvirt(root: Path) -> Iterator[Sequence[str]]:
    """What leads a command to it."""
    for path in _DIRECTORIES:
        (root / path.lstrip("/")).mkdir(parents=True)
    (root / "etc/libvirt/qemu.conf").write_text(_QEMU_CONF)
    (root / "etc/libvirt/libvirtd.conf").write_text(_LIBVIRTD_CONF)
    accounts = find_account().write_files(root / "etc")
    argv = [*_UNSHARE, "--", "sh", "-ec", _SCRIPT, "sh", str(root), *_DIRECTORIES, *accounts]
    holder = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        if holder.stdout is None or holder.stdout.readline() != "ready\n":
            raise subprocess.SubprocessError("libvirtd has not started for kcli")
        (first,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        yield ("nsenter", f"--net=/proc/{first}/ns/net", f"--mount=/proc/{first}/ns/mnt", f"--pid=/proc/{first}/ns/pid")
    finally:
        holder.kill()
        holder.wait()


def _run(argv: Sequence[str]) -> None:
    """What it prints is no result."""
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)
