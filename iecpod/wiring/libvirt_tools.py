"""What the provider of domains needs, with the real adapters behind it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from iecpod.checkpoints.checkpoint_store import checkpoints_dir
from iecpod.design.machines import Seed
from iecpod.hypervisor_uri import EMBEDDED, HypervisorUri
from iecpod.model import Arch, PodRef
from iecpod.options.choices import BundleVia
from iecpod.ports import BaseImage, BundleDisks, Images, Reporter
from iecpod.providers.libvirt.connection.system import SystemHost
from iecpod.providers.libvirt.dependencies import NodeSecrets
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from iecpod.providers.libvirt.objects import Emulator
from iecpod.providers.libvirt.ports import HypervisorHost
from iecpod.release.release import Release
from iecpod.ssh.keys import PodKeys, ensure_pod_keys, find_pod_keys
from iecpod.wiring.run_of_pod import RunOfPod

_CONSOLE_TAIL_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class CachedDiskSources:
    """`DiskSources`."""

    cache_dir: Path
    apt_mirror: str
    reporter: Reporter
    pod_dir: Path

    def images(self, release: Release, bundle_via: BundleVia | None) -> Images:
        from iecpod.images.build.release_images import ReleaseImages

        baked = bundle_via is BundleVia.IMAGE
        return ReleaseImages(release, self.cache_dir, self.apt_mirror, self.reporter, baked, self.pod_dir)

    def bundle_disks(self, release: Release) -> BundleDisks:
        from iecpod.images.bundle.bundle_disk import ReleaseBundleDisks

        return ReleaseBundleDisks(release, self.cache_dir, self.apt_mirror, self.reporter)

    def kvm_boots(self, image: BaseImage, emulator: Emulator, arch: Arch) -> bool:
        from iecpod.providers.libvirt.kvm_probe import kvm_boots

        return kvm_boots(image, emulator, arch, self.cache_dir)


@dataclass(frozen=True, slots=True)
class PodSeeds:
    """`SeedTools`; `ensure_keys` makes the POD's keys, and its directory."""

    ref: PodRef
    cloud_init_dir: Path
    keys_dir: Path
    ensure_keys: Callable[[], PodKeys]

    def secrets(self, hostnames: tuple[str, ...], *, keep: bool) -> NodeSecrets:
        with ExitStack() as stack:
            if keep or find_pod_keys(self.keys_dir) is not None:
                keys = self.ensure_keys()
            else:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="iecpod-keys-"))
                keys = ensure_pod_keys(Path(directory), str(self.ref))
            return NodeSecrets(
                authorized_key=keys.authorized_key,
                host_keys={hostname: keys.host_key(hostname) for hostname in hostnames},
            )

    def make_seed(self, seed: Seed) -> bytes:
        from iecpod.providers.libvirt.seed_iso import make_seed_iso

        return make_seed_iso(seed)


@dataclass(frozen=True, slots=True)
class LibvirtAdapters:
    """`LibvirtTools`."""

    run: RunOfPod
    disk_sources: CachedDiskSources
    seeds: PodSeeds

    def host(self, uri: HypervisorUri) -> HypervisorHost:
        if uri != EMBEDDED:
            return SystemHost(uri, self.run.owner)
        cache = self.disk_sources.cache_dir
        shared = (cache / "images", cache / "bundle-disks", checkpoints_dir(cache))
        return EmbeddedHost(
            self.run.pod_dir, self.run.owner, self.run.clock, capabilities_cache=cache / "libvirt", shared=shared
        )

    def read_console(self, path: str) -> str:
        from iecpod.logs.archive import read_end

        try:
            return read_end(Path(path), _CONSOLE_TAIL_BYTES)[0].decode(errors="replace")
        except (FileNotFoundError, PermissionError):  # libvirt makes it for root alone on some hosts
            return ""

    def free_bytes(self, path: str) -> int:
        existing = next(parent for parent in (Path(path), *Path(path).parents) if parent.exists())
        return shutil.disk_usage(existing).free
