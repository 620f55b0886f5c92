"""The embedded hypervisor for real: namespaces, daemons, a guest without an operating system, and what is left."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import libvirt
import libvirt_qemu
import pytest

from iecpod.design.machines import BundleDisk, Route
from iecpod.errors import HypervisorUnavailable, ResourceConflict
from iecpod.model import Arch, PodRef
from iecpod.options.choices import VirtType
from iecpod.providers.libvirt.connection.host_routes import find_links
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from iecpod.providers.libvirt.objects import Firmware, Kind, Resource, Vnic
from iecpod.providers.libvirt.ports import Hypervisor
from iecpod.providers.libvirt.qemu_account import find_account
from iecpod.providers.libvirt.xml import Stamp, pool_resource, render_volume, resource_of
from tests import pods
from tests.contract.hypervisors import why_not_embedded
from tests.eventually import eventually

pytestmark = pytest.mark.skipif(bool(why_not_embedded()), reason=why_not_embedded())

_LISTENER = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
client, _ = server.accept()
client.sendall(b"inside")
client.close()
"""


def make_host(tmp_path: Path, capabilities_cache: Path | None = None) -> EmbeddedHost:
    """pytest's directories are for root alone: nothing that QEMU needs can be reached by its path."""
    pod_dir = tmp_path / "pod1"
    return EmbeddedHost(
        pod_dir,
        pods.owner(pod_dir=pod_dir),
        capabilities_cache=capabilities_cache,
        shared=(tmp_path / "cache",),
    )


@pytest.fixture
def host(tmp_path: Path, capabilities_cache: Path) -> Iterator[EmbeddedHost]:
    made = make_host(tmp_path, capabilities_cache)
    yield made
    made.stop()
    assert made.leftovers() == ()


@pytest.fixture
def hypervisor(host: EmbeddedHost) -> Iterator[Hypervisor]:
    host.start()
    connection = host.connect()
    yield connection
    with contextlib.suppress(HypervisorUnavailable):  # tests kill the daemon
        connection.close()


def namespace_path(ref: PodRef = pods.REF) -> Path:
    return Path(f"/run/netns/iecpod-{ref.lab}-{ref.pod}")


def find_pids(program: str) -> list[int]:
    """Processes of the POD's namespace by program name."""
    inode = namespace_path().stat().st_ino
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
            if Path(command).name == program and (entry / "ns" / "net").stat().st_ino == inode:
                found.append(int(entry.name))
    return found


def find_daemon() -> int:
    """The one libvirtd. For a moment there may be two: a child that has not become another program yet."""
    assert eventually(lambda: len(find_pids("libvirtd")) == 1), "one libvirtd"
    return find_pids("libvirtd")[0]


def kill(program: str) -> None:
    for pid in find_pids(program):
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not find_pids(program)), f"no {program}"


def start_guest(
    hypervisor: Hypervisor, directory: Path, vnics: tuple[Vnic, ...] = (), bundle_disk: BundleDisk | None = None
) -> Resource:
    """A guest with firmware and an empty disk: enough for NICs, NVRAM and console."""
    pod_dir = directory / "pod1"
    desired = pods.domain(directory=pod_dir)
    base = directory / "cache" / "base.img"
    base.write_bytes(bytes(1 << 20))
    base.chmod(0o444)
    for name in ("nvram", "console"):
        (pod_dir / name).mkdir(mode=0o711)
    pool = pool_resource(pods.REF, str(pod_dir / "pool"))
    desired = dataclasses.replace(desired, vnics=vnics or desired.vnics, bundle_disk=bundle_disk)
    domain = resource_of(desired, pods.STAMP)
    hypervisor.define(resource_of(pods.admin_network(), pods.STAMP))
    hypervisor.define(resource_of(pods.private_network(), pods.STAMP))
    hypervisor.define(pool)
    hypervisor.create_volume(pool.name, render_volume("iec01.qcow2", 1 << 30, str(base), "raw"))
    hypervisor.upload_volume(pool.name, "iec01-seed.iso", bytes(400_000))
    hypervisor.define(domain)
    hypervisor.start(Kind.DOMAIN, domain.name)
    return domain


def is_active(hypervisor: Hypervisor, kind: Kind, name: str) -> bool:
    return next(seen.active for seen in hypervisor.observe() if (seen.kind, seen.name) == (kind, name))


def test_start_again_changes_nothing(host: EmbeddedHost) -> None:
    host.start()
    daemon = find_daemon()
    host.start()
    assert find_daemon() == daemon


def test_nothing_of_it_shows_on_the_host(host: EmbeddedHost, hypervisor: Hypervisor) -> None:
    hypervisor.define(resource_of(pods.admin_network(), pods.STAMP))
    assert host.routes() == (Route(IPv4Network("192.168.11.0/24"), "pxebr", "interface pxebr"),)
    assert hypervisor.describe().bridges == ("pxebr",)
    assert "pxebr" not in {link.name for link in find_links()}
    assert "libvirt" not in Path("/proc/self/mountinfo").read_text()


def test_two_pods_with_the_same_networks(host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path) -> None:
    other_ref = PodRef("unit", "pod2")
    other = EmbeddedHost(tmp_path / "pod2", pods.owner(other_ref, tmp_path))
    hypervisor.define(resource_of(pods.admin_network(), pods.STAMP))
    try:
        other.start()
        second = other.connect()
        assert second.observe() == ()
        stamp = Stamp(other_ref, "r", "2026-01-01T00:00:00Z", pods.INSTALLATION)
        second.define(resource_of(pods.admin_network(other_ref), stamp))
        assert [seen.bridge for seen in second.observe()] == ["pxebr"]
        second.close()
    finally:
        other.stop()
    assert other.leftovers() == ()
    assert is_active(hypervisor, Kind.NETWORK, "unit-pod1-admin")


def test_guest_outlives_libvirtd(host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path) -> None:
    domain = start_guest(hypervisor, tmp_path)
    qemu = find_pids("qemu-system-x86_64")
    kill("libvirtd")
    with pytest.raises(HypervisorUnavailable):
        hypervisor.observe()

    host.start()
    again = host.connect()
    assert find_pids("qemu-system-x86_64") == qemu
    assert is_active(again, Kind.DOMAIN, domain.name)
    assert is_active(again, Kind.NETWORK, "unit-pod1-admin")
    again.close()


def test_a_paused_guest_is_not_running_and_is_resumed(
    host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path
) -> None:
    """As QEMU pauses a guest whose disk takes no more."""
    domain = start_guest(hypervisor, tmp_path)
    connection = libvirt.open(host.uri)
    guest = connection.lookupByName(domain.name)
    guest.suspend()
    assert not is_active(hypervisor, Kind.DOMAIN, domain.name)
    hypervisor.start(Kind.DOMAIN, domain.name)
    assert is_active(hypervisor, Kind.DOMAIN, domain.name)
    assert guest.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    guest.suspend()
    hypervisor.remove(next(seen for seen in hypervisor.observe() if seen.name == domain.name))
    assert find_pids("qemu-system-x86_64") == []
    connection.close()


def find_nic_buses(host: EmbeddedHost, domain: str) -> list[int]:
    """PCI buses of the NICs, as the guest's firmware numbered them, and so as its kernel sees them."""
    connection = libvirt.open(host.uri)
    shown = libvirt_qemu.qemuMonitorCommand(
        connection.lookupByName(domain), "info pci", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
    )
    connection.close()
    return [int(bus) for bus in re.findall(r"Bus +(\d+), device +0, function 0:\s+Ethernet controller", shown)]


def test_console_nics_nvram_and_removal_of_a_guest(host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path) -> None:
    admin = pods.admin_network().name
    four = tuple(dataclasses.replace(pods.vnic(pods.REF, "iec01", i), libvirt_network=admin) for i in range(4))
    domain = start_guest(hypervisor, tmp_path, four)
    pod_dir = tmp_path / "pod1"
    console, nvram = pod_dir / "console" / "iec01.log", pod_dir / "nvram" / "iec01.fd"
    assert eventually(lambda: console.stat().st_size > 0), "firmware speaks on the console"
    assert nvram.stat().st_size > 0
    assert find_nic_buses(host, domain.name) == [1, 2, 3, 4]

    hypervisor.remove(next(seen for seen in hypervisor.observe() if seen.name == domain.name))
    assert not nvram.exists()
    assert find_pids("qemu-system-x86_64") == []
    assert [seen.name for seen in hypervisor.observe() if seen.kind is Kind.DOMAIN] == []


def readers_of(path: Path) -> list[int]:
    """Guests that have the file open."""
    found = []
    for pid in find_pids("qemu-system-x86_64"):
        opened = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
        if str(path) in opened:
            found.append(pid)
    return found


def test_guests_share_the_disk_of_a_bundle_and_start_without_it(hypervisor: Hypervisor, tmp_path: Path) -> None:
    disk = tmp_path / "cache" / "bundle.img"
    disk.write_bytes(bytes(1 << 20))
    disk.chmod(0o444)
    shared = BundleDisk(str(disk), "u-1")
    first = start_guest(hypervisor, tmp_path, bundle_disk=shared)
    other = dataclasses.replace(pods.domain(directory=tmp_path / "pod1", hostname="iec02"), bundle_disk=shared)
    other = dataclasses.replace(other, vnics=(pods.vnic(pods.REF, "iec02", 0),))
    pool = pool_resource(pods.REF, str(tmp_path / "pod1" / "pool")).name
    hypervisor.create_volume(pool, render_volume("iec02.qcow2", 1 << 30, str(tmp_path / "cache" / "base.img"), "raw"))
    hypervisor.upload_volume(pool, "iec02-seed.iso", bytes(400_000))
    second = resource_of(other, pods.STAMP)
    hypervisor.define(second)
    hypervisor.start(Kind.DOMAIN, second.name)
    assert eventually(lambda: len(readers_of(disk)) == 2), "both guests have the disk"

    for domain in (first, second):
        hypervisor.remove(next(seen for seen in hypervisor.observe() if seen.name == domain.name))
    assert disk.read_bytes() == bytes(1 << 20)

    disk.unlink()
    hypervisor.define(second)
    hypervisor.start(Kind.DOMAIN, second.name)
    assert is_active(hypervisor, Kind.DOMAIN, second.name)


def owner_of(path: Path) -> int:
    return path.stat().st_uid


def uids_of(pid: int) -> set[int]:
    """Real, effective, saved and that of the file system."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {int(uid) for line in status.splitlines() if line.startswith("Uid:") for uid in line.split()[1:]}


def test_guests_do_not_run_as_root_and_own_their_disks_alone(hypervisor: Hypervisor, tmp_path: Path) -> None:
    domain = start_guest(hypervisor, tmp_path)
    account, pod_dir = find_account(), tmp_path / "pod1"
    (qemu,) = find_pids("qemu-system-x86_64")
    assert uids_of(qemu) == {account.uid} and account.uid != 0
    assert Path(f"/proc/{qemu}/status").read_text().count("CapEff:\t0000000000000000") == 1
    theirs = [pod_dir / "pool" / "iec01.qcow2", pod_dir / "pool" / "iec01-seed.iso", pod_dir / "nvram" / "iec01.fd"]
    assert [(owner_of(path), path.stat().st_mode & 0o777) for path in theirs] == [(account.uid, 0o600)] * 3
    others = [tmp_path / "cache" / "base.img", pod_dir / "console" / "iec01.log", pod_dir, pod_dir / "pool"]
    assert [owner_of(path) for path in others] == [0] * 4
    opened = {str(entry.readlink()) for entry in Path(f"/proc/{qemu}/fd").iterdir()}
    assert str(tmp_path / "cache" / "base.img") in opened, "its disk rests on it"
    assert tmp_path.parent.stat().st_mode & 0o011 == 0, "the host's own directories stay closed"
    assert is_active(hypervisor, Kind.DOMAIN, domain.name)


@pytest.mark.skipif(not os.access("/dev/kvm", os.W_OK), reason="no KVM here")
def test_qemu_has_a_kvm_device_of_its_own(host: EmbeddedHost, hypervisor: Hypervisor) -> None:
    look = ["nsenter", "--mount", "--target", str(find_daemon()), "stat", "--format=%u %a %t:%T", "/dev/kvm"]
    before = Path("/dev/kvm").stat()
    assert subprocess.check_output(look, text=True) == f"{find_account().uid} 600 a:e8\n"
    assert hypervisor.describe().emulators[Arch.of_this_machine()].kvm
    assert Path("/dev/kvm").stat() == before


def test_a_pod_of_an_earlier_version_runs_without_root_from_the_next_start_of_a_guest(
    host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path
) -> None:
    domain = start_guest(hypervisor, tmp_path)
    hypervisor.close()
    daemon = find_daemon()
    files = [*(tmp_path / "pod1" / "pool").iterdir(), *(tmp_path / "pod1" / "nvram").iterdir()]
    for path in files:
        os.chown(path, 0, 0)
    configuration = tmp_path / "pod1" / "libvirt" / "etc" / "qemu.conf"
    configuration.write_text(configuration.read_text().replace("libvirt-qemu", "root"))
    (qemu,) = find_pids("qemu-system-x86_64")

    host.start()
    assert find_daemon() != daemon and find_pids("qemu-system-x86_64") == [qemu]
    assert {owner_of(path) for path in files} == {find_account().uid}
    again = host.connect()
    assert is_active(again, Kind.DOMAIN, domain.name)
    kill("qemu-system-x86_64")
    assert eventually(lambda: not is_active(again, Kind.DOMAIN, domain.name)), "the guest is off"
    again.start(Kind.DOMAIN, domain.name)
    assert uids_of(*find_pids("qemu-system-x86_64")) == {find_account().uid}
    again.close()


def test_virtlogd_is_started_again(host: EmbeddedHost, hypervisor: Hypervisor) -> None:
    assert eventually(lambda: len(find_pids("virtlogd")) == 1), "one virtlogd"
    kill("virtlogd")
    host.start()
    assert eventually(lambda: len(find_pids("virtlogd")) == 1), "one virtlogd"


def test_stop_ends_running_guests(host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path) -> None:
    start_guest(hypervisor, tmp_path)
    assert {left.split()[0] for left in host.leftovers()} == {"process", "namespace", "directory"}
    began = time.monotonic()
    host.stop()
    assert time.monotonic() - began < 10
    assert host.leftovers() == ()
    assert not namespace_path().exists()
    assert not (tmp_path / "pod1" / "libvirt").exists()


def test_lost_name_of_the_namespace(host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path) -> None:
    domain = start_guest(hypervisor, tmp_path)
    subprocess.run(["ip", "netns", "del", namespace_path().name], check=True)
    assert any("qemu" in left for left in host.leftovers())
    host.start()
    again = host.connect()
    assert is_active(again, Kind.DOMAIN, domain.name)
    assert host.routes()[0].device == "pxebr"
    again.close()


def test_reboot_is_survived(host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path) -> None:
    """All processes and the namespace gone, all files still there."""
    domain = start_guest(hypervisor, tmp_path)
    for program in ("libvirtd", "virtlogd", "qemu-system-x86_64", "dnsmasq"):
        kill(program)
    subprocess.run(["ip", "netns", "del", namespace_path().name], check=True)
    host.start()
    again = host.connect()
    assert not is_active(again, Kind.DOMAIN, domain.name)
    assert is_active(again, Kind.NETWORK, "unit-pod1-admin")
    again.start(Kind.DOMAIN, domain.name)
    assert is_active(again, Kind.DOMAIN, domain.name)
    again.close()


def test_name_without_namespace_is_no_obstacle(host: EmbeddedHost) -> None:
    """`ip netns` killed at the wrong moment leaves the empty file it would have mounted on."""
    namespace_path().parent.mkdir(exist_ok=True)
    namespace_path().touch()
    host.start()
    find_daemon()


def test_namespace_of_somebody_else(host: EmbeddedHost, tmp_path: Path) -> None:
    name = namespace_path().name
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with pytest.raises(ResourceConflict, match=name):
            host.start()
        assert host.leftovers() == ()
        host.stop()
        assert namespace_path().exists()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_namespace_of_another_state_directory(host: EmbeddedHost, hypervisor: Hypervisor, tmp_path: Path) -> None:
    second = EmbeddedHost(tmp_path / "elsewhere", pods.owner(pod_dir=tmp_path))
    with pytest.raises(ResourceConflict, match=str(tmp_path / "pod1")):
        second.start()
    second.stop()
    assert hypervisor.observe() == ()


def test_open_socket_reaches_into_the_namespace(host: EmbeddedHost) -> None:
    host.start()
    command = [*host.command_prefix, sys.executable, "-c", _LISTENER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        port = int(listener.stdout.readline())
        inode = Path("/proc/thread-self/ns/net").stat().st_ino
        with host.open_socket("127.0.0.1", port, 5.0) as client:
            assert client.recv(16) == b"inside"
    assert Path("/proc/thread-self/ns/net").stat().st_ino == inode
    with pytest.raises(OSError):
        host.open_socket("127.0.0.1", port, 1.0)


def test_failed_start_shows_the_log(host: EmbeddedHost, tmp_path: Path) -> None:
    """A directory in place of the socket: libvirtd cannot listen."""
    host.start()
    kill("libvirtd")
    socket = tmp_path / "pod1" / "libvirt" / "run" / "libvirt-sock"
    socket.unlink()
    socket.mkdir()
    with pytest.raises(HypervisorUnavailable, match="libvirt-sock") as caught:
        host.start()
    assert "libvirtd.log" in caught.value.remedy
    socket.rmdir()


def test_paths_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(HypervisorUnavailable, match="at most 107"):
        EmbeddedHost(tmp_path / ("x" * 100), pods.owner()).start()
    with pytest.raises(HypervisorUnavailable, match="/var/lib/libvirt"):
        EmbeddedHost(Path("/var/lib/libvirt/pods"), pods.owner()).start()


def test_domains_of_every_kind_are_valid_for_libvirt(hypervisor: Hypervisor) -> None:
    facts = hypervisor.describe()
    base = pods.domain()
    four = tuple(pods.vnic(pods.REF, "iec01", index, host_bridge="br0" if index == 3 else None) for index in range(4))
    variants = [dataclasses.replace(base, vnics=four)]
    variants.append(dataclasses.replace(base, bundle_disk=BundleDisk("/cache/bundle.img", "u-1")))
    if facts.emulators[Arch.X86_64].kvm:
        variants.append(dataclasses.replace(base, virt_type=VirtType.KVM))
    if Arch.AARCH64 in facts.emulators:
        emulator = facts.emulators[Arch.AARCH64]
        firmware = emulator.firmware or Firmware("/code.fd", "/vars.fd")
        variants.append(
            dataclasses.replace(
                base, arch=Arch.AARCH64, emulator=emulator.path, machine=emulator.machine, firmware=firmware
            )
        )
    for variant in variants:
        hypervisor.define(resource_of(variant, pods.STAMP))


def test_only_root(host: EmbeddedHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(HypervisorUnavailable, match="needs root") as caught:
            host.start()
    assert "sudo" in caught.value.remedy
    assert not namespace_path().exists()
