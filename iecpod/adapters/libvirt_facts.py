"""What a hypervisor can run, from libvirt's capabilities."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable

from iecpod.design.resources import Emulator, Firmware
from iecpod.model import Arch

#: The machine types we render for; libvirt makes the newest version of them.
_MACHINES = {Arch.X86_64: "q35", Arch.AARCH64: "virt"}

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


def parse_emulators(capabilities_xml: str) -> dict[Arch, Emulator]:
    """Emulators of full machines, by architecture, `firmware` still unknown."""
    found = {}
    for guest in ElementTree.fromstring(capabilities_xml).findall("guest"):
        arch = guest.find("arch")
        if arch is None or guest.findtext("os_type") != "hvm":
            continue
        for wanted, machine in _MACHINES.items():
            machines = {entry.text for entry in arch.iter("machine")}
            if arch.get("name") == wanted.value and machine in machines:
                kvm = any(domain.get("type") == "kvm" for domain in arch.findall("domain"))
                found[wanted] = Emulator(arch.findtext("emulator", ""), machine, kvm, None)
    return found


def parse_loaders(domain_capabilities_xml: str) -> tuple[str, ...]:
    """Paths of the UEFI builds that libvirt knows for a machine."""
    loader = ElementTree.fromstring(domain_capabilities_xml).find("os/loader")
    return tuple(value.text or "" for value in loader.findall("value")) if loader is not None else ()


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
