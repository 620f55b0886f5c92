"""Which ranges libvirt gives out by DHCP: asked of its test driver."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import libvirt
import pytest

from iecpod.descriptors.addresses.dhcp_range import is_too_wide
from iecpod.providers.libvirt.connection.errors import silence_libvirt
from iecpod.providers.libvirt.xml import resource_of
from tests import pods


@pytest.fixture
def connection() -> Iterator[Any]:
    silence_libvirt()
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("10.0.0.3", "10.1.255.254"),
        ("10.0.255.0", "10.1.0.50"),
        ("10.0.0.3", "10.0.255.255"),
        ("10.1.0.0", "10.1.255.254"),
        ("10.0.0.3", "10.0.0.3"),
    ],
)
def test_libvirt_takes_what_is_not_too_wide(connection: Any, first: str, last: str) -> None:
    network = dataclasses.replace(
        pods.admin_network(),
        cidr=IPv4Network("10.0.0.0/15"),
        host_address=IPv4Address("10.0.0.2"),
        dhcp_range=(IPv4Address(first), IPv4Address(last)),
    )
    assert network.dhcp_range is not None
    try:
        connection.networkDefineXMLFlags(resource_of(network, pods.STAMP).xml, libvirt.VIR_NETWORK_DEFINE_VALIDATE)
        refused = False
    except libvirt.libvirtError as error:
        assert "is too large" in str(error)
        refused = True
    assert refused is is_too_wide(network.dhcp_range)
