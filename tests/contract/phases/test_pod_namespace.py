"""What a node tries of its pods' ways, in network namespaces of the test with a server that says what nginx says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from iecpod.deploy.node.pod_namespace import WELCOME, Policy, check_policy, check_reach
from iecpod.errors import NodeError
from iecpod.ports import CommandResult
from iecpod.wait import NotYet
from tests.contract.net_namespaces import Namespace, joined
from tests.eventually import eventually
from tests.fakes import FakeShell

#: Of the network for benchmarks (RFC 2544), since the machine is looked through for the first.
OWN, OTHER = IPv4Address("198.18.77.1"), IPv4Address("198.18.77.2")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[tuple[Namespace, Namespace]]:
    (tmp_path / "index.html").write_text(f"<h1>{WELCOME}!</h1>")
    with joined((str(OWN), str(OTHER))) as (own, other):
        server = ("-m", "http.server", "--directory", str(tmp_path), "80")
        other.start(sys.executable, *server, log=tmp_path / "log")
        assert eventually(lambda: own.connects(str(OTHER), 80), 20)
        yield own, other


@pytest.fixture
def node(tmp_path: Path) -> FakeShell:
    """This machine, with a ping that takes packets of up to 1450 bytes with their headers, and notes their size."""
    ping = tmp_path / "bin/ping"
    ping.parent.mkdir()
    ping.write_text(
        '#!/bin/sh\nwhile test "$1" != -s; do shift; done\n'
        f'echo "$2 $3" >> {tmp_path}/pings\ntest "$2" -le 1422 || {{ echo "message too long" >&2; exit 1; }}\n'
    )
    ping.chmod(0o755)
    environment = {"PATH": f"{ping.parent}:{os.environ['PATH']}"}

    def run(argv: Sequence[str], _stdin: bytes) -> CommandResult:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=environment)
        return CommandResult(done.returncode, done.stdout, done.stderr)

    return FakeShell().reply(("sh",), run)


def test_the_page_and_full_packets_come_from_pod_to_pod(
    pods: tuple[Namespace, Namespace], node: FakeShell, tmp_path: Path
) -> None:
    with pytest.raises(NodeError, match=r"packets of full size do not get from pod .*: message too long"):
        check_reach(node, OWN, OTHER, "see the log")
    pods[0].run("ip", "link", "set", "mgmt", "mtu", "1450")
    check_reach(node, OWN, OTHER, "see the log")
    assert (tmp_path / "pings").read_text() == f"1472 {OTHER}\n1422 {OTHER}\n"


def test_a_pod_that_nobody_is_and_one_that_does_not_answer(pods: tuple[Namespace, Namespace], node: FakeShell) -> None:
    with pytest.raises(NodeError, match=r"no namespace has the address 198\.18\.77\.9"):
        check_reach(node, IPv4Address("198.18.77.9"), OTHER, "see the log")
    with pytest.raises(NotYet, match=r"does not reach pod 198\.18\.77\.1: curl: \(7\)"):
        check_reach(node, OTHER, OWN, "see the log")


@pytest.mark.parametrize("target", ["REJECT", "DROP"])
def test_a_policy_is_seen_to_deny_and_to_allow(pods: tuple[Namespace, Namespace], node: FakeShell, target: str) -> None:
    check_policy(node, OWN, OTHER, Policy.ALLOWED, most_seconds=5)
    with pytest.raises(NotYet, match="nginx still answers"):
        check_policy(node, OWN, OTHER, Policy.DENIED, most_seconds=2)
    rule = ("INPUT", "--protocol", "tcp", "--dport", "80", "--jump", target)
    pods[1].run("iptables", "--append", *rule)
    check_policy(node, OWN, OTHER, Policy.DENIED, most_seconds=5)
    with pytest.raises(NotYet, match="curl: "):
        check_policy(node, OWN, OTHER, Policy.ALLOWED, most_seconds=1)
    pods[1].run("iptables", "--delete", *rule)
    check_policy(node, OWN, OTHER, Policy.ALLOWED, most_seconds=5)


def test_a_denial_that_comes_late_is_awaited_on_the_node(pods: tuple[Namespace, Namespace], node: FakeShell) -> None:
    later = "sleep 3; iptables --append INPUT --protocol tcp --dport 80 --jump REJECT"
    process = subprocess.Popen(pods[1].argv("sh", "-c", later))
    check_policy(node, OWN, OTHER, Policy.DENIED, most_seconds=30)
    process.wait()
    assert len(node.calls) == 1
