"""Both documents as rules look at them: what can be read is typed, what cannot is None (its schema says why)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeAlias, TypeVar

from iecpod.descriptors.encrypted import is_encrypted
from iecpod.descriptors.pod_files import NOT_GIVEN, Descriptors
from iecpod.descriptors.value_parsers import make_network, parse_ip_range, parse_ipv4, parse_ipv4_interface, parse_mac
from iecpod.yaml.document import Document

Path: TypeAlias = tuple[str | int, ...]
T = TypeVar("T")

#: Networks that nodes are on; `oob` belongs to the BMCs.
CORE_NETWORKS = ("admin", "mgmt", "storage", "private", "public")


@dataclass(frozen=True, slots=True)
class NicView:
    path: Path
    name: str | None
    mac: str | None
    address: IPv4Address | None


@dataclass(frozen=True, slots=True)
class MachineView:
    """A node, or the jump host. `management` is its remote_management."""

    path: Path
    data: dict[str, Any]
    name: str | None
    type: str | None
    arch: str | None
    nics: tuple[NicView, ...]
    management: dict[str, Any]

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.name if self.name is not None else "".join(f"[{part}]" for part in self.path[1:])


@dataclass(frozen=True, slots=True)
class NetworkView:
    """`address` is as written, with host bits if there are any; `vlan` is as written."""

    path: Path
    name: str
    data: dict[str, Any]
    interface: int | None
    address: IPv4Address | None
    cidr: IPv4Network | None
    ip_range: tuple[IPv4Address, IPv4Address] | None
    gateway: IPv4Address | None
    vlan: object

    @property
    def tag(self) -> str:
        """The VLAN in one spelling."""
        return "native" if self.vlan in (None, 0, "native") else str(self.vlan).replace(" ", "")


@dataclass(frozen=True, slots=True)
class DevicesView:
    """An item of `idf.fuel.network.node`; None for a list that is missing or no list."""

    path: Path
    interfaces: list[Any] | None
    busaddr: list[Any] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Of NICs, by their index; empty for one without a name."""
        return tuple(name if isinstance(name, str) else "" for name in self.interfaces or ())


@dataclass(frozen=True, slots=True)
class PdfView:
    document: Document
    jumphost: MachineView | None
    nodes: tuple[MachineView, ...]


@dataclass(frozen=True, slots=True)
class IdfView:
    """`devices`, `reclass` and `public_pool` are None where the IDF has none; `bridges` holds names only."""

    document: Document
    networks: tuple[NetworkView, ...]
    bridges: dict[str, str]
    devices: tuple[DevicesView, ...] | None
    reclass: list[Any] | None
    public_pool: tuple[IPv4Address, IPv4Address] | None


class OtherFileNeeded(Exception):
    """A rule asks for the file that is not there."""


@dataclass(frozen=True, slots=True)
class PodView:
    """Both files as one, or one file alone: what the other one holds raises `OtherFileNeeded` then."""

    pdf_view: PdfView | None
    idf_view: IdfView | None

    @property
    def _pdf(self) -> PdfView:
        if self.pdf_view is None:
            raise OtherFileNeeded
        return self.pdf_view

    @property
    def _idf(self) -> IdfView:
        if self.idf_view is None:
            raise OtherFileNeeded
        return self.idf_view

    @property
    def pdf(self) -> Document:
        return self._pdf.document

    @property
    def documents(self) -> tuple[Document, ...]:
        """The files that are there."""
        return tuple(view.document for view in (self.pdf_view, self.idf_view) if view is not None)

    @property
    def jumphost(self) -> MachineView | None:
        return self._pdf.jumphost

    @property
    def nodes(self) -> tuple[MachineView, ...]:
        return self._pdf.nodes

    @property
    def is_virtual(self) -> bool:
        """Whether iecpod would make one of its nodes."""
        return any(node.type == "virtual" for node in self.nodes)

    @property
    def idf(self) -> Document:
        return self._idf.document

    @property
    def networks(self) -> tuple[NetworkView, ...]:
        return self._idf.networks

    @property
    def bridges(self) -> dict[str, str]:
        return self._idf.bridges

    @property
    def devices(self) -> tuple[DevicesView, ...] | None:
        return self._idf.devices

    @property
    def reclass(self) -> list[Any] | None:
        return self._idf.reclass

    @property
    def public_pool(self) -> tuple[IPv4Address, IPv4Address] | None:
        return self._idf.public_pool

    @property
    def core_networks(self) -> tuple[NetworkView, ...]:
        return tuple(network for network in self.networks if network.name in CORE_NETWORKS)

    def network(self, name: str) -> NetworkView | None:
        return next((network for network in self.networks if network.name == name), None)


def view_pod(descriptors: Descriptors) -> PodView:
    """Never fails, whatever the documents hold."""
    pdf, idf = descriptors.pdf, descriptors.idf
    return PodView(
        None if pdf is NOT_GIVEN else _view_pdf(pdf),
        None if idf is NOT_GIVEN else _view_idf(idf),
    )


def _view_pdf(pdf: Document) -> PdfView:
    machines = _list(pdf.data, "nodes") or []
    jumphost = _mapping(pdf.data, "jumphost")
    return PdfView(
        pdf,
        jumphost=_view_machine(("jumphost",), jumphost) if jumphost else None,
        nodes=tuple(_view_machine(("nodes", index), machine) for index, machine in enumerate(machines)),
    )


def _view_idf(idf: Document) -> IdfView:
    devices = _list(idf.data, "idf", "fuel", "network", "node")
    return IdfView(
        idf,
        networks=tuple(_view_network(name, data) for name, data in _mapping(idf.data, "idf", "net_config").items()),
        bridges={
            name: bridge
            for name, bridge in _mapping(idf.data, "idf", "fuel", "jumphost", "bridges").items()
            if isinstance(bridge, str)
        },
        devices=None if devices is None else tuple(_view_devices(index, item) for index, item in enumerate(devices)),
        reclass=_list(idf.data, "idf", "fuel", "reclass", "node"),
        public_pool=_view_pool(_mapping(idf.data, "idf", "fuel", "network", "public_pool")),
    )


def _view_machine(path: Path, value: object) -> MachineView:
    data = _as_mapping(value)
    machine = _mapping(data, "node")
    nics = _list(data, "interfaces") or []
    return MachineView(
        path=path,
        data=data,
        name=_text(data, "name"),
        type=_text(machine, "type"),
        arch=_text(machine, "arch"),
        nics=tuple(_view_nic((*path, "interfaces", index), nic) for index, nic in enumerate(nics)),
        management=_mapping(data, "remote_management"),
    )


def _view_nic(path: Path, value: object) -> NicView:
    data = _as_mapping(value)
    return NicView(
        path=path,
        name=_text(data, "name"),
        mac=read(parse_mac, data.get("mac_address")),
        address=read(parse_ipv4_interface, data.get("address")),
    )


def _view_network(name: str, value: object) -> NetworkView:
    data = _as_mapping(value)
    interface, mask = data.get("interface"), data.get("mask")
    address = read(parse_ipv4, data.get("network"))
    has_mask = isinstance(mask, int) and not isinstance(mask, bool) and 1 <= mask <= 32
    return NetworkView(
        path=("idf", "net_config", name),
        name=name,
        data=data,
        interface=interface if isinstance(interface, int) and not isinstance(interface, bool) else None,
        address=address,
        cidr=make_network(address, int(mask or 0)) if address is not None and has_mask else None,
        ip_range=read(parse_ip_range, data.get("ip-range")),
        gateway=read(parse_ipv4, data.get("gateway")),
        vlan=data.get("vlan"),
    )


def _view_devices(index: int, value: object) -> DevicesView:
    path = ("idf", "fuel", "network", "node", index)
    return DevicesView(path, _list(value, "interfaces"), _list(value, "busaddr"))


def _view_pool(data: dict[str, Any]) -> tuple[IPv4Address, IPv4Address] | None:
    first, last = read(parse_ipv4, data.get("start_ip")), read(parse_ipv4, data.get("end_ip"))
    return None if first is None or last is None else (first, last)


def read(parse: Callable[[str], T], value: object) -> T | None:
    """The parsed text; None for what is no text or not valid."""
    try:
        return parse(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _as_mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mapping(value: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        value = _as_mapping(value).get(key)
    return _as_mapping(value)


def _list(value: object, *keys: str) -> list[Any] | None:
    found = _mapping(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, list) else None


def _text(data: dict[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) and not is_encrypted(value) else None
