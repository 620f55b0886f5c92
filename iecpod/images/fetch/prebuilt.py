"""Prebuilt images: fetched over HTTP and checked against their SHA256SUMS, or copied from a file."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from iecpod.cache.base_images import FORMATS, NewImage
from iecpod.cache.qcow2 import is_qcow2, names_other_files
from iecpod.errors import ImageError
from iecpod.files.reader import open_regular
from iecpod.http.byte_ranges import Part
from iecpod.http.client import Answer, Size, open_url
from iecpod.http.failures import WebError, WrongSize
from iecpod.images.confinement.tool import read_tool
from iecpod.images.fetch.digest_list_signature import check_signature, missing_for
from iecpod.images.fetch.download import SYSTEM_CLOCK, download, retry
from iecpod.ports import Clock, Reporter

_MIB = 1024 * 1024
_SUMS_LIMIT_BYTES = _MIB
_IMAGE_LIMIT_BYTES = 64 * 1024 * _MIB

#: How images of other formats begin (QEMU's block drivers). Whoever opens a VMDK or VHDX opens files that it names.
_OTHER_FORMATS = {
    b"# Disk DescriptorFile": "VMDK",
    b"KDMV": "VMDK",
    b"COWD": "VMDK",
    b"<<< ": "VDI",
    b"vhdxfile": "VHDX",
    b"conectix": "VHD",
    b"QED\0": "QED",
    b"LUKS\xba\xbe": "LUKS",
    b"WithoutFreeSpace": "Parallels",
    b"WithouFreSpacExt": "Parallels",
}


def fetch_image(
    url: str, sums_url: str, directory: Path, reporter: Reporter, keyring: str = "", *, clock: Clock = SYSTEM_CLOCK
) -> NewImage:
    """Fetches an image into `directory`. Raises `ImageError`, with both digests when they differ.

    `keyring` is the file with the keys that sign the sums; without one, the server is trusted.
    """
    wanted = _find_digest(url, sums_url, reporter, keyring, clock)
    path = directory / "image"
    try:
        digest = _fetch_file(url, path, reporter, clock)
    except WebError as error:
        raise refused(url, error) from error
    if digest != wanted:
        raise ImageError(
            f"{url}: its SHA-256 is {digest}, but {sums_url} says {wanted}",
            "run again; if it stays so, the mirror is not to be trusted: use another one",
        )
    return describe_image(path, url)


def _fetch_file(url: str, path: Path, reporter: Reporter, clock: Clock) -> str:
    """The digest of what was fetched."""
    reported = 0

    def look(received: int, length: int) -> None:
        nonlocal reported
        if length and received * 10 // length > reported:
            reported = received * 10 // length
            reporter.progress(f"fetched {reported * 10} % of {length / _MIB:.1f} MiB")

    def open_part(part: Part) -> AbstractContextManager[Answer]:
        return open_url(url, Size(most_bytes=_IMAGE_LIMIT_BYTES), part=part)

    def notify(message: str) -> None:
        reporter.progress(f"{url}: {message}")

    with path.open("wb") as file:
        return download(open_part, file, clock=clock, notify=notify, look=look)


def fetch_bytes(url: str, *, sha256: str = "", limit_bytes: int = 10 * _MIB, clock: Clock = SYSTEM_CLOCK) -> bytes:
    """A small file, such as a signing key or a manifest; checked where its digest is given. Raises `ImageError`."""

    def request() -> bytes:
        with open_url(url, Size(most_bytes=limit_bytes)) as answer:
            return answer.content()

    try:
        content = retry(request, clock)
    except WebError as error:
        raise refused(url, error) from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise ImageError(
            f"{url}: its SHA-256 is {found}, but the release says {sha256}",
            "run again; if it stays so, find out why upstream changed the file before you change the release",
        )
    return content


def copy_image(location: str, directory: Path) -> NewImage:
    """Copies an image file into `directory`: the store must not change when its owner changes the file."""
    source = Path(location)
    path = directory / "image"
    try:
        with open_regular(source) as content, path.open("wb") as file:
            shutil.copyfileobj(content, file, _MIB)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ImageError(f"there is no image file {source}", "correct `image.location` of the release") from error
    except OSError as error:
        if error.filename != location:
            raise
        raise ImageError(f"{source}: {error.strerror}", "correct `image.location` of the release") from error
    return describe_image(path, location)


def describe_image(path: Path, origin: str) -> NewImage:
    """Format and size. Raises `ImageError` where it is no disk that stands alone."""
    image_format = _find_format(path, origin)
    return NewImage(path, image_format, _find_virtual_size(path, image_format, origin))


def check_image(image: NewImage, origin: str) -> NewImage:
    """The same image, if it is as declared and refers to no other file. Raises `ImageError`."""
    size_bytes = _find_virtual_size(image.path, image.format, origin)
    if size_bytes != image.virtual_size_bytes:
        raise ImageError(
            f"{origin} is a disk of {size_bytes} bytes, not of {image.virtual_size_bytes}",
            "build the bundle again",
        )
    return image


def _find_format(path: Path, origin: str) -> str:
    """One of `FORMATS`, by the first bytes; QEMU is not asked, since it opens what other formats refer to."""
    if is_qcow2(path):
        return "qcow2"
    with open_regular(path) as file:
        start = file.read(max(map(len, _OTHER_FORMATS)))
    for magic, name in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise ImageError(f"{origin} is of format {name}", f"use an image of format {' or '.join(FORMATS)}")
    return "raw"


def _find_virtual_size(path: Path, image_format: str, origin: str) -> int:
    """In bytes. By its header first: QEMU opens a file that holds the data of an image as soon as it looks at that."""
    if not names_other_files(path):
        argv = ["qemu-img", "info", "--output=json", "-f", image_format, str(path)]
        facts: dict[str, Any] = json.loads(read_tool(argv, purpose=f"looking at the image {origin}"))
        details = facts.get("format-specific", {}).get("data", {})
        if not facts.get("backing-filename") and not details.get("data-file"):
            return int(facts["virtual-size"])
    raise ImageError(f"{origin} refers to other files", "make it whole: qemu-img convert -O qcow2 OLD NEW")


def parse_sums(text: str) -> dict[str, str]:
    """Digest by file name of a SHA256SUMS file (coreutils' format, text or binary)."""
    sums = {}
    for line in text.splitlines():
        digest, _, name = line.partition(" ")
        if len(digest) == 64 and name[1:]:
            sums[name[1:].removeprefix("./")] = digest.lower()
    return sums


def _find_digest(url: str, sums_url: str, reporter: Reporter, keyring: str, clock: Clock) -> str:
    content = fetch_bytes(sums_url, limit_bytes=_SUMS_LIMIT_BYTES, clock=clock)
    if keyring:
        _check_sums(content, sums_url, reporter, keyring, clock)
    text = content.decode(errors="replace")
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    sums = parse_sums(text)
    if name not in sums:
        raise ImageError(
            f"{sums_url} does not name {name}, so the image cannot be verified",
            "correct `image.sha256sums` of the release",
        )
    return sums[name]


def _check_sums(content: bytes, sums_url: str, reporter: Reporter, keyring: str, clock: Clock) -> None:
    """Warns where this host cannot check the signature, whose address is that of the sums and `.gpg`."""
    if missing := missing_for(keyring):
        reporter.warn(
            f"the signature of {sums_url} was not checked: {missing}\n"
            "    -> install gpgv and the key ring: Ubuntu has it in ubuntu-keyring; elsewhere, copy the file from there"
        )
        return
    signature = fetch_bytes(f"{sums_url}.gpg", limit_bytes=_SUMS_LIMIT_BYTES, clock=clock)
    check_signature(content, signature, keyring, sums_url)


def refused(url: str, error: WebError) -> ImageError:
    """Why a server did not give what it should have, for people."""
    if error.status or isinstance(error, WrongSize):
        return ImageError(f"{url}: {error}", "correct the address in the release file")
    return ImageError(
        f"{url}: {error}",
        "check network and proxy, and run again; without a network use a release with a bundle, such as debian12",
    )
