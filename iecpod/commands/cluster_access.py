"""How a command talks to the API server of a POD's cluster."""

from __future__ import annotations

from functools import partial

from iecpod.commands.tools import PodTools
from iecpod.design.cluster import DesiredCluster
from iecpod.design.kubernetes_version import applies_on_server
from iecpod.phases.api import Api
from iecpod.phases.kubectl import Kubectl, KubectlAt
from iecpod.ports import Shell, WayIn


def kubectl_of(tools: PodTools, way: WayIn, cluster: DesiredCluster, first: Shell) -> KubectlAt:
    """`first` is the shell of the control plane node. What it makes shares one connection."""
    release = cluster.release
    server = tools.api_server(cluster, way, first)
    api = Api(server, first.node, applies=applies_on_server(release.kubernetes_version)) if server else None
    return partial(Kubectl, on_host=tools.host_kubectl(way, release), api=api)
