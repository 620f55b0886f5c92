"""The IEC check of the result: nginx, fetched in every way that a workload would be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from iecpod.deploy.kubectl.kubectl import KUBE_SYSTEM, Kubectl, KubectlAt
from iecpod.deploy.kubectl.network_health import find_missing_routes
from iecpod.deploy.kubectl.object_waits import wait_for_objects
from iecpod.deploy.kubectl.pod_status import cluster_ip_of, is_running, pod_state
from iecpod.deploy.node.clean_up import cleaned_up
from iecpod.deploy.node.pod_namespace import WELCOME
from iecpod.deploy.phases.verify_paths import OpenSocket, check_addresses, fetch_from_outside
from iecpod.deploy.phases.verify_pods import PodChecks
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import NodeUnreachable, WaitTimeout
from iecpod.outside_json import Json
from iecpod.ports import Shell
from iecpod.render.smoke_test import APP, POLICIES, render_nginx
from iecpod.wait import NotYet

_RUNNING_SECONDS = 180.0
#: Routers on emulated nodes have found each other half a minute after they have started.
_ROUTES_SECONDS = 180.0
_ANSWER_SECONDS = 30.0
_NAMESPACE = "/api/v1/namespaces/default"
_PODS = f"{_NAMESPACE}/pods?labelSelector=app%3D{APP}"
_POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
_RECORD = "iecpod-verified"
#: Each of the pages has a text; one command for all. Arguments: the text, URLs. A connection that was tried before
#: kube-proxy had written its rules for a service never gets to a pod, so it is given up soon, for another try.
FETCH = """
text=$1
shift
for url; do
    page=$(curl --silent --show-error --connect-timeout 5 --max-time 20 "$url") || exit 1
    case "$page" in *"$text"*) ;; *) exit 1 ;; esac
done
"""
RECORD_PATH = f"/api/v1/{KUBE_SYSTEM}/configmaps/{_RECORD}"


@dataclass(frozen=True, slots=True)
class VerifyPhase:
    """Cluster IP and NodePort from every node, NodePort from this machine, pod to pod with full packets, the service by
    its name where the release has DNS, a network policy where the pod network has them; then everything is removed.

    Two pods, on different nodes where there are several; while they start, the routes between nodes are learned. The
    result is kept in ConfigMap `kube-system/iecpod-verified`, with what was checked, so that a second deploy need not
    repeat it. With `has_routes`, what was verified has its routes: nodes whose memory was restored do.
    """

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    tools: PhaseTools
    open_socket: OpenSocket
    name: str = "verify"
    summary: str = "nginx answers by cluster IP, NodePort and from pod to pod"
    kubectl_at: KubectlAt = Kubectl
    has_routes: bool = False

    def probe(self) -> str | None:
        is_there = self._is_recorded() and (self.has_routes or not self._missing_routes())
        return "nginx answered" if is_there else None

    def run(self) -> None:
        if self._is_recorded():
            self._wait_for_routes()
        else:
            self._verify(self._kubectl)

    def _is_recorded(self) -> bool:
        return is_verified(self.cluster, self._kubectl.find_awaited(RECORD_PATH, self.tools.waits))

    def _verify(self, kubectl: Kubectl) -> None:
        with cleaned_up(lambda seconds: self._remove(kubectl, seconds)):
            kubectl.apply(render_nginx(self.cluster.release.nginx_image, spread=len(self.cluster.nodes) > 1))
            pods = self._wait_for_pods()
            self._wait_for_routes()
            service = kubectl.load(f"{_NAMESPACE}/services/{APP}")
            check_addresses(self.cluster, service, pods)
            self._check_service(service)
            self._check_from_outside(service)
            checks = PodChecks(self.cluster, self.shells, self.tools, self.kubectl_at)
            checks.check_pod_to_pod(pods)
            checks.check_exec(pods)
            if self.cluster.cni.enforces_policies:
                checks.check_policies(pods)
        self._store_record(kubectl)

    @property
    def _kubectl(self) -> Kubectl:
        return self.kubectl_at(self.shells[self.cluster.control_plane.hostname])

    def _wait_for_pods(self) -> tuple[Json, ...]:
        def probe(kubectl: Kubectl) -> tuple[Json, ...]:
            pods = kubectl.load(_PODS).entries("items")
            waiting = [pod_state(pod) for pod in pods if not is_running(pod)]
            if len(pods) < 2 or waiting:
                raise NotYet("; ".join(waiting) or f"{len(pods)} of 2 pods exist")
            return pods

        return wait_for_objects(
            "two nginx pods Running",
            probe,
            self._kubectl,
            [_PODS],
            self.tools.waits,
            seconds=_RUNNING_SECONDS,
            console_of=self.cluster.control_plane.hostname,
            remedy=f"see `{self.tools.advice.command('kubectl', 'describe', 'pods')}`",
        )

    def _missing_routes(self) -> dict[str, str]:
        return find_missing_routes(self.cluster, self.shells)

    def _wait_for_routes(self) -> None:
        """They are missing, too, where nodes that were verified have booted."""

        def probe() -> None:
            if missing := self._missing_routes():
                raise NotYet("; ".join(f"{hostname} has {what}" for hostname, what in missing.items()))

        self.tools.waits.wait_for(
            "routes between the pods of all nodes",
            probe,
            seconds=_ROUTES_SECONDS,
            remedy=self._see_logs(self.cluster.cni.name),
        )

    def _check_service(self, service: Json) -> None:
        cluster_ip, node_port = cluster_ip_of(service), _node_port(service)

        def check(hostname: str) -> None:
            node = next(node for node in self.cluster.nodes if node.hostname == hostname)
            self._wait_for_pages(hostname, f"http://{cluster_ip}/", f"http://{node.address}:{node_port}/")
            self.tools.reporter.progress("nginx answers by cluster IP and NodePort", hostname)

        self.tools.node_times.on_nodes(tuple(self.shells), check)

    def _wait_for_pages(self, hostname: str, *urls: str) -> None:
        """kube-proxy writes its rules a moment after the pods run, hence a wait and not one try."""

        def probe() -> None:
            try:
                result = self.shells[hostname].run(["sh", "-c", FETCH, "fetch", WELCOME, *urls], check=False)
            except (NodeUnreachable, WaitTimeout) as error:
                raise NotYet(error.cause.removeprefix(f"{hostname}: ")) from error
            if result.returncode != 0:
                raise NotYet((result.stderr.strip().splitlines() or ["another page answered"])[-1])

        awaited, remedy = f"nginx at {' and '.join(urls)}", self._see_logs("kube-proxy")
        self.tools.waits.wait_for(awaited, probe, seconds=_ANSWER_SECONDS, node=hostname, remedy=remedy)

    def _see_logs(self, daemon_set: str) -> str:
        command = self.tools.advice.command("kubectl", "--namespace", "kube-system", "logs", f"daemonset/{daemon_set}")
        return f"see `{command}`"

    def _check_from_outside(self, service: Json) -> None:
        """By NodePort of the first node, as users of the lab come."""
        address, port = str(self.cluster.control_plane.address), _node_port(service)

        def probe() -> None:
            try:
                page = fetch_from_outside(self.open_socket, address, port)
            except OSError as error:
                raise NotYet(str(error)) from error
            if WELCOME not in page:
                raise NotYet("another page answered")

        self.tools.waits.wait_for(
            f"nginx at {address}:{port} from the jumpserver",
            probe,
            seconds=_ANSWER_SECONDS,
            remedy="see whether the jumpserver has a route to mgmt, and no firewall in between",
        )
        self.tools.reporter.progress("nginx answers the jumpserver by NodePort")

    def _remove(self, kubectl: Kubectl, seconds: float) -> None:
        """The pods last, when the controller that would replace them is gone, and at once: they have nothing to save.

        Their kubelets take up to `syncFrequency` to confirm an end that is waited for.
        """
        controller = f"{_NAMESPACE}/replicationcontrollers/{APP}?propagationPolicy=Background"
        paths = [f"{_NAMESPACE}/services/{APP}", controller]
        if self.cluster.cni.enforces_policies:
            paths += [f"{_POLICIES}/{name}" for name in POLICIES]
        for path in (*paths, f"{_PODS}&gracePeriodSeconds=0"):
            kubectl.discard(path, timeout_seconds=seconds)

    def _store_record(self, kubectl: Kubectl) -> None:
        record = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _RECORD, "namespace": "kube-system"},
            "data": record_of(self.cluster),
        }
        kubectl.apply(json.dumps(record))


def is_verified(cluster: DesiredCluster, record: Json | None) -> bool:
    """Whether the cluster was verified as it is to be now; `record` is what it has at `RECORD_PATH`."""
    data = record.get("data") if record else None
    return data is not None and data.value == record_of(cluster)


def _node_port(service: Json) -> int:
    ports = service.at("spec").entries("ports")
    port = ports[0].integer("nodePort") if ports else 0
    if not 0 < port < 65536:
        raise service.refuse(f"spec.ports: {port} is no port")
    return port


def record_of(cluster: DesiredCluster) -> dict[str, str]:
    """What is kept of a check that went well, as data of the ConfigMap."""
    return {
        "nodes": " ".join(node.hostname for node in cluster.nodes),
        "image": cluster.release.nginx_image,
        "checks": " ".join(_checks(cluster)),
    }


def _checks(cluster: DesiredCluster) -> Iterator[str]:
    yield from ("cluster-ip", "node-port", "jumpserver", "pod-to-pod", "full-packets")
    if cluster.release.coredns:
        yield "service-name"
    if cluster.cni.enforces_policies:
        yield "network-policy"
