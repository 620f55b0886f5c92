"""What a hypervisor can run, from libvirt's capabilities."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable

from iecpod.model import Arch
from iecpod.providers.libvirt.objects import Emulator, Firmware

#: The machine types we render for; libvirt makes the newest version of them.
MACHINES = {Arch.X86_64: "q35", Arch.AARCH64: "virt"}

#: UEFI builds without secure boot, with their variable templates: Debian and Ubuntu, Fedora, Arch.
_KNOWN_FIRMWARE = {
    Arch.X86_64: (
        Firmware("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        Firmware("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        Firmware("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
        Firmware("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ),
    Arch.AARCH64: (
        Firmware("/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
        Firmware("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
        Firmware("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
    ),
}

_SECURE_BOOT_WORDS = ("secboot", "secure", ".ms.", "snakeoil")


def parse_emulator(arch: Arch, domain_capabilities_xml: str, exists: Callable[[str], bool]) -> Emulator:
    """From the capabilities that libvirt shows when it may choose emulator and type itself: kvm where it can."""
    root = ElementTree.fromstring(domain_capabilities_xml)
    loaders = [value.text or "" for value in root.findall("os/loader/value")]
    return Emulator(
        path=root.findtext("path", ""),
        machine=MACHINES[arch],
        kvm=root.findtext("domain") == "kvm",
        firmware=find_firmware(arch, loaders, exists),
    )


def find_firmware(arch: Arch, loaders: Iterable[str], exists: Callable[[str], bool]) -> Firmware | None:
    """The first pair of which both files exist: of those we know, then of those that libvirt names."""
    offered = (
        Firmware(loader, loader.replace("CODE", "VARS"))
        for loader in loaders
        if "CODE" in loader and not any(word in loader for word in _SECURE_BOOT_WORDS)
    )
    for firmware in (*_KNOWN_FIRMWARE[arch], *offered):
        if exists(firmware.code) and exists(firmware.nvram_template):
            return firmware
    return None
