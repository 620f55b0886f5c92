"""How long things may take here: deadlines for KVM, stretched for guests that are emulated."""

from __future__ import annotations

from dataclasses import dataclass

from iecpod.design.resources import VirtType

#: Emulated (TCG) guests were measured at about a tenth of KVM's speed when three boot together on two cores.
_EMULATION_FACTOR = 8.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`factor` stretches every deadline; `calm` asks Kubernetes to do less in the background."""

    factor: float
    calm: bool

    def seconds(self, on_kvm_seconds: float) -> float:
        return on_kvm_seconds * self.factor


def pace_of(virt_type: VirtType) -> Pace:
    emulated = virt_type is VirtType.QEMU
    return Pace(factor=_EMULATION_FACTOR if emulated else 1.0, calm=emulated)
