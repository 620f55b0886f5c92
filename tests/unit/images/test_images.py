"""Archives, programs, recipes and the question to KVM; what needs root or a mirror is in tests/contract and e2e."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
import tarfile
import time
from pathlib import Path

import pytest

from iecpod.errors import HostError, ImageError
from iecpod.images.archives.docker_archive import ContainerImage, write_archive, write_layer
from iecpod.images.build.apt import AptSuite, check_keyring
from iecpod.images.build.debian_kubernetes import mirror_of
from iecpod.images.build.release_images import ReleaseImages
from iecpod.images.build.rootfs import image_archives
from iecpod.images.confinement.tool import read_tool
from iecpod.model import Arch
from iecpod.options.choices import VirtType
from iecpod.ports import BaseImage
from iecpod.providers.libvirt.kvm_probe import does_kernel_start, kvm_boots
from iecpod.providers.libvirt.objects import Emulator, Firmware
from iecpod.release.file import load_release
from iecpod.release.release import ImageSource, ImageSourceType, Release
from tests.fakes import RecordingReporter

ROOT = Path(__file__).parents[3]


def load(name: str) -> Release:
    return load_release(name, ROOT / "iecpod/releases", ROOT / "schemas")


def images_of(release: Release, cache_dir: Path, *, baked: bool = True) -> ReleaseImages:
    return ReleaseImages(release, cache_dir, "", RecordingReporter(), baked=baked)


def write_program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_layer_is_the_same_for_the_same_program(tmp_path: Path) -> None:
    program = write_program(tmp_path / "pause", "exit 0")
    write_layer(tmp_path / "one.tar", [program], "usr/local/bin")
    program.touch()
    write_layer(tmp_path / "two.tar", [program], "usr/local/bin")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert tar.getnames() == ["usr", "usr/local", "usr/local/bin", "usr/local/bin/pause"]
        assert (tar.getmember("usr/local/bin/pause").mode, tar.getmember("usr").mode) == (0o755, 0o755)


def test_archive_holds_shared_layers_once(tmp_path: Path) -> None:
    base, top = tmp_path / "base.tar", tmp_path / "top.tar"
    base.write_bytes(b"base")
    top.write_bytes(b"top")
    images = [
        ContainerImage(reference="k8s.gcr.io/etcd:3.4", layers=(base,), environment=("A=b",)),
        ContainerImage(reference="docker.io/library/nginx:stable", layers=(base, top), command=("nginx", "-g")),
    ]
    write_archive(tmp_path / "images.tar", images, Arch.AARCH64)
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (base, top)}
    with tarfile.open(tmp_path / "images.tar") as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    manifest = json.loads(contents.pop("manifest.json"))
    assert [entry["RepoTags"] for entry in manifest] == [[image.reference] for image in images]
    assert manifest[1]["Layers"] == [f"{digests[base]}/layer.tar", f"{digests[top]}/layer.tar"]
    assert contents[manifest[0]["Layers"][0]] == b"base"
    configurations = [contents.pop(entry["Config"]) for entry in manifest]
    assert len(contents) == 2
    for entry, content in zip(manifest, configurations, strict=True):
        assert entry["Config"] == hashlib.sha256(content).hexdigest() + ".json"
    etcd, nginx = map(json.loads, configurations)
    assert nginx["rootfs"]["diff_ids"] == [f"sha256:{digests[base]}", f"sha256:{digests[top]}"]
    assert nginx["config"]["Cmd"] == ["nginx", "-g"]
    assert nginx["architecture"] == "arm64"
    assert "A=b" in etcd["config"]["Env"]


def test_failing_program_is_quoted() -> None:
    with pytest.raises(ImageError, match=r"looking: `sh` exited with 3\nno such luck"):
        read_tool(["sh", "-c", "echo no such luck >&2; exit 3"], purpose="looking")


def test_missing_program_is_named() -> None:
    with pytest.raises(ImageError) as caught:
        read_tool(["iecpod-no-such-program"], purpose="looking")
    assert caught.value.cause == "looking: the program iecpod-no-such-program is not installed"


def test_missing_keyring_names_its_package() -> None:
    with pytest.raises(ImageError) as caught:
        check_keyring("/nowhere/debian-archive-keyring.gpg")
    assert caught.value.remedy.startswith("install the package debian-archive-keyring")


def test_sources_name_their_keys() -> None:
    suite = AptSuite(mirror="http://m/debian", suites=("a", "b"), keyring="/k.gpg")
    assert suite.source_lines("deb", "deb-src") == (
        "deb [signed-by=/k.gpg] http://m/debian a main\ndeb-src [signed-by=/k.gpg] http://m/debian a main\n"
        "deb [signed-by=/k.gpg] http://m/debian b main\ndeb-src [signed-by=/k.gpg] http://m/debian b main\n"
    )


def test_other_mirror_stands_in_for_the_main_archive_only() -> None:
    image = load("debian12").image
    main, security = image_archives(image, "http://nearby/debian")
    assert (main.mirror, main.suites) == ("http://nearby/debian", ("bookworm", "bookworm-updates"))
    assert (security.mirror, security.suites) == (image.security_mirror, ("bookworm-security",))
    assert mirror_of(image.mirror, image, "http://nearby/debian") == "http://nearby/debian"
    assert mirror_of("http://archive/debian", image, "http://nearby/debian") == "http://archive/debian"


def test_key_distinguishes_images(tmp_path: Path) -> None:
    release = load("debian12")
    image = dataclasses.replace(release.image, kernel_arguments=("quiet",))
    variants = [
        images_of(release, tmp_path).key(Arch.X86_64),
        images_of(release, tmp_path, baked=False).key(Arch.X86_64),
        images_of(release, tmp_path).key(Arch.AARCH64),
        images_of(dataclasses.replace(release, image=image), tmp_path).key(Arch.X86_64),
        images_of(dataclasses.replace(release, cgroup_driver="systemd"), tmp_path).key(Arch.X86_64),
    ]
    assert len(set(variants)) == len(variants)
    assert variants[0] == images_of(release, tmp_path / "other").key(Arch.X86_64)


def test_key_of_a_plain_image_knows_nothing_of_kubernetes(tmp_path: Path) -> None:
    release = load("debian12")
    other = dataclasses.replace(release, kubernetes_version="1.20.3", bundle=None)
    assert images_of(release, tmp_path, baked=False).key(Arch.X86_64) == images_of(other, tmp_path).key(Arch.X86_64)


def from_file(location: str) -> Release:
    image = ImageSource(type=ImageSourceType.FILE, location={Arch.X86_64: location}, sha256sums={})
    return dataclasses.replace(load("k8s-1.37"), image=image)


def test_image_of_a_file(tmp_path: Path) -> None:
    source = tmp_path / "source.img"
    source.write_bytes(bytes(4096))
    images = images_of(from_file(str(source)), tmp_path / "cache")
    assert images.find(Arch.X86_64) is None
    image = images.ensure(Arch.X86_64)
    assert image == images.find(Arch.X86_64)
    assert (image.format, image.virtual_size_bytes) == ("raw", 4096)
    assert image.sha256 == hashlib.sha256(bytes(4096)).hexdigest()
    source.write_bytes(bytes(8192))
    assert images.ensure(Arch.X86_64).virtual_size_bytes == 8192
    assert image.path.stat().st_size == 4096


def test_release_without_that_architecture(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"release k8s-1\.37 has no image for aarch64, only for x86_64"):
        images_of(from_file("/nowhere"), tmp_path).ensure(Arch.AARCH64)


@pytest.fixture
def image(tmp_path: Path) -> BaseImage:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(512))
    return BaseImage(path=path, sha256="d" * 64, format="raw", virtual_size_bytes=512)


def emulator(tmp_path: Path, text: str) -> Emulator:
    """A program in the place of QEMU: what it says on its standard output is the guest's serial line."""
    variables = tmp_path / "VARS.fd"
    variables.write_bytes(b"variables")
    program = write_program(tmp_path / "qemu", text)
    return Emulator(path=str(program), machine="q35", kvm=True, firmware=Firmware("/CODE.fd", str(variables)))


def test_kernel_that_speaks(tmp_path: Path, image: BaseImage) -> None:
    arguments = tmp_path / "arguments"
    qemu = emulator(
        tmp_path, f'echo "$@" > {shlex.quote(str(arguments))}; printf "Linux ver"; echo "sion 6.1"; sleep 60'
    )
    work = tmp_path / "work"
    work.mkdir()
    started = time.monotonic()
    assert does_kernel_start(image, qemu, VirtType.KVM, work, timeout_seconds=30)
    assert time.monotonic() - started < 20
    text = arguments.read_text()
    assert "-machine q35,accel=kvm -cpu host" in text
    assert "-nic none" in text
    assert f"file={work}/variables.fd" in text
    assert "read-only=on" in text


def test_kernel_that_hangs(tmp_path: Path, image: BaseImage) -> None:
    qemu = emulator(tmp_path, "echo BdsDxe: starting Boot0001; sleep 60")
    started = time.monotonic()
    assert not does_kernel_start(image, qemu, VirtType.KVM, tmp_path, timeout_seconds=0.5)
    assert time.monotonic() - started < 20


def test_emulator_that_refuses(tmp_path: Path, image: BaseImage) -> None:
    qemu = emulator(tmp_path, "echo could not access KVM kernel module >&2; exit 1")
    assert not does_kernel_start(image, qemu, VirtType.KVM, tmp_path, timeout_seconds=30)


def test_emulator_that_is_not_there(tmp_path: Path, image: BaseImage) -> None:
    qemu = dataclasses.replace(emulator(tmp_path, ""), path=str(tmp_path / "none"), firmware=None)
    with pytest.raises(HostError, match="none is not there"):
        does_kernel_start(image, qemu, VirtType.KVM, tmp_path, timeout_seconds=30)


def test_kvm_is_tried_once(tmp_path: Path, image: BaseImage) -> None:
    runs = tmp_path / "runs"
    qemu = emulator(tmp_path, f"echo run >> {shlex.quote(str(runs))}; echo Linux version 6.1")
    for _ in range(2):
        assert kvm_boots(image, qemu, Arch.of_this_machine(), tmp_path / "cache")
    assert runs.read_text() == "run\n"
    other = dataclasses.replace(image, sha256="e" * 64)
    assert kvm_boots(other, qemu, Arch.of_this_machine(), tmp_path / "cache")
    assert runs.read_text() == "run\nrun\n"


def test_only_a_hang_is_remembered(tmp_path: Path, image: BaseImage) -> None:
    runs = tmp_path / "runs"
    for text, expected in (("exit 1", 2), ("exec sleep 60", 3)):
        qemu = emulator(tmp_path, f"echo run >> {shlex.quote(str(runs))}; {text}")
        for _ in range(2):
            assert not kvm_boots(image, qemu, Arch.of_this_machine(), tmp_path / "cache", timeout_seconds=0.5)
        assert len(runs.read_text().splitlines()) == expected


def test_kvm_is_not_tried_where_it_cannot_be(tmp_path: Path, image: BaseImage) -> None:
    qemu = emulator(tmp_path, "echo Linux version 6.1")
    foreign = next(arch for arch in Arch if arch is not Arch.of_this_machine())
    assert not kvm_boots(image, qemu, foreign, tmp_path)
    assert not kvm_boots(image, dataclasses.replace(qemu, kvm=False), Arch.of_this_machine(), tmp_path)
