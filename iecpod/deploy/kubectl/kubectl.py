"""The one way in which phases talk to the API server: over HTTP where that can be, else by kubectl."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from iecpod.deploy.kubectl.api import Api, parse_answer
from iecpod.deploy.waiting.waits import Waits
from iecpod.errors import ApiRefused, CommandFailed, NodeUnreachable, WaitTimeout
from iecpod.outside_json import Json
from iecpod.ports import ApiWatch, CommandResult, HostKubectl, Shell
from iecpod.render.kubeconfig import ADMIN_CONF
from iecpod.wait import NotYet

NODES = "/api/v1/nodes"
KUBE_SYSTEM = "namespaces/kube-system"
SYSTEM_PODS = f"/api/v1/{KUBE_SYSTEM}/pods"

_PATIENCE_SECONDS = 300.0

#: For how long an API server may not answer before that is an error: the kubelet has restarted it by then.
_AWAY_SECONDS = 120.0

#: What an API server that does not answer, or not as it should, is known by. Nothing follows from it.
NO_ANSWER = (ApiRefused, CommandFailed, NodeUnreachable, WaitTimeout)

_NOT_FOUND = "(NotFound)"

#: Leaves checking to the API server. kubectl's own check would fetch 2 MB of schemas first, each time.
UNCHECKED = "--validate=false"


@contextmanager
def api_awaited() -> Iterator[None]:
    """For probes: an API server that does not answer, or a node that does not, is one that may come yet (`NotYet`)."""
    try:
        yield
    except NO_ANSWER as error:
        raise NotYet(error.cause) from error


class Kubectl:
    """What the API server has, and commands of kubectl for what it does not do by itself.

    Where there is an `api` and its kubeconfig, questions and changes are requests from this host: tenths of a second,
    where an emulated guest takes ten seconds for a kubectl. Commands run on this host where kubectl was compiled
    here (`on_host`). All else runs as root with the cluster's admin.conf, on the shell of the control plane node.
    Every method raises what is in `NO_ANSWER`.
    """

    def __init__(self, shell: Shell, on_host: HostKubectl | None = None, api: Api | None = None) -> None:
        self.shell = shell
        self._on_host = on_host
        self._api = api

    def run(self, *arguments: str, stdin: str = "", timeout_seconds: float = _PATIENCE_SECONDS) -> CommandResult:
        """A command of kubectl."""
        if self._on_host is not None and self._on_host.is_ready():
            return self._on_host.run(arguments, stdin=stdin.encode(), timeout_seconds=timeout_seconds)
        argv = ["kubectl", f"--kubeconfig={ADMIN_CONF}", *arguments]
        return self.shell.run(argv, stdin=stdin.encode(), timeout_seconds=timeout_seconds)

    def load(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> Json:
        """What the API has at `path`, an object or a list. What is of another form raises `NodeError` where it is read.

        By path and not by name, since for a name kubectl first asks for every API group there is: dozens of requests.
        """
        if (api := self._ready_api()) is not None:
            return api.load(path, timeout_seconds=timeout_seconds)
        answer = self.run("get", f"--raw={path}", timeout_seconds=timeout_seconds)
        return parse_answer(self.shell.node, path, answer.stdout)

    def check(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> None:
        """Of a path that answers with a status, and a text for people: `/readyz`."""
        if (api := self._ready_api()) is not None:
            api.check(path, timeout_seconds=timeout_seconds)
            return
        self.run("get", f"--raw={path}", timeout_seconds=timeout_seconds)

    def sent_at(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> float | None:
        """See `Api.sent_at`. None where it is kubectl that would ask: it does not print that."""
        api = self._ready_api()
        return None if api is None else api.sent_at(path, timeout_seconds=timeout_seconds)

    def find(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> Json | None:
        """As `load`; None where the API server says that there is no such object."""
        if (api := self._ready_api()) is not None:
            return api.find(path, timeout_seconds=timeout_seconds)
        try:
            return self.load(path, timeout_seconds=timeout_seconds)
        except CommandFailed as error:
            if _NOT_FOUND in error.tail:
                return None
            raise

    def find_awaited(self, path: str, waits: Waits) -> Json | None:
        """As `find`; an API server that does not answer is waited for. Raises `WaitTimeout`."""

        def probe() -> Json | None:
            with api_awaited():
                return self.find(path)

        return waits.wait_for(
            "an answer of the API server", probe, seconds=_AWAY_SECONDS, node=self.shell.node, interval_seconds=5.0
        )

    def watch(self, paths: Sequence[str]) -> ApiWatch | None:
        """See `ApiServer.watch`. None where it is kubectl that would ask: each would take a login's time."""
        api = self._ready_api()
        return None if api is None else api.watch(paths)

    def discard(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> None:
        """Deletes what the API has at `path`; nothing happens where there is nothing.

        Options of the deletion, and selectors of a list, may be in the path's query.
        """
        if (api := self._ready_api()) is not None:
            api.discard(path, timeout_seconds=timeout_seconds)
            return
        try:
            self.run("delete", f"--raw={path}", timeout_seconds=timeout_seconds)
        except CommandFailed as error:
            if _NOT_FOUND not in error.tail:
                raise

    def create(self, manifest: Mapping[str, Any]) -> None:
        """One object, which must not be there. No copy of it is kept in an annotation."""
        if (api := self._ready_api()) is not None:
            api.create(manifest, timeout_seconds=_PATIENCE_SECONDS)
            return
        self.run("create", UNCHECKED, "-f", "-", stdin=json.dumps(manifest))

    def apply(self, manifest: str) -> None:
        """The API server checks what it is given."""
        if not self._is_applied(manifest):
            self.run("apply", UNCHECKED, "--openapi-patch=false", "-f", "-", stdin=manifest)

    def apply_on_server(self, manifest: str) -> None:
        """For objects that are larger than an annotation may be, where kubectl's own `apply` keeps a copy."""
        if not self._is_applied(manifest):
            self.run("apply", UNCHECKED, "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)

    def _is_applied(self, manifest: str) -> bool:
        """By requests, where they can do it."""
        api = self._ready_api()
        if api is None or not api.applies:
            return False
        api.apply(manifest, timeout_seconds=_PATIENCE_SECONDS)
        return True

    def _ready_api(self) -> Api | None:
        return self._api if self._api is not None and self._api.is_ready() else None


def find_nodes(kubectl: Kubectl, waits: Waits) -> dict[str, Json]:
    """The nodes that the API server lists, by name. Raises `WaitTimeout`.

    A list without the control plane node, which is in it from the init on, is no answer: nothing follows from it.
    """

    def probe() -> dict[str, Json]:
        with api_awaited():
            listing = kubectl.find(NODES)
        nodes = {name_of(item): item for item in listing.entries("items")} if listing else {}
        if kubectl.shell.node not in nodes:
            raise NotYet(f"the API server does not list {kubectl.shell.node}, on which it runs")
        return nodes

    return waits.wait_for(
        "the nodes that the API server lists",
        probe,
        seconds=_AWAY_SECONDS,
        node=kubectl.shell.node,
        interval_seconds=5.0,
        remedy="where that node was deleted, run `systemctl restart kubelet` there: it registers again",
    )


#: Makes the kubectl of the cluster whose control plane node has that shell.
KubectlAt = Callable[[Shell], Kubectl]


def name_of(item: Json) -> str:
    return item.at("metadata").text("name")


def internal_ip(node: Json) -> str:
    """A cluster node's INTERNAL-IP."""
    addresses = node.at("status").entries("addresses")
    return next((entry.text("address") for entry in addresses if entry.text("type") == "InternalIP"), "")


def is_ready(node: Json) -> bool:
    return condition_of(node, "Ready") == "True"


def condition_of(item: Json, kind: str, key: str = "status") -> str:
    """What an object's condition has as its status, or under another `key`; empty where it has no such condition."""
    conditions = item.at("status").entries("conditions")
    return next((entry.text(key, "") for entry in conditions if entry.text("type") == kind), "")
