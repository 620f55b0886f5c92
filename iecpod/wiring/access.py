"""The verbs that look at a POD or lead to its nodes and cluster, and what other programs are given for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iecpod.commands import guest_access
from iecpod.commands.exports import exported_pod
from iecpod.commands.guest_access import GuestAccess
from iecpod.errors import IecpodError, UsageError
from iecpod.model import PodRef
from iecpod.pods.directory import read_kubeconfig
from iecpod.pods.request import PodRequest
from iecpod.pods.resolve import PodInputs
from iecpod.render.exports import EXPORTS, ExportedPod
from iecpod.ssh.keys import PodKeys, find_pod_keys
from iecpod.wiring.pod_tools import PodAdapters
from iecpod.wiring.session import Session

if TYPE_CHECKING:
    from iecpod.commands.status import PodStatus


class Access:
    def __init__(self, session: Session) -> None:
        self._session = session
        self.layout = session.layout

    def status(self, request: PodRequest) -> PodStatus:
        from iecpod.commands.status import observe_status

        with self._session.pod(request, locked=False) as (inputs, tools):
            return observe_status(inputs, tools)

    def ssh_argv(self, request: PodRequest, node: str | None, command: tuple[str, ...], *, tty: bool) -> list[str]:
        with self._session.pod(request, locked=False) as (inputs, tools):
            hostname = guest_access.select_node(inputs, node)
            return guest_access.ssh_argv(inputs, guest_access_of(inputs, tools), hostname, command, tty=tty)

    def kubectl_argv(self, request: PodRequest, arguments: tuple[str, ...], *, tty: bool) -> list[str]:
        with self._session.pod(request, locked=False) as (inputs, tools):
            return guest_access.kubectl_argv(inputs, guest_access_of(inputs, tools), arguments, tty=tty)

    def console_argv(self, request: PodRequest, node: str | None) -> list[str]:
        with self._session.pod(request, locked=False) as (inputs, tools):
            hostname = guest_access.select_node(inputs, node)
            _pod_keys(tools)
            return guest_access.console_argv(tools.nodes.provider(inputs.order.site), inputs, hostname)

    def export(self, request: PodRequest, name: str) -> str:
        """`name` is one of `EXPORTS`."""
        with self._session.pod(request, locked=False) as (inputs, tools):
            return EXPORTS[name](exported(inputs, tools))

    def kubeconfig(self, request: PodRequest) -> str:
        text = read_kubeconfig(self.layout, request.ref)
        if text is None:
            raise _not_deployed(request.ref)
        return text


def guest_access_of(inputs: PodInputs, tools: PodAdapters) -> GuestAccess:
    keys = _pod_keys(tools)
    way = tools.nodes.provider(inputs.order.site).way
    kubectl = tools.nodes.host_kubectl(way, inputs.order.release)
    return GuestAccess(
        command_prefix=way.command_prefix,
        private_key=keys.private_key_file,
        known_hosts=keys.known_hosts_file,
        kubectl_argv=kubectl.argv if kubectl is not None and kubectl.is_ready() else (),
    )


def _pod_keys(tools: PodAdapters) -> PodKeys:
    """Raises `UsageError` for a POD that was not deployed from here."""
    keys = find_pod_keys(tools.state.pod_dir / "keys")
    if keys is None:
        raise _not_deployed(tools.run.ref)
    return keys


def exported(inputs: PodInputs, tools: PodAdapters) -> ExportedPod:
    return exported_pod(inputs, guest_access_of(inputs, tools), tools.state.pod_dir)


def _not_deployed(ref: PodRef) -> IecpodError:
    return UsageError(
        f"POD {ref} is not deployed from here", f"deploy it with `iecpod deploy -l {ref.lab} -p {ref.pod}`"
    )
