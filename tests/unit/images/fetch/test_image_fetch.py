"""Images and small files over HTTP, from a server on the loopback; and from files."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from iecpod.design.manifest_text import ManifestText
from iecpod.errors import ImageError
from iecpod.images.fetch.manifests import load_manifest
from iecpod.images.fetch.prebuilt import copy_image, describe_image, fetch_bytes, fetch_image, parse_sums
from iecpod.release.release import Manifest
from tests.fakes import FakeClock, RecordingReporter

#: A disk of one megabyte, as `truncate` makes it.
RAW_DISK = bytes(1024 * 1024)


def make_qcow2(backing: bytes = b"") -> bytes:
    """An empty qcow2 version 2 image of 1 MiB: header, L1 table, refcount table and block (QEMU, interop/qcow2)."""
    cluster = 65536
    offset = 72 if backing else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, offset, len(backing), 16, 1 << 20, 0, 1, 3 * cluster, cluster, 1, 0, 0
    )
    refcounts = struct.pack(">4H", 1, 1, 1, 1).ljust(cluster, b"\0")
    return (
        (header + backing).ljust(cluster, b"\0")
        + struct.pack(">Q", 2 * cluster).ljust(cluster, b"\0")
        + refcounts
        + bytes(cluster)
    )


class Site:
    """Files by path, served on the loopback; `cut` ends the connection half-way."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = False
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = site.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if site.cut else content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def publish(self, name: str, content: bytes, digest: str = "") -> tuple[str, str]:
        """Addresses of the file and of its SHA256SUMS."""
        self.files[f"/release/{name}"] = content
        digest = digest or hashlib.sha256(content).hexdigest()
        self.files["/release/SHA256SUMS"] = f"{'0' * 64} *other.img\n{digest} *{name}\n".encode()
        return self.url(f"/release/{name}"), self.url("/release/SHA256SUMS")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever)
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()


def test_image_is_fetched_and_described(site: Site, tmp_path: Path) -> None:
    reporter = RecordingReporter()
    image = fetch_image(*site.publish("disk.img", make_qcow2()), tmp_path, reporter)
    assert (image.format, image.virtual_size_bytes) == ("qcow2", 1024 * 1024)
    assert image.path.read_bytes() == make_qcow2()
    assert reporter.lines[-1] == "fetched 100 % of 0.2 MiB"


def test_wrong_digest_names_both(site: Site, tmp_path: Path) -> None:
    url, sums = site.publish("disk.img", RAW_DISK, digest="a" * 64)
    with pytest.raises(ImageError) as caught:
        fetch_image(url, sums, tmp_path, RecordingReporter())
    found = hashlib.sha256(RAW_DISK).hexdigest()
    assert caught.value.cause == f"{url}: its SHA-256 is {found}, but {sums} says {'a' * 64}"
    assert caught.value.remedy.startswith("run again")


def test_file_that_the_sums_do_not_name(site: Site, tmp_path: Path) -> None:
    url, sums = site.publish("disk.img", RAW_DISK)
    with pytest.raises(ImageError, match=r"does not name else\.img"):
        fetch_image(url.replace("disk", "else"), sums, tmp_path, RecordingReporter())


def test_broken_connection_is_found(site: Site, tmp_path: Path) -> None:
    url, sums = site.publish("disk.img", RAW_DISK)
    site.cut = True
    with pytest.raises(ImageError, match="SHA256SUMS: the connection ended after 75 of 151 bytes"):
        fetch_image(url, sums, tmp_path, RecordingReporter(), clock=FakeClock())
    with pytest.raises(ImageError, match="the connection ended after 524288 of 1048576 bytes"):
        fetch_bytes(url, clock=FakeClock())


def test_missing_file(site: Site) -> None:
    url = site.url("/nowhere")
    with pytest.raises(ImageError) as caught:
        fetch_bytes(url)
    assert caught.value.cause == f"{url}: 404 Not Found"
    assert caught.value.remedy == "correct the address in the release file"


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
    with pytest.raises(ImageError, match="Connection refused") as caught:
        fetch_bytes(url, clock=FakeClock())
    assert "check network and proxy" in caught.value.remedy


@pytest.mark.parametrize("address", ["nonsense", "file:///etc/passwd", "data:,x", "ftp://127.0.0.1/x", "FILE:///x", ""])
def test_no_address_of_a_server(address: str, tmp_path: Path) -> None:
    for fetch in (lambda: fetch_bytes(address), lambda: fetch_image(address, address, tmp_path, RecordingReporter())):
        with pytest.raises(ImageError, match="its address begins neither with http:// nor with https://"):
            fetch()


def test_pinned_file(site: Site) -> None:
    site.files["/key"] = b"key"
    url, digest = site.url("/key"), hashlib.sha256(b"key").hexdigest()
    assert fetch_bytes(url) == fetch_bytes(url, sha256=digest) == b"key"
    with pytest.raises(ImageError) as caught:
        fetch_bytes(url, sha256="b" * 64)
    assert caught.value.cause == f"{url}: its SHA-256 is {digest}, but the release says {'b' * 64}"


def test_file_that_never_ends(site: Site) -> None:
    site.files["/key"] = b"x" * 11
    with pytest.raises(ImageError, match="has more than 10 bytes"):
        fetch_bytes(site.url("/key"), limit_bytes=10)


def test_a_manifest_of_the_lab_is_a_plain_file_of_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    manifest = Manifest(name="etcd", url="http://nowhere.invalid/etcd.yaml", file=str(path))
    for cause in ("It is a pipe, not a file", "It has more than 10485760 bytes"):
        if "pipe" in cause:
            os.mkfifo(path)
        else:
            path.unlink()
            path.touch()
            os.truncate(path, 1 << 40)
        with pytest.raises(ImageError) as caught:
            load_manifest(manifest, tmp_path, RecordingReporter())
        assert caught.value.cause == f"{path}: {cause}"


def test_sums_in_either_form() -> None:
    text = f"{'A' * 64} *binary.img\n{'b' * 64}  ./text.img\nno digest\n\n"
    assert parse_sums(text) == {"binary.img": "a" * 64, "text.img": "b" * 64}


def test_image_file_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "source.img"
    source.write_bytes(make_qcow2())
    work = tmp_path / "work"
    work.mkdir()
    image = copy_image(str(source), work)
    assert image.path.parent == work
    assert image.path.read_bytes() == source.read_bytes()


def test_missing_image_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"there is no image file {tmp_path}/none"):
        copy_image(f"{tmp_path}/none", tmp_path)


def test_image_on_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(make_qcow2(b"/etc/hostname"))
    with pytest.raises(ImageError) as caught:
        describe_image(path, "the image")
    assert caught.value.cause == "the image refers to other files"


VMDK = b"""# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicFlat"
RW 2048 FLAT "OTHER" 0
"""


@pytest.mark.parametrize(
    ("start", "name"),
    [(VMDK, "VMDK"), (b"KDMV\1\0\0\0", "VMDK"), (b"<<< Oracle VM", "VDI"), (b"vhdxfile", "VHDX"), (b"QED\0", "QED")],
)
def test_qemu_img_does_not_see_images_of_other_formats(
    monkeypatch: pytest.MonkeyPatch, site: Site, tmp_path: Path, start: bytes, name: str
) -> None:
    """A VMDK names the files that hold its data, which QEMU opens at once: any file of this host, as root."""
    monkeypatch.setenv("PATH", "")  # no program can be started
    other = tmp_path / "other"
    other.write_bytes(RAW_DISK)
    content = start.replace(b"OTHER", bytes(other)).ljust(4096, b"\0")
    url, sums = site.publish("disk.img", content)
    (tmp_path / "source").write_bytes(content)
    (tmp_path / "work").mkdir()
    ways: dict[str, Callable[[], object]] = {
        url: lambda: fetch_image(url, sums, tmp_path / "work", RecordingReporter()),
        f"{tmp_path}/source": lambda: copy_image(f"{tmp_path}/source", tmp_path / "work"),
    }
    for origin, load in ways.items():
        with pytest.raises(ImageError) as caught:
            load()
        assert caught.value.cause == f"{origin} is of format {name}"
        assert caught.value.remedy == "use an image of format qcow2 or raw"


def test_qemu_img_never_guesses_the_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A line before the descriptor hides it from no reader but ours: QEMU skips comments and empty lines."""
    seen: list[list[str]] = []

    def read_tool(argv: list[str], *, purpose: str) -> str:
        seen.append(argv)
        return '{"virtual-size": 1}'

    monkeypatch.setattr("iecpod.images.fetch.prebuilt.read_tool", read_tool)
    for content, wanted in ((b"\n" + VMDK, "raw"), (make_qcow2(), "qcow2"), (b"", "raw")):
        (tmp_path / "disk").write_bytes(content)
        assert describe_image(tmp_path / "disk", "the image").format == wanted
        assert seen.pop() == ["qemu-img", "info", "--output=json", "-f", wanted, f"{tmp_path}/disk"]


def test_raw_image_is_distinguished_from_qcow2(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(RAW_DISK)
    assert describe_image(path, "the image").format == "raw"


def test_a_manifest_is_fetched_once_and_kept(site: Site, tmp_path: Path) -> None:
    site.files["/calico.yaml"] = b"kind: x\n"
    url = site.url("/calico.yaml")
    manifest = Manifest(name="calico", url=url, sha256=hashlib.sha256(b"kind: x\n").hexdigest())
    reporter = RecordingReporter()
    assert load_manifest(manifest, tmp_path, reporter) == ManifestText(url, b"kind: x\n")
    del site.files["/calico.yaml"]
    assert load_manifest(manifest, tmp_path, reporter) == ManifestText(url, b"kind: x\n")
    assert reporter.lines == [f"fetching {url}"]


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(site: Site, tmp_path: Path) -> None:
    site.files["/calico.yaml"] = b"kind: other\n"
    with pytest.raises(ImageError, match="its SHA-256 is"):
        load_manifest(
            Manifest(name="calico", url=site.url("/calico.yaml"), sha256="0" * 64), tmp_path, RecordingReporter()
        )
    with pytest.raises(ImageError, match="has no digest"):
        load_manifest(Manifest(name="calico", url=site.url("/calico.yaml")), tmp_path, RecordingReporter())


def test_a_manifest_may_be_a_file_of_the_lab(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    manifest = Manifest(name="etcd", url="http://nowhere.invalid/etcd.yaml", file=str(path))
    with pytest.raises(ImageError) as caught:
        load_manifest(manifest, tmp_path, RecordingReporter())
    assert caught.value.remedy == "correct the file given for --manifest etcd"
    path.write_bytes(b"kind: x\n")
    assert load_manifest(manifest, tmp_path, RecordingReporter()) == ManifestText(str(path), b"kind: x\n")
