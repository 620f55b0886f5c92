"""A libvirt that runs on this machine already, such as qemu:///system."""

from __future__ import annotations

import socket

from iecpod.design.machines import Route
from iecpod.design.owner import Owner
from iecpod.errors import UsageError
from iecpod.hypervisor_uri import HypervisorUri
from iecpod.providers.libvirt.connection.host_routes import find_links, find_routes
from iecpod.providers.libvirt.connection.hypervisor import LibvirtHypervisor
from iecpod.providers.libvirt.vlan.links import BridgeVlanLinks


class SystemHost:
    """`HypervisorHost` over a local libvirt URI: guests are reached from where this process runs."""

    def __init__(self, uri: HypervisorUri, owner: Owner) -> None:
        """Raises `UsageError` for a URI of another machine."""
        if not uri.is_on_this_host:
            raise UsageError(
                f"{uri}: a hypervisor on another machine is not supported yet",
                "run iecpod on that machine with -c qemu:///system, or use -c embedded",
            )
        self._uri = uri
        self._owner = owner

    @property
    def uri(self) -> str:
        return self._uri

    @property
    def command_prefix(self) -> tuple[str, ...]:
        return ()

    def start(self) -> None:
        """Nothing: who runs this libvirt starts it."""

    def connect(self) -> LibvirtHypervisor:
        return LibvirtHypervisor.open(self._uri, self._owner, find_links)

    @property
    def vlan_links(self) -> BridgeVlanLinks:
        return BridgeVlanLinks(self._owner)

    def open_socket(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        return socket.create_connection((address, port), timeout_seconds)

    def routes(self) -> tuple[Route, ...]:
        return find_routes()

    def stop(self) -> None:
        """Nothing: this libvirt is not ours."""

    def leftovers(self) -> tuple[str, ...]:
        return ()
