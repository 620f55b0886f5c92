"""kubectl on the control plane node: the one way in which phases talk to the API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from iecpod.errors import CommandFailed, NodeUnreachable, WaitTimeout
from iecpod.ports import CommandResult, Shell
from iecpod.wait import NotYet

ADMIN_CONF = "/etc/kubernetes/admin.conf"

NODES = "/api/v1/nodes"
KUBE_SYSTEM = "namespaces/kube-system"
SYSTEM_PODS = f"/api/v1/{KUBE_SYSTEM}/pods"

_PATIENCE_SECONDS = 300.0

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
    """Runs as root with the cluster's admin.conf, on the shell of the control plane node."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def run(self, *arguments: str, stdin: str = "", timeout_seconds: float = _PATIENCE_SECONDS) -> CommandResult:
        """Raises `CommandFailed`, `NodeUnreachable`, `WaitTimeout`."""
        argv = ["kubectl", f"--kubeconfig={ADMIN_CONF}", *arguments]
        return self.shell.run(argv, stdin=stdin.encode(), timeout_seconds=timeout_seconds)

    def load(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> Any:
        """What the API has at `path`, an object or a list.

        By path and not by name, since for a name kubectl first asks for every API group there is: dozens of requests.
        """
        return json.loads(self.run("get", f"--raw={path}", timeout_seconds=timeout_seconds).stdout)

    def find(self, path: str, *, timeout_seconds: float = _PATIENCE_SECONDS) -> Any | None:
        """As `load`; None where the object or the API server is not there."""
        try:
            return self.load(path, timeout_seconds=timeout_seconds)
        except CommandFailed:
            return None

    def discard(self, path: str) -> None:
        """Deletes what the API has at `path`; nothing happens where there is nothing."""
        try:
            self.run("delete", f"--raw={path}")
        except CommandFailed as error:
            if "(NotFound)" not in error.tail:
                raise

    def apply(self, manifest: str) -> None:
        """The API server checks what it is given. kubectl's own check would fetch 2 MB of schemas first, each time."""
        self.run("apply", UNCHECKED, "--openapi-patch=false", "-f", "-", stdin=manifest)

    def apply_on_server(self, manifest: str) -> None:
        """For objects that are larger than an annotation may be, in which `apply` would keep a copy of each."""
        self.run("apply", UNCHECKED, "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)


def internal_ip(node: dict[str, Any]) -> str:
    """A cluster node's INTERNAL-IP."""
    addresses = node["status"].get("addresses", [])
    return next((entry["address"] for entry in addresses if entry["type"] == "InternalIP"), "")


def is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
