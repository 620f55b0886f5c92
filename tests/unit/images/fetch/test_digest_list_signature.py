"""SHA256SUMS and its signature, from a site of our own on loopback, with gpgv itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from iecpod.cache.base_images import NewImage
from iecpod.errors import ImageError
from iecpod.images.fetch.prebuilt import fetch_image
from tests.fakes import RecordingReporter
from tests.unit.images.fetch.test_image_fetch import RAW_DISK, Site, site
from tests.unit.images.gpg_keys import Gpg, gpg

__all__ = ["gpg", "site"]

SUMS, SIGNATURE = "/release/SHA256SUMS", "/release/SHA256SUMS.gpg"


@pytest.fixture
def keyring(gpg: Gpg, tmp_path: Path) -> Path:
    """With the first key alone."""
    if shutil.which("gpgv") is None:
        pytest.skip("gpgv is not installed")
    path = tmp_path / "keyring.gpg"
    path.write_bytes(gpg.run("--export", "first"))
    return path


def fetch(site: Site, tmp_path: Path, keyring: Path | str, reporter: RecordingReporter | None = None) -> NewImage:
    url, sums = site.url("/release/disk.img"), site.url(SUMS)
    return fetch_image(url, sums, tmp_path, reporter or RecordingReporter(), str(keyring))


@pytest.mark.parametrize("names", [("first",), ("first", "second")])
def test_a_signature_by_a_known_key_is_enough(
    site: Site, gpg: Gpg, keyring: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    site.publish("disk.img", RAW_DISK)
    site.files[SIGNATURE] = gpg.sign(site.files[SUMS], *names)
    reporter = RecordingReporter()
    assert fetch(site, tmp_path, keyring, reporter).path.read_bytes() == RAW_DISK
    assert not any(line.startswith("warning") for line in reporter.lines)


def test_what_no_known_key_signed_is_refused_before_the_image_is_fetched(
    site: Site, gpg: Gpg, keyring: Path, tmp_path: Path
) -> None:
    site.publish("disk.img", RAW_DISK)
    sums = site.files[SUMS]
    inline = gpg.run("--sign", "--local-user=first", stdin=sums)
    for signature in (gpg.sign(sums, "second"), gpg.sign(sums + b"\n", "first"), inline, b"no signature"):
        site.files[SIGNATURE] = signature
        with pytest.raises(ImageError) as caught:
            fetch(site, tmp_path, keyring)
        assert caught.value.cause.startswith(f"{site.url(SUMS)} is not signed by a key of {keyring}\ngpgv: ")
        assert not (tmp_path / "image").exists()


def test_a_signature_that_is_not_there_is_no_way_around_it(site: Site, keyring: Path, tmp_path: Path) -> None:
    site.publish("disk.img", RAW_DISK)
    with pytest.raises(ImageError) as caught:
        fetch(site, tmp_path, keyring)
    assert caught.value.cause == f"{site.url(SIGNATURE)}: 404 Not Found"


def test_a_host_that_cannot_check_says_so(
    site: Site, keyring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish("disk.img", RAW_DISK)
    reporter = RecordingReporter()
    fetch(site, tmp_path, "/nowhere/ring.gpg", reporter)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/qemu-img").symlink_to(shutil.which("qemu-img") or "/usr/bin/qemu-img")
    fetch(site, tmp_path, keyring, reporter)
    warnings = [line.partition("\n") for line in reporter.lines if line.startswith("warning")]
    assert [first for first, _, _ in warnings] == [
        f"warning: the signature of {site.url(SUMS)} was not checked: there is no key ring /nowhere/ring.gpg",
        f"warning: the signature of {site.url(SUMS)} was not checked: the program gpgv is not installed",
    ]
    assert {rest for _, _, rest in warnings} == {
        "    -> install gpgv and the key ring: Ubuntu has it in ubuntu-keyring; elsewhere, copy the file from there"
    }


def test_an_image_without_a_key_ring_is_checked_by_its_sums_alone(site: Site, tmp_path: Path) -> None:
    site.publish("disk.img", RAW_DISK)
    reporter = RecordingReporter()
    fetch(site, tmp_path, "", reporter)
    assert not any(line.startswith("warning") for line in reporter.lines)
