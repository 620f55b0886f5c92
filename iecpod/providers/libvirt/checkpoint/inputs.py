"""All that decides the machines and the cluster of a POD, as digests that hang on no secret and no run."""

from __future__ import annotations

from dataclasses import replace

from iecpod.design.value_digest import value_digest
from iecpod.options.choices import VirtType
from iecpod.provider import INSIDE, CheckpointInputs
from iecpod.providers.libvirt.dependencies import NodeSecrets
from iecpod.providers.libvirt.plan.machine_plan import LibvirtPlan
from iecpod.providers.libvirt.rendered import RenderedPod
from iecpod.render.kubeadm import render_init_config
from iecpod.render.low_overhead import render_patches

#: Grows when what a deploy makes of equal inputs changes in a way that no digest shows.
_FORMAT = "1"


def find_inputs(planned: LibvirtPlan) -> CheckpointInputs:
    """Networks and machines as rendered, with keys left blank; release, bundle and cluster as designed."""
    cluster, release = planned.pod.cluster, planned.pod.cluster.release
    bundle = release.provided.digest if release.provided else ""
    deploy = {
        "format of iecpod": _FORMAT,
        **_machines(planned.render(secrets=_blank(planned))),
        "release": value_digest(replace(release, provided=None)),
        **({"bundle": bundle} if bundle else {}),
        **({"VLAN links": value_digest(planned.desired.vlan_links)} if planned.desired.vlan_links else {}),
        "cluster": value_digest({"nodes": cluster.nodes, "cni": cluster.cni.name, "cidrs": _cidrs(planned)}),
        INSIDE: value_digest(_kubeadm(planned)),
        "supply": value_digest((planned.pod.supply, planned.pod.docker_bridge)),
    }
    return CheckpointInputs(deploy=deploy, memory=_memory(planned))


def _kubeadm(planned: LibvirtPlan) -> tuple[str, dict[str, str]]:
    """What the first node is given, but for its secret and for how long it may take."""
    cluster = planned.pod.cluster
    patches = render_patches(cluster.release.kubernetes_version) if cluster.low_overhead else {}
    return render_init_config(cluster, token="", timeout_seconds=0), patches


def _cidrs(planned: LibvirtPlan) -> dict[str, object]:
    cluster = planned.pod.cluster
    return {
        "mgmt": cluster.mgmt_cidr,
        "mtu": cluster.mgmt_mtu,
        "pods": cluster.pod_cidr,
        "services": cluster.service_cidr,
        "endpoint": cluster.endpoint,
        "low overhead": cluster.low_overhead,
    }


def _blank(planned: LibvirtPlan) -> NodeSecrets:
    return NodeSecrets(authorized_key="", host_keys=dict.fromkeys(planned.order.hostnames, ("", "")))


def _machines(rendered: RenderedPod) -> dict[str, str]:
    """A machine's digest by its parts, so that people are shown which of them is another."""
    networks = {f"network {network.name}": network.digest for network in rendered.networks}
    machines = {
        f"{name} of {domain.domain.hostname}": digest
        for domain in rendered.domains
        for name, digest in domain.resource.parts
    }
    return networks | machines


def _memory(planned: LibvirtPlan) -> dict[str, str]:
    """QEMU loads memory of its own version; under KVM, processors of another model may miss what the guest has seen."""
    found = {"QEMU": planned.hypervisor.emulator_version(), "virt type": planned.virt_type.value}
    if planned.virt_type is VirtType.KVM:
        found["CPU"] = planned.hypervisor.cpu_model()
    return found
