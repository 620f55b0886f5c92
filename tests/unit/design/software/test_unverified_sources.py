"""Warnings about software that cannot be verified, before it is fetched."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from iecpod.commands.plan import make_pod_plan
from iecpod.design.software.unverified_sources import check_release_file, check_trust
from iecpod.errors import Severity
from iecpod.model import Arch
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.release.bundle_manifest import parse_bundle_manifest
from iecpod.release.file import foreign_release_file, load_release
from iecpod.release.mirrors import Supply, apply_supply
from iecpod.release.release import ProvidedBundle, Release
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below
from tests.unit.conftest import make_release
from tests.unit.images.bundle.test_bundles import manifest_of

ROOT = Path(__file__).parents[4]
NO_SUPPLY = Supply()


def shipped(name: str) -> Release:
    return load_release(name, ROOT / "iecpod/releases", ROOT / "schemas")


def rules(release: Release, supply: Supply = NO_SUPPLY, arch: Arch = Arch.X86_64) -> list[str]:
    problems = check_trust(release, arch, supply)
    assert all(problem.severity is Severity.WARNING and problem.remedy for problem in problems)
    return [problem.rule for problem in problems]


def test_shipped_releases_leave_little_open() -> None:
    found = {
        (name, arch): rules(shipped(name), arch=arch) for name in ("debian12", "k8s-1.37", "iec-r1") for arch in Arch
    }
    assert {place: rules for place, rules in found.items() if rules} == {("iec-r1", Arch.AARCH64): ["helm-not-pinned"]}


def test_a_key_without_a_fingerprint() -> None:
    release = shipped("k8s-1.37")
    kubernetes, docker = release.repositories
    open_one = dataclasses.replace(release, repositories=(dataclasses.replace(kubernetes, key_fingerprint=()), docker))
    (problem,) = check_trust(open_one, Arch.X86_64, Supply())
    assert problem.rule == "key-not-pinned"
    assert problem.message == (
        "nothing says which key signs the repository kubernetes: what "
        "https://pkgs.k8s.io/core:/stable:/v1.37/deb/Release.key gives is trusted"
    )
    assert rules(apply_supply(open_one, Supply(repository_keys={"kubernetes": "/srv/key.asc"}))) == []
    assert rules(make_release()) == []


@pytest.mark.parametrize(
    ("supply", "message"),
    [
        (
            Supply(image_url="http://lab/noble.img"),
            "http://lab/SHA256SUMS says what the base image must be, and comes over plain http without a signature "
            "that is checked: whoever is on the way can give nodes another system",
        ),
        (
            Supply(repository_keys={"docker": "HTTP://lab/key"}),
            "the key of the repository docker comes over plain http (HTTP://lab/key): whoever is on the way can sign "
            "packages for nodes",
        ),
        (
            Supply(registry_mirrors={"docker.io": "http://lab:5000"}),
            "images of docker.io come over plain http (http://lab:5000): whoever is on the way can exchange those that "
            "are named by tag alone",
        ),
    ],
)
def test_what_plain_http_leaves_open(supply: Supply, message: str) -> None:
    release = apply_supply(shipped("k8s-1.37"), supply)
    (problem,) = check_trust(release, Arch.X86_64, supply)
    assert (problem.rule, problem.message) == ("plain-http", message)


@pytest.mark.parametrize(
    "supply",
    [
        Supply(image_url="https://lab/noble.img", registry_mirrors={"docker.io": "https://lab"}),
        Supply(repositories={"docker": "http://lab/docker"}, apt_mirror="http://lab/ubuntu"),  # signed
        Supply(manifests={"calico": "/srv/calico.yaml"}),
    ],
)
def test_what_is_protected_otherwise(supply: Supply) -> None:
    assert rules(apply_supply(shipped("k8s-1.37"), supply), supply) == []


def test_the_sums_of_helm_over_plain_http() -> None:
    release = shipped("iec-r1")
    assert release.helm is not None
    helm = dataclasses.replace(release.helm, sha256sums={Arch.AARCH64: "http://lab/helm.sha256"})
    assert rules(dataclasses.replace(release, helm=helm), arch=Arch.AARCH64) == ["plain-http"]
    assert rules(dataclasses.replace(release, helm=helm), arch=Arch.X86_64) == []


def test_images_of_nodes_that_pull_none_and_of_bundles_are_no_matter(tmp_path: Path) -> None:
    supply = Supply(registry_mirrors={"docker.io": "http://lab:5000"})
    assert rules(shipped("debian12"), supply) == []
    manifest = parse_bundle_manifest(json.dumps(manifest_of("iec-r1", arch="aarch64")).encode(), "b.tar")
    provided = ProvidedBundle(path=tmp_path, manifest=manifest)
    assert rules(dataclasses.replace(shipped("iec-r1"), provided=provided), supply, Arch.AARCH64) == []


def test_a_release_file_whose_software_is_built_here(tmp_path: Path) -> None:
    (problem,) = check_release_file("/srv/x.yaml", shipped("debian12"))
    assert (problem.rule, problem.severity) == ("release-builds-as-root", Severity.WARNING)
    assert problem.message == (
        "/srv/x.yaml is not one of iecpod's own releases, and its software is built on this host: scripts of packages, "
        "and compilers that it names, run as root and are not confined. The file also names the mirrors, and the key "
        "ring that their packages are verified with: its maker is root on this host while that is built"
    )
    assert "--bundle" in problem.remedy
    assert [problem.rule for problem in check_release_file("/srv/x.yaml", shipped("k8s-1.37-go"))] == [problem.rule]
    assert check_release_file("/srv/x.yaml", shipped("k8s-1.37")) == []  # its image is fetched
    assert check_release_file("", shipped("debian12")) == []
    manifest = parse_bundle_manifest(json.dumps(manifest_of("debian12")).encode(), "b.tar")
    provided = ProvidedBundle(path=tmp_path, manifest=manifest)
    assert check_release_file("/srv/x.yaml", dataclasses.replace(shipped("debian12"), provided=provided)) == []


def test_which_release_files_are_not_iecpods_own(tmp_path: Path) -> None:
    own = ROOT / "iecpod/releases"
    link = tmp_path / "link"
    link.symlink_to(own)
    for name in (
        "debian12",
        str(own / "debian12.yaml"),
        str(own / "../releases/debian12.yaml"),
        f"{link}/debian12.yaml",
    ):
        assert foreign_release_file(name, own) == ""
    (tmp_path / "debian12.yaml").symlink_to("mine")
    for name in ("./debian12.yaml", "debian12.yaml", str(tmp_path / "debian12.yaml"), f"{own}/modules/x.yaml"):
        assert foreign_release_file(name, own) == name


def warnings_of_plan(tmp_path: Path, text: str) -> list[str]:
    """What `plan` warns of with that release, each by its first line."""
    path, layout = tmp_path / "release.yaml", layout_below(tmp_path)
    path.write_text(text)
    request = pod_request(ref=REF, base_uri=str(layout.pdf_dir), release=str(path), scenario="k8-bridge-iec-noha")
    tools = FakeTools(tmp_path, layout)
    assert make_pod_plan(resolve_request(request, layout, SavedPod()), tools).problems == ()
    return [line.partition("\n")[0] for line in tools.reporter.lines if line.startswith("warning: ")]


def test_plan_warns_and_refuses_nothing(tmp_path: Path) -> None:
    lines = (ROOT / "iecpod/releases/k8s-1.37.yaml").read_text().splitlines(keepends=True)
    (warning,) = warnings_of_plan(tmp_path, "".join(line for line in lines if "DE15B144" not in line))
    assert warning.startswith("warning: warning: nothing says which key signs the repository kubernetes: ")
    assert warning.endswith(" [key-not-pinned]")


def test_plan_warns_of_a_release_file_that_is_built_here(tmp_path: Path) -> None:
    (warning,) = warnings_of_plan(tmp_path, (ROOT / "iecpod/releases/k8s-1.37-go.yaml").read_text())
    assert warning.startswith(f"warning: warning: {tmp_path}/release.yaml is not one of iecpod's own releases")
    assert warning.endswith(" [release-builds-as-root]")


def test_plan_does_not_warn_of_iecpods_own_release(tmp_path: Path) -> None:
    layout = layout_below(tmp_path)
    request = pod_request(ref=REF, base_uri=str(layout.pdf_dir), release="k8s-1.37-go", scenario="k8-bridge-iec-noha")
    tools = FakeTools(tmp_path, layout)
    assert make_pod_plan(resolve_request(request, layout, SavedPod()), tools).problems == ()
    assert not [line for line in tools.reporter.lines if "release-builds-as-root" in line]
