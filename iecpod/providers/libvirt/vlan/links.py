"""`VlanLinks` on Linux bridges: a veth pair from a network's bridge to a trunk's, whose end there handles the tag.

A bridge without VLAN filtering passes frames with tags on as they are, so a trunk is a plain bridge of libvirt's, and
each network keeps one of its own with its address, DHCP and NAT, of which libvirt does not know that it has a tag.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from iecpod.adapters.host_programs import run_program
from iecpod.design.owner import Owner
from iecpod.errors import HostError
from iecpod.providers.libvirt.objects import VlanLink
from iecpod.providers.libvirt.vlan.bpf_programs import pop_program, push_program
from iecpod.providers.libvirt.vlan.kernel import Direction, attach

#: Calls an action in the network namespace of the bridges.
RunInside = Callable[[Callable[[], None]], None]


def run_here(action: Callable[[], None]) -> None:
    action()


class BridgeVlanLinks:
    """`prefix` is argv that enters the network namespace of the bridges, `run_inside` goes there, too."""

    def __init__(self, owner: Owner, prefix: Sequence[str] = (), run_inside: RunInside = run_here) -> None:
        self._mark = f"iecpod vlan {owner.installation} {owner.ref}"
        self._prefix = tuple(prefix)
        self._run_inside = run_inside

    def find_missing(self, links: Sequence[VlanLink]) -> tuple[VlanLink, ...]:
        seen = self._find_ours() if links else {}
        return tuple(link for link in links if not self._is_in_place(link, seen))

    def ensure(self, links: Sequence[VlanLink]) -> None:
        seen = self._find_ours()
        wanted = {name for link in links for name in self._ends(link)}
        for name in sorted(set(seen) - wanted):
            self._delete(name)
        for link in links:
            if not self._is_in_place(link, seen):
                self._make(link, seen)

    def remove(self) -> tuple[str, ...]:
        names = sorted(self._find_ours())
        for name in names:
            self._delete(name)
        return tuple(f"device {name}" for name in names)

    def problem(self) -> str:
        return "" if os.geteuid() == 0 else "links between bridges are made by root"

    def _make(self, link: VlanLink, seen: dict[str, dict[str, Any]]) -> None:
        """Up at last: what is up and attached has its programs."""
        trunk_end, network_end = self._ends(link)
        for name in {trunk_end, network_end} & set(seen):
            self._delete(name)
        mtu = str(link.mtu)
        self._ip("link", "add", trunk_end, "mtu", mtu, "type", "veth", "peer", "name", network_end, "mtu", mtu)
        for name in (trunk_end, network_end):
            self._ip("link", "set", name, "alias", self._mark)
        try:
            self._run_inside(lambda: self._attach(link, trunk_end))
        except OSError as error:
            raise HostError(
                f"the host's kernel does not handle the tag {link.vlan} between the bridges {link.trunk} and "
                f"{link.bridge}: {error.strerror}",
                "it needs traffic control with eBPF (CONFIG_NET_CLS_BPF, CONFIG_NET_SCH_INGRESS), and root",
            ) from error
        for name, bridge in ((trunk_end, link.trunk), (network_end, link.bridge)):
            self._ip("link", "set", name, "master", bridge, "up")

    @staticmethod
    def _attach(link: VlanLink, trunk_end: str) -> None:
        attach(trunk_end, Direction.EGRESS, pop_program(link.vlan))
        attach(trunk_end, Direction.INGRESS, push_program(link.vlan))

    def _is_in_place(self, link: VlanLink, seen: dict[str, dict[str, Any]]) -> bool:
        return all(
            name in seen
            and seen[name].get("master") == bridge
            and seen[name].get("mtu") == link.mtu
            and "UP" in seen[name].get("flags", ())
            for name, bridge in zip(self._ends(link), (link.trunk, link.bridge), strict=True)
        )

    def _ends(self, link: VlanLink) -> tuple[str, str]:
        """Names of the two devices, on the trunk and on the network: 14 characters, the tag in hex among them."""
        digest = hashlib.sha256(f"{self._mark} {link.trunk}".encode()).hexdigest()[:8]
        return f"iv{link.vlan:03x}{digest}t", f"iv{link.vlan:03x}{digest}n"

    def _find_ours(self) -> dict[str, dict[str, Any]]:
        """Devices with our mark, by name, as `ip` shows them."""
        text = self._ip("-j", "link", "show", "type", "veth").strip()
        found = [link for link in json.loads(text or "[]") if link]
        return {str(link["ifname"]): link for link in found if link.get("ifalias") == self._mark}

    def _delete(self, name: str) -> None:
        """With its other end; nothing where that has gone already."""
        if name in self._find_ours():
            self._ip("link", "delete", name)

    def _ip(self, *arguments: str) -> str:
        return run_program([*self._prefix, "ip", *arguments])
