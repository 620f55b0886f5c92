"""Images of the user's own: where a plan finds those of a POD's manifests, and how they get to its nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.cache.inventory import find_items
from iecpod.commands.deploy import deploy
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.deploy.phases.runtime import RuntimePhase
from iecpod.design.manifest_text import ManifestText
from iecpod.design.software.image_origin import MISSING, NeededImage, check_given_twice, find_origins
from iecpod.errors import IecpodError, ImageError, PreflightError, UsageError
from iecpod.images.archives.docker_archive import ContainerImage, read_image_ids, write_archive, write_layer
from iecpod.images.build.node_software import find_software
from iecpod.images.build.release_images import ReleaseImages
from iecpod.images.bundle.build import BundleBuild
from iecpod.images.bundle.bundle_disk import ReleaseBundleDisks
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.ports import CommandResult
from iecpod.release.bundle_manifest import BundledImage
from iecpod.release.file import load_release
from iecpod.release.image_archive import ImageArchive
from iecpod.release.mirrors import Supply
from iecpod.release.release import Manifest, ProvidedBundle, Release
from iecpod.render.bundle_install import import_script
from iecpod.render.manifest_patch import image_names
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools
from tests.fakes.jobs import on_job
from tests.fakes.pod_tools import REF
from tests.fakes.probes import IN_PLACE, in_place_or
from tests.fakes.probes import MISSING as NOT_THERE
from tests.image_archives import CALICO as NODE
from tests.image_archives import Image, docker_files, taken_in, write
from tests.pod_requests import pod_request
from tests.unit.cni.cni_manifests import CALICO, FLANNEL
from tests.unit.cni.test_pod_network_verbs import ManifestTools, written
from tests.unit.command_line import layout_below, run
from tests.unit.conftest import make_release
from tests.unit.images.bundle.test_bundles import manifest_of, parse
from tests.unit.images.bundle.test_bundles import taken_in as bundle_taken_in

ROOT = Path(__file__).parents[3]
GO = load_release("k8s-1.37-go", ROOT / "iecpod/releases", ROOT / "schemas")
NGINX = "registry.iecpod.internal/nginx:debian"
CNI = Image(names=("quay.io/calico/cni:v3.32.1",))
CONTROLLERS = Image(names=("quay.io/calico/kube-controllers:v3.32.1",))
OF_CALICO = ("quay.io/calico/cni:v3.32.1", "quay.io/calico/node:v3.32.1", "quay.io/calico/kube-controllers:v3.32.1")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


@pytest.fixture
def tools(tmp_path: Path, layout: Layout) -> ManifestTools:
    return ManifestTools(tmp_path, layout)


def resolve(
    layout: Layout,
    tmp_path: Path,
    *archives: ImageArchive,
    release: str = "k8s-1.37-go",
    recalled: SavedPod | None = None,
) -> PodInputs:
    request = pod_request(
        ref=REF,
        base_uri=str(layout.pdf_dir),
        release=release,
        scenario="k8-calico-iec-noha",
        image_archives=tuple(archive.digest for archive in archives) or None,
        supply=Supply(manifests={"calico": str(written(tmp_path, CALICO))}),
    )
    return resolve_request(request, layout, recalled or SavedPod())


def images_of(text: str) -> dict[str, str]:
    """Of the plan's table, by image."""
    table = text.partition("\n\nImages\n")[2].partition("\n\n")[0].splitlines()
    assert table[0].split() == ["OF", "IMAGE", "FROM"]
    return {line.split()[1]: line.split(maxsplit=2)[2] for line in table[1:]}


def test_the_plan_says_of_each_image_whether_it_is_there(layout: Layout, tools: ManifestTools, tmp_path: Path) -> None:
    archive = taken_in(tmp_path, NODE, CNI)
    inputs = resolve(layout, tmp_path, archive)
    result = make_pod_plan(inputs, tools)
    text = plan_text(inputs, result)
    assert images_of(text) == {
        OF_CALICO[0]: f"image archive {archive.digest[:12]}",
        OF_CALICO[1]: f"image archive {archive.digest[:12]}",
        OF_CALICO[2]: MISSING,
        NGINX: "release k8s-1.37-go, made here",
    }
    assert f"sha256:{archive.digest}" in text
    (problem,) = result.problems
    assert problem.rule == "image-missing"
    assert (
        problem.message
        == f"calico needs the image {OF_CALICO[2]}, which nodes are not given, and they reach no registry"
    )
    assert f"docker save {OF_CALICO[2]} -o FILE" in problem.remedy and "--image-archive FILE" in problem.remedy


def test_deploy_is_refused_before_a_machine_is_made(layout: Layout, tools: ManifestTools, tmp_path: Path) -> None:
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout, tmp_path), tools, lambda _report: None)
    assert [problem.rule for problem in caught.value.problems] == ["image-missing"] * 3
    assert tools.hypervisor.observe() == () and not tools.pod_dir.exists()


def _with_an_older_kubeadm(argv: Sequence[str], stdin: bytes) -> CommandResult:
    if "kubeadm version" in argv[2]:
        return CommandResult(0, NOT_THERE, "")
    return in_place_or("150\n")(argv, stdin)


def test_deploy_reports_where_images_come_from_before_it_begins(
    layout: Layout, tools: ManifestTools, tmp_path: Path
) -> None:
    archive = taken_in(tmp_path, NODE, CNI, CONTROLLERS)
    for shell in tools.node_shells.values():
        shell.on("systemctl", returncode=1).replace(("sh", "-c"), _with_an_older_kubeadm)
    with pytest.raises(IecpodError, match="`systemctl enable --now containerd` exited with 1"):
        deploy(resolve(layout, tmp_path, archive), tools, lambda _report: None)
    shown = [line for line in tools.reporter.lines if " runs " in line]
    assert shown == [
        *(f"calico runs {name}, from image archive {archive.digest[:12]}" for name in OF_CALICO),
        f"verify runs {NGINX}, from release k8s-1.37-go, made here",
    ]
    assert tools.reporter.lines.index(shown[-1]) < next(
        number for number, line in enumerate(tools.reporter.lines) if "networks" in line
    )
    assert tools.saved_pod.options.image_archives == (archive.digest,)


def test_a_connected_release_pulls_what_no_archive_has(layout: Layout, tools: ManifestTools, tmp_path: Path) -> None:
    archive = taken_in(tmp_path, NODE)
    inputs = resolve(layout, tmp_path, archive, release="k8s-1.37")
    result = make_pod_plan(inputs, tools)
    assert result.problems == ()
    assert images_of(plan_text(inputs, result)) == {
        OF_CALICO[0]: "registry quay.io",
        OF_CALICO[1]: f"image archive {archive.digest[:12]}",
        OF_CALICO[2]: "registry quay.io",
        inputs.order.release.nginx_image: "registry docker.io",
    }


def provided(tmp_path: Path, *references: str) -> Release:
    data = manifest_of("k8s-1.37")
    manifest = parse(data)
    images = tuple(BundledImage(name, "base/image.qcow2", "0" * 64, "") for name in references)
    bundle = ProvidedBundle(path=tmp_path, manifest=dataclasses.replace(manifest, images=images))
    return dataclasses.replace(load_release("k8s-1.37", ROOT / "iecpod/releases", ROOT / "schemas"), provided=bundle)


@pytest.mark.parametrize(
    ("name", "mirrors", "origin"),
    [
        ("calico/node:v1", {}, "registry docker.io"),
        ("calico/node:v1", {"docker.io": "https://hub.lab"}, "registry docker.io, by https://hub.lab"),
        ("quay.io/calico/node:v3.32.1", {"quay.io": "https://quay.lab"}, "image archive"),
        (f"quay.io/calico/node:v3.32.1@sha256:{'1' * 64}", {}, "registry quay.io"),
    ],
)
def test_origins_of_a_connected_release(tmp_path: Path, name: str, mirrors: dict[str, str], origin: str) -> None:
    release = dataclasses.replace(make_release(), packages=("kubeadm",), image_archives=(taken_in(tmp_path, NODE),))
    (image,) = find_origins({"x": [name]}, release, Supply(registry_mirrors=mirrors), [Arch.X86_64])
    assert image.origin.startswith(origin)


def test_origins_of_a_bundle(tmp_path: Path) -> None:
    release = provided(tmp_path, "docker.io/a/b:1")
    assert release.provided is not None
    bundle = f"bundle {release.provided.digest[:12]}"
    wanted = {"x": ["a/b:1", f"docker.io/a/b:1@sha256:{'1' * 64}", "a/b:2", *NODE.names]}
    assert find_origins(wanted, release, Supply(), [Arch.X86_64]) == (
        NeededImage("x", "a/b:1", bundle),
        NeededImage("x", f"docker.io/a/b:1@sha256:{'1' * 64}", bundle),
        NeededImage("x", "a/b:2", MISSING),
        NeededImage("x", NODE.names[0], MISSING),
    )
    given = dataclasses.replace(release, image_archives=(taken_in(tmp_path, NODE),))
    assert find_origins({"x": NODE.names}, given, Supply(), [*Arch])[0].origin == MISSING, "it is for one architecture"


def test_what_nodes_are_given_twice_is_refused(tmp_path: Path) -> None:
    archive = taken_in(tmp_path, Image(names=(NGINX, "docker.io/a/b:1")))
    for release, name in (
        (dataclasses.replace(GO, image_archives=(archive,)), NGINX),
        (dataclasses.replace(provided(tmp_path, "docker.io/a/b:1"), image_archives=(archive,)), "docker.io/a/b:1"),
    ):
        (problem,) = check_given_twice(release)
        assert problem.rule == "image-archive-conflict"
        assert problem.message == f"{archive} has the image {name}, which nodes are given already"


def test_an_archive_decides_the_keys_of_images_and_disks(tmp_path: Path, layout: Layout) -> None:
    archive = taken_in(tmp_path, NODE)
    given = dataclasses.replace(GO, image_archives=(archive,))

    def keys(release: Release, arch: Arch) -> tuple[str, str]:
        images = ReleaseImages(release, layout.cache_dir, "", RecordingReporter())
        return images.key(arch), ReleaseBundleDisks(release, layout.cache_dir, "", RecordingReporter()).disk(arch).path

    assert set(keys(GO, Arch.X86_64)).isdisjoint(keys(given, Arch.X86_64))
    assert keys(GO, Arch.AARCH64) == keys(given, Arch.AARCH64), "it has nothing for them"
    bundled, with_archive = provided(tmp_path), dataclasses.replace(provided(tmp_path), image_archives=(archive,))
    assert set(keys(bundled, Arch.X86_64)).isdisjoint(keys(with_archive, Arch.X86_64))


def bundle_on_disk(tmp_path: Path) -> Release:
    """A release of a bundle whose files are there: one package, and one archive with one image."""
    (tmp_path / "b/debs").mkdir(parents=True)
    (tmp_path / "b/images").mkdir()
    (tmp_path / "b/debs/a_1_all.deb").write_text("package")
    (tmp_path / "b/program").write_text("program")
    write_layer(tmp_path / "b/layer.tar", [tmp_path / "b/program"], "")
    image = ContainerImage(reference="docker.io/a/b:1", layers=(tmp_path / "b/layer.tar",))
    write_archive(tmp_path / "b/images/images.tar", [image], Arch.X86_64)
    release = provided(tmp_path, "docker.io/a/b:1")
    assert release.provided is not None
    return dataclasses.replace(release, provided=dataclasses.replace(release.provided, path=tmp_path / "b"))


def test_nodes_are_given_archives_beside_their_software(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", RecordingReporter())
    archive = taken_in(tmp_path, NODE, CNI)
    release = dataclasses.replace(bundle_on_disk(tmp_path), image_archives=(archive,))
    software = find_software(cache, release, Arch.X86_64, "")
    assert [path.name for path in software.debs] == ["a_1_all.deb"]
    assert {path.name for path in software.images} == {"images.tar", f"{archive.digest}.tar"}
    assert software.references == ("docker.io/a/b:1", *NODE.names, *CNI.names)
    ids = {name: image_id for path in software.images for name, image_id in read_image_ids(path).items()}
    assert set(ids) == set(software.references)
    assert find_software(cache, release, Arch.X86_64, "") == software
    assert find_software(cache, release, Arch.AARCH64, "").references == ("docker.io/a/b:1",)
    twice = dataclasses.replace(release, image_archives=(taken_in(tmp_path, Image(names=("a/b:1",))),))
    with pytest.raises(ImageError, match=r"has what nodes are given already: docker\.io/a/b:1"):
        find_software(cache, twice, Arch.X86_64, "")


@pytest.mark.parametrize("has_them", [True, False])
def test_nodes_that_install_from_the_network_are_sent_archives(tmp_path: Path, has_them: bool) -> None:
    archive = taken_in(tmp_path, NODE, CNI)
    release = dataclasses.replace(make_release(), packages=("kubeadm",), image_archives=(archive,))
    calls: list[Sequence[str]] = []

    def answer(argv: Sequence[str], _stdin: bytes) -> CommandResult:
        calls.append(argv[3:])
        missing = argv[4:5] == ["containerd"] or (NODE.names[0] in argv and not has_them)
        return CommandResult(0, NOT_THERE if missing else IN_PLACE, "")

    shell = on_job(FakeShell().reply(("sh",), answer).on("rm").on("systemctl"))
    phase = RuntimePhase(
        *(
            release,
            Supply(),
            {"iec01": shell},
            lambda _: b"",
            lambda _, __: pytest.fail("no bundle"),
            fake_phase_tools(),
        ),
        archs={"iec01": Arch.X86_64},
    )
    assert (phase.probe() is not None) is has_them
    assert list(calls[-1]) == ["probe", *NODE.names, *CNI.names]
    phase.run()
    sent = {path: content for path, content in shell.files.items() if "iecpod-images" in path}
    place = f"/var/cache/iecpod-images/images/{archive.digest}.tar"
    assert sent == ({} if has_them else {place: archive.file(Arch.X86_64).read_bytes()})
    assert list(calls[-1]) == ["probe" if has_them else "load-images", *NODE.names, *CNI.names]
    assert shell.called("rm", "-rf", "/var/cache/iecpod-images") is not has_them


@pytest.mark.parametrize(("runtime", "is_kept"), [("containerd", True), ("docker", False)])
def test_the_kubelet_never_removes_images_of_archives(tmp_path: Path, runtime: str, is_kept: bool) -> None:
    release = make_release(runtime=runtime)
    assert "pinned" not in import_script(release)
    given = dataclasses.replace(release, image_archives=(taken_in(tmp_path, NODE),))
    assert ("io.cri-containerd.pinned=pinned" in import_script(given)) is is_kept


def test_a_pod_remembers_digests_and_forgets_them_with_its_release(layout: Layout, tmp_path: Path) -> None:
    archive = taken_in(tmp_path, NODE)
    saved = resolve(layout, tmp_path, archive).to_save
    recalled = SavedPod.from_json(saved.to_json())
    assert recalled.options.image_archives == (archive.digest,) and recalled == saved
    assert resolve(layout, tmp_path, recalled=recalled).order.release.image_archives == (archive,)
    other = resolve_request(pod_request(ref=REF, release="debian12", scenario="k8-bridge-iec-noha"), layout, recalled)
    assert other.order.options.image_archives == ()
    with pytest.raises(ValueError, match="is not the digest of an archive"):
        SavedPod.from_json('{"image_archives": ["../x"]}')
    with pytest.raises(UsageError, match="is not in the cache any more"):
        resolve(layout_below(tmp_path / "elsewhere"), tmp_path, recalled=recalled)


def test_a_bundle_is_given_the_manifests_that_it_lacks(layout: Layout, tmp_path: Path) -> None:
    data = manifest_of("k8s-1.37")
    data["files"]["manifests/calico.yaml"] = {"size_bytes": 1, "sha256": "0" * 64}
    digest = bundle_taken_in(layout.cache_dir, data).name

    def resolved(**manifests: Path) -> PodInputs:
        supply = Supply(manifests={name: str(path) for name, path in manifests.items()})
        request = pod_request(ref=REF, bundle=digest, scenario="k8-flannel-iec-noha", supply=supply)
        return resolve_request(request, layout, SavedPod())

    flannel = written(tmp_path, FLANNEL)
    release = resolved(flannel=flannel).order.release
    files = {manifest.name: manifest.file for manifest in release.manifests}
    assert files["flannel"] == str(flannel) and files["calico"].endswith("/manifests/calico.yaml")
    with pytest.raises(UsageError, match="--bundle brings image, packages and manifests"):
        resolved(calico=flannel)
    with pytest.raises(UsageError, match="has no manifest named 'weave'"):
        resolved(weave=flannel)


def test_a_bundle_without_a_manifest_fetches_none(layout: Layout, tools: ManifestTools) -> None:
    digest = bundle_taken_in(layout.cache_dir, manifest_of("k8s-1.37")).name
    request = pod_request(ref=REF, bundle=digest, scenario="k8-flannel-iec-noha")
    problems = make_pod_plan(resolve_request(request, layout, SavedPod()), tools).problems
    shown = {problem.rule: problem for problem in problems}
    assert shown["manifest-missing"].message == "the bundle has no manifest flannel, which flannel is made of"
    assert "--manifest flannel=FILE" in shown["manifest-missing"].remedy


@pytest.mark.parametrize("image", ["", "image: ,", "image: '',"])
def test_a_container_without_an_image_needs_none(image: str) -> None:
    pod = f"spec: {{containers: [{{{image} name: a}}, {{name: b, image: c/d}}]}}"
    manifest = ManifestText("x", f"kind: Deployment\nspec: {{template: {{{pod}}}}}\n".encode())
    assert image_names([manifest], {}) == ("c/d",)


def test_a_bundle_of_images_made_here_has_the_manifests_that_are_given(tmp_path: Path) -> None:
    def manifests_of(release: Release) -> list[str]:
        build = BundleBuild(
            cache=Cache(tmp_path, RecordingReporter()),
            release=release,
            data={},
            arch=Arch.X86_64,
            apt_mirror="",
            registry_mirrors={},
        )
        return [manifest.name for manifest in build.manifests]

    def given(manifest: Manifest) -> Manifest:
        return dataclasses.replace(manifest, file="calico.yaml" if manifest.name == "calico" else "")

    assert manifests_of(GO) == []
    assert manifests_of(GO.with_manifests(given)) == ["calico"]
    connected = load_release("k8s-1.37", ROOT / "iecpod/releases", ROOT / "schemas")
    assert manifests_of(connected) == ["calico", "operator-crds", "tigera-operator", "flannel"]


def test_the_cache_shows_what_an_archive_holds(tmp_path: Path) -> None:
    archive = taken_in(tmp_path, NODE, CNI)
    (item,) = (item for item in find_items(tmp_path / "cache") if item.kind == "image-archives")
    assert (item.name, item.what) == (archive.digest, ", ".join((*NODE.names, *CNI.names)))


@pytest.mark.parametrize("verb", ["plan -l local -p virtual1", "bundle build --release debian12"])
def test_the_command_line_refuses_what_is_no_archive(tmp_path: Path, verb: str) -> None:
    (tmp_path / "a.tar").write_text("x" * 2048)
    done = run(tmp_path, *verb.split(), "--image-archive", "a.tar")
    assert isinstance(done.exception, UsageError)
    assert done.exception.cause.startswith("a.tar is not an archive of images that can be used: ")


def test_the_command_line_refuses_a_bundle_with_images_for_other_nodes(tmp_path: Path) -> None:
    write(tmp_path, docker_files(NODE))
    options = ("--release", "debian12", "--arch", "aarch64", "--image-archive", "images.tar")
    done = run(tmp_path, "bundle", "build", *options)
    assert isinstance(done.exception, PreflightError)
    assert [problem.rule for problem in done.exception.problems] == ["image-archive-arch"]
