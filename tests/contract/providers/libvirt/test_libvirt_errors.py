"""libvirt's failures as people see them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import libvirt
import pytest

from iecpod.errors import HypervisorUnavailable, UsageError
from iecpod.hypervisor_uri import HypervisorUri
from iecpod.providers.libvirt.connection.hypervisor import LibvirtHypervisor
from iecpod.providers.libvirt.connection.system import SystemHost
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.xml import resource_of
from tests import pods
from tests.contract.hypervisors import driver_subject


def test_no_daemon_behind_the_socket(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/none"  # as of an embedded libvirtd
    with pytest.raises(HypervisorUnavailable, match="No such file or directory") as caught:
        LibvirtHypervisor.open(uri, pods.owner(), lambda: ())
    assert "-c embedded" in caught.value.remedy
    assert capfd.readouterr().err == ""  # libvirt prints its errors unless an error handler is set


def test_unknown_driver() -> None:
    with pytest.raises(HypervisorUnavailable):
        LibvirtHypervisor.open("nosuch:///system", pods.owner(), lambda: ())


def test_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match="not supported yet"):
        SystemHost(HypervisorUri("qemu+ssh://root@lab7/system"), pods.owner())


@pytest.mark.parametrize("kind", [Kind.NETWORK, Kind.DOMAIN])
def test_misspelt_xml_is_a_bug_and_goes_through(tmp_path: Path, kind: Kind) -> None:
    with driver_subject(pods.REF, tmp_path) as subject:
        desired = pods.admin_network() if kind is Kind.NETWORK else pods.domain()
        resource = resource_of(desired, pods.STAMP)
        xml = subject.adapt_domain(resource.xml).replace("<metadata>", "<vcpuz>2</vcpuz><metadata>")
        with pytest.raises(libvirt.libvirtError) as caught:
            subject.hypervisor.define(dataclasses.replace(resource, xml=xml))
        assert caught.value.get_error_code() == libvirt.VIR_ERR_XML_INVALID_SCHEMA
        assert subject.hypervisor.observe() == ()


def test_system_host_adds_nothing_and_leaves_nothing() -> None:
    host = SystemHost(HypervisorUri("test:///default"), pods.owner())
    host.start()
    hypervisor = host.connect()
    assert isinstance(hypervisor, LibvirtHypervisor)
    hypervisor.define(resource_of(pods.admin_network(), pods.STAMP))
    hypervisor.close()
    host.stop()
    assert (host.command_prefix, host.leftovers()) == ((), ())
