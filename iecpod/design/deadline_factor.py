"""How long things may take here: deadlines for KVM, stretched for guests that are emulated or slow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from iecpod.options.choices import VirtType

#: Phases that wait for guests, in order: those whose time `--timeout` chooses.
PHASES_THAT_WAIT = ("reachable", "runtime", "control-plane", "cni", "workers", "ready", "prune", "verify")

#: Emulated (TCG) guests were measured at about a tenth of KVM's speed when three boot together on two cores.
_EMULATION_FACTOR = 8.0

#: From the kernel's start to cloud-init's end, with KVM. Three emulated guests at once took 140 to 168 s.
_BOOT_SECONDS = 25.0

#: A boot may be slow for reasons that slow down nothing later, such as a network without DHCP.
_MOST_BY_MEASURE = 4.0


@dataclass(frozen=True, slots=True)
class GuestSpeed:
    """`factor` stretches every deadline; `low_overhead` asks Kubernetes to do less in the background."""

    factor: float
    low_overhead: bool

    def seconds(self, on_kvm_seconds: float) -> float:
        return on_kvm_seconds * self.factor

    def measured(self, boot_seconds: float) -> GuestSpeed:
        """Slower where a guest took longer to boot than was expected of it; never faster."""
        slowness = boot_seconds / _BOOT_SECONDS / self.factor
        return replace(self, factor=self.factor * min(max(slowness, 1.0), _MOST_BY_MEASURE))


def guest_speed_of(virt_type: VirtType) -> GuestSpeed:
    emulated = virt_type is VirtType.QEMU
    return GuestSpeed(factor=_EMULATION_FACTOR if emulated else 1.0, low_overhead=emulated)
