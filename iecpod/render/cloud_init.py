"""The NoCloud seed of a node: user, keys, names, files and network, from the templates in `cloud-init/`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.design.pace import pace_of
from iecpod.design.resources import DesiredDomain, Seed, Vnic
from iecpod.design.supply import Supply
from iecpod.model import PodRef
from iecpod.render.low_overhead import GO_ENVIRONMENT
from iecpod.render.supply_files import APT_CONF_PATH, render_apt_conf, render_ca_files
from iecpod.render.templating import make_directory_environment

#: 127.0.1.1 is not among them: a node's own name must mean the address that the cluster knows it by.
_LOCAL_HOSTS = (
    "127.0.0.1 localhost\n"
    "::1 localhost ip6-localhost ip6-loopback\n"
    "ff02::1 ip6-allnodes\n"
    "ff02::2 ip6-allrouters\n"
)  # fmt: skip


def render_seed(
    domain: DesiredDomain,
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
    templates_dir: Path,
) -> Seed:
    """Text of the three files. `hosts` are lines of /etc/hosts: an address and its names, the FQDN first.

    `apt_mirror` stands in for the distribution's archive; empty leaves that alone.

    The instance-id is `instance_id` with a digest of the other two files, so that a changed seed is applied anew.
    """
    environment = make_directory_environment(templates_dir)
    links = [_link(vnic) for vnic in domain.vnics]
    vlans = [_vlan(vnic) for vnic in domain.vnics if vnic.vlan is not None]
    user_data = environment.get_template("user-data.yaml.j2").render(
        hostname=domain.hostname,
        fqdn=f"{domain.hostname}.{fqdn_domain}",
        user=user,
        authorized_key=authorized_key,
        host_key_private=host_key_private,
        host_key_public=host_key_public,
        hosts_file=_hosts_file(ref, hosts),
        timesyncd_file=_timesyncd_file(ntp_servers),
        resolv_conf=_resolv_conf(domain),
        vlans=vlans,
        apt_conf_path=APT_CONF_PATH,
        apt_conf=render_apt_conf(supply),
        apt_mirror=apt_mirror,
        ca_files=render_ca_files(supply),
        go_environment=GO_ENVIRONMENT if pace_of(domain.virt_type).calm else {},
    )
    network_config = environment.get_template("network-config.yaml.j2").render(nics=links, vlans=vlans)
    digest = hashlib.sha256(f"{user_data}\0{network_config}".encode()).hexdigest()[:16]
    meta_data = environment.get_template("meta-data.yaml.j2").render(
        hostname=domain.hostname, instance_id=f"{instance_id}-{digest}"
    )
    return Seed(user_data=user_data, meta_data=meta_data, network_config=network_config)


def _link(vnic: Vnic) -> dict[str, object]:
    """The NIC itself; its address goes to the VLAN on top where there is one."""
    return {
        "device": vnic.guest_device,
        "mac": vnic.mac,
        "mtu": vnic.mtu,
        **(_ip_settings(vnic) if vnic.vlan is None else _NO_IP_SETTINGS),
    }


def _vlan(vnic: Vnic) -> dict[str, object]:
    return {
        "device": f"{vnic.guest_device}.{vnic.vlan}",
        "parent": vnic.guest_device,
        "id": vnic.vlan,
        "mtu": vnic.mtu,
        **_ip_settings(vnic),
    }


_NO_IP_SETTINGS: dict[str, object] = {"address": "", "gateway": "", "dns": []}


def _ip_settings(vnic: Vnic) -> dict[str, object]:
    return {
        "address": str(vnic.address or ""),
        "gateway": str(vnic.gateway or ""),
        "dns": [str(server) for server in vnic.dns],
    }


def _hosts_file(ref: PodRef, hosts: Sequence[tuple[IPv4Address, tuple[str, ...]]]) -> str:
    nodes = "".join(f"{address} {' '.join(names)}\n" for address, names in hosts)
    return f"{_LOCAL_HOSTS}\n# nodes of POD {ref}\n{nodes}"


def _timesyncd_file(ntp_servers: Sequence[str]) -> str:
    return f"[Time]\nNTP={' '.join(ntp_servers)}\n" if ntp_servers else ""


def _resolv_conf(domain: DesiredDomain) -> str:
    servers = dict.fromkeys(server for vnic in domain.vnics for server in vnic.dns)
    return "".join(f"nameserver {server}\n" for server in servers)
