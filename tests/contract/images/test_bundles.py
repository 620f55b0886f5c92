"""A bundle of a connected release: gathered from an outside world on the loopback, carried off, deployed without it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.errors import PreflightError, UsageError
from iecpod.images.build.release_images import ReleaseImages
from iecpod.images.bundle.transfer import StoredBundle, check_taken_in
from iecpod.model import Arch, PodRef
from iecpod.options.choices import BundleVia
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.release.bundle_manifest import bundle_dir
from iecpod.render.bundle_install import install_script
from iecpod.wiring.pod_tools import PodAdapters
from tests.contract.images.upstream import (
    CALICO_IMAGE,
    IMAGES,
    REGISTRY,
    VERSION,
    Upstream,
    build_package,
    serve_upstream,
)
from tests.fakes import RecordingReporter
from tests.fakes.pod_tools import FakeTools
from tests.image_archives import Image, docker_files, gzipped, sha256, write
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below, run

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="programs that fetch run in namespaces of their own"),
    pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed"),
]

REF = PodRef("local", "virtual1")
HOST_ARCH = Arch.of_this_machine()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with pytest.MonkeyPatch.context() as patch, serve_upstream(tmp_path_factory.mktemp("upstream")) as upstream:
        patch.setenv("no_proxy", "127.0.0.1")
        yield upstream


def build(upstream: Upstream, directory: Path, *options: str, **changes: object) -> Path:
    """Builds with a cache of its own below `directory`; returns what was printed."""
    (directory / "release.yaml").write_text(upstream.release(**changes))
    done = run(directory, "bundle", "build", "--release", "./release.yaml", *upstream.mirrors(), *options)
    assert done.exit_code == 0, (done.output, done.exception)
    return directory / done.stdout.strip()


def unpack(archive: Path, directory: Path) -> None:
    directory.mkdir()
    subprocess.run(["tar", "--extract", f"--file={archive}", f"--directory={directory}"], check=True)


@pytest.fixture(scope="module")
def archive(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(upstream, tmp_path_factory.mktemp("built"), "--output", "lab.tar")


def test_it_holds_all_that_the_release_names(archive: Path) -> None:
    shown = json.loads(run(archive.parent, "bundle", "show", "lab.tar", "-o", "json").stdout)
    assert [image["reference"] for image in shown["images"]] == list(IMAGES)
    assert {package["name"] for package in shown["packages"]} == {
        *("containerd", "kubeadm", "kubectl", "kubelet", "lab-base"),
    }
    assert (shown["release"], shown["base_os"], shown["arch"]) == ("lab-made", "lab1", HOST_ARCH.value)
    assert {"base/image.raw", "helm/helm", "manifests/calico.yaml", "debs/Packages"} <= shown["files"].keys()
    with tarfile.open(archive) as tar:
        for image in shown["images"]:
            assert image["digest"].startswith("sha256:")
            member = tar.extractfile(image["file"])
            assert (
                member is not None
                and hashlib.sha256(member.read()).hexdigest() == (shown["files"][image["file"]]["sha256"])
            )
    text = run(archive.parent, "bundle", "show", "lab.tar").stdout
    assert "lab-made" in text and CALICO_IMAGE in text and shown["digest"] in text


def test_images_are_of_the_architecture_and_load_as_they_are_in_the_registry(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        content = tar.extractfile(f"images/{REGISTRY}_pause_3.9.tar")
        assert content is not None
        with tarfile.open(fileobj=io.BytesIO(content.read())) as image:
            (entry,) = json.load(image.extractfile("manifest.json"))  # type: ignore[arg-type]
            config = image.extractfile(entry["Config"]).read()  # type: ignore[union-attr]
            layer = image.extractfile(entry["Layers"][0]).read()  # type: ignore[union-attr]
    assert entry["RepoTags"] == [f"{REGISTRY}/pause:3.9"]
    assert entry["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    assert json.loads(config)["architecture"] == HOST_ARCH.debian
    assert entry["Layers"] == [f"{hashlib.sha256(layer).hexdigest()}/layer.tar"]


def test_images_of_an_archive_are_in_it_and_are_not_pulled(upstream: Upstream, tmp_path: Path) -> None:
    given = Image(names=(CALICO_IMAGE, "quay.io/lab/own:1"), architecture=HOST_ARCH.debian)
    file = write(tmp_path, docker_files(given), gzipped)
    options = ("--image-archive", file.name, "--output", "lab.tar")
    shown = json.loads(run(tmp_path, "bundle", "show", str(build(upstream, tmp_path, *options)), "-o", "json").stdout)
    images = {image["reference"]: image for image in shown["images"]}
    assert images.keys() == {*IMAGES, "quay.io/lab/own:1"}
    assert {name for name, image in images.items() if not image["digest"]} == set(given.names)
    own = f"images/{sha256(file.read_bytes())}.tar"
    assert {(images[name]["file"], images[name]["id"]) for name in given.names} == {(own, sha256(given.config))}
    assert run(tmp_path, "bundle", "verify", "lab.tar").exit_code == 0
    inputs = deployed_from(tmp_path / "lab.tar", tmp_path)
    assert inputs.order.release.provided is not None
    assert set(given.names) <= set(inputs.order.release.provided.manifest.references)


def test_an_archive_and_a_directory_are_the_same_bundle(upstream: Upstream, archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        assert tar.getnames()[0] == "manifest.json"
    unpack(archive, tmp_path / "unpacked")
    assert StoredBundle(tmp_path / "unpacked").manifest() == StoredBundle(archive).manifest()
    assert run(tmp_path, "bundle", "verify", "unpacked").exit_code == 0
    directory = build(upstream, archive.parent, "--output", str(tmp_path / "again"))
    assert StoredBundle(directory).manifest().digest == StoredBundle(archive).manifest().digest
    in_cache = build(upstream, archive.parent)
    assert in_cache.parent == layout_below(archive.parent).cache_dir / "bundles"
    assert StoredBundle(in_cache).verify() == {}
    refused = run(archive.parent, "bundle", "build", "--release", "./release.yaml", "--output", str(directory))
    assert isinstance(refused.exception, UsageError) and "exists already" in refused.exception.cause


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_no_link_at_the_output_s_name_is_followed(upstream: Upstream, archive: Path, tmp_path: Path, name: str) -> None:
    """In a directory of another user."""
    victim = tmp_path / "victim"
    victim.write_text("untouched") if name.endswith(".tar") else victim.mkdir()
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    os.chown(shared, 65534, 65534)
    (shared / name).symlink_to(victim)
    done = run(archive.parent, "bundle", "build", "--release", "./release.yaml", "--output", str(shared / name))
    if name.endswith(".tar"):
        assert done.exit_code == 0, done.output
        assert victim.read_text() == "untouched" and not (shared / name).is_symlink()
    else:
        assert isinstance(done.exception, UsageError) and "exists already" in done.exception.cause
        assert list(victim.iterdir()) == [] and (shared / name).is_symlink()
    assert [path.name for path in shared.iterdir()] == [name]


def test_each_file_that_is_not_as_it_was_is_named(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "b")
    base = tmp_path / "b/base/image.raw"
    base.write_bytes(base.read_bytes()[:-1] + b"\1")
    (tmp_path / "b/helm/helm").unlink()
    (tmp_path / "b/debs/evil.deb").write_bytes(b"")
    (tmp_path / "b/debs/Packages").unlink()
    (tmp_path / "b/debs/Packages").symlink_to("/etc/passwd")
    done = run(tmp_path, "bundle", "verify", "b")
    assert done.stdout.splitlines() == [
        *("damaged base/image.raw", "damaged debs/Packages", "unexpected debs/evil.deb", "missing helm/helm"),
    ]
    assert done.exit_code == 1 and "b is not whole: 4 of its files" in str(done.exception)
    with pytest.raises(PreflightError) as caught:
        StoredBundle(tmp_path / "b").take_in(Cache(tmp_path / "cache", RecordingReporter()))
    assert {problem.path for problem in caught.value.problems} == {"base/image.raw", "debs/Packages", "helm/helm"}
    assert not list((tmp_path / "cache/bundles").glob("*"))


@pytest.mark.parametrize("part", [0.5, 0.999])
def test_an_archive_that_was_cut_off_is_not_whole(archive: Path, tmp_path: Path, part: float) -> None:
    content = archive.read_bytes()
    with tarfile.open(archive) as tar:
        last = tar.getmembers()[-1]
    kept = int((last.offset_data + last.size) * part)
    (tmp_path / "cut.tar").write_bytes(content[:kept])
    faults = StoredBundle(tmp_path / "cut.tar").verify()
    assert last.name in faults
    with pytest.raises(PreflightError):
        StoredBundle(tmp_path / "cut.tar").take_in(Cache(tmp_path / "cache", RecordingReporter()))


def deployed_from(bundle: Path, directory: Path, **options: object) -> PodInputs:
    layout = layout_below(directory)
    digest = StoredBundle(bundle).take_in(Cache(layout.cache_dir, RecordingReporter()))
    request = pod_request(**{"ref": REF, "bundle": digest, **options})
    return resolve_request(request, layout, SavedPod())


def test_a_deploy_from_it_fetches_nothing(upstream: Upstream, archive: Path, tmp_path: Path) -> None:
    asked = len(upstream.asked)
    inputs = deployed_from(archive, tmp_path)
    tools = PodAdapters(layout_below(tmp_path), REF, RecordingReporter(), "")
    release = inputs.order.release
    assert (release.name, release.kubernetes_version, release.repositories) == ("lab-made", VERSION, ())
    sources = tools.nodes.libvirt_tools().disk_sources
    image = sources.images(release, BundleVia.SSH).ensure(HOST_ARCH)
    assert (image.format, image.virtual_size_bytes) == ("raw", 1024 * 1024)
    assert len({sources.images(release, via).key(HOST_ARCH) for via in (BundleVia.IMAGE, BundleVia.SSH)}) == 1
    disks = sources.bundle_disks(release)
    disks.ensure(HOST_ARCH)
    listed = subprocess.run(["debugfs", "-R", "ls /debs", disks.disk(HOST_ARCH).path], capture_output=True, text=True)
    assert disks.is_made(HOST_ARCH) and "Packages" in listed.stdout
    files = tools.software.bundle(release, HOST_ARCH, None)
    assert files.references == IMAGES and len(files.images) == len(IMAGES)
    assert "Packages" in [path.name for path in files.debs]
    assert [path.name for path in tools.software.helm_programs(release, HOST_ARCH)] == ["helm"]
    assert CALICO_IMAGE in Path(release.manifests[0].file).read_text()
    assert len(upstream.asked) == asked


def test_what_the_pod_was_deployed_from_is_recalled(archive: Path, tmp_path: Path) -> None:
    inputs = deployed_from(archive, tmp_path)
    known = SavedPod.from_json(inputs.to_save.to_json())
    assert (known.options.release, known.options.bundle) == ("lab-made", inputs.request.options.bundle)
    later = resolve_request(pod_request(ref=REF), layout_below(tmp_path), known)
    assert later.order.release == inputs.order.release and later.order.options == inputs.order.options
    elsewhere = resolve_request(pod_request(ref=REF, release="debian12"), layout_below(tmp_path), known)
    assert elsewhere.order.release.provided is None and elsewhere.order.options.bundle is None
    shutil.rmtree(bundle_dir(layout_below(tmp_path).cache_dir, str(known.options.bundle)))
    with pytest.raises(UsageError, match="the bundle is not in the cache any more") as caught:
        resolve_request(pod_request(ref=REF), layout_below(tmp_path), known)
    assert caught.value.remedy == "give it again with --bundle"


def test_a_bundle_that_was_changed_in_the_cache_is_not_deployed_from(archive: Path, tmp_path: Path) -> None:
    inputs = deployed_from(archive, tmp_path)
    layout = layout_below(tmp_path)
    PodAdapters(layout, REF, RecordingReporter(), "").state.save(inputs.to_save)
    taken = bundle_dir(layout.cache_dir, str(inputs.order.options.bundle))
    (taken / "debs/Packages").write_text("")
    (taken / "helm/helm").unlink()
    error = run(tmp_path, "plan", "-l", "local", "-p", "virtual1").exception
    assert isinstance(error, PreflightError) and error.remedy == "give it again with --bundle"
    assert [(problem.path, problem.rule) for problem in error.problems] == [
        *(("debs/Packages", "bundle-damaged"), ("helm/helm", "bundle-damaged")),
    ]


def test_options_that_contradict_it_are_refused(archive: Path, tmp_path: Path) -> None:
    for options, cause in (
        (["--release", "debian12"], "the bundle is of release lab-made on lab1, not of debian12"),
        (["-o", "lab2"], "the bundle is of release lab-made on lab1, not of lab-made on lab2"),
        (["--repository", "kubernetes=http://127.0.0.1/x"], "--bundle brings image, packages and manifests"),
    ):
        done = run(tmp_path, "plan", "-l", "local", "-p", "virtual1", "--bundle", str(archive), *options)
        assert isinstance(done.exception, UsageError) and done.exception.cause.startswith(cause)
    (tmp_path / "release.yaml").write_text((archive.parent / "release.yaml").read_text())
    assert deployed_from(archive, tmp_path, release=str(tmp_path / "release.yaml")).order.release.name == "lab-made"


def test_files_of_a_directory_are_linked_and_watched(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "b")
    cache = Cache(tmp_path / "cache", RecordingReporter())
    digest = StoredBundle(tmp_path / "b").take_in(cache)
    taken = bundle_dir(cache.root, digest)
    assert (tmp_path / "b/base/image.raw").samefile(taken / "base/image.raw")
    release = deployed_from(tmp_path / "b", tmp_path).order.release
    provided = release.provided
    assert provided is not None and provided.path == taken
    assert check_taken_in(cache, provided) == ()
    mode = (tmp_path / "b/base/image.raw").stat().st_mode
    image = ReleaseImages(release, cache.root, "", cache.reporter)
    assert image.ensure(HOST_ARCH).path.stat().st_mode != mode == (tmp_path / "b/base/image.raw").stat().st_mode
    with (tmp_path / "b/base/image.raw").open("r+b") as file:
        file.write(b"changed")
    (problem,) = check_taken_in(cache, provided)
    assert (problem.path, problem.rule) == ("base/image.raw", "bundle-damaged")
    StoredBundle(archive).take_in(cache)
    assert check_taken_in(cache, provided) == ()
    unpack(archive, tmp_path / "c")
    (tmp_path / "c/helm/helm").chmod(0o666)
    taken = bundle_dir(
        tmp_path / "other", StoredBundle(tmp_path / "c").take_in(Cache(tmp_path / "other", cache.reporter))
    )
    assert not (tmp_path / "c/helm/helm").samefile(taken / "helm/helm")


#: A system like this one whose changes are private. Arguments: the bundle, packages that are there before.
_ON_A_NODE = """
set -eu
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t tmpfs tmpfs /mnt/root/run
exec chroot /mnt/root sh -euc "$INSIDE" node "$@"
"""

_INSIDE = """
bundle=$1
shift
printf '#!/bin/sh\\necho "systemctl $*"\\n' > /usr/local/bin/systemctl
chmod 755 /usr/local/bin/systemctl
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
dpkg --purge --force-all containerd kubeadm kubelet kubectl
for package; do dpkg --install "$package"; done
rm -f /etc/apt/sources.list.d/*
echo "deb http://127.0.0.1:1/nowhere stable main" > /etc/apt/sources.list
"""

_AFTERWARDS = """
dpkg-query --show --showformat='${Package} ${Version} ${db:Status-Status} ${Status}\\n' \\
    containerd kubeadm kubelet kubectl lab-base > /run/installed
sed 's/^/installed: /' /run/installed
cat /etc/apt/sources.list
kubelet
test ! -e /etc/apt/sources.list.d/bundle.list
"""


def on_a_node(script: str, bundle: Path, *present: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--mount", "--net", "--", "sh", "-c", _ON_A_NODE, "node", str(bundle), *map(str, present)],
        env={"INSIDE": _INSIDE + script + _AFTERWARDS, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_apt_of_a_node_chooses_of_the_bundle_alone(archive: Path, tmp_path: Path) -> None:
    """What the image has and is newer stays, what is older is replaced, and no source of the node's own is asked."""
    release = deployed_from(archive, tmp_path).order.release
    assert release.provided is not None
    newer = build_package(tmp_path / "present", "lab-base", "1:3.0", "")
    older = build_package(tmp_path / "present", "containerd", "1.2-1", "")
    done = on_a_node(install_script(release), release.provided.path, newer, older)
    assert done.returncode == 0, done.stdout + done.stderr
    installed = [line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("installed: ")]
    assert dict(installed) == {
        **dict.fromkeys(("containerd", "kubeadm", "kubectl", "kubelet"), f"{VERSION}-1"),
        "lab-base": "1:3.0",
    }
    held = [line.split()[1] for line in done.stdout.splitlines() if " hold ok installed" in line]
    assert sorted(held) == ["kubeadm", "kubectl", "kubelet"]
    assert "systemctl enable containerd.service kubelet.service" in done.stdout
    assert "nowhere" in done.stdout and f"kubelet {VERSION}-1" in done.stdout


def test_a_package_that_was_changed_is_not_installed(archive: Path, tmp_path: Path) -> None:
    release = deployed_from(archive, tmp_path).order.release
    assert release.provided is not None
    package = release.provided.path / f"debs/kubelet_{VERSION}-1_all.deb"
    content = package.read_bytes()
    package.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = on_a_node(install_script(release), release.provided.path)
    assert done.returncode != 0 and "Hash Sum mismatch" in done.stderr
    assert "installed: " not in done.stdout


def test_nodes_of_another_architecture_are_refused(upstream: Upstream, tmp_path: Path) -> None:
    """Built here for the other one, too: kubeadm is then asked as a program of this machine."""
    bundle = build(upstream, tmp_path, "--arch", "aarch64", "--output", "foreign")
    manifest = StoredBundle(bundle).manifest()
    assert manifest.arch is Arch.AARCH64 and manifest.references == IMAGES
    result = make_pod_plan(deployed_from(bundle, tmp_path), FakeTools(tmp_path, layout_below(tmp_path)))
    assert [(problem.rule, problem.message) for problem in result.problems] == [
        ("bundle-arch", "the bundle is for aarch64, and nodes are x86_64")
    ]


def test_a_plan_names_the_bundle(upstream: Upstream, tmp_path: Path) -> None:
    inputs = deployed_from(build(upstream, tmp_path, "--arch", "x86_64"), tmp_path)
    result = make_pod_plan(inputs, FakeTools(tmp_path, layout_below(tmp_path)))
    assert result.problems == ()
    assert f"sha256:{inputs.order.options.bundle}" in plan_text(inputs, result)


def test_a_release_that_does_not_name_its_archive(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("\n".join(_without(upstream.release(), "archive")))
    done = run(tmp_path, "bundle", "build", "--release", "./r.yaml", *upstream.mirrors())
    assert isinstance(done.exception, UsageError)
    assert "does not say where its operating system's packages" in done.exception.cause
    assert not list((tmp_path / "cache/bundles").glob("*"))


def _without(text: str, key: str) -> Iterator[str]:
    """A YAML mapping without one of its keys."""
    inside = False
    for line in text.splitlines():
        inside = line.startswith(f"{key}:") or (inside and line.startswith(" "))
        if not inside:
            yield line
