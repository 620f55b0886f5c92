"""Does KVM boot a kernel here? A device that opens and firmware that runs do not prove it; only a kernel does."""

from __future__ import annotations

import os
import platform
import selectors
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from iecpod.cache.hashed_files import Fingerprint, read_json, recipe_key, write_json
from iecpod.cache.work_directory import staging
from iecpod.errors import HostError
from iecpod.files.trusted_paths import make_directory
from iecpod.model import Arch
from iecpod.options.choices import VirtType
from iecpod.ports import BaseImage
from iecpod.providers.libvirt.objects import Emulator

#: The first line of every Linux kernel; images of a release send it to their serial console.
_SIGN_OF_LIFE = b"Linux version "

_ACCELERATORS = {VirtType.KVM: "kvm", VirtType.QEMU: "tcg"}
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def kvm_boots(
    image: BaseImage, emulator: Emulator, arch: Arch, cache_dir: Path, *, timeout_seconds: float = 45.0
) -> bool:
    """Whether the image's kernel starts under KVM in time; tried once per boot of the host, image and emulator."""
    if not emulator.kvm or arch.value != platform.machine():
        return False
    question: dict[str, Any] = {
        "boot": _BOOT_ID.read_text().strip(),
        "image": image.sha256,
        "emulator": [emulator.path, *Fingerprint.of(Path(emulator.path)).as_list()],
    }
    answer_path = cache_dir / "kvm" / f"{recipe_key(question)[:32]}.json"
    known = read_json(answer_path)
    if isinstance(known, dict) and isinstance(known.get("boots"), bool):
        return bool(known["boots"])
    started = time.monotonic()
    with staging(cache_dir, "kvm") as work:
        boots = does_kernel_start(image, emulator, VirtType.KVM, work, timeout_seconds=timeout_seconds)
    # An emulator that gave up at once says why KVM is missing today, not that it hangs; asking again costs nothing.
    if boots or time.monotonic() - started >= timeout_seconds:
        make_directory(answer_path.parent)
        write_json(answer_path, {"boots": boots, **question})
    return boots


def does_kernel_start(
    image: BaseImage, emulator: Emulator, virt_type: VirtType, work: Path, *, timeout_seconds: float
) -> bool:
    """Boots the image, unchanged and without a network, until its kernel speaks. `work` is an empty directory."""
    if not Path(emulator.path).is_file():
        raise HostError(f"the emulator {emulator.path} is not there", "bootstrap.sh installs what iecpod needs")
    argv = _probe_argv(image, emulator, virt_type, work)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            return _sees_sign_of_life(process, timeout_seconds)
        finally:
            process.kill()


def _probe_argv(image: BaseImage, emulator: Emulator, virt_type: VirtType, work: Path) -> list[str]:
    firmware = []
    if emulator.firmware is not None:
        variables = work / "variables.fd"
        shutil.copyfile(emulator.firmware.nvram_template, variables)
        firmware = [
            "-drive",
            f"if=pflash,unit=0,format=raw,readonly=on,file={_escaped(emulator.firmware.code)}",
            "-drive",
            f"if=pflash,unit=1,format=raw,file={_escaped(variables)}",
        ]
    options = {
        "-machine": f"{emulator.machine},accel={_ACCELERATORS[virt_type]}",
        "-cpu": "host" if virt_type is VirtType.KVM else "max",
        "-m": "512",
        "-smp": "1",
        "-nic": "none",
        "-display": "none",
        "-monitor": "none",
        "-serial": "stdio",
        # Read-only will do: the kernel speaks long before anything writes to its disk.
        "-blockdev": (
            f"driver={image.format},node-name=root,read-only=on,file.driver=file,"
            f"file.filename={_escaped(image.path)},file.read-only=on,file.locking=off"
        ),
        "-device": "virtio-blk-pci,drive=root,bootindex=0",
    }
    arguments = [part for option in options.items() for part in option]
    return ["setpriv", "--pdeathsig", "KILL", emulator.path, "-no-reboot", *firmware, *arguments]


def _escaped(path: Path | str) -> str:
    """In an option of QEMU's, a comma begins the next setting."""
    return str(path).replace(",", ",,")


def _sees_sign_of_life(process: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
    assert process.stdout is not None, "the serial line is a pipe"
    deadline = time.monotonic() + timeout_seconds
    seen = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            chunk = os.read(process.stdout.fileno(), 4096)
            seen = seen[-len(_SIGN_OF_LIFE) :] + chunk
            if _SIGN_OF_LIFE in seen:
                return True
            if not chunk:
                return False
    return False
