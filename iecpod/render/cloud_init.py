"""The NoCloud seed of a node: user, keys, names, files and network, from the templates in `cloud-init/`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.design.machines import Nic, NicNetwork, Seed
from iecpod.model import PodRef
from iecpod.release.mirrors import Supply
from iecpod.render.low_overhead import GO_ENVIRONMENT
from iecpod.render.mirror_files import APT_CONF_PATH, render_apt_conf, render_ca_files
from iecpod.render.templating import directory_environment

#: 127.0.1.1 is not among them: a node's own name must mean the address that the cluster knows it by.
_LOCAL_HOSTS = (
    "127.0.0.1 localhost\n"
    "::1 localhost ip6-localhost ip6-loopback\n"
    "ff02::1 ip6-allnodes\n"
    "ff02::2 ip6-allrouters\n"
)  # fmt: skip


def render_seed(
    hostname: str,
    nics: Sequence[Nic],
    *,
    ref: PodRef,
    fqdn_domain: str,
    user: str,
    authorized_key: str,
    host_key_private: str,
    host_key_public: str,
    hosts: tuple[tuple[IPv4Address, tuple[str, ...]], ...],
    ntp_servers: tuple[str, ...],
    supply: Supply,
    apt_mirror: str,
    instance_id: str,
    low_overhead: bool,
    templates_dir: Path,
) -> Seed:
    """Text of the three files. `hosts` are lines of /etc/hosts: an address and its names, the FQDN first.

    `apt_mirror` stands in for the distribution's archive; empty leaves that alone.

    The instance-id is `instance_id` with a digest of the other two files, so that a changed seed is applied again.
    """
    environment = directory_environment(templates_dir)
    is_up_without_vlans = any(network.address and network.vlan is None for nic in nics for network in nic.networks)
    links = [_link(nic, carries_boot=not is_up_without_vlans) for nic in nics]
    vlans = [_vlan(nic, network) for nic in nics for network in nic.networks if network.vlan is not None]
    user_data = environment.get_template("user-data.yaml.j2").render(
        hostname=hostname,
        fqdn=f"{hostname}.{fqdn_domain}",
        user=user,
        authorized_key=authorized_key,
        host_key_private=host_key_private,
        host_key_public=host_key_public,
        hosts_file=_hosts_file(ref, hosts),
        timesyncd_file=_timesyncd_file(ntp_servers),
        resolv_conf=_resolv_conf(nics),
        vlans=vlans,
        apt_conf_path=APT_CONF_PATH,
        apt_conf=render_apt_conf(supply),
        apt_mirror=apt_mirror,
        ca_files=render_ca_files(supply),
        go_environment=GO_ENVIRONMENT if low_overhead else {},
    )
    network_config = environment.get_template("network-config.yaml.j2").render(nics=links, vlans=vlans)
    digest = hashlib.sha256(f"{user_data}\0{network_config}".encode()).hexdigest()[:16]
    meta_data = environment.get_template("meta-data.yaml.j2").render(
        hostname=hostname, instance_id=f"{instance_id}-{digest}"
    )
    return Seed(user_data=user_data, meta_data=meta_data, network_config=network_config)


def _link(nic: Nic, *, carries_boot: bool) -> dict[str, object]:
    """The NIC itself; networks with a tag are on VLAN devices on top of it.

    With `carries_boot`, the machine has addresses on VLANs only.
    """
    untagged = next((network for network in nic.networks if network.vlan is None), None)
    return {
        "device": nic.guest_device,
        "mac": nic.mac,
        "mtu": nic.mtu,
        "is_awaited": carries_boot and any(network.vlan is not None for network in nic.networks),
        **(_NO_IP_SETTINGS if untagged is None else _ip_settings(untagged)),
    }


def _vlan(nic: Nic, network: NicNetwork) -> dict[str, object]:
    return {
        "device": nic.device_of(network),
        "parent": nic.guest_device,
        "id": network.vlan,
        "mtu": nic.mtu,
        "is_awaited": False,
        **_ip_settings(network),
    }


_NO_IP_SETTINGS: dict[str, object] = {"address": "", "routes": [], "dns": []}


def _ip_settings(network: NicNetwork) -> dict[str, object]:
    default = [("0.0.0.0/0", str(network.gateway))] if network.gateway else []
    return {
        "address": str(network.address or ""),
        "routes": [*default, *((str(cidr), str(via)) for cidr, via in network.routes)],
        "dns": [str(server) for server in network.dns],
    }


def _hosts_file(ref: PodRef, hosts: Sequence[tuple[IPv4Address, tuple[str, ...]]]) -> str:
    nodes = "".join(f"{address} {' '.join(names)}\n" for address, names in hosts)
    return f"{_LOCAL_HOSTS}\n# nodes of POD {ref}\n{nodes}"


def _timesyncd_file(ntp_servers: Sequence[str]) -> str:
    return f"[Time]\nNTP={' '.join(ntp_servers)}\n" if ntp_servers else ""


def _resolv_conf(nics: Sequence[Nic]) -> str:
    servers = dict.fromkeys(server for nic in nics for network in nic.networks for server in network.dns)
    return "".join(f"nameserver {server}\n" for server in servers)
