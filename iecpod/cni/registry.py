"""The table of all pod networks, by the names that scenarios and releases have for them."""

from __future__ import annotations

from collections.abc import Mapping

from iecpod.cni.bridge import BRIDGE
from iecpod.cni.calico import CALICO
from iecpod.cni.calico_operator import CALICO_OPERATOR
from iecpod.cni.flannel import FLANNEL
from iecpod.cni.kube_router import KUBE_ROUTER
from iecpod.design.cluster import Cni

CNIS: Mapping[str, Cni] = {cni.name: cni for cni in (CALICO, CALICO_OPERATOR, FLANNEL, KUBE_ROUTER, BRIDGE)}
