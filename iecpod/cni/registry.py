"""The table of all pod networks, by the names that scenarios and releases have for them."""

from __future__ import annotations

from collections.abc import Mapping

from iecpod.cni.bridge import BRIDGE
from iecpod.cni.calico import CALICO
from iecpod.cni.calico_operator import CALICO_OPERATOR
from iecpod.cni.flannel import FLANNEL
from iecpod.cni.kube_router import KUBE_ROUTER
from iecpod.design.cluster import Cni, NodeTraces

CNIS: Mapping[str, Cni] = {cni.name: cni for cni in (CALICO, CALICO_OPERATOR, FLANNEL, KUBE_ROUTER, BRIDGE)}

_TRACES = tuple(dict.fromkeys(cni.traces for cni in CNIS.values()))

#: Of every pod network: what may be found on a node that carried one.
ALL_TRACES = NodeTraces(
    devices=tuple(name for traces in _TRACES for name in traces.devices),
    lasting_devices=tuple(name for traces in _TRACES for name in traces.lasting_devices),
    rules=tuple(rule for traces in _TRACES for rule in traces.rules),
    ipsets=tuple(name for traces in _TRACES for name in traces.ipsets),
    directories=tuple(path for traces in _TRACES for path in traces.directories),
)

#: Kernel modules that some pod network needs.
ALL_MODULES = tuple(sorted({module for cni in CNIS.values() for module in cni.modules}))
