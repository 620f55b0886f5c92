"""Certificates of a cluster that stood still for long: kubeadm's are valid for a year, and renewed before they end."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography import x509

from iecpod.deploy.kubectl.admin_credentials import read_credentials
from iecpod.deploy.kubectl.kubectl import Kubectl, api_awaited
from iecpod.deploy.node.signal_script import SIGNAL
from iecpod.deploy.phases.kubeconfig import KubeconfigPhase
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.waits import Waits
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import NodeError
from iecpod.files.reader import read_own
from iecpod.ports import Shell
from iecpod.release.kubernetes_version import kubernetes_minor

#: kubelets renew their own from some 50 days before the end on, if they run then.
SOON_DAYS = 30
_RENEW_SECONDS = 600.0

#: Of the API server, with an etcd that starts, where the processor is emulated.
_READY_SECONDS = 300.0

#: Stops a node's kubelet, the control plane, which reads certificates when it starts, and the pods of the cluster that
#: ask it all the time: their tokens have ended, too, and kubelets give them others when they start them. SIGKILL,
#: since an API server without its etcd took minutes to end itself, and the processor with it.
STOP = f"""
systemctl stop kubelet || exit 1
{SIGNAL}
signal KILL "etcd kube-apiserver kube-controller kube-scheduler coredns kube-proxy kube-router flanneld calico-node"
exit 0
"""

#: `kubeadm certs` was `kubeadm alpha certs` before 1.20.
RENEW = 'if [ "$1" = old ]; then kubeadm alpha certs renew all; else kubeadm certs renew all; fi'

#: Prints certificate and key of a node's kubelet, which is to have them at `_KUBELET_PEM`: as kubeadm would issue them,
#: for a year. An emulated guest takes half a minute to start kubeadm. Arguments: the cluster's PKI, host name.
ISSUE = """
umask 077
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
openssl ecparam -name prime256v1 -genkey -noout -out key &&
    openssl req -new -key key -subj "/O=system:nodes/CN=system:node:$2" -out request &&
    printf 'keyUsage=critical,digitalSignature\\nextendedKeyUsage=clientAuth\\n' > extensions &&
    openssl x509 -req -in request -CA "$1/ca.crt" -CAkey "$1/ca.key" -set_serial "0x$(openssl rand -hex 8)" \\
        -days 365 -sha256 -extfile extensions -out certificate && cat certificate key
"""
_PKI = "/etc/kubernetes/pki"
_KUBELET_PEM = "/var/lib/kubelet/pki/kubelet-client-current.pem"
_START = f"rm -f {_KUBELET_PEM} && cat > {_KUBELET_PEM} && chmod 600 {_KUBELET_PEM} && systemctl start kubelet"


@dataclass(frozen=True, slots=True)
class CertificatesPhase:
    """The certificate of the POD's kubeconfig on this host is as old as kubeadm's others: while it is valid for long,
    no node is asked. Else all are renewed, and that one last.

    The control plane starts alone: beside kubelets and pods that ask it all the time, and are refused, an emulated API
    server was not ready within the minute that it gives itself, ended, and started, for as long as one waited.
    """

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    kubectl: Kubectl
    kubeconfig: KubeconfigPhase
    waits: Waits
    today: Callable[[], datetime.date]
    soon_days: int = SOON_DAYS
    name: str = "certificates"
    summary: str = "kubeadm's certificates, renewed where they end soon"

    @property
    def _first(self) -> Shell:
        return self.shells[self.cluster.control_plane.hostname]

    def probe(self) -> str | None:
        path = self.kubeconfig.path
        found = read_credentials("localhost", str(path), read_own(path), f"https://{self.cluster.api_endpoint}")
        end = x509.load_pem_x509_certificate(found.client_certificate).not_valid_after_utc
        days = (end.date() - self.today()).days
        return None if days < self.soon_days else f"valid for {days} days"

    def run(self) -> None:
        form = "old" if kubernetes_minor(self.cluster.release.kubernetes_version) < (1, 20) else "new"
        run_on_nodes(tuple(self.shells), self._stop)
        self._first.run(["sh", "-c", RENEW, "renew", form], timeout_seconds=_RENEW_SECONDS)
        pems = {node: self._issue(node) for node in self.shells}
        self.kubeconfig.run()
        first = self._first.node
        self._start(first, pems.pop(first))
        self._await_api()
        run_on_nodes(tuple(pems), lambda node: self._start(node, pems[node]))

    def _stop(self, hostname: str) -> None:
        self.shells[hostname].run(["sh", "-c", STOP], timeout_seconds=_RENEW_SECONDS)

    def _start(self, hostname: str, pem: bytes) -> None:
        self.shells[hostname].run(["sh", "-c", _START], stdin=pem, timeout_seconds=_RENEW_SECONDS)

    def _await_api(self) -> None:
        def look() -> None:
            with api_awaited():
                self.kubectl.check("/readyz")

        awaited = "an API server with renewed certificates"
        self.waits.wait_for(awaited, look, seconds=_READY_SECONDS, node=self._first.node, interval_seconds=5.0)

    def _issue(self, hostname: str) -> bytes:
        issued = self._first.run(["sh", "-c", ISSUE, "issue", _PKI, hostname], timeout_seconds=_RENEW_SECONDS)
        pem = issued.stdout.encode()
        if b"BEGIN CERTIFICATE" not in pem or b"PRIVATE KEY" not in pem:
            raise NodeError(self._first.node, f"it issued no certificate for the kubelet of {hostname}")
        return pem
