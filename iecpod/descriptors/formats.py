"""The `format` keywords of our schemas, each checked by the parser that reads such a value later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iecpod.descriptors import value_parsers
from iecpod.http.url import check_http_url
from iecpod.hypervisor_uri import parse_described
from iecpod.units import parse_size_bytes, parse_speed_mbps

#: Raises `ValueError` with a sentence for people. Text only, unless the format is one of `FORMATS_OF_SCALARS`.
FORMATS: dict[str, Callable[[Any], object]] = {
    "size": parse_size_bytes,
    "speed": parse_speed_mbps,
    "mac": value_parsers.parse_mac,
    "ipv4": value_parsers.parse_ipv4,
    "ipv4-interface": value_parsers.parse_ipv4_interface,
    "ipv4-range": value_parsers.parse_ip_range,
    "cidr": value_parsers.parse_cidr,
    "vlan": value_parsers.parse_vlan,
    "nic-vlan": value_parsers.check_nic_vlan,
    "uri": value_parsers.check_uri,
    "http-url": check_http_url,
    "libvirt-uri": parse_described,
    "management-address": value_parsers.check_management_address,
    "emails": value_parsers.check_emails,
    "features": value_parsers.check_features,
    "bus-address": value_parsers.check_bus_address,
    "device": value_parsers.check_device_name,
    "bridge": value_parsers.check_bridge_name,
    "host": value_parsers.check_host,
    "installer": value_parsers.check_installer,
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
