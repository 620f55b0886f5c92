"""Whether `kubeadm init` would take the first node: it refuses one with too few processors or too little memory.

Source: kubeadm's preflight checks NumCPU and Mem (`ControlPlaneNumCPU`, `ControlPlaneMem`), the latter since 1.20.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iecpod.design.machines import Machine
from iecpod.design.pod_design import PodDesign
from iecpod.errors import Problem, Severity
from iecpod.release.kubernetes_version import kubernetes_minor

_CPUS, _MEMORY_MIB = 2, 1700
#: A kernel keeps some memory for itself, so a guest sees less than its machine has: about 60 MiB of 1700.
_CERTAIN_MEMORY_MIB = 1800
_MEMORY_CHECKED_SINCE = (1, 20)


def check_first_node(pod: PodDesign, machines: Sequence[Machine]) -> Iterator[Problem]:
    """Nothing where the release has kubeadm pass over these checks."""
    hostname = pod.cluster.control_plane.hostname
    machine = next(machine for machine in machines if machine.hostname == hostname)
    release = pod.cluster.release
    ignored = {name.lower() for name in release.ignored_preflight_checks}
    if not ignored & {"numcpu", "all"} and machine.vcpus < _CPUS:
        yield Problem(
            path=machine.name,
            message=f"the first node has {machine.vcpus} CPU, and kubeadm requires {_CPUS}",
            remedy="give it more in the PDF or with --vcpus, or a release with NumCPU among ignored_preflight_checks",
            rule="kubeadm-cpus",
        )
    is_checked = kubernetes_minor(release.kubernetes_version) >= _MEMORY_CHECKED_SINCE
    if is_checked and not ignored & {"mem", "all"} and machine.memory_mib < _CERTAIN_MEMORY_MIB:
        too_little = machine.memory_mib < _MEMORY_MIB
        yield Problem(
            path=machine.name,
            message=f"the first node has {machine.memory_mib} MiB of memory, and kubeadm requires {_MEMORY_MIB}"
            + ("" if too_little else " beside what the kernel keeps for itself"),
            remedy="give it 2G in the PDF or with --memory, or a release with Mem among ignored_preflight_checks",
            rule="kubeadm-memory",
            severity=Severity.ERROR if too_little else Severity.WARNING,
        )
