"""The check of the result, against a shell that answers from a script and a server of our own on loopback."""

from __future__ import annotations

import dataclasses
import http.server
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from iecpod.cni.registry import CNIS
from iecpod.deploy.node.pod_namespace import AWAIT_POLICY, REACH, WELCOME
from iecpod.deploy.phases.verify import FETCH, RECORD_PATH, VerifyPhase
from iecpod.deploy.phases.verify_paths import fetch_from_outside
from iecpod.design.cluster import Cni, DesiredCluster
from iecpod.errors import NodeError, NodeUnreachable, WaitTimeout
from iecpod.ports import CommandResult
from iecpod.yaml.document import load_yaml_all
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools

PAGE = "<h1>Welcome to nginx!</h1>"

#: What is taken back, by path; the pods last, and at once.
REMOVED = [
    "/api/v1/namespaces/default/services/iecpod-verify-nginx",
    "/api/v1/namespaces/default/replicationcontrollers/iecpod-verify-nginx?propagationPolicy=Background",
    "/api/v1/namespaces/default/pods?labelSelector=app%3Diecpod-verify-nginx&gracePeriodSeconds=0",
]


@pytest.fixture
def port() -> Iterator[int]:
    """A server that welcomes as nginx does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def _to_loopback(port: int) -> Callable[[str, int, float], socket.socket]:
    return lambda _address, _port, seconds: socket.create_connection(("127.0.0.1", port), seconds)


def _pod(name: str, node: str, address: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIP": address, "containerStatuses": [{"ready": True}]},
    }


def _dns(available: str, message: str = "") -> str:
    return json.dumps({"status": {"conditions": [{"type": "Available", "status": available, "message": message}]}})


ANSWERED = CommandResult(0, PAGE, "")
ROUTES = "".join(f"100.100.{n}.0/24 via 172.16.10.{36 + n} dev enp2s0 proto 17\n" for n in range(3))


def _shell(
    hostname: str,
    pod_address: str = "100.100.2.3",
    in_pod: tuple[CommandResult, ...] = (ANSWERED,),
    dns: tuple[str, ...] = (_dns("True"),),
    pods: Sequence[dict[str, Any]] = (),
) -> FakeShell:
    shell = FakeShell(hostname)
    kubectl = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
    pods = pods or [_pod("a", "iec02", "100.100.1.2"), _pod("b", "iec03", pod_address)]
    service = {"spec": {"clusterIP": "172.16.1.77", "ports": [{"nodePort": 30080}]}}
    raw = "--raw=/api/v1/namespaces/default"
    shell.on(*kubectl, "apply").on(*kubectl, "delete")
    shell.on(*kubectl, "get", f"--raw={RECORD_PATH}", stderr="Error from server (NotFound): x", returncode=1)
    shell.on(*kubectl, "get", f"{raw}/pods?labelSelector=app%3Diecpod-verify-nginx", stdout=json.dumps({"items": pods}))
    shell.on(*kubectl, "get", f"{raw}/services/iecpod-verify-nginx", stdout=json.dumps(service))
    for status in dns:
        shell.on(*kubectl, "get", "--raw=/apis/apps/v1/namespaces/kube-system/deployments/coredns", stdout=status)
    for result in in_pod:
        shell.reply((*kubectl, "exec"), result)
    shell.on("ip", "-4", "route", "show", stdout=ROUTES)
    return shell.on("sh", "-c", FETCH).on("sh", "-c", REACH, stdout=PAGE).on("sh", "-c", AWAIT_POLICY)


def _phase(cluster: DesiredCluster, shells: dict[str, FakeShell], port: int) -> VerifyPhase:
    return VerifyPhase(cluster, shells, fake_phase_tools(), _to_loopback(port))


@pytest.fixture
def shells(cluster: DesiredCluster) -> dict[str, FakeShell]:
    return {node.hostname: _shell(node.hostname) for node in cluster.nodes}


def _calls(shells: dict[str, FakeShell]) -> list[tuple[str, ...]]:
    return [call for shell in shells.values() for call in shell.calls]


def _deleted(shell: FakeShell) -> list[str]:
    return [call[3].removeprefix("--raw=") for call in shell.calls if "delete" in call]


def test_every_way_is_tried_and_the_result_kept(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    _phase(cluster, shells, port).run()
    for hostname, address in (("iec01", "172.16.10.36"), ("iec02", "172.16.10.37"), ("iec03", "172.16.10.38")):
        (fetched,) = (call[-2:] for call in shells[hostname].calls if FETCH in call)
        assert fetched == ("http://172.16.1.77/", f"http://{address}:30080/")
    reached = {(hostname, *call[-2:]) for hostname, shell in shells.items() for call in shell.calls if REACH in call}
    assert reached == {("iec02", "100.100.1.2", "100.100.2.3"), ("iec03", "100.100.2.3", "100.100.1.2")}
    assert ("http://iecpod-verify-nginx.default.svc.cluster.local/",) in {call[-1:] for call in _calls(shells)}
    assert b"iecpod-verified" in shells["iec01"].inputs[-1]
    assert _deleted(shells["iec01"]) == REMOVED


def test_a_release_without_dns_is_not_asked_for_names(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    cluster = dataclasses.replace(cluster, release=dataclasses.replace(cluster.release, coredns=False))
    _phase(cluster, shells, port).run()
    assert not any("cluster.local" in argument for call in _calls(shells) for argument in call)
    (command,) = (call for call in shells["iec01"].calls if "exec" in call)
    assert command[-1] == "http://100.100.2.3/", "a command in a pod is tried all the same"


def test_a_name_is_asked_for_once_coredns_is_available(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    waiting = _dns("False", "Deployment does not have minimum availability.")
    shells["iec01"] = _shell("iec01", dns=('{"status": {}}', waiting, waiting, _dns("True")))
    _phase(cluster, shells, port).run()
    looks = [index for index, call in enumerate(shells["iec01"].calls) if "coredns" in call[-1]]
    (name,) = (index for index, call in enumerate(shells["iec01"].calls) if "cluster.local" in call[-1])
    assert len(looks) == 4 and max(looks) < name


def test_a_coredns_that_does_not_come_up_is_named(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    shells["iec01"] = _shell("iec01", dns=(_dns("False", "Deployment does not have minimum availability."),))
    with pytest.raises(WaitTimeout) as caught:
        _phase(cluster, shells, port).run()
    assert caught.value.awaited == "CoreDNS available"
    assert caught.value.last_seen == "Deployment does not have minimum availability."
    assert "describe pods --selector k8s-app=kube-dns" in caught.value.remedy
    assert not any("cluster.local" in call[-1] for call in _calls(shells))


# Network policies


def _policies(shell: FakeShell) -> list[str]:
    """The names of those that were applied, in order."""
    applied = (sent for call, sent in zip(shell.calls, shell.inputs, strict=True) if "apply" in call)
    documents = (document.data for sent in applied for document in load_yaml_all(sent, "x"))
    return [
        data["metadata"]["name"] for data in documents if isinstance(data, dict) and data["kind"] == "NetworkPolicy"
    ]


def _policy_checks(shell: FakeShell) -> list[tuple[str, ...]]:
    return [call[5:] for call in shell.calls if AWAIT_POLICY in call]


@pytest.mark.parametrize("cni", [CNIS["kube-router"], CNIS["calico"], CNIS["calico-operator"]])
def test_a_policy_is_seen_to_deny_and_to_allow(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int, cni: Cni
) -> None:
    """Both come into force a moment after they are there; a node that does not answer meanwhile is asked again."""
    shells["iec02"].replace(("sh", "-c", AWAIT_POLICY), NodeUnreachable("iec02", "connection reset"))
    for returncode in (5, 0):
        shells["iec02"].on("sh", "-c", AWAIT_POLICY, stdout=PAGE, returncode=returncode)
    _phase(dataclasses.replace(cluster, cni=cni), shells, port).run()
    assert _policies(shells["iec01"]) == ["iecpod-verify-nginx-deny", "iecpod-verify-nginx-allow"]
    pods = ("100.100.1.2", "100.100.2.3")
    assert _policy_checks(shells["iec02"]) == [(*pods, "denied")] * 3 + [(*pods, "allowed")]
    policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/iecpod-verify-nginx-"
    assert _deleted(shells["iec01"]) == [*REMOVED[:2], f"{policies}deny", f"{policies}allow", REMOVED[2]]
    assert b"service-name network-policy" in shells["iec01"].inputs[-1]


@pytest.mark.parametrize(
    ("replies", "awaited", "last_seen"),
    [
        ((CommandResult(5, PAGE, ""),), "a network policy that denies, in force", "nginx still answers"),
        (
            (CommandResult(0, "", ""), CommandResult(5, "curl: (7) refused", "")),
            "a network policy that allows, in force",
            "curl: (7) refused",
        ),
        (
            (CommandResult(3, "", ""),),
            "a network policy that denies, in force",
            "no namespace has the address 100.100.1.2",
        ),
    ],
)
def test_a_policy_that_is_not_enforced_is_named_and_removed(
    cluster: DesiredCluster,
    shells: dict[str, FakeShell],
    port: int,
    replies: tuple[CommandResult, ...],
    awaited: str,
    last_seen: str,
) -> None:
    shells["iec02"].replace(("sh", "-c", AWAIT_POLICY), replies[0])
    for reply in replies[1:]:
        shells["iec02"].reply(("sh", "-c", AWAIT_POLICY), reply)
    with pytest.raises(WaitTimeout) as caught:
        _phase(dataclasses.replace(cluster, cni=CNIS["kube-router"]), shells, port).run()
    assert (caught.value.awaited, caught.value.last_seen) == (awaited, last_seen)
    assert "see the log of kube-router on iec03" in caught.value.remedy
    assert any("networkpolicies" in path for path in _deleted(shells["iec01"]))
    assert not any(b"iecpod-verified" in sent for sent in shells["iec01"].inputs)


@pytest.mark.parametrize("cni", [CNIS["bridge"], CNIS["flannel"]])
def test_a_pod_network_without_policies_is_asked_for_none(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int, cni: Cni
) -> None:
    _phase(dataclasses.replace(cluster, cni=cni), shells, port).run()
    assert _policies(shells["iec01"]) == []
    assert not any("networkpolicies" in argument for call in _calls(shells) for argument in call)
    assert b"network-policy" not in shells["iec01"].inputs[-1]


# A POD of one node


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_pods_are_on_different_nodes_where_there_are_several(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int, nodes: int
) -> None:
    """On one node the two pods share it, and all else is checked as ever."""
    cluster = dataclasses.replace(cluster, nodes=cluster.nodes[:nodes], cni=CNIS["kube-router"])
    shells = {node.hostname: shells[node.hostname] for node in cluster.nodes}
    pods = [_pod("a", "iec01", "100.100.0.2"), _pod("b", cluster.nodes[-1].hostname, "100.100.0.3")]
    shells["iec01"] = _shell("iec01", pods=pods)
    reporter = RecordingReporter()
    VerifyPhase(cluster, shells, fake_phase_tools(reporter=reporter), _to_loopback(port)).run()
    manifest = next(sent for call, sent in zip(shells["iec01"].calls, shells["iec01"].inputs, strict=True) if sent)
    assert (b"podAntiAffinity" in manifest) == (nodes > 1)
    across = " across nodes" if nodes > 1 else ""
    assert f"pods reach each other{across}, with full packets" in reporter.lines
    assert b"network-policy" in shells["iec01"].inputs[-1]


def test_addresses_from_elsewhere_are_named(cluster: DesiredCluster, shells: dict[str, FakeShell], port: int) -> None:
    shells["iec01"] = _shell("iec01", pod_address="192.168.0.3")
    with pytest.raises(NodeError) as caught:
        _phase(cluster, shells, port).run()
    assert caught.value.cause == "iec01: pod b has address 192.168.0.3, which is not in the planned 100.100.0.0/16"
    assert _deleted(shells["iec01"]) == REMOVED, "what was made is removed"


def test_an_api_server_that_restarts_is_waited_for(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    refused = CommandResult(1, "", "The connection to the server 172.16.10.36:6443 was refused\n")
    shells["iec01"] = _shell("iec01", in_pod=(refused, CommandResult(0, PAGE, "")))
    _phase(cluster, shells, port).run()
    assert sum("exec" in call for call in shells["iec01"].calls) == 2


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        (
            CommandResult(1, PAGE, "PING\nmessage too long\n"),
            "packets of full size do not get from pod 100.100.1.2 to pod 100.100.2.3: message too long",
        ),
        (CommandResult(3, "", ""), "no namespace has the address 100.100.1.2 of a pod"),
    ],
)
def test_what_does_not_change_by_waiting_is_named_at_once(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int, result: CommandResult, cause: str
) -> None:
    shells["iec02"].replace(("sh", "-c", REACH), result)
    with pytest.raises(NodeError) as caught:
        _phase(cluster, shells, port).run()
    assert caught.value.cause == f"iec02: {cause}" and caught.value.remedy
    assert sum(REACH in call for call in shells["iec02"].calls) == 1


@pytest.mark.parametrize(
    ("result", "seen"),
    [
        (CommandResult(4, "", "curl: (7) Couldn't connect to server\n"), "curl: (7) Couldn't connect to server"),
        (CommandResult(0, "<h1>It works!</h1>", ""), "<h1>It works!</h1>"),
    ],
)
def test_a_pod_that_does_not_reach_another_is_waited_for(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int, result: CommandResult, seen: str
) -> None:
    shells["iec02"].replace(("sh", "-c", REACH), result)
    with pytest.raises(WaitTimeout) as caught:
        _phase(cluster, shells, port).run()
    assert f"pod 100.100.1.2 does not reach pod 100.100.2.3: {seen}" in caught.value.cause and caught.value.remedy
    assert sum(REACH in call for call in shells["iec02"].calls) > 1


def test_a_pod_that_reaches_another_a_moment_later_is_well(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    shells["iec02"].replace(("sh", "-c", REACH), CommandResult(4, "", "curl: (7) Couldn't connect to server\n"))
    shells["iec02"].on("sh", "-c", REACH, stdout=PAGE)
    _phase(cluster, shells, port).run()
    assert sum(REACH in call for call in shells["iec02"].calls) == 2


def test_a_node_that_is_silent_in_between_is_asked_again(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    for script, answer in ((REACH, PAGE), (FETCH, "")):
        shells["iec02"].replace(("sh", "-c", script), NodeUnreachable("iec02", "connection reset"))
        shells["iec02"].on("sh", "-c", script, stdout=answer)
    _phase(cluster, shells, port).run()
    assert sum(REACH in call for call in shells["iec02"].calls) == 2


def test_a_pod_on_a_machine_of_nobody_is_named(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    shells["iec01"] = _shell("iec01", pods=[_pod("a", "iec09", "100.100.1.2"), _pod("b", "iec03", "100.100.2.3")])
    with pytest.raises(NodeError, match="iec09 is no node of the POD"):
        _phase(cluster, shells, port).run()


def test_a_jumpserver_that_reaches_nothing_is_reported_at_which_address(
    cluster: DesiredCluster, shells: dict[str, FakeShell]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(WaitTimeout) as caught:
        _phase(cluster, shells, port).run()
    assert "nginx at 172.16.10.36:30080 from the jumpserver" in caught.value.cause


def test_what_speaks_no_http_is_an_os_error() -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(OSError, match="no HTTP answer"):
        theirs.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        theirs.shutdown(socket.SHUT_WR)
        fetch_from_outside(lambda _address, _port, _seconds: ours, "172.16.10.36", 30080)


@pytest.mark.parametrize("script", [FETCH, REACH, AWAIT_POLICY])
def test_what_nodes_run_are_shell_scripts(script: str) -> None:
    assert subprocess.run(["sh", "-n", "-c", script], check=True).returncode == 0


def test_pages_are_fetched_until_one_is_another(tmp_path: Path) -> None:
    fetch = '#!/bin/sh\nfor url; do :; done\ncat "${url#http://}" 2> /dev/null || { echo "curl: (7)" >&2; exit 7; }\n'
    (tmp_path / "curl").write_text(fetch)
    (tmp_path / "curl").chmod(0o755)
    (tmp_path / "good").write_text(PAGE)
    (tmp_path / "bad").write_text("It works!")

    def fetched(*names: str) -> int:
        urls = [f"http://{tmp_path}/{name}" for name in names]
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(["sh", "-c", FETCH, "fetch", WELCOME, *urls], env=environment, check=False).returncode

    assert (fetched("good", "good"), fetched("good", "bad"), fetched("good", "absent")) == (0, 1, 1)
