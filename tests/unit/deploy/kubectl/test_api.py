"""What phases ask of an API server over HTTP: found, missing, refused, or not known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iecpod.deploy.kubectl.api import Api
from iecpod.deploy.kubectl.bootstrap_token import registered_token
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.errors import ApiRefused, NodeError, NodeUnreachable, WaitTimeout
from iecpod.ports import ApiAnswer
from iecpod.yaml.document import dump_yaml_all
from tests.fakes import FakeApiServer, FakeShell, fake_phase_tools
from tests.fakes.api_server import BUSY, FORBIDDEN, SILENT

POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"


def kubectl_of(server: FakeApiServer, shell: FakeShell | None = None, *, applies: bool = True) -> Kubectl:
    """The shell knows no kubectl unless a test gives it one."""
    return Kubectl(shell or FakeShell(), None, Api(server, "iec01", applies=applies))


def config_map(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **more}}


def test_an_object_is_missing_only_where_the_server_says_so() -> None:
    server = FakeApiServer({"/api/v1/nodes": {"items": []}})
    kubectl = kubectl_of(server)
    found = kubectl.find("/api/v1/nodes")
    assert found is not None and found.entries("items") == ()
    assert kubectl.find("/api/v1/nodes/iec02") is None
    for answer, error in ((SILENT, NodeUnreachable), (BUSY, NodeUnreachable), (FORBIDDEN, ApiRefused)):
        server.next_answers = [answer]
        with pytest.raises(error):
            kubectl.find("/api/v1/nodes/iec02")


def test_what_is_not_known_is_waited_for() -> None:
    server = FakeApiServer({"/api/v1/x": {"a": 1}})
    server.next_answers = [SILENT, BUSY, FORBIDDEN]
    found = kubectl_of(server).find_awaited("/api/v1/x", fake_phase_tools().waits)
    assert found is not None and found.value == {"a": 1} and len(server.requests) == 4


def test_a_wait_for_a_silent_server_ends() -> None:
    server = FakeApiServer()
    server.next_answers = [BUSY] * 1000
    with pytest.raises(WaitTimeout) as caught:
        kubectl_of(server).find_awaited("/api/v1/x", fake_phase_tools().waits)
    assert "answers `GET /api/v1/x` with 503: etcdserver: leader changed" in caught.value.last_seen


def test_a_refusal_names_request_and_reason() -> None:
    server = FakeApiServer()
    server.next_answers = [FORBIDDEN, ApiAnswer(400, b"not JSON" * 1000)]
    with pytest.raises(ApiRefused) as caught:
        kubectl_of(server).load("/api/v1/nodes")
    assert caught.value.cause == "iec01: the API server refuses `GET /api/v1/nodes` with 403: nodes is forbidden"
    with pytest.raises(ApiRefused) as caught:
        kubectl_of(server).load("/api/v1/nodes")
    assert len(caught.value.cause) < 1100


@pytest.mark.parametrize("content", [b"", b"[", b'"text"', b"[" * 10_000, b'{"items": 1}'])
def test_an_answer_of_another_form_is_the_node_s_fault(content: bytes) -> None:
    server = FakeApiServer()
    server.next_answers = [ApiAnswer(200, content)]
    with pytest.raises(NodeError, match="answer for /api/v1/nodes is not understood"):
        kubectl_of(server).load("/api/v1/nodes").entries("items")


def test_a_manifest_is_applied_object_by_object_where_each_belongs() -> None:
    server = FakeApiServer()
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"}}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "iec02"}}
    listing = {"apiVersion": "v1", "kind": "List", "items": [node, config_map("b")]}
    kubectl_of(server).apply(dump_yaml_all([config_map("a", namespace="kube-system"), None, policy, listing]))
    assert list(server.objects) == [
        "/api/v1/namespaces/kube-system/configmaps/a",
        f"{POLICIES}/deny",
        "/api/v1/nodes/iec02",
        "/api/v1/namespaces/default/configmaps/b",
    ]
    assert server.requests.count("GET /api/v1") == 1, "kinds are asked for once"


def test_names_stay_within_their_part_of_a_path() -> None:
    server = FakeApiServer()
    kubectl_of(server).apply(dump_yaml_all([config_map("../x?y", namespace="a/b")]))
    assert list(server.objects) == ["/api/v1/namespaces/a%2Fb/configmaps/..%2Fx%3Fy"]


def test_a_kind_that_came_later_is_found() -> None:
    """As those of an operator, which the server knows a moment after they are applied."""
    server = FakeApiServer()
    kubectl = kubectl_of(server)
    manifest = dump_yaml_all([{"apiVersion": "o.io/v1", "kind": "Installation", "metadata": {"name": "default"}}])
    with pytest.raises(ApiRefused, match="knows no Installation"):
        kubectl.apply(manifest)
    server.kinds["/apis/o.io/v1"] = {"Installation": ("installations", False)}
    kubectl.apply(manifest)
    assert "/apis/o.io/v1/installations/default" in server.objects


@pytest.mark.parametrize("item", [[1], {"kind": 1}, {"kind": "X", "apiVersion": "v1"}, {"kind": "List", "items": [3]}])
def test_a_manifest_of_another_form_is_refused(item: object) -> None:
    with pytest.raises(NodeError, match="a manifest cannot be applied"):
        kubectl_of(FakeApiServer()).apply(dump_yaml_all([item]))


def test_a_server_without_server_side_apply_is_given_manifests_by_kubectl() -> None:
    shell = FakeShell().on("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "apply")
    server = FakeApiServer({"/api/v1/x": {}})
    kubectl = kubectl_of(server, shell, applies=False)
    kubectl.apply("a: b")
    kubectl.apply_on_server("a: b")
    assert len(shell.calls) == 2 and kubectl.find("/api/v1/x") is not None and len(server.requests) == 1


def test_a_server_that_cannot_be_asked_from_here_is_asked_on_its_node() -> None:
    server = FakeApiServer()
    server.ready = False
    shell = FakeShell().on("kubectl", stdout="{}")
    kubectl = kubectl_of(server, shell)
    assert kubectl.load("/api").value == {}
    kubectl.discard("/api/v1/x")
    kubectl.create({"kind": "Secret"})
    kubectl.apply("a: b")
    assert server.requests == [] and [call[2] for call in shell.calls] == ["get", "delete", "create", "apply"]


def test_a_token_is_there_for_a_block_and_in_no_annotation() -> None:
    server = FakeApiServer()
    with registered_token(kubectl_of(server), 60) as token:
        (path,) = server.objects
        identifier = token.split(".")[0]
        assert path == f"/api/v1/namespaces/kube-system/secrets/bootstrap-token-{identifier}"
        assert token.split(".")[1] not in json.dumps(server.objects[path]["metadata"])
    assert server.objects == {}


def test_discarding_what_is_not_there_is_no_error_and_a_refusal_is_one() -> None:
    server = FakeApiServer()
    kubectl_of(server).discard("/api/v1/nodes/iec02")
    server.next_answers = [FORBIDDEN]
    with pytest.raises(ApiRefused):
        kubectl_of(server).discard("/api/v1/nodes/iec02")
