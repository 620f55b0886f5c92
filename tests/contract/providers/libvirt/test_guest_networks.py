"""Seeds on systemd-networkd, by cloud-init's own renderer: devices end with the planned addresses, routes and MTUs.

Each node is a network namespace with devices that have the names and MACs of its NICs. A VLAN is a device of its name:
that tags are handled is shown by the guests of tests/e2e/nics.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from iecpod.design.machines import NicNetwork
from iecpod.providers.libvirt.objects import Vnic
from iecpod.providers.libvirt.plan.machine_plan import LibvirtPlan
from iecpod.providers.libvirt.rendered import RenderedDomain
from iecpod.yaml.document import load_yaml
from tests.contract.net_namespaces import Namespace
from tests.eventually import eventually
from tests.random_wiring import make_wiring
from tests.unit.providers.libvirt.test_random_wiring import config_of, plan_wiring

NETWORKD = Path("/lib/systemd/systemd-networkd")
#: How many PODs that are accepted are tried, and from which seed on.
PODS, SEED = int(os.environ.get("IECPOD_TEST_WIRINGS", "4")), int(os.environ.get("IECPOD_TEST_WIRINGS_SEED", "0"))
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not NETWORKD.exists(), reason="needs root for namespaces, and systemd-networkd"
)

#: Prints the units that cloud-init makes of a network configuration, by device.
RENDER = """
import json, sys
from cloudinit.net.network_state import parse_net_config_data
from cloudinit.net.networkd import network_state_to_networkd
print(json.dumps(network_state_to_networkd(parse_net_config_data(json.load(sys.stdin)))))
"""
#: In a namespace of mounts: units from standard input, and a /sys that says that there is no udev to wait for.
CONFIGURE = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases
chown -R systemd-network:systemd-network /run/systemd/netif
tar -x -C /run/systemd/network
mount -t sysfs -o ro sysfs /sys
exec "$1"
"""


@pytest.fixture(scope="module")
def cloud_init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Debian's cloud-init is, unpacked and not installed."""
    directory = tmp_path_factory.mktemp("cloud-init")
    fetched = subprocess.run(
        ["apt-get", "download", "-o", "APT::Sandbox::User=", "cloud-init"],
        cwd=directory,
        capture_output=True,
        text=True,
    )
    if fetched.returncode != 0:
        pytest.skip(f"no archive has cloud-init: {fetched.stderr[-200:]}")
    (package,) = directory.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, directory / "tree"], check=True)
    return directory / "tree/usr/lib/python3/dist-packages"


@dataclass(frozen=True)
class Device:
    """As the kernel shows it; routes are (network, next hop) without those of its own addresses."""

    mtu: int
    addresses: frozenset[str]
    routes: frozenset[tuple[str, str]]


def planned_devices(rendered: RenderedDomain) -> dict[str, Device]:
    found: dict[str, Device] = {}
    for vnic in rendered.domain.vnics:
        found[vnic.guest_device] = Device(vnic.mtu, frozenset(), frozenset())
        for network in vnic.networks:
            found[vnic.device_of(network)] = planned_device(vnic, network)
    return found


def planned_device(vnic: Vnic, network: NicNetwork) -> Device:
    routes = {(str(cidr), str(via)) for cidr, via in network.routes}
    if network.gateway:
        routes.add(("default", str(network.gateway)))
    return Device(vnic.mtu, frozenset({str(network.address)} if network.address else ()), frozenset(routes))


def render_units(cloud_init: Path, config: dict[str, Any]) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(cloud_init)}
    done = subprocess.run(
        [sys.executable, "-c", RENDER],
        input=json.dumps(config),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    units: dict[str, str] = json.loads(done.stdout)
    return units


class Node:
    """A namespace with the NICs of a machine, and networkd in it."""

    def __init__(self, namespace: Namespace, config: dict[str, Any]) -> None:
        self._namespace = namespace
        macs = {name: nic["match"]["macaddress"] for name, nic in config["ethernets"].items()}
        macs |= {name: macs[vlan["link"]] for name, vlan in config.get("vlans", {}).items()}
        for number, (name, mac) in enumerate(macs.items()):
            peer = ("type", "veth", "peer", "name", f"wire{number}")
            namespace.run("ip", "link", "add", name, "address", mac, *peer)
            namespace.run("ip", "link", "set", f"wire{number}", "mtu", "9000", "up")
        self._names = tuple(macs)

    def configure(self, units: dict[str, str], directory: Path) -> None:
        (directory / "units").mkdir()
        for name, text in units.items():
            (directory / "units" / f"10-cloud-init-{name}.network").write_text(text)
        archive = directory / "units.tar"
        subprocess.run(["tar", "-c", "-f", archive, "-C", directory / "units", "."], check=True)
        script = f"exec < {archive}\n{CONFIGURE}"
        self._namespace.start("unshare", "--mount", "sh", "-euc", script, "node", str(NETWORKD), log=directory / "log")

    def devices(self) -> dict[str, Device]:
        return {name: self._device(name) for name in self._names}

    def _device(self, name: str) -> Device:
        (shown,) = json.loads(self._namespace.run("ip", "-j", "-4", "address", "show", "dev", name).stdout or "[]") or [
            {}
        ]
        shown = shown or self._link(name)
        routes = json.loads(self._namespace.run("ip", "-j", "-4", "route", "show", "dev", name).stdout or "[]")
        return Device(
            shown["mtu"],
            frozenset(f"{item['local']}/{item['prefixlen']}" for item in shown.get("addr_info", ())),
            frozenset((route["dst"], route["gateway"]) for route in routes if "gateway" in route),
        )

    def _link(self, name: str) -> dict[str, Any]:
        (link,) = json.loads(self._namespace.run("ip", "-j", "link", "show", "dev", name).stdout)
        found: dict[str, Any] = link
        return found


def check_node(cloud_init: Path, rendered: RenderedDomain, directory: Path) -> None:
    config, expected, namespace = config_of(rendered), planned_devices(rendered), Namespace()
    directory.mkdir()
    try:
        node = Node(namespace, config)
        node.configure(render_units(cloud_init, config), directory)
        is_there = eventually(lambda: node.devices() == expected, 30)
        log = (directory / "log").read_text()
        assert is_there, f"{rendered.seed.network_config}\n{node.devices()}\n{expected}\n{log}"
    finally:
        namespace.end()


def accepted_pods(directory: Path) -> Iterator[LibvirtPlan]:
    """PODs that validate and plan accept, from the first seed on."""
    for seed in itertools.count(SEED):
        planned = plan_wiring(directory / str(seed), make_wiring(random.Random(seed)))
        if planned is not None:
            yield planned
        shutil.rmtree(directory / str(seed))


def test_nodes_of_random_pods_have_what_was_planned(cloud_init: Path, tmp_path: Path) -> None:
    for number, planned in enumerate(itertools.islice(accepted_pods(tmp_path), PODS)):
        check_node(cloud_init, planned.rendered.domains[0], tmp_path / f"node-{number}")


def test_cloud_init_s_schema_takes_user_data(cloud_init: Path, tmp_path: Path) -> None:
    schema = json.loads((cloud_init / "cloudinit/config/schemas/schema-cloud-config-v1.json").read_text())
    validator = jsonschema.Draft4Validator(schema)
    for rendered in next(accepted_pods(tmp_path)).rendered.domains:
        data = load_yaml(rendered.seed.user_data, "user-data").data
        assert isinstance(data, dict)
        assert [error.message for error in validator.iter_errors(data)] == []
        assert list(validator.iter_errors({**data, "bootcmd": 5})), "the schema says something"
