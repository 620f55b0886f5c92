"""How the tests of a module are compiled: with a `go` that writes down what it is called with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.images.build import e2e_test
from iecpod.images.build.c_toolchain import CToolchain
from iecpod.images.build.go.build import GoBuild
from iecpod.progress.reporters import LogReporter
from iecpod.release.file import load_release
from iecpod.release.go_source import GoToolchain

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="images are built by root")

ROOT = Path(__file__).parents[3]

RELEASE = load_release("k8s-1.37-go", ROOT / "iecpod/releases", ROOT / "schemas")

#: Lists two packages, one of them that of the tests, and compiles a program that says of what it is made.
_GO = """#!/bin/sh
echo "$GOPROXY $GOARCH $*" >> "$HOME/../calls"
case "$1 $*" in
list*-export*) echo k8s.io/api >&2 ;;
list*) echo k8s.io/api; echo 'k8s.io/kubernetes/test/e2e [k8s.io/kubernetes/test/e2e.test]' ;;
build*) while [ "$1" != -o ]; do shift; done; echo program > "$2/kubernetes" ;;
test*) while [ "$1" != -o ]; do shift; done; echo "tests of $3" > "$2"; chmod +x "$2" ;;
esac
"""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoBuild:
    monkeypatch.setenv("GOPROXY", "https://proxy.example.org")
    go = tmp_path / "go/bin/go"
    go.parent.mkdir(parents=True)
    go.write_text(_GO)
    go.chmod(0o755)
    cache = Cache(tmp_path / "cache", LogReporter())
    return GoBuild(
        cache=cache,
        toolchain=GoToolchain(version="1.27.3", sha256={}),
        go_root=tmp_path / "go",
        c_toolchain=CToolchain(cache, RELEASE.image),
    )


def test_the_tests_become_a_program_for_this_host(tmp_path: Path, build: GoBuild) -> None:
    assert RELEASE.go is not None and RELEASE.go.tests is not None
    module = RELEASE.go.tests
    made = build.ensure_tests(module)
    program = made.path / "e2e.test"
    assert program.read_text() == "tests of k8s.io/kubernetes/test/e2e\n" and os.access(program, os.X_OK)
    assert made.facts == {"version": "1.37.2", "packages": 2}
    fetch, compile_packages, link = (tmp_path / "cache/calls").read_text().splitlines()
    assert fetch.startswith("https://proxy.example.org ") and " -test " in fetch
    assert compile_packages.startswith("off ") and " -v -export -test -deps " in compile_packages
    assert link.startswith("off ") and " -- " not in link
    assert "-X=k8s.io/component-base/version.gitVersion=v1.37.2" in link
    assert build.ensure_tests(module).key == made.key
    assert len((tmp_path / "cache/calls").read_text().splitlines()) == 3


@pytest.mark.parametrize("before_image", [True, False])
def test_what_modules_share_is_kept_for_the_image_that_is_made_next(
    build: GoBuild, monkeypatch: pytest.MonkeyPatch, before_image: bool
) -> None:
    monkeypatch.setattr(e2e_test, "start_build", lambda *_: build)
    tests, kubernetes, version = e2e_test.ensure_e2e(build.cache, RELEASE, before_image=before_image)
    assert (tests.name, kubernetes.read_text(), version) == ("e2e.test", "program\n", "1.37.2")
    assert build.work_dir.exists() == before_image
