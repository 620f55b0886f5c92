"""What every `Hypervisor` does: the fake of our tests, libvirt's test driver, and a libvirtd of our own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from iecpod.design.machines import BundleDisk
from iecpod.errors import HostError, ResourceConflict
from iecpod.model import PodRef
from iecpod.providers.libvirt.connection.observed import parse_network
from iecpod.providers.libvirt.objects import Kind, Mark, ObservedResource, Resource
from iecpod.providers.libvirt.plan.drift import set_differently
from iecpod.providers.libvirt.xml import Stamp, pool_resource, render_volume, resource_of
from tests import pods
from tests.contract.hypervisors import Subject, driver_subject, embedded_subject, fake_subject, why_not_embedded

FOREIGN_UUID = "0b7bbf1c-0000-4000-8000-000000000000"


@pytest.fixture(params=["fake", "test-driver", "embedded"])
def subject(request: pytest.FixtureRequest, tmp_path: Path, capabilities_cache: Path) -> Iterator[Subject]:
    if request.param == "fake":
        context = fake_subject(pods.REF, tmp_path)
    elif request.param == "test-driver":
        context = driver_subject(pods.REF, tmp_path)
    else:
        if why_not_embedded():
            pytest.skip(why_not_embedded())
        context = embedded_subject(pods.REF, tmp_path, capabilities_cache)
    with context as made:
        yield made


def admin() -> Resource:
    return resource_of(pods.admin_network(), pods.STAMP)


def pool(subject: Subject) -> Resource:
    return pool_resource(pods.REF, str(subject.directory / "pool"))


def domain(subject: Subject) -> Resource:
    resource = resource_of(pods.domain(directory=subject.directory), pods.STAMP, {"seed": "text"})
    return dataclasses.replace(resource, xml=subject.adapt_domain(resource.xml))


def seen(subject: Subject, kind: Kind) -> list[ObservedResource]:
    return [found for found in subject.hypervisor.observe() if found.kind is kind]


def test_nothing_is_there_at_first(subject: Subject) -> None:
    assert subject.hypervisor.observe() == ()


def test_network_is_defined_started_and_marked(subject: Subject) -> None:
    subject.hypervisor.define(admin())
    (network,) = seen(subject, Kind.NETWORK)
    assert network == ObservedResource(
        kind=Kind.NETWORK,
        name="unit-pod1-admin",
        uuid=admin().uuid,
        mark=Mark(pods.REF, "run1", "2026-01-02T03:04:05Z", admin().digest, installation=pods.INSTALLATION),
        active=True,
        bridge="pxebr",
        cidrs=(IPv4Network("192.168.11.0/24"),),
        autostart=True,
    )


def test_a_trunk_is_a_network_that_the_host_is_not_on(subject: Subject) -> None:
    trunk = dataclasses.replace(pods.private_network(), network=None, cidr=None, bridge="trunk1-0a1b2")
    resource = resource_of(trunk, pods.STAMP)
    subject.hypervisor.define(resource)
    (network,) = seen(subject, Kind.NETWORK)
    assert (network.bridge, network.cidrs, network.active) == ("trunk1-0a1b2", (), True)
    assert set_differently(resource, network) == ()


def test_ours_is_dumped_and_what_is_not_is_refused(subject: Subject) -> None:
    subject.hypervisor.define(admin())
    (network,) = seen(subject, Kind.NETWORK)
    assert parse_network(subject.hypervisor.dump(network), True, autostart=True) == network
    subject.hypervisor.remove(network)
    with pytest.raises(HostError):
        subject.hypervisor.dump(network)
    subject.add_foreign(
        Kind.NETWORK, f"<network><name>{network.name}</name><uuid>{FOREIGN_UUID}</uuid><bridge name='vf0'/></network>"
    )
    with pytest.raises(ResourceConflict):
        subject.hypervisor.dump(network)


def test_isolated_network_without_host(subject: Subject) -> None:
    subject.hypervisor.define(resource_of(pods.private_network(), pods.STAMP))
    (network,) = seen(subject, Kind.NETWORK)
    assert (network.active, network.bridge, network.cidrs) == (True, "internal", ())


def test_stopped_network_is_started_again(subject: Subject) -> None:
    subject.hypervisor.define(admin())
    subject.stop_outside(Kind.NETWORK, admin().name)
    assert not seen(subject, Kind.NETWORK)[0].active
    subject.hypervisor.start(Kind.NETWORK, admin().name)
    subject.hypervisor.start(Kind.NETWORK, admin().name)
    assert seen(subject, Kind.NETWORK)[0].active


def test_domain_is_defined_and_stays_off(subject: Subject) -> None:
    subject.hypervisor.define(domain(subject))
    (found,) = seen(subject, Kind.DOMAIN)
    assert found.mark is not None and found.mark.digest == domain(subject).digest
    assert not found.active
    assert (found.vcpus, found.memory_mib) == (2, 256)
    assert found.macs == tuple(vnic.mac for vnic in pods.domain().vnics)
    assert found.files == (str(subject.directory / "nvram" / "iec01.fd"),)


def test_a_domain_with_the_disk_of_a_bundle_is_no_other_domain(subject: Subject) -> None:
    disk = subject.directory / "bundle.img"
    disk.write_bytes(b"shared")
    desired = dataclasses.replace(pods.domain(directory=subject.directory), bundle_disk=BundleDisk(str(disk), "u-1"))
    resource = resource_of(desired, pods.STAMP, {"seed": "text"})
    subject.hypervisor.define(dataclasses.replace(resource, xml=subject.adapt_domain(resource.xml)))
    (found,) = seen(subject, Kind.DOMAIN)
    assert str(disk) in subject.hypervisor.dump(found)
    assert found.mark is not None and found.mark.digest == domain(subject).digest
    assert set_differently(domain(subject), found) == ("off",)
    subject.hypervisor.remove(found)
    assert subject.hypervisor.observe() == () and disk.read_bytes() == b"shared"


def test_what_was_defined_is_seen_to_be_what_was_wanted(subject: Subject) -> None:
    wanted = (admin(), resource_of(pods.private_network(), pods.STAMP), pool(subject), domain(subject))
    for resource in wanted:
        subject.hypervisor.define(resource)
    found = {found.name: found for found in subject.hypervisor.observe()}
    drift = {resource.name: set_differently(resource, found[resource.name]) for resource in wanted}
    assert drift.pop("unit-pod1-iec01") == ("off",)
    assert set(drift.values()) == {()}
    mark = found["unit-pod1-iec01"].mark
    assert mark is not None and mark.parts == domain(subject).parts != ()


def test_what_others_edit_is_seen(subject: Subject) -> None:
    for resource in (admin(), pool(subject), domain(subject)):
        subject.hypervisor.define(resource)
    name, mac = domain(subject).name, pods.domain().vnics[1].mac

    def edit(xml: str) -> str:
        assert ">2</vcpu>" in xml and mac in xml
        xml = xml.replace(">2</vcpu>", " current='1'>2</vcpu>").replace(mac, "52:54:00:AA:bb:cc")
        return re.sub("<memory unit=.*?</memory>", "<memory unit='MiB'>512</memory>", xml)

    subject.outsider.edit_outside(name, edit)
    subject.outsider.set_autostart_outside(Kind.DOMAIN, name, True)
    subject.outsider.set_autostart_outside(Kind.NETWORK, admin().name, False)
    assert set_differently(domain(subject), seen(subject, Kind.DOMAIN)[0]) == (
        "off",
        "vcpus 1, not 2",
        "memory 512 MiB, not 256 MiB",
        "NIC 52:54:00:aa:bb:cc added",
        f"NIC {mac} missing",
        "autostart on, not off",
    )
    assert set_differently(admin(), seen(subject, Kind.NETWORK)[0]) == ("autostart off, not on",)
    assert seen(subject, Kind.DOMAIN)[0].mark is not None, "the edited domain is still ours"


def test_a_guest_that_stands_still_is_seen(subject: Subject) -> None:
    if subject.stores_files:
        pytest.skip("a guest that runs needs disks here")
    subject.hypervisor.define(domain(subject))
    subject.hypervisor.start(Kind.DOMAIN, domain(subject).name)
    assert set_differently(domain(subject), seen(subject, Kind.DOMAIN)[0]) == ()
    subject.outsider.pause_outside(domain(subject).name)
    (found,) = seen(subject, Kind.DOMAIN)
    assert not found.active and set_differently(domain(subject), found) == ("paused",)
    subject.hypervisor.start(Kind.DOMAIN, domain(subject).name)
    assert set_differently(domain(subject), seen(subject, Kind.DOMAIN)[0]) == ()


def test_defining_again_keeps_one_object(subject: Subject) -> None:
    subject.hypervisor.define(domain(subject))
    subject.hypervisor.define(domain(subject))
    assert len(seen(subject, Kind.DOMAIN)) == 1


def test_volumes_come_replace_and_go_with_their_pool(subject: Subject) -> None:
    subject.hypervisor.define(pool(subject))
    base = subject.directory / "base.img"
    base.write_bytes(bytes(1 << 20))
    overlay = render_volume("iec01.qcow2", 1 << 30, str(base), "raw")
    subject.hypervisor.create_volume(pool(subject).name, overlay)
    subject.hypervisor.create_volume(pool(subject).name, overlay)
    (volume,) = seen(subject, Kind.VOLUME)
    assert (volume.name, volume.mark and volume.mark.ref) == ("iecpod-unit-pod1/iec01.qcow2", pods.REF)
    assert volume.files == (str(subject.directory / "pool" / "iec01.qcow2"),)
    if subject.stores_files:
        assert Path(volume.files[0]).read_bytes()[:4] == b"QFI\xfb"

    subject.hypervisor.remove(seen(subject, Kind.POOL)[0])
    assert subject.hypervisor.observe() == ()
    assert not (subject.directory / "pool").exists()
    assert base.read_bytes() == bytes(1 << 20)


def test_uploaded_volume_holds_the_content(subject: Subject) -> None:
    if not subject.takes_uploads:
        pytest.skip("libvirt's test driver has no volume upload")
    subject.hypervisor.define(pool(subject))
    content = bytes(range(256)) * 2000
    subject.hypervisor.upload_volume(pool(subject).name, "seed.iso", b"an older one, longer" * 100_000)
    subject.hypervisor.upload_volume(pool(subject).name, "seed.iso", content)
    (volume,) = seen(subject, Kind.VOLUME)
    assert volume.name == "iecpod-unit-pod1/seed.iso"
    if subject.stores_files:
        stored = Path(volume.files[0])
        assert stored.read_bytes() == content
        assert stored.stat().st_mode & 0o777 == 0o600


def test_volume_is_removed_alone(subject: Subject) -> None:
    subject.hypervisor.define(pool(subject))
    base = subject.directory / "base.img"
    base.write_bytes(bytes(1 << 20))
    subject.hypervisor.create_volume(pool(subject).name, render_volume("a.qcow2", 1 << 30, str(base), "raw"))
    (volume,) = seen(subject, Kind.VOLUME)
    subject.hypervisor.remove(volume)
    subject.hypervisor.remove(volume)
    assert seen(subject, Kind.VOLUME) == []
    assert seen(subject, Kind.POOL)[0].active


def test_stopped_pool_goes_with_its_volumes(subject: Subject) -> None:
    subject.hypervisor.define(pool(subject))
    base = subject.directory / "base.img"
    base.write_bytes(bytes(1 << 20))
    subject.hypervisor.create_volume(pool(subject).name, render_volume("a.qcow2", 1 << 30, str(base), "raw"))
    subject.stop_outside(Kind.POOL, pool(subject).name)
    subject.hypervisor.remove(seen(subject, Kind.POOL)[0])
    assert subject.hypervisor.observe() == ()
    assert not (subject.directory / "pool").exists()


def test_remove_takes_all_and_is_idempotent(subject: Subject) -> None:
    subject.hypervisor.define(admin())
    subject.hypervisor.define(pool(subject))
    subject.hypervisor.define(domain(subject))
    everything = subject.hypervisor.observe()
    assert {found.kind for found in everything} == {Kind.NETWORK, Kind.POOL, Kind.DOMAIN}
    for found in (*everything, *everything):
        subject.hypervisor.remove(found)
    assert subject.hypervisor.observe() == ()


FOREIGN = {
    Kind.NETWORK: "<network><name>unit-pod1-admin</name><uuid>{}</uuid><bridge name='other0'/></network>",
    Kind.POOL: (
        "<pool type='dir'><name>iecpod-unit-pod1</name><uuid>{}</uuid><target><path>/srv/x</path></target></pool>"
    ),
    Kind.DOMAIN: (
        "<domain type='qemu'><name>unit-pod1-iec01</name><uuid>{}</uuid><memory unit='KiB'>65536</memory>"
        "<vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
    ),
}


def ours(subject: Subject, kind: Kind) -> Resource:
    return {Kind.NETWORK: admin(), Kind.POOL: pool(subject), Kind.DOMAIN: domain(subject)}[kind]


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_object_of_the_same_name_is_shown_and_not_touched(subject: Subject, kind: Kind) -> None:
    subject.add_foreign(kind, subject.adapt_domain(FOREIGN[kind].format(FOREIGN_UUID)))
    before = subject.hypervisor.observe()
    assert [(found.uuid, found.mark) for found in before] == [(FOREIGN_UUID, None)]
    resource = ours(subject, kind)
    with pytest.raises(ResourceConflict, match=resource.name):
        subject.hypervisor.define(resource)
    with pytest.raises(ResourceConflict, match=resource.name):
        subject.hypervisor.start(kind, resource.name)
    with pytest.raises(ResourceConflict, match=resource.name):
        subject.hypervisor.remove(before[0])
    assert subject.hypervisor.observe() == before


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_object_of_the_same_uuid_is_not_taken_over(subject: Subject, kind: Kind) -> None:
    resource = ours(subject, kind)
    foreign = FOREIGN[kind].format(resource.uuid).replace(resource.name, "somebody-elses")
    subject.add_foreign(kind, subject.adapt_domain(foreign))
    with pytest.raises(ResourceConflict, match="somebody-elses"):
        subject.hypervisor.define(resource)
    assert [found.name for found in subject.hypervisor.observe()] == ["somebody-elses"]


def test_object_of_another_pod_is_not_ours(subject: Subject) -> None:
    other = PodRef("unit", "other")
    foreign = resource_of(pods.admin_network(), Stamp(other, "r", "2026-01-01T00:00:00Z", pods.INSTALLATION))
    subject.add_foreign(Kind.NETWORK, foreign.xml)
    (found,) = subject.hypervisor.observe()
    assert found.mark is not None and found.mark.ref == other
    with pytest.raises(ResourceConflict):
        subject.hypervisor.define(admin())
    with pytest.raises(ResourceConflict):
        subject.hypervisor.remove(found)


def test_bridge_of_another_network_is_a_conflict(subject: Subject) -> None:
    subject.add_foreign(Kind.NETWORK, "<network><name>other</name><bridge name='pxebr'/></network>")
    with pytest.raises(ResourceConflict, match="pxebr"):
        subject.hypervisor.define(admin())


def test_starting_what_does_not_exist(subject: Subject) -> None:
    with pytest.raises(HostError, match="unit-pod1-iec01 does not exist"):
        subject.hypervisor.start(Kind.DOMAIN, "unit-pod1-iec01")


def test_volume_of_a_foreign_pool_is_neither_listed_nor_made(subject: Subject) -> None:
    subject.add_foreign(Kind.POOL, FOREIGN[Kind.POOL].format(FOREIGN_UUID))
    with pytest.raises(ResourceConflict):
        subject.hypervisor.create_volume("iecpod-unit-pod1", render_volume("a.qcow2", 1 << 30, "/base", "raw"))
    assert seen(subject, Kind.VOLUME) == []


def test_describe(subject: Subject) -> None:
    facts = subject.hypervisor.describe()
    assert facts.cpus >= 1
    assert facts.memory_mib > 0
    assert facts.libvirt_version.count(".") == 2


@pytest.mark.parametrize("kind", [Kind.NETWORK, Kind.DOMAIN])
def test_a_copy_with_our_metadata_is_shown_and_not_touched(subject: Subject, kind: Kind) -> None:
    """As virt-clone makes one."""
    resource = ours(subject, kind)
    copy = resource.xml.replace(resource.uuid, FOREIGN_UUID).replace("name='pxebr'", "name='other0'")
    subject.add_foreign(kind, re.sub("52:54:00:..:..:..", "52:54:00:00:00:01", copy))
    before = subject.hypervisor.observe()
    assert [(found.uuid, found.mark and found.mark.ref) for found in before] == [(FOREIGN_UUID, pods.REF)]
    acts: tuple[Callable[[], None], ...] = (
        lambda: subject.hypervisor.define(resource),
        lambda: subject.hypervisor.start(kind, resource.name),
        lambda: subject.hypervisor.remove(before[0]),
    )
    for act in acts:
        with pytest.raises(ResourceConflict, match="bears the metadata of this POD"):
            act()
    assert subject.hypervisor.observe() == before


@pytest.mark.parametrize("kind", [Kind.NETWORK, Kind.POOL, Kind.DOMAIN])
def test_the_same_pod_of_another_state_directory_is_not_touched(subject: Subject, kind: Kind) -> None:
    theirs = ours(subject, kind).xml.replace(pods.INSTALLATION, "5c1c2a4e-3f0e-4a57-8c8c-0a4d2f6b9b02")
    elsewhere = subject.directory / "elsewhere" / "pool"
    subject.add_foreign(kind, theirs.replace(str(subject.directory / "pool"), str(elsewhere)))
    before = subject.hypervisor.observe()
    acts: tuple[Callable[[], None], ...] = (
        lambda: subject.hypervisor.define(ours(subject, kind)),
        lambda: subject.hypervisor.remove(before[0]),
    )
    for act in acts:
        with pytest.raises(ResourceConflict, match="from another state directory"):
            act()
    assert subject.hypervisor.observe() == before
