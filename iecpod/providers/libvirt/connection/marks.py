"""PODs whose mark is on something of a libvirt, whoever deployed them and from wherever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt

from iecpod.hypervisor_uri import HypervisorUri
from iecpod.model import PodRef
from iecpod.providers.libvirt.connection.errors import GONE, silence_libvirt, translate_errors
from iecpod.providers.libvirt.connection.observed import parse_domain, parse_network
from iecpod.providers.libvirt.ownership import is_computed


def find_marked_pods(uri: HypervisorUri) -> set[tuple[PodRef, str]]:
    """By their domains and networks: pools carry no mark, copies have no owner. Raises `HostError`.

    With each, the installation that deployed it; empty where an earlier version of iecpod did.
    """
    silence_libvirt()
    with translate_errors(f"connect to {uri}"):
        connection = libvirt.openReadOnly(uri)
    try:
        with translate_errors(f"list the PODs at {uri}"):
            return set(_marked(connection))
    finally:
        connection.close()


def _marked(connection: Any) -> Iterator[tuple[PodRef, str]]:
    for parse, found in ((parse_network, connection.listAllNetworks()), (parse_domain, connection.listAllDomains())):
        for target in found:
            try:
                seen = parse(target.XMLDesc(), False)
            except libvirt.libvirtError as error:
                if error.get_error_code() not in GONE:
                    raise
                continue
            if seen.mark is not None and is_computed(seen, seen.mark.ref):
                yield seen.mark.ref, seen.mark.installation
