"""What some options of a POD choose among. Apart from what they mean, so that the command line loads in no time."""

from __future__ import annotations

import enum


class VirtType(str, enum.Enum):
    """virt-install's and libvirt's word for KVM or emulation."""

    KVM = "kvm"
    QEMU = "qemu"


class ProviderName(str, enum.Enum):
    """The values of --provider."""

    LIBVIRT = "libvirt"
    EXISTING = "existing"

    @property
    def makes_machines(self) -> bool:
        """Else they are there, with names, addresses and an operating system of their own."""
        return self is not ProviderName.EXISTING


class BundleVia(str, enum.Enum):
    """How nodes get a bundle: baked into the image; on a disk that all share and only read; or over SSH to each."""

    IMAGE = "image"
    DISK = "disk"
    SSH = "ssh"


class Encapsulation(str, enum.Enum):
    """How Calico carries packets of pods between nodes."""

    IPIP = "ipip"
    VXLAN = "vxlan"
    NONE = "none"

    @property
    def overhead_bytes(self) -> int:
        """What it takes of the MTU (Calico, "Configure MTU")."""
        return {"ipip": 20, "vxlan": 50, "none": 0}[self.value]
