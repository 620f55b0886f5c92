"""PODs whose mark is on something of a libvirt, whoever deployed them and from wherever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt

from iecpod.adapters.libvirt_errors import GONE, silence_libvirt, translate_errors
from iecpod.adapters.libvirt_observed import parse_domain, parse_network
from iecpod.model import PodRef


def find_marked_pods(uri: str) -> set[PodRef]:
    """By their domains and networks: pools carry no mark. Raises `HostError`."""
    silence_libvirt()
    with translate_errors(f"connect to {uri}"):
        connection = libvirt.openReadOnly(uri)
    try:
        with translate_errors(f"list the PODs at {uri}"):
            return set(_marked(connection))
    finally:
        connection.close()


def _marked(connection: Any) -> Iterator[PodRef]:
    for parse, found in ((parse_network, connection.listAllNetworks()), (parse_domain, connection.listAllDomains())):
        for target in found:
            try:
                mark = parse(target.XMLDesc(), False).mark
            except libvirt.libvirtError as error:
                if error.get_error_code() not in GONE:
                    raise
                continue
            if mark is not None:
                yield mark.ref
