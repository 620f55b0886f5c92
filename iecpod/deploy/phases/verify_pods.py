"""What pods of the check reach: each other, a service by its name, and nothing that a network policy denies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address

from iecpod.deploy.kubectl.kubectl import KUBE_SYSTEM, Kubectl, KubectlAt, condition_of, name_of
from iecpod.deploy.kubectl.object_waits import wait_for_objects
from iecpod.deploy.kubectl.pod_status import ip_of, node_of
from iecpod.deploy.node.pod_namespace import WELCOME, Policy, check_policy, check_reach
from iecpod.deploy.waiting.console import last_line
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import CommandFailed
from iecpod.outside_json import Json
from iecpod.ports import Shell
from iecpod.render.smoke_test import APP, render_denial, render_permission
from iecpod.wait import NotYet

CURL = ("curl", "--silent", "--show-error", "--max-time", "20")

_ANSWER_SECONDS = 30.0
_DNS_SECONDS = 120.0
#: Policies are in force some time after the API server has them.
_POLICY_SECONDS = 60.0
_DEPLOYMENTS = f"/apis/apps/v1/{KUBE_SYSTEM}/deployments"
_COREDNS = f"{_DEPLOYMENTS}/coredns"
#: What kubectl says of a command that did run in a pod, and failed.
_ENDED = re.compile(r"command terminated with exit code (\d+)")


@dataclass(frozen=True, slots=True)
class PodChecks:
    """`exec` in a pod costs an emulated guest seconds, so there is one; else nodes try what their pods reach."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    tools: PhaseTools
    kubectl_at: KubectlAt = Kubectl

    def check_pod_to_pod(self, pods: Sequence[Json]) -> None:
        """Both directions, each from one pod to the other; on different nodes, where there is more than one."""
        daemon = self.cluster.cni.daemon
        remedy = f"look at the log of {daemon}" if daemon else "look at the routes to the nodes' pod CIDRs"
        ways: dict[str, list[tuple[IPv4Address, IPv4Address]]] = {}
        for client, server in ((pods[0], pods[1]), (pods[1], pods[0])):
            ways.setdefault(self._node(client), []).append((ip_of(client), ip_of(server)))

        def check(hostname: str) -> None:
            for own, other in ways[hostname]:
                self.tools.waits.wait_for(
                    f"an answer of pod {other} to pod {own}",
                    partial(check_reach, self.shells[hostname], own, other, remedy),
                    seconds=_ANSWER_SECONDS,
                    node=hostname,
                    remedy=remedy,
                )

        run_on_nodes(tuple(ways), check)
        across = " across nodes" if len(self.cluster.nodes) > 1 else ""
        self.tools.reporter.progress(f"pods reach each other{across}, with full packets")

    def check_exec(self, pods: Sequence[Json]) -> None:
        """A command in a pod: it fetches the service by its name where the release has DNS, else the other pod."""
        url = f"http://{ip_of(pods[1])}/"
        remedy = "see the kubelet's log on the pod's node"
        if self.cluster.release.coredns:
            self._wait_for_dns()
            url = f"http://{APP}.default.svc.cluster.local/"
            remedy = f"see `{self._system_command('logs', '--selector', 'k8s-app=kube-dns')}`"

        def probe() -> None:
            page = self._fetch(name_of(pods[0]), url)
            if WELCOME not in page:
                raise NotYet(page.strip()[-300:])

        self.tools.waits.wait_for(f"nginx at {url} from a pod", probe, seconds=_ANSWER_SECONDS, remedy=remedy)
        if self.cluster.release.coredns:
            self.tools.reporter.progress("the service answers by its name")

    def check_policies(self, pods: Sequence[Json]) -> None:
        """A policy that denies is in force, and one that allows is, too. Their objects are left to the caller."""
        shell = self.shells[self._node(pods[0])]
        steps = (
            ("a network policy that denies", render_denial(), Policy.DENIED),
            ("a network policy that allows", render_permission(), Policy.ALLOWED),
        )
        for awaited, manifest, policy in steps:
            self._kubectl.apply(manifest)
            most_seconds = self.tools.deadlines.seconds(_POLICY_SECONDS)
            probe = partial(check_policy, shell, ip_of(pods[0]), ip_of(pods[1]), policy, most_seconds=most_seconds)
            self.tools.waits.wait_for(
                f"{awaited}, in force",
                probe,
                seconds=_POLICY_SECONDS,
                console_of=self._first,
                remedy=f"see the log of {self.cluster.cni.name} on {node_of(pods[1])}",
            )
        self.tools.reporter.progress("network policies are in force: denied, then allowed")

    def _node(self, pod: Json) -> str:
        hostname = node_of(pod)
        if hostname not in self.shells:
            raise pod.refuse(f"spec.nodeName: {hostname} is no node of the POD")
        return hostname

    @property
    def _first(self) -> str:
        return self.cluster.control_plane.hostname

    @property
    def _kubectl(self) -> Kubectl:
        return self.kubectl_at(self.shells[self._first])

    def _system_command(self, *arguments: str) -> str:
        return self.tools.advice.command("kubectl", "--namespace", "kube-system", *arguments)

    def _wait_for_dns(self) -> None:
        def probe(kubectl: Kubectl) -> None:
            seen = kubectl.load(_COREDNS)
            if condition_of(seen, "Available") != "True":
                raise NotYet(condition_of(seen, "Available", "message") or "no status yet")

        pods = self._system_command("describe", "pods", "--selector", "k8s-app=kube-dns")
        wait_for_objects(
            "CoreDNS available",
            probe,
            self._kubectl,
            [f"{_DEPLOYMENTS}?fieldSelector=metadata.name%3Dcoredns"],
            self.tools.waits,
            seconds=_DNS_SECONDS,
            console_of=self._first,
            remedy=f"see `{pods}`",
        )

    def _fetch(self, name: str, url: str) -> str:
        """The page, or what curl says of none. Raises `NotYet` where it did not run: API servers restart."""
        try:
            return self._kubectl.run("exec", name, "--", *CURL, url).stdout
        except CommandFailed as error:
            if not _ENDED.search(error.tail):
                raise NotYet(last_line(error.tail)) from error
            return error.tail
