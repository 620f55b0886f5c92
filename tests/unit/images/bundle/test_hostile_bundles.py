"""Hostile bundles: read in bounded time and memory, or refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import IecpodError, ImageError, PreflightError, UsageError
from iecpod.images.build.release_images import ReleaseImages
from iecpod.images.bundle import transfer
from iecpod.images.bundle.transfer import Fault, StoredBundle, check_taken_in
from iecpod.model import Arch
from iecpod.release.bundle_manifest import MOST_MANIFEST_BYTES, bundle_dir, parse_bundle_manifest, read_bundle_manifest
from iecpod.release.bundled import load_bundled_release
from iecpod.release.release import ProvidedBundle
from tests.fakes import RecordingReporter
from tests.unit.command_line import run
from tests.unit.images.bundle.test_bundles import SCHEMAS, manifest_of

FILES = {"base/image.raw": bytes(1024 * 1024), "debs/a_1_all.deb": b"package", "helm/helm": b"#!/bin/sh\n"}
SECONDS = 5.0


def manifest_bytes(files: Mapping[str, bytes] = FILES, **changes: Any) -> bytes:
    base = {"file": "base/image.raw", "format": "raw", "virtual_size_bytes": len(files["base/image.raw"])}
    data = manifest_of("k8s-1.37", **{"base": base, **changes})
    data["files"] = {
        name: {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }
    return json.dumps(data).encode()


def make_directory(path: Path, files: Mapping[str, bytes] = FILES, **changes: Any) -> Path:
    for name, content in {**files, "manifest.json": manifest_bytes(files, **changes)}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = len(content), kind, link
    tar.addfile(entry, io.BytesIO(content))


def make_archive(
    path: Path, change: Callable[[tarfile.TarFile], None] = lambda tar: None, *, without: str = "", first: bytes = b""
) -> Path:
    """A sound one, without one file, and with what `change` adds at its end."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        add(tar, "manifest.json", first or manifest_bytes())
        for name, content in FILES.items():
            if name != without:
                add(tar, name, content)
        change(tar)
    return path


def new_cache(directory: Path) -> Cache:
    return Cache(directory / "cache", RecordingReporter())


def refused(bundle: Path, directory: Path) -> dict[str, str]:
    """Messages by file; nothing is left in the cache."""
    cache = new_cache(directory)
    with pytest.raises(PreflightError) as caught:
        StoredBundle(bundle).take_in(cache)
    assert not list((cache.root / "bundles").glob("*")) and not list((cache.root / "work").glob("*/"))
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_sound_one_is_taken_in(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    taken = bundle_dir(cache.root, StoredBundle(make_archive(tmp_path / "b.tar")).take_in(cache))
    assert {str(path.relative_to(taken)) for path in taken.rglob("*") if path.is_file()} == {
        *(*FILES, "manifest.json", ".seen.json"),
    }
    assert StoredBundle(make_directory(tmp_path / "b")).take_in(cache) == taken.name
    assert StoredBundle(tmp_path / "b").verify() == StoredBundle(tmp_path / "b.tar").verify() == {}


WITHOUT_HELM = {"without": "helm/helm"}


@pytest.mark.parametrize(
    ("options", "member", "fault"),
    [
        (WITHOUT_HELM, {"name": "helm/helm", "kind": tarfile.SYMTYPE, "link": "/etc/passwd"}, Fault.DAMAGED),
        (WITHOUT_HELM, {"name": "helm/helm", "kind": tarfile.LNKTYPE, "link": "debs/a_1_all.deb"}, Fault.DAMAGED),
        (WITHOUT_HELM, {"name": "helm/helm", "kind": tarfile.CHRTYPE}, Fault.DAMAGED),
        (WITHOUT_HELM, {"name": "helm/helm", "kind": tarfile.FIFOTYPE}, Fault.DAMAGED),
        (WITHOUT_HELM, {"name": "helm/helm", "content": FILES["helm/helm"] + b"x"}, Fault.DAMAGED),
        (WITHOUT_HELM, {"name": "helm/helm", "content": b"#!/bin/su\n"}, Fault.DAMAGED),
        ({}, {"name": "helm/helm", "content": FILES["helm/helm"]}, Fault.REPEATED),
        ({}, {"name": "manifest.json", "content": b"{}"}, Fault.UNEXPECTED),
        ({}, {"name": "../../outside", "content": b"x"}, Fault.UNEXPECTED),
        ({}, {"name": "/tmp/iecpod-was-here", "content": b"x"}, Fault.UNEXPECTED),
        ({}, {"name": "debs/evil.deb", "content": b"x"}, Fault.UNEXPECTED),
        ({}, {"name": "debs/deep/evil.deb", "kind": tarfile.DIRTYPE}, Fault.UNEXPECTED),
        ({}, {"name": "debs/evil.deb", "kind": tarfile.SYMTYPE, "link": "../../.."}, Fault.UNEXPECTED),
    ],
)
def test_members_that_are_not_as_declared(
    tmp_path: Path, options: dict[str, Any], member: dict[str, Any], fault: Fault
) -> None:
    archive = make_archive(tmp_path / "b.tar", lambda tar: add(tar, **member), **options)
    assert StoredBundle(archive).verify() == {member["name"]: fault}
    assert refused(archive, tmp_path).keys() == {member["name"]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "cache"]
    assert not Path("/tmp/iecpod-was-here").exists()


def test_directories_of_a_bundle_may_be_members(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "b.tar", lambda tar: add(tar, "debs/", kind=tarfile.DIRTYPE))
    assert StoredBundle(archive).verify() == {}


def sparse_archive(directory: Path, form: str) -> Path:
    """helm/helm as GNU tar writes a file with holes: of ten bytes in the archive, and as large as it likes outside."""
    make_directory(directory / "b")
    (directory / "b/helm/helm").unlink()
    with (directory / "b/helm/helm").open("wb") as file:
        file.write(b"#!/bin/sh\n")
        file.truncate(1 << 33)
    members = ["manifest.json", *(name for name in FILES if name != "helm/helm"), "helm/helm"]
    options = ["--sparse", *(["--format=gnu"] if form == "gnu" else ["--format=pax", f"--sparse-version={form}"])]
    subprocess.run(["tar", *options, "-cf", directory / "b.tar", "-C", directory / "b", *members], check=True)
    assert (directory / "b.tar").stat().st_size < 2 * 1024 * 1024
    return directory / "b.tar"


@pytest.mark.parametrize("form", ["gnu", "0.0", "0.1", "1.0"])
def test_a_file_with_holes_is_none(tmp_path: Path, form: str) -> None:
    assert StoredBundle(sparse_archive(tmp_path, form)).verify() == {"helm/helm": Fault.DAMAGED}


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    fields = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size.ljust(12, b"\0") + b"00000000000\0"
    block = bytearray(fields + b" " * 8 + kind + bytes(100) + b"ustar\x0000" + bytes(247))
    block[148:156] = b"%06o\0 " % sum(block)
    assert len(block) == 512
    return bytes(block)


def number(value: int) -> bytes:
    """As GNU tar writes what is too large for octal digits, or negative."""
    return struct.pack(">B", 0x80 if value >= 0 else 0xFF) + value.to_bytes(11, "big", signed=True)


@pytest.mark.parametrize(
    "tail",
    [
        header(b"helm/helm", number(-512)),
        header(b"helm/helm", number(-(1 << 60))),
        header(b"helm/helm", number(1 << 80)),
        header(b"helm/helm", b"99999999999"),
        header(b"x", number(1 << 40), b"L"),
        header(b"x", number(-1), b"x"),
        header(b"x", number(1 << 40), b"g"),
        header(b"x", b"00000000004\0", b"L") * 5000,
        (header(b"x", b"00000000017\0", b"x") + b"17 size=-99999999\n"[:15].ljust(512, b"\0")) * 5000,
        b"\xff" * 2048,
        b"helm" * 4096,
    ],
    ids=["before", "far before", "beyond", "no octal", "long name", "pax", "global", "names", "chain", "ones", "text"],
)
def test_headers_that_lead_nowhere_end_the_archive(tmp_path: Path, tail: bytes) -> None:
    archive = make_archive(tmp_path / "b.tar", without="helm/helm")
    content = archive.read_bytes().rstrip(b"\0")
    archive.write_bytes(content.ljust(-(-len(content) // 512) * 512, b"\0") + tail)
    started = time.monotonic()
    faults = StoredBundle(archive).verify()
    assert faults["helm/helm"] in (Fault.MISSING, Fault.DAMAGED)
    assert "helm/helm" in refused(archive, tmp_path)
    assert time.monotonic() - started < SECONDS


def test_sparse_extensions_without_end_are_not_collected(tmp_path: Path) -> None:
    """Each block of them becomes 21 pairs of numbers."""
    archive = make_archive(tmp_path / "b.tar", without="helm/helm")
    block = bytearray(header(b"helm/helm", b"00000000000\0", b"S"))
    block[482], block[148:156] = 1, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    extension = b"00000000001\0" * 42 + b"\1" + bytes(7)
    content = archive.read_bytes().rstrip(b"\0")
    archive.write_bytes(content.ljust(-(-len(content) // 512) * 512, b"\0") + bytes(block) + extension * 20_000)
    assert StoredBundle(archive).verify()["helm/helm"] in (Fault.MISSING, Fault.DAMAGED)


def test_the_manifest_stands_first(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        add(tar, "helm/helm", FILES["helm/helm"])
        add(tar, "manifest.json", manifest_bytes())
    with pytest.raises(UsageError, match=r"b\.tar is not a bundle"):
        StoredBundle(tmp_path / "b.tar").manifest()


def nested(depth: int) -> bytes:
    return manifest_bytes().replace(b'"recipe": {}', b'"recipe": ' + b"[" * depth + b"]" * depth)


SOUND = manifest_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{" * 100_000,
        nested(5000),
        nested(1_000_000),
        SOUND.replace(b'"recipe"', b'"facts": {}, "recipe"'),
        SOUND.replace(b'"recipe": {}', b'"recipe": NaN'),
        SOUND.replace(b'"recipe": {}', b'"recipe": "\\u001b[2J"'),
        SOUND.replace(b'"recipe": {}', b'"recipe": "\\u202e"'),
        SOUND.replace(b'"recipe": {}', b'"recipe": "\\ud800"'),
        SOUND.replace(b'"recipe": {}', b'"recipe": "\\u009d"'),
        SOUND.replace(b'"recipe": {}', b'"recipe": {"\\u0007": 1}'),
        SOUND.replace(b'"bundle_version": 1', b'"bundle_version": true'),
        SOUND.replace(b'"bundle_version": 1', b'"bundle_version": "2"'),
        SOUND.replace(b'"bundle_version": 1', b'"bundle_version": 1.0'),
        SOUND + b" " * MOST_MANIFEST_BYTES,
        SOUND.decode().encode("utf-16"),
        SOUND.replace(b'"size_bytes": 7', b'"size_bytes": -7'),
        SOUND.replace(b'"size_bytes": 7', b'"size_bytes": 7.0'),
        SOUND.replace(b'"size_bytes": 7', b'"size_bytes": ' + b"7" * 10_000),
        SOUND.replace(b'"format": "raw"', b'"format": "vmdk"'),
        SOUND.replace(b'"images": []', b'"images": {"a": 1}'),
        SOUND.replace(b'"images": []', b'"images": [["reference"]]'),
        SOUND.replace(b"debs/a_1_all.deb", b'debs/a\\" sif'),
        SOUND.replace(b"debs/a_1_all.deb", b"debs/" + b"a" * 300),
        SOUND.replace(b"debs/a_1_all.deb", b"debs/a b"),
        manifest_bytes(release=[["name", "x"]]),
        manifest_bytes(release="x"),
        manifest_bytes(arch=["x86_64"]),
        manifest_bytes(images=[{"reference": "a\nb", "file": "helm/helm", "image_id": "0" * 64, "digest": ""}]),
        manifest_bytes(images=[{"reference": 5, "file": "helm/helm", "image_id": "0" * 64, "digest": ""}]),
    ],
)
def test_a_manifest_of_odd_form_is_that_of_no_bundle(tmp_path: Path, content: bytes) -> None:
    assert content != SOUND
    (tmp_path / "b").mkdir()
    (tmp_path / "b/manifest.json").write_bytes(content)
    make_archive(tmp_path / "b.tar", first=content or b" ")
    started = time.monotonic()
    for name in ("b", "b.tar"):
        for verb in ("show", "verify"):
            error = run(tmp_path, "bundle", verb, name).exception
            assert isinstance(error, UsageError) and error.cause == f"{name} is not a bundle"
    assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize("release", [{}, {"name": ["x"], "helm": "3"}, {"helm": {"version": {}}}])
def test_a_release_of_odd_form_can_be_shown_and_is_not_deployed(tmp_path: Path, release: object) -> None:
    make_directory(tmp_path / "b", release=release)
    shown = run(tmp_path, "bundle", "show", "b", "-o", "json")
    assert shown.exit_code == 0 and json.loads(shown.stdout)["helm"] == ""
    error = run(tmp_path, "plan", "-l", "local", "-p", "virtual1", "--bundle", "b").exception
    assert isinstance(error, IecpodError) and error.exit_code == 3


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_what_is_neither_directory_nor_file_is_refused_at_once(tmp_path: Path, verb: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for path in ("fifo", "link", "/dev/zero", "/dev/tty"):
        error = run(tmp_path, "bundle", verb, path).exception
        assert isinstance(error, UsageError) and error.cause == f"{path} is neither a directory nor a file"


def test_a_directory_is_read_without_its_links(tmp_path: Path) -> None:
    """That a directory is a link shows in no single file."""
    make_directory(tmp_path / "b")
    (tmp_path / "b/debs").rename(tmp_path / "elsewhere")
    (tmp_path / "b/debs").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "b/helm/helm").unlink()
    os.mkfifo(tmp_path / "b/helm/helm")
    assert StoredBundle(tmp_path / "b").verify() == {
        "debs": Fault.UNEXPECTED,
        "debs/a_1_all.deb": Fault.MISSING,
        "helm/helm": Fault.DAMAGED,
    }
    assert refused(tmp_path / "b", tmp_path).keys() == {"debs/a_1_all.deb", "helm/helm"}
    (tmp_path / "b/manifest.json").rename(tmp_path / "manifest")
    (tmp_path / "b/manifest.json").symlink_to(tmp_path / "manifest")
    with pytest.raises(UsageError, match="b is not a bundle"):
        StoredBundle(tmp_path / "b").manifest()


def test_the_path_of_a_bundle_may_be_a_link(tmp_path: Path) -> None:
    make_directory(tmp_path / "b")
    (tmp_path / "current").symlink_to("b")
    assert StoredBundle(tmp_path / "current").verify() == {}


def test_names_of_an_archive_are_printed_as_text(tmp_path: Path) -> None:
    make_archive(tmp_path / "b.tar", lambda tar: add(tar, "\x1b[2J\n\udc80"))
    lines = run(tmp_path, "bundle", "verify", "b.tar").stdout.splitlines()
    assert lines == [r"unexpected '\x1b[2J\n\udc80'"]


def test_the_manifest_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was parsed is what is kept, whatever its owner does to the file meanwhile."""
    bundle = make_directory(tmp_path / "b")
    content = (bundle / "manifest.json").read_bytes()

    def parse_and_change(read: bytes, origin: str) -> object:
        (bundle / "manifest.json").write_bytes(b"{}")
        return parse_bundle_manifest(read, origin)

    monkeypatch.setattr(transfer, "parse_bundle_manifest", parse_and_change)
    cache = new_cache(tmp_path)
    digest = StoredBundle(bundle).take_in(cache)
    assert digest == hashlib.sha256(content).hexdigest()
    assert (bundle_dir(cache.root, digest) / "manifest.json").read_bytes() == content


def provided(cache: Cache, digest: str) -> ProvidedBundle:
    path = bundle_dir(cache.root, digest)
    return ProvidedBundle(path=path, manifest=read_bundle_manifest(path))


def test_a_manifest_that_was_rewritten_in_the_cache_is_not_read(tmp_path: Path) -> None:
    """With all files as it says, and the notes of what was seen of them."""
    cache = new_cache(tmp_path)
    digest = StoredBundle(make_directory(tmp_path / "b")).take_in(cache)
    taken = provided(cache, digest)
    files = {**FILES, "debs/a_1_all.deb": b"other package"}
    other = provided(cache, StoredBundle(make_directory(tmp_path / "other", files)).take_in(cache))
    for name in ("manifest.json", "debs/a_1_all.deb", ".seen.json"):
        (taken.path / name).unlink()
        os.link(other.path / name, taken.path / name)
    with pytest.raises(PreflightError) as caught:
        read_bundle_manifest(taken.path)
    assert [(problem.path, problem.rule) for problem in caught.value.problems] == [("manifest.json", "bundle-damaged")]
    assert caught.value.remedy == "give it again with --bundle"
    assert [problem.path for problem in check_taken_in(cache, taken)] == ["manifest.json"]
    StoredBundle(make_directory(tmp_path / "again")).take_in(cache)
    assert check_taken_in(cache, provided(cache, digest)) == ()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda path: (path / "debs/evil_1_all.deb").write_bytes(b""), "debs/evil_1_all.deb"),
        (lambda path: (path / "debs/evil").mkdir() or (path / "debs/evil/x").write_bytes(b""), "debs/evil/x"),
        (
            lambda path: (path / "helm/helm").rename(path.parent / "x") and (path / "helm/helm").symlink_to("../../x"),
            "helm/helm",
        ),
    ],
)
def test_what_was_put_into_a_bundle_in_the_cache_is_found(
    tmp_path: Path, change: Callable[[Path], object], found: str
) -> None:
    cache = new_cache(tmp_path)
    taken = provided(cache, StoredBundle(make_directory(tmp_path / "b")).take_in(cache))
    change(taken.path)
    assert [problem.path for problem in check_taken_in(cache, taken)] == [found]


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["-b", "/etc/hostname", "-F", "raw"], "base/image.raw of the bundle refers to other files"),
        (["-o", "data_file=outside.raw"], "base/image.raw of the bundle refers to other files"),
        (["-o", "size=2M"], "base/image.raw of the bundle is a disk of 2097152 bytes, not of 1048576"),
    ],
)
def test_a_base_image_is_a_disk_that_stands_alone(tmp_path: Path, options: list[str], cause: str) -> None:
    """QEMU would give guests what the image names."""
    argv = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        *options,
        "image.qcow2",
        *([] if "size=2M" in options else ["1M"]),
    ]
    subprocess.run(argv, cwd=tmp_path, check=True)
    base = {"file": "base/image.raw", "format": "qcow2", "virtual_size_bytes": 1 << 20}
    files = {**FILES, "base/image.raw": (tmp_path / "image.qcow2").read_bytes()}
    cache = new_cache(tmp_path)
    bundle = provided(cache, StoredBundle(make_directory(tmp_path / "b", files, base=base)).take_in(cache))
    release = load_bundled_release(bundle.manifest, bundle.path, SCHEMAS)
    with pytest.raises(ImageError) as caught:
        ReleaseImages(release, cache.root, "", cache.reporter, baked=False).ensure(Arch.X86_64)
    assert caught.value.cause == cause


def test_a_base_image_is_of_the_kind_of_its_release(tmp_path: Path) -> None:
    base = {"file": "base/image.raw", "format": "", "virtual_size_bytes": 0}
    manifest = parse_bundle_manifest(manifest_bytes(base=base), "b")
    with pytest.raises(UsageError, match="its base image is not of the kind that its release says"):
        load_bundled_release(manifest, tmp_path, SCHEMAS)
