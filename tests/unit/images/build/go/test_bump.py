"""Newer versions of a release's modules: which are taken, and what of the files changes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from iecpod.errors import ImageError, UsageError
from iecpod.images.build.go import bump as go_bump
from iecpod.images.build.go import modules as go_modules
from iecpod.images.build.go.bump import GoBump
from iecpod.release.bump_review import find_reviews
from iecpod.release.go_bump import (
    Bump,
    bump_connected,
    bump_kubernetes,
    bump_release,
    newest_patch,
    parse_versions,
)
from iecpod.release.go_source import GoModule, GoSource, GoToolchain
from tests.fakes import RecordingReporter

RELEASES = Path(__file__).parents[5] / "iecpod/releases"
GO_MOD = """\
module iecpod.akraino.org/modules/kubernetes

require (
\tk8s.io/client-go v0.37.2
\tk8s.io/kubernetes v1.37.2
\tk8s.io/utils v0.37.20 // indirect
\tsigs.k8s.io/json v0.37.2 // indirect
)

replace k8s.io/api => k8s.io/api v0.37.2
"""
RELEASE = """\
# Kubernetes 1.37.2 is what this is about.
description: Debian 12 and Kubernetes 1.37.2, compiled
kubernetes_version: 1.37.2
etcd_version: 3.7.3
coredns_version: v1.14.7
kube_router_image: registry.example/kube-router:v2.1.0
pause_image: registry.example/pause:3.7.3
"""

#: Answers as Go does; what it is asked for is in `asked`.
_GO = """#!/bin/sh
echo "$PWD: $*" >> "{asked}"
case $1 in
    list) echo "go.example/etcd v3.7.2 v3.7.3 v3.7.10 v3.8.0 v3.7.11-rc.1" ;;
    get) printf 'require go.example/etcd v3.7.10\\n' > go.mod ;;
    mod) printf 'sums\\n' > go.sum; exit {tidy} ;;
esac
"""


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        (("v1.37.3", "v1.37.10", "v1.38.0", "v2.37.11", "v1.37.11-rc.0"), "1.37.10"),
        (("v1.37.1",), "1.37.2"),
        ((), "1.37.2"),
        (("words", "v1.37"), "1.37.2"),
    ],
)
def test_the_newest_of_the_same_minor_version_is_taken(versions: tuple[str, ...], newest: str) -> None:
    assert newest_patch("1.37.2", versions) == newest


def test_kubernetes_moves_with_its_staging_repositories_and_nothing_else() -> None:
    moved = bump_kubernetes(GO_MOD, "1.37.2", "1.37.3")
    changed = [line.strip() for line in moved.splitlines() if line not in GO_MOD.splitlines()]
    assert changed == [
        "k8s.io/client-go v0.37.3",
        "k8s.io/kubernetes v1.37.3",
        "replace k8s.io/api => k8s.io/api v0.37.3",
    ]


def test_a_release_names_the_versions_that_its_modules_have() -> None:
    bumps = [
        Bump("kubernetes", "1.37.2", "1.37.3"),
        Bump("etcd", "3.7.3", "3.7.4"),
        Bump("coredns", "1.14.7", "1.14.8"),
        Bump("kube-router", "2.1.0", "2.1.1"),
        Bump("runc", "1.37.2", "9.9.9"),
    ]
    assert bump_release(RELEASE, bumps).splitlines() == [
        "# Kubernetes 1.37.2 is what this is about.",
        "description: Debian 12 and Kubernetes 1.37.3, compiled",
        "kubernetes_version: 1.37.3",
        "etcd_version: 3.7.4",
        "coredns_version: v1.14.8",
        "kube_router_image: registry.example/kube-router:v2.1.1",
        "pause_image: registry.example/pause:3.7.3",
    ]


CONNECTED = """\
description: upstream's Kubernetes 1.37, over the internet
kubernetes_version: 1.37.2
supported_until: 2027-10-28
pause_image: registry.example/pause:1.37.2
helm:
  version: 4.2.4
packages:
  - containerd.io=2.*
  - kubeadm=1.37.2-*
  - kubelet=1.37.2-*
  - kubectl=1.37.2-*
  - cri-tools=1.37.2-*
"""


def test_a_release_that_fetches_the_same_kubernetes_moves_along() -> None:
    moved = bump_connected(CONNECTED, Bump("kubernetes", "1.37.2", "1.37.3"))
    changed = [line.strip() for line in moved.splitlines() if line not in CONNECTED.splitlines()]
    assert changed == [
        "kubernetes_version: 1.37.3",
        *(f"- {program}=1.37.3-*" for program in ("kubeadm", "kubelet", "kubectl")),
    ]
    assert len(moved.splitlines()) == len(CONNECTED.splitlines())


@pytest.mark.parametrize(("old", "new"), [("1.37.2", "1.38.2"), ("1.36.2", "1.36.3"), ("1.37.20", "1.37.21")])
def test_a_release_of_another_kubernetes_stays(old: str, new: str) -> None:
    """Nor does one move to another minor version: its repositories are of one."""
    assert bump_connected(CONNECTED, Bump("kubernetes", old, new)) == CONNECTED


def test_the_shipped_releases_stay_of_one_kubernetes() -> None:
    compiled, connected = ((RELEASES / f"{name}.yaml").read_text() for name in ("k8s-1.37-go", "k8s-1.37"))
    (old,) = re.findall(r"(?m)^kubernetes_version: (\S+)$", compiled)
    bump = Bump("kubernetes", old, f"{old}9")
    for text, moved in (
        (compiled, bump_release(compiled, [bump])),
        (connected, bump_connected(connected, bump)),
    ):
        assert f"kubernetes_version: {bump.new}\n" in moved
        assert moved.replace(bump.new, old) == text and not re.search(rf"{re.escape(old)}(?!9)", moved)


def test_what_a_person_looks_at_has_value_and_place() -> None:
    compiled, connected = (
        [str(review) for review in find_reviews((RELEASES / file).read_text(), file)]
        for file in ("k8s-1.37-go.yaml", "k8s-1.37.yaml")
    )
    assert [re.sub(r":\d+: | \(.*", " ", line).strip() for line in compiled] == [
        "k8s-1.37-go.yaml bundle.go.toolchain: 1.27.3",
        "k8s-1.37-go.yaml bundle.go.test_images: agnhost 2.66.1, 2.55; busybox 1.37.0-2; glibc-dns-testing 2.1.1",
        "k8s-1.37-go.yaml pause_image: registry.iecpod.internal/pause:3.10.2",
        "k8s-1.37-go.yaml supported_until: 2027-10-28",
    ]
    assert "k8s-1.37.yaml helm: 4.2.4" in [re.sub(r":\d+: | \(.*", " ", line).strip() for line in connected]
    for line in compiled + connected:
        file, number, key = line.split(":")[:3]
        text = (RELEASES / file).read_text().splitlines()[int(number) - 1]
        assert text.strip().startswith(key.strip().rpartition(".")[2] + ":"), line
    assert "https://kubernetes.io/releases" in compiled[-1]


def test_versions_as_go_lists_them() -> None:
    assert parse_versions("a v1.0.0 v1.1.0\nb\n\n") == {"a": ("v1.0.0", "v1.1.0"), "b": ()}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directories of modules: etcd, and a program of our own."""
    for name, text in (("etcd", "require go.example/etcd v3.7.3\n"), ("pause", "module pause\n")):
        (tmp_path / "modules" / name).mkdir(parents=True)
        (tmp_path / "modules" / name / "go.mod").write_text(text)
        (tmp_path / "modules" / name / "go.sum").write_text("old sums\n")
    for module in (go_modules, go_bump):
        monkeypatch.setattr(module, "module_dir", lambda name: tmp_path / "modules" / name)
    (tmp_path / "release.yaml").write_text(RELEASE)
    (tmp_path / "connected.yaml").write_text(CONNECTED)
    return tmp_path / "modules"


def _bump(modules: Path, *, tidy: int = 0) -> GoBump:
    root = modules.parent
    (root / "go").write_text(_GO.format(asked=root / "asked", tidy=tidy))
    (root / "go").chmod(0o755)
    source = GoSource(
        toolchain=GoToolchain(version="1.27.3", sha256={}),
        modules=(
            GoModule(name="etcd", directory="etcd", source="go.example/etcd", programs={}),
            GoModule(name="pause", directory="pause", source="pause", programs={}),
        ),
    )
    return GoBump(root / "go", source, root / "release.yaml", RecordingReporter())


def test_modules_and_release_are_written(modules: Path) -> None:
    assert _bump(modules).run(None, None) == (Bump("etcd", "3.7.3", "3.7.10"),)
    assert (modules / "etcd/go.mod").read_text() == "require go.example/etcd v3.7.10\n"
    assert (modules / "etcd/go.sum").read_text() == "sums\n"
    assert "etcd_version: 3.7.10\n" in (modules.parent / "release.yaml").read_text()
    asked = (modules.parent / "asked").read_text()
    assert ": get go.example/etcd@v3.7.10\n" in asked and ": mod tidy\n" in asked and "pause" not in asked
    assert str(modules) not in asked, "Go works on a copy"


def test_a_connected_release_moves_with_kubernetes_alone(modules: Path) -> None:
    bump = _bump(modules)
    connected = modules.parent / "connected.yaml"
    assert bump.reviews(bump.run(None, None))
    assert connected.read_text() == CONNECTED
    (modules / "kubernetes").mkdir()
    (modules / "kubernetes/go.mod").write_text(GO_MOD)
    (modules / "kubernetes/go.sum").write_text("old sums\n")
    kubernetes = GoModule(name="kubernetes", directory="kubernetes", source="k8s.io/kubernetes", programs={})
    bump = replace(bump, source=replace(bump.source, modules=(kubernetes,)))
    bumps = bump.run("kubernetes", "1.37.3")
    assert connected.read_text() == bump_connected(CONNECTED, bumps[0]) != CONNECTED
    assert "kubernetes_version: 1.37.3\n" in (modules.parent / "release.yaml").read_text()
    assert {review.place.partition(":")[0] for review in bump.reviews(bumps)} == {"connected.yaml", "release.yaml"}
    bump.run("kubernetes", "1.38.0")
    assert "kubernetes_version: 1.37.3\n" in connected.read_text()
    places = [review.place for review in bump.reviews((Bump("kubernetes", "1.37.3", "1.38.0"),))]
    assert "connected.yaml:2: kubernetes_version" in places, "a person moves it"


def test_a_version_that_is_named_is_not_looked_for(modules: Path) -> None:
    assert _bump(modules).run("etcd", "v3.8.0") == (Bump("etcd", "3.7.3", "3.8.0"),)
    assert "list" not in (modules.parent / "asked").read_text()


def test_what_fails_changes_nothing(modules: Path) -> None:
    with pytest.raises(ImageError, match=r"`go mod tidy` exited with 1"):
        _bump(modules, tidy=1).run(None, None)
    assert (modules / "etcd/go.sum").read_text() == "old sums\n"
    assert (modules.parent / "release.yaml").read_text() == RELEASE


@pytest.mark.parametrize(("only", "version"), [("pause", None), ("other", None), (None, "1.0.0")])
def test_what_cannot_be_moved_is_refused(modules: Path, only: str | None, version: str | None) -> None:
    with pytest.raises(UsageError):
        _bump(modules).run(only, version)
