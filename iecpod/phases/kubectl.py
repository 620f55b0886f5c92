"""kubectl: the one way in which phases talk to the API server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from iecpod.errors import CommandFailed, NodeError, NodeUnreachable, WaitTimeout
from iecpod.outside_json import Bounds, Json, parse_json
from iecpod.ports import CommandResult, HostKubectl, Shell
from iecpod.wait import NotYet
from iecpod.waiting.waits import Waits

ADMIN_CONF = "/etc/kubernetes/admin.conf"

NODES = "/api/v1/nodes"
KUBE_SYSTEM = "namespaces/kube-system"
SYSTEM_PODS = f"/api/v1/{KUBE_SYSTEM}/pods"

_PATIENCE_SECONDS = 300.0

#: For how long an API server may not answer before that is an error: the kubelet has restarted it by then.
_AWAY_SECONDS = 120.0

#: All pods of a large POD are some MiB.
_BOUNDS = Bounds(size_bytes=32 * 1024 * 1024, values=2_000_000)

_NOT_FOUND = "(NotFound)"

#: For manifests of our own: leaves checking to the API server.
UNCHECKED = "--validate=false"


@contextmanager
def api_awaited() -> Iterator[None]:
    """For probes: an API server that does not answer, or a node that does not, is one that may come yet (`NotYet`)."""
    try:
        yield
    except (CommandFailed, NodeUnreachable, WaitTimeout) as error:
        raise NotYet(error.cause) from error


class Kubectl:
    """Runs on this host where it was compiled here and the cluster's kubeconfig is there: in tenths of a second.

    Else as root with the cluster's admin.conf, on the shell of the control plane node: an emulated guest takes ten
    seconds for that.
    """

    def __init__(self, shell: Shell, on_host: HostKubectl | None = None) -> None:
        self.shell = shell
        self._on_host = on_host

    def run(self, *arguments: str, stdin: str = "", timeout_seconds: float = _PATIENCE_SECONDS) -> CommandResult:
        """Raises `CommandFailed`, `NodeUnreachable`, `WaitTimeout`."""
        if self._on_host is not None and self._on_host.is_ready():
            return self._on_host.run(arguments, stdin=stdin.encode(), timeout_seconds=timeout_seconds)
        argv = ["kubectl", f"--kubeconfig={ADMIN_CONF}", *arguments]
        return self.shell.run(argv, stdin=stdin.encode(), timeout_seconds=timeout_seconds)

    def load(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> Json:
        """What the API has at `path`, an object or a list. What is of another form raises `NodeError` where it is read.

        By path and not by name, since for a name kubectl first asks for every API group there is: dozens of requests.
        """

        def refuse(why: str) -> NodeError:
            remedy = "see what runs on that node with `iecpod ssh`"
            return NodeError(self.shell.node, f"the API server's answer for {path} is not understood: {why}", remedy)

        return parse_json(self.run("get", f"--raw={path}", timeout_seconds=timeout_seconds).stdout, refuse, _BOUNDS)

    def find(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> Json | None:
        """As `load`; None where the API server says that there is no such object."""
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

    def discard(self, path: str) -> None:
        """Deletes what the API has at `path`; nothing happens where there is nothing."""
        try:
            self.run("delete", f"--raw={path}")
        except CommandFailed as error:
            if _NOT_FOUND not in error.tail:
                raise

    def apply(self, manifest: str) -> None:
        """The API server checks what it is given. kubectl's own check would fetch 2 MB of schemas first, each time."""
        self.run("apply", UNCHECKED, "--openapi-patch=false", "-f", "-", stdin=manifest)

    def apply_on_server(self, manifest: str) -> None:
        """For objects that are larger than an annotation may be, in which `apply` would keep a copy of each."""
        self.run("apply", UNCHECKED, "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)


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
