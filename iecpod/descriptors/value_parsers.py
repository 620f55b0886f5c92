"""Single values of descriptors: text or number to a typed value, or `ValueError` with a sentence for people."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from urllib.parse import urlsplit

from iecpod.hypervisor_uri import parse_described
from iecpod.units import shorten

ZERO_MAC = "00:00:00:00:00:00"
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\Z")
_VLAN_RANGE = re.compile(r"([0-9]{1,5})\s*-\s*([0-9]{1,5})\Z")
_PCI_ADDRESS = re.compile(r"(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-1][0-9a-fA-F]\.[0-7]\Z")
_OTHER_BUS_ADDRESS = re.compile(r"(?:usb-\S{1,60}|[^\s:.]{1,40}\.[^\s:]{1,20})\Z")
_INSTALLERS = ("apex", "compass4nfv", "daisy", "fuel", "joid", "osa", "kubespray", "iecpod")
_DEVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}\Z")
_BRIDGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\Z")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_EMAIL = re.compile(r"[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+\Z")
_FIRST_VLAN, _LAST_VLAN = 1, 4094
#: IANA's special-purpose networks in which no machine has its address, and what they are.
SPECIAL_NETWORKS = (
    (IPv4Network("0.0.0.0/8"), "this host (RFC 1122)"),
    (IPv4Network("127.0.0.0/8"), "loopback addresses"),
    (IPv4Network("169.254.0.0/16"), "link-local addresses"),
    (IPv4Network("224.0.0.0/3"), "multicast and reserved addresses"),
)


def is_number(text: str, max_digits: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= max_digits


def parse_mac(text: str) -> str:
    """Lower case, with colons; accepts dashes."""
    mac = text.lower().replace("-", ":")
    if not _MAC.match(mac):
        raise ValueError(f"{shorten(text)} is not a MAC address: six pairs of hex digits, such as 52:54:00:12:34:56")
    return mac


def parse_ipv4(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        pass
    hint = "; a prefix length may not stand here" if "/" in text else ""
    raise ValueError(f"{shorten(text)} is not an IPv4 address{hint}")


def parse_ipv4_interface(text: str) -> IPv4Address:
    """An address that may carry its prefix length, as in `100.64.200.5/24`."""
    address, slash, prefix = text.partition("/")
    if slash and not (is_number(prefix, 2) and int(prefix) <= 32):
        raise ValueError(f"{shorten(text)} ends in a prefix length that is not 0 to 32")
    return parse_ipv4(address)


def parse_cidr(text: str) -> IPv4Network:
    """`172.16.1.0/24`; host bits are refused with the network that was probably meant."""
    address, slash, prefix = text.partition("/")
    if not slash or not (is_number(prefix, 2) and int(prefix) <= 32):
        raise ValueError(f"{shorten(text)} is not a CIDR: an IPv4 network with its prefix length, such as 10.0.0.0/16")
    network = make_network(parse_ipv4(address), int(prefix))
    if network.network_address != IPv4Address(address):
        raise ValueError(f"{text} has host bits set: the network is {network}")
    return network


def make_network(address: IPv4Address, prefix_length: int) -> IPv4Network:
    """The network that contains `address`."""
    try:
        return IPv4Network((int(address), prefix_length), strict=False)
    except NetmaskValueError:
        raise ValueError(f"{prefix_length} is not a prefix length from 0 to 32") from None


def parse_ip_range(text: str) -> tuple[IPv4Address, IPv4Address]:
    """`10.0.19.130-10.0.19.139`, in that order, both ends included."""
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError(f"{shorten(text)} is not a range of addresses: FIRST-LAST, such as 10.0.0.10-10.0.0.99")
    start, end = parse_ipv4(first.strip()), parse_ipv4(last.strip())
    if end < start:
        raise ValueError(f"the range {start}-{end} ends before it starts")
    return start, end


def parse_vlan(value: object) -> int | None:
    """The tag that a NIC carries: None for `native`, 0, nothing, a range (`1000-1999`) and a list (`native|100`).

    Fuel leaves the NIC untagged for ranges and 0 (`semantics.md` 4.4). Ids outside 1 to 4094 raise `ValueError`.
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return _vlan_id(value) if value else None
    if not isinstance(value, str):
        raise ValueError("a VLAN is native, a number from 1 to 4094, a range such as 1000-1999, or a list with |")
    parts = [part.strip() for part in value.split("|")]
    tags = [_vlan_part(part) for part in parts]
    return tags[0] if len(tags) == 1 else None


def _vlan_part(text: str) -> int | None:
    if text == "native":
        return None
    if is_number(text, 5):
        return _vlan_id(int(text)) if int(text) else None
    match = _VLAN_RANGE.match(text)
    if match is None:
        raise ValueError(
            f"{shorten(text)} is not a VLAN: native, a number from 1 to 4094, or a range such as 1000-1999"
        )
    first, last = (_vlan_id(int(number)) for number in match.groups())
    if last < first:
        raise ValueError(f"the VLAN range {first}-{last} ends before it starts")
    return None


def _vlan_id(number: int) -> int:
    if not _FIRST_VLAN <= number <= _LAST_VLAN:
        raise ValueError(f"{number if abs(number) < 10**9 else 'the number'} is not a VLAN id from 1 to 4094")
    return number


def check_nic_vlan(value: object) -> None:
    """A NIC of the PDF: as `parse_vlan`, except that 0 and ranges have no meaning there."""
    if isinstance(value, int) and not isinstance(value, bool):
        _vlan_id(value)
        return
    parse_vlan(value)
    for part in value.split("|") if isinstance(value, str) else ():
        if part.strip() != "native":
            if not is_number(part.strip(), 5):
                raise ValueError(f"{shorten(part)} is not a VLAN of a NIC: native, or a number from 1 to 4094")
            _vlan_id(int(part))


def check_uri(text: str) -> None:
    """scheme:something, without spaces."""
    try:
        parts = urlsplit(text)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_valid = urlsplit(""), False
    if not (port_is_valid and _SCHEME.match(parts.scheme) and (parts.netloc or parts.path)) or " " in text:
        raise ValueError(f"{shorten(text)} is not a URI such as https://host/path")


def check_management_address(text: str) -> None:
    """The address of a BMC: anything but a URI, unless that is one of a hypervisor."""
    if ":/" in text:
        parse_described(text)


def check_emails(text: str) -> None:
    """One or more mail addresses, separated by comma, semicolon or space."""
    addresses = [part for part in re.split(r"[,;\s]+", text) if part]
    bad = next((part for part in addresses if not _EMAIL.match(part)), None if addresses else text)
    if bad is not None:
        raise ValueError(f"{shorten(bad)} is not a mail address")


def check_features(text: str) -> None:
    """NIC features: `dpdk` and `sriov`, separated by `|`."""
    for part in text.split("|"):
        if part not in ("", "dpdk", "sriov"):
            raise ValueError(f"{shorten(part)} is not a NIC feature: dpdk, sriov, or both as dpdk|sriov")


def check_installer(text: str) -> None:
    """One that descriptors were written for; there may be others, and iecpod makes no use of the name."""
    if text not in _INSTALLERS:
        raise ValueError(f"{shorten(text)} is none of the installers that are known: {', '.join(_INSTALLERS)}")


def check_bus_address(text: str) -> None:
    """A NIC's bus address as `ethtool -i` shows it: of PCI, of USB, or of a platform device (`e0700000.xgmac`)."""
    if not (_PCI_ADDRESS.match(text) or _OTHER_BUS_ADDRESS.match(text)):
        raise ValueError(f"{shorten(text)} is not a bus address such as 0000:01:00.0")


def check_device_name(text: str) -> None:
    """A Linux network interface. The kernel takes nearly any character; names also stand in units of systemd."""
    if not _DEVICE.match(text):
        raise ValueError(f"{shorten(text)} is not an interface name: 1 to 15 letters, digits, '-', '_' or '.'")


def check_bridge_name(text: str) -> None:
    """A Linux bridge; empty where the IDF names none."""
    if text and not _BRIDGE.match(text):
        raise ValueError(f"{shorten(text)} is not a bridge name: 1 to 15 letters, digits, '-', '_' or '.'")


def check_host(text: str) -> None:
    """An IPv4 address or a host name."""
    if text.replace(".", "").isdecimal():
        parse_ipv4(text)
    elif not _HOSTNAME.match(text):
        raise ValueError(f"{shorten(text)} is neither a host name nor an IPv4 address")


def is_hostname_label(text: str) -> bool:
    """Whether a name can be a host name as it stands (RFC 1123)."""
    return _HOSTNAME.match(text) is not None and "." not in text
