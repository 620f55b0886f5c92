"""The verbs that make software before a POD needs it: bundles, images, programs, versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iecpod.cache.artifacts import Cache
from iecpod.commands.bundles import BundleOrder
from iecpod.design.software.unverified_sources import check_release_file, check_trust
from iecpod.errors import PreflightError, UsageError
from iecpod.images.archives.import_archive import take_in_all
from iecpod.images.build.e2e_test import ensure_e2e
from iecpod.images.build.go.bump import GoBump
from iecpod.images.build.go.toolchain import ensure_go
from iecpod.images.build.release_images import ReleaseImages
from iecpod.images.bundle.build import BundleBuild
from iecpod.images.bundle.transfer import check_copy, write_copy
from iecpod.model import Arch
from iecpod.ports import Reporter
from iecpod.release.bump_review import Review
from iecpod.release.file import (
    foreign_release_file,
    known_releases,
    load_release,
    parse_release,
    read_release,
    select_variant,
)
from iecpod.release.go_bump import Bump
from iecpod.release.image_archive import check_archives
from iecpod.release.mirrors import apply_supply
from iecpod.release.release import Release
from iecpod.wiring.session import Session


class SoftwareMaking:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._warned = set[str]()

    def build_bundle(self, order: BundleOrder) -> Path:
        """Where the bundle is: in the cache, or where a copy was asked for."""
        if order.output is not None:
            check_copy(order.output)
        data = read_release(order.release, self._session.layout.releases_dir, self._session.layout.schemas_dir)
        data = select_variant(data, order.base_os)
        release = apply_supply(parse_release(data), order.supply)
        with self._session.reporter() as reporter:
            archives = take_in_all(Cache(self._session.layout.cache_dir, reporter), order.image_archives)
            release = replace(release, image_archives=archives)
            problems = list(check_archives(archives, [order.arch]))
            if problems:
                raise PreflightError(problems, "no bundle can be built with these archives of images")
            for problem in check_trust(release, order.arch, order.supply):
                reporter.warn(str(problem))
            self._warn_of_file(order.release, release, reporter)
            build = BundleBuild(
                cache=Cache(self._session.layout.cache_dir, reporter),
                release=release,
                data=data,
                arch=order.arch,
                apt_mirror=order.supply.apt_mirror,
                registry_mirrors=order.supply.registry_mirrors,
            )
            path = build.ensure().path
            if order.output is not None:
                write_copy(path, order.output)
            return order.output or path

    def bake_image(self, release: str, arch: Arch | None, base_os: str | None, apt_mirror: str) -> Path:
        """The image that a deploy of the release would rest on."""
        with self._session.reporter() as reporter:
            loaded = load_release(release, self._session.layout.releases_dir, self._session.layout.schemas_dir, base_os)
            self._warn_of_file(release, loaded, reporter)
            images = ReleaseImages(loaded, self._session.layout.cache_dir, apt_mirror, reporter)
            return images.ensure(arch or Arch.of_this_machine()).path

    def _warn_of_file(self, name_or_path: str, release: Release, reporter: Reporter) -> None:
        """Once, before anything of it runs."""
        file = foreign_release_file(name_or_path, self._session.layout.releases_dir)
        for problem in check_release_file(file, release) if file not in self._warned else ():
            reporter.warn(str(problem))
        self._warned.add(file)

    def compile_tests(self, release: str) -> None:
        """The programs that `conformance` runs on this host, before the release's image is made.

        Raises `ImageError`, also for a release without any.
        """
        with self._session.reporter() as reporter:
            loaded = load_release(release, self._session.layout.releases_dir, self._session.layout.schemas_dir)
            self._warn_of_file(release, loaded, reporter)
            ensure_e2e(Cache(self._session.layout.cache_dir, reporter), loaded, before_image=True)

    def bump_release(
        self, release: str, module: str | None, version: str | None
    ) -> tuple[tuple[Bump, ...], tuple[Review, ...]]:
        """Modules that are of newer versions now, and what a person has to look at.

        Raises `UsageError`, `ImageError`.
        """
        with self._session.reporter() as reporter:
            loaded = load_release(release, self._session.layout.releases_dir, self._session.layout.schemas_dir)
            source = loaded.go
            if source is None or release not in known_releases(self._session.layout.releases_dir):
                raise UsageError(
                    f"{release} is no release of Go modules that iecpod brings",
                    f"move versions in a copy: `iecpod releases show {release} > mine.yaml` (README: Newer versions)",
                )
            go = ensure_go(Cache(self._session.layout.cache_dir, reporter), source.toolchain) / "bin/go"
            bump = GoBump(go, source, self._session.layout.releases_dir / f"{release}.yaml", reporter)
            bumps = bump.run(module, version)
            return bumps, bump.reviews(bumps)
