"""Debian packages for a bundle: those that a release's nodes install over the network, with all that they depend on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from iecpod.cache.artifacts import Cache
from iecpod.cache.hashed_files import sha256_of_file
from iecpod.errors import ImageError, UsageError
from iecpod.images.build.apt import AptRoot, AptSuite, host_debian_arch
from iecpod.images.build.rootfs import ensure_rootfs, image_archives
from iecpod.images.confinement.program import FOR_ONE_PACKAGE, FOR_UNPACKING, of_this_host
from iecpod.images.confinement.tool import run_tool
from iecpod.images.fetch.repository_keys import fetch_key
from iecpod.model import Arch
from iecpod.release.release import AptRepository, ImageSourceType, Release

#: apt writes the colon of an epoch as `%3a`, and reads it back as a colon from an index.
_EPOCH = re.compile(r"_[0-9]+%3a")
_INDEX = 'cd "$1" && dpkg-scanpackages --multiversion . > Packages'


@dataclass(frozen=True, slots=True)
class PackageSources:
    """The apt repositories of a release and the archive of its operating system, for one architecture."""

    cache: Cache
    release: Release
    apt_mirror: str

    def gather(self, arch: Arch, directory: Path) -> None:
        """Makes `directory` a repository of packages. Raises `ImageError`; `UsageError` where no archive is known.

        For an image that is made of packages these are exactly those that it lacks. What an image holds that is
        fetched cannot be known without booting it: then it is all that the packages depend on, and apt chooses there.
        """
        log_path = self.cache.log_path(f"debs-{self.release.name}-{arch.debian}")
        with self.cache.staging("debs") as work:
            apt = self._apt(arch, arch.debian, work, self._installed(arch))
            for package in apt.download_missing(self.release.packages):
                package.rename(directory / _EPOCH.sub("_", package.name))
        run_tool(["sh", "-c", _INDEX, "index", str(directory)], purpose="indexing the packages", log_path=log_path)
        index = directory / "Packages"
        release = f"SHA256:\n {sha256_of_file(index)} {index.stat().st_size} {index.name}\n"
        (directory / "Release").write_text(release)

    def unpack_kubeadm(self, arch: Arch, gathered: Path, work: Path) -> Path:
        """The release's own kubeadm, as a program of this machine; `gathered` is what `gather` made."""
        packages = sorted(gathered.glob("kubeadm_*.deb"))
        if arch.debian != host_debian_arch():
            wanted = [package for package in self.release.packages if package.partition("=")[0] == "kubeadm"]
            here = work / "packages"
            here.mkdir()
            self._apt(arch, host_debian_arch(), work, b"").download(wanted or ["kubeadm"], here)
            packages = sorted(here.glob("kubeadm_*.deb"))
        if not packages:
            raise ImageError(
                f"release {self.release.name} installs no package kubeadm, which names the images that it needs",
                "add it to `packages` of the release",
            )
        unpack = ["dpkg-deb", "--extract", str(packages[0]), str(work / "kubeadm")]
        run_tool(
            unpack,
            purpose=f"unpacking {packages[0].name}",
            log_path=self.cache.log_path("kubeadm"),
            confined=of_this_host(
                limits=FOR_ONE_PACKAGE, readable=[packages[0]], writable=[work], capabilities=FOR_UNPACKING
            ),
        )
        return work / "kubeadm/usr/bin/kubeadm"

    def _apt(self, arch: Arch, debian_arch: str, work: Path, installed: bytes) -> AptRoot:
        """apt for packages of `debian_arch`, from the archives of nodes of `arch`; they name all architectures."""
        log_path = self.cache.log_path(f"apt-{self.release.name}-{debian_arch}")
        apt = AptRoot(work / "apt", debian_arch, log_path)
        suites = [*self._archives(arch), *(self._repository(entry, work) for entry in self.release.repositories)]
        apt.prepare(suites, "deb", dpkg_status=installed)
        return apt

    def _installed(self, arch: Arch) -> bytes:
        image = self.release.image
        if image.type is not ImageSourceType.MMDEBSTRAP:
            return b""
        return (ensure_rootfs(self.cache, image, arch, self.apt_mirror).path / "status").read_bytes()

    def _archives(self, arch: Arch) -> tuple[AptSuite, ...]:
        image, archive = self.release.image, self.release.archive
        if image.type is ImageSourceType.MMDEBSTRAP:
            return image_archives(image, self.apt_mirror)
        if archive is None or arch not in archive.mirror:
            raise UsageError(
                f"release {self.release.name} does not say where its operating system's packages for {arch.value} are",
                f"give a copy of it an `archive` (`iecpod releases show {self.release.name}` prints it)",
            )
        mirror = self.apt_mirror or archive.mirror[arch]
        return (AptSuite(mirror=mirror, suites=archive.suites, keyring=archive.keyring, components=archive.components),)

    def _repository(self, repository: AptRepository, work: Path) -> AptSuite:
        if repository.withdrawn:
            raise UsageError(
                f"release {self.release.name} installs from {repository.uri}, {repository.withdrawn}",
                f"give a mirror with --repository {repository.name}=URL",
            )
        keyring = self._distribution_keyring
        if repository.key_url:
            path = work / f"{repository.name}.gpg"
            path.write_bytes(fetch_key(repository))
            keyring = str(path)
        return AptSuite(
            mirror=repository.uri, suites=repository.suites, keyring=keyring, components=repository.components
        )

    @property
    def _distribution_keyring(self) -> str:
        return self.release.archive.keyring if self.release.archive else self.release.image.keyring
