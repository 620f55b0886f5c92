"""Images and disks that are there, or are made by saying so."""

from __future__ import annotations

from pathlib import Path

from iecpod.design.machines import BundleDisk
from iecpod.model import Arch
from iecpod.ports import BaseImage


class FakeImages:
    """An image that is always there."""

    def key(self, arch: Arch) -> str:
        return f"key-{arch.value}"

    def find(self, arch: Arch) -> BaseImage:
        return BaseImage(path=Path("/cache/image.qcow2"), sha256="0" * 64, format="qcow2", virtual_size_bytes=1 << 30)

    def ensure(self, arch: Arch) -> BaseImage:
        return self.find(arch)


class FakeBundleDisks:
    """Disks that are made by saying so."""

    def __init__(self) -> None:
        self.made: list[Arch] = []

    def disk(self, arch: Arch) -> BundleDisk:
        return BundleDisk(f"/cache/{arch.value}.img", f"uuid-{arch.value}")

    def is_made(self, arch: Arch) -> bool:
        return arch in self.made

    def ensure(self, arch: Arch) -> None:
        self.made.append(arch)
