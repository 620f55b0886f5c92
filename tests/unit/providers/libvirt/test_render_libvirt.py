"""libvirt XML against golden files, and the digest that distinguishes drift from noise.

That libvirt takes this XML, validated against its schemas, is seen in tests/contract.

To rewrite the golden files: `IECPOD_WRITE_GOLDEN=1 pytest tests/unit/providers/libvirt/test_render_libvirt.py`.
"""

from __future__ import annotations

import dataclasses
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from iecpod.design.machines import BundleDisk
from iecpod.model import VIRTUAL_NETWORKS, Arch
from iecpod.options.choices import VirtType
from iecpod.providers.libvirt import xml as render
from iecpod.providers.libvirt.objects import DesiredDomain, Firmware, Kind, Mark
from tests import pods

GOLDEN = Path(__file__).parents[2] / "golden" / "libvirt"
MARK = Mark(pods.REF, "run1", "2026-01-02T03:04:05Z", "d1ge57", installation=pods.INSTALLATION)


def four_nics(domain: DesiredDomain) -> DesiredDomain:
    """All four, the last one on a bridge of the lab."""
    vnics = [pods.vnic(pods.REF, "iec01", index) for index in range(3)]
    vnics.append(pods.vnic(pods.REF, "iec01", 3, host_bridge="br-lab"))
    return dataclasses.replace(domain, vnics=tuple(vnics))


def kvm_domain() -> DesiredDomain:
    return four_nics(dataclasses.replace(pods.domain(), virt_type=VirtType.KVM))


def aarch64_domain() -> DesiredDomain:
    return dataclasses.replace(
        pods.domain(),
        arch=Arch.AARCH64,
        emulator="/usr/bin/qemu-system-aarch64",
        machine="virt",
        firmware=Firmware("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    )


def bundle_disk_domain() -> DesiredDomain:
    return dataclasses.replace(pods.domain(), bundle_disk=BundleDisk("/cache/bundle-disks/k3y/bundle.img", "u-1"))


def disposable_domain() -> DesiredDomain:
    return dataclasses.replace(pods.domain(), disposable=True)


RENDERED = {
    "network-nat-dhcp": lambda: render.render_network(pods.admin_network(), MARK),
    "network-isolated": lambda: render.render_network(pods.private_network(), MARK),
    "pool": lambda: render.render_pool("iecpod-unit-pod1", "u-1", "/var/lib/iecpod/unit/pod1/pool"),
    "volume-overlay": lambda: render.render_volume("iec01.qcow2", 1 << 30, "/cache/b.img", "qcow2"),
    "volume-raw": lambda: render.render_raw_volume("iec01-seed.iso", 378880),
    "domain-x86_64-qemu": lambda: render.render_domain(pods.domain(), MARK),
    "domain-x86_64-kvm-four-nics": lambda: render.render_domain(kvm_domain(), MARK),
    "domain-x86_64-qemu-bundle-disk": lambda: render.render_domain(bundle_disk_domain(), MARK),
    "domain-x86_64-qemu-disposable": lambda: render.render_domain(disposable_domain(), MARK),
    "domain-aarch64-qemu": lambda: render.render_domain(aarch64_domain(), MARK),
}


@pytest.mark.parametrize("name", RENDERED)
def test_golden(name: str) -> None:
    text = RENDERED[name]()
    golden = GOLDEN / f"{name}.xml"
    if os.environ.get("IECPOD_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_nics_sit_on_buses_1_to_4_and_disks_after_them() -> None:
    devices = ElementTree.fromstring(render.render_domain(kvm_domain())).find("devices")
    assert devices is not None

    def buses(kind: str) -> list[str]:
        return [address.get("bus", "") for address in devices.findall(f"{kind}/address")]

    assert buses("interface") == ["0x01", "0x02", "0x03", "0x04"]
    assert buses("disk") == ["0x05", "0x06"]
    ports = [port for port in devices.findall("controller") if port.get("model") == "pcie-root-port"]
    used = {int(bus, 16) for bus in buses("interface") + buses("disk") + buses("rng")}
    assert {int(port.get("index", "")) for port in ports} == used


def test_the_disk_of_the_bundle_comes_last() -> None:
    devices = ElementTree.fromstring(render.render_domain(bundle_disk_domain())).find("devices")
    assert devices is not None
    buses = [device.get("bus", "") for device in devices.findall("*/address") if device.get("bus") != "0x00"]
    ports = [port.get("index") for port in devices.findall("controller") if port.get("model") == "pcie-root-port"]
    assert sorted(int(bus, 16) for bus in buses) == sorted(map(int, filter(None, ports))) == [1, 2, 3, 4, 5, 6]
    disk = devices.findall("disk")[-1]
    assert disk.find("address").get("bus") == "0x06"  # type: ignore[union-attr]
    assert disk.find("readonly") is not None and disk.find("shareable") is not None


def test_every_root_port_has_an_address_of_its_own_beyond_eight() -> None:
    vnics = tuple(
        dataclasses.replace(pods.vnic(pods.REF, "iec01", 0), mac=f"52:54:00:00:00:{n:02x}", bus=n + 1)
        for n in range(10)
    )
    text = render.render_domain(dataclasses.replace(pods.domain(), vnics=vnics))
    addresses = [
        (address.get("slot"), address.get("function"), address.get("multifunction"))
        for address in ElementTree.fromstring(text).findall("devices/controller/address")
    ]
    assert len({address[:2] for address in addresses}) == 13
    assert addresses[0] == ("0x01", "0x0", "on")
    assert addresses[7] == ("0x01", "0x7", None)
    assert addresses[8] == ("0x02", "0x0", "on")


@pytest.mark.parametrize(("disposable", "cache"), [(True, "unsafe"), (False, "writeback")])
def test_flushes_are_ignored_where_the_pod_is_disposable_alone(disposable: bool, cache: str) -> None:
    domain = dataclasses.replace(bundle_disk_domain(), disposable=disposable)
    drivers = ElementTree.fromstring(render.render_domain(domain)).findall("devices/disk/driver")
    assert [driver.get("cache") for driver in drivers] == [cache, cache, None], "that of the bundle is only read"


def test_values_are_escaped() -> None:
    domain = dataclasses.replace(pods.domain(), pool_path="/srv/R&D <lab>")
    root = ElementTree.fromstring(render.render_domain(domain))
    source = root.find("devices/disk/source")
    assert source is not None and source.get("file") == "/srv/R&D <lab>/iec01.qcow2"


def test_digest_is_of_the_xml_without_mark() -> None:
    first = render.resource_of(pods.domain(), pods.STAMP, {"image": "a", "seed": "b"})
    later = render.Stamp(pods.REF, "run2", "2027-01-01T00:00:00Z", pods.INSTALLATION)
    second = render.resource_of(pods.domain(), later, {"image": "a", "seed": "b"})
    assert first.digest == second.digest
    assert first.xml != second.xml
    assert first.digest in first.xml


def test_digest_changes_with_every_input() -> None:
    def digest(domain: DesiredDomain, *inputs: str) -> str:
        return render.resource_of(domain, pods.STAMP, dict(zip(("image", "seed"), inputs, strict=False))).digest

    base = pods.domain()
    digests = [
        digest(base, "image", "seed"),
        digest(base, "image2", "seed"),
        digest(base, "image", "seed2"),
        digest(base, "images", "eed"),
        digest(base, "image"),
        digest(dataclasses.replace(base, memory_mib=257), "image", "seed"),
    ]
    assert len(set(digests)) == len(digests)


def test_the_disk_of_the_bundle_makes_no_other_machine() -> None:
    """Once the bundle is installed, the disk is of no use, and where it is not, there is SSH."""
    with_disk = render.resource_of(bundle_disk_domain(), pods.STAMP, {"image": "a"})
    without = render.resource_of(pods.domain(), pods.STAMP, {"image": "a"})
    assert (with_disk.digest, with_disk.parts) == (without.digest, without.parts)
    assert "/cache/bundle-disks/k3y/bundle.img" in with_disk.xml and "bundle.img" not in without.xml


def test_resource_carries_what_it_names() -> None:
    network = render.resource_of(pods.admin_network(), pods.STAMP)
    assert (network.kind, network.name) == (Kind.NETWORK, "unit-pod1-admin")
    pool = render.pool_resource(pods.REF, "/p")
    assert (pool.kind, pool.name) == (Kind.POOL, "iecpod-unit-pod1")
    assert pool.digest != render.pool_resource(pods.REF, "/q").digest
    assert len(VIRTUAL_NETWORKS) == 4
