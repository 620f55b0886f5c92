"""A release made of Go modules: what pins it, what decides its key, which progress it reports."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.cache.hashed_files import sha256_of_file
from iecpod.errors import ImageError
from iecpod.images.archives.docker_archive import ContainerImage, write_archive, write_layer
from iecpod.images.build.busybox import BusyboxLayer, busybox_recipe, ensure_busybox, find_program, write_busybox_layer
from iecpod.images.build.c_toolchain import CToolchain
from iecpod.images.build.conformance_images import ConformanceImages
from iecpod.images.build.debian_labels import debian_labels, installed_version, version_of_file
from iecpod.images.build.go.build import GoBuild, compile_recipe
from iecpod.images.build.go.go_software import go_recipe
from iecpod.images.build.go.modules import module_digest, module_dir, module_files, module_version
from iecpod.images.build.go.progress import CompileProgress, DownloadWatch
from iecpod.model import Arch, PodRef
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.progress.reporters import LogReporter
from iecpod.release.file import load_release
from iecpod.release.go_source import GoModule, GoSource, required_version, source_digest
from iecpod.release.release import Release
from iecpod.render.bundle_install import install_script, render_bundle_files
from tests.fakes import FakeClock
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below

ROOT = Path(__file__).parents[5]
RELEASE = load_release("k8s-1.37-go", ROOT / "iecpod/releases", ROOT / "schemas")


def source_of(release: Release) -> GoSource:
    assert release.bundle is not None and release.bundle.go is not None
    return release.bundle.go


SOURCE = source_of(RELEASE)


class Recorded(LogReporter):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def progress(self, message: str, node: str = "") -> None:
        self.messages.append(message)


@pytest.mark.parametrize("module", SOURCE.modules, ids=lambda module: module.name)
def test_every_module_is_pinned_by_version_and_digest(module: GoModule) -> None:
    assert {"go.mod", "go.sum"} <= module_files(module.directory).keys()
    if module.name != "pause":  # of our own: it requires nothing
        assert module_version(module)[0].isdigit()
        assert module_digest(module).startswith("h1:")


def test_no_module_is_there_that_nothing_is_compiled_of() -> None:
    assert {path.name for path in module_dir("").iterdir()} == {module.directory for module in SOURCE.modules}


def test_the_release_has_the_version_of_its_modules() -> None:
    assert module_version(SOURCE.module("kubernetes")) == RELEASE.kubernetes_version
    assert module_version(SOURCE.module("etcd")) == RELEASE.etcd_version
    assert f"v{module_version(SOURCE.module('coredns'))}" == RELEASE.coredns_version
    router = f"{RELEASE.image_repository}/kube-router:v{module_version(SOURCE.module('kube-router'))}"
    assert router == RELEASE.kube_router_image


def test_a_version_is_read_of_both_forms_of_require() -> None:
    assert required_version("module m\n\nrequire k8s.io/kubernetes v1.37.2\n", "k8s.io/kubernetes") == "1.37.2"
    block = "require (\n\tk8s.io/kubernetes v1.37.2\n\tk8s.io/kubernetes-extra v9.9.9 // indirect\n)\n"
    assert required_version(block, "k8s.io/kubernetes") == "1.37.2"
    assert required_version(block, "k8s.io") == ""
    sums = "a.b/c v1.0.0 h1:abc=\na.b/c v1.0.0/go.mod h1:def=\n"
    assert source_digest(sums, "a.b/c", "1.0.0") == "h1:abc="
    assert source_digest(sums, "a.b/c", "1.0.1") == ""


def test_the_key_changes_with_sources_compiler_flags_and_architecture() -> None:
    runc = SOURCE.module("runc")
    image, toolchain = RELEASE.image, SOURCE.toolchain
    recipes = [
        compile_recipe(runc, toolchain, image, Arch.X86_64),
        compile_recipe(runc, toolchain, image, Arch.AARCH64),
        compile_recipe(runc, dataclasses.replace(toolchain, version="1.27.4"), image, Arch.X86_64),
        compile_recipe(dataclasses.replace(runc, tags=()), toolchain, image, Arch.X86_64),
        compile_recipe(dataclasses.replace(runc, variables={"a.b": "{version}"}), toolchain, image, Arch.X86_64),
        compile_recipe(dataclasses.replace(runc, directory="crictl"), toolchain, image, Arch.X86_64),
        compile_recipe(runc, toolchain, dataclasses.replace(image, suite="bookworm"), Arch.X86_64),
    ]
    assert len({json.dumps(recipe, sort_keys=True) for recipe in recipes}) == len(recipes)
    assert recipes[0] == compile_recipe(runc, toolchain, image, Arch.X86_64)
    # One more for what the end-to-end tests run in pods.
    assert len(go_recipe(RELEASE, SOURCE, Arch.X86_64)) == len(SOURCE.modules) + 1


def test_a_silent_proxy_ends_the_download(tmp_path: Path) -> None:
    shown = Recorded()
    watch = DownloadWatch(tmp_path, shown, "kubernetes", silence_seconds=-1.0)
    arrived = tmp_path / "cache/download/module.zip"
    arrived.parent.mkdir(parents=True)
    arrived.write_bytes(b"x" * 3 * 1024 * 1024)
    watch.look(b"go: down")
    arrived.write_bytes(b"x" * 5 * 1024 * 1024)
    watch.look(b"loading k8s.io/kubernetes v1.37.2\n")
    assert shown.messages[-1] == "fetching the Go modules of kubernetes: 1, 5 MiB in all"
    with pytest.raises(ImageError) as caught:
        watch.look(b"")
    assert "Go module proxy" in caught.value.cause
    assert "GOPROXY" in caught.value.remedy


def test_progress_counts_packages_once_and_estimates_late() -> None:
    shown, clock = Recorded(), FakeClock()
    progress = CompileProgress(shown, "etcd (module 2 of 9)", 100, clock.now)
    progress.look(b"internal/goarch\n")
    progress.look(b"")
    clock.sleep(50)
    progress.look(b"go: a warning\n# a note\n" + b"a/b\n" * 49 + b"half of a li")
    assert shown.messages == [
        "compiling etcd (module 2 of 9): 1 of 100 packages",
        "compiling etcd (module 2 of 9): 50 of 100 packages, about a minute left",
    ]


def test_progress_claims_no_minute_that_has_passed() -> None:
    """Go links for minutes without a word, and names no package that it has from an earlier build."""
    shown, clock = Recorded(), FakeClock()
    progress = CompileProgress(shown, "kubernetes", 100, clock.now)
    clock.sleep(600)
    progress.look(b"a/b\n" * 80)
    for _ in range(4):
        clock.sleep(60)
        progress.look(b"")
    progress.look(b"a/b\n" * 20)
    clock.sleep(600)
    progress.look(b"")
    assert [message.removeprefix("compiling kubernetes: ") for message in shown.messages] == [
        "80 of 100 packages, about 2 min left",
        "80 of 100 packages, about a minute left",
        "80 of 100 packages, linking, or longer than estimated",
        "100 of 100 packages, linking",
    ]


def test_progress_says_which_module_of_those_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = RELEASE.image
    cache = Cache(tmp_path, LogReporter())
    build = GoBuild(cache=cache, toolchain=SOURCE.toolchain, go_root=tmp_path, c_toolchain=CToolchain(cache, image))
    modules = [SOURCE.module(name) for name in ("etcd", "runc", "helm")]
    monkeypatch.setattr(GoBuild, "is_compiled", lambda _build, module, _arch: module.name == "runc")
    monkeypatch.setattr(GoBuild, "ensure", lambda _build, module, _arch, place: f"{module.name}{place}")
    assert [str(made) for made in build.ensure_all(modules, Arch.X86_64).values()] == [
        "etcd (module 1 of 2)",
        "runc",
        "helm (module 2 of 2)",
    ]


def test_nodes_have_one_binary_by_its_names() -> None:
    script = install_script(RELEASE)
    assert "ln -sf kubernetes /usr/bin/kubelet\n" in script
    assert "kube-apiserver" not in script
    assert "for program in bridge loopback host-local portmap bandwidth tuning; do\n" in script
    assert "ExecStart=/usr/bin/containerd\n" in render_bundle_files(RELEASE)["/etc/systemd/system/containerd.service"]


def test_an_image_has_links_and_labels(tmp_path: Path) -> None:
    program = tmp_path / "kubernetes"
    program.write_bytes(b"\x7fELF")
    layer = tmp_path / "layer.tar"
    write_layer(layer, [program], "usr/local/bin", {"kube-proxy": "kubernetes"})
    with tarfile.open(layer) as tar:
        assert tar.getmember("usr/local/bin/kube-proxy").linkname == "kubernetes"
    image = ContainerImage(
        reference="registry.iecpod.internal/kube-proxy:v1.37.2",
        layers=(layer,),
        entrypoint=("/usr/local/bin/kube-proxy",),
        labels={"org.opencontainers.image.version": "1.37.2"},
    )
    write_archive(tmp_path / "images.tar", [image], Arch.X86_64)
    with tarfile.open(tmp_path / "images.tar") as tar:
        name = next(name for name in tar.getnames() if name.endswith(".json") and name != "manifest.json")
        content = tar.extractfile(name)
        assert content is not None
        config = json.load(content)["config"]
    assert config["Labels"] == {"org.opencontainers.image.version": "1.37.2"}
    assert config["Entrypoint"] == ["/usr/local/bin/kube-proxy"]


def test_the_tests_are_of_the_same_sources_as_kubernetes() -> None:
    tests = SOURCE.tests
    assert tests is not None and tests.directory == SOURCE.module("kubernetes").directory
    assert module_version(tests) == RELEASE.kubernetes_version
    assert dataclasses.replace(SOURCE, modules=SOURCE.modules[:1]).tests is None


def test_images_of_the_tests_decide_the_images_and_compile_nothing() -> None:
    other = dataclasses.replace(SOURCE, test_images={"agnhost": ("2.67",)})
    recipe, changed = go_recipe(RELEASE, SOURCE, Arch.X86_64), go_recipe(RELEASE, other, Arch.X86_64)
    assert recipe[:-1] == changed[:-1] and recipe[-1] != changed[-1]
    assert go_recipe(RELEASE, dataclasses.replace(SOURCE, test_images={}), Arch.X86_64) == recipe[:-1]


#: As dpkg keeps it.
_STATUS = """\
Package: bind9-dnsutils-extra
Status: install ok installed
Version: 2:1

Package: bind9-dnsutils
Status: install ok installed
Depends: bind9-host, libc6 (>= 2.34)
Version: 1:9.18.49-1~deb12u3

Package: zlib1g
Version: 3:1
"""


def images_of_tests(tmp_path: Path) -> list[ContainerImage]:
    for name in ("agnhost", "busybox.tar", "status"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "status").write_text(_STATUS)
    with tarfile.open(tmp_path / "layer.tar", "w") as tar:
        tar.add(tmp_path / "status", "./var/lib/dpkg/status")
    busybox = BusyboxLayer(tmp_path / "busybox.tar", {"org.opencontainers.image.version": "1:1.35.0-4"})
    images = ConformanceImages(
        repository=RELEASE.image_repository,
        tags=SOURCE.test_images,
        agnhost=tmp_path / "agnhost",
        busybox=busybox,
        suite="bookworm",
        labels={"org.opencontainers.image.version": "1.37.2"},
        vendor={"org.opencontainers.image.vendor": "iecpod"},
    )
    work = tmp_path / "work"
    work.mkdir()
    return list(images.images(tmp_path / "layer.tar", work))


def test_the_tests_find_their_images_under_our_name(tmp_path: Path) -> None:
    images = {image.reference: image for image in images_of_tests(tmp_path)}
    assert list(images) == [
        "registry.iecpod.internal/agnhost:2.66.1",
        "registry.iecpod.internal/agnhost:2.55",
        "registry.iecpod.internal/busybox:1.37.0-2",
        "registry.iecpod.internal/glibc-dns-testing:2.1.1",
    ]
    agnhost, _, busybox, dns = images.values()
    assert (agnhost.entrypoint, agnhost.command) == (("/agnhost",), ("pause",))
    assert agnhost.labels == {"org.opencontainers.image.version": "1.37.2"}
    assert busybox.layers == (tmp_path / "busybox.tar",) and dns.layers == (tmp_path / "layer.tar",)
    assert busybox.labels == {
        "org.opencontainers.image.vendor": "iecpod",
        "org.opencontainers.image.title": "busybox of Debian",
        "org.opencontainers.image.version": "1:1.35.0-4",
    }
    assert dns.labels == {
        "org.opencontainers.image.vendor": "iecpod",
        "org.opencontainers.image.title": "dig and glibc of Debian",
        "org.opencontainers.image.source": "https://packages.debian.org/bookworm/bind9-dnsutils",
        "org.opencontainers.image.version": "1:9.18.49-1~deb12u3",
        "org.opencontainers.image.revision": f"sha256:{sha256_of_file(tmp_path / 'layer.tar')}",
    }
    with tarfile.open(agnhost.layers[1]) as tar:
        assert tar.getnames() == ["agnhost", "agnhost-2"]
        assert tar.getmember("agnhost-2").linkname == "agnhost"


def test_versions_are_those_of_the_package_and_no_guess(tmp_path: Path) -> None:
    images_of_tests(tmp_path)
    assert installed_version(tmp_path / "layer.tar", "dig") == ""
    assert "org.opencontainers.image.version" not in debian_labels(tmp_path / "layer.tar", "bookworm", "dig", "")
    assert version_of_file("busybox-static_1%3a1.35.0-4+deb12u1+b1_amd64.deb") == "1:1.35.0-4+deb12u1+b1"
    write_busybox_layer(tmp_path / "no-record.tar", tmp_path / "agnhost")
    assert installed_version(tmp_path / "no-record.tar", "busybox-static") == ""


def test_the_layer_of_busybox_says_of_which_package_it_is(tmp_path: Path) -> None:
    """Where it was made before, nothing is fetched."""
    cache = Cache(tmp_path, LogReporter())

    def make(directory: Path) -> dict[str, str]:
        write_busybox_layer(directory / "layer.tar", Path(__file__))
        return {"package": "busybox-static_1%3a1.35.0-4_amd64.deb"}

    made = cache.ensure("busybox", busybox_recipe(RELEASE.image, Arch.X86_64), make, "")
    layer = ensure_busybox(cache, RELEASE.image, Arch.X86_64, "")
    assert layer.path == made.path / "layer.tar"
    assert layer.labels == {
        "org.opencontainers.image.source": "https://packages.debian.org/trixie/busybox-static",
        "org.opencontainers.image.version": "1:1.35.0-4",
        "org.opencontainers.image.revision": f"sha256:{made.files['layer.tar']['sha256']}",
    }


@pytest.mark.parametrize("path", ["bin/busybox", "usr/bin/busybox"])
def test_busybox_is_where_its_version_of_debian_has_it(tmp_path: Path, path: str) -> None:
    with pytest.raises(ImageError, match="busybox-static has no /bin/busybox"):
        find_program(tmp_path)
    program = tmp_path / path
    program.parent.mkdir(parents=True)
    program.write_bytes(b"\x7fELF")
    assert find_program(tmp_path) == program


def test_busybox_is_a_file_system_with_its_tools(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    write_busybox_layer(tmp_path / "one.tar", program)
    write_busybox_layer(tmp_path / "two.tar", program)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert tar.getmember("bin/sh").linkname == "busybox" and tar.getmember("bin/[[").issym()
        assert (tar.getmember("bin/busybox").mode, tar.getmember("tmp").mode) == (0o755, 0o1777)
        assert len(tar.getnames()) == len(set(tar.getnames()))


@pytest.mark.parametrize(
    ("release", "scenario"),
    [(None, "k8-kube-router-iec-noha"), ("debian12", "k8-bridge-iec-noha"), ("k8s-1.37", "k8-bridge-iec-noha")],
)
def test_the_scenario_of_lab_local_fits_its_release(tmp_path: Path, release: str | None, scenario: str) -> None:
    """The first of the lab's whose pod network the release has."""
    request = pod_request(ref=PodRef("local", "virtual1"), release=release)
    assert resolve_request(request, layout_below(tmp_path), SavedPod()).order.scenario.name == scenario


def test_the_connected_release_is_of_the_versions_that_are_compiled() -> None:
    """The e2e tests try it with these programs: a bump moves `k8s-1.37.yaml` along."""
    connected = load_release("k8s-1.37", ROOT / "iecpod/releases", ROOT / "schemas")
    assert connected.helm is not None
    versions = {module.name: module_version(module) for module in SOURCE.modules}
    assert (connected.kubernetes_version, connected.helm.version) == (versions["kubernetes"], versions["helm"])
    assert connected.supported_until == RELEASE.supported_until
