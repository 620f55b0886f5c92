"""Files about a POD for other programs: shell variables, hosts, ssh(1), Ansible.

None of them holds a secret; they name the files that do.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from iecpod.model import PodRef
from iecpod.release.scenario import Role
from iecpod.yaml.document import dump_yaml

#: Options of ssh(1): the POD's key and the pinned host keys count, nothing else; nothing is prompted for.
PINNED_SSH = {
    "BatchMode": "yes",
    "IdentitiesOnly": "yes",
    "StrictHostKeyChecking": "yes",
    "GlobalKnownHostsFile": "/dev/null",
    "ConnectTimeout": "60",
}

#: ssh(1) puts the address and port of the node for %h and %p. bash is the one program on every host that connects.
#: What ssh starts ends up as the reader, and sees the node go; the writer sees ssh go, and ends the reader.
_CONNECT = "exec 3<>/dev/tcp/%h/%p 4<&0; (cat <&4; kill $$ 2>/dev/null) >&3 & exec cat <&3"


@dataclass(frozen=True, slots=True)
class ExportedNode:
    """`address` is on mgmt."""

    hostname: str
    role: Role
    address: IPv4Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPod:
    """A POD as others use it. `command_prefix` leads to where guests can be reached, empty for the host itself.

    `kubeconfig` is None where there is no cluster yet. Nodes are in the order of the PDF.
    """

    ref: PodRef
    scenario: str
    dns_domain: str
    nodes: tuple[ExportedNode, ...]
    user: str
    private_key: Path
    known_hosts: Path
    kubeconfig: Path | None
    directory: Path
    command_prefix: tuple[str, ...]

    @property
    def control_plane(self) -> ExportedNode:
        return next(node for node in self.nodes if node.role is Role.CONTROL_PLANE)


def render_env(pod: ExportedPod) -> str:
    """For `.` and `eval` of sh. The names are those that Fuel's and the IEC's downstream jobs read."""
    address = str(pod.control_plane.address)
    variables = {
        "LAB_NAME": pod.ref.lab,
        "POD_NAME": pod.ref.pod,
        "DEPLOY_SCENARIO": pod.scenario,
        "INSTALLER_TYPE": "iecpod",
        "K8S_MASTER_IP": address,
        "SSH_USER": pod.user,
        "SSH_KEY": str(pod.private_key),
        "SSH_CONFIG": str(pod.directory / "ssh_config"),
        "CLUSTER_MASTER_IP": address,
        "CLUSTER_SSH_USER": pod.user,
        "CLUSTER_SSH_KEY": str(pod.private_key),
        "HOSTS_FILE": str(pod.directory / "hosts"),
        "ANSIBLE_INVENTORY": str(pod.directory / "inventory.yaml"),
        **({"KUBECONFIG": str(pod.kubeconfig)} if pod.kubeconfig else {}),
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def render_hosts(pod: ExportedPod) -> str:
    """Lines of /etc/hosts, with mgmt addresses."""
    return "".join(f"{node.address} {node.hostname}.{pod.dns_domain} {node.hostname}\n" for node in pod.nodes)


def render_ssh_config(pod: ExportedPod) -> str:
    """For `ssh -F`: nodes go by host name and by address; only the pinned host keys are trusted."""
    blocks = [f"Host {node.hostname} {node.address}\n    HostName {node.address}\n" for node in pod.nodes]
    common = {
        "User": pod.user,
        "IdentityFile": ssh_path(pod.private_key),
        "UserKnownHostsFile": ssh_path(pod.known_hosts),
        **PINNED_SSH,
    }
    if pod.command_prefix:
        common["ProxyCommand"] = shlex.join([*pod.command_prefix, "bash", "-c", _CONNECT])
    return "\n".join([*blocks, "Host *\n" + "".join(f"    {name} {value}\n" for name, value in common.items())])


def render_inventory(pod: ExportedPod) -> str:
    """For Ansible, with the groups of kubespray. No node is tainted: the control plane's is a `kube_node` as well."""
    first: dict[str, Any] = {pod.control_plane.hostname: {}}
    inventory = {
        "all": {
            "hosts": {
                node.hostname: {"ansible_host": str(node.address), "ip": str(node.address)} for node in pod.nodes
            },
            "vars": {
                "ansible_user": pod.user,
                "ansible_ssh_private_key_file": str(pod.private_key),
                "ansible_ssh_common_args": shlex.join(["-F", str(pod.directory / "ssh_config")]),
            },
            "children": {
                "kube_control_plane": {"hosts": first},
                "etcd": {"hosts": first},
                "kube_node": {"hosts": {node.hostname: {} for node in pod.nodes}},
                "k8s_cluster": {"children": {"kube_control_plane": {}, "kube_node": {}}},
            },
        }
    }
    return dump_yaml(inventory)


def ssh_path(path: Path) -> str:
    """Quoted for ssh_config(5), where % begins a token."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'


#: By the name of the file in the POD's directory.
EXPORTS: Mapping[str, Callable[[ExportedPod], str]] = {
    "env": render_env,
    "hosts": render_hosts,
    "ssh_config": render_ssh_config,
    "inventory.yaml": render_inventory,
}
