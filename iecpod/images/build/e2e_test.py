"""Upstream's end-to-end tests, compiled for the host that runs them."""

from __future__ import annotations

from pathlib import Path

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.build.go.go_software import start_build
from iecpod.images.build.go.modules import module_version
from iecpod.model import Arch
from iecpod.release.release import Release

_TESTS = "e2e.test"


def ensure_e2e(cache: Cache, release: Release, *, before_image: bool = False) -> tuple[Path, Path, str]:
    """The tests, Kubernetes' binary, which is a kubectl by another name, and the version of both.

    For guests of this host's architecture the binary is there already. With `before_image`, what modules of the release
    share is left for the image that is made next, and removed by it. Raises `ImageError`.
    """
    source = release.go
    if source is None or source.tests is None:
        raise ImageError(
            f"release {release.name} has no tests that are compiled here",
            "take one whose modules have `tests`, such as k8s-1.37-go",
        )
    module, arch = source.module("kubernetes"), Arch.of_this_machine()
    build = start_build(cache, release, source)
    in_place = build.is_compiled(module, arch) and build.are_tests_compiled(source.tests)
    kubernetes = build.ensure(module, arch)
    tests = build.ensure_tests(source.tests)
    is_needed = before_image and not all(build.is_compiled(module, arch) for module in source.modules)
    if not in_place and not is_needed:
        build.finish()
    return tests.path / _TESTS, kubernetes.path / "kubernetes", module_version(source.tests)
