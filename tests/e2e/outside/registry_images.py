"""Images of a `docker save` archive, pushed over a registry's HTTP API (Docker Registry HTTP API V2, schema 2)."""

from __future__ import annotations

import functools
import hashlib
import http.client
import json
import ssl
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from iecpod.deploy.phases.verify_paths import OpenSocket

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
#: Not compressed: unpacking would cost emulated guests more than fetching.
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_SECONDS = 60.0


@dataclass(frozen=True)
class Blob:
    """`member` is its name in the archive."""

    member: str
    digest: str
    size: int
    media_type: str

    @property
    def described(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class StoredImage:
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def manifest(self) -> bytes:
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self.config.described,
            "layers": [layer.described for layer in self.layers],
        }
        return json.dumps(manifest).encode()

    @property
    def digest(self) -> str:
        """The one that the image is pulled by."""
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"


def read_images(archive: Path) -> dict[str, StoredImage]:
    """The images of the archive by their names there."""
    images = {}
    with tarfile.open(archive) as tar:
        for entry in json.loads(_open_member(tar, "manifest.json").read()):
            config = _open_member(tar, entry["Config"]).read()
            layers = tuple(
                Blob(name, digest, tar.getmember(name).size, _LAYER)
                for name, digest in zip(entry["Layers"], json.loads(config)["rootfs"]["diff_ids"], strict=True)
            )
            digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
            image = StoredImage(Blob(entry["Config"], digest, len(config), _CONFIG), layers)
            images.update(dict.fromkeys(entry["RepoTags"], image))
    return images


@dataclass(frozen=True)
class Registry:
    """`name` is the one in its certificate, by `authority`. `repository_of` a blob is one that has it already."""

    open_socket: OpenSocket
    address: str
    name: str
    authority: Path
    repository_of: dict[str, str] = field(default_factory=dict)

    def push(self, archive: Path, images: Mapping[str, StoredImage]) -> None:
        """Images of the archive, under names without a registry."""
        with tarfile.open(archive) as tar:
            for name, image in images.items():
                repository, tag = name.rsplit(":", 1)
                for blob in (image.config, *image.layers):
                    self._put_blob(repository, blob, functools.partial(_open_member, tar, blob.member))
                path = f"/v2/{repository}/manifests/{tag}"
                self._ask("PUT", path, image.manifest, Content_Type=_MANIFEST)

    def _put_blob(self, repository: str, blob: Blob, content: Callable[[], IO[bytes]]) -> None:
        known_in = self.repository_of.setdefault(blob.digest, repository)
        mount = f"?mount={blob.digest}&from={known_in}" if known_in != repository else ""
        status, location = self._ask("POST", f"/v2/{repository}/blobs/uploads/{mount}")
        if status == http.client.CREATED:
            return
        place = urlsplit(location)
        path = f"{place.path}?{place.query}&digest={blob.digest}"
        self._ask("PUT", path, content(), Content_Length=str(blob.size))

    def _ask(self, method: str, path: str, body: IO[bytes] | bytes | None = None, **headers: str) -> tuple[int, str]:
        """Status and `Location`."""
        context = ssl.create_default_context(cafile=str(self.authority))
        with (
            self.open_socket(self.address, 443, _SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=self.name) as channel,
        ):
            channel.settimeout(_SECONDS)
            client = http.client.HTTPConnection(self.name, blocksize=1 << 20)
            client.sock = channel
            client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = client.getresponse()
            answer.read()
            assert answer.status < 400, f"{method} {path}: {answer.status} {answer.reason}"
            return answer.status, answer.headers.get("Location", "")


def _open_member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    assert file is not None, name
    return file
