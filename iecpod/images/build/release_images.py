"""The `Images` port for a release: fetched, copied, built, or built and baked, whichever the release says."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Cache
from iecpod.cache.base_images import ImageStore, NewImage
from iecpod.cache.hashed_files import Fingerprint, recipe_key
from iecpod.cache.pod_notes import note_pod
from iecpod.errors import ImageError
from iecpod.images.build.bake import BAKE_VERSION, bake_scripts, bake_tree, unpack_tree
from iecpod.images.build.disk import DISK_VERSION, build_disk
from iecpod.images.build.node_software import find_software, software_recipe
from iecpod.images.build.rootfs import ensure_rootfs, rootfs_recipe
from iecpod.images.fetch.prebuilt import check_image, copy_image, fetch_image
from iecpod.model import Arch
from iecpod.ports import BaseImage, Reporter
from iecpod.release.image_archive import images_recipe
from iecpod.release.release import ImageSourceType, ProvidedBundle, Release
from iecpod.render.bundle_install import render_bundle_files
from iecpod.render.node_files import render_node_files


@dataclass(frozen=True, slots=True)
class ReleaseImages:
    """Images of a release. With `baked`, the software of nodes that reach no network is in the image already.

    That is the case where a tree is made into the image, and its containerd loads what it needs; docker's daemon does
    not run in a tree.

    `pod_dir` is that of the POD whose disks are to rest on them, where there is one.
    """

    release: Release
    cache_dir: Path
    apt_mirror: str
    reporter: Reporter
    baked: bool = True
    pod_dir: Path | None = None

    def key(self, arch: Arch) -> str:
        return recipe_key(self._recipe(arch))

    def find(self, arch: Arch) -> BaseImage | None:
        return ImageStore(Cache(self.cache_dir, self.reporter)).find(self.key(arch))

    def ensure(self, arch: Arch) -> BaseImage:
        cache = Cache(self.cache_dir, self.reporter)
        with_what = f" with Kubernetes {self.release.kubernetes_version}" if self._is_baked else ""
        doing = f"making the {arch.value} image of {self.release.name}{with_what}"
        if self.pod_dir is not None:
            note_pod(self.cache_dir, self.pod_dir)
        facts = self._facts(arch)
        return ImageStore(cache).ensure(self.key(arch), doing, lambda work: self._build(cache, work, arch), facts)

    def _foreign_recipe(self, arch: Arch) -> dict[str, Any]:
        image = self.release.image
        location = image.location.get(arch)
        if location is None:
            known = ", ".join(sorted(known.value for known in image.location))
            raise ImageError(
                f"release {self.release.name} has no image for {arch.value}, only for {known}",
                "choose another release, or give this one an image of that architecture",
            )
        if image.type is ImageSourceType.URL:
            return {"url": location, "sha256sums": image.sha256sums[arch]}
        path = Path(location)
        if not path.is_file():
            raise ImageError(f"there is no image file {path}", "correct `image.location` of the release")
        return {"file": location, "fingerprint": Fingerprint.of(path).as_list()}

    @property
    def _is_baked(self) -> bool:
        release = self.release
        can_bake = release.image.type is ImageSourceType.MMDEBSTRAP and release.runtime == "containerd"
        return self.baked and can_bake and release.needs_no_network

    def _facts(self, arch: Arch) -> dict[str, str]:
        """What `image ls` shows of them."""
        made = {
            ImageSourceType.MMDEBSTRAP: "baked" if self._is_baked else "built",
            ImageSourceType.FILE: "copied",
            ImageSourceType.URL: "fetched",
        }
        origin = made[self.release.image.type]
        kubernetes = {"kubernetes": self.release.kubernetes_version} if origin == "baked" else {}
        return {"release": self.release.name, "arch": arch.value, "origin": origin, **kubernetes}

    def _build(self, cache: Cache, work: Path, arch: Arch) -> NewImage:
        source, provided = self.release.image, self.release.provided
        if provided is not None and source.type is not ImageSourceType.MMDEBSTRAP:
            return _take_from_bundle(provided, work)
        if source.type is ImageSourceType.MMDEBSTRAP:
            return self._build_from_packages(cache, work, arch)
        location = source.location[arch]
        if source.type is ImageSourceType.FILE:
            return copy_image(location, work)
        return fetch_image(location, source.sha256sums[arch], work, self.reporter, source.keyring)

    def _recipe(self, arch: Arch) -> dict[str, Any]:
        image = self.release.image
        provided = {"provided": self.release.provided.digest, "arch": arch.value} if self.release.provided else {}
        # Nodes that are given their images have others with others, as with another bundle.
        archives = images_recipe(self.release.image_archives, arch) if self.release.needs_no_network else {}
        if image.type is not ImageSourceType.MMDEBSTRAP:
            return {**(provided or self._foreign_recipe(arch)), **archives}
        recipe: dict[str, Any] = {
            "disk": DISK_VERSION,
            "kernel_arguments": list(image.kernel_arguments),
            **(provided or {"rootfs": rootfs_recipe(image, arch)}),
            **archives,
        }
        if self._is_baked:
            recipe["bake"] = BAKE_VERSION
            if not provided:
                recipe["bundle"] = software_recipe(self.release, arch)
            recipe["files"] = render_node_files(self.release)
            if self.release.is_compiled_whole:
                recipe["installed"] = [render_bundle_files(self.release), *bake_scripts(self.release)]
        return recipe

    def _build_from_packages(self, cache: Cache, work: Path, arch: Arch) -> NewImage:
        software = find_software(cache, self.release, arch, self.apt_mirror) if self._is_baked else None
        log_path = cache.log_path(f"disk-{self.release.name}-{arch.debian}")
        tree = work / "tree"
        unpack_tree(self._tree_archive(cache, arch), tree, log_path)
        if software is not None:
            self.reporter.progress("installing the software and loading its images")
            bake_tree(tree, self.release, software, log_path)
        self.reporter.progress("making the disk")
        path, size = build_disk(tree, work, arch, self.release.image.kernel_arguments, log_path)
        return NewImage(path, "qcow2", size)

    def _tree_archive(self, cache: Cache, arch: Arch) -> Path:
        provided = self.release.provided
        if provided is not None:
            return provided.path / provided.manifest.base.file
        return ensure_rootfs(cache, self.release.image, arch, self.apt_mirror).path / "rootfs.tar"


def _take_from_bundle(provided: ProvidedBundle, work: Path) -> NewImage:
    """The image that the bundle holds, of the format and size that its manifest says.

    A copy, since the bundle's own may be a link to a file of its owner, and libvirt lends images to QEMU's user.
    """
    base = provided.manifest.base
    shutil.copyfile(provided.path / base.file, work / "image")
    return check_image(NewImage(work / "image", base.format, base.virtual_size_bytes), f"{base.file} of the bundle")
