"""How a command talks to the API server of a POD's cluster."""

from __future__ import annotations

from functools import partial

from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.deploy.kubectl.api import Api
from iecpod.deploy.kubectl.kubectl import Kubectl, KubectlAt
from iecpod.design.cluster import DesiredCluster
from iecpod.pods.ports import NodeAccess
from iecpod.ports import Shell, WayIn
from iecpod.release.kubernetes_version import applies_on_server


def kubectl_of(
    nodes: NodeAccess, way: WayIn, cluster: DesiredCluster, first: Shell, admin_conf: AdminConf | None = None
) -> KubectlAt:
    """`first` is the shell of the control plane node. What it makes shares one connection.

    Credentials are those of the kubeconfig of this host, or of `admin_conf`, which is there before that.
    """
    release = cluster.release
    server = nodes.api_server(cluster, way, first, admin_conf.find if admin_conf else None)
    api = Api(server, first.node, applies=applies_on_server(release.kubernetes_version)) if server else None
    return partial(Kubectl, on_host=nodes.host_kubectl(way, release), api=api)
