"""A bootable GPT/UEFI disk from a tree, without loop devices: the same steps for x86_64 and aarch64.

systemd-boot is at the path that firmware tries on a disk it knows nothing of (UEFI specification, 3.5.1.1), so an
empty NVRAM will do.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iecpod.errors import ImageError
from iecpod.images.build.rootfs import root_uuid
from iecpod.images.confinement.tool import run_tool
from iecpod.images.confinement.untrusted_tree import Beneath, Links
from iecpod.model import Arch
from iecpod.naming import NAMESPACE

#: A change here changes every image that is made of a tree.
DISK_VERSION = 2

_MIB = 1024 * 1024
_ESP_START_MIB = 1
_ESP_MIB = 64
_ROOT_START_MIB = _ESP_START_MIB + _ESP_MIB
_GPT_END_MIB = 1
_ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

#: Room in the file system of the image; a guest's own disk is larger, and cloud-init grows into it.
_SLACK_MIB = 256


@dataclass(frozen=True, slots=True)
class _Boot:
    """`root_type` is the partition type of the Discoverable Partitions Specification."""

    loader: str
    fallback_name: str
    root_type: str
    kernel_arguments: tuple[str, ...]


_BOOT = {
    Arch.X86_64: _Boot(
        loader="systemd-bootx64.efi",
        fallback_name="BOOTX64.EFI",
        root_type="4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
        # An emulated guest of several processors takes their counters for unsynchronized, and then reads the time from
        # the emulated HPET: a system call and an exit for what every Go program does all the time. All are the host's.
        # Under KVM the kernel prefers KVM's own clock, and this changes nothing. `guest_clock.py` is for
        # counters that were measured wrongly.
        kernel_arguments=("console=ttyS0", "tsc=reliable"),
    ),
    Arch.AARCH64: _Boot(
        loader="systemd-bootaa64.efi",
        fallback_name="BOOTAA64.EFI",
        root_type="B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
        kernel_arguments=("console=ttyAMA0",),
    ),
}


def build_disk(
    tree: Path, directory: Path, arch: Arch, kernel_arguments: Sequence[str], log_path: Path
) -> tuple[Path, int]:
    """Makes `disk.qcow2` of the tree in `directory`; returns its path and its virtual size in bytes."""
    root_mib = _measure_mib(tree) * 11 // 10 + _SLACK_MIB
    total_bytes = (_ROOT_START_MIB + root_mib + _GPT_END_MIB) * _MIB
    raw = directory / "disk.raw"
    with raw.open("wb") as disk:
        disk.truncate(total_bytes)
    _partition(raw, directory, arch, root_mib, log_path)
    _fill_esp(raw, directory, tree, arch, kernel_arguments, log_path)
    _fill_root(raw, tree, arch, root_mib, log_path)
    image = directory / "disk.qcow2"
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)]
    run_tool(convert, purpose="converting the disk to qcow2", log_path=log_path)
    raw.unlink()
    return image, total_bytes


def _partition(raw: Path, directory: Path, arch: Arch, root_mib: int, log_path: Path) -> None:
    table = directory / "partitions"
    table.write_text(
        "label: gpt\n"
        f"label-id: {uuid.uuid5(NAMESPACE, f'disk of {arch.value}')}\n"
        f"start={_ESP_START_MIB}MiB, size={_ESP_MIB}MiB, type={_ESP_TYPE}, name=esp\n"
        f"start={_ROOT_START_MIB}MiB, size={root_mib}MiB, type={_BOOT[arch].root_type}, name=root\n"
    )
    run_tool(
        ["sh", "-c", 'exec sfdisk --quiet --no-reread --no-tell-kernel "$0" < "$1"', str(raw), str(table)],
        purpose="partitioning the disk",
        log_path=log_path,
    )


def _fill_esp(
    raw: Path, directory: Path, tree: Path, arch: Arch, kernel_arguments: Sequence[str], log_path: Path
) -> None:
    boot = _BOOT[arch]
    staged = directory / "esp"
    (staged / "EFI/BOOT").mkdir(parents=True)
    (staged / "loader/entries").mkdir(parents=True)
    with Beneath.of(tree, Links.WITHIN) as inside:
        version = _newest_kernel(inside)
        _copy(inside, f"usr/lib/systemd/boot/efi/{boot.loader}", staged / "EFI/BOOT" / boot.fallback_name)
        _copy(inside, f"boot/vmlinuz-{version}", staged / "vmlinuz")
        _copy(inside, f"boot/initrd.img-{version}", staged / "initrd.img")
    (staged / "loader/loader.conf").write_text("timeout 0\n")
    # Notices and worse go to the console: enough to see that the kernel lives, and a serial line is slow.
    options = [f"root=UUID={root_uuid(arch)}", "rw", "loglevel=6", *boot.kernel_arguments, *kernel_arguments]
    entry = f"title Debian\nlinux /vmlinuz\ninitrd /initrd.img\noptions {' '.join(options)}\n"
    (staged / "loader/entries/debian.conf").write_text(entry)
    partition = f"{raw}@@{_ESP_START_MIB}M"
    sectors = _ESP_MIB * _MIB // 512
    for argv in (
        ["mformat", "-i", partition, "-T", str(sectors), "-h", "64", "-s", "32", "-v", "ESP", "::"],
        ["mcopy", "-i", partition, "-s", "-Q", *map(str, sorted(staged.iterdir())), "::/"],
    ):
        run_tool(argv, purpose="filling the EFI system partition", log_path=log_path)
    shutil.rmtree(staged)


def _fill_root(raw: Path, tree: Path, arch: Arch, root_mib: int, log_path: Path) -> None:
    options = f"offset={_ROOT_START_MIB * _MIB},lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0"
    identity = ["-U", root_uuid(arch), "-L", "root"]
    run_tool(
        [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-m",
            "1",
            *identity,
            "-E",
            options,
            "-d",
            str(tree),
            str(raw),
            f"{root_mib}M",
        ],
        purpose="filling the root file system",
        log_path=log_path,
    )


def _newest_kernel(tree: Beneath) -> str:
    """The highest version in /boot, by its numbers. Raises `ImageError` where there is no kernel."""
    try:
        kernels = [name for name in tree.names("boot") if name.startswith("vmlinuz-")]
    except OSError:
        kernels = []
    versions = [kernel.removeprefix("vmlinuz-") for kernel in kernels]
    if not versions:
        raise ImageError("the tree has no kernel in /boot", "a release of type mmdebstrap needs a kernel package")
    return max(versions, key=lambda version: [int(number) for number in re.findall(r"\d+", version)])


def _copy(tree: Beneath, name: str, target: Path) -> None:
    """Raises `ImageError` where the tree has no such file, or a link that leads out of it."""
    try:
        descriptor = tree.open_file(name)
    except OSError as error:
        raise ImageError(
            f"/{name} of the tree cannot be used: {error.strerror}",
            "build the tree or the bundle again: it must be a file of its own",
        ) from error
    with os.fdopen(descriptor, "rb") as content, target.open("wb") as file:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes > _ESP_MIB * _MIB:
            raise ImageError(f"/{name} of the tree has {size_bytes // _MIB} MiB", f"it may have {_ESP_MIB} MiB at most")
        shutil.copyfileobj(content, file)


def _measure_mib(tree: Path) -> int:
    """What the tree takes on a file system with blocks of 4 KiB; a hard link counts once. Raises `ImageError`."""
    seen = set()
    total = 0
    left = [str(tree)]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                found = [(entry, entry.stat(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            raise ImageError(
                f"the tree cannot be read: {error.strerror}", "build the tree or the bundle again"
            ) from error
        for entry, status in found:
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += -(-status.st_size // 4096) * 4096 if not status.st_blocks else status.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                left.append(entry.path)
    return total // _MIB
