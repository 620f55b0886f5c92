"""Images from registries: by tag to a digest, by digest to bytes that are checked.

Sources: OCI Distribution Specification 1.0, Docker's "Token Authentication", Docker Image Manifest V2 Schema 2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from iecpod.errors import ImageError
from iecpod.http.byte_ranges import WHOLE, Part
from iecpod.http.client import Answer, Size, leads_on, open_url
from iecpod.http.failures import WebError
from iecpod.images.fetch.download import SYSTEM_CLOCK, download, retry
from iecpod.model import Arch
from iecpod.outside_json import Bounds, Json, parse_json
from iecpod.ports import Clock
from iecpod.release.mirrors import registry_server
from iecpod.sha256 import OCI_DIGEST, is_oci_digest

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
    rf"(?:@(?P<digest>{OCI_DIGEST.pattern}))?"
)
_CHALLENGE = re.compile(r'\b(\w{1,40})="([^"]*)"')
_CHALLENGE_CHARACTERS = 4096

_MIB = 1024 * 1024
#: OCI Distribution Specification: registries should take manifests of at least 4 MiB, and few take more.
_MANIFEST_LIMIT_BYTES = 4 * _MIB
_CONFIG_LIMIT_BYTES = 4 * _MIB
_TOKEN_LIMIT_BYTES = _MIB
_LAYER_LIMIT_BYTES = 10 * 1024 * _MIB
_JSON_BOUNDS = Bounds(size_bytes=4 * _MIB, depth=32)


@dataclass(frozen=True, slots=True)
class Blob:
    """`size_bytes` is what the manifest says, None where it says nothing."""

    digest: str
    size_bytes: int | None

    def size(self, most_bytes: int) -> Size:
        if self.size_bytes is None:
            return Size(most_bytes=most_bytes)
        return Size(most_bytes=self.size_bytes, is_exact=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryImage:
    """An image for one architecture; `digest` is that of its manifest, `base` the address that it was found below."""

    reference: str
    digest: str
    base: str
    config: Blob
    layers: tuple[Blob, ...]


class Registries:
    """Reads registries; `mirrors` are URLs by registry, each asked before the registry itself.

    A mirror with a path of its own holds the registry's `/v2`. Proxies are those of this process' environment.
    """

    def __init__(self, mirrors: Mapping[str, str], clock: Clock = SYSTEM_CLOCK) -> None:
        self._mirrors = mirrors
        self._clock = clock
        self._tokens: dict[str, str] = {}
        self._silent: set[str] = set()

    def find(self, reference: str, arch: Arch) -> RegistryImage:
        """The image of that digest, or without one the image that the tag stands for now.

        Raises `ImageError` with the answer of each server.
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

    def read_config(self, image: RegistryImage) -> bytes:
        """What a runtime knows of the image. Raises `ImageError`."""
        return self._read(f"{image.base}/blobs/{image.config.digest}", image.config, _CONFIG_LIMIT_BYTES)

    def fetch_layer(self, image: RegistryImage, layer: Blob, path: Path) -> None:
        """Writes a layer to `path`. Raises `ImageError` where it is not what its digest says."""
        url, size = f"{image.base}/blobs/{layer.digest}", layer.size(_LAYER_LIMIT_BYTES)
        with path.open("wb") as file:
            try:
                found = download(lambda part: self._open(url, size, part), file, clock=self._clock)
            except WebError as error:
                raise _refused(url, error) from error
        _check_digest(url, layer, found)

    def _bases(self, registry: str, name: str) -> Iterator[str]:
        for url in (self._mirrors.get(registry), registry_server(registry)):
            if url:
                yield f"{url.rstrip('/')}{'' if urlsplit(url).path.strip('/') else '/v2'}/{name}"

    def _find_at(self, base: str, reference: str, tag: str, arch: Arch) -> RegistryImage:
        digest, manifest = self._read_manifest(base, tag)
        if manifest.text("mediaType", "") in _INDEXES or manifest.get("manifests") is not None:
            digest, manifest = self._read_manifest(base, _select_platform(manifest, reference, arch))
        if manifest.get("config") is None or manifest.get("layers") is None:
            raise ImageError(
                f"{base}: the manifest of {tag} is of an old form",
                "push the image again, with a registry of API version 2",
            )
        found = RegistryImage(
            reference=reference,
            digest=digest,
            base=base,
            config=_blob(manifest.at("config"), _CONFIG_LIMIT_BYTES),
            layers=tuple(_blob(layer, _LAYER_LIMIT_BYTES) for layer in manifest.entries("layers")),
        )
        self._check_arch(found, arch)
        return found

    def _check_arch(self, image: RegistryImage, arch: Arch) -> None:
        """An image without an index is of one architecture, whichever is asked for."""
        url = f"{image.base}/blobs/{image.config.digest}"
        found = _parse(url, self.read_config(image), "the configuration of an image").text(
            "architecture", "no architecture"
        )
        if found != arch.debian:
            raise ImageError(
                f"{image.base}: {image.reference} is for {found}, not for {arch.debian}",
                "name an image of that architecture in the release",
            )

    def _read_manifest(self, base: str, reference: str) -> tuple[str, Json]:
        url = f"{base}/manifests/{reference}"
        wanted = Blob(reference if is_oci_digest(reference) else "", None)
        content = self._read(url, wanted, _MANIFEST_LIMIT_BYTES)
        manifest = _parse(url, content, "a manifest")
        manifest.members()
        return f"sha256:{hashlib.sha256(content).hexdigest()}", manifest

    def _read(self, url: str, blob: Blob, limit_bytes: int) -> bytes:
        """What is there. Raises `ImageError` where it is not what `blob` says."""

        def request() -> bytes:
            with self._open(url, blob.size(limit_bytes)) as answer:
                return answer.content()

        server = urlsplit(url).netloc
        try:
            content = request() if server in self._silent else retry(request, self._clock)
        except WebError as error:
            if error.is_transient:
                self._silent.add(server)  # each further image would wait for it as long
            raise _refused(url, error) from error
        _check_digest(url, blob, hashlib.sha256(content).hexdigest())
        return content

    @contextmanager
    def _open(self, url: str, size: Size, part: Part = WHOLE) -> Iterator[Answer]:
        scope = url.rpartition("/")[0].rpartition("/")[0]
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(_open(url, size, self._tokens.get(scope, ""), part))
            except WebError as error:
                if error.status != 401 or not error.challenge.lower().startswith("bearer "):
                    raise
                self._tokens[scope] = _fetch_token(url, error.challenge)
                answer = stack.enter_context(_open(url, size, self._tokens[scope], part))
            yield answer


def _blob(entry: Json, limit_bytes: int) -> Blob:
    """Raises `ImageError` for one that could not be kept or verified."""
    digest, size = entry.text("digest"), entry.get("size")
    if not is_oci_digest(digest):
        raise entry.refuse(f"{entry.path} names blobs by other digests than SHA-256")  # they become parts of addresses
    size_bytes = None if size is None else size.as_integer()
    if size_bytes is not None and not 0 <= size_bytes <= limit_bytes:
        raise entry.refuse(f"{entry.path} has {size_bytes} bytes, and at most {limit_bytes} are taken")
    return Blob(digest, size_bytes)


def _parse(url: str, content: bytes, kind: str) -> Json:
    return parse_json(content, lambda why: ImageError(f"{url} is not {kind}: {why}"), _JSON_BOUNDS)


def _select_platform(index: Json, reference: str, arch: Arch) -> str:
    for entry in index.entries("manifests"):
        platform = entry.get("platform")
        if platform and (platform.text("os", ""), platform.text("architecture", "")) == ("linux", arch.debian):
            return _blob(entry, _MANIFEST_LIMIT_BYTES).digest
    raise ImageError(f"{reference} is not there for {arch.debian}", "name an image of that architecture in the release")


def _fetch_token(url: str, challenge: str) -> str:
    """What anybody gets, without a password."""
    asked = dict(_CHALLENGE.findall(challenge[:_CHALLENGE_CHARACTERS]))
    realm = asked.get("realm", "")
    if not leads_on(url, realm):
        raise ImageError(f"{url} requires a password", "use a registry or mirror that anybody may read")
    query = urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
    with open_url(f"{realm}?{query}", Size(most_bytes=_TOKEN_LIMIT_BYTES)) as answer:
        shown = _parse(realm, answer.content(), "a server of tokens")
    return shown.text("token", "") or shown.text("access_token", "")


def _open(url: str, size: Size, token: str, part: Part) -> AbstractContextManager[Answer]:
    """Blobs are often led on to servers that refuse a token that is not meant for them."""
    return open_url(url, size, headers={"Accept": ", ".join((*_INDEXES, *_MANIFESTS))}, token=token, part=part)


def _refused(url: str, error: WebError) -> ImageError:
    return ImageError(f"{url}: {error}", "run again")


def _check_digest(url: str, blob: Blob, sha256: str) -> None:
    if blob.digest and f"sha256:{sha256}" != blob.digest:
        raise ImageError(f"{url}: its digest is sha256:{sha256}", "run again; if it stays so, do not trust the server")
