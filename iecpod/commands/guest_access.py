"""`iecpod ssh`, `console` and `kubectl`: the argument list of the host program that takes over."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iecpod.errors import UsageError
from iecpod.pods.resolve import PodInputs
from iecpod.provider import Console, Provider
from iecpod.render.exports import PINNED_SSH, ssh_path
from iecpod.render.kubeconfig import ADMIN_CONF


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestAccess:
    """How guests of a POD are reached: `command_prefix` leads into the network of the nodes.

    `kubectl_argv` runs kubectl of the cluster's version on this host; empty where it or the kubeconfig is not there.
    """

    command_prefix: tuple[str, ...]
    private_key: Path
    known_hosts: Path
    kubectl_argv: tuple[str, ...] = ()


def select_node(inputs: PodInputs, name: str | None) -> str:
    """The host name for what a user typed: a host name, the PDF's node name, or nothing for the first node."""
    hostnames = inputs.order.hostnames
    by_pdf_name = {node.name: hostname for node, hostname in zip(inputs.order.spec.pdf.nodes, hostnames, strict=True)}
    if name is None:
        return hostnames[0]
    if name in hostnames:
        return name
    if name in by_pdf_name:
        return by_pdf_name[name]
    raise UsageError(f"POD {inputs.request.ref} has no node {name!r}", "use one of: " + ", ".join(hostnames))


def ssh_argv(inputs: PodInputs, access: GuestAccess, hostname: str, command: Sequence[str], *, tty: bool) -> list[str]:
    """ssh with the POD's key and the pinned host keys; the user's own configuration and agent stay out of it."""
    options = {
        **PINNED_SSH,
        "IdentityFile": ssh_path(access.private_key),
        "UserKnownHostsFile": ssh_path(access.known_hosts),
        "LogLevel": "ERROR",
    }
    flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    target = f"{inputs.order.release.user}@{inputs.order.addresses[hostname]}"
    return [
        *access.command_prefix,
        *("ssh", "-F", "none", *flags),
        *(["-t"] if tty else []),
        *("--", target),
        *([shlex.join(command)] if command else []),  # after a first `--` ssh takes a second one for the command
    ]


def kubectl_argv(inputs: PodInputs, access: GuestAccess, arguments: Sequence[str], *, tty: bool) -> list[str]:
    """kubectl of the cluster's own version; standard input goes through.

    It runs on this host where that version was compiled here, with the admin kubeconfig, in the namespace that reaches
    the API server; else on the control plane node, over SSH.
    """
    if access.kubectl_argv:
        return [*access.kubectl_argv, *arguments]
    command = ["sudo", "kubectl", f"--kubeconfig={ADMIN_CONF}", *arguments]
    return ssh_argv(inputs, access, select_node(inputs, None), command, tty=tty)


def console_argv(provider: Provider, inputs: PodInputs, hostname: str) -> list[str]:
    """Raises `UsageError` where machines have no console."""
    if not isinstance(provider, Console):
        raise UsageError(f"machines of POD {inputs.request.ref} have no console", "use `iecpod ssh`")
    return provider.console_argv(hostname)
