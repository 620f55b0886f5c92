"""What pods of the check reach: each other, a service by its name, and nothing that a network policy denies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from iecpod.design.cluster import DesiredCluster
from iecpod.errors import CommandFailed, NodeError
from iecpod.outside_json import Json
from iecpod.phases.kubectl import KUBE_SYSTEM, Kubectl, KubectlAt, api_awaited, condition_of, name_of
from iecpod.phases.pod_status import ip_of, node_of
from iecpod.phases.verify_paths import check_full_mtu
from iecpod.ports import Shell
from iecpod.render.smoke_test import APP, render_denial, render_permission
from iecpod.wait import NotYet
from iecpod.waiting.console import last_line
from iecpod.waiting.phase_tools import PhaseTools

CURL = ("curl", "--silent", "--show-error", "--max-time", "20")
WELCOME = "Welcome to nginx"

_ANSWER_SECONDS = 30.0
_DNS_SECONDS = 120.0
#: Policies are in force some time after the API server has them.
_POLICY_SECONDS = 60.0
_COREDNS = f"/apis/apps/v1/{KUBE_SYSTEM}/deployments/coredns"
#: What kubectl says of a command that did run in a pod, and failed.
_ENDED = re.compile(r"command terminated with exit code (\d+)")
#: curl's codes for a connection that is refused, and for one that nobody answers.
_DENIED = ("7", "28")


@dataclass(frozen=True, slots=True)
class PodChecks:
    """Each exec in a pod costs an emulated guest seconds, so there are few."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    tools: PhaseTools
    kubectl_at: KubectlAt = Kubectl

    def check_pod_to_pod(self, pods: Sequence[Json]) -> None:
        """Both directions, each from one pod to the other; on different nodes, where there is more than one."""
        daemon = self.cluster.cni.daemon
        for client, server in ((pods[0], pods[1]), (pods[1], pods[0])):
            name, address = name_of(client), ip_of(server)
            page = self.tools.waits.wait_for(
                f"a command in pod {name}",
                partial(self._fetch, name, f"http://{address}/"),
                seconds=_ANSWER_SECONDS,
                console_of=self._first,
            )
            if WELCOME not in page:
                raise NodeError(
                    node_of(client),
                    f"pod {name} does not reach pod {address} on {node_of(server)}: {page.strip()[-300:]}",
                    f"look at the log of {daemon}" if daemon else "look at the routes to the nodes' pod CIDRs",
                )
            check_full_mtu(self.shells, client, server)
        across = " across nodes" if len(self.cluster.nodes) > 1 else ""
        self.tools.reporter.progress(f"pods reach each other{across}, with full packets")

    def check_name(self, pod: Json) -> None:
        """The service by its name, once CoreDNS says that it is available."""
        self._wait_for_dns()
        url = f"http://{APP}.default.svc.cluster.local/"

        def probe() -> None:
            page = self._fetch(name_of(pod), url)
            if WELCOME not in page:
                raise NotYet(page.strip()[-300:])

        logs = self._system_command("logs", "--selector", "k8s-app=kube-dns")
        self.tools.waits.wait_for(f"nginx at {url} from a pod", probe, seconds=_ANSWER_SECONDS, remedy=f"see `{logs}`")
        self.tools.reporter.progress("the service answers by its name")

    def check_policy(self, pods: Sequence[Json]) -> None:
        """A policy that denies is in force, and one that allows is, too. Their objects are left to the caller."""
        client, server = name_of(pods[0]), ip_of(pods[1])
        fetch = partial(self._fetch, client, f"http://{server}/")
        remedy = f"see the log of {self.cluster.cni.name} on {node_of(pods[1])}"

        def denied() -> None:
            page = fetch()
            ended = _ENDED.search(page)
            if ended is None or ended[1] not in _DENIED:
                raise NotYet("nginx still answers" if WELCOME in page else page.strip()[-300:])

        def allowed() -> None:
            page = fetch()
            if WELCOME not in page:
                raise NotYet(page.strip()[-300:])

        steps = (
            ("a network policy that denies", render_denial(), denied),
            ("a network policy that allows", render_permission(), allowed),
        )
        for awaited, policy, probe in steps:
            self._kubectl.apply(policy)
            self.tools.waits.wait_for(
                f"{awaited}, in force", probe, seconds=_POLICY_SECONDS, console_of=self._first, remedy=remedy
            )
        self.tools.reporter.progress("network policies are in force: denied, then allowed")

    @property
    def _first(self) -> str:
        return self.cluster.control_plane.hostname

    @property
    def _kubectl(self) -> Kubectl:
        return self.kubectl_at(self.shells[self._first])

    def _system_command(self, *arguments: str) -> str:
        return self.tools.advice.command("kubectl", "--namespace", "kube-system", *arguments)

    def _wait_for_dns(self) -> None:
        def probe() -> None:
            with api_awaited():
                seen = self._kubectl.load(_COREDNS)
            if condition_of(seen, "Available") != "True":
                raise NotYet(condition_of(seen, "Available", "message") or "no status yet")

        pods = self._system_command("describe", "pods", "--selector", "k8s-app=kube-dns")
        self.tools.waits.wait_for(
            "CoreDNS available", probe, seconds=_DNS_SECONDS, console_of=self._first, remedy=f"see `{pods}`"
        )

    def _fetch(self, name: str, url: str) -> str:
        """The page, or what curl says of none. Raises `NotYet` where it did not run: API servers restart."""
        try:
            return self._kubectl.run("exec", name, "--", *CURL, url).stdout
        except CommandFailed as error:
            if not _ENDED.search(error.tail):
                raise NotYet(last_line(error.tail)) from error
            return error.tail
