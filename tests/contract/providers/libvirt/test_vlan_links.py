"""Links between bridges, in a kernel: frames have their tags on the trunk, and none on the bridges of the networks."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.errors import CommandFailed, HostError
from iecpod.model import PodRef
from iecpod.providers.libvirt.embedded.namespaces import run_inside
from iecpod.providers.libvirt.objects import VlanLink
from iecpod.providers.libvirt.vlan.kernel import Direction, attach
from iecpod.providers.libvirt.vlan.links import BridgeVlanLinks
from tests import pods
from tests.contract.net_namespaces import Namespace
from tests.eventually import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

MTU = 9000
LINKS = (
    VlanLink(vlan=15, trunk="trunk0", bridge="mgmt", mtu=MTU),
    VlanLink(vlan=4094, trunk="trunk0", bridge="public", mtu=MTU),
)
ADDRESSES = {"mgmt": "172.16.10", "public": "10.0.19"}

#: Asks by ARP for an address, in a frame with a tag (0: without), and prints address and tag of who answers.
ASK = """
import socket, struct, sys
device, tag, wanted = sys.argv[1], int(sys.argv[2]), socket.inet_aton(sys.argv[3])
own = socket.inet_aton(sys.argv[3].rpartition(".")[0] + ".99")
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((device, 0))
wire.setsockopt(263, 8, 1)
wire.settimeout(2)
mac = bytes.fromhex("525400aabbcc")
header = b"\\xff" * 6 + mac + (struct.pack("!HH", 0x8100, tag) if tag else b"") + struct.pack("!H", 0x0806)
wire.send(header + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + own + bytes(6) + wanted)
while True:
    try:
        frame, ancillary, _, _ = wire.recvmsg(2048, 512)
    except TimeoutError:
        sys.exit("nobody")
    if frame[:6] == mac and frame[12:14] == b"\\x08\\x06":
        print(socket.inet_ntoa(frame[28:32]), struct.unpack_from("=H", ancillary[0][2], 16)[0])
        break
"""

#: Sends or receives some megabytes, and prints their digest.
SERVE = """
import hashlib, socket, sys
with socket.create_server((sys.argv[1], 5000)) as server:
    print("ready", flush=True)
    connection = server.accept()[0]
    digest = hashlib.sha256()
    while piece := connection.recv(65536):
        digest.update(piece)
    connection.sendall(digest.hexdigest().encode())
"""
SEND = """
import hashlib, socket, sys
content = bytes(range(256)) * 4096 * 8
with socket.create_connection((sys.argv[1], 5000), 10) as connection:
    connection.sendall(content)
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(100).decode(), hashlib.sha256(content).hexdigest())
"""


def links_in(namespace: Namespace, ref: PodRef = pods.REF) -> BridgeVlanLinks:
    path = Path(f"/proc/{namespace.pid}/ns/net")
    return BridgeVlanLinks(pods.owner(ref), namespace.argv(), lambda action: run_inside(path, action))


def with_bridges(namespace: Namespace, last: int) -> None:
    """A trunk, and bridges with addresses, as libvirt makes them."""
    namespace.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore")
    for bridge in ("trunk0", *ADDRESSES):
        namespace.run("ip", "link", "add", bridge, "mtu", str(MTU), "type", "bridge")
        namespace.run("ip", "link", "set", bridge, "up")
    for bridge, network in ADDRESSES.items():
        namespace.run("ip", "address", "add", f"{network}.{last}/24", "dev", bridge)


@pytest.fixture
def host() -> Iterator[Namespace]:
    namespace = Namespace()
    try:
        with_bridges(namespace, 1)
        yield namespace
    finally:
        namespace.end()


@pytest.fixture
def guest(host: Namespace) -> Iterator[Namespace]:
    """Plugged into the trunk by a device that is called `nic`."""
    namespace = Namespace()
    try:
        host.run("ip", "link", "add", "tap", "mtu", str(MTU), "type", "veth", "peer", "name", "nic", "mtu", str(MTU))
        host.run("ip", "link", "set", "nic", "netns", str(namespace.pid))
        host.run("ip", "link", "set", "tap", "master", "trunk0", "up")
        namespace.run("ip", "link", "set", "nic", "up")
        yield namespace
    finally:
        namespace.end()


def ask(guest: Namespace, tag: int, address: str) -> str:
    done = guest.run(sys.executable, "-c", ASK, "nic", str(tag), address, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_a_network_answers_by_its_tag_alone(host: Namespace, guest: Namespace) -> None:
    links_in(host).ensure(LINKS)
    assert ask(guest, 15, "172.16.10.1") == "172.16.10.1 15"
    assert ask(guest, 4094, "10.0.19.1") == "10.0.19.1 4094"
    for tag in (0, 14, 4094):
        assert ask(guest, tag, "172.16.10.1") == "nobody"


def test_what_is_untagged_on_the_trunk_stays_so(host: Namespace, guest: Namespace) -> None:
    host.run("ip", "address", "add", "192.168.11.1/24", "dev", "trunk0")
    links_in(host).ensure(LINKS)
    assert ask(guest, 0, "192.168.11.1") == "192.168.11.1 0"
    assert ask(guest, 15, "172.16.10.1") == "172.16.10.1 15"
    assert ask(guest, 15, "192.168.11.1") == "nobody"


def test_large_packets_get_through_both_ways(host: Namespace, guest: Namespace, tmp_path: Path) -> None:
    """The guest takes tags off by the same means: kernels of small machines have no VLAN devices."""
    with_bridges(guest, 36)
    guest.run("ip", "link", "set", "nic", "master", "trunk0")
    links_in(host).ensure(LINKS)
    links_in(guest).ensure(LINKS)
    for server, client, address in ((guest, host, "172.16.10.36"), (host, guest, "10.0.19.1")):
        log = tmp_path / f"{address}.log"
        server.start(sys.executable, "-u", "-c", SERVE, address, log=log)
        assert eventually(lambda log=log: "ready" in log.read_text(), 20)  # type: ignore[misc]
        received, sent = client.run(sys.executable, "-c", SEND, address).stdout.split()
        assert received == sent == hashlib.sha256(bytes(range(256)) * 4096 * 8).hexdigest()


def devices(namespace: Namespace) -> dict[str, int]:
    shown = json.loads(namespace.run("ip", "-j", "link", "show", "type", "veth").stdout or "[]")
    return {link["ifname"]: link["ifindex"] for link in shown if link}


def test_a_second_run_changes_nothing(host: Namespace) -> None:
    links = links_in(host)
    assert links.find_missing(LINKS) == LINKS
    links.ensure(LINKS)
    made = devices(host)
    assert links.find_missing(LINKS) == () and len(made) == 4
    links.ensure(LINKS)
    assert devices(host) == made


def test_links_of_a_bridge_that_was_made_again(host: Namespace, guest: Namespace) -> None:
    """As libvirt does when a network is started."""
    links = links_in(host)
    links.ensure(LINKS)
    host.run("ip", "link", "delete", "mgmt")
    host.run("ip", "link", "add", "mgmt", "type", "bridge")
    host.run("ip", "link", "set", "mgmt", "mtu", str(MTU), "up")
    host.run("ip", "address", "add", "172.16.10.1/24", "dev", "mgmt")
    assert links.find_missing(LINKS) == LINKS[:1]
    links.ensure(LINKS)
    assert links.find_missing(LINKS) == ()
    assert ask(guest, 15, "172.16.10.1") == "172.16.10.1 15"


def test_what_is_not_wanted_any_more_goes(host: Namespace) -> None:
    links = links_in(host)
    links.ensure(LINKS)
    links.ensure(LINKS[:1])
    assert links.find_missing(LINKS) == LINKS[1:] and len(devices(host)) == 2


def test_removal_leaves_what_is_another_pod_s(host: Namespace) -> None:
    others = links_in(host, PodRef("other", "pod1"))
    others.ensure(LINKS[:1])
    theirs = devices(host)
    links = links_in(host)
    links.ensure(LINKS)
    assert len(links.remove()) == 4
    assert devices(host) == theirs and others.find_missing(LINKS[:1]) == ()
    assert links.remove() == ()


def test_a_bridge_that_is_not_there(host: Namespace) -> None:
    with pytest.raises(CommandFailed, match="nowhere"):
        links_in(host).ensure([VlanLink(vlan=15, trunk="trunk0", bridge="nowhere", mtu=MTU)])


def test_a_program_that_the_kernel_refuses_is_an_error(host: Namespace) -> None:
    links_in(host).ensure(LINKS[:1])
    name = sorted(devices(host))[0]
    path = Path(f"/proc/{host.pid}/ns/net")
    with pytest.raises(OSError, match="bpf: Invalid argument"):
        run_inside(path, lambda: attach(name, Direction.EGRESS, bytes(8)))


def test_a_kernel_without_traffic_control_is_named(host: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: str, direction: Direction, program: bytes) -> None:
        raise OSError(95, "tc: Operation not supported")

    monkeypatch.setattr("iecpod.providers.libvirt.vlan.links.attach", refuse)
    with pytest.raises(HostError) as caught:
        links_in(host).ensure(LINKS[:1])
    assert caught.value.cause == (
        "the host's kernel does not handle the tag 15 between the bridges trunk0 and mgmt: tc: Operation not supported"
    )
    assert "CONFIG_NET_CLS_BPF" in caught.value.remedy
