"""Calico's own etcd, spoken to by TLS alone: the manifests of Calico 3.3 have the places for it, and leave them empty.

Sources: Calico 3.3's page on its etcd datastore (ConfigMap and Secret with three files), etcd's "Transport security
model". Whoever may write there writes the nodes' routes and policies, so each client needs a certificate, too.
"""

from __future__ import annotations

import base64
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from iecpod.design.cluster import DesiredCluster, NodePort, Transport
from iecpod.design.etcd_tls import EtcdTls
from iecpod.model import Arch
from iecpod.render.manifest_patch import ManifestPatch, containers_of, mapping_in, mappings_in

#: The IEC's scripts take the 136th address of the service CIDR.
_INDEX = 136
_PORT, _PEER_PORT = 6666, 6667
#: The control plane's node has them; others reach the first by the Service, so by its address.
ETCD_PORTS = (
    NodePort(transport=Transport.TCP, number=_PORT, on_control_plane=True),
    NodePort(transport=Transport.TCP, number=_PEER_PORT, for_nodes=False, on_control_plane=True),
)

_DAEMONS = "DaemonSet calico-etcd"
_CONFIG = "ConfigMap calico-config"
_SERVER_SECRET = "calico-etcd-server"
_CLIENT_SECRET = "calico-etcd-secrets"
_SERVER_DIR = "/calico-etcd"
#: Where Calico's own manifest mounts the Secret of clients.
_CLIENT_DIR = "/calico-secrets"

#: A pod of the host's network has the node's address, which is on mgmt. There is one member, so there are no peers.
_ARGUMENTS = {
    "--advertise-client-urls": f"https://$(CALICO_ETCD_IP):{_PORT}",
    "--listen-client-urls": f"https://$(CALICO_ETCD_IP):{_PORT}",
    "--listen-peer-urls": f"http://127.0.0.1:{_PEER_PORT}",
}
_ADDED_ARGUMENTS = {
    "--cert-file": f"{_SERVER_DIR}/server.crt",
    "--key-file": f"{_SERVER_DIR}/server.key",
    "--trusted-ca-file": f"{_SERVER_DIR}/ca.crt",
    "--client-cert-auth": "true",
}


def etcd_cluster_ip(service_cidr: IPv4Network) -> IPv4Address:
    """The address of Calico's own etcd: the IEC's index, or the last one that is usable."""
    return service_cidr[min(_INDEX, service_cidr.num_addresses - 2)]


def patch_etcd(patch: ManifestPatch, cluster: DesiredCluster, tls: EtcdTls) -> None:
    """A cluster IP is given out of the service CIDR, and Calico must know it before there is any DNS."""
    address = str(etcd_cluster_ip(cluster.service_cidr))
    _patch_clients(patch, f"https://{address}:{_PORT}", tls)
    service = patch.find("Service", "calico-etcd")
    if service is not None:
        patch.set_key("Service calico-etcd", mapping_in(service, "spec"), "clusterIP", address)
    daemon_set = patch.find("DaemonSet", "calico-etcd")
    if daemon_set is not None:
        _patch_server(patch, cluster, daemon_set, tls)


def _patch_clients(patch: ManifestPatch, endpoint: str, tls: EtcdTls) -> None:
    # Where there is none, that is noted with the rest of what is set in it.
    for config in (found for found in patch.objects if mapping_in(found, "metadata").get("name") == "calico-config"):
        data = mapping_in(config, "data")
        patch.set_key(_CONFIG, data, "etcd_endpoints", endpoint)
        for name in ("ca", "cert", "key"):
            patch.set_key(_CONFIG, data, f"etcd_{name}", f"{_CLIENT_DIR}/etcd-{name}")
    _check_clients(patch)
    secret = patch.find("Secret", _CLIENT_SECRET)
    if secret is not None:
        files = {"etcd-ca": tls.authority, "etcd-cert": tls.client_certificate, "etcd-key": tls.client_key}
        _fill(patch, secret, files)


def _check_clients(patch: ManifestPatch) -> None:
    """Calico's nodes have to read what is in the Secret, as its own manifest has them."""
    for daemon_set in (found for found in patch.objects if mapping_in(found, "metadata").get("name") == "calico-node"):
        if daemon_set.get("kind") != "DaemonSet":
            continue
        volumes = mappings_in(mapping_in(daemon_set, "spec", "template", "spec"), "volumes")
        if not any(mapping_in(volume, "secret").get("secretName") == _CLIENT_SECRET for volume in volumes):
            patch.miss(f"volume of Secret {_CLIENT_SECRET} in DaemonSet calico-node")
        containers = [one for one in containers_of(daemon_set) if one.get("name") == "calico-node"]
        known = [variable.get("name") for container in containers for variable in mappings_in(container, "env")]
        for name in ("ETCD_CA_CERT_FILE", "ETCD_CERT_FILE", "ETCD_KEY_FILE"):
            if name not in known:
                patch.miss(f"variable `{name}` in DaemonSet calico-node")


def _patch_server(patch: ManifestPatch, cluster: DesiredCluster, daemon_set: dict[str, Any], tls: EtcdTls) -> None:
    for container in containers_of(daemon_set):
        for name, value in _ARGUMENTS.items():
            _set_argument(patch, container, name, value, add=False)
        for name, value in _ADDED_ARGUMENTS.items():
            _set_argument(patch, container, name, value, add=True)
        _append(container, "volumeMounts", {"name": "etcd-tls", "mountPath": _SERVER_DIR, "readOnly": True})
        if cluster.arch is Arch.AARCH64:
            # etcd 3.3 refuses to start there without this variable, since it is not tested there.
            patch.set_environment(_DAEMONS, container, "ETCD_UNSUPPORTED_ARCH", "arm64", add=True)
    volume = {"name": "etcd-tls", "secret": {"secretName": _SERVER_SECRET, "defaultMode": 0o400}}
    _append(mapping_in(daemon_set, "spec", "template", "spec"), "volumes", volume)
    metadata = {"name": _SERVER_SECRET, "namespace": "kube-system"}
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata}
    files = {"ca.crt": tls.authority, "server.crt": tls.server_certificate, "server.key": tls.server_key}
    _fill(patch, secret, files)
    patch.objects.append(secret)


def _set_argument(patch: ManifestPatch, container: dict[str, Any], name: str, value: str, *, add: bool) -> None:
    """Of a command line that is a list; one that is a script of a shell has no place for it."""
    listed = container.get("args")
    arguments = listed if isinstance(listed, list) else []
    for index, argument in enumerate(arguments):
        if str(argument).partition("=")[0] == name:
            patch.changes.append(f"{_DAEMONS}: {argument} -> {name}={value}")
            arguments[index] = f"{name}={value}"
            return
    if not add:
        patch.miss(f"argument `{name}` in {_DAEMONS}")
    elif isinstance(listed, list):
        patch.changes.append(f"{_DAEMONS}: {name}: (unset) -> {value}")
        arguments.append(f"{name}={value}")


def _append(mapping: dict[str, Any], key: str, value: dict[str, Any]) -> None:
    mapping[key] = [*mappings_in(mapping, key), value]


def _fill(patch: ManifestPatch, secret: dict[str, Any], files: dict[str, bytes]) -> None:
    """Without the values in the changes, which everybody may read."""
    secret["data"] = {name: base64.b64encode(content).decode() for name, content in files.items()}
    name = mapping_in(secret, "metadata").get("name")
    patch.changes.append(f"Secret {name}: {', '.join(files)}: made for this POD")
