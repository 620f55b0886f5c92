"""What of admin is given out by DHCP, and whether libvirt takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from iecpod.errors import Problem
from iecpod.model import IpAddress, NetworkName, PodSpec

AddressRange: TypeAlias = tuple[IpAddress, IpAddress]


def check_dhcp_range(pod: PodSpec, given_out: AddressRange | None) -> Iterator[Problem]:
    """On a bridge of the lab, which only the hypervisor knows, iecpod gives out no addresses."""
    if given_out is not None and pod.idf.bridge(NetworkName.ADMIN) is None and is_too_wide(given_out):
        yield too_wide_problem(pod, given_out)


def is_too_wide(given_out: AddressRange) -> bool:
    """Whether libvirt refuses to give out such a range by DHCP: both ends must be in one /16."""
    return int(given_out[0]) >> 16 != int(given_out[1]) >> 16


def too_wide_problem(pod: PodSpec, given_out: AddressRange) -> Problem:
    return Problem(
        message=f"DHCP on admin would give out {given_out[0]}-{given_out[1]}, and libvirt takes no range beyond one "
        "/16",
        remedy="use a network with mask 16 or more, or an ip-range that ends within the same /16",
        file=pod.idf_file,
        path="idf.net_config.admin.ip-range",
        rule="dhcp-range-too-wide",
    )
