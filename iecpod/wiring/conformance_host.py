"""Upstream's end-to-end tests on this host: compiled into the cache, and run as programs."""

from __future__ import annotations

from iecpod.adapters.long_program import run_long_program
from iecpod.cache.artifacts import Cache
from iecpod.conformance.on_host import E2ePrograms
from iecpod.errors import ImageError
from iecpod.images.build.e2e_test import ensure_e2e
from iecpod.layout import Layout
from iecpod.ports import Reporter, RunLongProgram
from iecpod.release.file import known_releases, load_release
from iecpod.release.release import Release


class ConformanceBench:
    """`Bench` with the real adapters behind it."""

    def __init__(self, layout: Layout, reporter: Reporter) -> None:
        self._layout = layout
        self._reporter = reporter

    def programs(self, release: Release) -> E2ePrograms:
        cache = Cache(self._layout.cache_dir, self._reporter)
        tests, kubernetes, version = ensure_e2e(cache, self._own(release))
        return E2ePrograms(tests=tests, kubectl=kubernetes, version=version)

    def _own(self, release: Release) -> Release:
        """What a bundle says of compilers and sources runs nothing on this host: the release of that name does."""
        if release.provided is None:
            return release
        if release.name in known_releases(self._layout.releases_dir):
            own = load_release(release.name, self._layout.releases_dir, self._layout.schemas_dir)
            if own.kubernetes_version == release.kubernetes_version:
                return own
        raise ImageError(
            f"the POD is of a bundle of {release.name} with Kubernetes {release.kubernetes_version}, whose tests this "
            "version of iecpod cannot compile",
            "use the version of iecpod that made the bundle",
        )

    @property
    def run(self) -> RunLongProgram:
        return run_long_program
