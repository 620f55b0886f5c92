"""Key rings against gpg itself, and keys that are not what a release names."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iecpod.errors import ImageError
from iecpod.images.fetch.openpgp import key_ring, primary_fingerprints
from iecpod.images.fetch.repository_keys import fetch_key
from iecpod.release.release import AptRepository
from tests.unit.images.fetch.test_image_fetch import Site, site
from tests.unit.images.gpg_keys import Gpg, gpg

__all__ = ["gpg", "site"]

#: A key of version 4 as small as one can be, and its fingerprint by RFC 4880's own words.
BODY = b"\x04\x00\x00\x00\x00\x16"
FINGERPRINT = hashlib.sha1(b"\x99\x00\x06" + BODY).hexdigest().upper()
OLD, NEW = b"\x98\x06" + BODY, b"\xc6\x06" + BODY


@pytest.mark.parametrize("armour", [(), ("--armor",)])
@pytest.mark.parametrize("names", [("first",), ("second",), ("first", "second")])
def test_fingerprints_are_those_of_gpg(gpg: Gpg, names: tuple[str, ...], armour: tuple[str, ...]) -> None:
    assert primary_fingerprints(key_ring(gpg.run(*armour, "--export", *names))) == gpg.fingerprints(*names)


def test_both_forms_of_a_packet_and_newer_versions() -> None:
    assert primary_fingerprints(OLD + NEW) == (FINGERPRINT, FINGERPRINT)
    long = b"\x99\x01\x00" + b"\x04".ljust(256, b"\0"), b"\xc6\xc0\x40" + b"\x04".ljust(256, b"\0")
    assert len(set(primary_fingerprints(b"".join(long)))) == 1
    for version, mark in ((5, b"\x9a"), (6, b"\x9b")):
        body = bytes([version]) + BODY[1:]
        expected = hashlib.sha256(mark + b"\x00\x00\x00\x06" + body).hexdigest().upper()
        assert primary_fingerprints(b"\xc6\xff\x00\x00\x00\x06" + body) == (expected,)


@pytest.mark.parametrize(
    ("ring", "complaint"),
    [
        (b"", "it holds no public key"),
        (b"<html>", "it is no OpenPGP key"),
        (OLD + b"\n", "it is no OpenPGP key"),
        (OLD[:-1], "it ends in the middle of a key"),
        (b"\xb8\x06" + BODY, "it holds something else than public keys"),  # a subkey without its key
        (OLD + b"\x94\x06" + BODY, "it holds something else than public keys"),  # a secret key
        (b"\x9b" + BODY, "a key in it has no length"),
        (b"\xc6\xe1" + BODY, "a key in it has no length"),
        (b"\x98\x06\x03" + BODY[1:], "it holds a key of version 3, whose fingerprints are not secure"),
        (b"\x98\x00", "it holds a key of version 0, whose fingerprints are not secure"),
    ],
)
def test_what_another_reader_could_find_more_in_is_refused(ring: bytes, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        primary_fingerprints(ring)
    assert str(caught.value) == complaint


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: OLD + tail))
def test_any_bytes_are_judged(ring: bytes) -> None:
    try:
        found = primary_fingerprints(ring)
    except ValueError:
        return
    assert found and all(len(fingerprint) in (40, 64) for fingerprint in found)


def repository(key_url: str, *fingerprints: str) -> AptRepository:
    return AptRepository(
        name="lab", uri="http://x", suites=("/",), components=(), key_url=key_url, key_fingerprint=fingerprints
    )


def test_a_fetched_key_is_one_that_the_release_names(site: Site, gpg: Gpg) -> None:
    first, second = gpg.fingerprints("first", "second")
    site.files["/key"] = gpg.run("--armor", "--export", "first")
    ring = gpg.run("--export", "first")
    assert fetch_key(repository(site.url("/key"))) == fetch_key(repository(site.url("/key"), first)) == ring
    for names in ((second,), (first, second)):
        with pytest.raises(ImageError) as caught:
            fetch_key(repository(site.url("/key"), *names))
        assert caught.value.cause == (
            f"{site.url('/key')} holds the keys {first}, and not what the release names for its repository lab: "
            f"{', '.join(names)}"
        )
        assert "--repository-key lab=FILE" in caught.value.remedy


def test_a_key_beside_the_one_that_is_named_is_refused(site: Site, gpg: Gpg) -> None:
    site.files["/key"] = gpg.run("--export", "first", "second")
    with pytest.raises(ImageError, match="and not what the release names"):
        fetch_key(repository(site.url("/key"), gpg.fingerprints("first")[0]))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<html>no key here</html>", "is not a key ring: it is no OpenPGP key"),
        (
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n",
            "is not a key ring: Incorrect padding",
        ),
    ],
)
def test_what_is_no_key_is_refused(site: Site, content: bytes, complaint: str) -> None:
    site.files["/key"] = content
    with pytest.raises(ImageError) as caught:
        fetch_key(repository(site.url("/key"), "0" * 40))
    assert (caught.value.cause, caught.value.remedy) == (
        f"{site.url('/key')} {complaint}",
        "correct `key_url` of the release, or the server",
    )


def test_signing_keys_lose_their_armour() -> None:
    key = bytes(range(256)) * 3
    armour = (
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: GnuPG v1\nComment: x\n\n"
        + base64.encodebytes(key)
        + b"=AbC1\n-----END PGP PUBLIC KEY BLOCK-----\n"
    )
    bare = armour.replace(b"Version: GnuPG v1\nComment: x\n", b"").replace(b"=AbC1\n", b"")
    assert key_ring(key) == key
    assert key_ring(armour) == key
    assert key_ring(b"text before\n" + bare + armour.replace(b"\n", b"\r\n")) == key + key


def test_the_key_of_a_mirror_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key.asc"
    with pytest.raises(ImageError) as caught:
        fetch_key(repository(str(path)))
    assert caught.value.remedy == "correct --repository-key lab"
    path.write_bytes(b"key")
    assert fetch_key(repository(str(path))) == b"key"
