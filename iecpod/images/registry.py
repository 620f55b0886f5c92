"""Images from registries: by tag to a digest, by digest to bytes that are checked.

Sources: OCI Distribution Specification 1.0, Docker's "Token Authentication", Docker Image Manifest V2 Schema 2.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from iecpod.design.supply import DOCKER_HUB, registry_server
from iecpod.errors import ImageError
from iecpod.model import Arch
from iecpod.web import leads_on, open_url

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_REFERENCE = re.compile(
    r"(?P<registry>[a-z0-9.-]+(?::[0-9]+)?)/(?P<name>[a-z0-9._/-]+):(?P<tag>[A-Za-z0-9._-]+)"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_MANIFEST_LIMIT_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_STALLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryImage:
    """An image for one architecture; `digest` is that of its manifest, `base` the address that it was found below."""

    reference: str
    digest: str
    base: str
    config_digest: str
    layer_digests: tuple[str, ...]


def full_reference(name: str) -> str:
    """With registry and tag, as container runtimes complete a name that lacks them."""
    first, slash, rest = name.partition("/")
    if not slash:
        name = f"{DOCKER_HUB}/library/{name}"
    elif not ({".", ":"} & set(first)) and first != "localhost":
        name = f"{DOCKER_HUB}/{first}/{rest}"
    return name if {":", "@"} & set(name.rpartition("/")[2]) else f"{name}:latest"


class Registries:
    """Reads registries; `mirrors` are URLs by registry, each asked before the registry itself.

    A mirror with a path of its own holds the registry's `/v2`. Proxies are those of this process' environment.
    """

    def __init__(self, mirrors: Mapping[str, str]) -> None:
        self._mirrors = mirrors
        self._tokens: dict[str, str] = {}

    def find(self, reference: str, arch: Arch) -> RegistryImage:
        """The image of that digest, or without one the image that the tag stands for now.

        Raises `ImageError` that tells what each server said.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise ImageError(
                f"{reference} is not the name of an image: REGISTRY/NAME:TAG",
                "bundles hold images by registry and tag; correct the release or its manifest",
            )
        refusals = []
        for base in self._bases(match["registry"], match["name"]):
            try:
                return self._find_at(base, reference, match["digest"] or match["tag"], arch)
            except ImageError as error:
                refusals.append(error.cause)
        raise ImageError("; ".join(refusals), "check network, proxy and --registry-mirror, and the name of the image")

    def read_blob(self, image: RegistryImage, digest: str) -> bytes:
        return b"".join(self._read(f"{image.base}/blobs/{digest}", digest))

    def fetch_blob(self, image: RegistryImage, digest: str, path: Path) -> None:
        """Writes a blob to `path`. Raises `ImageError` where it is not what its digest says."""
        with path.open("wb") as file:
            for chunk in self._read(f"{image.base}/blobs/{digest}", digest):
                file.write(chunk)

    def _bases(self, registry: str, name: str) -> Iterator[str]:
        for url in (self._mirrors.get(registry), registry_server(registry)):
            if url:
                yield f"{url.rstrip('/')}{'' if urlsplit(url).path.strip('/') else '/v2'}/{name}"

    def _find_at(self, base: str, reference: str, tag: str, arch: Arch) -> RegistryImage:
        digest, manifest = self._read_manifest(base, tag)
        if manifest.get("mediaType") in _INDEXES or "manifests" in manifest:
            digest, manifest = self._read_manifest(base, _select_platform(manifest, reference, arch))
        try:
            config = str(manifest["config"]["digest"])
            layers = tuple(str(layer["digest"]) for layer in manifest["layers"])
        except (KeyError, TypeError):
            raise ImageError(
                f"{base}: the manifest of {tag} is of an old form", "push the image anew, by a registry of today"
            ) from None
        if not all(_DIGEST.fullmatch(digest) for digest in (config, *layers)):
            raise ImageError(f"{base}: the manifest of {tag} names blobs by other digests than SHA-256")
        found = RegistryImage(reference=reference, digest=digest, base=base, config_digest=config, layer_digests=layers)
        self._check_arch(found, arch)
        return found

    def _check_arch(self, image: RegistryImage, arch: Arch) -> None:
        """An image without an index is of one architecture, whichever is asked for."""
        found = json.loads(self.read_blob(image, image.config_digest)).get("architecture")
        if found != arch.debian:
            raise ImageError(
                f"{image.base}: {image.reference} is for {found}, not for {arch.debian}",
                "name an image of that architecture in the release",
            )

    def _read_manifest(self, base: str, reference: str) -> tuple[str, dict[str, Any]]:
        wanted = reference if _DIGEST.fullmatch(reference) else ""
        content = b"".join(self._read(f"{base}/manifests/{reference}", wanted, limit_bytes=_MANIFEST_LIMIT_BYTES))
        try:
            manifest = json.loads(content)
        except ValueError:
            manifest = None
        if not isinstance(manifest, dict):
            raise ImageError(f"{base}/manifests/{reference} is not a manifest")
        return f"sha256:{hashlib.sha256(content).hexdigest()}", manifest

    def _read(self, url: str, digest: str, limit_bytes: int = 0) -> Iterator[bytes]:
        """Pieces of what is there; raises `ImageError` at the end where it is not what `digest` says."""
        found, received = hashlib.sha256(), 0
        with _explained(url), self._open(url) as answer:
            length = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK_BYTES):
                found.update(chunk)
                received += len(chunk)
                if limit_bytes and received > limit_bytes:
                    raise ImageError(f"{url} has more than {limit_bytes} bytes")
                yield chunk
        if received < length:
            raise ImageError(f"{url}: the connection ended after {received} of {length} bytes", "run again")
        if digest and f"sha256:{found.hexdigest()}" != digest:
            raise ImageError(
                f"{url}: its digest is sha256:{found.hexdigest()}", "run again; if it stays so, do not trust the server"
            )

    def _open(self, url: str) -> http.client.HTTPResponse:
        scope = url.rpartition("/")[0].rpartition("/")[0]
        try:
            return _open(url, self._tokens.get(scope, ""))
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            if error.code != 401 or not challenge.lower().startswith("bearer "):
                raise
        self._tokens[scope] = _fetch_token(url, dict(_CHALLENGE.findall(challenge)))
        return _open(url, self._tokens[scope])


def _select_platform(index: Mapping[str, Any], reference: str, arch: Arch) -> str:
    for entry in index.get("manifests", ()):
        platform = entry.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == ("linux", arch.debian):
            digest = str(entry["digest"])
            if not _DIGEST.fullmatch(digest):  # it becomes part of an address
                raise ImageError(f"the list of {reference} names a manifest by another digest than SHA-256")
            return digest
    raise ImageError(f"{reference} is not there for {arch.debian}", "name an image of that architecture in the release")


def _fetch_token(url: str, challenge: Mapping[str, str]) -> str:
    """What anybody gets, without a password."""
    realm = challenge.get("realm", "")
    if not leads_on(url, realm):
        raise ImageError(f"{url} wants a password", "use a registry or mirror that anybody may read")
    query = urlencode({key: challenge[key] for key in ("service", "scope") if key in challenge})
    with _open(f"{realm}?{query}", "") as answer:
        told = json.loads(answer.read(_MANIFEST_LIMIT_BYTES))
    return str(told.get("token") or told.get("access_token") or "")


def _open(url: str, token: str) -> http.client.HTTPResponse:
    """The servers that blobs are often led on to refuse a token that is not meant for them."""
    headers = {"Accept": ", ".join((*_INDEXES, *_MANIFESTS))}
    return open_url(url, timeout_seconds=_STALLED_SECONDS, headers=headers, token=token)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        raise ImageError(f"{url}: {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as error:
        raise ImageError(f"{url}: {getattr(error, 'reason', '') or error}") from error
