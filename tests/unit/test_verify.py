"""The check of the result, against a shell that answers from a script and a server of our own on loopback."""

from __future__ import annotations

import dataclasses
import http.server
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from iecpod.design.cluster import DesiredCluster
from iecpod.errors import NodeError, WaitTimeout
from iecpod.phases.verify import VerifyPhase
from iecpod.phases.verify_paths import fetch_from_outside
from iecpod.ports import CommandResult
from tests.fakes import FakeShell, fake_watch

PAGE = "<h1>Welcome to nginx!</h1>"


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


def _shell(
    hostname: str, pod_address: str = "100.100.2.3", in_pod: tuple[CommandResult, ...] = (CommandResult(0, PAGE, ""),)
) -> FakeShell:
    shell = FakeShell(hostname)
    kubectl = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
    pods = [_pod("a", "iec02", "100.100.1.2"), _pod("b", "iec03", pod_address)]
    service = {"spec": {"clusterIP": "172.16.1.77", "ports": [{"nodePort": 30080}]}}
    raw = "--raw=/api/v1/namespaces/default"
    shell.on(*kubectl, "apply").on(*kubectl, "delete")
    shell.on(*kubectl, "get", f"{raw}/pods?labelSelector=app%3Diecpod-verify-nginx", stdout=json.dumps({"items": pods}))
    shell.on(*kubectl, "get", f"{raw}/services/iecpod-verify-nginx", stdout=json.dumps(service))
    for result in in_pod:
        shell.reply((*kubectl, "exec"), result)
    return shell.on("curl", stdout=PAGE).on("sh", "-c")


def _phase(cluster: DesiredCluster, shells: dict[str, FakeShell], port: int) -> VerifyPhase:
    return VerifyPhase(cluster, shells, fake_watch(), _to_loopback(port))


@pytest.fixture
def shells(cluster: DesiredCluster) -> dict[str, FakeShell]:
    return {node.hostname: _shell(node.hostname) for node in cluster.nodes}


def _calls(shells: dict[str, FakeShell]) -> list[tuple[str, ...]]:
    return [call for shell in shells.values() for call in shell.calls]


def test_every_way_is_tried_and_the_result_kept(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    _phase(cluster, shells, port).run()
    for hostname, address in (("iec01", "172.16.10.36"), ("iec02", "172.16.10.37"), ("iec03", "172.16.10.38")):
        fetched = {call[-1] for call in shells[hostname].calls if call[0] == "curl"}
        assert fetched == {"http://172.16.1.77/", f"http://{address}:30080/"}
    pings = {call[-2:] for call in _calls(shells) if call[:2] == ("sh", "-c")}
    assert pings == {("100.100.1.2", "100.100.2.3"), ("100.100.2.3", "100.100.1.2")}
    assert ("http://iecpod-verify-nginx.default.svc.cluster.local/",) in {call[-1:] for call in _calls(shells)}
    assert b"iecpod-verified" in shells["iec01"].inputs[-1]
    assert sum("delete" in call for call in _calls(shells)) == 2


def test_a_release_without_dns_is_not_asked_for_names(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    cluster = dataclasses.replace(cluster, release=dataclasses.replace(cluster.release, coredns=False))
    _phase(cluster, shells, port).run()
    assert not any("cluster.local" in argument for call in _calls(shells) for argument in call)


def test_addresses_from_elsewhere_are_named(cluster: DesiredCluster, shells: dict[str, FakeShell], port: int) -> None:
    shells["iec01"] = _shell("iec01", pod_address="192.168.0.3")
    with pytest.raises(NodeError) as caught:
        _phase(cluster, shells, port).run()
    assert caught.value.cause == "iec01: pod b has address 192.168.0.3, which is not in the planned 100.100.0.0/16"
    assert sum("delete" in call for call in _calls(shells)) == 2, "what was made is removed"


def test_an_api_server_that_restarts_is_waited_for(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    refused = CommandResult(1, "", "The connection to the server 172.16.10.36:6443 was refused\n")
    shells["iec01"] = _shell("iec01", in_pod=(refused, CommandResult(0, PAGE, "")))
    _phase(cluster, shells, port).run()
    assert sum("exec" in call for call in shells["iec01"].calls) == 4


def test_a_pod_that_does_not_reach_another_is_named_at_once(
    cluster: DesiredCluster, shells: dict[str, FakeShell], port: int
) -> None:
    ended = CommandResult(7, "", "curl: (7) Couldn't connect to server\ncommand terminated with exit code 7\n")
    shells["iec01"] = _shell("iec01", in_pod=(ended,))
    with pytest.raises(NodeError) as caught:
        _phase(cluster, shells, port).run()
    assert "pod a does not reach pod 100.100.2.3 on iec03: curl: (7)" in caught.value.cause
    assert sum("exec" in call for call in shells["iec01"].calls) == 1


def test_a_path_that_cuts_packets_is_named(cluster: DesiredCluster, shells: dict[str, FakeShell], port: int) -> None:
    shells["iec02"].reply(("sh", "-c", _ping_script(cluster, shells, port)), CommandResult(1, "", "message too long\n"))
    with pytest.raises(NodeError) as caught:
        _phase(cluster, shells, port).run()
    assert caught.value.cause == (
        "iec02: packets of full size do not get from pod 100.100.1.2 to pod 100.100.2.3 on iec03: message too long"
    )


def _ping_script(cluster: DesiredCluster, shells: dict[str, FakeShell], port: int) -> str:
    _phase(cluster, shells, port).run()
    return next(call[2] for call in shells["iec02"].calls if call[:2] == ("sh", "-c"))


def test_a_jumpserver_that_reaches_nothing_is_told_at_which_address(
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


def test_the_ping_script_is_a_shell_script(cluster: DesiredCluster, shells: dict[str, FakeShell], port: int) -> None:
    script = _ping_script(cluster, shells, port)
    assert subprocess.run(["sh", "-n", "-c", script], check=True).returncode == 0
    assert r"s/.* mtu \([0-9]*\) .*/\1/p" in script
