"""Debian trees made by mmdebstrap, as tar files: the root of a guest, and the layer that images share."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.design.release import ImageSource
from iecpod.images.apt import AptSuite, check_keyring
from iecpod.images.cache import Artifact, Cache
from iecpod.images.process import run_tool
from iecpod.model import Arch
from iecpod.naming import NAMESPACE

#: dpkg leaves out what nobody reads in a lab guest: a third of the files.
_DPKG_EXCLUDES = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/lintian/*",
)

#: What a guest needs before its root file system is there; tiny-initramfs resolves dependencies, and ext4 is often
#: built in. A cloud kernel has no other disk drivers worth loading.
_TINY_INITRAMFS_CONF = """DEBUG=no
MICROCODE=no
AUTO_MODULES=no
INCLUDE_MODULES=virtio_pci,virtio_blk,virtio_scsi,sd_mod,ext4
"""

_ESSENTIAL_HOOK = f"""
set -eu
mkdir -p "$1/etc/tiny-initramfs"
cat > "$1/etc/tiny-initramfs/tiny-initramfs.conf" <<'END'
{_TINY_INITRAMFS_CONF}END
"""

#: Leaves a system that boots fast and quietly, and that cloud-init finds untouched. Without ifupdown and netplan,
#: cloud-init configures systemd-networkd.
_SYSTEM_HOOK = """
set -eu
root=$1
: > "$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root"/etc/ssh/ssh_host_* "$root"/etc/cloud/cloud.cfg.d/90_dpkg.cfg
printf '127.0.0.1 localhost\\n::1 localhost ip6-localhost ip6-loopback\\n' > "$root/etc/hosts"
printf '# Name servers are a matter of the seed.\\n' > "$root/etc/resolv.conf"
printf 'UUID=@ROOT_UUID@ / ext4 defaults,noatime 0 0\\n' > "$root/etc/fstab"
printf 'LANG=C.UTF-8\\n' > "$root/etc/default/locale"
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\\nStorage=volatile\\nRuntimeMaxUse=32M\\n' > "$root/etc/systemd/journald.conf.d/iecpod.conf"
printf 'datasource_list: [ NoCloud, None ]\\n' > "$root/etc/cloud/cloud.cfg.d/90-iecpod.cfg"
systemctl --root="$root" --quiet enable systemd-networkd.service ssh.service
systemctl --root="$root" --quiet mask \\
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \\
    fstrim.timer systemd-pstore.service
rm -rf "$root"/var/log/apt "$root"/var/log/*.log "$root"/var/cache/debconf/*-old
"""


def ensure_rootfs(cache: Cache, source: ImageSource, arch: Arch, apt_mirror: str = "") -> Artifact:
    """`rootfs.tar` of a guest: kernel, cloud-init, sshd, no Kubernetes; `status` is dpkg's list of what is in it."""

    def make(directory: Path) -> Mapping[str, Any]:
        customize = _SYSTEM_HOOK.replace("@ROOT_UUID@", root_uuid(arch))
        arguments = [
            f"--essential-hook={_ESSENTIAL_HOOK}",
            f"--customize-hook={customize}",
            f"--customize-hook=cat > \"$1/etc/apt/sources.list\" <<'END'\n{_sources(source)}END",
            f"--customize-hook=cp \"$1/var/lib/dpkg/status\" '{directory}/status'",
        ]
        tree = _Tree(cache, source, arch, apt_mirror)
        tree.build(directory / "rootfs.tar", "minbase", source.packages, arguments)
        return {}

    doing = f"building {source.suite} for {arch.debian} (about a minute; ten where the host emulates it)"
    return cache.ensure("rootfs", rootfs_recipe(source, arch), make, doing)


def rootfs_recipe(source: ImageSource, arch: Arch) -> dict[str, Any]:
    return _recipe(source, arch, source.packages) | {"hooks": [_ESSENTIAL_HOOK, _SYSTEM_HOOK]}


def ensure_layer(
    cache: Cache, source: ImageSource, packages: tuple[str, ...], arch: Arch, apt_mirror: str = ""
) -> Artifact:
    """`layer.tar`: the packages on the essential ones, as the file system of containers."""

    def make(directory: Path) -> Mapping[str, Any]:
        tree = _Tree(cache, source, arch, apt_mirror)
        tree.build(directory / "layer.tar", "essential", packages, [])
        return {}

    recipe = _recipe(source, arch, packages)
    return cache.ensure("layer", recipe, make, f"building the layer of {', '.join(packages)} for {arch.debian}")


def root_uuid(arch: Arch) -> str:
    """The UUID of the root file system: the same in every image, as in cloud images, so that it can be in fstab."""
    return str(uuid.uuid5(NAMESPACE, f"root file system of {arch.value}"))


@dataclass(frozen=True, slots=True)
class _Tree:
    """One run of mmdebstrap."""

    cache: Cache
    source: ImageSource
    arch: Arch
    apt_mirror: str

    def build(self, tar: Path, variant: str, packages: tuple[str, ...], arguments: list[str]) -> None:
        check_keyring(self.source.keyring)
        archives = image_archives(self.source, self.apt_mirror)
        with self.cache.staging("mmdebstrap") as scratch:
            scratch.chmod(0o755)  # apt reads below it as another user
            argv = [
                "mmdebstrap",
                "--mode=root",
                f"--variant={variant}",
                f"--architectures={self.arch.debian}",
                f"--include={','.join(package.format(arch=self.arch.debian) for package in packages)}",
                *(f"--dpkgopt={option}" for option in _DPKG_EXCLUDES),
                '--aptopt=Acquire::Languages "none"',
                '--aptopt=Acquire::Retries "3"',
                *arguments,
                self.source.suite,
                str(tar),
                *(line for archive in archives for line in archive.source_lines("deb").splitlines()),
            ]
            run_tool(
                argv,
                purpose=f"building a tree of {self.source.suite} for {self.arch.debian}",
                log_path=self.cache.log_path(f"mmdebstrap-{variant}-{self.source.suite}-{self.arch.debian}"),
                environment={"TMPDIR": str(scratch)},
                network=True,
            )


def image_archives(source: ImageSource, apt_mirror: str = "") -> tuple[AptSuite, ...]:
    """The archives of the guest; `apt_mirror` replaces the main one, the security archive has no other."""
    main = AptSuite(
        mirror=apt_mirror or source.mirror, suites=(source.suite, f"{source.suite}-updates"), keyring=source.keyring
    )
    if not source.security_mirror:
        return (main,)
    security = AptSuite(mirror=source.security_mirror, suites=(f"{source.suite}-security",), keyring=source.keyring)
    return (main, security)


def _sources(source: ImageSource) -> str:
    """What the guest itself is to use: the release's mirrors, whichever mirror it was built from."""
    return "".join(archive.source_lines("deb") for archive in image_archives(source))


def _recipe(source: ImageSource, arch: Arch, packages: tuple[str, ...]) -> dict[str, Any]:
    return {
        "version": 1,
        "arch": arch.debian,
        "suite": source.suite,
        "mirrors": [source.mirror, source.security_mirror],
        "packages": list(packages),
        "excludes": list(_DPKG_EXCLUDES),
    }
