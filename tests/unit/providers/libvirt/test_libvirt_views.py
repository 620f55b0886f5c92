"""libvirt's XML read back, and what its capabilities say."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from iecpod.model import Arch, PodRef
from iecpod.providers.libvirt.connection.facts import find_firmware, parse_emulator
from iecpod.providers.libvirt.connection.observed import parse_domain, parse_network, parse_pool
from iecpod.providers.libvirt.objects import Emulator, Firmware, Mark
from iecpod.providers.libvirt.xml import pool_resource, resource_of
from tests import pods

CAPABILITIES = """
<domainCapabilities>
  <path>/usr/bin/qemu-system-x86_64</path>
  <domain>{domain}</domain>
  <machine>pc-q35-7.2</machine>
  <arch>x86_64</arch>
  <os supported='yes'>
    <enum name='firmware'><value>efi</value></enum>
    <loader supported='yes'>
      <value>/opt/fw/X_CODE.fd</value>
      <enum name='type'><value>rom</value><value>pflash</value></enum>
    </loader>
  </os>
</domainCapabilities>
"""


@pytest.mark.parametrize(("domain", "kvm"), [("kvm", True), ("qemu", False)])
def test_emulator(domain: str, kvm: bool) -> None:
    files = {"/opt/fw/X_CODE.fd", "/opt/fw/X_VARS.fd"}
    seen = parse_emulator(Arch.X86_64, CAPABILITIES.format(domain=domain), files.__contains__)
    firmware = Firmware("/opt/fw/X_CODE.fd", "/opt/fw/X_VARS.fd")
    assert seen == Emulator("/usr/bin/qemu-system-x86_64", "q35", kvm, firmware)


@pytest.mark.parametrize(
    ("arch", "loaders", "files", "expected"),
    [
        (
            Arch.X86_64,
            (),
            {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd"},
            Firmware("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ),
        (
            Arch.X86_64,
            (),
            {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
            Firmware("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ),
        (
            Arch.AARCH64,
            ("/opt/fw/MY_CODE.secboot.fd", "/opt/fw/MY_CODE.fd"),
            {"/opt/fw/MY_CODE.secboot.fd", "/opt/fw/MY_VARS.secboot.fd", "/opt/fw/MY_CODE.fd", "/opt/fw/MY_VARS.fd"},
            Firmware("/opt/fw/MY_CODE.fd", "/opt/fw/MY_VARS.fd"),
        ),
        (Arch.AARCH64, ("/opt/fw/MY_CODE.fd",), {"/opt/fw/MY_CODE.fd"}, None),
    ],
)
def test_firmware_needs_both_files(
    arch: Arch, loaders: tuple[str, ...], files: set[str], expected: Firmware | None
) -> None:
    assert find_firmware(arch, loaders, files.__contains__) == expected


def test_what_we_rendered_is_read_back() -> None:
    resource = resource_of(pods.domain(), pods.STAMP)
    seen = parse_domain(resource.xml, True)
    assert (seen.name, seen.uuid, seen.vcpus, seen.memory_mib) == (resource.name, resource.uuid, 2, 256)
    assert seen.mark == Mark(pods.REF, "run1", "2026-01-02T03:04:05Z", resource.digest, installation=pods.INSTALLATION)
    assert seen.macs == tuple(vnic.mac for vnic in pods.domain().vnics)
    assert seen.files == (pods.domain().nvram_path,)


def test_memory_in_libvirts_unit() -> None:
    assert parse_domain("<domain><memory unit='KiB'>1048576</memory></domain>", False).memory_mib == 1024


def test_foreign_metadata_is_no_mark() -> None:
    other = "<metadata><pod xmlns='https://example.org/pod' lab='unit' pod='pod1'/></metadata>"
    ours_but_empty = "<metadata><pod xmlns='https://iecpod.akraino.org/xmlns/pod/1.0' lab='unit'/></metadata>"
    for metadata in ("", other, ours_but_empty):
        assert parse_network(f"<network><name>x</name>{metadata}</network>", False).mark is None


@pytest.mark.parametrize(
    ("ip", "cidr"),
    [
        ("address='10.1.2.3' prefix='24'", "10.1.2.0/24"),
        ("address='10.1.2.3' netmask='255.255.0.0'", "10.1.0.0/16"),
        ("address='10.1.2.3'", "10.0.0.0/8"),
        ("address='192.168.1.1'", "192.168.1.0/24"),
    ],
)
def test_network_cidrs(ip: str, cidr: str) -> None:
    ipv6 = "<ip family='ipv6' address='fd00::1' prefix='64'/>"
    text = f"<network><name>x</name><bridge name='b0'/><ip {ip}/>{ipv6}</network>"
    seen = parse_network(text, True)
    assert (seen.cidrs, seen.bridge) == ((IPv4Network(cidr),), "b0")


def test_pool_is_ours_by_name_uuid_and_directory(tmp_path: Path) -> None:
    owner = pods.owner(pod_dir=tmp_path / "pod1")
    ours = pool_resource(pods.REF, str(tmp_path / "pod1" / "pool"))
    assert parse_pool(ours.xml, True, owner).mark == Mark(pods.REF, "", "", "", installation=pods.INSTALLATION)
    assert parse_pool(ours.xml, True, pods.owner(PodRef("unit", "pod2"), tmp_path / "pod1")).mark is None
    assert parse_pool(ours.xml.replace(ours.uuid, "0b7bbf1c-0000-4000-8000-000000000000"), True, owner).mark is None
    assert parse_pool(ours.xml.replace("/pod1/pool", "/elsewhere/pool"), True, owner).mark is None


def test_a_pool_is_ours_by_whichever_name_its_directory_goes(tmp_path: Path) -> None:
    (tmp_path / "real" / "pool").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    pool = pool_resource(pods.REF, str(tmp_path / "real" / "pool"))
    assert parse_pool(pool.xml, True, pods.owner(pod_dir=tmp_path / "link")).mark is not None


def test_an_installation_that_is_no_uuid_is_none_of_iecpods() -> None:
    xml = resource_of(pods.domain(), pods.STAMP).xml
    assert parse_domain(xml.replace(pods.INSTALLATION, "\x9b2J, the lab of somebody"), True).mark is None


def test_the_disks_of_a_domain_are_seen() -> None:
    seen = parse_domain(resource_of(pods.domain(), pods.STAMP).xml, True)
    assert seen.disks == ("/var/lib/iecpod/unit/pod1/pool/iec01.qcow2", "/var/lib/iecpod/unit/pod1/pool/iec01-seed.iso")
