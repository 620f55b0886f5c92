"""Debian trees made by mmdebstrap, as tar files: the root of a guest, and the layer that images share."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Artifact, Cache
from iecpod.errors import ImageError
from iecpod.images.build.apt import AptSuite, check_keyring
from iecpod.images.build.guest_clock import CLOCK_HOOK
from iecpod.images.confinement.tool import run_tool
from iecpod.model import Arch
from iecpod.naming import NAMESPACE
from iecpod.release.release import ImageSource

#: dpkg leaves out what is not read in a lab guest: a third of the files.
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

#: Units that do nothing for a virtual machine without a screen, swap, crypto or packages to update. Each costs an
#: emulated guest some tenths of a second at boot, before sshd.
_MASKED_UNITS = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "getty@tty1.service", "getty-static.service", "modprobe@drm.service", "modprobe@fuse.service",
    "proc-sys-fs-binfmt_misc.automount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-binfmt.service", "systemd-journal-flush.service",
    "systemd-network-generator.service", "systemd-pstore.service", "systemd-random-seed.service",
    "systemd-repart.service", "systemd-update-utmp-runlevel.service", "systemd-update-utmp.service",
)  # fmt: skip

#: Leaves a system that boots fast and quietly, and that cloud-init finds untouched. Without ifupdown and netplan,
#: cloud-init configures systemd-networkd. The sshd of a package is configured well: no check of that at each start.
#: systemctl is the guest's own, since a host may have another version of it, or (a container) none.
_SYSTEM_HOOK = f"""
set -eu
root=$1
: > "$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root"/etc/ssh/ssh_host_* "$root"/etc/cloud/cloud.cfg.d/90_dpkg.cfg
rm -f "$root"/etc/update-motd.d/*
mkdir -p "$root/etc/systemd/journald.conf.d" "$root/etc/systemd/system/ssh.service.d"
write() {{ printf "$2" > "$root$1"; }}
write /etc/hosts '127.0.0.1 localhost\\n::1 localhost ip6-localhost ip6-loopback\\n'
write /etc/resolv.conf '# Name servers are a matter of the seed.\\n'
write /etc/fstab 'UUID=@ROOT_UUID@ / ext4 defaults,noatime 0 0\\n'
write /etc/default/locale 'LANG=C.UTF-8\\n'
write /etc/systemd/journald.conf.d/iecpod.conf '[Journal]\\nStorage=volatile\\nRuntimeMaxUse=32M\\n'
write /etc/systemd/system/ssh.service.d/iecpod.conf '[Service]\\nExecStartPre=\\n'
write /etc/cloud/cloud.cfg.d/90-iecpod.cfg 'datasource_list: [ NoCloud, None ]\\n'
write /etc/cloud/ds-identify.cfg 'policy: enabled\\n'
chroot "$root" systemctl --quiet enable systemd-networkd.service ssh.service
chroot "$root" systemctl --quiet mask {" ".join(_MASKED_UNITS)}
rm -rf "$root"/var/log/apt "$root"/var/log/*.log "$root"/var/cache/debconf/*-old
touch "$root/etc/.updated" "$root/var/.updated"
"""

#: Hooks are programs of a shell: what differs from run to run reaches them as variables, and is never part of them.
_SOURCES_HOOK = 'printf %s "$IECPOD_SOURCES" > "$1/etc/apt/sources.list"'
_STATUS_HOOK = 'cp -- "$1/var/lib/dpkg/status" "$IECPOD_STATUS"'


def ensure_rootfs(cache: Cache, source: ImageSource, arch: Arch, apt_mirror: str = "") -> Artifact:
    """`rootfs.tar` of a guest: kernel, cloud-init, sshd, no Kubernetes; `status` is dpkg's list of what is in it."""

    def make(directory: Path) -> Mapping[str, Any]:
        customize = _SYSTEM_HOOK.replace("@ROOT_UUID@", root_uuid(arch))
        hooks = [
            f"--essential-hook={_ESSENTIAL_HOOK}",
            *(f"--customize-hook={hook}" for hook in (customize, CLOCK_HOOK, _SOURCES_HOOK, _STATUS_HOOK)),
        ]
        variables = {"IECPOD_SOURCES": _sources(source), "IECPOD_STATUS": str(directory / "status")}
        tree = _Tree(cache, source, arch, apt_mirror)
        tree.build(directory / "rootfs.tar", "minbase", source.packages, hooks, variables)
        return {}

    doing = f"building {source.suite} for {arch.debian} (about a minute; ten where the host emulates it)"
    return cache.ensure("rootfs", rootfs_recipe(source, arch), make, doing)


def rootfs_recipe(source: ImageSource, arch: Arch) -> dict[str, Any]:
    return layer_recipe(source, source.packages, arch) | {"hooks": [_ESSENTIAL_HOOK, _SYSTEM_HOOK, CLOCK_HOOK]}


def ensure_layer(
    cache: Cache, source: ImageSource, packages: tuple[str, ...], arch: Arch, apt_mirror: str = ""
) -> Artifact:
    """`layer.tar`: the packages on the essential ones, as the file system of containers."""

    def make(directory: Path) -> Mapping[str, Any]:
        tree = _Tree(cache, source, arch, apt_mirror)
        tree.build(directory / "layer.tar", "essential", packages, [], {})
        return {}

    recipe = layer_recipe(source, packages, arch)
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

    def build(
        self, tar: Path, variant: str, packages: tuple[str, ...], hooks: list[str], variables: Mapping[str, str]
    ) -> None:
        """`variables` are what the hooks read."""
        check_keyring(self.source.keyring)
        _check_runs_here(self.arch)
        archives = image_archives(self.source, self.apt_mirror)
        include = ",".join(package.replace("{arch}", self.arch.debian) for package in packages)
        with self.cache.staging("mmdebstrap") as scratch:
            scratch.chmod(0o755)  # apt reads below it as another user
            argv = [
                "mmdebstrap",
                "--mode=root",
                f"--variant={variant}",
                f"--architectures={self.arch.debian}",
                f"--include={include}",
                *(f"--dpkgopt={option}" for option in _DPKG_EXCLUDES),
                '--aptopt=Acquire::Languages "none"',
                '--aptopt=Acquire::Retries "3"',
                *hooks,
                "--",
                self.source.suite,
                str(tar),
                *(line for archive in archives for line in archive.source_lines("deb").splitlines()),
            ]
            run_tool(
                argv,
                purpose=f"building a tree of {self.source.suite} for {self.arch.debian}",
                log_path=self.cache.log_path(f"mmdebstrap-{variant}-{self.source.suite}-{self.arch.debian}"),
                environment={"TMPDIR": str(scratch), **variables},
                network=True,
            )


def runs_here(arch: Arch) -> bool:
    """Whether the kernel runs programs of that architecture: its own, or one that QEMU is registered for."""
    return arch is Arch.of_this_machine() or Path(f"/proc/sys/fs/binfmt_misc/qemu-{arch.value}").exists()


def _check_runs_here(arch: Arch) -> None:
    """Raises `ImageError` where the kernel runs no programs of that architecture."""
    if not runs_here(arch):
        raise ImageError(
            f"this machine runs no programs of {arch.value}, which building an image for it takes",
            "register QEMU for them: run bootstrap.sh as root, or start systemd-binfmt or binfmt-support",
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


def layer_recipe(source: ImageSource, packages: tuple[str, ...], arch: Arch) -> dict[str, Any]:
    """What decides a tree of these packages."""
    return {
        "version": 1,
        "arch": arch.debian,
        "suite": source.suite,
        "mirrors": [source.mirror, source.security_mirror],
        "packages": list(packages),
        "excludes": list(_DPKG_EXCLUDES),
    }
