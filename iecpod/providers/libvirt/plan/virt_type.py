"""KVM or emulation: what libvirt lists, and what has booted a kernel."""

from __future__ import annotations

from iecpod.design.pod_design import PodOrder
from iecpod.options.choices import VirtType
from iecpod.ports import Images
from iecpod.providers.libvirt.dependencies import LibvirtTools
from iecpod.providers.libvirt.objects import HostFacts
from iecpod.providers.libvirt.plan.preflight import KVM_REMEDY, kvm_is_barred


def assumed_virt_type(order: PodOrder, facts: HostFacts) -> VirtType:
    """The virt type as far as it is known without trying it: KVM where it is listed for every node."""
    if order.options.virt_type is not None:
        return order.options.virt_type
    archs = {node.arch for node in order.spec.pdf.nodes}
    listed = all(arch in facts.emulators and facts.emulators[arch].kvm for arch in archs)
    return VirtType.KVM if listed else VirtType.QEMU


def proven_virt_type(order: PodOrder, facts: HostFacts, tools: LibvirtTools, images: Images) -> VirtType:
    """As `assumed_virt_type`, but with `auto` KVM must have booted the image's own kernel (cached images only)."""
    assumed = assumed_virt_type(order, facts)
    archs = {node.arch for node in order.spec.pdf.nodes}
    if order.options.virt_type is None and any(kvm_is_barred(facts, arch) for arch in archs):
        tools.run.reporter.warn(
            f"{facts.qemu_user}, the account of QEMU, cannot use /dev/kvm: guests are emulated; {KVM_REMEDY}"
        )
    if order.options.virt_type is not None or assumed is VirtType.QEMU:
        return assumed
    for arch in archs:
        image = images.find(arch)
        if image is not None and not tools.disk_sources.kvm_boots(image, facts.emulators[arch], arch):
            tools.run.reporter.warn("KVM is present but cannot boot a guest; falling back to emulation (TCG)")
            return VirtType.QEMU
    return assumed
