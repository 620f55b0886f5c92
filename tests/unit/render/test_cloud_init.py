"""The NoCloud seed: what a node is given, as a YAML reader understands it."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import jinja2
import pytest

from iecpod.design.deadline_factor import guest_speed_of
from iecpod.design.machines import Seed
from iecpod.options.choices import VirtType
from iecpod.providers.libvirt.objects import DesiredDomain, Vnic
from iecpod.release.mirrors import Supply
from iecpod.render.cloud_init import render_seed
from iecpod.yaml.document import load_yaml
from tests import pods

TEMPLATES = Path(__file__).parents[3] / "cloud-init"
PRIVATE_KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\nAAAA: # yes\n-----END OPENSSH PRIVATE KEY-----\n"
)
HOSTS = tuple(
    (IPv4Address(f"172.16.10.{36 + index}"), (f"iec0{index + 1}.pod.example", f"iec0{index + 1}")) for index in range(3)
)


def make_vnic(index: int, mtu: int = 1500, **changes: Any) -> Vnic:
    """With one network; `changes` are its."""
    vnic = pods.vnic(pods.REF, "iec01", index)
    return dataclasses.replace(vnic, mtu=mtu, networks=(dataclasses.replace(vnic.networks[0], **changes),))


def tagged(vnic: Vnic, *tags: int) -> Vnic:
    """With its network once for each tag, at addresses of their own."""
    (network,) = vnic.networks
    addresses = (IPv4Interface(f"172.16.{tag}.36/24") for tag in tags)
    networks = (
        dataclasses.replace(network, vlan=tag, address=address) for tag, address in zip(tags, addresses, strict=True)
    )
    return dataclasses.replace(vnic, networks=tuple(networks))


ADMIN = make_vnic(0, address=IPv4Interface("192.168.11.21/24"))
MGMT = make_vnic(1, address=IPv4Interface("172.16.10.36/24"))
PRIVATE = make_vnic(2, address=None, mtu=9000)
PUBLIC = make_vnic(
    3,
    address=IPv4Interface("10.0.19.137/24"),
    gateway=IPv4Address("10.0.19.254"),
    dns=(IPv4Address("8.8.8.8"), IPv4Address("8.8.4.4")),
)


def make_domain(*vnics: Vnic) -> DesiredDomain:
    return dataclasses.replace(pods.domain(), vnics=vnics or (ADMIN, MGMT, PRIVATE, PUBLIC))


def render(domain: DesiredDomain | None = None, **changes: Any) -> Seed:
    values: dict[str, Any] = {
        "ref": pods.REF,
        "fqdn_domain": "pod.example",
        "user": "ubuntu",
        "authorized_key": "ssh-ed25519 AAAAC3 unit/pod1",
        "host_key_private": PRIVATE_KEY,
        "host_key_public": "ssh-ed25519 AAAAC3host iec01",
        "hosts": HOSTS,
        "ntp_servers": ("1.pool.ntp.org", "0.pool.ntp.org"),
        "supply": Supply(),
        "apt_mirror": "",
        "instance_id": "11111111-2222",
        "templates_dir": TEMPLATES,
    }
    made = domain or make_domain()
    values["low_overhead"] = guest_speed_of(made.virt_type).low_overhead
    return render_seed(made.hostname, made.vnics, **{**values, **changes})


def user_data(seed: Seed) -> dict[str, Any]:
    data = load_yaml(seed.user_data, "user-data").data
    assert isinstance(data, dict)
    return data


def network(seed: Seed) -> dict[str, Any]:
    data = load_yaml(seed.network_config, "network-config").data
    assert isinstance(data, dict)
    return data


def written_file(seed: Seed, path: str) -> str:
    (content,) = [str(entry["content"]) for entry in user_data(seed)["write_files"] if entry["path"] == path]
    return content


def test_user_data_is_a_cloud_config() -> None:
    assert render().user_data.startswith("#cloud-config\n")


def test_one_user_with_the_pods_key_and_no_password() -> None:
    data = user_data(render())
    (user,) = data["users"]
    assert user["name"] == "ubuntu"
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 AAAAC3 unit/pod1"]
    assert user["lock_passwd"] is True
    assert user["sudo"] == "ALL=(ALL) NOPASSWD:ALL"
    assert data["ssh_pwauth"] is False
    assert data["disable_root"] is True
    assert "set-passwords" in data["cloud_config_modules"], "without this module ssh_pwauth does nothing"


def test_the_host_key_arrives_unchanged_and_alone() -> None:
    data = user_data(render())
    assert data["ssh_keys"] == {"ed25519_private": PRIVATE_KEY, "ed25519_public": "ssh-ed25519 AAAAC3host iec01"}
    assert data["ssh_deletekeys"] is True


def test_names() -> None:
    data = user_data(render())
    assert (data["hostname"], data["fqdn"]) == ("iec01", "iec01.pod.example")
    assert data["manage_etc_hosts"] is False


def test_hosts_file_names_all_nodes_and_nothing_shadows_them() -> None:
    lines = [line.split() for line in written_file(render(), "/etc/hosts").splitlines()]
    assert ["127.0.0.1", "localhost"] in lines
    assert ["172.16.10.36", "iec01.pod.example", "iec01"] in lines
    assert ["172.16.10.38", "iec03.pod.example", "iec03"] in lines
    assert [line[0] for line in lines if "iec01" in line] == ["172.16.10.36"]


def test_ntp_servers_of_the_idf() -> None:
    assert written_file(render(), "/etc/systemd/timesyncd.conf.d/10-iecpod.conf") == (
        "[Time]\nNTP=1.pool.ntp.org 0.pool.ntp.org\n"
    )
    without = render(ntp_servers=())
    assert "timesyncd" not in without.user_data
    assert user_data(without)["bootcmd"]


def test_files_are_written_before_the_commands_that_apply_them() -> None:
    modules = user_data(render())["cloud_init_modules"]
    assert modules.index("write-files") < modules.index("bootcmd")
    assert modules.index("users-groups") < modules.index("ssh")


def test_timers_are_masked_by_the_first_command() -> None:
    script = user_data(render())["bootcmd"][0][2]
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "unattended-upgrades.service", "man-db.timer"):
        assert unit in script.split()
    assert "fstrim.timer" in script.split()


def test_go_takes_one_processor_of_emulated_guests_only() -> None:
    command = ["systemctl", "set-environment", "GOMAXPROCS=1"]
    assert command in user_data(render())["bootcmd"]
    with_kvm = dataclasses.replace(make_domain(), virt_type=VirtType.KVM)
    assert command not in user_data(render(with_kvm))["bootcmd"]


def test_every_nic_is_matched_by_mac_and_named_as_the_idf_says() -> None:
    config = network(render())
    assert config["version"] == 2
    assert list(config["ethernets"]) == ["enp1s0", "enp2s0", "enp3s0", "enp4s0"]
    for vnic in make_domain().vnics:
        nic = config["ethernets"][vnic.guest_device]
        assert nic["match"] == {"macaddress": vnic.mac}
        assert nic["set-name"] == vnic.guest_device
        assert nic["mtu"] == vnic.mtu
        assert (nic["dhcp4"], nic["dhcp6"], nic["accept-ra"]) == (False, False, False)
    assert "vlans" not in config


def test_boot_waits_for_nics_with_an_address_and_for_no_others() -> None:
    nics = network(render())["ethernets"]
    assert {name for name, nic in nics.items() if nic.get("optional")} == {"enp3s0"}
    assert {name for name, nic in nics.items() if "addresses" not in nic} == {"enp3s0"}
    assert nics["enp3s0"]["link-local"] == []


def test_default_route_and_dns_on_the_public_nic() -> None:
    nics = network(render())["ethernets"]
    assert nics["enp4s0"]["addresses"] == ["10.0.19.137/24"]
    assert nics["enp4s0"]["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.19.254"}]
    assert nics["enp4s0"]["nameservers"] == {"addresses": ["8.8.8.8", "8.8.4.4"]}
    assert [name for name, nic in nics.items() if "routes" in nic] == ["enp4s0"]
    assert user_data(render())["bootcmd"][-1][-1] == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_a_vlan_gets_the_address_and_its_nic_none() -> None:
    seed = render(make_domain(ADMIN, tagged(MGMT, 100)))
    config = network(seed)
    assert "addresses" not in config["ethernets"]["enp2s0"]
    assert config["ethernets"]["enp2s0"]["optional"] is True
    vlan = config["vlans"]["enp2s0.100"]
    assert (vlan["id"], vlan["link"], vlan["addresses"]) == (100, "enp2s0", ["172.16.100.36/24"])
    assert user_data(seed)["bootcmd"][2][-3:] == ["enp2s0", "enp2s0.100", "100"]


def test_where_all_addresses_are_on_vlans_boot_waits_for_the_link_local_one_of_their_nic() -> None:
    nics = network(render(make_domain(tagged(ADMIN, 15, 16), PRIVATE)))["ethernets"]
    assert not {"optional", "link-local", "addresses"} & set(nics["enp1s0"])
    assert nics["enp3s0"]["optional"] is True


def test_a_nic_carries_an_untagged_network_and_others_by_their_tags() -> None:
    trunk = dataclasses.replace(ADMIN, networks=(*ADMIN.networks, *tagged(MGMT, 15, 16).networks))
    seed = render(make_domain(trunk))
    config = network(seed)
    assert list(config["ethernets"]) == ["enp1s0"] and list(config["vlans"]) == ["enp1s0.15", "enp1s0.16"]
    assert config["ethernets"]["enp1s0"]["addresses"] == ["192.168.11.21/24"]
    assert {name: vlan["addresses"] for name, vlan in config["vlans"].items()} == {
        "enp1s0.15": ["172.16.15.36/24"],
        "enp1s0.16": ["172.16.16.36/24"],
    }
    made = [command[-3:] for command in user_data(seed)["bootcmd"] if "vlan" in command]
    assert made == [["enp1s0", "enp1s0.15", "15"], ["enp1s0", "enp1s0.16", "16"]]


def test_a_route_that_is_not_the_default_one() -> None:
    routed = make_vnic(1, routes=((IPv4Network("172.16.1.0/24"), IPv4Address("172.16.10.1")),))
    nic = network(render(make_domain(routed)))["ethernets"]["enp2s0"]
    assert nic["routes"] == [{"to": "172.16.1.0/24", "via": "172.16.10.1"}]


def test_the_same_input_gives_the_same_seed() -> None:
    assert render() == render()


@pytest.mark.parametrize(
    "changed",
    [
        {"ntp_servers": ("other.example",)},
        {"authorized_key": "ssh-ed25519 AAAAother unit/pod1"},
        {"domain": make_domain(ADMIN, dataclasses.replace(MGMT, mtu=9000), PRIVATE, PUBLIC)},
        {"instance_id": "33333333-4444"},
    ],
)
def test_a_changed_seed_is_another_instance(changed: dict[str, Any]) -> None:
    first, second = (load_yaml(seed.meta_data, "meta-data").data for seed in (render(), render(**changed)))
    assert isinstance(first, dict) and isinstance(second, dict)
    assert first["instance-id"] != second["instance-id"]
    assert first["local-hostname"] == second["local-hostname"] == "iec01"


def test_text_that_looks_like_yaml_stays_text() -> None:
    data = user_data(
        render(authorized_key='ssh-ed25519 AAAA it\'s: "a" # comment', user="on", ntp_servers=("{{ x }}",))
    )
    assert data["users"][0]["ssh_authorized_keys"] == ['ssh-ed25519 AAAA it\'s: "a" # comment']
    assert data["users"][0]["name"] == "on"


def test_a_template_with_an_unknown_name_fails(tmp_path: Path) -> None:
    for template in TEMPLATES.glob("*.j2"):
        (tmp_path / template.name).write_text(template.read_text())
    (tmp_path / "meta-data.yaml.j2").write_text("instance-id: {{ instance }}\n")
    with pytest.raises(jinja2.UndefinedError, match="instance"):
        render(templates_dir=tmp_path)


def test_nothing_is_said_of_mirrors_where_there_are_none() -> None:
    text = render(supply=Supply(no_proxy=("localhost",))).user_data
    assert text == render().user_data
    assert not any(word in text for word in ("apt-configure", "update-ca-certificates", "Acquire"))


def test_apt_is_led_to_proxy_and_mirror() -> None:
    seed = render(
        supply=Supply(http_proxy="http://proxy:3128", no_proxy=("10.0.0.1",)), apt_mirror="http://mirror/ubuntu"
    )
    data = user_data(seed)
    uri = [{"arches": ["default"], "uri": "http://mirror/ubuntu"}]
    assert data["apt"] == {"primary": uri, "security": uri}
    assert data["cloud_config_modules"] == ["apt-configure", "set-passwords"]
    assert 'Acquire::http::Proxy "http://proxy:3128";' in written_file(seed, "/etc/apt/apt.conf.d/90iecpod-proxy")


def test_certificates_are_written_and_taken_into_the_store() -> None:
    seed = render(supply=Supply(ca_certificates=("one\n", "two\n")))
    files = [written_file(seed, f"/usr/local/share/ca-certificates/iecpod-{number}.crt") for number in (1, 2)]
    assert files == ["one\n", "two\n"]
    (script,) = [command[2] for command in user_data(seed)["bootcmd"] if "update-ca-certificates" in command[2]]
    assert script.splitlines()[0] == "test -e /etc/ssl/certs/iecpod-1.pem && exit 0"
