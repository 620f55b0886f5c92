"""The `format` keywords of our schemas, each checked by the parser that reads such a value later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iecpod.descriptors import values
from iecpod.http_url import check_http_url
from iecpod.hypervisor_uri import parse_described
from iecpod.units import parse_size_bytes, parse_speed_mbps

#: Raises `ValueError` with a sentence for people. Text only, unless the format is one of `FORMATS_OF_SCALARS`.
FORMATS: dict[str, Callable[[Any], object]] = {
    "size": parse_size_bytes,
    "speed": parse_speed_mbps,
    "mac": values.parse_mac,
    "ipv4": values.parse_ipv4,
    "ipv4-interface": values.parse_ipv4_interface,
    "ipv4-range": values.parse_ip_range,
    "cidr": values.parse_cidr,
    "vlan": values.parse_vlan,
    "nic-vlan": values.check_nic_vlan,
    "uri": values.check_uri,
    "http-url": check_http_url,
    "libvirt-uri": parse_described,
    "management-address": values.check_management_address,
    "emails": values.check_emails,
    "features": values.check_features,
    "bus-address": values.check_bus_address,
    "device": values.check_device_name,
    "bridge": values.check_bridge_name,
    "host": values.check_host,
}

#: Formats of values that may be text or a number.
FORMATS_OF_SCALARS = frozenset(("vlan", "nic-vlan"))


def check_format(name: str, value: object) -> str | None:
    """Why `value` does not have the format, or None; unknown formats and values of other types always have it."""
    check = FORMATS.get(name)
    wanted = (str, int) if name in FORMATS_OF_SCALARS else (str,)
    if check is None or not isinstance(value, wanted) or isinstance(value, bool):
        return None
    try:
        check(value)
    except ValueError as error:
        return str(error)
    return None
