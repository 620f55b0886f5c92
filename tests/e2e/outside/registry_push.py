"""Images of a `docker save` archive, pushed over a registry's HTTP API (Docker Registry HTTP API V2, schema 2)."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from iecpod.phases.verify_paths import OpenSocket

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
#: Not compressed: unpacking would cost emulated guests more than fetching.
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_SECONDS = 60.0


@dataclass(frozen=True)
class _Registry:
    """`name` is the one in its certificate, by `authority`."""

    open_socket: OpenSocket
    address: str
    name: str
    authority: Path

    def ask(self, method: str, path: str, body: IO[bytes] | bytes | None = None, **headers: str) -> tuple[int, str]:
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

    def put_blob(
        self, repository: str, digest: str, size: int, content: Callable[[], IO[bytes]], known_in: str
    ) -> None:
        """`known_in` is a repository that has the blob already, or empty."""
        mount = f"?mount={digest}&from={known_in}" if known_in else ""
        status, location = self.ask("POST", f"/v2/{repository}/blobs/uploads/{mount}")
        if status == http.client.CREATED:
            return
        place = urlsplit(location)
        self.ask("PUT", f"{place.path}?{place.query}&digest={digest}", content(), Content_Length=str(size))


def push_archive(archive: Path, open_socket: OpenSocket, address: str, name: str, authority: Path) -> None:
    """Every image of the archive, under its name without the registry."""
    registry = _Registry(open_socket, address, name, authority)
    repository_of: dict[str, str] = {}
    with tarfile.open(archive) as tar:

        def content(name: str) -> IO[bytes]:
            file = tar.extractfile(name)
            assert file is not None, name
            return file

        def put(repository: str, name: str, digest: str, media_type: str) -> dict[str, Any]:
            size = tar.getmember(name).size
            registry.put_blob(repository, digest, size, lambda: content(name), repository_of.get(digest, ""))
            repository_of[digest] = repository
            return {"mediaType": media_type, "digest": digest, "size": size}

        for image in json.load(content("manifest.json")):
            config = content(image["Config"]).read()
            diff_ids = json.loads(config)["rootfs"]["diff_ids"]
            for reference in image["RepoTags"]:
                repository, tag = reference.partition("/")[2].rsplit(":", 1)
                config_digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
                manifest = {
                    "schemaVersion": 2,
                    "mediaType": _MANIFEST,
                    "config": put(repository, image["Config"], config_digest, _CONFIG),
                    "layers": [
                        put(repository, name, digest, _LAYER)
                        for name, digest in zip(image["Layers"], diff_ids, strict=True)
                    ],
                }
                text = json.dumps(manifest).encode()
                registry.ask("PUT", f"/v2/{repository}/manifests/{tag}", text, Content_Type=_MANIFEST)
