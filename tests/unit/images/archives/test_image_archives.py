"""Archives of images from users: every form that is read, and what is refused of hostile ones."""

from __future__ import annotations

import dataclasses
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import PreflightError, UsageError
from iecpod.images.archives.docker_archive import read_image_ids
from iecpod.images.archives.import_archive import check_image_archives, load_image_archive, take_in
from iecpod.model import Arch
from iecpod.release.image_archive import ImageArchive, check_archives, images_recipe
from tests.fakes import RecordingReporter
from tests.image_archives import (
    CALICO,
    Image,
    Packer,
    add_blob,
    docker_files,
    gzipped,
    index_files,
    layer,
    layout_files,
    layout_of,
    plain,
    sha256,
    taken_in,
    tar_of,
    write,
)

ARM = dataclasses.replace(CALICO, architecture="arm64")
OTHER = Image(names=("calico/cni:v3.32.1", "localhost/cni"), layers=(layer(a="1"), layer(c="3")))
FORMS = {
    "docker": docker_files(CALICO, OTHER),
    "docker-gzip-layers": docker_files(dataclasses.replace(CALICO, packed=gzipped)),
    "oci": layout_files(CALICO),
    "oci-gzip-layers": layout_files(dataclasses.replace(CALICO, packed=gzipped)),
    "index": index_files(CALICO.names[0], CALICO, ARM),
}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", RecordingReporter())


def archive_of(cache: Cache, path: Path) -> ImageArchive:
    return load_image_archive(cache.root, take_in(cache, path))


def layers_in(archive: ImageArchive, arch: Arch) -> list[str]:
    """Digests of the layers that nodes are given."""
    with tarfile.open(archive.file(arch)) as tar:
        members = [member for member in tar if member.name.endswith("/layer.tar")]
        return sorted(sha256(file.read()) for member in members if (file := tar.extractfile(member)))


@pytest.mark.parametrize("packed", [plain, gzipped])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_image(cache: Cache, tmp_path: Path, form: str, packed: Packer) -> None:
    archive = archive_of(cache, write(tmp_path, FORMS[form], packed))
    assert CALICO.names[0] in archive.references(Arch.X86_64)
    assert read_image_ids(archive.file(Arch.X86_64))[CALICO.names[0]] == sha256(CALICO.config)
    assert {sha256(content) for content in CALICO.layers} <= set(layers_in(archive, Arch.X86_64))
    assert archive.digest == sha256((tmp_path / "images.tar").read_bytes())


def test_names_are_completed_as_runtimes_do_it_and_layers_are_kept_once(cache: Cache, tmp_path: Path) -> None:
    archive = archive_of(cache, write(tmp_path, docker_files(CALICO, OTHER)))
    names = ("quay.io/calico/node:v3.32.1", "docker.io/calico/cni:v3.32.1", "localhost/cni:latest")
    assert archive.references(Arch.X86_64) == names
    assert len(layers_in(archive, Arch.X86_64)) == 3
    assert set(read_image_ids(archive.file(Arch.X86_64))) == set(names)


def test_a_layer_that_is_a_link_to_another_is_found(cache: Cache, tmp_path: Path) -> None:
    files = docker_files(CALICO, OTHER)
    manifest = json.loads(files["manifest.json"])
    manifest[1]["Layers"][0] = "linked/layer.tar"
    files["manifest.json"] = json.dumps(manifest).encode()

    def link(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo("linked/layer.tar")
        entry.type, entry.linkname = tarfile.SYMTYPE, f"../{sha256(CALICO.layers[0])[:12]}/layer.tar"
        tar.addfile(entry)

    path = tmp_path / "images.tar"
    path.write_bytes(tar_of(files, link))
    archive = archive_of(cache, path)
    assert len(archive.images) == 3 and len(layers_in(archive, Arch.X86_64)) == 3


def test_each_architecture_gets_an_archive_of_its_own(cache: Cache, tmp_path: Path) -> None:
    strange = dataclasses.replace(CALICO, architecture="s390x")
    archive = archive_of(cache, write(tmp_path, index_files(CALICO.names[0], CALICO, ARM, strange)))
    assert read_image_ids(archive.file(Arch.AARCH64)) == {CALICO.names[0]: sha256(ARM.config)}
    assert read_image_ids(archive.file(Arch.X86_64)) == {CALICO.names[0]: sha256(CALICO.config)}
    assert list(check_archives([archive], [*Arch])) == []


def test_an_index_may_name_platforms_that_were_not_saved(cache: Cache, tmp_path: Path) -> None:
    archive = archive_of(cache, write(tmp_path, index_files("quay.io/a/b:1", CALICO, ARM, without=["amd64"])))
    assert [image.arch for image in archive.images] == [Arch.AARCH64]
    (problem,) = check_archives([archive], [Arch.X86_64])
    assert problem.rule == "image-archive-arch"
    assert problem.message.endswith("has images for aarch64, and nodes are x86_64: quay.io/a/b:1")
    assert "docker pull --platform linux/amd64" in problem.remedy


def without(files: dict[str, bytes], part: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if part not in name}


def with_config(**changes: object) -> dict[str, bytes]:
    files = docker_files(CALICO)
    name = next(name for name in files if name.endswith(".json") and name != "manifest.json")
    return {**files, name: json.dumps({**json.loads(CALICO.config), **changes}).encode()}


def forged_blob(part: str) -> dict[str, bytes]:
    """A blob under another's digest."""
    files = layout_files(CALICO)
    contents = {"config": CALICO.config, "layer": CALICO.layers[0]}
    name = f"blobs/sha256/{sha256(contents[part])}"
    return {**files, name: files[name].replace(b"1", b"7")}


def nested_index() -> dict[str, bytes]:
    blobs: dict[str, bytes] = {}
    entry = add_blob(blobs, b'{"manifests": []}')
    for _ in range(5):
        entry = add_blob(blobs, json.dumps({"manifests": [entry]}).encode())
    return layout_of(blobs, [{**entry, "annotations": {"io.containerd.image.name": "quay.io/a/b:1"}}])


def manifest(*entries: object) -> dict[str, bytes]:
    return {**docker_files(CALICO), "manifest.json": json.dumps(list(entries)).encode()}


HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "nothing": ({"a": b""}, "there is neither manifest.json nor index.json in it"),
    "up": ({**docker_files(CALICO), "../../etc/passwd": b"x"}, "the name '../../etc/passwd' leads out of it"),
    "absolute": ({**docker_files(CALICO), "/etc/passwd": b"x"}, "the name '/etc/passwd' leads out of it"),
    "escape": ({**docker_files(CALICO), "a\x1b[2J": b"x"}, r"the name 'a\x1b[2J' leads out of it"),
    "layer-missing": (without(docker_files(CALICO), "layer.tar"), "of quay.io/calico/node:v3.32.1 is not in it"),
    "config-missing": (manifest({"Config": "a.json"}), "'a.json' is not in it, and manifest.json names it"),
    "layer-forged": (forged_blob("layer"), "the digest of blobs/sha256/"),
    "config-forged": (forged_blob("config"), "the digest of blobs/sha256/"),
    "diff-id": (
        with_config(rootfs={"diff_ids": [f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"]}),
        f"and its image requires sha256:{'0' * 64}",
    ),
    "diff-ids-few": (with_config(rootfs={"diff_ids": []}), "does not name the digests of its 2 layers"),
    "diff-ids-odd": (with_config(rootfs={"diff_ids": ["../a", "b"]}), "does not name the digests of its 2 layers"),
    "arch": (
        docker_files(dataclasses.replace(CALICO, architecture="s390x")),
        "no image in it is for x86_64 or aarch64",
    ),
    "no-json": ({**docker_files(CALICO), "manifest.json": b"["}, "manifest.json: not JSON"),
    "json-of-another-form": (manifest({"Config": 1}), "manifest.json: [0].Config: a text is expected, not an integer"),
    "json-deep": ({"manifest.json": b"[" * 1000 + b"]" * 1000}, "nested deeper than 32 levels"),
    "json-large": ({"manifest.json": b" " * (4 * 1024 * 1024 + 1)}, "at most 4194304 are read"),
    "no-name": (docker_files(dataclasses.replace(CALICO, names=())), "has no name"),
    "odd-name": (docker_files(dataclasses.replace(CALICO, names=("a b:1",))), "'a b:1' is not the name of an image"),
    "name-of-a-tag": (layout_files(dataclasses.replace(CALICO, names=("v1",))), "index.json does not name the image"),
    "one-name-twice": (
        docker_files(CALICO, dataclasses.replace(OTHER, names=CALICO.names)),
        "quay.io/calico/node:v3.32.1 for x86_64 is two images in it",
    ),
    "digest-odd": (
        layout_of({}, [{"digest": "sha256:../../x", "annotations": {"io.containerd.image.name": "a/b:1"}}]),
        "manifests[0]: 'sha256:../../x' is no digest of SHA-256",
    ),
    "blob-missing": (
        without(layout_files(CALICO), sha256(CALICO.layers[0])),
        f"sha256:{sha256(CALICO.layers[0])} is not in it, and layers[0] names it",
    ),
    "indexes": (nested_index(), "an index is in an index, and so on"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_as_it_says_is_refused(cache: Cache, tmp_path: Path, name: str) -> None:
    files, why = HOSTILE[name]
    path = write(tmp_path, files)
    with pytest.raises(UsageError) as caught:
        take_in(cache, path)
    assert caught.value.cause.startswith(f"{path} is not an archive of images that can be used: ")
    assert why in caught.value.cause and caught.value.remedy
    assert list((cache.root / "image-archives").glob("*")) == []
    assert not list((cache.root / "work").glob("image-archive*"))


def twice(tar: tarfile.TarFile) -> None:
    tar.addfile(tarfile.TarInfo("manifest.json"))


def sparse(tar: tarfile.TarFile) -> None:
    entry = tarfile.TarInfo("holes")
    entry.type = tarfile.GNUTYPE_SPARSE
    tar.addfile(entry)


def huge(tar: tarfile.TarFile) -> None:
    """It says that it has more than an archive may have, and has nothing."""
    entry = tarfile.TarInfo("huge")
    entry.size = 1 << 40
    tar.addfile(entry)


def many(tar: tarfile.TarFile) -> None:
    for number in range(20_001):
        tar.addfile(tarfile.TarInfo(f"{number}"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (twice, "manifest.json is in it more than once"),
        (sparse, "a file with holes is in it"),
        (huge, "more than 17179869184 bytes"),
        (many, "more than 20000 members"),
    ],
)
def test_a_tar_of_odd_members_is_refused(
    cache: Cache, tmp_path: Path, change: Callable[[tarfile.TarFile], None], why: str
) -> None:
    path = tmp_path / "images.tar"
    path.write_bytes(tar_of(docker_files(CALICO), change))
    with pytest.raises(UsageError, match=why):
        take_in(cache, path)


@pytest.mark.parametrize("packed", [plain, gzipped])
def test_one_that_was_cut_off_is_refused(cache: Cache, tmp_path: Path, packed: Packer) -> None:
    path = write(tmp_path, docker_files(CALICO), packed)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(UsageError, match=r"it ends early|ended before"):
        take_in(cache, path)


def test_a_layer_that_does_not_uncompress_is_refused(cache: Cache, tmp_path: Path) -> None:
    damaged = dataclasses.replace(CALICO, packed=lambda content: gzipped(content)[:-12])
    with pytest.raises(UsageError, match="ended before"):
        take_in(cache, write(tmp_path, docker_files(damaged)))


def test_what_is_no_file_is_refused(cache: Cache, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "is a pipe"),
        (tmp_path / "no", "No such file"),
    ):
        with pytest.raises(UsageError, match=why):
            take_in(cache, path)


def test_an_archive_is_read_once_and_known_by_its_digest(cache: Cache, tmp_path: Path) -> None:
    path = write(tmp_path, docker_files(CALICO))
    digest = take_in(cache, path)
    made = (cache.root / "image-archives" / digest / "images-amd64.tar").stat()
    assert take_in(cache, path) == digest
    path.unlink()
    archive = load_image_archive(cache.root, digest)
    assert archive.file(Arch.X86_64).stat() == made
    check_image_archives(cache, [archive])


def test_an_archive_that_left_the_cache_or_was_changed_there_is_reported(cache: Cache, tmp_path: Path) -> None:
    archive = archive_of(cache, write(tmp_path, docker_files(CALICO)))
    archive.file(Arch.X86_64).write_bytes(b"x")
    with pytest.raises(PreflightError) as caught:
        check_image_archives(cache, [archive])
    (problem,) = caught.value.problems
    assert problem.rule == "image-archive-damaged" and problem.path == f"{archive}: images-amd64.tar"
    with pytest.raises(UsageError) as missing:
        load_image_archive(cache.root, "0" * 64)
    assert missing.value.cause == f"the archive of images sha256:{'0' * 64} is not in the cache any more"
    assert missing.value.remedy == "give the file again with --image-archive"


def test_the_same_images_packed_otherwise_are_the_same(tmp_path: Path) -> None:
    """Nothing is made again for another compression, and everything for another image."""
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, other):
        directory.mkdir()
    plainly = taken_in(one, CALICO)
    packed = taken_in(other, dataclasses.replace(CALICO, packed=gzipped))
    assert plainly.digest != packed.digest
    assert images_recipe([plainly], Arch.X86_64) == images_recipe([packed], Arch.X86_64)
    assert plainly.file(Arch.X86_64).read_bytes() == packed.file(Arch.X86_64).read_bytes()
    assert images_recipe([plainly], Arch.AARCH64) == {} == images_recipe([], Arch.X86_64)
    changed = taken_in(other, dataclasses.replace(CALICO, layers=(layer(a="2"),)))
    assert images_recipe([plainly], Arch.X86_64) != images_recipe([changed], Arch.X86_64)
    (problem,) = check_archives([plainly, changed], [Arch.X86_64])
    assert problem.rule == "image-archive-conflict" and CALICO.names[0] in problem.message
